"""Mutual TLS for Python services: a gate per customer hostname, and client certificates bound by name."""

from mtlskit import gate
from mtlskit.authority import CertificateAuthority, IssuedCertificate
from mtlskit.core import expressions, policy, profiles, rules
from mtlskit.core.certificates import ClientIdentity, PresentedChain, SigningChain
from mtlskit.core.custom_hostname import ClientAuth, CustomHostname, Enforcement, PolicyMode
from mtlskit.core.evidence import PeerEvidence
from mtlskit.core.names import Hostname, HostnamePattern, SubjectAlternativeName
from mtlskit.core.policy import AccessPolicy
from mtlskit.core.reasons import Reason
from mtlskit.core.request import RequestFacts
from mtlskit.core.validation import (
    COMPATIBLE,
    RFC5280,
    WEBPKI,
    Limits,
    Purpose,
    RevocationMode,
    TrustAnchor,
    TrustStore,
    VerifiedPath,
    verify_path,
)
from mtlskit.core.verdict import Allow, Deny, decide
from mtlskit.errors import (
    CertificateError,
    ClientCertificateRefused,
    ConfigurationError,
    Conflict,
    ExpressionError,
    FetchError,
    HandshakeError,
    InvalidName,
    IssuanceError,
    MTLSError,
    NotFound,
    OriginNotAllowed,
    PathError,
    StoreError,
    Unavailable,
)
from mtlskit.fetch import AsyncEnvironment, Environment
from mtlskit.gate import Gate
from mtlskit.stores import open_store

__all__ = [
    "COMPATIBLE",
    "RFC5280",
    "WEBPKI",
    "AccessPolicy",
    "Allow",
    "AsyncEnvironment",
    "CertificateAuthority",
    "CertificateError",
    "ClientAuth",
    "ClientCertificateRefused",
    "ClientIdentity",
    "ConfigurationError",
    "Conflict",
    "CustomHostname",
    "Deny",
    "Enforcement",
    "Environment",
    "ExpressionError",
    "FetchError",
    "Gate",
    "HandshakeError",
    "Hostname",
    "HostnamePattern",
    "InvalidName",
    "IssuanceError",
    "IssuedCertificate",
    "Limits",
    "MTLSError",
    "NotFound",
    "OriginNotAllowed",
    "PathError",
    "PeerEvidence",
    "PolicyMode",
    "PresentedChain",
    "Purpose",
    "Reason",
    "RequestFacts",
    "RevocationMode",
    "SigningChain",
    "StoreError",
    "SubjectAlternativeName",
    "TrustAnchor",
    "TrustStore",
    "Unavailable",
    "VerifiedPath",
    "decide",
    "expressions",
    "gate",
    "open_store",
    "policy",
    "profiles",
    "rules",
    "verify_path",
]
