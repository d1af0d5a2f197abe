"""What a peer, or a customer's CA, can make a verdict cost: under 100 ms, whatever it is (I12).

Asserted with a factor of 3 for shared machines, of three tries the best.
"""

from __future__ import annotations

import time
from typing import Any

import pytest
from cryptography import x509

from mtlskit.core.validation import Limits, TrustStore
from mtlskit.testing.certificates import Authority
from support.der import der_of
from support.validation import ACCEPTED, verdict

LONGEST = 0.100 * 3  # seconds; 3 is the slack for shared machines
ROOT = Authority.root("Cost root")
MANY = Limits(certificates=200, octets=1 << 20)
DEEP = Limits(certificates=200, octets=1 << 20, depth=200)
NAMELESS: dict[str, Any] = {"without": [x509.SubjectKeyIdentifier, x509.AuthorityKeyIdentifier]}


def costs(expected: str, presented: tuple[bytes, ...], trust: TrustStore, **options: Any) -> None:
    best = float("inf")
    for _ in range(3):
        fresh = TrustStore(trust.anchors, intermediates=trust.intermediates)  # nothing remembered
        start = time.perf_counter()
        found = verdict(presented, fresh, **options)
        best = min(best, time.perf_counter() - start)
        assert found == expected
    assert best < LONGEST


@pytest.mark.parametrize("options", [{}, NAMELESS], ids=["with key identifiers", "without"])
def test_fifty_authorities_of_one_name(options: dict[str, Any]) -> None:
    authorities = [ROOT.intermediate("Same name", **options) for _ in range(50)]
    certificates = [each.certificate for each in authorities]
    leaf = der_of(authorities[-1].leaf(**options).certificate)
    stranger = der_of(Authority.root().intermediate("Same name", **options).leaf(**options).certificate)
    presented = tuple(map(der_of, certificates))
    alone, helped = TrustStore([ROOT.certificate]), TrustStore([ROOT.certificate], intermediates=certificates)
    costs(ACCEPTED, (leaf, *presented), alone, limits=MANY)
    costs(ACCEPTED, (leaf,), helped)
    costs("unknown_issuer", (stranger, *presented), alone, limits=MANY)
    costs("unknown_issuer", (stranger,), helped)


def test_fifty_anchors_of_one_name() -> None:
    roots = [Authority.root("Same root", **NAMELESS) for _ in range(50)]
    trust = TrustStore([each.certificate for each in roots])
    costs(ACCEPTED, (der_of(roots[-1].leaf(**NAMELESS).certificate),), trust)
    costs("unknown_issuer", (der_of(Authority.root("Same root").leaf(**NAMELESS).certificate),), trust)


def test_a_hundred_certificates_in_a_chain() -> None:
    authority, chain = ROOT, []
    for number in range(100):
        authority = authority.intermediate(f"Link {number}")
        chain.insert(0, der_of(authority.certificate))
    presented = (der_of(authority.leaf().certificate), *chain)
    trust, other = TrustStore([ROOT.certificate]), TrustStore([Authority.root().certificate])
    costs("limit_exceeded", presented, trust)
    costs("path_too_long", presented, trust, limits=MANY)
    costs("limit_exceeded", presented, trust, limits=DEEP)
    costs("unknown_issuer", presented, other, limits=DEEP)


FORMS = {
    "dns": (lambda at: f"dns:host{at}.a{at % 7}.example", lambda text: x509.DNSName(text)),
    "email": (lambda at: f"email:u{at}@host{at}.a{at % 7}.example", lambda text: x509.RFC822Name("." + text)),
    "uri": (lambda at: f"uri:spiffe://host{at}.a{at % 7}.example/x", lambda text: x509.UniformResourceIdentifier("." + text)),
}  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
def test_two_thousand_names_against_constraints(form: str) -> None:
    name, base = FORMS[form]
    for count, expected in ((118, ACCEPTED), (400, "limit_exceeded")):
        permitted = [base(f"a{at}.example") for at in range(7)] + [
            base(f"z{at}.example") for at in range(count // 2 - 7)
        ]
        constraints = x509.NameConstraints(permitted, [base(f"y{at}.example") for at in range(count // 2)])
        authority = ROOT.intermediate("Constrained", extensions=[(constraints, True)])
        leaf = authority.leaf(sans=tuple(map(name, range(2000))))
        costs(expected, leaf.presented().ders, TrustStore([ROOT.certificate]))
