"""What the ledger tells those who judge connections: who issued a certificate, by which profile."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.hashes import SHA256

from mtlskit.authority import CertificateAuthority
from mtlskit.authority.issuances import issuance_of
from mtlskit.authority.ledger import AUTHORITY_OF_KEY
from mtlskit.core.certificates import Issuance, SigningChain, public_key_id
from mtlskit.core.profiles import spiffe
from mtlskit.ports import Store
from mtlskit.stores import open_store
from mtlskit.testing.certificates import Authority
from support.twins import with_another_signature


@pytest.fixture
def store() -> Store:
    return open_store("memory://")


def test_a_certificate_is_its_authoritys_and_its_profiles(store: Store) -> None:
    acme = CertificateAuthority.create("Acme devices", store=store)
    key = public_key_id(acme.certificate)
    device = acme.issue_client("device-17").certificate
    workload = acme.issue(profile=spiffe("acme.example"), uris=["spiffe://acme.example/till"]).certificate

    assert issuance_of(store, key, device) == Issuance(authority="Acme devices", profile="client")
    assert issuance_of(store, key, workload) == Issuance(authority="Acme devices", profile="spiffe")


def test_after_a_rotation_both_keys_are_the_authoritys(store: Store) -> None:
    acme = CertificateAuthority.create("Acme devices", store=store)
    issued = [(acme.certificate, acme.issue_client("device-17").certificate)]
    acme.rotation.prepare()
    acme.rotation.activate()
    issued.append((acme.certificate, acme.issue_client("device-18").certificate))

    assert [issuance_of(store, public_key_id(issuer), leaf).authority for issuer, leaf in issued] == [
        "Acme devices"
    ] * 2


def test_of_a_certificate_with_the_serial_number_of_another_the_profile_is_not_known(store: Store) -> None:
    acme = CertificateAuthority.create("Acme devices", store=store)
    device = acme.issue_client("device-17").certificate
    forged = Authority.root().leaf("device-17", serial_number=device.serial_number).certificate

    assert issuance_of(store, public_key_id(acme.certificate), forged) == Issuance(
        authority="Acme devices", profile=None
    )


def test_another_spelling_of_the_signature_is_the_same_certificate(store: Store) -> None:
    acme = CertificateAuthority.create("Acme devices", store=store)
    device = acme.issue_client("device-17").certificate
    twin = with_another_signature(device)

    assert twin.fingerprint(SHA256()) != device.fingerprint(SHA256())
    assert issuance_of(store, public_key_id(acme.certificate), twin) == Issuance(
        authority="Acme devices", profile="client"
    )


def test_of_what_is_not_recorded_the_authority_is_known_and_the_profile_not(store: Store) -> None:
    root = Authority.root("Legacy")
    legacy = CertificateAuthority.take_over("Legacy", SigningChain(root.key, [root.certificate]), store=store)
    device, key = root.leaf("device-17").certificate, public_key_id(root.certificate)

    assert issuance_of(store, key, device) == Issuance(authority="Legacy", profile=None)
    legacy.record([device])
    assert issuance_of(store, key, device) == Issuance(authority="Legacy", profile="recorded")


def test_a_certificate_that_was_issued_elsewhere_is_nobodys(store: Store) -> None:
    elsewhere = Authority.root()

    assert issuance_of(store, public_key_id(elsewhere.certificate), elsewhere.leaf("a").certificate) == Issuance()


def test_an_authority_whose_name_is_not_written_down_is_not_known(store: Store) -> None:
    acme = CertificateAuthority.create("Acme devices", store=store)
    key, device = public_key_id(acme.certificate), acme.issue_client("device-17").certificate
    with store.transaction() as transaction:
        transaction.delete(AUTHORITY_OF_KEY, "", key.hex())

    assert issuance_of(store, key, device) == Issuance(authority=None, profile="client")
