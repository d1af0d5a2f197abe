"""What ends trust needs no private key: not the one that seals the others, and no token that has been taken away."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from mtlskit.authority import CertificateAuthority
from mtlskit.authority.signers import KeySigner
from mtlskit.core.certificates import PresentedChain, SigningChain
from mtlskit.core.evidence import PeerEvidence
from mtlskit.core.verdict import Allow
from mtlskit.errors import ConfigurationError, StoreError
from mtlskit.gate import Gate
from mtlskit.ports import Store
from mtlskit.stores import KeyEncryption, open_store
from mtlskit.testing.certificates import Authority, new_key

from .conftest import KEYS

HOST, OTHER = "pay.acme.example", "other.example"


@pytest.fixture
def keyless(tmp_path: Path) -> Iterator[tuple[Store, Store]]:
    """A store, and the same one opened with the wrong key-encryption key."""
    url = f"sqlite:///{tmp_path}/state.db"
    right, wrong = open_store(url, keys=KEYS), open_store(url, keys=KeyEncryption(b"9" * 32))
    yield right, wrong
    right.close()
    wrong.close()


def test_revoke_and_release_without_the_key_encryption_key(keyless: tuple[Store, Store]) -> None:
    right, wrong = keyless
    acme = CertificateAuthority.create("Acme", store=right)
    device, other = acme.issue_client("device"), acme.issue_client("other")
    blind = CertificateAuthority.open("Acme", store=wrong)
    with pytest.raises(StoreError):
        blind.issue_client("no key, no certificate")
    blind.revoke(device, reason="certificate_hold")
    assert blind.release(device.serial_number) is not None
    blind.revoke(device, reason="key_compromise")
    blind.revoke(other.certificate)
    assert {each.serial_number for each in acme.crl()} == {device.serial_number, other.serial_number}


def test_hostnames_change_without_the_key_encryption_key(keyless: tuple[Store, Store]) -> None:
    right, wrong = keyless
    gate, blind = Gate(right), Gate(wrong)
    acme, other = (CertificateAuthority.create(name, store=right) for name in ("Acme", "Other"))
    server, device = acme.issue_server(HOST, OTHER), acme.issue_client("device")
    gate.hostnames.add(HOST, trust=acme.anchors, server=server)
    gate.hostnames.add(OTHER, trust=acme.anchors, server=server)
    assert isinstance(judged(gate, device), Allow)
    blind.hostnames.replace(HOST, trust=other.anchors)
    right.poll()
    assert not isinstance(judged(gate, device), Allow)
    blind.hostnames.remove(OTHER)
    right.poll()
    assert [str(each.pattern) for each in gate.hostnames] == [HOST]
    gate.close()
    blind.close()


def test_revoke_and_release_without_the_signer(store: Store) -> None:
    signer = KeySigner(new_key())
    made = CertificateAuthority.create("Token", store=store, signer=signer)
    device, other = made.issue_client("device"), made.issue_client("other")
    away = CertificateAuthority.open("Token", store=store)
    away.revoke(device, reason="certificate_hold")
    assert away.release(device) is not None
    away.revoke(other, reason="key_compromise")
    assert [each.serial_number for each in made.crl()] == [other.serial_number]


@pytest.mark.parametrize("activated", [False, True], ids=["prepared", "active"])
def test_an_older_generation_s_certificate_ends_without_the_newer_one_s_signer(store: Store, activated: bool) -> None:
    acme = CertificateAuthority.create("Acme", store=store)
    device = acme.issue_client("device")
    acme.rotation.prepare(signer=KeySigner(new_key()))
    if activated:
        acme.rotation.activate()
    away = CertificateAuthority.open("Acme", store=store)
    away.revoke(device, reason="certificate_hold")
    assert away.release(device) is not None
    away.revoke(device, reason="key_compromise")
    assert [each.serial_number for each in away.crl(generation=1)] == [device.serial_number]


def test_what_was_issued_before_is_recorded_without_the_key(keyless: tuple[Store, Store]) -> None:
    right, wrong = keyless
    old = Authority.root("Old")
    CertificateAuthority.take_over("Old", SigningChain(old.key, [old.certificate]), store=right)
    device = old.leaf("device").certificate
    blind = CertificateAuthority.open("Old", store=wrong)
    blind.record([device])
    assert blind.revoke(device).serial_number == device.serial_number


def judged(gate: Gate, device: SigningChain) -> object:
    presented = PresentedChain.from_certificates(*device.certificates)
    return gate.decide(PeerEvidence(server_name=HOST, presented=presented), HOST)


def test_the_signers_of_several_generations_are_given_together(store: Store) -> None:
    """Each generation's list is signed by its own key: whoever publishes them needs the old one's too."""
    old, new = KeySigner(new_key()), KeySigner(new_key())
    acme = CertificateAuthority.create("Token", store=store, signer=old)
    device = acme.issue_client("device")
    acme.rotation.prepare(signer=new)
    acme.rotation.activate()
    acme.revoke(device)
    with pytest.raises(ConfigurationError, match="expected the signer with the key"):
        CertificateAuthority.open("Token", store=store, signer=new).crl(generation=1)
    both = CertificateAuthority.open("Token", store=store, signer=[new, old])
    assert (len(both.crl(generation=1)), len(both.crl())) == (1, 0)
    with pytest.raises(ConfigurationError, match="expected a signer with a key of 'Token', got one with another key"):
        CertificateAuthority.open("Token", store=store, signer=[new, KeySigner(new_key())])
