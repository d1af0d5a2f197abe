"""Less trust, more revocation, tighter limits and stricter stances never turn a refusal into an acceptance.

Where this does not hold is shown too. A budget is spent on all that is tried, so taking away what costs much (an
anchor, a certificate, depth) can leave enough for a path that was out of reach: there the refusal was
`limit_exceeded`. A list that is added may say what was unknown, and a newer one may release. RFC5280 is no stricter
than COMPATIBLE on two rows, and WEBPKI than RFC5280 on one.
"""

from __future__ import annotations

from dataclasses import fields, replace
from datetime import timedelta
from functools import cache
from itertools import pairwise
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given, settings
from hypothesis import strategies as st

from differential.hierarchies import NOW, Hierarchy, hierarchy
from mtlskit.core.validation import (
    COMPATIBLE,
    RFC5280,
    WEBPKI,
    AnyPolicy,
    ExplicitPolicy,
    Limits,
    PolicyInputs,
    PolicyMapping,
    Profile,
    RevocationList,
    Stance,
    TrustStore,
)
from mtlskit.testing.certificates import CLIENT_AUTH, Authority
from support.validation import ACCEPTED, verdict

# cryptography warns of serial numbers while it parses them.
pytestmark = pytest.mark.filterwarnings("ignore")

PROFILES = (COMPATIBLE, RFC5280, WEBPKI)
STANCES = sorted(
    field.name for field in fields(Profile) if field.name not in ("name", "public_suffixes", "key_identifier_mismatch")
)
cached = cache(hierarchy)
hierarchies = st.integers(0, 400).map(cached)
quickly = settings(max_examples=40, deadline=None)


def judge(case: Hierarchy, anchors: Any = None, **options: Any) -> str:
    trust = TrustStore(case.anchors if anchors is None else anchors)
    return verdict(case.presented, trust, now=NOW, **options)


@quickly
@given(hierarchies, st.data(), st.sampled_from(PROFILES))
def test_fewer_anchors_never_accept_more(case: Hierarchy, data: Any, profile: Profile) -> None:
    kept = data.draw(st.lists(st.sampled_from(case.anchors), unique_by=id)) if case.anchors else []
    if judge(case, kept, profile=profile) == ACCEPTED:
        assert judge(case, profile=profile) == ACCEPTED


LOWERED = {
    "signatures": range(6), "comparisons": range(4), "certificates": range(1, 7), "octets": range(400, 4_000, 300),
    "depth": range(4), "candidates": range(8), "policy_nodes": range(4),
}  # fmt: skip


@quickly
@given(hierarchies, st.sampled_from([*LOWERED]), st.data())
def test_a_lower_limit_never_accepts_more(case: Hierarchy, name: str, data: Any) -> None:
    low, high = sorted((data.draw(st.sampled_from(LOWERED[name])), data.draw(st.sampled_from(LOWERED[name]))))
    tight, wide = (judge(case, limits=Limits(**{name: value})) for value in (low, high))
    if tight == ACCEPTED:
        assert wide == ACCEPTED


def test_but_less_depth_may_leave_the_budget_for_a_path_that_is_near() -> None:
    root, tower = Authority.root("Near"), Authority.root("Far")
    for floor in range(3):
        tower = tower.intermediate(f"Floor {floor}")
    detour = tower.intermediate("Issuer", key=root.key)
    near = root.intermediate("Issuer", key=detour.key)
    presented = (*detour.leaf(usages=(CLIENT_AUTH,)).presented().ders, *near.leaf().presented().ders[1:])
    trust = TrustStore([root.certificate])
    deep, shallow = (verdict(presented, trust, now=NOW, limits=Limits(depth=depth, candidates=4)) for depth in (8, 1))
    assert (deep, shallow) == ("limit_exceeded", ACCEPTED)


@quickly
@given(hierarchies, st.sampled_from(PROFILES), st.sets(st.sampled_from(STANCES)))
def test_a_stricter_stance_never_accepts_more(case: Hierarchy, profile: Profile, refused: set[str]) -> None:
    strict = replace(profile, name="strict", **dict.fromkeys(refused, Stance.REFUSE))
    if judge(case, profile=strict) == ACCEPTED:
        assert judge(case, profile=profile) == ACCEPTED


@quickly
@given(hierarchies)
def test_what_webpki_accepts_compatible_accepts(case: Hierarchy) -> None:
    if judge(case, profile=WEBPKI) == ACCEPTED:
        assert judge(case, profile=COMPATIBLE) == ACCEPTED


@pytest.mark.parametrize(("strict", "loose", "rows"), [
    (RFC5280, COMPATIBLE, {"ca_as_leaf", "leaf_without_digital_signature"}),
    (WEBPKI, RFC5280, {"non_critical_name_constraints"}),
    (WEBPKI, COMPATIBLE, set()),
])  # fmt: skip
def test_on_these_rows_the_stricter_profile_is_not_stricter(strict: Profile, loose: Profile, rows: set[str]) -> None:
    found = {
        name for name in STANCES if (getattr(strict, name), getattr(loose, name)) == (Stance.ACCEPT, Stance.REFUSE)
    }
    assert found == rows


# --- revocation -----------------------------------------------------------------------------------------------------

ROOT = Authority.root("Monotone root")
MIDDLE = ROOT.intermediate("Monotone intermediate")
LEAF = MIDDLE.leaf()
SERIALS = (LEAF.serial_number, MIDDLE.certificate.serial_number, 7)
MODES = ("off", "leaf", "path")


@cache
def listing(of_root: bool, serials: frozenset[int], number: int, is_delta: bool, is_fresh: bool) -> RevocationList:
    by = ROOT if of_root else MIDDLE
    end = NOW + timedelta(days=1) if is_fresh else NOW - timedelta(hours=1)
    builder = x509.CertificateRevocationListBuilder(by.certificate.subject, NOW - timedelta(days=1), end)
    builder = builder.add_extension(x509.CRLNumber(number), False)
    if is_delta:
        builder = builder.add_extension(x509.DeltaCRLIndicator(1), True)
    for serial in serials:
        builder = builder.add_revoked_certificate(
            x509.RevokedCertificateBuilder(serial, NOW - timedelta(days=1)).build()
        )
    return RevocationList(builder.sign(by.key, hashes.SHA256()).public_bytes(Encoding.DER))


lists = st.lists(
    st.tuples(
        st.booleans(), st.frozensets(st.sampled_from(SERIALS)), st.integers(1, 3), st.booleans(),
        st.sampled_from((True, True, True, False)),
    ), max_size=4,
)  # fmt: skip


OPT_OUTS = [
    {"revocation_unknown": unknown, "revocation_stale": stale}
    for unknown in ("deny", "insecure_allow")
    for stale in ("deny", "insecure_allow")
]


def asked(found: Any, **options: Any) -> str:
    trust = TrustStore([ROOT.certificate], lists=[listing(*each) for each in found])
    return verdict(LEAF.presented(), trust, now=NOW, **options)


@quickly
@given(lists, st.data(), st.sampled_from(MODES), st.sampled_from(PROFILES))
def test_one_more_entry_never_accepts_more(found: Any, data: Any, mode: str, profile: Profile) -> None:
    more = [(each[0], each[1] | data.draw(st.frozensets(st.sampled_from(SERIALS))), *each[2:]) for each in found]
    if asked(more, revocation=mode, profile=profile) == ACCEPTED:
        assert asked(found, revocation=mode, profile=profile) == ACCEPTED


@quickly
@given(lists, st.sampled_from(PROFILES))
def test_asking_more_never_accepts_more(found: Any, profile: Profile) -> None:
    for opt_outs in OPT_OUTS:
        verdicts = [asked(found, revocation=mode, profile=profile, **opt_outs) for mode in MODES]
        for less, more in pairwise(verdicts):
            assert less == ACCEPTED or more != ACCEPTED
    for mode in MODES:
        if asked(found, revocation=mode, profile=profile) == ACCEPTED:
            for opt_outs in OPT_OUTS:
                assert asked(found, revocation=mode, profile=profile, **opt_outs) == ACCEPTED


def test_but_one_more_list_may_say_what_was_unknown_and_a_newer_one_releases() -> None:
    good, revoking = (False, frozenset(), 3, False, True), (False, frozenset({LEAF.serial_number}), 1, False, True)
    assert [asked(found, revocation="leaf") for found in ((), (good,))] == ["revocation_unknown", ACCEPTED]
    assert [asked(found, revocation="leaf") for found in ((revoking,), (revoking, good))] == ["revoked", ACCEPTED]


# --- policies -------------------------------------------------------------------------------------------------------

GOLD, SILVER, ANY = (x509.ObjectIdentifier(dotted) for dotted in ("1.2.3.1", "1.2.3.2", "2.5.29.32.0"))
policies = st.frozensets(st.sampled_from((GOLD, SILVER, ANY)))


@cache
def certified(of_ca: frozenset[Any], of_leaf: frozenset[Any], requires: bool) -> tuple[bytes, ...]:
    def asserting(found: frozenset[Any]) -> list[Any]:
        return (
            [(x509.CertificatePolicies([x509.PolicyInformation(each, None) for each in found]), False)] if found else []
        )

    demand = [(x509.PolicyConstraints(0, None), True)] if requires else []
    ca = ROOT.intermediate("Policies", extensions=[*asserting(of_ca), *demand])
    return ca.leaf(extensions=asserting(of_leaf)).presented().ders


@quickly
@given(
    policies,
    policies,
    st.booleans(),
    policies,
    policies,
    st.sets(st.sampled_from(("explicit", "mapping", "any_policy"))),
)
def test_more_asked_of_policies_never_accepts_more(
    of_ca: Any, of_leaf: Any, requires: bool, acceptable: Any, dropped: Any, tightened: set[str]
) -> None:
    presented = certified(of_ca, of_leaf, requires)
    tight: dict[str, Any] = {
        "explicit": ExplicitPolicy.REQUIRED, "mapping": PolicyMapping.INHIBITED, "any_policy": AnyPolicy.INHIBITED,
    }  # fmt: skip
    loose = PolicyInputs(acceptable=acceptable)
    strict = PolicyInputs(acceptable=acceptable - dropped, **{name: tight[name] for name in tightened})
    trust = TrustStore([ROOT.certificate])
    if verdict(presented, trust, now=NOW, policies=strict) == ACCEPTED:
        assert verdict(presented, trust, now=NOW, policies=loose) == ACCEPTED
