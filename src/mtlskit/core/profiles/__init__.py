"""What an authority issues: certificate profiles as values, and the pure step from them to what is signed.

`CLIENT`, `SERVER`, `OCSP_RESPONDER` and `spiffe()` are for end entities; `ROOT`, `INTERMEDIATE` and `CROSS` for
authorities. RFC 5280, section 4.2, for the extensions; a server certificate also satisfies the rules of the WEBPKI
validation profile.
"""

from mtlskit.core.names import SanType
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
from mtlskit.core.profiles.standard import (
    CLIENT,
    CROSS,
    INTERMEDIATE,
    OCSP_RESPONDER,
    PROFILES,
    ROOT,
    SERVER,
    spiffe,
)
from mtlskit.core.profiles.values import (
    DNSLabels,
    ExtendedKeyUsage,
    KeyUsage,
    Lifetimes,
    Profile,
    RequestNames,
    ResponderCheck,
    Role,
    SanPresence,
    SanRule,
    URIForm,
)

__all__ = [
    "BACKDATING",
    "CLIENT",
    "CROSS",
    "INTERMEDIATE",
    "LONGEST_COMMON_NAME",
    "NO_CONSTRAINTS",
    "NO_LOCATIONS",
    "OCSP_RESPONDER",
    "PROFILES",
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
    "ResponderCheck",
    "Role",
    "SanPresence",
    "SanRule",
    "SanType",
    "URIForm",
    "Validity",
    "certificate_builder",
    "check_names",
    "checked_common_name",
    "spiffe",
    "validity",
]
