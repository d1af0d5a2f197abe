"""Hostnames and subject alternative names. Owns the one canonicaliser: no other module lower-cases a name.

`Hostname.parse` takes what a server name indication, a Host header, an `:authority` or an operator says and
gives the one spelling that everything compares: lower case, no trailing dot, no port, A-labels (RFC 5890).
What it cannot make sense of it refuses; it never guesses.
"""

from __future__ import annotations

import ipaddress
import re
import unicodedata
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache

import idna
from cryptography import x509

from mtlskit.errors import InvalidName

_LONGEST_NAME = 253  # RFC 1035, 2.3.4: 255 octets on the wire
_LONGEST_INPUT = 1024  # nothing longer can become a name; bounds the work on peer input
# Letters, digits and hyphens (RFC 1123, 2.1), and the underscore, which real zones use below the registered domain.
_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?", re.ASCII)
# A name whose last label is a number is an IPv4 address in some spelling to many clients (WHATWG URL, 3.5).
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*", re.ASCII)
_PORT = re.compile(r"[0-9]{1,5}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Hostname:
    """A DNS hostname in its one canonical spelling. Make it with `Hostname.parse`."""

    name: str

    def __post_init__(self) -> None:
        _check_labels(self.name, of=self.name)

    @classmethod
    def parse(cls, text: str) -> Hostname:
        """The hostname that `text` (`name` or `name:port`, any case, one trailing dot, U- or A-labels) says.

        Raises InvalidName for anything else: IP literals in any spelling, wildcards, empty labels, user
        information, white space, NUL.
        """
        if not isinstance(text, str):
            raise InvalidName(f"expected a hostname as str, got {type(text).__name__}")
        return _parse(text)

    def parent(self) -> str:
        """All but the leftmost label; empty for a name of one label."""
        return self.name.partition(".")[2]

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class HostnamePattern:
    """An exact hostname, or a wildcard that stands for exactly one leftmost label (`*.saas.example`)."""

    base: Hostname
    wildcard: bool = False

    @classmethod
    def parse(cls, text: str) -> HostnamePattern:
        """`pay.acme.example` or `*.acme.example`; raises InvalidName for another form, a port among them."""
        if not isinstance(text, str):
            raise InvalidName(f"expected a hostname pattern as str, got {type(text).__name__}")
        if ":" in text:
            raise InvalidName(f"expected a hostname pattern without a port, got {_shown(text)}")
        if not text.startswith("*."):
            return cls(Hostname.parse(text))
        base = Hostname.parse(text[2:])
        if "." not in base.name:
            raise InvalidName(f"expected at least two labels after the wildcard, got {_shown(text)}")
        return cls(base, wildcard=True)

    def matches(self, hostname: Hostname) -> bool:
        """Whether this pattern covers `hostname`: equal, or a wildcard over exactly its first label."""
        if self.wildcard:
            return hostname.parent() == self.base.name
        return hostname == self.base

    def __str__(self) -> str:
        return f"*.{self.base.name}" if self.wildcard else self.base.name


def pattern_keys(hostname: Hostname) -> tuple[str, ...]:
    """The texts of the patterns that could cover `hostname`, the most specific first."""
    parent = hostname.parent()
    return (hostname.name, f"*.{parent}") if "." in parent else (hostname.name,)


class SanType(StrEnum):
    """The types of subject alternative name (RFC 5280, 4.2.1.6) that have a text form here."""

    DNS = "dns"
    URI = "uri"
    EMAIL = "email"
    IP = "ip"


@dataclass(frozen=True, slots=True)
class SubjectAlternativeName:
    """One SAN entry: its type and its value as the certificate has it. `str()` gives `dns:pay.acme.example`."""

    type: SanType
    value: str

    def __post_init__(self) -> None:
        """Raises InvalidName for what is no type; its text will do."""
        if type(self.type) is not SanType:
            object.__setattr__(self, "type", _san_type(self.type))

    @classmethod
    def parse(cls, text: str) -> SubjectAlternativeName:
        """From `dns:`, `uri:`, `email:` or `ip:` and a value; raises InvalidName."""
        kind, colon, value = text.partition(":")
        if not colon or not value or kind not in SanType.__members__.values():
            raise InvalidName(f"expected 'dns:', 'uri:', 'email:' or 'ip:' and a value, got {_shown(text)}")
        return cls.of(SanType(kind), value)

    @classmethod
    def of(cls, san_type: SanType, value: str) -> SubjectAlternativeName:
        """A checked entry of `san_type`; raises InvalidName if `value` has not that type's form."""
        return cls(san_type, _SAN_FORMS[_san_type(san_type)](value))

    @classmethod
    def from_general_name(cls, name: x509.GeneralName) -> SubjectAlternativeName | None:
        """From a parsed entry; None for the types that have no text form here (directoryName, otherName, ...)."""
        match name:
            case x509.DNSName():
                return cls(SanType.DNS, name.value)
            case x509.UniformResourceIdentifier():
                return cls(SanType.URI, name.value)
            case x509.RFC822Name():
                return cls(SanType.EMAIL, name.value)
            case x509.IPAddress():
                return cls(SanType.IP, str(name.value))
            case _:
                return None

    def general_name(self) -> x509.GeneralName:
        """The entry as `cryptography` builds it."""
        match self.type:
            case SanType.DNS:
                return x509.DNSName(self.value)
            case SanType.URI:
                return x509.UniformResourceIdentifier(self.value)
            case SanType.EMAIL:
                return x509.RFC822Name(self.value)
            case SanType.IP:
                return x509.IPAddress(ipaddress.ip_address(self.value))

    def __str__(self) -> str:
        return f"{self.type.value}:{self.value}"


def matches_reference(sans: Iterable[SubjectAlternativeName], reference: str) -> bool:
    """Whether a server's SAN entries hold the DNS name or IP address that was asked for (RFC 9525, 6).

    A DNS name matches a dNSName, an address an iPAddress; the common name is not looked at. A wildcard is only
    the whole leftmost label and stands for exactly one. What cannot be parsed matches nothing.
    """
    try:
        address = str(ipaddress.ip_address(reference.strip("[]")))
    except ValueError:
        return _matches_hostname(sans, reference)
    return SubjectAlternativeName(SanType.IP, address) in sans


def _matches_hostname(sans: Iterable[SubjectAlternativeName], reference: str) -> bool:
    try:
        hostname = Hostname.parse(reference)
    except InvalidName:
        return False
    return any(san.type is SanType.DNS and _covers(san.value, hostname) for san in sans)


def _covers(presented: str, hostname: Hostname) -> bool:
    try:
        return HostnamePattern.parse(presented).matches(hostname)
    except InvalidName:
        return False


@lru_cache(maxsize=4096)
def _parse(text: str) -> Hostname:
    if len(text) > _LONGEST_INPUT:
        raise InvalidName(f"expected a hostname of at most {_LONGEST_NAME} octets, got {len(text)} characters")
    name = _to_ascii(_without_port(text)).lower()
    return Hostname(name.removesuffix("."))


def _without_port(text: str) -> str:
    name, colon, port = text.partition(":")
    if colon and (not _PORT.fullmatch(port) or int(port) > 65535):
        raise InvalidName(f"expected a hostname, or one with a port, got {_shown(text)}")
    return name


def _to_ascii(text: str) -> str:
    if text.isascii():
        return text
    # IDNA 2008 without the compatibility mappings: a full-width or look-alike spelling is refused, not folded.
    folded = unicodedata.normalize("NFC", text.lower())
    try:
        return idna.encode(folded, strict=True, std3_rules=True).decode("ascii")
    except (idna.IDNAError, UnicodeError):
        raise InvalidName(f"expected a hostname that IDNA 2008 allows, got {_shown(text)}") from None


def _check_labels(name: str, of: str) -> None:
    if not name or len(name) > _LONGEST_NAME:
        raise InvalidName(f"expected a hostname of 1 to {_LONGEST_NAME} octets, got {_shown(of)}")
    labels = name.split(".")
    if not all(map(_LABEL.fullmatch, labels)):
        raise InvalidName(f"expected labels of letters, digits and hyphens, got {_shown(of)}")
    if _NUMBER.fullmatch(labels[-1]):
        raise InvalidName(f"expected a hostname, not an IP address, got {_shown(of)}")


def _dns(value: str) -> str:
    return str(HostnamePattern.parse(value))


def _uri(value: str) -> str:
    scheme, colon, rest = value.partition(":")
    if not (colon and rest and re.fullmatch(r"[A-Za-z][A-Za-z0-9+.-]*", scheme) and _is_visible_ascii(value)):
        raise InvalidName(f"expected an absolute URI in ASCII, got {_shown(value)}")
    return value


def _email(value: str) -> str:
    local, at, host = value.rpartition("@")
    if not (at and local and _is_visible_ascii(local) and "@" not in local and ":" not in host):
        raise InvalidName(f"expected an e-mail address in ASCII, got {_shown(value)}")
    return f"{local}@{Hostname.parse(host)}"


def _ip(value: str) -> str:
    # A zone (RFC 4007, 11) says which link of one machine; a certificate has no place for it, and it can be any text.
    with suppress(ValueError):
        if "%" not in value:
            return str(ipaddress.ip_address(value))
    raise InvalidName(f"expected an IP address without a zone, got {_shown(value)}")


# An entry whose type is a mere text would be passed over by every `is`.
def _san_type(given: str) -> SanType:
    try:
        return SanType(given)
    except ValueError:
        raise InvalidName(f"expected a type of name among {', '.join(SanType)}, got {given!r:.80}") from None


_SAN_FORMS = {SanType.DNS: _dns, SanType.URI: _uri, SanType.EMAIL: _email, SanType.IP: _ip}


def _is_visible_ascii(text: str) -> bool:
    return all("!" <= character <= "~" for character in text)


def _shown(text: str) -> str:
    return repr(text if len(text) <= 80 else text[:80] + "...")
