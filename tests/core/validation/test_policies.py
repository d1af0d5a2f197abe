"""Certificate policies (RFC 5280, 6.1; RFC 9618). NIST's PKITS, run by the conformance tests, goes deeper."""

from __future__ import annotations

import time
from typing import Any

import pytest
from cryptography import x509

from mtlskit.core.validation import (
    AnyPolicy,
    ExplicitPolicy,
    Limits,
    PolicyInputs,
    PolicyMapping,
    TrustStore,
)
from mtlskit.core.validation.policies import oid_octets
from support.der import Fields, der_of, encode, extension, integer, oid, seq
from support.validation import ACCEPTED, LEAF, ROOT, verdict

GOLD, SILVER, BRONZE, ANY = "1.3.6.1.4.1.99999.1", "1.3.6.1.4.1.99999.2", "1.3.6.1.4.1.99999.3", "2.5.29.32.0"
TRUST = TrustStore([ROOT.certificate])
REQUIRED = ExplicitPolicy.REQUIRED


def policies(*dotted: str) -> bytes:
    return extension("2.5.29.32", seq(*(seq(oid(each)) for each in dotted)))


def mappings(*pairs: tuple[str, str]) -> bytes:
    return extension("2.5.29.33", seq(*(seq(oid(issuer), oid(subject)) for issuer, subject in pairs)), critical=True)


def limits(*, require: int | None = None, inhibit: int | None = None) -> bytes:
    parts = [encode(0x80 | tag, bytes((n,))) for tag, n in ((0, require), (1, inhibit)) if n is not None]
    return extension("2.5.29.36", seq(*parts), critical=True)


def inhibit_any(count: int) -> bytes:
    return extension("2.5.29.54", integer(count), critical=True)


def path(*levels: tuple[bytes, ...], **options: Any) -> str:
    """The verdict on root, intermediates and leaf with these extensions, from below the root to the leaf."""
    issuer, presented = ROOT, []
    for number, extensions in enumerate(levels[:-1]):
        below = issuer.intermediate(f"Level {number}")
        presented.append(Fields.of(der_of(below.certificate)).plus(*extensions).sign(issuer.key))
        issuer = below
    leaf = Fields.of(der_of(issuer.leaf().certificate)).plus(*levels[-1]).sign(issuer.key)
    return verdict((leaf, *presented), TRUST, policies=PolicyInputs(**options))


def wanted(*dotted: str) -> frozenset[x509.ObjectIdentifier]:
    return frozenset(map(x509.ObjectIdentifier, dotted))


def test_nothing_is_asked_by_default() -> None:
    assert path((), ()) == ACCEPTED
    assert path((policies(GOLD),), (policies(SILVER),)) == ACCEPTED


@pytest.mark.parametrize(("ca", "leaf", "acceptable", "expected"), [
    ((GOLD,), (GOLD,), (GOLD,), ACCEPTED),
    ((GOLD,), (GOLD,), (SILVER,), "certificate_policy"),
    ((GOLD,), (GOLD,), (ANY,), ACCEPTED),
    ((GOLD, SILVER), (SILVER,), (GOLD,), "certificate_policy"),
    ((GOLD, SILVER), (SILVER,), (GOLD, SILVER), ACCEPTED),
    ((GOLD,), (SILVER,), (ANY,), "certificate_policy"),
    ((ANY,), (GOLD,), (GOLD,), ACCEPTED),
    ((ANY,), (GOLD,), (SILVER,), "certificate_policy"),
    ((ANY,), (ANY,), (GOLD,), ACCEPTED),
    ((GOLD,), (ANY,), (GOLD,), ACCEPTED),
    ((GOLD,), (ANY,), (SILVER,), "certificate_policy"),
    ((), (GOLD,), (GOLD,), "certificate_policy"),
    ((GOLD,), (), (GOLD,), "certificate_policy"),
])  # fmt: skip
def test_an_explicit_policy_is_asked_for(
    ca: tuple[str, ...], leaf: tuple[str, ...], acceptable: tuple[str, ...], expected: str
) -> None:
    levels = [(policies(*each),) if each else () for each in (ca, leaf)]
    assert path(*levels, acceptable=wanted(*acceptable), explicit=REQUIRED) == expected


@pytest.mark.parametrize(("count", "expected"), [(0, "certificate_policy"), (1, "certificate_policy"), (3, ACCEPTED)])
def test_a_ca_may_require_an_explicit_policy(count: int, expected: str) -> None:
    assert path((limits(require=count),), (), ()) == expected
    assert path((limits(require=count), policies(GOLD)), (policies(GOLD),), (policies(GOLD),)) == ACCEPTED


def test_mapping() -> None:
    levels = ((policies(GOLD), mappings((GOLD, SILVER))), (policies(SILVER),))
    assert path(*levels, acceptable=wanted(GOLD), explicit=REQUIRED) == ACCEPTED
    assert path(*levels, acceptable=wanted(SILVER), explicit=REQUIRED) == "certificate_policy"
    assert path(*levels, acceptable=wanted(GOLD), explicit=REQUIRED, mapping=PolicyMapping.INHIBITED) == (
        "certificate_policy"
    )


def test_mapping_from_any_policy() -> None:
    levels = ((policies(ANY), mappings((GOLD, SILVER))), (policies(SILVER),))
    assert path(*levels, acceptable=wanted(GOLD), explicit=REQUIRED) == ACCEPTED
    assert path(*levels, acceptable=wanted(BRONZE), explicit=REQUIRED) == "certificate_policy"


def test_a_ca_may_inhibit_mapping_below() -> None:
    mapped = ((policies(GOLD), mappings((GOLD, SILVER))), (policies(SILVER),))
    top = (policies(GOLD), limits(require=0, inhibit=0))
    assert path(top, *mapped) == "certificate_policy"
    assert path((policies(GOLD), limits(require=0, inhibit=1)), *mapped) == ACCEPTED


@pytest.mark.parametrize("pair", [(ANY, GOLD), (GOLD, ANY)])
def test_any_policy_cannot_be_mapped(pair: tuple[str, str]) -> None:
    assert path((policies(GOLD), mappings(pair)), (policies(GOLD),)) == "certificate_policy"


def test_any_policy_may_be_inhibited() -> None:
    levels = ((policies(ANY),), (policies(GOLD),))
    assert path(*levels, explicit=REQUIRED) == ACCEPTED
    assert path(*levels, explicit=REQUIRED, any_policy=AnyPolicy.INHIBITED) == "certificate_policy"
    below = ((policies(GOLD), inhibit_any(0)), (policies(ANY),), (policies(GOLD),))
    assert path(*below, explicit=REQUIRED) == "certificate_policy"
    later = ((policies(GOLD), inhibit_any(1)), (policies(ANY),), (policies(GOLD),))
    assert path(*later, explicit=REQUIRED) == ACCEPTED


def test_a_leaf_may_require_a_policy_of_itself() -> None:
    assert path((policies(GOLD),), (limits(require=0),)) == "certificate_policy"
    assert path((policies(GOLD),), (policies(GOLD), limits(require=0))) == ACCEPTED


def test_mappings_that_are_not_der_are_malformed() -> None:
    assert path((policies(GOLD), extension("2.5.29.33", b"\x30\x05")), (policies(GOLD),)) == "malformed"


def test_a_graph_that_would_have_been_an_exponential_tree_is_judged_in_time() -> None:
    # RFC 9618, 1.1: each of two policies is mapped to both, level by level.
    both = (policies(GOLD, SILVER), mappings(*((a, b) for a in (GOLD, SILVER) for b in (GOLD, SILVER))))
    start = time.perf_counter()
    assert path(*[both] * 8, (policies(GOLD),), explicit=REQUIRED, acceptable=wanted(GOLD)) == ACCEPTED
    assert time.perf_counter() - start < 1


def test_the_budget_of_policy_nodes() -> None:
    crowd = policies(*(f"1.3.6.1.4.1.99999.{number}" for number in range(50)))
    ca = ROOT.intermediate("Crowd")
    presented = (
        Fields.of(der_of(ca.leaf().certificate)).plus(crowd).sign(ca.key),
        Fields.of(der_of(ca.certificate)).plus(crowd).sign(ROOT.key),
    )
    asked = PolicyInputs(explicit=REQUIRED)
    assert verdict(presented, TRUST, policies=asked) == ACCEPTED
    assert verdict(presented, TRUST, policies=asked, limits=Limits(policy_nodes=60)) == "limit_exceeded"


@pytest.mark.parametrize("dotted", ["2.5.29.32.0", "1.3.6.1.4.1.99999.1", "2.999.16384", "1.2.840.113549"])
def test_object_identifiers_are_encoded(dotted: str) -> None:
    if dotted != "2.999.16384":
        assert oid(dotted)[2:] == oid_octets(x509.ObjectIdentifier(dotted))
    else:
        assert oid_octets(x509.ObjectIdentifier(dotted)) == bytes.fromhex("8837818000")


def test_the_usual_leaf_needs_no_policies() -> None:
    assert verdict(LEAF.presented(), TRUST, policies=PolicyInputs()) == ACCEPTED
