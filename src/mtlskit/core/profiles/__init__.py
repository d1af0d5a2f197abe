"""What an authority issues: certificate profiles as values, and the pure step from them to what is signed.

`CLIENT`, `SERVER` and `spiffe()` are for end entities; `ROOT`, `INTERMEDIATE` and `CROSS` for authorities. RFC 5280,
section 4.2, for the extensions; a server certificate also satisfies the rules of the WEBPKI validation profile.
"""

from mtlskit.core.profiles.building import (
    BACKDATING,
    Issuer,
    PublicKey,
    Validity,
    certificate_builder,
    validity,
)
from mtlskit.core.profiles.constraints import NO_CONSTRAINTS, AuthorityConstraints, NameSubtree
from mtlskit.core.profiles.encoding import CertificateTemplate
from mtlskit.core.profiles.locations import NO_LOCATIONS, Locations
from mtlskit.core.profiles.names import LONGEST_COMMON_NAME, Names, check_names, checked_common_name
from mtlskit.core.profiles.values import (
    CLIENT,
    CROSS,
    INTERMEDIATE,
    ROOT,
    SERVER,
    DNSLabels,
    ExtendedKeyUsage,
    KeyUsage,
    Lifetimes,
    Profile,
    RequestNames,
    Role,
    SanPresence,
    SanRule,
    spiffe,
)

__all__ = [
    "BACKDATING",
    "CLIENT",
    "CROSS",
    "INTERMEDIATE",
    "LONGEST_COMMON_NAME",
    "NO_CONSTRAINTS",
    "NO_LOCATIONS",
    "ROOT",
    "SERVER",
    "AuthorityConstraints",
    "CertificateTemplate",
    "DNSLabels",
    "ExtendedKeyUsage",
    "Issuer",
    "KeyUsage",
    "Lifetimes",
    "Locations",
    "NameSubtree",
    "Names",
    "Profile",
    "PublicKey",
    "RequestNames",
    "Role",
    "SanPresence",
    "SanRule",
    "Validity",
    "certificate_builder",
    "check_names",
    "checked_common_name",
    "spiffe",
    "validity",
]
