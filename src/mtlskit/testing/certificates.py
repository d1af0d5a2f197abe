"""Throw-away certificates for tests: authorities and leaves in one line each, wrong ones included.

Nothing here is recorded anywhere; use `mtlskit.CertificateAuthority` for certificates that leave the test.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from mtlskit.core.certificates import PrivateKey, SigningChain
from mtlskit.core.names import SubjectAlternativeName

CLIENT_AUTH = ExtendedKeyUsageOID.CLIENT_AUTH
SERVER_AUTH = ExtendedKeyUsageOID.SERVER_AUTH


def new_key() -> ec.EllipticCurvePrivateKey:
    """A fresh P-256 key."""
    return ec.generate_private_key(ec.SECP256R1())


def name_of(common_name: str | None) -> x509.Name:
    """A subject with just a common name, or an empty one."""
    if common_name is None:
        return x509.Name([])
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


@dataclass(frozen=True, slots=True)
class Authority:
    """A certificate that signs others, with its key. `chain` is what its leaves present above themselves."""

    certificate: x509.Certificate
    key: PrivateKey
    chain: tuple[x509.Certificate, ...] = ()

    @classmethod
    def root(cls, common_name: str = "Test root", *, key: PrivateKey | None = None, **options: object) -> Authority:
        """A self-signed CA."""
        key = key or new_key()
        certificate = build(
            subject=name_of(common_name), issuer=name_of(common_name), public_key=key.public_key(),
            signing_key=key, ca=True, **options,  # type: ignore[arg-type]
        )  # fmt: skip
        return cls(certificate, key)

    def intermediate(
        self, common_name: str = "Test intermediate", *, key: PrivateKey | None = None, **options: object
    ) -> Authority:
        """A CA certificate that this one signs."""
        key = key or new_key()
        certificate = build(
            subject=name_of(common_name), issuer=self.certificate.subject, public_key=key.public_key(),
            signing_key=self.key, signing_certificate=self.certificate, ca=True, **options,  # type: ignore[arg-type]
        )  # fmt: skip
        return Authority(certificate, key, (certificate, *self.chain))

    def leaf(
        self,
        common_name: str | None = "device",
        *,
        sans: Sequence[str] = ("uri:urn:example:device",),
        usages: Sequence[x509.ObjectIdentifier] = (CLIENT_AUTH,),
        key: PrivateKey | None = None,
        **options: object,
    ) -> SigningChain:
        """An end-entity certificate of this CA with its key; `sans` as 'dns:...', 'uri:...', 'email:...', 'ip:...'."""
        key = key or new_key()
        certificate = build(
            subject=name_of(common_name), issuer=self.certificate.subject, public_key=key.public_key(),
            signing_key=self.key, signing_certificate=self.certificate, sans=sans, usages=usages, **options,  # type: ignore[arg-type]
        )  # fmt: skip
        return SigningChain(key, (certificate, *self.chain))


def build(
    *,
    subject: x509.Name,
    issuer: x509.Name,
    public_key: object,
    signing_key: PrivateKey,
    signing_certificate: x509.Certificate | None = None,
    ca: bool = False,
    path_length: int | None = None,
    sans: Sequence[str] = (),
    usages: Sequence[x509.ObjectIdentifier] = (),
    not_before: datetime | None = None,
    not_after: datetime | None = None,
    serial_number: int | None = None,
    extensions: Sequence[tuple[x509.ExtensionType, bool]] = (),
    without: Sequence[type[x509.ExtensionType]] = (),
    hash_algorithm: hashes.HashAlgorithm | None = None,
) -> x509.Certificate:
    """One certificate. `extensions` replaces those of the same type, `without` leaves some out."""
    moment = datetime.now(UTC).replace(microsecond=0)
    builder = x509.CertificateBuilder(
        subject_name=subject,
        issuer_name=issuer,
        public_key=public_key,  # type: ignore[arg-type]
        serial_number=serial_number or x509.random_serial_number(),
        not_valid_before=not_before or moment - timedelta(hours=1),
        not_valid_after=not_after or moment + timedelta(days=30),
    )
    wanted = {
        type(value): (value, critical)
        for value, critical in _usual(public_key, signing_key, ca, path_length, sans, usages, subject)
    }
    wanted.update({type(value): (value, critical) for value, critical in extensions})
    for kind, (value, critical) in wanted.items():
        if kind not in without:
            builder = builder.add_extension(value, critical=critical)
    plain = isinstance(signing_key, ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey)
    return builder.sign(signing_key, None if plain else hash_algorithm or hashes.SHA256())  # type: ignore[arg-type]


def _usual(
    public_key: object, signing_key: PrivateKey, ca: bool, path_length: int | None,
    sans: Sequence[str], usages: Sequence[x509.ObjectIdentifier], subject: x509.Name,
) -> list[tuple[x509.ExtensionType, bool]]:  # fmt: skip
    found: list[tuple[x509.ExtensionType, bool]] = [
        (x509.BasicConstraints(ca, path_length), True),
        (x509.SubjectKeyIdentifier.from_public_key(public_key), False),  # type: ignore[arg-type]
        (x509.AuthorityKeyIdentifier.from_issuer_public_key(signing_key.public_key()), False),
        (_key_usage(ca), True),
    ]
    if usages:
        found.append((x509.ExtendedKeyUsage(usages), False))
    if sans:
        names = [SubjectAlternativeName.parse(text).general_name() for text in sans]
        found.append((x509.SubjectAlternativeName(names), not list(subject)))
    return found


def _key_usage(ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not ca, key_cert_sign=ca, crl_sign=ca, content_commitment=False, key_encipherment=False,
        data_encipherment=False, key_agreement=False, encipher_only=False, decipher_only=False,
    )  # fmt: skip
