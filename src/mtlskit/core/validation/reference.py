"""The reference name of a server (RFC 9525): a DNS name or an IP address, and whether a leaf has it.

Only SAN entries of the same type count; a common name never does.
"""

from __future__ import annotations

import ipaddress
from typing import TypeAlias

from cryptography import x509
from cryptography.x509.oid import ExtensionOID

from mtlskit.core.names import Hostname
from mtlskit.core.reasons import Reason
from mtlskit.core.validation.certificate import ParsedCertificate
from mtlskit.core.validation.profiles import Purpose
from mtlskit.errors import ConfigurationError, InvalidName, PathError

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
ReferenceName: TypeAlias = Hostname | Address


def reference_name_of(purpose: Purpose, name: object) -> ReferenceName | None:
    """The reference name that a caller gave; raises ConfigurationError where it does not go with the purpose."""
    if purpose is not Purpose.SERVER_AUTH:
        if name is not None:
            raise ConfigurationError(f"expected a reference name with server_auth only, got one with {purpose.value}")
        return None
    if isinstance(name, Hostname | ipaddress.IPv4Address | ipaddress.IPv6Address):
        return name
    if not isinstance(name, str):
        raise ConfigurationError(f"expected a reference name for server_auth, got {name!r}")
    return _address(name) or _hostname(name)


def reference_fault(certificate: ParsedCertificate, name: ReferenceName | None) -> PathError | None:
    """The refusal of a leaf that has no SAN entry of the reference name."""
    if name is None or _has(certificate, name):
        return None
    return certificate.refused(
        Reason.NAME_MISMATCH, f"expected a certificate for {str(name)!r}, got one for other names", wanted=str(name)
    )


def _has(certificate: ParsedCertificate, name: ReferenceName) -> bool:
    names = certificate.value(ExtensionOID.SUBJECT_ALTERNATIVE_NAME)
    if names is None:
        return False
    if isinstance(name, Hostname):
        return any(dns_matches(presented, name.name) for presented in names.get_values_for_type(x509.DNSName))
    return name in names.get_values_for_type(x509.IPAddress)


# RFC 9525, 6.3: label by label without case; a wildcard is the whole leftmost label and stands for exactly one.
def dns_matches(presented: str, name: str) -> bool:
    """Whether a dNSName covers a hostname in canonical form."""
    pattern = presented.lower()
    if not pattern.startswith("*."):
        return pattern == name
    return "." in pattern[2:] and pattern[2:] == name.partition(".")[2]


def _address(text: str) -> Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def _hostname(text: str) -> Hostname:
    if ":" in text:
        raise ConfigurationError(f"expected a reference name without a port, got {text!r}")
    try:
        return Hostname.parse(text)
    except InvalidName as error:
        raise ConfigurationError(f"expected a DNS name or an IP address as reference name: {error}") from None
