"""The two spellings of an ECDSA signature, and the fingerprints of a certificate that come of them."""

from __future__ import annotations

from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from mtlskit.core.certificates import to_der
from mtlskit.core.twins import _ORDERS, _twin, fingerprints
from mtlskit.testing.certificates import Authority

CURVES: list[Any] = [ec.SECP256R1(), ec.SECP384R1(), ec.SECP521R1()]


@pytest.mark.parametrize("curve", CURVES, ids=lambda curve: curve.name)
def test_the_other_spelling_verifies_and_has_the_same_fingerprints(curve: Any) -> None:
    root = Authority.root(key=ec.generate_private_key(curve))
    leaf = root.leaf("device-17").certificate
    twin = x509.load_der_x509_certificate(_twin(to_der(leaf), leaf, _ORDERS[curve.name]))

    twin.verify_directly_issued_by(root.certificate)
    assert twin != leaf
    assert twin.tbs_certificate_bytes == leaf.tbs_certificate_bytes
    assert fingerprints(twin, root.certificate) == fingerprints(leaf, root.certificate)[::-1]
    assert None not in fingerprints(leaf, root.certificate)


@pytest.mark.parametrize(
    "key", [ed25519.Ed25519PrivateKey.generate(), rsa.generate_private_key(65537, 2048)], ids=["ed25519", "rsa"]
)
def test_other_signatures_have_one_spelling(key: Any) -> None:
    root = Authority.root(key=key)

    assert len(fingerprints(root.leaf("device-17").certificate, root.certificate)) == 1


@pytest.mark.invariant(9)
@pytest.mark.parametrize("issuer", [None, Authority.root(key=ed25519.Ed25519PrivateKey.generate()).certificate])
def test_i9_a_spelling_that_cannot_be_told_is_not_known(issuer: x509.Certificate | None) -> None:
    assert fingerprints(Authority.root().leaf("device-17").certificate, issuer)[1] is None
