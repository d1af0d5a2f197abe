"""What an authority may issue, as its own certificate says it (RFC 5280, 4.2.1.9, 4.2.1.10 and 4.2.1.12)."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import Any, Final, cast

from cryptography import x509

from mtlskit.core.names import Hostname, HostnamePattern, SanType
from mtlskit.core.profiles.values import ExtendedKeyUsage
from mtlskit.errors import InvalidName, IssuanceError


@dataclass(frozen=True, slots=True)
class NameSubtree:
    """The names of one type below a base: a host for `dns`, `email` and `uri`, a network for `ip`."""

    type: SanType
    base: str

    def __post_init__(self) -> None:
        """Raises IssuanceError for a base that has not its form."""
        try:
            form = str(ipaddress.ip_network(self.base)) if self.type is SanType.IP else Hostname.parse(self.base).name
        except (InvalidName, ValueError):
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


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthorityConstraints:
    """The limits in an authority's certificate.

    `path_length` is how many authorities may follow below it (None: any number). `extended_key_usages` are the
    purposes of what it issues (none: any). A name of a type with `permitted` subtrees must be in one of these; none may
    be in one of `excluded`. What stands in a certificate of somebody else may be of kinds that only its own types say.
    """

    path_length: int | None = None
    extended_key_usages: tuple[ExtendedKeyUsage | x509.ObjectIdentifier, ...] = ()
    permitted: tuple[NameSubtree | x509.GeneralName, ...] = ()
    excluded: tuple[NameSubtree | x509.GeneralName, ...] = ()

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
        certificate of a customer's devices passes for anybody else's server. One authority may follow: the
        cross-certificate of a rotation.
        """
        return cls._of_hostname(pattern, ExtendedKeyUsage.CLIENT_AUTH)

    @classmethod
    def for_servers_of(cls, pattern: HostnamePattern | str) -> AuthorityConstraints:
        """For the authority of one hostname's server certificates: that purpose, and its DNS names."""
        return cls._of_hostname(pattern, ExtendedKeyUsage.SERVER_AUTH)

    @classmethod
    def _of_hostname(cls, pattern: HostnamePattern | str, usage: ExtendedKeyUsage) -> AuthorityConstraints:
        parsed = HostnamePattern.parse(pattern) if isinstance(pattern, str) else pattern
        permitted = (NameSubtree(SanType.DNS, parsed.base.name),)
        return cls(path_length=1, extended_key_usages=(usage,), permitted=permitted)

    def name_constraints(self) -> x509.NameConstraints | None:
        """The extension; None where no name is constrained."""
        if not self.permitted and not self.excluded:
            return None
        permitted, excluded = list(map(_general_name, self.permitted)), list(map(_general_name, self.excluded))
        return x509.NameConstraints(permitted or None, excluded or None)


def _general_name(subtree: NameSubtree | x509.GeneralName) -> x509.GeneralName:
    return subtree.general_name() if isinstance(subtree, NameSubtree) else subtree


NO_CONSTRAINTS: Final = AuthorityConstraints()
