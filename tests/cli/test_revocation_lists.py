"""`mtlskit ca crl`: revocation lists, complete and delta, of everything, of a partition, and for some subjects."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

from mtlskit.authority import CertificateAuthority
from mtlskit.authority.list_records import LIST
from mtlskit.ports import Store
from support.command_line import Command

URL = "http://status.example/1.crl"


def open_acme(store: Store) -> CertificateAuthority:
    return CertificateAuthority.open("Acme", store=store)


def serials(revocation_list: x509.CertificateRevocationList) -> set[int]:
    return {each.serial_number for each in revocation_list}


def made(acme: Command, *arguments: str) -> x509.CertificateRevocationList:
    done = acme("ca", "crl", "Acme", *arguments)
    assert (done.status, done.err) == (0, "")
    return x509.load_pem_x509_crl(done.out.encode())


def point(revocation_list: x509.CertificateRevocationList) -> x509.IssuingDistributionPoint:
    return revocation_list.extensions.get_extension_for_class(x509.IssuingDistributionPoint).value


def test_a_revocation_list_in_pem_and_der(acme: Command, store: Store) -> None:
    device = open_acme(store).issue_client("device")
    open_acme(store).revoke(device)
    made = x509.load_pem_x509_crl(acme("ca", "crl", "Acme").out.encode())
    assert made.get_revoked_certificate_by_serial_number(device.serial_number) is not None
    document = acme("ca", "crl", "Acme", "--der", "--out", "acme.crl", "--lifetime", "12h", "--json").json
    written = x509.load_der_x509_crl(Path("acme.crl").read_bytes())
    assert (document["number"], document["entries"], document["file"]) == (2, 1, "acme.crl")
    assert document["next_update"] == f"{written.next_update_utc:%Y-%m-%dT%H:%M:%SZ}"
    assert written.next_update_utc is not None
    assert written.next_update_utc - written.last_update_utc == timedelta(hours=12)
    assert acme("ca", "crl", "Acme", "--der", "--out", "acme.crl").status == 0, "a list is written again and again"


def test_each_generation_has_its_list(acme: Command, store: Store) -> None:
    old = open_acme(store).certificate
    for stage in ("prepare", "activate"):
        assert acme("ca", "rotate", stage, "Acme").status == 0
    made = x509.load_pem_x509_crl(acme("ca", "crl", "Acme", "--generation", "1").out.encode())
    assert made.is_signature_valid(old.public_key())  # type: ignore[arg-type]
    acme("ca", "crl", "Acme", "--generation", "7").refused("got the number 7")
    acme("ca", "crl", "Acme", "--json").refused("expected a file for the list")


def test_a_delta_list_has_what_changed_since_its_base(acme: Command, store: Store) -> None:
    authority = open_acme(store)
    first, second = authority.issue_client("first"), authority.issue_client("second")
    authority.revoke(first)
    complete = made(acme, "--delta-url", "http://status.example/1.delta.crl")
    (freshest,) = complete.extensions.get_extension_for_class(x509.FreshestCRL).value
    assert freshest.full_name == [x509.UniformResourceIdentifier("http://status.example/1.delta.crl")]
    authority.revoke(second)
    told = acme("ca", "crl", "Acme", "--delta", "--out", "delta.crl", "--der", "--json").json
    delta = x509.load_der_x509_crl(Path("delta.crl").read_bytes())
    assert (told["number"], told["base"], told["entries"]) == (2, 1, 1)
    assert serials(delta) == {second.serial_number}
    assert delta.extensions.get_extension_for_class(x509.DeltaCRLIndicator).value.crl_number == 1
    assert delta.next_update_utc is not None
    assert delta.next_update_utc - delta.last_update_utc == timedelta(days=1)
    assert acme("ca", "crl", "Acme", "--out", "1.crl", "--json").json["base"] is None
    assert serials(made(acme, "--delta")) == set(), "the last complete list is the base"
    assert serials(made(acme, "--delta", "--base", "1", "--lifetime", "2h")) == {second.serial_number}


def test_partitions_have_all_revocations_between_them(acme: Command, store: Store) -> None:
    authority = open_acme(store)
    devices = {authority.issue_client(f"device-{each}").serial_number for each in range(6)}
    for each in devices:
        authority.revoke(each)
    found = [
        made(acme, "--partition", f"{each}-of-3", "--url", f"http://status.example/{each}-of-3.crl")
        for each in range(3)
    ]
    for number, each in enumerate(found):
        assert serials(each) == {serial for serial in devices if serial % 3 == number}
        assert point(each).full_name == [x509.UniformResourceIdentifier(f"http://status.example/{number}-of-3.crl")]
    assert serials(made(acme, "--delta", "--partition", "2-of-3", "--url", "http://status.example/2-of-3.crl")) == set()


def test_lists_for_some_subjects(acme: Command, store: Store) -> None:
    authority = open_acme(store)
    below = CertificateAuthority.create("Below", store=store, parent=authority)
    device = authority.issue_client("device")
    for each in (below.certificate, device.certificate):
        authority.revoke(each)
    authorities, devices = made(acme, "--subjects", "authorities"), made(acme, "--subjects", "end_entities")
    assert (serials(authorities), serials(devices)) == ({below.certificate.serial_number}, {device.serial_number})
    assert (point(authorities).only_contains_ca_certs, point(devices).only_contains_user_certs) == (True, True)


def test_who_has_expired_is_dropped_where_that_is_said(acme: Command, store: Store) -> None:
    past = datetime.now(UTC) - timedelta(days=20)
    then = CertificateAuthority.create("Then", store=store, clock=lambda: past)
    late = then.issue_client("late", lifetime=timedelta(days=10)).serial_number
    then.revoke(late)

    def entries(*arguments: str) -> int:
        found: int = acme("ca", "crl", "Then", "--out", "then.crl", "--json", *arguments).json["entries"]
        return found

    assert [entries("--expired", "drop"), entries("--expired", "keep"), entries("--expired", "drop")] == [1, 1, 0]


@pytest.mark.parametrize(("arguments", "said"), [
    (("--delta",), "expected a complete list of this scope that was signed to start from, got none"),
    (("--delta", "--base", "7"), "got the number 7"),
    (("--base", "1"), "expected --base with --delta"),
    (("--delta", "--delta-url", URL), "expected --delta-url without --delta"),
    (("--delta", "--expired", "keep"), "expected --expired without --delta"),
    (("--partition", "3"), "expected a partition as '0-of-8', got '3'"),
    (("--partition", "3/8", "--url", URL), "expected a partition as '0-of-8', got '3/8'"),
    (("--partition", "8-of-8", "--url", URL), "partition: expected 0 to 7, got 8"),
    (("--partition", "0-of-0", "--url", URL), "partitions: expected 1 to 4096, got 0"),
    (("--partition", "0-of-9999", "--url", URL), "partitions: expected 1 to 4096, got 9999"),
    (("--partition", "0-of-8"), "url: expected the name of the partition's own distribution point, got none"),
    (("--url", "ftp://x"), "url: expected an http or https URL"),
    (("--url", ""), "url: expected an http or https URL"),
    (("--delta-url", "http://ü.example/"), "url: expected an http or https URL"),
    (("--subjects", "devices"), "'devices'"),
    (("--expired", "forget"), "'forget'"),
    (("--lifetime", "0s"), "expected a time as '30d'"),
    (("--lifetime", "999999w"), "lifetime: expected moments from 1950 to 9999"),
    (("--generation", "0"), "0"),
    (("--generation", "2"), "got the number 2"),
    (("--out", "no/x"), "a directory that can be written to, got 'no'"),
])  # fmt: skip
def test_a_list_that_cannot_be_takes_no_number(
    arguments: tuple[str, ...], said: str, acme: Command, store: Store
) -> None:
    issuer = open_acme(store).key_id.hex()
    acme("ca", "crl", "Acme", *arguments).refused(said)
    with store.snapshot() as snapshot:
        assert list(snapshot.scan(LIST, issuer)) == []


def test_a_url_stands_for_one_scope_for_ever(acme: Command) -> None:
    made(acme, "--url", URL)
    acme("ca", "crl", "Acme", "--url", URL, "--subjects", "authorities").refused("expected a distribution point for")
