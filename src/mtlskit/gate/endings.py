"""When the server certificates and trust anchors of hostnames end. Opens no key."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from datetime import datetime

from cryptography import x509

from mtlskit.endings import Ending, EndingKind
from mtlskit.errors import StoreError
from mtlskit.gate.hostname_records import KIND
from mtlskit.paging import stored
from mtlskit.ports import Record, Store


def endings(store: Store, *, now: datetime) -> Iterator[Ending]:
    """The ends of every hostname's server certificate and anchors; without those of several anchors that are past.

    Reads the records in pages; raises StoreError for one that cannot be read.
    """
    for record in stored(store, KIND):
        server, anchors = _certificates(record)
        if server:
            yield _ending(EndingKind.SERVER_CERTIFICATE, record.key, min(server, key=_end))
        last = max(anchors, key=_end, default=None)
        for each in anchors:
            if each is last:
                yield _ending(EndingKind.LAST_ANCHOR, record.key, each)
            elif _end(each) > now:
                yield _ending(EndingKind.ANCHOR, record.key, each)


def _ending(what: EndingKind, hostname: str, certificate: x509.Certificate) -> Ending:
    then = {
        EndingKind.SERVER_CERTIFICATE: "every client that verifies the server gives up",
        EndingKind.LAST_ANCHOR: "no client certificate is good any more",
        EndingKind.ANCHOR: "clients whose certificates come from this authority get in no more",
    }[what]
    subject = certificate.subject.rfc4514_string()
    return Ending(what=what, name=hostname, subject=subject, ends_at=_end(certificate), then=then)


def _certificates(record: Record) -> tuple[list[x509.Certificate], list[x509.Certificate]]:
    try:
        document = json.loads(record.value)
        server = document["server"]
        chain = [] if server is None else list(map(_parsed, server["chain"]))
        return chain, [_parsed(each["der"]) for each in document["anchors"]]
    except (ValueError, KeyError, TypeError):
        raise StoreError(f"expected a readable record of hostname {record.key!r}, got another") from None


def _parsed(text: str) -> x509.Certificate:
    return x509.load_der_x509_certificate(base64.b64decode(text))


def _end(certificate: x509.Certificate) -> datetime:
    return certificate.not_valid_after_utc
