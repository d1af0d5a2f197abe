"""Disk full, read-only, a connection lost, a clock set back: an error of ours, nothing without record or by halves.

Whatever an authority, a gate's registry and the certificate store do is done again and again, and breaks a step later
each time: before it begins, between reservation, signature and record, at a commit and right after it. What was
acknowledged holds, what was not can be done again, and the same objects go on when the fault is over.
"""

from __future__ import annotations

import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from mtlskit.authority import CertificateAuthority, KeySigner, KeyType
from mtlskit.authority.ledger import CERTIFICATE, CertificateRecord
from mtlskit.authority.publishing import ListName, Publication
from mtlskit.authority.publishing.published import PublishedLists
from mtlskit.authority.serials import serial_key
from mtlskit.authority.signers import generate_key
from mtlskit.errors import CertificateError, Conflict, IssuanceError, NotFound, Unavailable
from mtlskit.fetch.uploads import utc_now
from mtlskit.ports import Store
from mtlskit.stores import open_store
from mtlskit.stores.audit import verify_audit
from support.postgres import OwnPostgres, Postgres
from support.scripts import run

from .conftest import KEYS
from .faults import (
    EDGES,
    Breaking,
    Cut,
    Fault,
    Full,
    Pragma,
    Refusing,
    Standby,
    Stepping,
    Stopped,
    Terminated,
    Unwritable,
    Withdrawn,
)
from .test_lists import listed
from .wholeness import check_store
from .works import ONCE, Works

ALL = [name for name, each in vars(Works).items() if not name.startswith("_") and name != "close" and callable(each)]
FEW = ("issue", "revoke")  # what is done with the slower stores in any run
DAY = timedelta(days=1)


@pytest.fixture
def own(postgres: Postgres) -> OwnPostgres:
    """The server, where it is ours to stop."""
    if not isinstance(postgres, OwnPostgres):
        pytest.skip("the server belongs to somebody else")
    return postgres


@pytest.fixture
def cut(postgres_url: str) -> Iterator[Cut]:
    """What stands between a store and the server."""
    between = Cut(postgres_url)
    yield between
    between.close()


class Broken:
    """A store that a fault breaks, and what is done with it."""

    def __init__(self, store: Store, fault: Fault, clock: Callable[[], datetime] = utc_now) -> None:
        self.works = Works(store, clock)
        self.fault = fault

    def at_every_step(self, name: str, only: frozenset[str] | None) -> int:
        """Breaks at each step of the work, or only at those; how often the caller was told."""
        told = 0
        for at in count():
            work, reached = getattr(self.works, name)(), True
            try:
                reached = self.break_at(at, work, only)
            except Unavailable as error:
                assert str(error).startswith("expected ")
                told += 1
            if not reached:
                break
            self.check()
            with suppress(Conflict, NotFound) if name in ONCE else ExitStack():
                work()
            self.check()
        self.revoke_what_is_pending()
        return told

    def break_at(self, at: int, work: Callable[[], object], only: frozenset[str] | None = EDGES) -> bool:
        """Whether there was such a step, at which it broke; mended when it ends."""
        breaking = Breaking(self.fault, at, only)
        try:
            with self.works.stepping.at(breaking):
                work()
        finally:
            self.fault.end()
        return breaking.begun

    def check(self) -> None:
        works, store = self.works, self.works.store
        check_store(store, works.gate)
        with store.snapshot() as snapshot:
            for serial, der in works.issued.items():
                found = snapshot.get(CERTIFICATE, works.acme.key_id.hex(), serial_key(serial))
                assert found is not None
                assert CertificateRecord.from_bytes(found.value).der == der
            assert all(snapshot.get(kind, "", key) is not None for kind, key in works.there)
        works.crl()()
        assert works.numbers == sorted(set(works.numbers))

    def revoke_what_is_pending(self) -> None:
        pending = {each.serial_number for each in self.works.acme.pending()}
        for serial in pending:
            self.works.acme.revoke(serial)
        assert self.works.acme.pending() == ()
        assert pending <= listed(self.works.acme.crl())


@contextmanager
def broken_by(fault: Callable[[Any], Fault], url: str) -> Iterator[Broken]:
    """The store at `url`; `fault` makes of it what breaks it."""
    with closing(open_store(url, keys=KEYS)) as store:
        broken = Broken(store, fault(store))
        yield broken
        broken.works.close()


def make_tight(path: Path) -> None:
    """A database whose pages are small and none of them free: hardly a record goes in without another page."""
    with closing(sqlite3.connect(path)) as connection:
        for pragma in ("page_size = 512", "auto_vacuum = full"):
            connection.execute(f"PRAGMA {pragma}")
        connection.execute("VACUUM")


IN_FILE: dict[str, Callable[[Any], Fault]] = {
    "refusing": lambda _: Refusing(),
    "unwritable": lambda _: Unwritable(),
    "full": lambda store: Pragma(store, "max_page_count = 1", "max_page_count = 1000000"),  # no more than there are
    "read-only": lambda store: Pragma(store, "query_only = on", "query_only = off"),
}
ON_SERVER: dict[str, Callable[[Postgres, str], Fault]] = {
    "refusing": lambda *_: Refusing(),
    "full": Full,
    "full-commit": lambda server, schema: Full(server, schema, deferred=True),
    "read-only": Withdrawn,
    "lost": Terminated,
}
# To forget something needs no room, and a list that cannot be made anew is served as it is.
UNTOLD = {("full", "forget"), ("lost", "publish"), ("unheard", "publish")}


def check_all(broken: Broken, fault: str, name: str, only: frozenset[str] | None) -> None:
    told = broken.at_every_step(name, only)
    assert told or (fault, name) in UNTOLD


def some(faults: Iterable[str], at_edges: Iterable[str] = FEW) -> list[Any]:
    """Every fault with every work at every call; and with some works, in any run, at the edges of transactions."""
    each = [(fault, name) for fault in faults for name in ALL]
    quick = [pytest.param(*one, EDGES, id=f"{'-'.join(one)}-edges") for one in each if one[1] in at_edges]
    return quick + [pytest.param(*one, None, id=f"{'-'.join(one)}-calls", marks=pytest.mark.slow) for one in each]


EACH = "fault", "name", "only"


@pytest.mark.invariant("I10")
@pytest.mark.parametrize(EACH, some(["refusing"], at_edges=ALL))
def test_in_memory(fault: str, name: str, only: frozenset[str] | None) -> None:
    with broken_by(lambda _: Refusing(), "memory://") as broken:
        check_all(broken, fault, name, only)


@pytest.mark.invariant("I10")
@pytest.mark.parametrize(EACH, some(IN_FILE))
def test_in_a_file(tmp_path: Path, fault: str, name: str, only: frozenset[str] | None) -> None:
    if fault == "full":
        make_tight(tmp_path / "state.db")
    with broken_by(IN_FILE[fault], f"sqlite:///{tmp_path}/state.db") as broken:
        check_all(broken, fault, name, only)


@pytest.mark.invariant("I10")
@pytest.mark.parametrize(EACH, some(ON_SERVER))
def test_on_a_server(postgres: Postgres, postgres_url: str, fault: str, name: str, only: frozenset[str] | None) -> None:
    schema = postgres_url.rpartition("%3D")[2]
    with broken_by(lambda _: ON_SERVER[fault](postgres, schema), postgres_url) as broken:
        check_all(broken, fault, name, only)


@pytest.mark.invariant("I10")
@pytest.mark.parametrize(EACH, some(["unheard"]))
def test_a_commit_of_which_nothing_was_heard(cut: Cut, fault: str, name: str, only: frozenset[str] | None) -> None:
    with broken_by(lambda _: cut, cut.url) as broken:
        check_all(broken, fault, name, only)


def test_what_was_committed_and_not_heard_of_holds_and_can_be_done_again(cut: Cut) -> None:
    with broken_by(lambda _: cut, cut.url) as broken:
        works, acme = broken.works, broken.works.acme
        revoked = acme.issue_client("device").serial_number
        with pytest.raises(Unavailable, match="may hold or not"):
            broken.break_at(0, lambda: acme.revoke(revoked, reason="key_compromise"))
        first = {entry.serial_number: entry.revocation_date_utc for entry in acme.crl()}
        assert acme.revoke(revoked).reason == "key_compromise"
        assert first == {revoked: acme.revoke(revoked).revoked_at}
        with pytest.raises(Unavailable, match="may hold or not"):
            broken.break_at(0, works.issue())
        (pending,) = acme.pending()
        acme.revoke(pending.serial_number)
        assert {entry.serial_number for entry in acme.crl()} == {revoked, pending.serial_number}
        with pytest.raises(Unavailable, match="may hold or not"):
            broken.break_at(0, works.ensure())
        broken.check()


@pytest.mark.parametrize("healthy", range(9))
def test_a_connection_goes_on_after_a_commit_that_failed(postgres: Postgres, postgres_url: str, healthy: int) -> None:
    def put(store: Store, key: str, before_the_commit: Callable[[], object] = lambda: None) -> None:
        with store.transaction() as transaction:
            transaction.insert("kind", "", key, b"")
            transaction.append_audit("event", {})
            before_the_commit()

    with closing(open_store(postgres_url, keys=KEYS)) as store:
        fault = Full(postgres, postgres_url.rpartition("%3D")[2])
        # psycopg prepares a statement when it is done so often, here of one kind in the commit that fails.
        with suppress(ZeroDivisionError):
            put(store, "rolled back", lambda: 1 / 0)
        for number in range(healthy):
            put(store, f"before {number}")
        with pytest.raises(Unavailable, match="No space left"):
            put(store, "failed", fault.begin)
        fault.end()
        for number in range(3):
            put(store, f"after {number}")
        verify_audit(store)


@pytest.mark.slow
@pytest.mark.invariant("I10")
@pytest.mark.parametrize("name", [*FEW, "crl", "below", "prepare"])
def test_a_server_that_crashes(own: OwnPostgres, postgres_url: str, name: str) -> None:
    with broken_by(lambda _: Stopped(own), postgres_url) as broken:
        check_all(broken, "crashed", name, EDGES)


def test_a_server_that_only_reads_changes_nothing_and_can_be_read(own: OwnPostgres, postgres_url: str) -> None:
    with broken_by(lambda _: Standby(own), postgres_url) as broken:
        works = {name: getattr(broken.works, name)() for name in ALL}
        before = verify_audit(broken.works.store)
        broken.fault.begin()
        try:
            for name, work in works.items():
                with pytest.raises(Unavailable, match="read-write mode during recovery"):
                    work()
                assert verify_audit(broken.works.store) == before, name
            assert broken.works.acme.pending() == ()
        finally:
            broken.fault.end()
        for work in works.values():
            work()
        broken.check()


# A file.


def test_a_file_that_may_only_be_read_changes_nothing_and_can_be_read() -> None:
    with tempfile.TemporaryDirectory() as directory:  # not below pytest's, which another user cannot enter
        path = Path(directory) / "state.db"
        with closing(open_store(f"sqlite:///{path}", keys=KEYS)) as store:
            acme = CertificateAuthority.create("Acme", store=store)
            serial = acme.issue_client("device").serial_number
            before = verify_audit(store)
        path.chmod(0o444)
        path.parent.chmod(0o777)
        said = run(f"""
            import os
            from mtlskit.authority import CertificateAuthority
            from mtlskit.errors import Unavailable
            from mtlskit.stores import KeyEncryption, open_store
            if os.getuid() == 0:
                os.setgid(65534)
                os.setuid(65534)
            store = open_store("sqlite:///{path}", keys=KeyEncryption(bytes(32)))
            acme = CertificateAuthority.open("Acme", store=store)
            for work in (
                lambda: acme.issue_client("device"),
                lambda: acme.revoke({serial}),
                lambda: acme.crl(),
                lambda: acme.renew({serial}),
                lambda: acme.rotation.prepare(),
                lambda: CertificateAuthority.create("Other", store=store),
            ):
                try:
                    work()
                except Unavailable as error:
                    print("readonly" in str(error))
            print(acme.pending())
            store.close()
            """)
        assert said.split() == ["True"] * 6 + ["()"]
        path.chmod(0o600)
        with closing(open_store(f"sqlite:///{path}", keys=KEYS)) as store:
            assert verify_audit(store) == before
            CertificateAuthority.open("Acme", store=store).revoke(serial)


@pytest.mark.parametrize("octets", [0, 100, 4_096, 8_192, 20_000])
def test_a_database_that_cannot_be_made_is_told_at_once_and_made_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, octets: int
) -> None:
    monkeypatch.delenv("MTLSKIT_KEY_ENCRYPTION_KEY", raising=False)
    url, fault = f"sqlite:///{tmp_path}/state.db", Unwritable(octets)
    started = time.monotonic()
    fault.begin()
    try:
        with pytest.raises(Unavailable, match=r"state\.db"):
            open_store(url)
    finally:
        fault.end()
    assert time.monotonic() - started < 2  # it does not wait as for somebody else's lock
    with closing(open_store(url)) as store:
        assert store.unseal(store.seal(b"secret", context="c"), context="c") == b"secret"


@pytest.mark.invariant("I10")
@pytest.mark.parametrize("size", [100, 100_000])
def test_a_statement_that_failed_fails_the_transaction_even_if_it_is_caught(tmp_path: Path, size: int) -> None:
    make_tight(tmp_path / "state.db")
    with broken_by(IN_FILE["full"], f"sqlite:///{tmp_path}/state.db") as broken:
        store = broken.works.store
        with pytest.raises(Unavailable, match="has failed"), store.transaction() as transaction:
            transaction.insert("kind", "", "a", b"")
            broken.fault.begin()
            with pytest.raises(Unavailable, match="full"):
                for number in range(10):
                    transaction.insert("kind", "", f"large {number}", bytes(size))
            broken.fault.end()
            with suppress(Unavailable):
                transaction.insert("kind", "", "b", b"")
        with store.snapshot() as snapshot:
            assert list(snapshot.scan("kind", "")) == []
        with store.transaction() as transaction:
            transaction.insert("kind", "", "a", b"")


# The clock.


class Clock:
    """A clock that somebody sets."""

    def __init__(self) -> None:
        self.by = timedelta(0)

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.by


@pytest.mark.invariant("I10")
@pytest.mark.parametrize("name", ALL)
def test_a_clock_set_back_a_day(store: Store, name: str) -> None:
    clock = Clock()
    broken = Broken(store, Refusing(), clock)
    make: Callable[[], Callable[[], object]] = getattr(broken.works, name)
    work = make()
    clock.by = -DAY
    is_told = False
    try:
        work()
    except (IssuanceError, CertificateError):
        is_told = True
    assert is_told == (name in TOO_EARLY)
    assert broken.works.acme.pending() == ()
    check_store(store, broken.works.gate)  # no certificate begins before its issuer's
    clock.by = timedelta(0)
    if is_told:
        work()
    make()()
    broken.check()
    broken.works.close()


# What would begin before the authority that issues it, or is not valid yet.
TOO_EARLY = {"issue", "sign_request", "batch", "renew", "rekey", "below", "prepare", "prepare_below", "upload"}


@pytest.mark.invariant("I10")
def test_a_clock_set_forward_and_back_again(store: Store) -> None:
    clock = Clock()
    broken = Broken(store, Refusing(), clock)
    works = broken.works
    for days in (0, 400, 399, 0, 1):
        clock.by = days * DAY
        for name in (
            "issue",
            "batch",
            "renew",
            "revoke",
            "crl",
            "release",
            "delta_crl",
            "prepare",
            "activate",
            "retire",
        ):
            getattr(works, name)()()
        broken.check()
    later = works.acme.issue_client("device")
    clock.by = timedelta(0)
    works.acme.revoke(later)
    assert later.serial_number in listed(works.acme.crl())
    broken.works.close()


@pytest.mark.invariant("I10")
@pytest.mark.parametrize("name", [ListName(1), ListName(1, is_delta=True)])
def test_what_is_revoked_after_a_clock_was_set_back_is_published(store: Store, name: ListName) -> None:
    clock = Clock()
    acme = CertificateAuthority.create("Acme", store=store, clock=clock)
    updates: dict[str, Any] = {"base_url": "http://crl.acme.example", "updates": "delta"} if name.is_delta else {}
    lists = PublishedLists(acme._opened, Publication(**updates))
    device = acme.issue_client("device")
    clock.by = DAY / 2
    before = lists.current(name).record
    clock.by = timedelta(0)
    acme.revoke(device, reason="key_compromise")
    found = lists.current(name)
    assert found.record.number > before.number
    assert found.record.this_update <= clock()
    complete = lists.current(ListName(1))
    assert device.serial_number in listed(x509.load_der_x509_crl(complete.der))
    assert [lists.current(name).record for _ in range(2)] == [found.record] * 2


def test_a_rotation_that_broke_goes_on_with_the_signer_that_it_was_begun_with(store: Store) -> None:
    stepping = Stepping(store)
    for at in count():
        acme = CertificateAuthority.create(f"Acme {at}", store=stepping)
        signer = KeySigner(generate_key(KeyType.EC_P256))
        breaking = Breaking(Refusing(), at, EDGES)
        with suppress(Unavailable), stepping.at(breaking):
            acme.rotation.prepare(signer=signer)
        if not breaking.begun:
            return
        acme.rotation.prepare(signer=signer)
        acme.rotation.activate()
        acme.issue_client("device")


@pytest.mark.parametrize("by", [DAY, -DAY])
def test_the_audit_log_is_whole_whatever_its_clock_says(
    store: Store, monkeypatch: pytest.MonkeyPatch, by: timedelta
) -> None:
    broken = Broken(store, Refusing())
    head = verify_audit(store)

    class Shifted(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:
            return datetime.now(tz) + by

    monkeypatch.setattr("mtlskit.stores.audit.datetime", Shifted)
    broken.works.issue()()
    monkeypatch.undo()
    broken.works.revoke()()
    broken.check()
    last = verify_audit(store, head=head)
    with store.snapshot() as snapshot:
        moments = [row.recorded_at for row in snapshot.scan_audit()]
    assert last is not None
    assert moments != sorted(moments)
    broken.works.close()
