"""What a caller chooses: purpose, profile, limits, modes. Values only; what they mean is done elsewhere.

A profile says, for each thing on which validators differ, which stance it takes. A fourth profile is a value:
`dataclasses.replace(RFC5280, name="ours", missing_san=Stance.REFUSE)`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID


class Purpose(StrEnum):
    """What the leaf is to be used for (RFC 5280, 4.2.1.12)."""

    CLIENT_AUTH = "client_auth"
    SERVER_AUTH = "server_auth"
    EMAIL = "email"

    @property
    def oid(self) -> x509.ObjectIdentifier:
        """The key purpose that an extended key usage must hold."""
        return _PURPOSES[self]


_PURPOSES = {
    Purpose.CLIENT_AUTH: ExtendedKeyUsageOID.CLIENT_AUTH,
    Purpose.SERVER_AUTH: ExtendedKeyUsageOID.SERVER_AUTH,
    Purpose.EMAIL: ExtendedKeyUsageOID.EMAIL_PROTECTION,
}


class RevocationMode(StrEnum):
    """Which certificates of a path need a revocation list or an OCSP response that covers them."""

    OFF = "off"
    LEAF = "leaf"
    PATH = "path"  # every certificate but the anchor


class RevocationFallback(StrEnum):
    """What becomes of a certificate whose revocation status was asked for and is unknown, or known from stale data."""

    DENY = "deny"
    INSECURE_ALLOW = "insecure_allow"


class Pinning(StrEnum):
    """Whether an entry of a trust store may itself be the leaf."""

    ISSUER_ONLY = "issuer_only"
    PINNED = "pinned"


class Stance(StrEnum):
    """What a profile does with a thing on which validators differ."""

    ACCEPT = "accept"
    REFUSE = "refuse"


class KeyIdentifierMismatch(StrEnum):
    """What an authority key identifier says about an issuer candidate with another subject key identifier."""

    NO_CANDIDATE = "no_candidate"  # it is somebody else: no path through it
    REFUSE = "refuse"  # a path through it breaks a rule, and the refusal says so


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Profile:
    """A named set of stances (the second table of the verdicts). None has a default."""

    name: str
    # Leaf certificates
    missing_san: Stance  # common name only
    version_1_leaf: Stance  # as `openssl x509 -req` makes by default
    missing_usages: Stance  # no extended key usage
    any_usage_beside: Stance  # anyExtendedKeyUsage beside the wanted purpose
    critical_usages: Stance
    leaf_without_digital_signature: Stance  # keyUsage present without it
    ca_as_leaf: Stance
    cert_sign_on_leaf: Stance  # keyCertSign without cA
    name_constraints_in_leaf: Stance
    non_critical_san_without_subject: Stance
    critical_san_with_subject: Stance
    public_suffix_wildcard: Stance  # among `public_suffixes`
    # Issuers
    missing_subject_key_identifier: Stance
    non_critical_basic_constraints: Stance
    non_critical_name_constraints: Stance  # enforced either way
    leading_dot_constraint: Stance  # a DNS constraint `.example.com`: refused, or at least one label more
    # Anchors
    anchor_key_identifier: Stance  # issuer+serial, or a key identifier that is not its own
    anchor_usages: Stance  # any extended key usage
    # Any certificate
    missing_authority_key_identifier: Stance  # not on an anchor
    key_identifier_mismatch: KeyIdentifierMismatch
    non_critical_policy_limits: Stance  # policyConstraints, inhibitAnyPolicy
    critical_information: Stance  # AIA, AKI, SKI
    odd_serial: Stance  # zero (not on an anchor), or more than 20 octets
    odd_modulus_length: Stance  # an RSA modulus that is not a multiple of 8 bits
    underscore_in_dns_name: Stance
    # Revocation lists
    list_without_number: Stance
    version_1_list: Stance
    public_suffixes: frozenset[str] = frozenset()


_A, _R = Stance.ACCEPT, Stance.REFUSE

COMPATIBLE = Profile(
    name="compatible",
    missing_san=_A,
    version_1_leaf=_A,
    missing_usages=_A,
    any_usage_beside=_A,
    critical_usages=_A,
    leaf_without_digital_signature=_R,
    ca_as_leaf=_R,
    cert_sign_on_leaf=_A,
    name_constraints_in_leaf=_A,
    non_critical_san_without_subject=_A,
    critical_san_with_subject=_A,
    public_suffix_wildcard=_A,
    missing_subject_key_identifier=_A,
    non_critical_basic_constraints=_A,
    non_critical_name_constraints=_A,
    leading_dot_constraint=_A,
    anchor_key_identifier=_A,
    anchor_usages=_A,
    missing_authority_key_identifier=_A,
    key_identifier_mismatch=KeyIdentifierMismatch.NO_CANDIDATE,
    non_critical_policy_limits=_A,
    critical_information=_A,
    odd_serial=_A,
    odd_modulus_length=_A,
    underscore_in_dns_name=_A,
    list_without_number=_A,
    version_1_list=_A,
)

RFC5280 = Profile(
    name="rfc5280",
    missing_san=_A,
    version_1_leaf=_R,
    missing_usages=_A,
    any_usage_beside=_A,
    critical_usages=_A,
    leaf_without_digital_signature=_A,
    ca_as_leaf=_A,
    cert_sign_on_leaf=_R,
    name_constraints_in_leaf=_R,
    non_critical_san_without_subject=_R,
    critical_san_with_subject=_A,
    public_suffix_wildcard=_A,
    missing_subject_key_identifier=_R,
    non_critical_basic_constraints=_R,
    non_critical_name_constraints=_R,
    leading_dot_constraint=_R,
    anchor_key_identifier=_A,
    anchor_usages=_A,
    missing_authority_key_identifier=_R,
    key_identifier_mismatch=KeyIdentifierMismatch.REFUSE,
    non_critical_policy_limits=_R,
    critical_information=_R,
    odd_serial=_R,
    odd_modulus_length=_A,
    underscore_in_dns_name=_R,
    list_without_number=_R,
    version_1_list=_R,
)

WEBPKI = Profile(
    name="webpki",
    missing_san=_R,
    version_1_leaf=_R,
    missing_usages=_R,
    any_usage_beside=_R,
    critical_usages=_R,
    leaf_without_digital_signature=_R,
    ca_as_leaf=_R,
    cert_sign_on_leaf=_R,
    name_constraints_in_leaf=_R,
    non_critical_san_without_subject=_R,
    critical_san_with_subject=_R,
    public_suffix_wildcard=_R,
    missing_subject_key_identifier=_R,
    non_critical_basic_constraints=_R,
    non_critical_name_constraints=_A,
    leading_dot_constraint=_R,
    anchor_key_identifier=_R,
    anchor_usages=_R,
    missing_authority_key_identifier=_R,
    key_identifier_mismatch=KeyIdentifierMismatch.REFUSE,
    non_critical_policy_limits=_R,
    critical_information=_R,
    odd_serial=_R,
    odd_modulus_length=_R,
    underscore_in_dns_name=_R,
    list_without_number=_R,
    version_1_list=_R,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The budget of one verdict. What would cost more is refused as `limit_exceeded`."""

    signatures: int = 100  # signature checks; Go allows 100, cryptography 128
    comparisons: int = 250_000  # names x name constraints of a form; Go's number
    certificates: int = 40  # presented
    octets: int = 256 * 1024  # presented, all together
    depth: int = 8  # intermediates that are not self-issued; cryptography's number
    candidates: int = 5_000  # issuers looked at, over all branches: about 20 ms of work
    policy_nodes: int = 10_000  # of the policy graph, which RFC 9618 keeps below depth x policies
