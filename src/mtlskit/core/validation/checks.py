"""What is checked of each certificate by itself, whatever the path. One function per check, its section above it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import NamedTuple

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID

from mtlskit.core.reasons import Reason
from mtlskit.core.validation import der
from mtlskit.core.validation.algorithms import key_weakness, scheme_of
from mtlskit.core.validation.certificate import ParsedCertificate
from mtlskit.core.validation.frame import VERSION_3
from mtlskit.core.validation.names import comparable_name, is_readable
from mtlskit.core.validation.profiles import Profile, Purpose
from mtlskit.core.validation.reference import ReferenceName, reference_fault
from mtlskit.core.validation.rules import Role, broken_rules, keeps_rules
from mtlskit.errors import PathError

# The extensions that this package processes, or that ask nothing of a validator. Any other critical one is unknown.
_KNOWN = frozenset(
    {
        ExtensionOID.BASIC_CONSTRAINTS,
        ExtensionOID.KEY_USAGE,
        ExtensionOID.EXTENDED_KEY_USAGE,
        ExtensionOID.SUBJECT_ALTERNATIVE_NAME,
        ExtensionOID.SUBJECT_KEY_IDENTIFIER,
        ExtensionOID.AUTHORITY_KEY_IDENTIFIER,
        ExtensionOID.AUTHORITY_INFORMATION_ACCESS,
        ExtensionOID.NAME_CONSTRAINTS,
        ExtensionOID.CERTIFICATE_POLICIES,
        ExtensionOID.POLICY_MAPPINGS,
        ExtensionOID.POLICY_CONSTRAINTS,
        ExtensionOID.INHIBIT_ANY_POLICY,
        ExtensionOID.CRL_DISTRIBUTION_POINTS,
        ExtensionOID.FRESHEST_CRL,
        ExtensionOID.OCSP_NO_CHECK,
    }
)


class Question(NamedTuple):
    """What is asked of each certificate."""

    purpose: Purpose
    moment: datetime
    profile: Profile
    reference_name: ReferenceName | None


_TELETEX = 0x14  # a string of many readings

Check = Callable[[ParsedCertificate, Question], PathError | None]


def faults(certificate: ParsedCertificate, role: Role, question: Question) -> Iterator[PathError]:
    """What is wrong with a certificate in its place; the first is enough to refuse it."""
    unusable = certificate.fault
    if unusable is not None:
        yield unusable
    for check in _CHECKS[role] if unusable is None else _FRAME_CHECKS[role]:
        fault = check(certificate, question)
        if fault is not None:
            yield fault
    if unusable is None:
        yield from broken_rules(certificate, role, question.profile)


def is_faultless(certificate: ParsedCertificate, role: Role, question: Question) -> bool:
    """Whether `faults` has nothing to tell."""
    if certificate.fault is not None:
        return False
    for check in _CHECKS[role]:
        if check(certificate, question) is not None:
            return False
    return keeps_rules(certificate, role, question.profile)


# RFC 5280, 6.1.3 (a)(2). Both ends belong to the time.
def _time(certificate: ParsedCertificate, question: Question) -> PathError | None:
    moment = question.moment
    if certificate.not_before <= moment <= certificate.not_after:
        return None
    if moment < certificate.not_before:
        return certificate.refused(
            Reason.NOT_YET_VALID, f"expected one that is valid at {moment}, got one from {certificate.not_before} on",
            moment=moment, not_before=certificate.not_before,
        )  # fmt: skip
    return certificate.refused(
        Reason.EXPIRED, f"expected one that is valid at {moment}, got one until {certificate.not_after}",
        moment=moment, not_after=certificate.not_after,
    )  # fmt: skip


# RFC 5280, 4.2 and 6.1.5 (f).
def _critical_extensions(certificate: ParsedCertificate, _: Question) -> PathError | None:
    unknown = [oid for oid in certificate.critical if oid not in _KNOWN]
    if not unknown:
        return None
    names = ", ".join(oid.dotted_string for oid in unknown)
    return certificate.refused(
        Reason.UNSUPPORTED_CRITICAL_EXTENSION, f"expected known critical extensions, got {names}", found=tuple(unknown)
    )


# RFC 5280, 4.1.1.2: the same algorithm inside and outside.
def _signature_algorithm(certificate: ParsedCertificate, _: Question) -> PathError | None:
    frame = certificate.frame
    if frame.inner_algorithm != frame.outer_algorithm:
        return certificate.refused(
            Reason.BAD_SIGNATURE, "expected the same signature algorithm inside and outside, got two"
        )
    found = scheme_of(frame.inner_algorithm)
    return certificate.refused(*found) if isinstance(found, tuple) else None


# NIST SP 800-57 part 1, 5.6; RFC 5480, 2.1.1.
def _key(certificate: ParsedCertificate, _: Question) -> PathError | None:
    try:
        weakness = key_weakness(certificate.frame.spki)
    except der.DERError as error:
        return certificate.refused(Reason.MALFORMED, f"expected a public key: {error}")
    return None if weakness is None else certificate.refused(Reason.WEAK_KEY, weakness)


# RFC 5280, 6.1.4 (k).
def _is_ca(certificate: ParsedCertificate, _: Question) -> PathError | None:
    if certificate.is_ca and certificate.frame.version == VERSION_3:
        return None
    return certificate.refused(Reason.NOT_A_CA, "expected a version 3 CA certificate as issuer, got another")


# RFC 5280, 6.1.4 (n).
def _may_sign(certificate: ParsedCertificate, _: Question) -> PathError | None:
    usage = certificate.extensions.get(ExtensionOID.KEY_USAGE)
    if usage is None or usage.key_cert_sign:
        return None
    return certificate.refused(Reason.NOT_A_CA, "expected keyCertSign of an issuer, got a keyUsage without")


# RFC 5280, 4.2.1.12. anyExtendedKeyUsage alone says nothing about a leaf.
def _leaf_purpose(certificate: ParsedCertificate, question: Question) -> PathError | None:
    usages = certificate.extensions.get(ExtensionOID.EXTENDED_KEY_USAGE)
    if usages is None or question.purpose.oid in usages:
        return None
    return _wrong_purpose(certificate, question, usages)


# EKU nests: a CA that carries one may issue for nothing else (CA/Browser Forum BR 7.1.2.10.6; every engine does it).
def _issuer_purpose(certificate: ParsedCertificate, question: Question) -> PathError | None:
    usages = certificate.extensions.get(ExtensionOID.EXTENDED_KEY_USAGE)
    if usages is None or question.purpose.oid in usages or ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE in usages:
        return None
    return _wrong_purpose(certificate, question, usages)


def _wrong_purpose(certificate: ParsedCertificate, question: Question, usages: x509.ExtendedKeyUsage) -> PathError:
    found = tuple(usage.dotted_string for usage in usages)
    return certificate.refused(
        Reason.WRONG_PURPOSE, f"expected the key purpose {question.purpose.value}, got {', '.join(found)}",
        wanted=question.purpose, found=found,
    )  # fmt: skip


# RFC 9525, 6.
def _reference_name(certificate: ParsedCertificate, question: Question) -> PathError | None:
    return reference_fault(certificate, question.reference_name)


# A verified leaf's subject will be read; what cannot be read is not certified as anybody.
def _readable_subject(certificate: ParsedCertificate, _: Question) -> PathError | None:
    subject = certificate.frame.subject
    if _TELETEX not in subject and is_readable(comparable_name(subject)):
        return None
    try:
        _readable = certificate.certificate and certificate.certificate.subject
    except Warning:
        return None  # readable, but of an odd length
    except Exception as error:  # noqa: BLE001 - whatever the foreign parser raises says the same
        return certificate.refused(Reason.MALFORMED, f"expected a readable subject, got {type(error).__name__}")
    return None


# RFC 5280, 6.3.3 (f).
def _may_sign_lists(certificate: ParsedCertificate, _: Question) -> PathError | None:
    usage = certificate.extensions.get(ExtensionOID.KEY_USAGE)
    if usage is None or usage.crl_sign:
        return None
    return certificate.refused(Reason.NOT_A_CA, "expected cRLSign of a list's signer, got a keyUsage without")


# RFC 6960, 4.2.2.2.
def _may_respond(certificate: ParsedCertificate, _: Question) -> PathError | None:
    usage = certificate.extensions.get(ExtensionOID.KEY_USAGE)
    usages = certificate.extensions.get(ExtensionOID.EXTENDED_KEY_USAGE)
    if usages is not None and ExtendedKeyUsageOID.OCSP_SIGNING in usages and (usage is None or usage.digital_signature):
        return None
    return certificate.refused(Reason.WRONG_PURPOSE, "expected OCSPSigning of a responder, got other purposes")


_COMMON: tuple[Check, ...] = (_time, _critical_extensions, _key)
_CHECKS: dict[Role, tuple[Check, ...]] = {
    Role.LEAF: (*_COMMON, _leaf_purpose, _signature_algorithm, _reference_name, _readable_subject),
    Role.PINNED_LEAF: (*_COMMON, _leaf_purpose, _reference_name, _readable_subject),
    Role.INTERMEDIATE: (*_COMMON, _is_ca, _may_sign, _issuer_purpose, _signature_algorithm),
    Role.ANCHOR: (*_COMMON, _is_ca, _may_sign),
    Role.LIST_SIGNER: (*_COMMON, _may_sign_lists, _signature_algorithm),
    Role.RESPONDER: (*_COMMON, _may_respond, _signature_algorithm),
}
# What can be said of a certificate whose contents cannot be read.
_FRAME_CHECKS: dict[Role, tuple[Check, ...]] = {
    Role.LEAF: (_key, _signature_algorithm),
    Role.PINNED_LEAF: (_key,),
    Role.INTERMEDIATE: (_key, _signature_algorithm),
    Role.ANCHOR: (_key,),
    Role.LIST_SIGNER: (),
    Role.RESPONDER: (),
}
