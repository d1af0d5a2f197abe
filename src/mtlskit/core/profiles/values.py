"""Certificate profiles as values: everything about a certificate but its names, its key and its moment.

A profile of one's own is a value too: `dataclasses.replace(CLIENT, name="sensor", ...)`.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Final

from mtlskit.core.durations import in_units
from mtlskit.core.given import instance, instances, member, members, number
from mtlskit.core.names import Hostname, SanType, SubjectAlternativeName
from mtlskit.errors import ConfigurationError, InvalidName


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
    OCSP_SIGNING = "ocsp_signing"


class ResponderCheck(StrEnum):
    """Whether those who take an OCSP responder's word are to ask whether it is revoked itself.

    `NOT_ASKED` is id-pkix-ocsp-nocheck (RFC 6960, 4.2.2.2.1). Who then gets hold of the key speaks for the issuer for
    as long as the certificate lasts: it is to last for a short time, and may be nothing but a responder's.
    """

    ASKED = "asked"
    NOT_ASKED = "not_asked"


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


class URIForm(StrEnum):
    """What a URI entry has to be: any absolute URI, or the SPIFFE id of a workload (SPIFFE-ID, 2)."""

    ANY = "any"
    SPIFFE_ID = "spiffe_id"


@dataclass(frozen=True, slots=True, kw_only=True)
class Lifetimes:
    """How long from the moment of issuance a certificate may be good for. Raises ConfigurationError for others."""

    minimum: timedelta
    default: timedelta
    maximum: timedelta

    def __post_init__(self) -> None:
        for field in ("minimum", "default", "maximum"):
            instance(timedelta, getattr(self, field), field)
        if not timedelta(0) < self.minimum <= self.default <= self.maximum:
            raise ConfigurationError(
                "expected lifetimes of more than nothing, the default between the others, "
                f"got {in_units(self.minimum)}, {in_units(self.default)} and {in_units(self.maximum)}"
            )


@dataclass(frozen=True, slots=True)
class SanRule:
    """Which SAN entries of one type (or its text) a profile allows: those inside of `base`.

    `dns`: a hostname, and the names below it. `email`: a host, or one address. `ip`: an address or a network. `uri`:
    what the text begins with; it ends with `/` or `:`, so that no longer host begins with it.
    """

    type: SanType
    base: str

    def __post_init__(self) -> None:
        """Raises ConfigurationError for a type or a base that has not its form."""
        object.__setattr__(self, "type", member(SanType, self.type, "the type of a rule"))
        if not isinstance(self.base, str) or not _FORMS[self.type](self.base):
            raise ConfigurationError(f"expected the base of a {self.type} rule in its form, got {self.base!r}")

    def allows(self, san: SubjectAlternativeName) -> bool:
        """Whether the entry is of this type and inside."""
        return san.type is self.type and _INSIDE[self.type](san.value, self.base)


def is_host(base: str) -> bool:
    """Whether that is a hostname in its canonical form."""
    try:
        return Hostname.parse(base).name == base
    except InvalidName:
        return False


def _is_network(base: str) -> bool:
    try:
        ipaddress.ip_network(base)
    except ValueError:
        return False
    return "%" not in base  # a zone, which no certificate has


_FORMS: Final[Mapping[SanType, Callable[[str], bool]]] = {
    SanType.DNS: is_host,
    SanType.EMAIL: lambda base: is_host(base.rpartition("@")[2]),
    SanType.IP: _is_network,
    SanType.URI: lambda base: base.isascii() and base.endswith(("/", ":")) and base != ":",
}
# The profiles of authorities, and of what was issued before a take-over: the records of certificates have names alone.
_RESERVED: Final = frozenset({"root", "intermediate", "cross", "recorded"})
_INSIDE: Final[Mapping[SanType, Callable[[str, str], bool]]] = {
    SanType.DNS: lambda name, base: name.removeprefix("*.") == base or name.endswith(f".{base}"),
    SanType.EMAIL: lambda address, base: address == base or address.endswith(f"@{base}"),
    SanType.IP: lambda address, base: ipaddress.ip_address(address) in ipaddress.ip_network(base),
    SanType.URI: lambda uri, base: uri.startswith(base) and uri != base,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """One kind of certificate. Members of enumerations can be given by their texts.

    `san_rules` bind each SAN entry of a type for which there are some: one of them must allow it. `required_sans`
    are the types of which there must be one. `most_sans` bounds the number of entries. Raises ConfigurationError for
    an end entity that is to sign certificates or lists (RFC 5280, 4.2.1.3 and 4.2.1.9) or that has the name of
    an authority's profile, for one that nobody is to ask about and that is more than an OCSP responder, and for any
    field with another kind of value.
    """

    name: str
    role: Role
    key_usages: frozenset[KeyUsage]
    extended_key_usages: tuple[ExtendedKeyUsage, ...]
    lifetimes: Lifetimes
    san_types: frozenset[SanType]
    san_presence: SanPresence
    request_names: RequestNames
    dns_labels: DNSLabels = DNSLabels.ANY
    uri_form: URIForm = URIForm.ANY
    responder_check: ResponderCheck = ResponderCheck.ASKED
    most_sans: int = 100
    san_rules: tuple[SanRule, ...] = ()
    required_sans: frozenset[SanType] = frozenset()

    def __post_init__(self) -> None:
        for field, read in _FIELDS.items():
            object.__setattr__(self, field, read(getattr(self, field), field))
        if self.role is Role.END_ENTITY and self.key_usages & {KeyUsage.KEY_CERT_SIGN, KeyUsage.CRL_SIGN}:
            raise ConfigurationError(
                f"expected an end entity that signs no certificates and no lists, got the profile {self.name!r}"
            )
        if self.role is Role.END_ENTITY and self.name in _RESERVED:
            raise ConfigurationError(
                f"expected an end entity's profile with a name that stands for nothing else, got {self.name!r}"
            )
        is_responder = self.role is Role.END_ENTITY and self.extended_key_usages == (ExtendedKeyUsage.OCSP_SIGNING,)
        if self.responder_check is ResponderCheck.NOT_ASKED and not is_responder:
            raise ConfigurationError(
                f"expected a responder for OCSPSigning alone where nobody asks about it, got the profile {self.name!r}"
            )


def _name(value: object, setting: str) -> str:
    if not isinstance(value, str) or not value or not value.isprintable():
        raise ConfigurationError(f"expected {setting} to be a printable text, got {value!r:.100}")
    return str(value)


def _of(kind: type[StrEnum]) -> Callable[[object, str], StrEnum]:
    return lambda value, setting: member(kind, value, setting)


def _set_of(kind: type[StrEnum]) -> Callable[[object, str], frozenset[StrEnum]]:
    return lambda values, setting: frozenset(members(kind, values, setting))


# How each field is read.
_FIELDS: Final[Mapping[str, Callable[[object, str], object]]] = {
    "name": _name,
    "role": _of(Role),
    "key_usages": _set_of(KeyUsage),
    "extended_key_usages": lambda values, setting: members(ExtendedKeyUsage, values, setting),
    "lifetimes": lambda value, setting: instance(Lifetimes, value, setting),
    "san_types": _set_of(SanType),
    "san_presence": _of(SanPresence),
    "request_names": _of(RequestNames),
    "dns_labels": _of(DNSLabels),
    "uri_form": _of(URIForm),
    "responder_check": _of(ResponderCheck),
    "most_sans": number,
    "san_rules": lambda values, setting: instances(SanRule, values, setting),
    "required_sans": _set_of(SanType),
}
