"""Published lists: one for all who ask, new when it is time or something was revoked, never a number for nothing."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from mtlskit.authority import CertificateAuthority
from mtlskit.authority.lists import SignedList
from mtlskit.authority.publishing import ListName, Publication
from mtlskit.authority.publishing.published import DOCUMENT, PublishedLists
from mtlskit.errors import IssuanceError, NotFound, StoreError
from mtlskit.ports import Store
from mtlskit.stores import open_store

from .checking import standing
from .conftest import KEYS
from .meddling import Meddling
from .test_delta_lists import base_of, reasons
from .test_lists import Refusing, listed, number_of
from .test_scope import Partitioned

FIRST = ListName(1)
DELTA = FIRST._replace(is_delta=True)
HOUR = timedelta(hours=1)
BASE = "http://status.acme.example"
DELTAS: dict[str, Any] = {"base_url": BASE, "updates": "delta"}


class Clock:
    def __init__(self) -> None:
        self.now = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


class Publisher:
    """An authority with a clock that does not run by itself, and what it publishes."""

    def __init__(self, store: Store, **publication: Any) -> None:
        self.clock, self.signer = Clock(), Refusing()
        self.acme = CertificateAuthority.create("Acme", store=store, signer=self.signer, clock=self.clock)
        self.store, self.publication = store, Publication(**publication)
        self.lists = PublishedLists(self.acme._opened, self.publication)

    def current(self, name: ListName = FIRST) -> x509.CertificateRevocationList:
        return x509.load_der_x509_crl(self.lists.current(name).der)

    def number(self, name: ListName = FIRST) -> int:
        return number_of(self.current(name))

    def wait(self, time: timedelta) -> None:
        self.clock.now += time

    def revoke(self, reason: str = "superseded") -> int:
        return self.acme.revoke(self.acme.issue_client("device"), reason=reason).serial_number


def test_a_list_is_signed_once_until_it_is_time(store: Store) -> None:
    made = Publisher(store)
    assert [made.number() for _ in range(3)] == [1, 1, 1]
    made.wait(23 * HOUR)
    assert made.number() == 1
    made.wait(HOUR)
    assert [made.number() for _ in range(2)] == [2, 2]
    assert made.current().last_update_utc == made.clock.now
    assert made.current().next_update_utc == made.clock.now + timedelta(days=7)


@pytest.mark.invariant("I6")
def test_a_revocation_and_a_release_are_in_the_next_answer(store: Store) -> None:
    made = Publisher(store)
    made.number()
    device = made.acme.issue_client("device")
    assert made.number() == 1  # nothing was revoked
    made.acme.revoke(device, reason="certificate_hold")
    assert [listed(made.current()), made.number()] == [{device.serial_number}, 2]
    made.acme.release(device)
    assert [listed(made.current()), made.number()] == [set(), 3]


def test_what_concerns_another_list_is_no_reason_for_a_new_one(store: Store) -> None:
    publication = Publication(base_url="http://crl.acme.example/pki", partitions=4)
    made = Partitioned(store)
    lists = PublishedLists(made.acme._opened, publication)
    names = [publication.list_of(1, serial) for serial in range(4)]
    numbers = [lists.current(name).record.number for name in names]
    made.acme.revoke(made.leaves[5])
    after = [lists.current(name).record.number for name in names]
    assert [one == other for one, other in zip(numbers, after, strict=True)] == [True, False, True, True]
    assert [lists.current(name).record.number for name in names] == after
    assert standing(made.acme, made.leaves[5], [x509.load_der_x509_crl(lists.current(names[1]).der)]) == "revoked"


def test_revocations_of_a_pause_come_together(store: Store) -> None:
    made = Publisher(store, pause=timedelta(minutes=5))
    made.number()
    first = made.revoke()
    made.wait(timedelta(minutes=4))
    second = made.revoke()
    assert (made.number(), listed(made.current())) == (1, set())
    made.wait(timedelta(minutes=1))
    assert (made.number(), listed(made.current())) == (2, {first, second})


def test_expired_certificates_leave_where_they_may(store: Store) -> None:
    made = Publisher(store, expired="drop")
    serial = made.acme.revoke(made.acme.issue_client("device", lifetime=HOUR)).serial_number
    found = []
    for _ in range(3):
        found.append(serial in listed(made.current()))
        made.wait(24 * HOUR)
    assert found == [True, True, False]


def test_with_deltas_the_complete_list_waits_for_its_time(store: Store) -> None:
    made = Publisher(store, **DELTAS)
    assert made.number() == 1
    held = made.revoke("certificate_hold")
    assert made.number() == 1
    delta = made.current(DELTA)
    assert (base_of(delta), number_of(delta), reasons(delta)) == (1, 2, {held: "certificateHold"})
    assert made.number(DELTA) == 2
    made.acme.release(held)
    assert reasons(made.current(DELTA)) == {held: "removeFromCRL"}
    assert made.number(DELTA) == 3
    made.wait(12 * HOUR)
    assert (made.number(DELTA), base_of(made.current(DELTA))) == (4, 1)
    made.wait(12 * HOUR)
    assert base_of(made.current(DELTA)) == made.number() == 5
    assert made.number(DELTA) == 6
    freshest = made.current().extensions.get_extension_for_class(x509.FreshestCRL).value
    assert freshest[0].full_name == [x509.UniformResourceIdentifier(f"{BASE}/1.delta.crl")]


def test_a_new_complete_list_gets_a_new_delta(store: Store) -> None:
    made = Publisher(store, **DELTAS)
    made.number()
    made.wait(20 * HOUR)
    made.revoke()
    assert base_of(made.current(DELTA)) == 1
    made.wait(4 * HOUR)
    assert base_of(made.current(DELTA)) == made.number() > 1  # though the delta was not old


@pytest.mark.invariant("I6")
def test_base_and_delta_say_what_the_authority_says(store: Store) -> None:
    made = Publisher(store, **DELTAS)
    made.number()
    device = made.acme.issue_client("device")
    for change, wanted in (
        (lambda: None, "good"), (lambda: made.acme.revoke(device, reason="certificate_hold"), "revoked"),
        (lambda: made.acme.release(device), "good"), (lambda: made.acme.revoke(device), "revoked"),
    ):  # fmt: skip
        change()
        lists = [made.current(), made.current(DELTA)]
        assert standing(made.acme, device.certificate, lists, now=made.clock.now) == wanted


def test_every_generation_has_its_lists(store: Store) -> None:
    made = Publisher(store)
    device = made.acme.issue_client("device")
    made.acme.rotation.prepare()
    made.acme.rotation.activate()
    second = ListName(2)
    assert (made.number(FIRST), made.number(second)) == (1, 1)
    made.acme.revoke(device)
    assert (made.number(FIRST), made.number(second)) == (2, 1)
    assert listed(made.current(FIRST)) == {device.serial_number}


@pytest.mark.parametrize(
    "name",
    [ListName(2), ListName(1, is_delta=True), ListName(1, 1, 2), ListName(1, 1, 2, True)],
    ids=lambda name: name.path,
)
def test_what_is_not_published_takes_no_number(store: Store, name: ListName) -> None:
    for options in ({}, {"base_url": BASE}, {"base_url": BASE, "partitions": 3}):
        made = Publisher(open_store("memory://", keys=KEYS), **options)
        with pytest.raises(NotFound):
            made.lists.current(name)
        assert made.lists._places == {}
        assert number_of(made.acme.crl()) == 1


def test_lists_of_former_partitions_go_on(store: Store) -> None:
    made = Partitioned(store)
    four, eight = (Publication(base_url="http://crl.acme.example/pki", partitions=number) for number in (4, 8))
    name = four.list_of(1, 1_005)
    PublishedLists(made.acme._opened, four).current(name)
    lists = PublishedLists(made.acme._opened, eight)
    made.acme.revoke(made.leaves[5])
    for each in (name, eight.list_of(1, 1_005)):
        found = x509.load_der_x509_crl(lists.current(each).der)
        assert listed(found) == {1_005}
    assert standing(made.acme, made.leaves[5], [x509.load_der_x509_crl(lists.current(name).der)]) == "revoked"
    with pytest.raises(NotFound):
        lists.current(four.list_of(1, 1_006))  # nobody ever saw it


def test_many_who_ask_at_once_get_one_list(store: Store) -> None:
    made = Publisher(store)
    made.revoke()
    ready = threading.Barrier(8)

    def ask(_: int) -> SignedList:
        ready.wait()
        return made.lists.current(FIRST)

    with ThreadPoolExecutor(8) as pool:
        for number in (1, 2):
            assert {each.record.number for each in pool.map(ask, range(8))} == {number}
            made.revoke()


def test_processes_give_the_same_list(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/state.db"
    store = open_store(url, keys=KEYS)
    acme = CertificateAuthority.create("Acme", store=store)
    lists = PublishedLists(acme._opened, Publication())
    code = """
import sys
from mtlskit.authority import CertificateAuthority
from mtlskit.authority.publishing import ListName, Publication
from mtlskit.authority.publishing.published import PublishedLists
from mtlskit.stores import KeyEncryption, open_store
acme = CertificateAuthority.open("Acme", store=open_store(sys.argv[1], keys=KeyEncryption(bytes(32))))
found = PublishedLists(acme._opened, Publication()).current(ListName(1))
print(found.record.number, found.der.hex())
"""

    def elsewhere() -> tuple[int, bytes]:
        done = subprocess.run([sys.executable, "-c", code, url], capture_output=True, text=True, timeout=60, check=True)
        number, der = done.stdout.split()
        return int(number), bytes.fromhex(der)

    first = lists.current(ListName(1))
    assert elsewhere() == (1, first.der)
    acme.revoke(acme.issue_client("device"))
    number, der = elsewhere()
    assert number == 2
    assert lists.current(ListName(1)) == SignedList(der, lists.current(ListName(1)).record)
    assert lists.current(ListName(1)).record.number == 2
    store.close()


def test_a_slower_maker_displaces_nothing_newer(store: Store) -> None:
    """Two processes make one at once: the lower number is not what is published in the end."""
    acme = CertificateAuthority.create("Acme", store=store)
    quick = PublishedLists(acme._opened, Publication())
    others = Meddling(store, lambda _: None)
    opened = CertificateAuthority.open("Acme", store=others)._opened  # type: ignore[arg-type]
    opened.issuing()
    slow, made = PublishedLists(opened, Publication()), []
    original = others.transaction

    def overtaken() -> Any:
        if len(made) == 1:  # numbered, signed; now it is to be published
            made.append(None)
            acme.crl()
            quick.current(FIRST)
        made.append(None)
        return original()

    others.transaction = overtaken  # type: ignore[method-assign]
    made.clear()
    found = [each.current(FIRST).record.number for each in (slow, quick, slow)]
    assert found == [3, 3, 3]


def test_a_list_that_cannot_be_made_anew_serves_until_its_end(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    made = Publisher(store)
    made.number()
    serial = made.revoke()
    made.signer.refuses = True
    made.wait(HOUR)
    with caplog.at_level(logging.WARNING, logger="mtlskit.authority"):
        assert made.number() == 1
    assert "/1.crl could not be made anew: expected a signature, got OSError" in caplog.text
    made.wait(timedelta(days=7))
    with pytest.raises(IssuanceError):
        made.number()
    made.signer.refuses = False
    assert listed(made.current()) == {serial}


def test_a_store_that_lost_the_list_is_told(store: Store) -> None:
    made = Publisher(store)
    made.number()
    with store.transaction() as transaction:
        transaction.delete(DOCUMENT, made.acme.key_id.hex(), FIRST.path)
    with pytest.raises(StoreError, match="got its number only"):
        PublishedLists(made.acme._opened, Publication()).current(FIRST)
