"""The index of trust anchors beside the hostnames' records: who trusts an issuer of this name, and who this key.

By name, a rejected client is recognised as the neighbour's. By key, it is seen that two hostnames trust the same
authority, whatever name it has: then the clients of the one get in at the other.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from enum import StrEnum
from typing import Final

from cryptography import x509

from mtlskit.core.certificates import public_key_id
from mtlskit.core.custom_hostname import CustomHostname
from mtlskit.ports import Snapshot, Transaction

_BY_SUBJECT: Final = "hostname-anchor"
_BY_KEY: Final = "hostname-anchor-key"
_MOST_TOLD: Final = 16


class SharedAnchors(StrEnum):
    """What becomes of a trust anchor whose key another hostname trusts already."""

    FLAG = "flag"  # one customer may have several hostnames: it is taken, and the audit log says so
    REFUSE = "refuse"


def add(transaction: Transaction, hostname: CustomHostname) -> None:
    """Writes the rows of a hostname."""
    for kind, partition in _rows(hostname):
        transaction.insert(kind, partition, str(hostname.pattern), b"")


def remove(transaction: Transaction, hostname: CustomHostname) -> None:
    """Removes the rows of a hostname; one of an older version may not have all."""
    for kind, partition in _rows(hostname):
        if transaction.get(kind, partition, str(hostname.pattern)) is not None:
            transaction.delete(kind, partition, str(hostname.pattern))


def with_subject(snapshot: Snapshot, subject: x509.Name, *, limit: int) -> list[str]:
    """The patterns of hostnames, at most `limit`, with an anchor of exactly this subject."""
    return [row.key for row in snapshot.scan(_BY_SUBJECT, _name_key(subject), limit=limit)]


def sharing(snapshot: Snapshot, pattern: str, anchors: Iterable[x509.Certificate]) -> tuple[str, ...]:
    """The patterns of other hostnames, a few at most, that trust the key of one of these certificates."""
    found: set[str] = set()
    for certificate in anchors:
        found.update(row.key for row in snapshot.scan(_BY_KEY, _key(certificate), limit=_MOST_TOLD + 1))
    return tuple(sorted(found - {pattern})[:_MOST_TOLD])


def _rows(hostname: CustomHostname) -> set[tuple[str, str]]:
    certificates = [anchor.certificate for anchor in hostname.trust.anchors]
    by_subject = {(_BY_SUBJECT, _name_key(certificate.subject)) for certificate in certificates}
    return by_subject | {(_BY_KEY, _key(certificate)) for certificate in certificates}


def _name_key(name: x509.Name) -> str:
    return hashlib.sha256(name.public_bytes()).hexdigest()


def _key(certificate: x509.Certificate) -> str:
    return public_key_id(certificate).hex()
