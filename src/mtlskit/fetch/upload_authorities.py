"""The certificate store's other half: CA certificates, without keys, by which servers are trusted.

Each upload is one record of kind `ca-certificate` (`upload_records` owns its form).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives import hashes

from mtlskit.core.certificates import to_pem
from mtlskit.core.pem import Secret
from mtlskit.fetch import upload_checks
from mtlskit.fetch.upload_records import (
    Shelf,
    UploadedCertificate,
    checked_name,
    new_id,
    read_chain,
    read_upload,
    utc_now,
)
from mtlskit.ports import Store

KIND = "ca-certificate"


class AuthorityUploads:
    """The CA certificates in a store. May be shared between threads; iterating gives all of them, by and by."""

    def __init__(self, store: Store, *, clock: Callable[[], datetime] = utc_now) -> None:
        self._store = store
        self._clock = clock
        self._shelf = Shelf(store, KIND)

    def upload(
        self, certificates_pem: bytes | str | Secret, *, name: str | None = None, requester: str = ""
    ) -> UploadedCertificate:
        """Keeps one or several CA certificates in PEM, and gives their id. `requester` is for the audit log.

        Raises CertificateError, and keeps nothing, for a private key in the text, a certificate that is none of a CA,
        one that is expired or not yet valid, or one whose key is too weak.
        """
        given = Secret.of(certificates_pem)
        del certificates_pem
        checked_name(name)
        now = self._clock()
        certificates = _checked(given, now)
        uploaded = UploadedCertificate.of(certificates[0], certificate_id=new_id(now), name=name, now=now, ca=True)
        with self._store.transaction() as transaction:
            self._shelf.insert(transaction, uploaded, _value(uploaded, certificates))
            transaction.append_audit("ca_certificate.uploaded", _audit_details(uploaded, certificates[0], requester))
        return uploaded

    def replace(
        self,
        certificate_id: str,
        certificates_pem: bytes | str | Secret,
        *,
        name: str | None = None,
        requester: str = "",
    ) -> UploadedCertificate:
        """Puts other CA certificates under the id of an upload: environments that are made from then on trust these.

        It keeps its name unless another is given. As `upload`; raises NotFound for an id that is not there, and
        Conflict if it was replaced by somebody else meanwhile.
        """
        given = Secret.of(certificates_pem)
        del certificates_pem
        checked_name(name)
        old, now = self._shelf.record(certificate_id), self._clock()
        certificates = _checked(given, now)
        kept = read_upload(old).name if name is None else name
        uploaded = UploadedCertificate.of(certificates[0], certificate_id=old.key, name=kept, now=now, ca=True)
        with self._store.transaction() as transaction:
            self._shelf.replace(transaction, uploaded, _value(uploaded, certificates), old)
            transaction.append_audit("ca_certificate.replaced", _audit_details(uploaded, certificates[0], requester))
        return uploaded

    def list(
        self, name: str | None = None, *, after: str = "", limit: int | None = None
    ) -> tuple[UploadedCertificate, ...]:
        """As `CertificateUploads.list`."""
        return tuple(self._shelf.uploads(name, after, limit))

    def __iter__(self) -> Iterator[UploadedCertificate]:
        """All of them, read a page at a time: each page is as it was when it was read."""
        return self._shelf.uploads(None, "", None)

    def get(self, certificate_id: str) -> UploadedCertificate:
        """The one of that id; raises NotFound."""
        return read_upload(self._shelf.record(certificate_id))

    def certificates(self, certificate_id: str) -> tuple[x509.Certificate, ...]:
        """The certificates of that id. An `Environment` takes them, or the id itself, for `trust`. Raises NotFound."""
        return read_chain(self._shelf.record(certificate_id))

    def delete(self, certificate_id: str, *, requester: str = "") -> None:
        """Forgets the one of that id; raises NotFound."""
        with self._store.transaction() as transaction:
            self._shelf.delete(transaction, certificate_id)
            transaction.append_audit("ca_certificate.deleted", {"id": certificate_id, "requester": requester})


def _checked(given: Secret, now: datetime) -> tuple[x509.Certificate, ...]:
    certificates = upload_checks.read_authorities(given)
    upload_checks.check_authorities(certificates, now)
    return certificates


def _value(uploaded: UploadedCertificate, certificates: Sequence[x509.Certificate]) -> bytes:
    return json.dumps({**uploaded.document(), "chain": to_pem(certificates).decode("ascii")}).encode("utf-8")


def _audit_details(uploaded: UploadedCertificate, first: x509.Certificate, requester: str) -> dict[str, str]:
    return {
        "id": uploaded.id,
        "issuer": uploaded.issuer,
        "serial": f"{uploaded.serial_number:x}",
        "sha256": first.fingerprint(hashes.SHA256()).hex(),
        "requester": requester,
    }
