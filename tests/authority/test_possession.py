"""Nobody's key becomes an authority's before it has shown that it can sign."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from mtlskit.authority import CertificateAuthority
from mtlskit.authority.signers import KeySigner
from mtlskit.core.profiles import PublicKey
from mtlskit.errors import IssuanceError
from mtlskit.ports import Store
from mtlskit.testing.certificates import Authority, new_key


class Fake(KeySigner):
    """Says that it has a key which it has not."""

    def __init__(self, claimed: PublicKey, key: ec.EllipticCurvePrivateKey | None = None) -> None:
        super().__init__(key or new_key())
        self._claimed = claimed

    def public_key(self) -> PublicKey:
        return self._claimed


class Absent(Fake):
    """Does not sign."""

    def sign(self, data: bytes) -> bytes:
        raise OSError("the token was pulled out")


@pytest.mark.parametrize(("kind", "told"), [(Fake, "that has not"), (Absent, "OSError from the signer")])
def test_no_key_becomes_an_authority_s_before_it_has_signed(store: Store, kind: type[Fake], told: str) -> None:
    root, old = CertificateAuthority.create("Root", store=store), Authority.root("Old")
    claimed = new_key().public_key()
    makers: list[Callable[[], object]] = [
        lambda: CertificateAuthority.create("Below", store=store, parent=root, signer=kind(claimed)),
        lambda: CertificateAuthority.create("Another", store=store, signer=kind(claimed)),
        lambda: root.rotation.prepare(signer=kind(claimed)),
        lambda: CertificateAuthority.take_over(
            "Old", [old.certificate], store=store, signer=kind(old.key.public_key())
        ),
    ]
    for make in makers:
        with pytest.raises(IssuanceError, match=f"^private_key: .*{told}"):
            make()
    assert [each.name for each in CertificateAuthority.list(store)] == ["Root"]
    assert root.pending() == ()
    assert len(root.generations) == 1


@pytest.mark.parametrize("kind", ["ec", "rsa", "ed25519"])
def test_a_key_of_any_kind_can_prove_itself(store: Store, kind: str) -> None:
    key = {
        "ec": lambda: ec.generate_private_key(ec.SECP384R1()),
        "rsa": lambda: rsa.generate_private_key(public_exponent=65537, key_size=2048),
        "ed25519": ed25519.Ed25519PrivateKey.generate,
    }[kind]()
    root = CertificateAuthority.create("Root", store=store)
    below = CertificateAuthority.create("Below", store=store, parent=root, signer=KeySigner(key))
    assert below.issue_client("device").certificates


def test_what_is_signed_to_prove_a_key_is_good_for_nothing_else(store: Store) -> None:
    signed: list[bytes] = []

    class Noting(KeySigner):
        def sign(self, data: bytes) -> bytes:
            signed.append(data)
            return super().sign(data)

    for name in ("A", "B"):
        CertificateAuthority.create(name, store=store, signer=Noting(new_key()))
    proofs = signed[::2]
    assert all(each.startswith(b"mtlskit: ") for each in proofs)
    assert all(one != other for one, other in pairwise(proofs))
