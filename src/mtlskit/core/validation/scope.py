"""Which certificates a revocation list speaks for (RFC 5280, 5.2.5 and 6.3.3 (b)), and for which reasons."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from cryptography import x509
from cryptography.x509.oid import ExtensionOID

from mtlskit.core.validation.certificate import ParsedCertificate
from mtlskit.core.validation.lists import RevocationList
from mtlskit.core.validation.names import ComparableName, comparable_name

ALL_REASONS = frozenset(x509.ReasonFlags) - {x509.ReasonFlags.unspecified, x509.ReasonFlags.remove_from_crl}
Reasons = frozenset[x509.ReasonFlags]


class DistributionPoint(NamedTuple):
    """One place where a certificate says that its status is told."""

    names: frozenset[object]  # of the point; comparable
    relative: Any  # to the name of the list's issuer
    issuers: frozenset[ComparableName]  # other than the certificate's own issuer
    reasons: Reasons


def distribution_points(certificate: ParsedCertificate) -> list[DistributionPoint]:
    """A certificate's distribution points; one with its issuer's name and all reasons if it has none."""
    value = certificate.extensions.get(ExtensionOID.CRL_DISTRIBUTION_POINTS)
    own = comparable_name(certificate.frame.issuer)
    if value is None:
        return [DistributionPoint(frozenset({own}), None, frozenset(), ALL_REASONS)]
    return [_point(each) for each in value]


def covered_reasons(
    listed: RevocationList, certificate: ParsedCertificate, points: Iterable[DistributionPoint]
) -> Reasons:
    """For which reasons a list says all there is to say of a certificate; none if it does not speak for it."""
    if not _speaks_for_kind(listed.scope, certificate):
        return frozenset()
    own = comparable_name(certificate.frame.issuer)
    found: set[x509.ReasonFlags] = set()
    for point in points:
        if _is_point_of(listed, point, own):
            found |= point.reasons
    scope = listed.scope
    return frozenset(found if scope is None or scope.only_some_reasons is None else found & scope.only_some_reasons)


# RFC 5280, 6.3.3 (b)(2)(ii) - (iv).
def _speaks_for_kind(scope: x509.IssuingDistributionPoint | None, certificate: ParsedCertificate) -> bool:
    if scope is None:
        return True
    if scope.only_contains_attribute_certs or (scope.only_contains_user_certs and certificate.is_ca):
        return False
    return not scope.only_contains_ca_certs or certificate.is_ca


# RFC 5280, 6.3.3 (b)(1) and (b)(2)(i).
def _is_point_of(listed: RevocationList, point: DistributionPoint, own: ComparableName) -> bool:
    if point.issuers:
        if listed.name not in point.issuers or not listed.is_indirect:
            return False
    elif listed.name != own:
        return False
    scope = listed.scope
    if scope is None or (scope.full_name is None and scope.relative_name is None):
        return True
    theirs = _scope_names(scope, listed.name)
    ours = set(point.names)
    if point.relative is not None:
        ours |= {_relative(base, point.relative) for base in (point.issuers or {own})}
    return bool(theirs & (ours or set(point.issuers)))


def _point(point: x509.DistributionPoint) -> DistributionPoint:
    issuers = frozenset(
        _comparable(name) for name in point.crl_issuer or () if isinstance(name, x509.DirectoryName)
    )  # fmt: skip
    return DistributionPoint(
        frozenset(map(_comparable, point.full_name or ())), point.relative_name, issuers, point.reasons or ALL_REASONS
    )


def _scope_names(scope: x509.IssuingDistributionPoint, issuer: ComparableName) -> set[object]:
    names: set[object] = set(map(_comparable, scope.full_name or ()))
    if scope.relative_name is not None:
        names.add(_relative(issuer, scope.relative_name))
    return names


def _comparable(name: x509.GeneralName) -> Any:
    if isinstance(name, x509.DirectoryName):
        return comparable_name(name.value.public_bytes())
    return name


def _relative(issuer: ComparableName, rdn: x509.RelativeDistinguishedName) -> ComparableName:
    return (*issuer, *comparable_name(x509.Name([rdn]).public_bytes()))
