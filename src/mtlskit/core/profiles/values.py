"""Certificate profiles as values: everything about a certificate but its names, its key and its moment.

A profile of one's own is a value too: `dataclasses.replace(CLIENT, name="sensor", ...)`.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from enum import StrEnum
from typing import Final

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
    """How long from the moment of issuance a certificate may be good for. Raises ConfigurationError for others."""

    minimum: timedelta
    default: timedelta
    maximum: timedelta

    def __post_init__(self) -> None:
        if not timedelta(0) < self.minimum <= self.default <= self.maximum:
            raise ConfigurationError(
                f"expected lifetimes of more than nothing, the default between the others, got {self.minimum}, "
                f"{self.default} and {self.maximum}"
            )


@dataclass(frozen=True, slots=True)
class SanRule:
    """Which SAN entries of one type a profile allows: those inside of `base`.

    `dns`: a hostname, and the names below it. `email`: a host, or one address. `ip`: an address or a network. `uri`:
    what the text begins with; it ends with `/` or `:`, so that no longer host begins with it.
    """

    type: SanType
    base: str

    def __post_init__(self) -> None:
        """Raises ConfigurationError for a base that has not its form."""
        if not _FORMS[self.type](self.base):
            raise ConfigurationError(f"expected the base of a {self.type} rule in its form, got {self.base!r}")

    def allows(self, san: SubjectAlternativeName) -> bool:
        """Whether the entry is of this type and inside."""
        return san.type is self.type and _INSIDE[self.type](san.value, self.base)


def _is_host(base: str) -> bool:
    try:
        return Hostname.parse(base).name == base
    except InvalidName:
        return False


def _is_network(base: str) -> bool:
    try:
        ipaddress.ip_network(base)
    except ValueError:
        return False
    return True


_FORMS: Final[Mapping[SanType, Callable[[str], bool]]] = {
    SanType.DNS: _is_host,
    SanType.EMAIL: lambda base: _is_host(base.rpartition("@")[2]),
    SanType.IP: _is_network,
    SanType.URI: lambda base: base.isascii() and base.endswith(("/", ":")) and base != ":",
}
_INSIDE: Final[Mapping[SanType, Callable[[str, str], bool]]] = {
    SanType.DNS: lambda name, base: name.removeprefix("*.") == base or name.endswith(f".{base}"),
    SanType.EMAIL: lambda address, base: address == base or address.endswith(f"@{base}"),
    SanType.IP: lambda address, base: ipaddress.ip_address(address) in ipaddress.ip_network(base),
    SanType.URI: lambda uri, base: uri.startswith(base) and uri != base,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """One kind of certificate.

    `san_rules` bind each SAN entry of a type for which there are some: one of them must allow it. `required_sans`
    are the types of which there must be one. `most_sans` bounds the number of entries. Raises ConfigurationError for
    an end entity that is to sign certificates or lists (RFC 5280, 4.2.1.3 and 4.2.1.9).
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
    most_sans: int = 100
    san_rules: tuple[SanRule, ...] = ()
    required_sans: frozenset[SanType] = frozenset()

    def __post_init__(self) -> None:
        if self.role is Role.END_ENTITY and self.key_usages & {KeyUsage.KEY_CERT_SIGN, KeyUsage.CRL_SIGN}:
            raise ConfigurationError(
                f"expected an end entity that signs no certificates and no lists, got the profile {self.name!r}"
            )


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
# An authority below another one.
INTERMEDIATE: Final = replace(
    ROOT,
    name="intermediate",
    lifetimes=Lifetimes(minimum=timedelta(seconds=1), default=timedelta(days=1825), maximum=timedelta(days=9131)),
)
# The key of one generation of an authority certified by another, so that who trusts either follows (RFC 4158, 1.5).
CROSS: Final = replace(INTERMEDIATE, name="cross")


def spiffe(trust_domain: str, *, name: str = "spiffe") -> Profile:
    """The profile of X.509-SVIDs of one trust domain: one SPIFFE id, for both sides of a connection, an hour long.

    Raises ConfigurationError for what is no trust domain.
    """
    rule = SanRule(SanType.URI, f"spiffe://{trust_domain}/")
    if not _is_host(trust_domain):
        raise ConfigurationError(f"expected a SPIFFE trust domain, got {trust_domain!r}")
    return replace(
        CLIENT,
        name=name,
        extended_key_usages=(ExtendedKeyUsage.CLIENT_AUTH, ExtendedKeyUsage.SERVER_AUTH),
        lifetimes=Lifetimes(minimum=timedelta(minutes=1), default=timedelta(hours=1), maximum=timedelta(days=7)),
        san_types=frozenset({SanType.URI, SanType.DNS}),
        san_presence=SanPresence.REQUIRED,
        san_rules=(rule,),
        required_sans=frozenset({SanType.URI}),
    )
