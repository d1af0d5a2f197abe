"""The rules of access policies: typed, exact comparisons with what a verified certificate says. Owns how each compares.

Names are compared as values of their type, never as rendered text, and there are no regular expressions (I9). A rule
has one canonical `key`, and a verified certificate has *keys* of the same kind; the rule matches if its key is among
them. What a certificate says in a form with more than one reading (two common names, a string type or a SAN value
that cannot be read) gives the key `UNREADABLE`: it never matches, and where a match would shut the client out, denies.
"""

from __future__ import annotations

import hashlib
import string
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache, partial
from typing import TypeAlias, assert_never

from cryptography import x509
from cryptography.x509.oid import NameOID

from mtlskit.core.certificates import ClientIdentity, to_der
from mtlskit.core.names import SanType, SubjectAlternativeName
from mtlskit.errors import ConfigurationError, InvalidName

UNREADABLE = None
_SHA256_DIGITS = 64
_LONGEST_SERIAL = 20  # octets (RFC 5280, 4.1.2.2)
_HEXADECIMAL = frozenset(string.hexdigits)


class Selector(StrEnum):
    """What of a certificate a rule looks at."""

    CERTIFICATE = "certificate"
    COMMON_NAME = "common_name"
    DNS = "dns"
    URI = "uri"
    EMAIL = "email"
    IP = "ip"
    FINGERPRINT = "fingerprint"
    SERIAL = "serial"


@dataclass(frozen=True, slots=True)
class AnyValidCertificate:
    """Matches every client whose certificate was verified for this hostname."""


@dataclass(frozen=True, slots=True)
class CommonName:
    """Matches the subject's only common name, character by character."""

    value: str

    def __post_init__(self) -> None:
        if not isinstance(self.value, str) or not self.value or "\0" in self.value:
            raise ConfigurationError(f"expected a common name as non-empty text without NUL, got {self.value!r}")


@dataclass(frozen=True, slots=True)
class San:
    """Matches a subject alternative name of the same type and, in that type's canonical form, the same value."""

    name: SubjectAlternativeName

    def __post_init__(self) -> None:
        if not isinstance(self.name, SubjectAlternativeName):
            raise ConfigurationError(f"expected a SubjectAlternativeName, got {self.name!r}")
        canonical = _canonical(self.name.type, self.name.value)
        if canonical is None:
            raise InvalidName(f"expected a value of the form of {self.name.type.value!r}, got {self.name.value!r}")
        object.__setattr__(self, "name", SubjectAlternativeName(self.name.type, canonical))


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """Matches one certificate: SHA-256 of its DER, 64 lower-case hexadecimal digits."""

    sha256: str

    def __post_init__(self) -> None:
        digits = _hexadecimal(self.sha256)
        if digits is None or len(digits) != _SHA256_DIGITS:
            raise ConfigurationError(f"expected SHA-256 as 64 hexadecimal digits, got {self.sha256!r}")
        object.__setattr__(self, "sha256", digits)


@dataclass(frozen=True, slots=True)
class Serial:
    """Matches the certificate's serial number, which is unique for its issuer only (RFC 5280, 4.1.2.2)."""

    number: int

    def __post_init__(self) -> None:
        is_number = isinstance(self.number, int) and not isinstance(self.number, bool)
        if not is_number or not 0 < self.number < 1 << (8 * _LONGEST_SERIAL):
            raise ConfigurationError(f"expected a positive serial number of at most 20 octets, got {self.number!r}")


Rule: TypeAlias = AnyValidCertificate | CommonName | San | Fingerprint | Serial


def any_valid_certificate() -> AnyValidCertificate:
    """Any certificate that was verified for the hostname: `{"certificate": {}}`."""
    return AnyValidCertificate()


def common_name(value: str) -> CommonName:
    """The subject's common name, if it has exactly one. Raises ConfigurationError for an empty one."""
    return CommonName(value)


def san(text: str) -> San:
    """A subject alternative name as `dns:`, `uri:`, `email:` or `ip:` and its value; raises InvalidName."""
    return San(SubjectAlternativeName.parse(text))


def dns(value: str) -> San:
    """A dNSName: equal after `Hostname.parse`. `*.acme.example` matches that very entry, not what it covers."""
    return San(SubjectAlternativeName.of(SanType.DNS, value))


def uri(value: str) -> San:
    """A uniformResourceIdentifier, character by character; raises InvalidName."""
    return San(SubjectAlternativeName.of(SanType.URI, value))


def email(value: str) -> San:
    """An rfc822Name: the local part exactly, the domain as a hostname (RFC 5280, 7.5); raises InvalidName."""
    return San(SubjectAlternativeName.of(SanType.EMAIL, value))


def ip(value: str) -> San:
    """An iPAddress, compared as an address; raises InvalidName."""
    return San(SubjectAlternativeName.of(SanType.IP, value))


def fingerprint(sha256: str) -> Fingerprint:
    """SHA-256 of the certificate's DER in hexadecimal, of any case, with or without colons."""
    return Fingerprint(sha256)


def serial(number: int | str) -> Serial:
    """A serial number, as int or in hexadecimal of any case, with or without colons; raises ConfigurationError."""
    if not isinstance(number, str):
        return Serial(number)
    digits = _hexadecimal(number)
    if digits is None:
        raise ConfigurationError(f"expected a serial number in hexadecimal, got {number!r}")
    return Serial(int(digits, 16))


def key_of(rule: Rule) -> tuple[Selector, Hashable]:
    """What the rule looks at, and the one key that it wants there."""
    match rule:
        case AnyValidCertificate():
            return Selector.CERTIFICATE, True
        case CommonName(value):
            return Selector.COMMON_NAME, value
        case San(name):
            return Selector(name.type.value), name.value
        case Fingerprint(sha256):
            return Selector.FINGERPRINT, sha256
        case Serial(number):
            return Selector.SERIAL, number
        case _:
            assert_never(rule)


def keys_reader(selector: Selector) -> Callable[[ClientIdentity], Sequence[Hashable]]:
    """The function that gives the keys of a verified client's certificate under `selector`, `UNREADABLE` among them."""
    match selector:
        case Selector.CERTIFICATE:
            return lambda identity: (True,)
        case Selector.COMMON_NAME:
            return _common_name_keys
        case Selector.DNS | Selector.URI | Selector.EMAIL | Selector.IP:
            return _san_reader(SanType(selector.value))
        case Selector.FINGERPRINT:
            return lambda identity: (_fingerprint(identity.certificate),)
        case Selector.SERIAL:
            return lambda identity: (identity.serial_number,)
        case _:
            assert_never(selector)


def _common_name_keys(identity: ClientIdentity) -> Sequence[Hashable]:
    name = identity.common_name
    if name is not None:
        return (name,)
    return (UNREADABLE,) if identity.certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME) else ()


def _san_reader(san_type: SanType) -> Callable[[ClientIdentity], Sequence[Hashable]]:
    canonical = _CANONICAL[san_type]

    def read(identity: ClientIdentity) -> Sequence[Hashable]:
        return [canonical(name.value) for name in identity.sans if name.type is san_type]

    return read


def _canonical(san_type: SanType, value: str) -> str | None:
    """The value in the one spelling that is compared, or UNREADABLE if it has not its type's form."""
    if san_type is SanType.EMAIL and ":" in value.rpartition("@")[2]:
        return None  # a domain has no port, though a hostname's text may
    try:
        return SubjectAlternativeName.of(san_type, value).value
    except InvalidName:
        return None


# Bounded, and filled with the names of verified certificates only (I12).
_CANONICAL = {san_type: lru_cache(maxsize=4096)(partial(_canonical, san_type)) for san_type in SanType}


@lru_cache(maxsize=1024)
def _fingerprint(certificate: x509.Certificate) -> str:
    return hashlib.sha256(to_der(certificate)).hexdigest()


def _hexadecimal(text: object) -> str | None:
    digits = text.replace(":", "").lower() if isinstance(text, str) else ""
    return digits if digits and _HEXADECIMAL.issuperset(digits) else None
