"""What a gate knows of revocations is what the store says, however the two are interleaved."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mtlskit.authority import CertificateAuthority, RevokedSerials, changes, records
from mtlskit.authority.ledger import REVOCATION, Revocation
from mtlskit.authority.serials import serial_key
from mtlskit.authority.topics import revocation_topic
from mtlskit.errors import StoreError, Unavailable
from mtlskit.ports import EVERYTHING, Snapshot, Store
from mtlskit.stores import open_store

from .conftest import KEYS
from .meddling import Meddling

STEPS = ("certificate_hold", "superseded", "key_compromise", "release")


class World:
    """An authority with a few devices, and what is true of them."""

    def __init__(self) -> None:
        self.store = open_store("memory://", keys=KEYS)
        self.acme = CertificateAuthority.create("Acme", store=self.store)
        self.serials = [self.acme.issue_client(f"device-{number}").serial_number for number in range(4)]
        self.truth: dict[int, str] = {}

    def step(self, device: int, what: str) -> None:
        serial = self.serials[device]
        if what != "release":
            self.truth[serial] = self.acme.revoke(serial, reason=what).reason
        elif self.truth.get(serial) in (None, "certificate_hold"):
            self.acme.release(serial)
            self.truth.pop(serial, None)


steps = st.lists(st.tuples(st.integers(0, 3), st.sampled_from(STEPS)), max_size=12)


@pytest.mark.invariant("I6")
@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(steps, st.lists(steps, max_size=5), st.integers(1, 3))
def test_what_is_read_while_it_changes_is_one_state(
    before: list[tuple[int, str]], between: list[list[tuple[int, str]]], page: int
) -> None:
    world = World()
    for each in before:
        world.step(*each)

    def meanwhile(reading: int) -> None:
        for each in between[reading - 1] if reading <= len(between) else ():
            world.step(*each)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(changes, "_PAGE", page)
        revoked = RevokedSerials(Meddling(world.store, meanwhile))  # type: ignore[arg-type]
        revoked.reason_of(world.acme.key_id, 0)
        for step in [*between, [(0, "release")], [(1, "superseded")]]:
            for each in step:
                world.step(*each)
            # No more readings are meddled with than there are lists.
            for _ in range(len(between) + 1):
                found = {serial: revoked.reason_of(world.acme.key_id, serial) for serial in world.serials}
            assert found == {serial: world.truth.get(serial) for serial in world.serials}


@pytest.mark.invariant("I6")
def test_an_older_reading_never_undoes_a_newer_one() -> None:
    world = World()
    world.step(0, "certificate_hold")
    revoked = RevokedSerials(world.store)
    revoked.reason_of(world.acme.key_id, 0)
    issuer = revoked._by_issuer[world.acme.key_id]
    world.step(0, "release")

    def newer(reading: int) -> None:
        if reading == 1:  # the slow thread has read the release, and applies it after this
            world.step(0, "superseded")
            issuer.refresh(world.store)

    issuer.refresh(Meddling(world.store, newer))  # type: ignore[arg-type]
    assert revoked.reason_of(world.acme.key_id, world.serials[0]) == "superseded"


@pytest.mark.invariant("I6")
def test_a_change_that_comes_while_one_is_read_is_not_taken_for_read() -> None:
    world = World()
    revoked = RevokedSerials(
        Meddling(world.store, lambda reading: world.step(2, "superseded") if reading == 3 else None)
    )  # type: ignore[arg-type]
    revoked.reason_of(world.acme.key_id, 0)  # 1: the last change, 2: a page, 3: what changed since
    assert revoked.reason_of(world.acme.key_id, world.serials[2]) == "superseded"


def test_a_long_list_is_read_once_however_many_threads_want_it(monkeypatch: pytest.MonkeyPatch) -> None:
    world, loads, ready = World(), [], threading.Barrier(8)
    original = records.read_in_pages

    def counted(*arguments: object) -> object:
        loads.append(threading.get_ident())
        threading.Event().wait(0.05)
        return original(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(records, "read_in_pages", counted)
    world.step(1, "superseded")
    revoked, found = RevokedSerials(world.store), []

    def ask() -> None:
        ready.wait()
        found.append(revoked.reason_of(world.acme.key_id, world.serials[1]))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == ["superseded"] * 8
    assert len(loads) == 1


def test_a_change_is_read_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    revoked = RevokedSerials(world.store)
    revoked.reason_of(world.acme.key_id, 0)
    monkeypatch.setattr(records, "read_in_pages", None)  # would raise
    world.step(0, "superseded")
    assert revoked.reason_of(world.acme.key_id, world.serials[0]) == "superseded"


@pytest.mark.invariant("I6")
def test_what_could_not_be_read_is_not_taken_for_read() -> None:
    world, broken = World(), [False]

    class Failing(Meddling):
        @contextmanager
        def snapshot(self) -> Iterator[Snapshot]:
            if broken[0]:
                raise Unavailable("expected the store, got nothing")
            with super().snapshot() as snapshot:
                yield snapshot

    revoked = RevokedSerials(Failing(world.store, lambda _: None))  # type: ignore[arg-type]
    revoked.reason_of(world.acme.key_id, 0)
    world.step(0, "superseded")
    broken[0] = True
    for _ in range(2):
        with pytest.raises(Unavailable):
            revoked.reason_of(world.acme.key_id, world.serials[0])
    broken[0] = False
    assert revoked.reason_of(world.acme.key_id, world.serials[0]) == "superseded"


@pytest.mark.parametrize("value", [b"", b"20260101000000 20260101000000 no_reason", b"superseded", b"\xff" * 40])
def test_a_record_that_cannot_be_read_denies(value: bytes) -> None:
    world = World()
    with world.store.transaction() as transaction:
        transaction.insert(REVOCATION, world.acme.key_id.hex(), serial_key(5), value)
    revoked = RevokedSerials(world.store)
    for _ in range(2):
        with pytest.raises(StoreError, match="the record of a revocation"):
            revoked.reason_of(world.acme.key_id, world.serials[0])
    with pytest.raises(StoreError, match="the record of a revocation"):
        world.acme.crl()


@pytest.mark.parametrize(
    "value", [b"", b"{}", b"[]", b'{"change":"revoked","serial":"1","revocation":1,"at":"2026-01-01"}', b"\xff"]
)
def test_a_change_that_cannot_be_read_denies(value: bytes) -> None:
    world = World()
    revoked = RevokedSerials(world.store)
    revoked.reason_of(world.acme.key_id, 0)
    with world.store.transaction() as transaction:
        transaction.insert(changes.CHANGE, world.acme.key_id.hex(), f"{1:020d}", value)
        transaction.touch(revocation_topic(world.acme.key_id))
    for _ in range(2):
        with pytest.raises(StoreError, match="the record of a "):
            revoked.reason_of(world.acme.key_id, world.serials[0])


def test_everything_is_dropped_when_changes_were_missed() -> None:
    world = World()
    revoked = RevokedSerials(world.store)
    revoked.reason_of(world.acme.key_id, 0)
    # As another process would: without this one having heard of it.
    revocation = Revocation(
        serial_number=9, reason="superseded", revoked_at=world.acme.certificate.not_valid_before_utc
    )
    with world.store.transaction() as transaction:
        transaction.insert(REVOCATION, world.acme.key_id.hex(), serial_key(9), revocation.to_text().encode())
    assert revoked.reason_of(world.acme.key_id, 9) is None
    with world.store.transaction() as transaction:
        transaction.touch(EVERYTHING)
    assert revoked.reason_of(world.acme.key_id, 9) == "superseded"


def test_the_number_of_issuers_that_are_remembered_is_bounded(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "_MOST_ISSUERS", 3)
    revoked = RevokedSerials(store)
    for number in range(10):
        assert revoked.reason_of(number.to_bytes(32), 1) is None
        assert len(revoked._by_issuer) <= 3
