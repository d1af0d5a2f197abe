"""Path building: anchors by key and name, candidates, branches, lengths, budgets, and the proof that comes out."""

from __future__ import annotations

import copy
import pickle
import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from mtlskit.core.certificates import PresentedChain, public_key_id
from mtlskit.core.reasons import Reason
from mtlskit.core.validation import (
    COMPATIBLE,
    RFC5280,
    Limits,
    Pinning,
    Purpose,
    TrustAnchor,
    TrustStore,
    VerifiedPath,
    verify_path,
)
from mtlskit.errors import ConfigurationError
from mtlskit.testing.certificates import CLIENT_AUTH, SERVER_AUTH, Authority, build, name_of
from support.der import Fields, cn, der_of, name
from support.validation import ACCEPTED, INTERMEDIATE, LEAF, NOW, ROOT, load, refusal, verdict

TRUST = TrustStore([ROOT.certificate])
BARE = (x509.SubjectKeyIdentifier, x509.AuthorityKeyIdentifier)


def path_of(chain: PresentedChain, trust: TrustStore, **options: Any) -> VerifiedPath:
    return verify_path(chain, trust, purpose=Purpose.CLIENT_AUTH, now=NOW, **options)


def signed(
    subject: str, issuer: str, public: Any, signing: Any, *, ca: bool = True, bare: bool = False, **options: Any
) -> x509.Certificate:
    return build(
        subject=name_of(subject), issuer=name_of(issuer), public_key=public.public_key(), signing_key=signing, ca=ca,
        usages=() if ca else (CLIENT_AUTH,), without=BARE if bare else (), **options,
    )  # fmt: skip


def new_key() -> Any:
    return ec.generate_private_key(ec.SECP256R1())


# --- anchors ---------------------------------------------------------------------------------------------------


def test_a_path_names_its_certificates_its_anchor_and_its_links() -> None:
    path = path_of(LEAF.presented(), TRUST)
    assert path.certificates == (LEAF.certificate, INTERMEDIATE.certificate, ROOT.certificate)
    assert path.leaf == LEAF.certificate
    assert path.anchor.certificate == ROOT.certificate
    assert path.links == (
        (public_key_id(INTERMEDIATE.certificate), LEAF.serial_number),
        (public_key_id(ROOT.certificate), INTERMEDIATE.certificate.serial_number),
    )
    assert [str(san) for san in path.sans] == ["dns:device.example", "uri:spiffe://example/device"]
    assert (path.purpose, path.profile) == (Purpose.CLIENT_AUTH, COMPATIBLE)


def test_not_after_is_the_earliest_end_in_the_path() -> None:
    soon = NOW + timedelta(minutes=5)
    short = ROOT.intermediate("Short", not_after=soon)
    assert path_of(short.leaf().presented(), TRUST).not_after == soon


@pytest.mark.parametrize("kind", ["rsa", "compressed"])
def test_links_are_those_of_public_key_id_whatever_the_encoding(kind: str) -> None:
    from cryptography.hazmat.primitives.asymmetric import rsa
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    from support.der import encode, oid, seq

    key = rsa.generate_private_key(65537, 2048) if kind == "rsa" else new_key()
    root = Authority.root("Odd", key=key)
    certificate = root.certificate
    if kind == "compressed":
        point = key.public_key().public_bytes(Encoding.X962, PublicFormat.CompressedPoint)
        spki = seq(seq(oid("1.2.840.10045.2.1"), oid("1.2.840.10045.3.1.7")), encode(3, b"\0", point))
        certificate = load(Fields.of(der_of(certificate)).but(spki=spki).sign(key))
    path = path_of(root.leaf().presented(), TrustStore([certificate]))
    assert path.links[0][0] == public_key_id(certificate)


def test_an_anchor_of_the_same_name_with_another_key_is_none() -> None:
    impostor = Authority.root()
    assert impostor.certificate.subject == ROOT.certificate.subject
    assert verdict(LEAF.presented(), TrustStore([impostor.certificate])) == "unknown_issuer"
    assert verdict(LEAF.presented(), TrustStore([impostor.certificate, ROOT.certificate])) == ACCEPTED


@pytest.mark.parametrize("bare", [True, False])
def test_a_look_alike_without_key_identifiers_is_no_issuer(bare: object) -> None:
    key, other = new_key(), new_key()
    root = signed("Same", "Same", key, key, bare=bool(bare))
    leaf = signed("device", "Same", new_key(), other, ca=False, bare=bool(bare), sans=("dns:a.example",))
    assert verdict((der_of(leaf),), TrustStore([root])) == "unknown_issuer"


def test_an_empty_trust_store_accepts_nobody() -> None:
    assert verdict(LEAF.presented(), TrustStore([])) == "unknown_issuer"


def test_a_presented_root_is_not_trusted() -> None:
    stranger = Authority.root("Stranger")
    chain = stranger.intermediate("Below").leaf()
    presented = (*chain.presented().ders, der_of(stranger.certificate))
    error = refusal(presented, TRUST)
    assert error is not None
    assert (error.reason, error.certificate) == (Reason.UNKNOWN_ISSUER, stranger.certificate)


def test_an_intermediate_may_be_the_anchor() -> None:
    path = path_of(LEAF.presented(), TrustStore([INTERMEDIATE.certificate]))
    assert path.certificates == (LEAF.certificate, INTERMEDIATE.certificate)


def test_a_leaf_in_the_store_is_trusted_only_if_its_entry_says_pinned() -> None:
    lonely = Authority.root("Lonely").leaf()
    assert verdict(lonely.presented(), TrustStore([lonely.certificate])) == "unknown_issuer"
    pinned = TrustStore([TrustAnchor(lonely.certificate, "the device", Pinning.PINNED)])
    path = path_of(lonely.presented(), pinned)
    assert (path.certificates, path.links, path.anchor.id) == ((lonely.certificate,), (), "the device")


def test_a_pinned_leaf_is_still_judged() -> None:
    lonely = Authority.root("Lonely").leaf(usages=(SERVER_AUTH,))
    pinned = TrustStore([TrustAnchor(lonely.certificate, pinned=Pinning.PINNED)])
    assert verdict(lonely.presented(), pinned) == "wrong_purpose"
    assert verdict(lonely.presented(), pinned, now=NOW + timedelta(days=99)) == "expired"


def test_a_self_signed_leaf_in_the_store_is_unknown() -> None:
    key = new_key()
    leaf = signed("device", "device", key, key, ca=False, sans=("dns:a.example",))
    assert verdict((der_of(leaf),), TrustStore([leaf])) == "unknown_issuer"
    assert verdict((der_of(leaf),), TrustStore([leaf]), profile=RFC5280) == "unknown_issuer"


def test_an_anchors_id_is_its_fingerprint_unless_named() -> None:
    import hashlib

    assert TrustAnchor(ROOT.certificate).id == hashlib.sha256(der_of(ROOT.certificate)).hexdigest()
    assert path_of(LEAF.presented(), TrustStore([TrustAnchor(ROOT.certificate, "ours")])).anchor.id == "ours"


@pytest.mark.parametrize("wrong", [b"bytes", None, "text"])
def test_what_is_no_certificate_cannot_be_an_anchor_or_a_helper(wrong: Any) -> None:
    with pytest.raises(ConfigurationError):
        TrustStore([wrong])
    with pytest.raises(ConfigurationError):
        TrustStore([], intermediates=[wrong])


# --- names (RFC 5280, 7.1) --------------------------------------------------------------------------------------


@pytest.mark.parametrize("spelling", [
    cn("TEST ROOT"),
    cn("  Test \t  root "),
    cn("Test root", tag=0x13),
    name(("2.5.4.3", 0x1E, "Test root".encode("utf-16-be"))),
    name(("2.5.4.3", 0x14, b"tEST rOOT")),
])  # fmt: skip
def test_issuer_and_subject_are_compared_as_names(spelling: bytes) -> None:
    fields = Fields.of(der_of(ROOT.leaf().certificate)).but(issuer=spelling)
    assert verdict((fields.sign(ROOT.key),), TRUST) == ACCEPTED
    below = Fields.of(der_of(INTERMEDIATE.certificate)).but(issuer=spelling)
    assert verdict((LEAF.presented().leaf_der, below.sign(ROOT.key)), TRUST) == ACCEPTED


@pytest.mark.parametrize("spelling", [cn("Testroot"), cn("Test root 2"), name(("2.5.4.10", 0x0C, b"Test root"))])
def test_another_name_is_another_issuer(spelling: bytes) -> None:
    fields = Fields.of(der_of(ROOT.leaf().certificate)).but(issuer=spelling)
    assert verdict((fields.sign(ROOT.key),), TRUST) == "unknown_issuer"


# --- branches ---------------------------------------------------------------------------------------------------


def test_the_order_of_the_presented_certificates_is_free_and_they_may_repeat() -> None:
    chain = ROOT.intermediate("One").intermediate("Two").intermediate("Three").leaf()
    leaf, *others = chain.presented().ders
    assert verdict((leaf, *reversed(others), *others, leaf), TRUST) == ACCEPTED


def test_a_missing_intermediate_can_be_had_from_the_trust_store_only() -> None:
    leaf = LEAF.presented().leaf_der
    assert verdict((leaf,), TRUST) == "unknown_issuer"
    assert verdict((leaf,), TrustStore([ROOT.certificate], intermediates=[INTERMEDIATE.certificate])) == ACCEPTED
    assert verdict((leaf,), TrustStore([], intermediates=[INTERMEDIATE.certificate])) == "unknown_issuer"


@pytest.mark.parametrize("order", [1, -1])
def test_a_branch_that_is_expired_does_not_hide_a_good_one(order: int) -> None:
    key = new_key()
    past = NOW - timedelta(days=1)
    old = signed("Crossed", "Test root", key, ROOT.key, not_before=past - timedelta(days=9), not_after=past)
    other = Authority.root("Other root")
    good = signed("Crossed", "Other root", key, other.key)
    leaf = signed("device", "Crossed", new_key(), key, ca=False, sans=("dns:a.example",))
    branches = [der_of(old), der_of(good)][::order]
    both = TrustStore([ROOT.certificate, other.certificate])
    assert verdict((der_of(leaf), *branches), both) == ACCEPTED
    assert verdict((der_of(leaf), *branches), TRUST) == "expired"


def test_a_branch_with_a_constraint_does_not_hide_a_good_one() -> None:
    key = new_key()
    narrow = signed("Crossed", "Test root", key, ROOT.key, extensions=[(
        x509.NameConstraints([x509.DNSName("other.example")], None), True,
    )])  # fmt: skip
    wide = signed("Crossed", "Test root", key, ROOT.key)
    leaf = signed("device", "Crossed", new_key(), key, ca=False, sans=("dns:a.example",))
    assert verdict((der_of(leaf), der_of(narrow)), TRUST) == "name_not_permitted"
    assert verdict((der_of(leaf), der_of(narrow), der_of(wide)), TRUST) == ACCEPTED


def test_the_branch_that_got_further_tells() -> None:
    key = new_key()
    unknown = signed("Crossed", "Nobody", key, new_key())
    wrong = signed("Crossed", "Test root", key, ROOT.key, not_after=NOW - timedelta(seconds=1))
    leaf = signed("device", "Crossed", new_key(), key, ca=False, sans=("dns:a.example",))
    assert verdict((der_of(leaf), der_of(unknown)), TRUST) == "unknown_issuer"
    assert verdict((der_of(leaf), der_of(unknown), der_of(wrong)), TRUST) == "expired"


def test_a_strangers_fault_says_nothing_about_a_path() -> None:
    # Of the right name but another key, and expired: it is no issuer, so the path is not expired.
    lookalike = Authority.root("Test root", not_after=NOW - timedelta(seconds=1))
    assert verdict(LEAF.presented(), TrustStore([lookalike.certificate])) == "unknown_issuer"


def test_a_loop_of_cross_signed_cas_ends() -> None:
    a, b = new_key(), new_key()
    loop = [signed("A", "B", a, b), signed("B", "A", b, a), signed("A", "A", a, a), signed("B", "B", b, b)]
    leaf = signed("device", "A", new_key(), a, ca=False, sans=("dns:a.example",))
    presented = (der_of(leaf), *map(der_of, loop))
    assert verdict(presented, TRUST) == "unknown_issuer"
    out = signed("B", "Test root", b, ROOT.key)
    assert verdict((*presented, der_of(out)), TRUST) == ACCEPTED


def test_self_issued_roll_over() -> None:
    old, new = new_key(), new_key()
    anchor = signed("Rolling", "Rolling", old, old)
    new_with_old = signed("Rolling", "Rolling", new, old)
    leaf = signed("device", "Rolling", new_key(), new, ca=False, sans=("dns:a.example",))
    assert verdict((der_of(leaf), der_of(new_with_old)), TrustStore([anchor])) == ACCEPTED
    assert verdict((der_of(leaf),), TrustStore([anchor])) == "unknown_issuer"


# --- lengths ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("height", "allowed", "expected"), [
    (0, 0, ACCEPTED), (1, 0, "path_too_long"), (1, 1, ACCEPTED), (3, 2, "path_too_long"), (3, 3, ACCEPTED),
])  # fmt: skip
def test_the_path_length_of_an_anchor(height: int, allowed: int, expected: str) -> None:
    root = Authority.root("Tower", path_length=allowed)
    top = root
    for floor in range(height):
        top = top.intermediate(f"Floor {floor}")
    assert verdict(top.leaf().presented(), TrustStore([root.certificate])) == expected


def test_the_path_length_of_an_intermediate_cannot_be_raised_below() -> None:
    tight = ROOT.intermediate("Tight", path_length=0)
    assert verdict(tight.leaf().presented(), TRUST) == ACCEPTED
    assert verdict(tight.intermediate("Below", path_length=5).leaf().presented(), TRUST) == "path_too_long"


def test_self_issued_intermediates_do_not_count() -> None:
    old, new = new_key(), new_key()
    anchor = signed("Rolling", "Rolling", old, old, path_length=0)
    new_with_old = signed("Rolling", "Rolling", new, old, path_length=0)
    leaf = signed("device", "Rolling", new_key(), new, ca=False, sans=("dns:a.example",))
    presented = (der_of(leaf), der_of(new_with_old))
    assert verdict(presented, TrustStore([anchor])) == ACCEPTED
    assert verdict(presented, TrustStore([anchor]), limits=Limits(depth=0)) == ACCEPTED


@pytest.mark.parametrize(("height", "expected"), [(8, ACCEPTED), (9, "path_too_long")])
def test_the_configured_depth(height: int, expected: str) -> None:
    root = Authority.root("Tower")
    top = root
    for floor in range(height):
        top = top.intermediate(f"Floor {floor}")
    trust = TrustStore([root.certificate])
    assert verdict(top.leaf().presented(), trust) == expected
    assert verdict(top.leaf().presented(), trust, limits=Limits(depth=height)) == ACCEPTED


# --- revocations of our own authorities -----------------------------------------------------------------------------


class Revoked:
    def __init__(self, entries: Mapping[tuple[bytes, int], str]) -> None:
        self.entries = entries
        self.asked: list[tuple[bytes, int]] = []

    def reason_of(self, issuer_key: bytes, serial: int) -> str | None:
        self.asked.append((issuer_key, serial))
        return self.entries.get((issuer_key, serial))


@pytest.mark.parametrize("position", [0, 1])
def test_what_an_authority_of_ours_revoked_stays_revoked(position: int) -> None:
    links = path_of(LEAF.presented(), TRUST).links
    trust = TrustStore([ROOT.certificate], revocations=Revoked({links[position]: "key_compromise"}))
    error = refusal(LEAF.presented(), trust)
    assert error is not None
    assert (error.reason, error.facts) == (Reason.REVOKED, {"why": "key_compromise"})
    assert error.certificate == (LEAF.certificate, INTERMEDIATE.certificate)[position]


def test_the_authority_is_asked_for_every_certificate_but_the_anchor() -> None:
    revocations = Revoked({})
    path = path_of(LEAF.presented(), TrustStore([ROOT.certificate], revocations=revocations))
    assert revocations.asked == list(path.links)


def test_the_same_serial_under_another_key_is_another_certificate() -> None:
    entries = {(public_key_id(ROOT.certificate), LEAF.serial_number): "key_compromise"}
    assert verdict(LEAF.presented(), TrustStore([ROOT.certificate], revocations=Revoked(entries))) == ACCEPTED


def test_an_authority_that_cannot_answer_denies() -> None:
    class Broken:
        def reason_of(self, issuer_key: bytes, serial: int) -> str | None:
            raise TimeoutError("late")

    assert verdict(LEAF.presented(), TrustStore([ROOT.certificate], revocations=Broken())) == "store_unavailable"


# --- budgets ----------------------------------------------------------------------------------------------------


def test_many_cas_of_one_name_are_answered_in_time() -> None:
    keys = [new_key() for _ in range(38)]
    others = [der_of(signed("Crowd", "Test root", key, key, bare=True)) for key in keys]
    real = new_key()
    leaf = signed("device", "Crowd", new_key(), real, ca=False, bare=True, sans=("dns:a.example",))
    start = time.perf_counter()
    assert verdict((der_of(leaf), *others), TRUST) in ("unknown_issuer", "limit_exceeded")
    assert time.perf_counter() - start < 0.5  # 100 ms when alone on the machine
    good = signed("Crowd", "Test root", real, ROOT.key, bare=True)
    assert verdict((der_of(leaf), *others, der_of(good)), TRUST) == ACCEPTED


def test_the_budget_of_signature_checks() -> None:
    assert verdict(LEAF.presented(), TRUST, limits=Limits(signatures=1)) == "limit_exceeded"
    assert verdict(LEAF.presented(), TRUST, limits=Limits(signatures=2)) == ACCEPTED


def test_the_budget_of_candidates() -> None:
    assert verdict(LEAF.presented(), TRUST, limits=Limits(candidates=1)) == "limit_exceeded"
    assert verdict(LEAF.presented(), TRUST, limits=Limits(candidates=2)) == ACCEPTED


def test_the_store_is_not_asked_about_what_a_stranger_made() -> None:
    revocations = Revoked({})
    forged = Fields.of(der_of(LEAF.certificate)).sign(new_key())
    presented = (forged, der_of(INTERMEDIATE.certificate))
    assert verdict(presented, TrustStore([ROOT.certificate], revocations=revocations)) == "bad_signature"
    assert revocations.asked == []


def test_a_dense_web_of_cas_costs_no_more_than_the_budget() -> None:
    # Every CA of a floor issued every CA of the floor below: 5^7 paths, each with good signatures.
    floors = [[new_key() for _ in range(5)] for _ in range(7)]
    web = [
        der_of(signed(f"Floor {at}", f"Floor {at + 1}", key, floors[at + 1][number] if at < 6 else key, bare=True))
        for at, floor in enumerate(floors) for number, key in enumerate(floor)
    ]  # fmt: skip
    leaf = signed("device", "Floor 0", new_key(), floors[0][0], ca=False, bare=True, sans=("dns:a.example",))
    start = time.perf_counter()
    assert verdict((der_of(leaf), *web), TRUST) in ("unknown_issuer", "limit_exceeded")
    assert time.perf_counter() - start < 1


def test_each_pair_of_key_and_certificate_is_verified_once(monkeypatch: pytest.MonkeyPatch) -> None:
    from mtlskit.core.validation import builder

    asked: list[tuple[int, bytes]] = []
    real = builder.verifies

    def noting(*arguments: Any) -> bool:
        asked.append((id(arguments[0]), arguments[3]))
        return real(*arguments)

    monkeypatch.setattr(builder, "verifies", noting)
    assert verdict(LEAF.presented(), TrustStore([ROOT.certificate])) == ACCEPTED
    assert len(asked) == 2
    asked.clear()
    twins = [Authority.root("Twin", key=ROOT.key).certificate, ROOT.certificate]
    stranger = Authority.root().intermediate().leaf()
    assert verdict(stranger.presented(), TrustStore(twins)) == "unknown_issuer"
    assert len(asked) == len(set(asked))


# --- the proof --------------------------------------------------------------------------------------------------


def test_nobody_else_can_make_or_change_or_copy_a_proof() -> None:
    path = path_of(LEAF.presented(), TRUST)
    with pytest.raises(TypeError, match="expected verify_path to make a VerifiedPath"):
        VerifiedPath(
            certificates=path.certificates, anchor=path.anchor, links=path.links, not_after=path.not_after,
            purpose=path.purpose, profile=path.profile, statuses=(), proof=object(),
        )  # fmt: skip
    with pytest.raises((TypeError, ValueError)):
        replace(path, not_after=NOW + timedelta(days=999))
    with pytest.raises(TypeError):
        pickle.dumps(path)
    with pytest.raises(TypeError):
        copy.copy(path)


@pytest.mark.parametrize("wrong", [
    {"purpose": "nothing"}, {"now": 0}, {"profile": "compatible"}, {"revocation": "sometimes"}, {"limits": 5},
    {"policies": None}, {"reference_name": "a.example"},
])  # fmt: skip
def test_wrong_arguments_are_the_callers_mistake(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        verify_path(LEAF.presented(), TRUST, **{"purpose": "client_auth", "now": NOW, **wrong})
    with pytest.raises(ConfigurationError):
        verify_path(b"der", TRUST, purpose="client_auth", now=NOW)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError):
        verify_path(LEAF.presented(), [ROOT.certificate], purpose="client_auth", now=NOW)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError):
        verify_path(PresentedChain(("text",)), TRUST, purpose="client_auth", now=NOW)  # type: ignore[arg-type]


def test_the_store_can_be_shared_and_reused() -> None:
    for _ in range(3):
        assert verdict(LEAF.presented(), TRUST) == ACCEPTED
    assert [anchor.certificate for anchor in TRUST.anchors] == [ROOT.certificate]
    assert repr(TRUST) == "<TrustStore anchors=1>"


def test_an_anchor_or_helper_whose_name_cannot_be_read_is_a_mistake_of_the_operator() -> None:
    from support.der import encode, seq

    odd = load(Fields.of(der_of(ROOT.certificate)).but(subject=seq(encode(0x31))).sign(ROOT.key))
    with pytest.raises(ConfigurationError, match="anchor"):
        TrustStore([odd])
    with pytest.raises(ConfigurationError, match="intermediates"):
        TrustStore([], intermediates=[odd])
