"""What a trust store remembers of intermediates: it saves work and changes no verdict."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from mtlskit.core.validation import Limits, TrustStore, builder
from mtlskit.core.validation.memo import REMEMBERED
from mtlskit.testing.certificates import Authority
from support.validation import ACCEPTED, INTERMEDIATE, LEAF, NOW, ROOT, verdict


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The signed octets of each signature that was verified."""
    found: list[bytes] = []
    real = builder.verifies

    def noting(*arguments: Any) -> bool:
        found.append(arguments[3])
        return real(*arguments)

    monkeypatch.setattr(builder, "verifies", noting)
    return found


def test_an_intermediate_of_a_path_that_held_is_verified_once(asked: list[bytes]) -> None:
    trust = TrustStore([ROOT.certificate])
    assert verdict(LEAF.presented(), trust) == ACCEPTED
    assert len(asked) == 2
    assert verdict(INTERMEDIATE.leaf().presented(), trust) == ACCEPTED
    assert len(asked) == 3
    assert verdict(LEAF.presented(), TrustStore([ROOT.certificate])) == ACCEPTED
    assert len(asked) == 5


def test_a_leaf_is_verified_each_time(asked: list[bytes]) -> None:
    trust = TrustStore([ROOT.certificate])
    for _ in range(3):
        assert verdict(LEAF.presented(), trust) == ACCEPTED
    assert asked.count(LEAF.certificate.tbs_certificate_bytes) == 3


def test_a_refused_path_is_not_remembered(asked: list[bytes]) -> None:
    trust = TrustStore([ROOT.certificate])
    stranger = Authority.root().intermediate().leaf()
    expired = INTERMEDIATE.leaf(not_after=NOW - timedelta(seconds=1))
    assert verdict(stranger.presented(), trust) == "unknown_issuer"
    assert verdict(expired.presented(), trust) == "expired"
    asked.clear()
    assert verdict(LEAF.presented(), trust) == ACCEPTED
    assert len(asked) == 2


def test_time_purpose_and_anchors_are_judged_anew() -> None:
    trust = TrustStore([ROOT.certificate])
    assert verdict(LEAF.presented(), trust) == ACCEPTED
    later = INTERMEDIATE.certificate.not_valid_after_utc + timedelta(seconds=1)
    assert verdict(INTERMEDIATE.leaf(not_after=later + timedelta(days=1)).presented(), trust, now=later) == "expired"
    assert verdict(LEAF.presented(), trust, purpose="email") == "wrong_purpose"
    twin = TrustStore([Authority.root("Twin", key=ROOT.key).certificate])
    twin.memo = trust.memo
    assert verdict(LEAF.presented(), twin) == "unknown_issuer"


def test_the_key_that_is_remembered_is_the_one_that_signed() -> None:
    trust = TrustStore([ROOT.certificate])
    assert verdict(LEAF.presented(), trust) == ACCEPTED
    impostor = TrustStore([Authority.root(ROOT.certificate.subject.rfc4514_string().removeprefix("CN=")).certificate])
    impostor.memo = trust.memo
    assert verdict(LEAF.presented(), impostor) == "unknown_issuer"


def test_a_verdict_by_the_budget_does_not_depend_on_what_was_asked_before() -> None:
    trust = TrustStore([ROOT.certificate])
    for _ in range(2):
        assert verdict(LEAF.presented(), trust, limits=Limits(signatures=1)) == "limit_exceeded"
        assert verdict(LEAF.presented(), trust) == ACCEPTED


def test_it_is_bounded() -> None:
    trust = TrustStore([ROOT.certificate])
    for _ in range(REMEMBERED + 3):
        assert verdict(ROOT.intermediate().leaf().presented(), trust) == ACCEPTED
        assert len(trust.memo._known) <= REMEMBERED
