"""What a list speaks for: a certificate is judged by the list that it names, and by no other."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from mtlskit.authority import CertificateAuthority, KeySigner, KeyType, ListScope, Subjects, crl_der
from mtlskit.authority.publishing import Publication
from mtlskit.authority.signers import generate_key
from mtlskit.core.revocation import RevocationList
from mtlskit.errors import IssuanceError
from mtlskit.ports import Store
from mtlskit.testing.certificates import Authority

from .checking import needs_openssl, openssl_verify, standing
from .test_lists import listed

URL = "http://crl.acme.example/1.crl"
PUBLICATION = Publication(base_url="http://crl.acme.example/pki", partitions=4)


def part(number: int) -> ListScope:
    """One of the four partitions."""
    return PUBLICATION.scope(PUBLICATION.list_of(1, number))


class Partitioned:
    """An authority whose certificates name the partitions that they are in, two of them in each."""

    def __init__(self, store: Store) -> None:
        key = generate_key(KeyType.EC_P256)
        self.acme = CertificateAuthority.create("Acme", store=store, signer=KeySigner(key))
        maker = Authority(self.acme.certificate, key)
        self.leaves = [self._leaf(maker, serial) for serial in range(1_000, 1_008)]
        self.acme.record(self.leaves)

    def _leaf(self, maker: Authority, serial: int) -> x509.Certificate:
        located = PUBLICATION.locations.of_generation(1, self.acme.key_id.hex()).extensions(serial)
        extensions = [(each, False) for each in located]
        return maker.leaf(f"device-{serial}", serial_number=serial, extensions=extensions).certificate


def test_a_partition_is_taken_only_for_certificates_that_name_it(store: Store) -> None:
    made = Partitioned(store)
    made.acme.revoke(made.leaves[5])
    lists = [made.acme.crl(scope=part(number)) for number in range(4)]
    assert [len(list(each)) for each in lists] == [0, 1, 0, 0]
    for number, revocation_list in enumerate(lists):
        for leaf in made.leaves:
            wanted = "revocation_unknown" if leaf.serial_number % 4 != number else "good"
            if leaf is made.leaves[5] and wanted == "good":
                wanted = "revoked"
            assert standing(made.acme, leaf, [revocation_list]) == wanted
    found = [standing(made.acme, leaf, lists) for leaf in made.leaves]
    assert found == ["good"] * 5 + ["revoked"] + ["good"] * 2


def test_a_certificate_that_names_no_point_is_in_no_partition(store: Store) -> None:
    acme = CertificateAuthority.create("Acme", store=store)
    device = acme.issue_client("device")
    lists = [acme.crl(scope=part(number)) for number in range(4)]
    assert standing(acme, device.certificate, lists) == "revocation_unknown"
    assert standing(acme, device.certificate, [acme.crl()]) == "good"


def test_the_list_of_everything_is_for_every_certificate(store: Store) -> None:
    made = Partitioned(store)
    made.acme.revoke(made.leaves[2])
    found = [standing(made.acme, leaf, [made.acme.crl()]) for leaf in made.leaves]
    assert found == ["good"] * 2 + ["revoked"] + ["good"] * 5


def test_every_revocation_is_in_one_partition(store: Store) -> None:
    acme = CertificateAuthority.create("Acme", store=store)
    serials = {acme.revoke(acme.issue_client(f"device-{number}")).serial_number for number in range(24)}
    lists = [listed(acme.crl(scope=part(number))) for number in range(4)]
    assert set.union(*lists) == serials
    assert sum(map(len, lists)) == len(serials)


def test_a_delta_of_a_partition_has_its_changes_alone(store: Store) -> None:
    made = Partitioned(store)
    for number in range(4):
        made.acme.crl(scope=part(number))
    for leaf in made.leaves:
        made.acme.revoke(leaf, reason="certificate_hold")
    for leaf in made.leaves[4:]:
        made.acme.release(leaf)
    for number in range(4):
        delta = made.acme.delta_crl(scope=part(number))
        assert listed(delta) == {leaf.serial_number for leaf in made.leaves if leaf.serial_number % 4 == number}
        point = delta.extensions.get_extension_for_class(x509.IssuingDistributionPoint)
        assert point.critical
        assert point.value == part(number).extension


def test_lists_of_end_entities_and_of_authorities(store: Store) -> None:
    acme = CertificateAuthority.create("Acme", store=store)
    device, below = acme.issue_client("device"), CertificateAuthority.create("Below", store=store, parent=acme)
    for certificate in (device.certificate, below.certificate):
        acme.revoke(certificate)
    users, authorities = (
        acme.crl(scope=ListScope(subjects=each)) for each in (Subjects.END_ENTITIES, Subjects.AUTHORITIES)
    )
    assert listed(users) == {device.serial_number}
    assert listed(authorities) == {below.certificate.serial_number}
    assert standing(acme, device.certificate, [users]) == "revoked"
    assert standing(acme, device.certificate, [authorities]) == "revocation_unknown"
    for made, field in ((users, "only_contains_user_certs"), (authorities, "only_contains_ca_certs")):
        point = made.extensions.get_extension_for_class(x509.IssuingDistributionPoint)
        assert point.critical
        assert getattr(point.value, field)
        assert not RevocationList(crl_der(made)).has_unknown_critical_extension()


def test_a_list_of_everything_has_no_issuing_distribution_point(acme: CertificateAuthority) -> None:
    with pytest.raises(x509.ExtensionNotFound):
        acme.crl().extensions.get_extension_for_class(x509.IssuingDistributionPoint)
    point = acme.crl(scope=ListScope(url=URL)).extensions.get_extension_for_class(x509.IssuingDistributionPoint)
    assert point.value.full_name == [x509.UniformResourceIdentifier(URL)]


WRONG: list[tuple[str, dict[str, Any]]] = [
    ("url: expected the name", {"partitions": 2}),
    ("partition: expected 0 to 1", {"partitions": 2, "partition": 2, "url": URL}),
    ("partition: expected 0 to 0", {"partition": 1}),
    ("partition: expected 0 to 0", {"partition": -1}),
    ("partition: expected 0 to 0", {"partition": True}),
    ("partition: expected 0 to 0", {"partition": "0"}),
    ("partitions: expected 1 to 4096", {"partitions": 0}),
    ("partitions: expected 1 to 4096", {"partitions": 5_000, "url": URL}),
    ("partitions: expected 1 to 4096", {"partitions": 1.0}),
    ("subjects: expected one of all", {"subjects": "users"}),
    ("url: expected an http", {"url": "ldap://crl.acme.example/"}),
    ("url: expected an http", {"url": "http://crl.acme.example/a b"}),
    ("url: expected an http", {"url": "http://crl.acme.ex\u00e4mple/"}),
    ("url: expected an http", {"url": ""}),
    ("url: expected an http", {"url": b"http://crl.acme.example/"}),
    ("url: expected an http", {"url": "http://" + "a" * 1_000}),
]


@pytest.mark.parametrize(("words", "values"), WRONG)
def test_what_is_no_scope_is_refused(words: str, values: dict[str, Any]) -> None:
    with pytest.raises(IssuanceError, match=words):
        ListScope(**values)


def test_a_scope_is_told_by_its_text() -> None:
    texts = {
        scope.text
        for scope in (
            ListScope(), ListScope(url=URL), ListScope(subjects=Subjects.AUTHORITIES),
            ListScope(url=URL, partition=1, partitions=2), ListScope(url=URL, partition=1, partitions=3),
        )
    }  # fmt: skip
    assert len(texts) == 5


@needs_openssl
def test_openssl_takes_a_partition_for_its_own_certificates(store: Store, tmp_path: Path) -> None:
    made = Partitioned(store)
    made.acme.revoke(made.leaves[5])
    for leaf in (made.leaves[1], made.leaves[5], made.leaves[2]):
        found = openssl_verify(tmp_path, made.acme, leaf, [made.acme.crl(scope=part(1))], "-extended_crl")
        if leaf is made.leaves[2]:
            assert "different CRL scope" in found
        else:
            assert found == ("revoked" if leaf is made.leaves[5] else "good")


def test_certificates_with_an_end_that_is_none_are_kept(store: Store) -> None:
    key = generate_key(KeyType.EC_P256)
    acme = CertificateAuthority.create("Acme", store=store, signer=KeySigner(key))
    endless = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
    leaf = Authority(acme.certificate, key).leaf("device", not_after=endless)
    acme.record([leaf.certificate])
    revocation = acme.revoke(leaf)
    assert acme.revoke(leaf) == revocation
    assert revocation.not_after == endless
    assert [listed(acme.crl(expired="drop")) for _ in range(2)] == [{leaf.serial_number}] * 2
