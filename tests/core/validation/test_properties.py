"""What holds for any input: nothing but PathError comes out, and less trust never accepts more."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mtlskit.core.certificates import PresentedChain, public_key_id
from mtlskit.core.validation import (
    COMPATIBLE,
    RFC5280,
    WEBPKI,
    Pinning,
    TrustAnchor,
    TrustStore,
    verify_path,
)
from mtlskit.errors import PathError
from mtlskit.testing.certificates import Authority
from support.der import der_of
from support.validation import ACCEPTED, INTERMEDIATE, LEAF, NOW, ROOT, verdict

TRUST = TrustStore([ROOT.certificate])
GOOD = LEAF.presented().ders

# cryptography warns of serial numbers and lengths of attributes while it parses; that is not what is tested.
pytestmark = pytest.mark.filterwarnings("ignore")


@given(st.lists(st.binary(max_size=200), min_size=1, max_size=5))
def test_raw_bytes_give_only_path_errors(ders: list[bytes]) -> None:
    assert _only_path_error(tuple(ders))


@settings(max_examples=400)
@given(st.data())
def test_changed_certificates_give_only_path_errors(data: Any) -> None:
    position = data.draw(st.integers(0, 1))
    octets = bytearray(GOOD[position])
    for _ in range(data.draw(st.integers(1, 3))):
        octets[data.draw(st.integers(0, len(octets) - 1))] = data.draw(st.integers(0, 255))
    changed = [*GOOD]
    changed[position] = bytes(octets)
    assert _only_path_error(tuple(changed)) or tuple(changed) == GOOD


def _only_path_error(ders: tuple[bytes, ...]) -> bool:
    for profile in (COMPATIBLE, RFC5280, WEBPKI):
        try:
            verify_path(PresentedChain(ders), TRUST, purpose="client_auth", now=NOW, profile=profile)
        except PathError:
            continue
        return False
    return True


class Revoked:
    def __init__(self, entries: frozenset[tuple[bytes, int]]) -> None:
        self.entries = entries

    def reason_of(self, issuer_key: bytes, serial: int) -> str | None:
        return "revoked" if (issuer_key, serial) in self.entries else None


OTHER = Authority.root("Other root")
CROSSED = OTHER.intermediate("Test intermediate", key=INTERMEDIATE.key)
ENTRIES = [
    TrustAnchor(ROOT.certificate),
    TrustAnchor(OTHER.certificate),
    TrustAnchor(INTERMEDIATE.certificate),
    TrustAnchor(LEAF.certificate),
    TrustAnchor(LEAF.certificate, "pinned", Pinning.PINNED),
]
PRESENTED = [*GOOD, der_of(CROSSED.certificate), der_of(OTHER.certificate)]
LINKS = [
    (public_key_id(issuer), certificate.serial_number)
    for certificate in (LEAF.certificate, INTERMEDIATE.certificate, CROSSED.certificate)
    for issuer in (INTERMEDIATE.certificate, ROOT.certificate, OTHER.certificate)
]


@settings(max_examples=150)
@given(
    st.sets(st.integers(0, len(ENTRIES) - 1)), st.sets(st.integers(0, len(ENTRIES) - 1)),
    st.sets(st.sampled_from(LINKS)), st.sets(st.sampled_from(LINKS)), st.sets(st.integers(1, len(PRESENTED) - 1)),
)  # fmt: skip
def test_fewer_anchors_or_more_revocations_never_accept_more(
    anchors: set[int], removed: set[int], revoked: set[Any], added: set[Any], presented: set[int]
) -> None:
    chain = (PRESENTED[0], *(PRESENTED[each] for each in sorted(presented)))
    wide = TrustStore([ENTRIES[each] for each in anchors], revocations=Revoked(frozenset(revoked)))
    narrow = TrustStore([ENTRIES[each] for each in anchors - removed], revocations=Revoked(frozenset(revoked | added)))
    if verdict(chain, narrow) == ACCEPTED:
        assert verdict(chain, wide) == ACCEPTED


@given(st.permutations(PRESENTED[1:]))
def test_the_order_of_what_is_presented_does_not_matter(others: list[bytes]) -> None:
    assert verdict((PRESENTED[0], *others), TRUST) == ACCEPTED
    assert verdict((PRESENTED[0], *others), TrustStore([])) == "unknown_issuer"
