"""What an authority issues: certificate profiles as values, and the pure step from a request to a builder.

`CLIENT` and `SERVER` are end-entity certificates, `ROOT` is the self-signed certificate of an authority. A profile
says everything about a certificate but its names, its key and its moment. RFC 5280, section 4.2, for the
extensions; a server certificate also satisfies the rules of the WEBPKI validation profile.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from functools import lru_cache
from typing import Final, TypeAlias

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from mtlskit.core.names import SanType, SubjectAlternativeName
from mtlskit.errors import InvalidName, IssuanceError

PublicKey: TypeAlias = ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey | ed448.Ed448PublicKey | rsa.RSAPublicKey

BACKDATING: Final = timedelta(seconds=30)  # so that a clock which is a little behind takes a new certificate
LONGEST_COMMON_NAME: Final = 64  # ub-common-name (RFC 5280, appendix A.1), counted as `cryptography` counts


class Role(StrEnum):
    """What the subject is: basicConstraints (RFC 5280, 4.2.1.9)."""

    END_ENTITY = "end_entity"
    AUTHORITY = "authority"


class KeyUsage(StrEnum):
    """The bits of keyUsage (RFC 5280, 4.2.1.3) that our profiles set; always critical."""

    DIGITAL_SIGNATURE = "digital_signature"
    KEY_CERT_SIGN = "key_cert_sign"
    CRL_SIGN = "crl_sign"


class ExtendedKeyUsage(StrEnum):
    """The purposes of extendedKeyUsage (RFC 5280, 4.2.1.12); never critical."""

    CLIENT_AUTH = "client_auth"
    SERVER_AUTH = "server_auth"


class SanPresence(StrEnum):
    """Whether there must be a SAN. Without a common name there must always be one (RFC 5280, 4.1.2.6)."""

    OPTIONAL = "optional"
    REQUIRED = "required"


class RequestNames(StrEnum):
    """Whose names a signed request gets. What the caller says always wins over the request."""

    CALLER_ONLY = "caller_only"
    REQUEST_IF_CALLER_GIVES_NONE = "request_if_caller_gives_none"


class DNSLabels(StrEnum):
    """Whether dNSName entries may have underscores, which the CA/Browser Forum forbids."""

    ANY = "any"
    WITHOUT_UNDERSCORE = "without_underscore"


@dataclass(frozen=True, slots=True, kw_only=True)
class Lifetimes:
    """How long from the moment of issuance a certificate may be good for."""

    minimum: timedelta
    default: timedelta
    maximum: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """One kind of certificate."""

    name: str
    role: Role
    key_usages: frozenset[KeyUsage]
    extended_key_usages: tuple[ExtendedKeyUsage, ...]
    lifetimes: Lifetimes
    san_types: frozenset[SanType]
    san_presence: SanPresence
    request_names: RequestNames
    dns_labels: DNSLabels = DNSLabels.ANY
    most_sans: int = 100


CLIENT: Final = Profile(
    name="client",
    role=Role.END_ENTITY,
    key_usages=frozenset({KeyUsage.DIGITAL_SIGNATURE}),
    extended_key_usages=(ExtendedKeyUsage.CLIENT_AUTH,),
    lifetimes=Lifetimes(minimum=timedelta(seconds=1), default=timedelta(days=90), maximum=timedelta(days=3650)),
    san_types=frozenset(SanType),
    san_presence=SanPresence.OPTIONAL,
    request_names=RequestNames.REQUEST_IF_CALLER_GIVES_NONE,
)
SERVER: Final = Profile(
    name="server",
    role=Role.END_ENTITY,
    key_usages=frozenset({KeyUsage.DIGITAL_SIGNATURE}),
    extended_key_usages=(ExtendedKeyUsage.SERVER_AUTH,),
    lifetimes=Lifetimes(minimum=timedelta(seconds=1), default=timedelta(days=90), maximum=timedelta(days=398)),
    san_types=frozenset({SanType.DNS, SanType.IP}),
    san_presence=SanPresence.REQUIRED,
    request_names=RequestNames.CALLER_ONLY,
    dns_labels=DNSLabels.WITHOUT_UNDERSCORE,
)
ROOT: Final = Profile(
    name="root",
    role=Role.AUTHORITY,
    key_usages=frozenset({KeyUsage.KEY_CERT_SIGN, KeyUsage.CRL_SIGN}),
    extended_key_usages=(),
    lifetimes=Lifetimes(minimum=timedelta(seconds=1), default=timedelta(days=3650), maximum=timedelta(days=9131)),
    san_types=frozenset(),
    san_presence=SanPresence.OPTIONAL,
    request_names=RequestNames.CALLER_ONLY,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """What a certificate is to call its subject. Make it with `Names.of`, which checks."""

    common_name: str | None
    sans: tuple[SubjectAlternativeName, ...]

    @classmethod
    def of(
        cls,
        common_name: str | None = None,
        *,
        dns: Iterable[str] = (),
        uris: Iterable[str] = (),
        emails: Iterable[str] = (),
        ips: Iterable[str] = (),
    ) -> Names:
        """Names in the texts of `SubjectAlternativeName`, each once; raises IssuanceError that names the field."""
        given = {SanType.DNS: dns, SanType.URI: uris, SanType.EMAIL: emails, SanType.IP: ips}
        values = ((san_type, value) for san_type, several in given.items() for value in _several(san_type, several))
        return cls.from_values(common_name, values)

    @classmethod
    def from_values(cls, common_name: str | None, values: Iterable[tuple[SanType, str]]) -> Names:
        """As `of`, from pairs of type and text."""
        sans = tuple(dict.fromkeys([_san(san_type, value) for san_type, value in values]))
        return cls(common_name=None if common_name is None else checked_common_name(common_name), sans=sans)

    @property
    def subject(self) -> x509.Name:
        """The subject: the common name, or empty."""
        if self.common_name is None:
            return x509.Name([])
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, self.common_name)])

    def __bool__(self) -> bool:
        return self.common_name is not None or bool(self.sans)

    def __str__(self) -> str:
        common_name = () if self.common_name is None else (f"CN={self.common_name}",)
        return ", ".join((*common_name, *map(str, self.sans)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Validity:
    """notBefore and notAfter, UTC-aware and in whole seconds."""

    not_before: datetime
    not_after: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Issuer:
    """What a certificate takes from the one above it: its name, its key's identifier, and its end."""

    name: x509.Name
    authority_key_identifier: x509.AuthorityKeyIdentifier
    not_before: datetime
    not_after: datetime

    @classmethod
    def of(cls, certificate: x509.Certificate) -> Issuer:
        """The issuer whose certificate this is; raises IssuanceError if it has no subject key identifier."""
        try:
            identifier = certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
        except x509.ExtensionNotFound:
            raise IssuanceError("issuer: expected a certificate with a subject key identifier, got none") from None
        return cls(
            name=certificate.subject,
            authority_key_identifier=x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier),
            not_before=certificate.not_valid_before_utc,
            not_after=certificate.not_valid_after_utc,
        )


def check_names(profile: Profile, names: Names) -> None:
    """Raises IssuanceError, which names the field, where `profile` does not allow `names`."""
    if not names:
        raise IssuanceError("subject: expected a common name or a subject alternative name, got neither")
    if profile.san_presence is SanPresence.REQUIRED and not names.sans:
        raise IssuanceError(f"subject_alternative_name: expected one for the profile {profile.name!r}, got none")
    if len(names.sans) > profile.most_sans:
        raise IssuanceError(f"subject_alternative_name: expected at most {profile.most_sans}, got {len(names.sans)}")
    for san in names.sans:
        _check_san(profile, san)
    spiffe = [san.value for san in names.sans if san.type is SanType.URI and san.value[:9].lower() == "spiffe://"]
    if len(spiffe) > 1:
        raise IssuanceError(f"subject_alternative_name: expected at most one SPIFFE id, got {len(spiffe)}")


def validity(profile: Profile, *, now: datetime, lifetime: timedelta | None, issuer: Issuer | None) -> Validity:
    """From 30 s before `now` (UTC-aware) to `lifetime` after it, the profile's default without one.

    Raises IssuanceError for a lifetime outside the profile's and for a life that begins before the issuer's or
    ends after it.
    """
    allowed = profile.lifetimes
    wanted = allowed.default if lifetime is None else lifetime
    if not allowed.minimum <= wanted <= allowed.maximum:
        raise IssuanceError(
            f"lifetime: expected {allowed.minimum} to {allowed.maximum} for the profile {profile.name!r}, got {wanted}"
        )
    moment = now.replace(microsecond=0)
    found = Validity(not_before=moment - BACKDATING, not_after=moment + wanted)
    if issuer is not None and not (issuer.not_before <= found.not_before and found.not_after <= issuer.not_after):
        raise IssuanceError(
            f"lifetime: expected a life within the issuer's from {issuer.not_before.isoformat()} to "
            f"{issuer.not_after.isoformat()}, got {found.not_before.isoformat()} to {found.not_after.isoformat()}"
        )
    return found


def certificate_builder(
    profile: Profile,
    *,
    names: Names,
    public_key: PublicKey,
    issuer: Issuer | None,
    serial_number: int,
    validity: Validity,
) -> x509.CertificateBuilder:
    """The certificate to be signed. Without `issuer` it is self-signed. The names have passed `check_names`."""
    subject, key_identifier = names.subject, x509.SubjectKeyIdentifier.from_public_key(public_key)
    above = (
        x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(key_identifier)
        if issuer is None
        else issuer.authority_key_identifier
    )
    extensions = [*_fixed_extensions(profile), _extension(key_identifier), _extension(above)]
    if names.sans:
        # Critical only where there is no subject (RFC 5280, 4.2.1.6).
        sans = x509.SubjectAlternativeName([san.general_name() for san in names.sans])
        extensions.append(x509.Extension(sans.oid, names.common_name is None, sans))
    return x509.CertificateBuilder(
        issuer_name=subject if issuer is None else issuer.name,
        subject_name=subject,
        public_key=public_key,
        serial_number=serial_number,
        not_valid_before=validity.not_before.replace(tzinfo=None),
        not_valid_after=validity.not_after.replace(tzinfo=None),
        extensions=extensions,
    )


def checked_common_name(text: str, *, longest: int = LONGEST_COMMON_NAME) -> str:
    """A common name of 1 to 64 octets of UTF-8, printable, no white space around it; raises IssuanceError."""
    if not isinstance(text, str):
        raise IssuanceError(f"common_name: expected a str, got {type(text).__name__}")
    if not text.isprintable() or text != text.strip():
        raise IssuanceError(f"common_name: expected printable text without white space around it, got {text[:80]!r}")
    if not 0 < len(text.encode()) <= longest:
        raise IssuanceError(f"common_name: expected 1 to {longest} octets, got {len(text.encode())}")
    return text


def _several(san_type: SanType, values: Iterable[str]) -> Iterable[str]:
    if isinstance(values, str | bytes):
        raise IssuanceError(f"{san_type}: expected several names, got the one text {values!r}")
    return values


def _san(san_type: SanType, value: str) -> SubjectAlternativeName:
    if not isinstance(value, str):
        raise IssuanceError(f"{san_type}: expected a str, got {type(value).__name__}")
    try:
        return SubjectAlternativeName.of(san_type, value)
    except InvalidName as error:
        raise IssuanceError(f"{san_type}: {error}") from None


def _check_san(profile: Profile, san: SubjectAlternativeName) -> None:
    if san.type not in profile.san_types:
        allowed = ", ".join(sorted(profile.san_types)) or "none"
        raise IssuanceError(
            f"{san.type}: expected SAN types {allowed} for the profile {profile.name!r}, got {san.type}"
        )
    if profile.dns_labels is DNSLabels.WITHOUT_UNDERSCORE and san.type is SanType.DNS and "_" in san.value:
        raise IssuanceError(f"{san.type}: expected a hostname without an underscore, got {san.value!r}")


@lru_cache(maxsize=64)
def _fixed_extensions(profile: Profile) -> tuple[x509.Extension[x509.ExtensionType], ...]:
    fixed: list[x509.Extension[x509.ExtensionType]] = [
        x509.Extension(
            x509.BasicConstraints.oid, True, x509.BasicConstraints(profile.role is Role.AUTHORITY, path_length=None)
        ),
        x509.Extension(x509.KeyUsage.oid, True, _key_usage(profile.key_usages)),
    ]
    if profile.extended_key_usages:
        fixed.append(_extension(x509.ExtendedKeyUsage([_PURPOSES[usage] for usage in profile.extended_key_usages])))
    return tuple(fixed)


def _extension(value: x509.ExtensionType) -> x509.Extension[x509.ExtensionType]:
    return x509.Extension(value.oid, False, value)


def _key_usage(usages: frozenset[KeyUsage]) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=KeyUsage.DIGITAL_SIGNATURE in usages,
        key_cert_sign=KeyUsage.KEY_CERT_SIGN in usages,
        crl_sign=KeyUsage.CRL_SIGN in usages,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


_PURPOSES = {
    ExtendedKeyUsage.CLIENT_AUTH: ExtendedKeyUsageOID.CLIENT_AUTH,
    ExtendedKeyUsage.SERVER_AUTH: ExtendedKeyUsageOID.SERVER_AUTH,
}
