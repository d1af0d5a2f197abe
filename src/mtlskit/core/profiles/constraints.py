"""What an authority may issue, as its own certificate says it (RFC 5280, 4.2.1.9, 4.2.1.10 and 4.2.1.12)."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import Any, Final, cast

from cryptography import x509

from mtlskit.core.given import member, number, several
from mtlskit.core.names import Hostname, HostnamePattern, SanType
from mtlskit.core.profiles.values import ExtendedKeyUsage
from mtlskit.errors import ConfigurationError, InvalidName, IssuanceError


@dataclass(frozen=True, slots=True)
class NameSubtree:
    """The names of one type below a base: a host for `dns`, `email` and `uri`, a network for `ip`."""

    type: SanType
    base: str

    def __post_init__(self) -> None:
        """Raises IssuanceError for a base that has not its form, and ConfigurationError for another type."""
        object.__setattr__(self, "type", member(SanType, self.type, "the type of a subtree"))
        try:
            form = _network(self.base) if self.type is SanType.IP else Hostname.parse(self.base).name
        except (InvalidName, TypeError, ValueError):
            raise IssuanceError(
                f"name_constraints: expected the base of a {self.type} subtree, got {self.base!r}"
            ) from None
        object.__setattr__(self, "base", form)

    def general_name(self) -> x509.GeneralName:
        """The base as `cryptography` builds it."""
        match self.type:
            case SanType.DNS:
                return x509.DNSName(self.base)
            case SanType.EMAIL:
                return x509.RFC822Name(self.base)
            case SanType.URI:
                return x509.UniformResourceIdentifier(self.base)
            case SanType.IP:
                return x509.IPAddress(ipaddress.ip_network(self.base))


def _network(base: str) -> str:
    if not isinstance(base, str):
        raise TypeError("expected a text, got another kind of value")
    if "%" in base:
        raise ValueError("expected a network without a zone, got one with")
    return str(ipaddress.ip_network(base))


_EVERY_ADDRESS: Final = (NameSubtree(SanType.IP, "0.0.0.0/0"), NameSubtree(SanType.IP, "::/0"))


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthorityConstraints:
    """The limits in an authority's certificate.

    `path_length` is how many authorities may follow below it (None: any number). `extended_key_usages` are the
    purposes of what it issues (none: any). A name of a type with `permitted` subtrees must be in one of these; none may
    be in one of `excluded`. What stands in a certificate of somebody else may be of kinds that only its own types say.
    Raises ConfigurationError for another kind of value.
    """

    path_length: int | None = None
    extended_key_usages: tuple[ExtendedKeyUsage | x509.ObjectIdentifier, ...] = ()
    permitted: tuple[NameSubtree | x509.GeneralName, ...] = ()
    excluded: tuple[NameSubtree | x509.GeneralName, ...] = ()

    def __post_init__(self) -> None:
        if self.path_length is not None:
            number(self.path_length, "path_length")
        usages = several(self.extended_key_usages, "extended_key_usages")
        object.__setattr__(self, "extended_key_usages", tuple(map(_usage, usages)))
        for field in ("permitted", "excluded"):
            object.__setattr__(
                self, field, tuple(_subtree(each, field) for each in several(getattr(self, field), field))
            )

    @classmethod
    def of(cls, certificate: x509.Certificate) -> AuthorityConstraints:
        """Those in an authority's certificate."""
        found = {extension.oid: extension.value for extension in certificate.extensions}
        names: Any = found.get(x509.NameConstraints.oid)
        basic: Any = found.get(x509.BasicConstraints.oid)
        return cls(
            path_length=None if basic is None else basic.path_length,
            extended_key_usages=tuple(cast("Any", found.get(x509.ExtendedKeyUsage.oid, ()))),
            permitted=() if names is None else tuple(names.permitted_subtrees or ()),
            excluded=() if names is None else tuple(names.excluded_subtrees or ()),
        )

    @classmethod
    def for_clients_of(cls, pattern: HostnamePattern | str) -> AuthorityConstraints:
        """For the authority of one custom hostname's clients.

        Its certificates are good for clients alone, and the DNS names in them are that hostname's or below it: so no
        certificate of a customer's devices passes for anybody else's server. URIs (SPIFFE ids too), email and IP
        addresses are not bound, and a common name only where it is a DNS name and there is no other name: whoever has
        this authority can certify any of them, so a policy that goes by one has to be that of a hostname which trusts
        this authority alone. One authority may follow: the cross-certificate of a rotation.
        """
        return cls._of_hostname(pattern, ExtendedKeyUsage.CLIENT_AUTH)

    @classmethod
    def for_servers_of(cls, pattern: HostnamePattern | str) -> AuthorityConstraints:
        """For the authority of one hostname's server certificates.

        That purpose, DNS names of that hostname or below it, and no IP addresses at all: a form that is not constrained
        would be free (RFC 5280, 4.2.1.10). One authority may follow, as for clients.
        """
        return cls._of_hostname(pattern, ExtendedKeyUsage.SERVER_AUTH, excluded=_EVERY_ADDRESS)

    @classmethod
    def _of_hostname(
        cls, pattern: HostnamePattern | str, usage: ExtendedKeyUsage, *, excluded: tuple[NameSubtree, ...] = ()
    ) -> AuthorityConstraints:
        parsed = HostnamePattern.parse(pattern) if isinstance(pattern, str) else pattern
        permitted = (NameSubtree(SanType.DNS, parsed.base.name),)
        return cls(path_length=1, extended_key_usages=(usage,), permitted=permitted, excluded=excluded)

    def name_constraints(self) -> x509.NameConstraints | None:
        """The extension; None where no name is constrained."""
        if not self.permitted and not self.excluded:
            return None
        permitted, excluded = list(map(_general_name, self.permitted)), list(map(_general_name, self.excluded))
        return x509.NameConstraints(permitted or None, excluded or None)


def _usage(given: object) -> ExtendedKeyUsage | x509.ObjectIdentifier:
    return given if isinstance(given, x509.ObjectIdentifier) else member(ExtendedKeyUsage, given, "extended_key_usages")


def _subtree(given: object, field: str) -> NameSubtree | x509.GeneralName:
    if isinstance(given, NameSubtree | x509.GeneralName):
        return given
    raise ConfigurationError(f"expected {field} to be NameSubtree, got {given!r:.100}")


def _general_name(subtree: NameSubtree | x509.GeneralName) -> x509.GeneralName:
    return subtree.general_name() if isinstance(subtree, NameSubtree) else subtree


NO_CONSTRAINTS: Final = AuthorityConstraints()
