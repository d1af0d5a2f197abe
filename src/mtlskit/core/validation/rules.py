"""The things on which the profiles differ, one rule each. A refusal names its rule and says `profile_violation`.

The table at the end is the table of the verdicts: the profile's field, on which certificates, what is looked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID

from mtlskit.core.reasons import Reason
from mtlskit.core.validation.certificate import ParsedCertificate
from mtlskit.core.validation.frame import VERSION_3
from mtlskit.core.validation.names import EMPTY_NAME
from mtlskit.core.validation.profiles import Profile, Stance
from mtlskit.errors import PathError

_SERIAL_OCTETS = 20  # RFC 5280, 4.1.2.2


class Role(Enum):
    """A certificate's place in a path."""

    LEAF = "leaf"
    INTERMEDIATE = "intermediate"
    ANCHOR = "anchor"
    PINNED_LEAF = "pinned_leaf"  # a leaf that is itself an entry of the trust store

    LIST_SIGNER = "list_signer"  # beside the path: signs revocation lists
    RESPONDER = "responder"  # beside the path: signs OCSP responses

    __hash__ = object.__hash__  # it is looked up for each certificate, and the one of Enum is slow


_LEAF = (Role.LEAF, Role.PINNED_LEAF)
_ISSUER = (Role.INTERMEDIATE, Role.ANCHOR)
_ISSUED = (Role.LEAF, Role.INTERMEDIATE)
_ANY = tuple(Role)


@dataclass(frozen=True, slots=True)
class Rule:
    """One row: the profile's field of that name, the places where it is looked at, what breaks it, in words."""

    name: str
    roles: tuple[Role, ...]
    is_broken: Callable[[ParsedCertificate, Profile], bool]
    expected: str


def broken_rules(certificate: ParsedCertificate, role: Role, profile: Profile) -> Iterator[PathError]:
    """The refusals of a certificate in its place by the rules that the profile holds to."""
    for rule in _rules(profile, role):
        if rule.is_broken(certificate, profile):
            yield certificate.refused(Reason.PROFILE_VIOLATION, f"expected {rule.expected}", rule=rule.name)


def keeps_rules(certificate: ParsedCertificate, role: Role, profile: Profile) -> bool:
    """Whether `broken_rules` has nothing to tell."""
    for rule in _rules(profile, role):  # noqa: SIM110 - a generator would cost as much as the rules
        if rule.is_broken(certificate, profile):
            return False
    return True


@lru_cache(maxsize=64)
def _rules(profile: Profile, role: Role) -> tuple[Rule, ...]:
    return tuple(rule for rule in RULES if role in rule.roles and getattr(profile, rule.name) is Stance.REFUSE)


def _missing(oid: x509.ObjectIdentifier) -> Callable[[ParsedCertificate, Profile], bool]:
    return lambda certificate, _: oid not in certificate.extensions


def _critical(*oids: x509.ObjectIdentifier) -> Callable[[ParsedCertificate, Profile], bool]:
    return lambda certificate, _: any(map(certificate.is_critical, oids))


def _not_critical(*oids: x509.ObjectIdentifier) -> Callable[[ParsedCertificate, Profile], bool]:
    def is_broken(certificate: ParsedCertificate, _: Profile) -> bool:
        return any(oid in certificate.extensions and not certificate.is_critical(oid) for oid in oids)

    return is_broken


def _no_digital_signature(certificate: ParsedCertificate, _: Profile) -> bool:
    usage = certificate.extensions.get(ExtensionOID.KEY_USAGE)
    return usage is not None and not usage.digital_signature


def _cert_sign_without_ca(certificate: ParsedCertificate, _: Profile) -> bool:
    usage = certificate.extensions.get(ExtensionOID.KEY_USAGE)
    return usage is not None and usage.key_cert_sign and not certificate.is_ca


def _any_usage(certificate: ParsedCertificate, _: Profile) -> bool:
    usages = certificate.extensions.get(ExtensionOID.EXTENDED_KEY_USAGE)
    return usages is not None and ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE in usages


def _constraints_without_ca(certificate: ParsedCertificate, _: Profile) -> bool:
    return ExtensionOID.NAME_CONSTRAINTS in certificate.extensions and not certificate.is_ca


def _plain_san_without_subject(certificate: ParsedCertificate, profile: Profile) -> bool:
    return certificate.frame.subject == EMPTY_NAME and _PLAIN_SAN(certificate, profile)


def _critical_san_with_subject(certificate: ParsedCertificate, profile: Profile) -> bool:
    return certificate.frame.subject != EMPTY_NAME and _CRITICAL_SAN(certificate, profile)


# RFC 5280, 4.2.1.1: a self-signed certificate's AKI, if any, names its own key by key identifier alone.
def _foreign_key_identifier(certificate: ParsedCertificate, _: Profile) -> bool:
    value = certificate.value(ExtensionOID.AUTHORITY_KEY_IDENTIFIER)
    if value is None or not certificate.self_issued:
        return False
    if value.authority_cert_issuer is not None or value.authority_cert_serial_number is not None:
        return True
    return bool(value.key_identifier != certificate.subject_key_identifier)


def _odd_serial(certificate: ParsedCertificate, _: Profile) -> bool:
    return certificate.frame.serial == 0 or certificate.frame.serial_octets > _SERIAL_OCTETS


def _long_serial(certificate: ParsedCertificate, _: Profile) -> bool:
    return certificate.frame.serial_octets > _SERIAL_OCTETS


def _odd_modulus(certificate: ParsedCertificate, _: Profile) -> bool:
    return isinstance(certificate.key, rsa.RSAPublicKey) and certificate.key.key_size % 8 != 0


def _dns_names(certificate: ParsedCertificate) -> list[str]:
    names = certificate.value(ExtensionOID.SUBJECT_ALTERNATIVE_NAME)
    return [] if names is None else names.get_values_for_type(x509.DNSName)


def _underscore(certificate: ParsedCertificate, _: Profile) -> bool:
    return any("_" in name for name in _dns_names(certificate))


def _suffix_wildcard(certificate: ParsedCertificate, profile: Profile) -> bool:
    suffixes = profile.public_suffixes
    if not suffixes:
        return False
    return any(name.startswith("*.") and name[2:].lower().rstrip(".") in suffixes for name in _dns_names(certificate))


_PLAIN_SAN = _not_critical(ExtensionOID.SUBJECT_ALTERNATIVE_NAME)
_CRITICAL_SAN = _critical(ExtensionOID.SUBJECT_ALTERNATIVE_NAME)
_INFORMATION = (
    ExtensionOID.AUTHORITY_INFORMATION_ACCESS,
    ExtensionOID.AUTHORITY_KEY_IDENTIFIER,
    ExtensionOID.SUBJECT_KEY_IDENTIFIER,
)
_POLICY_LIMITS = (ExtensionOID.POLICY_CONSTRAINTS, ExtensionOID.INHIBIT_ANY_POLICY)

RULES = (
    Rule("missing_san", _LEAF, _missing(ExtensionOID.SUBJECT_ALTERNATIVE_NAME), "a subject alternative name, got none"),
    Rule("version_1_leaf", _LEAF, lambda c, _: c.frame.version != VERSION_3, "a version 3 leaf, got an older one"),
    Rule("missing_usages", _LEAF, _missing(ExtensionOID.EXTENDED_KEY_USAGE), "an extended key usage, got none"),
    Rule("any_usage_beside", _LEAF, _any_usage, "the purpose alone, got anyExtendedKeyUsage beside it"),
    Rule("critical_usages", _LEAF, _critical(ExtensionOID.EXTENDED_KEY_USAGE),
         "an extended key usage that is not critical, got a critical one"),
    Rule("leaf_without_digital_signature", _LEAF, _no_digital_signature, "digitalSignature, got a keyUsage without"),
    Rule("ca_as_leaf", _LEAF, lambda c, _: c.is_ca, "an end-entity certificate, got a CA's"),
    Rule("cert_sign_on_leaf", _LEAF, _cert_sign_without_ca, "no keyCertSign without cA, got it"),
    Rule("name_constraints_in_leaf", _LEAF, _constraints_without_ca, "name constraints in CAs only, got a leaf's"),
    Rule("non_critical_san_without_subject", _LEAF, _plain_san_without_subject,
         "a critical subject alternative name beside an empty subject, got one that is not"),
    Rule("critical_san_with_subject", _LEAF, _critical_san_with_subject,
         "a subject alternative name that is not critical beside a subject, got a critical one"),
    Rule("public_suffix_wildcard", _LEAF, _suffix_wildcard, "no wildcard on a public suffix, got one"),
    Rule("missing_subject_key_identifier", _ISSUER, _missing(ExtensionOID.SUBJECT_KEY_IDENTIFIER),
         "a subject key identifier on a CA, got none"),
    Rule("non_critical_basic_constraints", _ISSUER, _not_critical(ExtensionOID.BASIC_CONSTRAINTS),
         "critical basic constraints on a CA, got others"),
    Rule("non_critical_name_constraints", _ANY, _not_critical(ExtensionOID.NAME_CONSTRAINTS),
         "critical name constraints, got others"),
    Rule("anchor_key_identifier", (Role.ANCHOR,), _foreign_key_identifier,
         "its own key identifier alone in a self-signed anchor's AKI, got something else"),
    Rule("anchor_usages", (Role.ANCHOR,), lambda c, _: ExtensionOID.EXTENDED_KEY_USAGE in c.extensions,
         "an anchor without extended key usage, got one with"),
    Rule("missing_authority_key_identifier", _ISSUED, lambda c, _: c.authority_key_identifier is None,
         "an authority key identifier with a key identifier, got none"),
    Rule("non_critical_policy_limits", _ANY, _not_critical(*_POLICY_LIMITS), "critical policy limits, got others"),
    Rule("critical_information", _ANY, _critical(*_INFORMATION),
         "AIA, AKI and SKI that are not critical, got a critical one"),
    Rule("odd_serial", _ISSUED, _odd_serial, f"a serial number of 1 to {_SERIAL_OCTETS} octets but zero, got another"),
    Rule("odd_serial", (Role.ANCHOR, Role.PINNED_LEAF), _long_serial,
         f"a serial number of {_SERIAL_OCTETS} octets at most, got a longer one"),
    Rule("odd_modulus_length", _ANY, _odd_modulus, "an RSA modulus of whole octets, got another"),
    Rule("underscore_in_dns_name", _ANY, _underscore, "DNS names without underscore, got one with"),
)  # fmt: skip
