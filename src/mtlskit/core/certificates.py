"""Certificates as values: what a peer presented, what we sign with, who a client is; in PEM, DER and PKCS#12.

A private key lives only inside `SigningChain`; nothing here prints one, pickles one or puts one into an error.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, NoReturn

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.serialization import pkcs12
from cryptography.x509.name import _ASN1Type
from cryptography.x509.oid import NameOID

from mtlskit.core.names import SanType, SubjectAlternativeName
from mtlskit.core.pem import (
    UNREADABLE,
    PrivateKey,
    Secret,
    certificates_in,
    certificates_without_keys,
    pkcs12_in,
    private_key_in,
    read_certificate,
    read_certificates,
    read_private_key,
)
from mtlskit.errors import CertificateError

if TYPE_CHECKING:
    from mtlskit.core.fields import ClientCertificateFields

__all__ = [
    "ClientIdentity",
    "Issuance",
    "PresentedChain",
    "PrivateKey",
    "SigningChain",
    "common_name",
    "only_value",
    "public_key_id",
    "read_certificate",
    "read_certificates",
    "read_private_key",
    "read_sans",
    "shown_subject",
    "spki_id",
    "to_der",
    "to_pem",
]

_ASCII_STRINGS = {_ASN1Type.PrintableString, _ASN1Type.IA5String}  # other octets in them have no one meaning
_READABLE_STRINGS = {
    _ASN1Type.UTF8String,
    _ASN1Type.PrintableString,
    _ASN1Type.IA5String,
    _ASN1Type.BMPString,
}


def to_der(certificate: x509.Certificate) -> bytes:
    """The certificate's DER."""
    return certificate.public_bytes(serialization.Encoding.DER)


def to_pem(certificates: Sequence[x509.Certificate]) -> bytes:
    """The certificates in PEM, in their order."""
    return b"".join(certificate.public_bytes(serialization.Encoding.PEM) for certificate in certificates)


def public_key_id(certificate: x509.Certificate) -> bytes:
    """SHA-256 over the certificate's SubjectPublicKeyInfo in DER: the identity of a key, whatever its name."""
    return spki_id(certificate.public_key())


def spki_id(public_key: Any) -> bytes:
    """SHA-256 over the public key's SubjectPublicKeyInfo in DER."""
    spki = public_key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(spki).digest()


@dataclass(frozen=True, slots=True)
class PresentedChain:
    """What a peer presented, as DER, leaf first, unordered beyond it and unverified. Parsed only when judged."""

    ders: tuple[bytes, ...]

    def __post_init__(self) -> None:
        if not self.ders:
            raise CertificateError("expected at least one certificate in a presented chain, got none")

    @classmethod
    def from_der(cls, *ders: bytes) -> PresentedChain:
        """From one DER certificate each, the leaf first. The bytes are not looked at here."""
        return cls(tuple(bytes(der) for der in ders))

    @classmethod
    def from_pem(cls, pem: bytes | str) -> PresentedChain:
        """From PEM, the leaf first; raises CertificateError (a private key in it is refused unseen)."""
        given = Secret(pem)
        del pem
        return cls.from_certificates(*certificates_without_keys(given, "a presented chain"))

    @classmethod
    def from_certificates(cls, *certificates: x509.Certificate) -> PresentedChain:
        """From parsed certificates, the leaf first."""
        return cls(tuple(map(to_der, certificates)))

    @property
    def leaf_der(self) -> bytes:
        """The end-entity certificate's DER."""
        return self.ders[0]

    @property
    def fingerprint(self) -> bytes:
        """SHA-256 of the leaf's DER."""
        return hashlib.sha256(self.ders[0]).digest()

    def certificates(self) -> tuple[x509.Certificate, ...]:
        """All of them, parsed; raises CertificateError where one is not a certificate."""
        try:
            return tuple(map(x509.load_der_x509_certificate, self.ders))
        except UNREADABLE as error:
            raise CertificateError("expected DER certificates in the presented chain, got other bytes") from error

    def to_pem(self) -> bytes:
        """The chain in PEM, leaf first; raises CertificateError where one is not a certificate."""
        return to_pem(self.certificates())


class SigningChain:
    """A private key and the chain that belongs to it, leaf first, without the root.

    The key belongs to the leaf (checked here), shows in no repr and refuses to be pickled.
    """

    __slots__ = ("_private_key", "certificates")

    certificates: tuple[x509.Certificate, ...]

    def __init__(self, private_key: PrivateKey, certificates: Sequence[x509.Certificate]) -> None:
        if not certificates:
            raise CertificateError("expected a certificate for the private key, got none")
        if spki_id(private_key.public_key()) != public_key_id(certificates[0]):
            raise CertificateError(
                f"expected the private key of {certificates[0].subject.rfc4514_string()!r}, got another key"
            )
        self._private_key = private_key
        self.certificates = tuple(certificates)

    @classmethod
    def from_pem(
        cls,
        chain: bytes | str | Secret,
        private_key: bytes | str | Secret | None = None,
        *,
        password: bytes | Secret | None = None,
    ) -> SigningChain:
        """From the chain in PEM, leaf first, and the key in PEM, apart or in the same text.

        `password` opens an encrypted key. Raises CertificateError: no key, a wrong password, a key of another
        certificate. Whether the certificates issue one another is for the peer to judge.
        """
        given, secret = Secret.of(chain), Secret.of(password)
        key = given if private_key is None else Secret.of(private_key)
        del chain, private_key, password
        certificates = certificates_in(given, "a certificate chain")
        return cls(private_key_in(key, secret), certificates)

    @classmethod
    def from_pkcs12(cls, data: bytes, *, password: bytes | None = None) -> SigningChain:
        """From PKCS#12 (RFC 7292); raises CertificateError."""
        given, secret = Secret(data), Secret(password)
        del data, password
        return cls(*pkcs12_in(given, secret))

    @property
    def certificate(self) -> x509.Certificate:
        """The end-entity certificate."""
        return self.certificates[0]

    @property
    def serial_number(self) -> int:
        """The end-entity certificate's serial number."""
        return self.certificate.serial_number

    @property
    def private_key(self) -> PrivateKey:
        """The private key of the end-entity certificate."""
        return self._private_key

    def presented(self) -> PresentedChain:
        """The chain as a peer will see it."""
        return PresentedChain.from_certificates(*self.certificates)

    def fingerprint(self) -> bytes:
        """SHA-256 over every certificate of the chain: equal for equal content."""
        return hashlib.sha256(b"".join(map(to_der, self.certificates))).digest()

    def chain_pem(self) -> bytes:
        """The certificates in PEM, leaf first, without the key."""
        return to_pem(self.certificates)

    def private_key_der(self) -> bytes:
        """The key as unencrypted PKCS#8 DER, for those who encrypt it at once or hand it to TLS in memory."""
        return self._private_key.private_bytes(
            serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )

    def to_pem(self, *, password: bytes | None = None) -> bytes:
        """Key and chain in PEM, the key encrypted (PKCS#8) where a password is given."""
        encryption: serialization.KeySerializationEncryption = serialization.NoEncryption()
        if password is not None:
            encryption = serialization.BestAvailableEncryption(password)
        del password
        return (
            self._private_key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)
            + self.chain_pem()
        )

    def to_pkcs12(self, *, password: bytes, name: str | None = None) -> bytes:
        """Key and chain as PKCS#12 under `password`."""
        encryption = serialization.BestAvailableEncryption(password)
        del password
        return pkcs12.serialize_key_and_certificates(
            name.encode() if name else None, self._private_key, self.certificate, self.certificates[1:], encryption
        )

    def __repr__(self) -> str:
        if not hasattr(self, "certificates"):
            return f"<{type(self).__name__}>"  # in a traceback of its making
        subject = self.certificate.subject.rfc4514_string()
        return (
            f"<{type(self).__name__} {subject!r} serial={self.serial_number:x} certificates={len(self.certificates)}>"
        )

    def __reduce__(self) -> NoReturn:
        raise TypeError(f"expected a value without a private key to pickle, got {type(self).__name__}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Issuance:
    """Which authority issued a certificate, by which profile: their names, both empty where none of the store's did.

    One is None where the store cannot say it.
    """

    authority: str | None = ""
    profile: str | None = ""


@dataclass(frozen=True, slots=True)
class ClientIdentity:
    """Who the verified client is: read from the leaf of a path that was verified for this hostname.

    `issuers` are the certificates above the leaf in that path, up to the anchor's own; `presented` is what the client
    sent, in its order; `issuance` what the store's authorities know of the leaf, None where nobody has looked.
    `anchor_id` is None only for rehearsals on a certificate that was not verified.
    """

    certificate: x509.Certificate = field(repr=False)
    hostname: str
    anchor_id: str | None
    common_name: str | None
    sans: tuple[SubjectAlternativeName, ...]
    issuers: tuple[x509.Certificate, ...] = field(default=(), repr=False)
    presented: PresentedChain | None = field(default=None, repr=False)
    issuance: Issuance | None = None
    # What rules read of all this, by selector: it is the same on every request of the client.
    read: dict[str, Any] = field(default_factory=dict, init=False, repr=False, compare=False)

    @classmethod
    def of(
        cls,
        certificate: x509.Certificate,
        *,
        hostname: str,
        anchor_id: str | None,
        issuers: Sequence[x509.Certificate] = (),
        presented: PresentedChain | None = None,
        issuance: Issuance | None = None,
    ) -> ClientIdentity:
        """The identity in `certificate`, which the caller has verified."""
        return cls(
            certificate,
            hostname,
            anchor_id,
            common_name(certificate.subject),
            read_sans(certificate),
            tuple(issuers),
            presented,
            issuance,
        )

    @property
    def subject(self) -> str:
        """The subject as RFC 4514 text: for people, never to compare (I9)."""
        return self.certificate.subject.rfc4514_string()

    @property
    def issuer(self) -> str:
        """The issuer as RFC 4514 text: for people, never to compare (I9)."""
        return self.certificate.issuer.rfc4514_string()

    @property
    def serial_number(self) -> int:
        """The certificate's serial number."""
        return self.certificate.serial_number

    @property
    def fingerprint_sha256(self) -> str:
        """SHA-256 of the DER in lower-case hexadecimal."""
        return hashlib.sha256(to_der(self.certificate)).hexdigest()

    @property
    def public_key_sha256(self) -> str:
        """SHA-256 of the SubjectPublicKeyInfo in lower-case hexadecimal."""
        return public_key_id(self.certificate).hex()

    @property
    def not_before(self) -> datetime:
        """The start of the certificate's life, in UTC."""
        return self.certificate.not_valid_before_utc

    @property
    def not_after(self) -> datetime:
        """The end of the certificate's life, in UTC."""
        return self.certificate.not_valid_after_utc

    def fields(self) -> ClientCertificateFields:
        """What Cloudflare's rules say of a certificate (`cf.tls_client_auth.*`), typed."""
        from mtlskit.core.fields import ClientCertificateFields  # it reads identities

        return ClientCertificateFields.of_identity(self)

    def cloudflare_fields(self) -> dict[str, str | bool]:
        """The 21 properties that a Worker has in `request.cf.tlsClientAuth`, under their names and in their forms."""
        return self.fields().worker_properties()

    def values(self, san_type: SanType) -> tuple[str, ...]:
        """The values of the SAN entries of one type, as the certificate has them."""
        return tuple(san.value for san in self.sans if san.type is san_type)

    @property
    def dns_names(self) -> tuple[str, ...]:
        """The dNSName entries."""
        return self.values(SanType.DNS)

    @property
    def uris(self) -> tuple[str, ...]:
        """The uniformResourceIdentifier entries."""
        return self.values(SanType.URI)

    @property
    def emails(self) -> tuple[str, ...]:
        """The rfc822Name entries."""
        return self.values(SanType.EMAIL)

    @property
    def ips(self) -> tuple[str, ...]:
        """The iPAddress entries, in the canonical text of `ipaddress`."""
        return self.values(SanType.IP)


def common_name(name: x509.Name) -> str | None:
    """The common name if there is exactly one, in a string type with one reading and without NUL; else None (I9)."""
    return only_value(name, NameOID.COMMON_NAME)


def only_value(name: x509.Name, oid: x509.ObjectIdentifier) -> str | None:
    """The attribute's value if there is exactly one, in a string type with one reading and without NUL; else None."""
    found = name.get_attributes_for_oid(oid)
    if len(found) != 1 or found[0]._type not in _READABLE_STRINGS:
        return None
    value = found[0].value
    if not isinstance(value, str) or not value or "\0" in value:
        return None
    return value if found[0]._type not in _ASCII_STRINGS or value.isascii() else None


def read_sans(certificate: x509.Certificate) -> tuple[SubjectAlternativeName, ...]:
    """The SAN entries that have a text form, in the certificate's order."""
    try:
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return ()
    return tuple(filter(None, map(SubjectAlternativeName.from_general_name, extension.value)))


def shown_subject(der: bytes, limit: int = 128) -> str:
    """The *unverified* subject of peer bytes for an event: escaped, cut, never raising; empty if unreadable."""
    return _shown_subject(bytes(der), limit)


@functools.lru_cache(maxsize=256)
def _shown_subject(der: bytes, limit: int) -> str:
    try:
        text = x509.load_der_x509_certificate(der).subject.rfc4514_string()
    except UNREADABLE:
        return ""
    escaped = text.encode("unicode_escape").decode("ascii")
    return escaped if len(escaped) <= limit else escaped[:limit] + "..."
