"""Where lists, responders and issuers are: stored with the authority, in everything that it issues but its root."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.x509.oid import AuthorityInformationAccessOID

from mtlskit.authority import CertificateAuthority
from mtlskit.authority.generations import AuthorityRecord
from mtlskit.authority.ledger import AUTHORITY
from mtlskit.core.certificates import SigningChain
from mtlskit.core.profiles import Locations
from mtlskit.core.validation import RFC5280, TrustStore, verify_path
from mtlskit.errors import StoreError
from mtlskit.ports import Store
from mtlskit.testing.certificates import Authority

PLACES = Locations(
    crl=("http://pki.acme.example/{generation}.crl",),
    ocsp=("http://ocsp.acme.example/",),
    issuers=("http://pki.acme.example/{issuer_key}.cer",),
)


def lists(certificate: x509.Certificate) -> list[str]:
    try:
        (point,) = certificate.extensions.get_extension_for_class(x509.CRLDistributionPoints).value
    except x509.ExtensionNotFound:
        return []
    return [name.value for name in point.full_name or ()]


def access(certificate: x509.Certificate) -> dict[str, str]:
    ways = certificate.extensions.get_extension_for_class(x509.AuthorityInformationAccess).value
    return {way.access_method._name: way.access_location.value for way in ways}


def test_they_stand_in_certificates_of_every_kind_and_not_in_the_root(store: Store) -> None:
    acme = CertificateAuthority.create("Acme", store=store, locations=PLACES)
    assert lists(acme.certificate) == []
    below = CertificateAuthority.create("Below", store=store, parent=acme)
    device = acme.issue_client("device")
    for certificate in (device.certificate, acme.issue_server("a.example").certificate, below.certificate):
        assert lists(certificate) == ["http://pki.acme.example/1.crl"]
        assert access(certificate) == {
            AuthorityInformationAccessOID.OCSP._name: "http://ocsp.acme.example/",
            AuthorityInformationAccessOID.CA_ISSUERS._name: f"http://pki.acme.example/{acme.key_id.hex()}.cer",
        }
    assert lists(below.issue_client("device").certificate) == [], "each authority has its own"
    verify_path(
        device.presented(), TrustStore(acme.anchors), purpose="client_auth", now=datetime.now(UTC), profile=RFC5280
    )


def test_each_generation_has_its_own_list(store: Store) -> None:
    acme = CertificateAuthority.create("Acme", store=store, locations=PLACES)
    prepared = acme.rotation.prepare()
    assert prepared.cross is not None
    assert prepared.back is not None
    assert lists(prepared.cross) == ["http://pki.acme.example/1.crl"], "the first key has issued it"
    assert lists(prepared.back) == ["http://pki.acme.example/2.crl"]
    acme.rotation.activate()
    assert lists(acme.issue_client("device").certificate) == ["http://pki.acme.example/2.crl"]


def test_they_are_there_again_when_the_authority_is_opened(store: Store) -> None:
    CertificateAuthority.create("Acme", store=store, locations=PLACES)
    found = CertificateAuthority.open("Acme", store=store)
    assert lists(found.issue_client("device").certificate) == ["http://pki.acme.example/1.crl"]


def test_an_authority_that_is_taken_over_may_have_some(store: Store) -> None:
    root = Authority.root()
    chain = SigningChain(root.key, [root.certificate])
    taken = CertificateAuthority.take_over("Old", chain, store=store, locations=PLACES)
    assert lists(taken.issue_client("device", lifetime=timedelta(days=1)).certificate) == [
        "http://pki.acme.example/1.crl"
    ]


def test_a_record_without_locations_is_as_before_and_is_read(store: Store, acme: CertificateAuthority) -> None:
    with store.snapshot() as snapshot:
        row = snapshot.get(AUTHORITY, "", acme.name)
    assert row is not None
    assert b"locations" not in row.value
    assert AuthorityRecord.from_json(row.value).locations == Locations()


@pytest.mark.parametrize("written", [b'{"crl":["file:///x"]}', b'{"other":[]}', b"[]", b'{"crl":"http://a/"}'])
def test_unreadable_locations_are_told(store: Store, acme: CertificateAuthority, written: bytes) -> None:
    with store.transaction() as transaction:
        row = transaction.get(AUTHORITY, "", acme.name)
        assert row is not None
        transaction.replace(AUTHORITY, "", acme.name, row.value[:-1] + b',"locations":' + written + b"}")
    with pytest.raises(StoreError, match="expected the record of an authority"):
        CertificateAuthority.open(acme.name, store=store)


def test_each_certificate_says_its_partition_and_the_record_how_many_there_are(store: Store) -> None:
    places = Locations(crl=("http://pki.acme.example/{generation}/{partition}.crl",), partitions=4)
    CertificateAuthority.create("Acme", store=store, locations=places)
    acme = CertificateAuthority.open("Acme", store=store)
    for _ in range(5):
        leaf = acme.issue_client("device").certificate
        assert lists(leaf) == [f"http://pki.acme.example/1/{leaf.serial_number % 4}.crl"]
