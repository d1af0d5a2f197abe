"""Path validation (RFC 5280, 6): `verify_path` and the values that it takes and gives. Pure; asks no clock."""

from mtlskit.core.validation.lists import RevocationList
from mtlskit.core.validation.ocsp import OCSPEvidence
from mtlskit.core.validation.path import VerifiedPath
from mtlskit.core.validation.policies import AnyPolicy, ExplicitPolicy, PolicyInputs, PolicyMapping
from mtlskit.core.validation.profiles import (
    COMPATIBLE,
    RFC5280,
    WEBPKI,
    KeyIdentifierMismatch,
    Limits,
    Pinning,
    Profile,
    Purpose,
    RevocationFallback,
    RevocationMode,
    Stance,
)
from mtlskit.core.validation.trust import Revocations, TrustAnchor, TrustStore
from mtlskit.core.validation.verify import verify_path

__all__ = [
    "COMPATIBLE",
    "RFC5280",
    "WEBPKI",
    "AnyPolicy",
    "ExplicitPolicy",
    "KeyIdentifierMismatch",
    "Limits",
    "OCSPEvidence",
    "Pinning",
    "PolicyInputs",
    "PolicyMapping",
    "Profile",
    "Purpose",
    "RevocationFallback",
    "RevocationList",
    "RevocationMode",
    "Revocations",
    "Stance",
    "TrustAnchor",
    "TrustStore",
    "VerifiedPath",
    "verify_path",
]
