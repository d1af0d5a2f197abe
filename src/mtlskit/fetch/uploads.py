"""The certificate store: client certificates uploaded once, then bound by id. Owns the form of their records.

Each upload is one record: kind `client-certificate`, key the id, value JSON; the private key in it is sealed by the
store for that id. Nothing is written unless all of it is good.
"""

from __future__ import annotations

import base64
import json
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from cryptography.hazmat.primitives import hashes, serialization

from mtlskit.core.certificates import SigningChain
from mtlskit.core.pem import Secret
from mtlskit.errors import CertificateError, ConfigurationError, MTLSError, NotFound, StoreError
from mtlskit.fetch import preflight
from mtlskit.ports import Record, Store

KIND = "client-certificate"
_PARTITION = ""


def utc_now() -> datetime:
    """The moment, UTC-aware."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadedCertificate:
    """What is told of an upload; never its key. Times are UTC-aware; the issuer is text for people (RFC 4514)."""

    id: str
    name: str | None
    issuer: str
    serial_number: int
    uploaded_on: datetime
    expires_on: datetime


class CertificateUploads:
    """The client certificates in a store. May be shared between threads."""

    def __init__(self, store: Store, *, clock: Callable[[], datetime] = utc_now) -> None:
        self._store = store
        self._clock = clock

    def upload(
        self,
        chain_pem: bytes | str,
        private_key_pem: bytes | str | None = None,
        *,
        name: str | None = None,
        password: bytes | str | None = None,
        requester: str = "",
    ) -> UploadedCertificate:
        """Keeps a chain in PEM (leaf first) and its key (PEM; in the same text if not given), and gives its id.

        `password` opens an encrypted key, `requester` is for the audit log. Raises CertificateError, and keeps nothing,
        for a key of another certificate, a chain out of order, a certificate that is expired or not yet valid, or one
        that is not for clients.
        """
        given, secret = Secret(chain_pem), Secret(password)
        key = given if private_key_pem is None else Secret(private_key_pem)
        del chain_pem, private_key_pem, password
        _check_name(name)
        chain = SigningChain.from_pem(given, key, password=secret)
        now = self._clock()
        preflight.check_order(chain.certificates)
        preflight.check_usable(chain, now)
        return self._insert(_describe(str(uuid.uuid4()), name, chain, now), chain, requester)

    def list(self, name: str | None = None) -> tuple[UploadedCertificate, ...]:
        """All of them, or those of one name, the oldest first."""
        with self._store.snapshot() as snapshot:
            found = [read_upload(record) for record in snapshot.scan(KIND, _PARTITION)]
        wanted = (each for each in found if name is None or each.name == name)
        return tuple(sorted(wanted, key=lambda each: (each.uploaded_on, each.id)))

    def get(self, certificate_id: str) -> UploadedCertificate:
        """The one of that id; raises NotFound."""
        return read_upload(self._record(certificate_id))

    def delete(self, certificate_id: str, *, requester: str = "") -> None:
        """Forgets the one of that id and its key; raises NotFound."""
        _check_id(certificate_id)
        with self._store.transaction() as transaction:
            transaction.delete(KIND, _PARTITION, certificate_id)
            transaction.append_audit("client_certificate.deleted", {"id": certificate_id, "requester": requester})
            transaction.touch(topic_of(certificate_id))

    def signing_chain(self, certificate_id: str) -> SigningChain:
        """The chain and key of that id, to authenticate with; raises NotFound, or StoreError if it cannot be opened."""
        document = document_of(self._record(certificate_id))
        with suppress(KeyError, ValueError, CertificateError):
            sealed = base64.b64decode(document["private_key"], validate=True)
            key = Secret(self._store.unseal(sealed, context=key_context(certificate_id)))
            return SigningChain.from_pem(document["chain"], key)
        raise StoreError(f"expected the chain and key of the certificate {certificate_id!r}, got others")

    def _record(self, certificate_id: str) -> Record:
        _check_id(certificate_id)
        with self._store.snapshot() as snapshot:
            record = snapshot.get(KIND, _PARTITION, certificate_id)
        if record is None:
            raise NotFound(f"expected the id of an uploaded certificate, got {certificate_id!r}")
        return record

    def _insert(self, uploaded: UploadedCertificate, chain: SigningChain, requester: str) -> UploadedCertificate:
        sealed = self._store.seal(_key_pem(chain), context=key_context(uploaded.id))
        value = json.dumps({**_written(uploaded), **_secrets(chain, sealed)}).encode("utf-8")
        with self._store.transaction() as transaction:
            transaction.insert(KIND, _PARTITION, uploaded.id, value)
            transaction.append_audit("client_certificate.uploaded", _audit_details(uploaded, chain, requester))
            transaction.touch(topic_of(uploaded.id))
        return uploaded


def _audit_details(uploaded: UploadedCertificate, chain: SigningChain, requester: str) -> dict[str, str]:
    return {
        "id": uploaded.id,
        "issuer": uploaded.issuer,
        "serial": f"{uploaded.serial_number:x}",
        "sha256": chain.certificate.fingerprint(hashes.SHA256()).hex(),
        "requester": requester,
    }


def topic_of(certificate_id: str) -> str:
    """The topic under which the store reports changes of an upload."""
    return f"{KIND}:{certificate_id}"


def key_context(certificate_id: str) -> str:
    """What the sealed key of that upload is bound to."""
    return f"{KIND}:{certificate_id}"


def _check_id(certificate_id: str) -> None:
    if not isinstance(certificate_id, str) or not certificate_id.isprintable():
        raise NotFound(f"expected the id of an uploaded certificate, got {certificate_id!r}")


def _check_name(name: str | None) -> None:
    if name is not None and (not isinstance(name, str) or not name.strip() or not name.isprintable()):
        raise ConfigurationError(f"expected a name of printable text, got {name!r}")


def _describe(certificate_id: str, name: str | None, chain: SigningChain, now: datetime) -> UploadedCertificate:
    leaf = chain.certificate
    return UploadedCertificate(
        id=certificate_id,
        name=name,
        issuer=leaf.issuer.rfc4514_string(),
        serial_number=leaf.serial_number,
        uploaded_on=now,
        expires_on=leaf.not_valid_after_utc,
    )


def _written(uploaded: UploadedCertificate) -> dict[str, Any]:
    return {
        "id": uploaded.id,
        "name": uploaded.name,
        "issuer": uploaded.issuer,
        "serial_number": f"{uploaded.serial_number:X}",
        "uploaded_on": uploaded.uploaded_on.isoformat(),
        "expires_on": uploaded.expires_on.isoformat(),
    }


def _secrets(chain: SigningChain, sealed: bytes) -> dict[str, str]:
    return {"chain": chain.chain_pem().decode("ascii"), "private_key": base64.b64encode(sealed).decode("ascii")}


def _key_pem(chain: SigningChain) -> bytes:
    return chain.private_key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def document_of(record: Record) -> dict[str, Any]:
    """The stored record; raises StoreError for other bytes."""
    try:
        document = json.loads(record.value)
    except ValueError:
        document = None
    if not isinstance(document, dict):
        raise StoreError(f"expected the record of the certificate {record.key!r}, got other bytes")
    return document


def read_upload(record: Record) -> UploadedCertificate:
    """What a stored record tells of its upload; raises StoreError."""
    document = document_of(record)
    try:
        return UploadedCertificate(
            id=record.key,
            name=document["name"],
            issuer=document["issuer"],
            serial_number=int(document["serial_number"], 16),
            uploaded_on=datetime.fromisoformat(document["uploaded_on"]),
            expires_on=datetime.fromisoformat(document["expires_on"]),
        )
    except (KeyError, TypeError, ValueError, MTLSError):
        raise StoreError(f"expected the record of the certificate {record.key!r}, got another form") from None
