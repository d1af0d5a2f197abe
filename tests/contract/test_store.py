"""What every store does. The docstring of `mtlskit.ports` is the contract; memory is the model."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any

import pytest

from mtlskit.errors import Conflict, NotFound, StoreError, Unavailable
from mtlskit.ports import Store, Transaction
from mtlskit.stores import KeyEncryption, MemoryStore, open_store
from mtlskit.stores.audit import verify_audit


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "postgres":
        return str(request.getfixturevalue("postgres_url"))
    return "memory://" if request.param == "memory" else f"sqlite:///{tmp_path}/state.db"


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    opened = open_store(url, keys=KeyEncryption.generate())
    yield opened
    opened.close()


def put(store: Store, key: str, value: bytes = b"value", *, kind: str = "kind", partition: str = "partition") -> int:
    with store.transaction() as transaction:
        return transaction.insert(kind, partition, key, value).version


def value_of(store: Store, key: str) -> bytes | None:
    with store.snapshot() as snapshot:
        found = snapshot.get("kind", "partition", key)
    return None if found is None else found.value


def test_is_a_store(store: Store) -> None:
    assert isinstance(store, Store)


def test_a_record_comes_back_as_it_was_put(store: Store) -> None:
    put(store, "a", b"\x00\xff")
    with store.transaction() as transaction:
        found = transaction.get("kind", "partition", "a")
    assert found is not None
    assert (found.key, found.value, found.version) == ("a", b"\x00\xff", 1)
    with store.snapshot() as snapshot:
        assert snapshot.get("kind", "other", "a") is None
        assert snapshot.get("other", "partition", "a") is None


def test_an_insert_over_a_record_is_a_conflict(store: Store) -> None:
    put(store, "a")
    with pytest.raises(Conflict, match="'a'"):
        put(store, "a")


def test_replace_counts_versions_and_holds_to_the_one_given(store: Store) -> None:
    put(store, "a")
    with store.transaction() as transaction:
        assert transaction.replace("kind", "partition", "a", b"2").version == 2
        assert transaction.replace("kind", "partition", "a", b"3", version=2).version == 3
        with pytest.raises(Conflict, match="version 2"):
            transaction.replace("kind", "partition", "a", b"4", version=2)
        with pytest.raises(NotFound):
            transaction.replace("kind", "partition", "b", b"")
    assert value_of(store, "a") == b"3"


def test_delete_holds_to_the_version_and_needs_a_record(store: Store) -> None:
    put(store, "a")
    with store.transaction() as transaction:
        with pytest.raises(Conflict):
            transaction.delete("kind", "partition", "a", version=7)
        transaction.delete("kind", "partition", "a", version=1)
        with pytest.raises(NotFound):
            transaction.delete("kind", "partition", "a")
    assert value_of(store, "a") is None


def test_a_deleted_key_comes_back_above_its_old_version(store: Store) -> None:
    put(store, "a")
    with store.transaction() as transaction:
        transaction.replace("kind", "partition", "a", b"")
        transaction.delete("kind", "partition", "a")
    assert put(store, "a") == 3
    with store.transaction() as transaction:
        transaction.delete("kind", "partition", "a")
    assert put(store, "a") == 4


def test_a_delete_that_was_rolled_back_is_forgotten(store: Store) -> None:
    with pytest.raises(KeyError), store.transaction() as transaction:
        transaction.insert("kind", "partition", "a", b"")
        transaction.delete("kind", "partition", "a")
        raise KeyError
    assert put(store, "a") == 1


def test_scan_goes_by_code_point_and_stays_in_its_partition(store: Store) -> None:
    keys = ["b", "a", "é", "Z", "😀", "\ufb01", "a\x01"]
    for key in keys:
        put(store, key)
    put(store, "elsewhere", partition="other")
    put(store, "elsewhere", kind="other")
    with store.snapshot() as snapshot:
        assert [record.key for record in snapshot.scan("kind", "partition")] == sorted(keys)
        assert [record.key for record in snapshot.scan("kind", "partition", after="a", limit=2)] == ["a\x01", "b"]
        assert list(snapshot.scan("kind", "partition", limit=0)) == []
        assert list(snapshot.scan("kind", "nowhere")) == []


def test_scan_of_many_pages_gives_each_record_once(store: Store) -> None:
    keys = [f"{number:05}" for number in range(2_500)]
    with store.transaction() as transaction:
        for key in keys:
            transaction.insert("kind", "partition", key, b"")
    with store.snapshot() as snapshot:
        assert [record.key for record in snapshot.scan("kind", "partition")] == keys
        assert len(list(snapshot.scan("kind", "partition", limit=1_500))) == 1_500


def test_records_can_be_deleted_while_they_are_scanned(store: Store) -> None:
    for key in "abc":
        put(store, key)
    with store.transaction() as transaction:
        for record in transaction.scan("kind", "partition"):
            transaction.delete("kind", "partition", record.key)
        assert list(transaction.scan("kind", "partition")) == []


def test_a_transaction_that_raised_has_no_effect(store: Store) -> None:
    put(store, "kept", b"old")
    heard: list[frozenset[str]] = []
    store.subscribe(heard.append)
    with pytest.raises(KeyError), store.transaction() as transaction:
        transaction.insert("kind", "partition", "new", b"")
        transaction.replace("kind", "partition", "kept", b"new")
        transaction.increment("counter")
        transaction.append_audit("event", {})
        transaction.touch("topic")
        raise KeyError
    assert (value_of(store, "new"), value_of(store, "kept")) == (None, b"old")
    assert heard == []
    assert verify_audit(store) is None
    with store.transaction() as transaction:
        assert transaction.increment("counter") == 1


def test_a_transaction_cannot_be_used_after_its_end(store: Store) -> None:
    put(store, "a")
    with store.transaction() as transaction:
        scan = transaction.scan("kind", "partition")
    with pytest.raises(StoreError, match="ended"):
        transaction.get("kind", "partition", "a")
    with pytest.raises(StoreError, match="ended"):
        transaction.insert("kind", "partition", "b", b"")
    with pytest.raises(StoreError, match="ended"):
        transaction.touch("topic")
    with pytest.raises(StoreError, match="ended"):
        next(scan)


def test_transactions_do_not_nest(store: Store) -> None:
    with store.transaction(), pytest.raises(StoreError, match="inside"), store.transaction():
        pass
    with store.snapshot(), pytest.raises(StoreError, match="inside"), store.transaction():
        pass
    assert put(store, "a") == 1


def test_a_snapshot_cannot_write(store: Store) -> None:
    with store.snapshot() as snapshot:
        assert not hasattr(snapshot, "insert")


@pytest.mark.parametrize("text", ["a\0b", "\ud800"])
def test_text_that_some_store_could_not_keep_is_refused_by_all(store: Store, text: str) -> None:
    with store.transaction() as transaction:
        for attempt in (
            lambda: transaction.insert("kind", "partition", text, b""),
            lambda: transaction.insert("kind", text, "key", b""),
            lambda: transaction.get(text, "partition", "key"),
            lambda: transaction.increment(text),
            lambda: transaction.touch(text),
        ):
            with pytest.raises(StoreError, match="NUL"):
                attempt()
        with pytest.raises(StoreError, match="empty"):
            transaction.insert("kind", "partition", "", b"")


def test_a_name_that_some_store_could_not_keep_is_refused_by_all(store: Store) -> None:
    with store.transaction() as transaction:
        assert transaction.insert("k", "p", "é" * 999, b"").version == 1
        assert transaction.increment("é" * 1_000) == 1
        for attempt in (
            lambda: transaction.insert("k", "p", "é" * 1_000, b""),
            lambda: transaction.insert("k", "é" * 1_000, "k", b""),
            lambda: transaction.increment("é" * 1_001),
        ):
            with pytest.raises(StoreError, match="2000 bytes"):
                attempt()


@pytest.mark.parametrize("event", ["two\nlines", "a\0b", "\ud800"])
def test_an_event_that_some_store_could_not_keep_is_refused_by_all(store: Store, event: str) -> None:
    with store.transaction() as transaction, pytest.raises(StoreError, match="expected"):
        transaction.append_audit(event, {})
    assert verify_audit(store) is None


def test_details_can_be_any_text(store: Store) -> None:
    with store.transaction() as transaction:
        transaction.append_audit("event", {"\0": "\ud800 \n"})
    with store.snapshot() as snapshot:
        assert [row.details for row in snapshot.scan_audit()] == [{"\0": "\ud800 \n"}]
    assert verify_audit(store) is not None


def test_of_several_that_find_an_empty_partition_one_fills_it(store: Store) -> None:
    def work(thread: int, partition: str) -> None:
        with store.transaction() as transaction:
            if not list(transaction.scan("kind", partition)):
                time.sleep(0.01)
                transaction.insert("kind", partition, str(thread), b"")

    with ThreadPoolExecutor(3) as threads:
        for partition in "abcde":
            list(threads.map(work, range(3), partition * 3))
            with store.snapshot() as snapshot:
                assert len(list(snapshot.scan("kind", partition))) == 1


def test_a_partition_that_was_scanned_stays_as_it_is_until_the_end(store: Store) -> None:
    put(store, "a")
    with store.transaction() as transaction:
        assert [record.key for record in transaction.scan("kind", "partition")] == ["a"]
        thread = threading.Thread(target=put, args=(store, "b"))
        thread.start()
        time.sleep(0.1)
        assert [record.key for record in transaction.scan("kind", "partition")] == ["a"]
    thread.join()
    assert value_of(store, "b") == b"value"


def test_of_two_that_look_for_each_other_s_record_one_finds_it(store: Store) -> None:
    def work(own: str, others: str) -> None:
        # Where two transactions wait for each other, a store undoes one of them.
        with suppress(Unavailable), store.transaction() as transaction:
            if transaction.get("kind", "partition", others) is None:
                time.sleep(0.01)
                transaction.insert("kind", "partition", own, b"")

    with ThreadPoolExecutor(2) as threads:
        list(threads.map(work, "ab", "ba"))
    assert (value_of(store, "a") is None) != (value_of(store, "b") is None)


def test_who_reads_before_writing_loses_nobody_s_change(store: Store) -> None:
    put(store, "sum", b"0")

    def work(_: int) -> None:
        for _ in range(10):
            with store.transaction() as transaction:
                found = transaction.get("kind", "partition", "sum")
                assert found is not None
                changed = str(int(found.value) + 1).encode()
                transaction.replace("kind", "partition", "sum", changed, version=found.version)

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(work, range(4)))
    assert value_of(store, "sum") == b"40"


@pytest.mark.parametrize("seed", range(4))
def test_every_store_answers_as_the_model_does(store: Store, seed: int) -> None:
    model = open_store("memory://", keys=KeyEncryption.generate())
    for transactions in range(15):
        steps = random.Random(seed * 100 + transactions)
        assert some_transaction(store, steps) == some_transaction(model, random.Random(seed * 100 + transactions))
    for partition in PARTITIONS:
        with store.snapshot() as snapshot, model.snapshot() as expected:
            assert list(snapshot.scan("kind", partition)) == list(expected.scan("kind", partition))
    with store.snapshot() as snapshot, model.snapshot() as expected:
        assert [row.details for row in snapshot.scan_audit()] == [row.details for row in expected.scan_audit()]


PARTITIONS = ("", "p", "é")


def some_transaction(store: Store, steps: random.Random) -> list[object]:
    """What a transaction of random steps is told; every third one is undone."""
    told: list[object] = []
    with suppress(KeyError), store.transaction() as transaction:
        for _ in range(steps.randrange(12)):
            told.append(some_step(transaction, steps))
        if steps.randrange(3) == 0:
            raise KeyError
    return told


def some_step(transaction: Transaction, steps: random.Random) -> object:
    place = ("kind", steps.choice(PARTITIONS), steps.choice("abAB😀\uffff"))
    value, version = steps.randbytes(3), steps.choice([None, None, 1, 2])
    try:
        match steps.randrange(9):
            case 0 | 1 | 2:
                return transaction.insert(*place, value)
            case 3:
                return transaction.replace(*place, value, version=version)
            case 4:
                return transaction.delete(*place, version=version)
            case 5:
                return transaction.get(*place)
            case 6:
                after, limit = steps.choice(["", "A", "a"]), steps.choice([None, 0, 1, 2])
                return list(transaction.scan(*place[:2], after=after, limit=limit))
            case 7:
                return transaction.increment(place[2])
            case _:
                transaction.append_audit("event", {"n": value.hex()})
                return [(row.sequence, row.details) for row in transaction.scan_audit(after=1)]
    except (Conflict, NotFound) as error:
        return str(error)


def test_counters_count_from_one_each_for_itself(store: Store) -> None:
    with store.transaction() as transaction:
        assert [transaction.increment("a"), transaction.increment("a"), transaction.increment("b")] == [1, 2, 1]
    with store.transaction() as transaction:
        assert transaction.increment("a") == 3


def test_counters_never_repeat_between_threads(store: Store) -> None:
    drawn: list[int] = []

    def draw() -> None:
        for _ in range(25):
            with store.transaction() as transaction:
                number = transaction.increment("counter")
            drawn.append(number)

    threads = [threading.Thread(target=draw) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(drawn) == list(range(1, 101))


def test_the_audit_log_is_a_chain_that_is_read_from_where_one_wants(store: Store) -> None:
    for number in range(3):
        with store.transaction() as transaction:
            transaction.append_audit("event", {"number": str(number), "text": "é\n"})
    with store.snapshot() as snapshot:
        rows = list(snapshot.scan_audit())
        assert [row.sequence for row in snapshot.scan_audit(after=1)] == [2, 3]
    assert [row.details["number"] for row in rows] == ["0", "1", "2"]
    assert rows[2].previous_hash == rows[1].hash
    assert verify_audit(store, head=rows[1]) == rows[2]


def test_subscribers_hear_of_topics_at_once_until_they_leave(store: Store) -> None:
    heard: list[frozenset[str]] = []
    leave = store.subscribe(heard.append)
    with store.transaction() as transaction:
        transaction.touch("a")
        transaction.touch("b")
        transaction.touch("a")
        assert heard == []
    assert heard == [frozenset({"a", "b"})]
    store.poll()
    put(store, "untouched")
    leave()
    leave()
    with store.transaction() as transaction:
        transaction.touch("c")
    assert heard == [frozenset({"a", "b"})]


def test_a_subscriber_can_read_what_was_committed(store: Store) -> None:
    read: list[bytes | None] = []
    store.subscribe(lambda _: read.append(value_of(store, "a")))
    with store.transaction() as transaction:
        transaction.insert("kind", "partition", "a", b"new")
        transaction.touch("a")
    assert read == [b"new"]


def test_a_subscriber_that_fails_stops_neither_the_commit_nor_the_others(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    heard: list[frozenset[str]] = []

    def fail(topics: frozenset[str]) -> None:
        raise ValueError(topics)

    store.subscribe(fail)
    store.subscribe(heard.append)
    with store.transaction() as transaction:
        transaction.insert("kind", "partition", "a", b"")
        transaction.touch("topic")
    assert value_of(store, "a") == b""
    assert heard == [frozenset({"topic"})]
    assert "subscriber" in caplog.text


class Interrupted(BaseException):
    """What a signal's handler raises, wherever the program is."""


@pytest.mark.invariant(6)
def test_what_interrupts_the_telling_is_made_good_by_the_next_poll(store: Store) -> None:
    heard: list[frozenset[str]] = []
    interruptions = [Interrupted()]

    def interrupt(_: frozenset[str]) -> None:
        if interruptions:
            raise interruptions.pop()

    store.poll()
    store.subscribe(interrupt)
    store.subscribe(heard.append)
    with pytest.raises(Interrupted), store.transaction() as transaction:
        transaction.insert("kind", "partition", "a", b"")
        transaction.touch("topic")
    assert (value_of(store, "a"), heard) == (b"", [])
    store.poll()
    assert heard == [frozenset({"topic"})]
    store.poll()
    assert heard == [frozenset({"topic"})]


@pytest.mark.invariant(6)
@pytest.mark.parametrize("polled", ["before it is known", "after"])
def test_a_commit_whose_answer_is_lost_is_told_all_the_same(
    store: Store, polled: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may have been made: whoever tries again finds everything done, and nothing more is told."""
    with store.transaction() as transaction:
        kind: Any = type(transaction)
    if not hasattr(kind, "commit"):
        pytest.skip("in memory there is no answer that could be lost")
    commit = kind.commit
    heard: list[frozenset[str]] = []

    def lost(transaction: Any) -> None:
        commit(transaction)
        if polled == "before it is known":
            with ThreadPoolExecutor(1) as threads:
                threads.submit(store.poll).result()
        raise Unavailable("expected an answer, got none")

    store.subscribe(heard.append)
    store.poll()
    with monkeypatch.context() as patch, pytest.raises(Unavailable), store.transaction() as transaction:
        patch.setattr(kind, "commit", lost)
        transaction.insert("kind", "partition", "a", b"")
        transaction.touch("topic")
    store.poll()
    assert value_of(store, "a") == b""
    assert set(heard) == {frozenset({"topic"})}


def test_a_secret_opens_only_where_it_was_sealed_for(store: Store) -> None:
    sealed = store.seal(b"secret", context="here")
    assert b"secret" not in sealed
    assert sealed != store.seal(b"secret", context="here")
    assert store.unseal(sealed, context="here") == b"secret"
    with pytest.raises(StoreError, match="moved"):
        store.unseal(sealed, context="there")
    with pytest.raises(StoreError, match="moved"):
        store.unseal(sealed[:-1] + bytes([sealed[-1] ^ 1]), context="here")
    with pytest.raises(StoreError, match="version"):
        store.unseal(b"", context="here")


def test_a_store_that_has_adopted_a_key_opens_with_it_alone(url: str) -> None:
    if url == "memory://":
        pytest.skip("is gone with the object")
    old, new = bytes(32), bytes(range(32))
    open_store(url, keys=KeyEncryption(old)).close()
    store = open_store(url, keys=KeyEncryption(new, previous=[old]))
    sealed = store.seal(b"secret", context="c")
    store.adopt_key()
    store.close()
    for key, opens in ((new, True), (old, False)):
        store = open_store(url, keys=KeyEncryption(key))
        with nullcontext() if opens else pytest.raises(StoreError, match="the id"):
            assert store.unseal(sealed, context="c") == b"secret"
        store.close()


def test_a_closed_store_is_unavailable_and_closes_again(store: Store) -> None:
    put(store, "a")
    store.close()
    store.close()
    with pytest.raises(Unavailable, match="closed"), store.transaction():
        pass
    with pytest.raises(Unavailable, match="closed"), store.snapshot():
        pass


def test_a_row_that_says_the_same_in_other_words_was_changed() -> None:
    """Two JSON texts can mean one thing to whoever reads them, and only one of them was hashed."""
    from mtlskit.stores.audit import encoded_details, stored_row

    details = encoded_details("event", {"a": "1", "subject": "CN=evil"})
    assert stored_row(1, "", "event", details, b"", b"").details == {"a": "1", "subject": "CN=evil"}
    for text in (
        '{"subject":"CN=innocent",' + details[1:],
        details.replace(":", ": "),
        details.replace("a", "\\u0061"),
    ):
        with pytest.raises(StoreError, match="expected audit row 1 as it was written, got a changed one"):
            stored_row(1, "", "event", text, b"", b"")


def test_many_records_at_once_are_as_one_after_the_other(store: Store) -> None:
    names = [f"{number:03d}" for number in range(300)]
    with store.transaction() as transaction:
        transaction.insert_many("kind", "partition", {each: each.encode() for each in names})
        assert len(transaction.get_many("kind", "partition", names)) == 300
    with store.snapshot() as snapshot:
        found = snapshot.get_many("kind", "partition", ["017", "none", "299", "017"])
        assert snapshot.get_many("kind", "partition", []) == snapshot.get_many("kind", "elsewhere", names) == {}
    assert {key: (record.value, record.version) for key, record in found.items()} == {
        "017": (b"017", 1),
        "299": (b"299", 1),
    }
    with store.transaction() as transaction:
        transaction.delete_many("kind", "partition", names[:200])
        transaction.delete_many("kind", "partition", [])
        transaction.insert_many("kind", "partition", {})
        transaction.insert_many("kind", "partition", {"000": b"again", "new": b""})
        assert [each.version for each in transaction.get_many("kind", "partition", ["000", "new"]).values()] == [2, 1]
    with store.snapshot() as snapshot:
        assert [record.key for record in snapshot.scan("kind", "partition")] == ["000", *names[200:], "new"]


def test_of_many_records_one_is_there_or_is_not(store: Store) -> None:
    put(store, "b", b"old")
    with pytest.raises(Conflict, match="kind 'b'"), store.transaction() as transaction:
        transaction.insert_many("kind", "partition", {"a": b"", "b": b"", "c": b""})
    with pytest.raises(NotFound, match="kind 'a'"), store.transaction() as transaction:
        transaction.delete_many("kind", "partition", ["b", "a"])
    with pytest.raises(StoreError), store.transaction() as transaction:
        transaction.insert_many("kind", "partition", {"a": b"", "": b""})
    with store.snapshot() as snapshot:
        assert [(record.key, record.value) for record in snapshot.scan("kind", "partition")] == [("b", b"old")]


def test_many_rows_of_the_log_are_one_chain(store: Store) -> None:
    for count in (1, 3, 120):
        with store.transaction() as transaction:
            for number in range(count):
                transaction.append_audit("event", {"number": str(number), "text": 'ä"\\\n'})
    assert verify_audit(store) is not None
    with store.snapshot() as snapshot:
        rows = list(snapshot.scan_audit())
    assert [row.sequence for row in rows] == list(range(1, 125))
    assert [row.details["number"] for row in rows] == [str(n) for count in (1, 3, 120) for n in range(count)]


def test_who_takes_many_records_waits_for_who_has_one_of_them(store: Store) -> None:
    if isinstance(store, MemoryStore):
        pytest.skip("in memory one transaction waits for the other as a whole")
    began, go_on = threading.Event(), threading.Event()
    put(store, "b", b"0")

    def hold() -> None:
        with store.transaction() as transaction:
            transaction.replace("kind", "partition", "b", b"1")
            began.set()
            go_on.wait(5)

    with ThreadPoolExecutor(1) as threads:
        held = threads.submit(hold)
        began.wait(5)
        threading.Timer(0.2, go_on.set).start()
        with store.transaction() as transaction:
            assert transaction.get_many("kind", "partition", ["a", "b", "c"])["b"].value == b"1"
        held.result()
