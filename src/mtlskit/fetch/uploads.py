"""The certificate store: client certificates uploaded once, then bound by id.

Each upload is one record of kind `client-certificate` (`upload_records` owns its form); the private key in it is
sealed by the store for that id. Nothing is written unless all of it is good (`upload_checks`).
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

from mtlskit.core.certificates import SigningChain
from mtlskit.core.pem import Secret, certificates_in, known_private_key_in
from mtlskit.errors import CertificateError, StoreError
from mtlskit.fetch import upload_checks
from mtlskit.fetch.upload_records import (
    Shelf,
    UploadedCertificate,
    checked_name,
    document_of,
    new_id,
    read_chain,
    read_upload,
    topic,
    utc_now,
)
from mtlskit.ports import Record, Store

__all__ = [
    "KIND",
    "CertificateUploads",
    "UploadedCertificate",
    "document_of",
    "key_context",
    "read_upload",
    "topic_of",
    "utc_now",
]

KIND = "client-certificate"


class CertificateUploads:
    """The client certificates in a store. May be shared between threads; iterating gives all of them, by and by.

    Chains, keys and passwords are bytes, text, or a `core.pem.Secret` of either. `requester` is for the audit log.
    """

    def __init__(self, store: Store, *, clock: Callable[[], datetime] = utc_now) -> None:
        self._store = store
        self._clock = clock
        self._shelf = Shelf(store, KIND)

    def upload(
        self,
        chain_pem: bytes | str | Secret,
        private_key_pem: bytes | str | Secret | None = None,
        *,
        name: str | None = None,
        password: bytes | str | Secret | None = None,
        trust: Sequence[x509.Certificate] = (),
        requester: str = "",
    ) -> UploadedCertificate:
        """Keeps a chain in PEM (leaf first) and its key (PEM; in the same text if not given), and gives its id.

        `password` opens an encrypted key; `trust` are the roots of the servers it is for, where they are known. Raises
        CertificateError, and keeps nothing, for a key of another certificate, a chain out of order or that leads to
        none of `trust`, a certificate that is expired or not yet valid, or one that no server accepts of a client.
        """
        given, secret = Secret.of(chain_pem), Secret.of(password)
        key = given if private_key_pem is None else Secret.of(private_key_pem)
        del chain_pem, private_key_pem, password
        checked_name(name)
        return self._insert(upload_checks.read_chain(given, key, secret), name, trust, requester)

    def upload_pkcs12(
        self,
        data: bytes | Secret,
        *,
        password: bytes | str | Secret | None = None,
        name: str | None = None,
        trust: Sequence[x509.Certificate] = (),
        requester: str = "",
    ) -> UploadedCertificate:
        """As `upload`, for a PKCS #12 (RFC 7292) with one key and its chain, whose certificates may have any order."""
        given, secret = Secret.of(data), Secret.of(password)
        del data, password
        checked_name(name)
        return self._insert(upload_checks.read_pkcs12(given, secret), name, trust, requester)

    def replace(
        self,
        certificate_id: str,
        chain_pem: bytes | str | Secret,
        private_key_pem: bytes | str | Secret | None = None,
        *,
        name: str | None = None,
        password: bytes | str | Secret | None = None,
        trust: Sequence[x509.Certificate] = (),
        requester: str = "",
    ) -> UploadedCertificate:
        """Puts another chain and key under the id of an upload, so that its bindings need not be changed.

        It keeps its name unless another is given. As `upload`; raises NotFound for an id that is not there, and
        Conflict if it was replaced by somebody else meanwhile.
        """
        given, secret = Secret.of(chain_pem), Secret.of(password)
        key = given if private_key_pem is None else Secret.of(private_key_pem)
        del private_key_pem, chain_pem, password
        checked_name(name)
        old = self._shelf.record(certificate_id)
        return self._replace(old, upload_checks.read_chain(given, key, secret), name, trust, requester)

    def replace_pkcs12(
        self,
        certificate_id: str,
        data: bytes | Secret,
        *,
        password: bytes | str | Secret | None = None,
        name: str | None = None,
        trust: Sequence[x509.Certificate] = (),
        requester: str = "",
    ) -> UploadedCertificate:
        """As `replace`, with a PKCS #12."""
        given, secret = Secret.of(data), Secret.of(password)
        del data, password
        checked_name(name)
        old = self._shelf.record(certificate_id)
        return self._replace(old, upload_checks.read_pkcs12(given, secret), name, trust, requester)

    def list(
        self, name: str | None = None, *, after: str = "", limit: int | None = None
    ) -> tuple[UploadedCertificate, ...]:
        """All of them, or those of one name, in the order in which they were first uploaded.

        Of a long list, at most `limit`, from the one after the id `after` on. To go through all, iterate instead.
        """
        return tuple(self._shelf.uploads(name, after, limit))

    def __iter__(self) -> Iterator[UploadedCertificate]:
        """All of them, read a page at a time: each page is as it was when it was read."""
        return self._shelf.uploads(None, "", None)

    def get(self, certificate_id: str) -> UploadedCertificate:
        """The one of that id; raises NotFound."""
        return read_upload(self._shelf.record(certificate_id))

    def certificates(self, certificate_id: str) -> tuple[x509.Certificate, ...]:
        """The chain of that id, leaf first; opens no key. Raises NotFound."""
        return read_chain(self._shelf.record(certificate_id))

    def delete(self, certificate_id: str, *, requester: str = "") -> None:
        """Forgets the one of that id and its key; raises NotFound."""
        with self._store.transaction() as transaction:
            self._shelf.delete(transaction, certificate_id)
            transaction.append_audit("client_certificate.deleted", {"id": certificate_id, "requester": requester})

    def signing_chain(self, certificate_id: str) -> SigningChain:
        """The chain and key of that id, to authenticate with; raises NotFound, or StoreError if it cannot be opened."""
        document = document_of(self._shelf.record(certificate_id))
        with suppress(KeyError, ValueError, CertificateError):
            sealed = base64.b64decode(document["private_key"], validate=True)
            key = Secret(self._store.unseal(sealed, context=key_context(certificate_id)))
            # Its envelope says that it is the key that was looked at when it was uploaded.
            return SigningChain(known_private_key_in(key), certificates_in(Secret(document["chain"]), "a chain"))
        raise StoreError(f"expected the chain and key of the certificate {certificate_id!r}, got others")

    def _insert(
        self, chain: SigningChain, name: str | None, trust: Sequence[x509.Certificate], requester: str
    ) -> UploadedCertificate:
        now = self._clock()
        upload_checks.check_client(chain, now, trust)
        uploaded = UploadedCertificate.of(chain.certificate, certificate_id=new_id(now), name=name, now=now)
        value = self._value(uploaded, chain)
        with self._store.transaction() as transaction:
            self._shelf.insert(transaction, uploaded, value)
            transaction.append_audit("client_certificate.uploaded", _audit_details(uploaded, chain, requester))
        return uploaded

    def _replace(
        self, old: Record, chain: SigningChain, name: str | None, trust: Sequence[x509.Certificate], requester: str
    ) -> UploadedCertificate:
        now = self._clock()
        upload_checks.check_client(chain, now, trust)
        kept = read_upload(old).name if name is None else name
        uploaded = UploadedCertificate.of(chain.certificate, certificate_id=old.key, name=kept, now=now)
        value = self._value(uploaded, chain)
        with self._store.transaction() as transaction:
            self._shelf.replace(transaction, uploaded, value, old)
            transaction.append_audit("client_certificate.replaced", _audit_details(uploaded, chain, requester))
        return uploaded

    def _value(self, uploaded: UploadedCertificate, chain: SigningChain) -> bytes:
        sealed = self._store.seal(_key_pem(chain), context=key_context(uploaded.id))
        secret = {"private_key": base64.b64encode(sealed).decode("ascii")}
        return json.dumps({**uploaded.document(), "chain": chain.chain_pem().decode("ascii"), **secret}).encode("utf-8")


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
    return topic(KIND, certificate_id)


def key_context(certificate_id: str) -> str:
    """What the sealed key of that upload is bound to."""
    return f"{KIND}:{certificate_id}"


def _key_pem(chain: SigningChain) -> bytes:
    return chain.private_key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
