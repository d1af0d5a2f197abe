"""The thread that reads: when it runs, that it ends, forks, and that nobody else feels it."""

from __future__ import annotations

import asyncio
import gc
import os
import threading
import time
import warnings
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from mtlskit.revocation import RevocationLists
from revocation.conftest import QUICK
from revocation.crls import Site, long_list, make_list, put, wait_until


def now() -> datetime:
    return datetime.now(UTC)


def threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "mtlskit-revocation"]


@pytest.fixture(autouse=True)
def _nothing_is_left() -> None:
    gc.collect()
    wait_until(lambda: not threads())


def test_it_starts_when_there_is_something_to_read_and_ends_on_close(tmp_path: Path) -> None:
    lists = RevocationLists()
    watched = lists.watch([make_list(1)])
    lists.keep_running()
    assert threads() == []
    put(tmp_path / "a", make_list(1))
    more = [lists.watch([tmp_path / "a"]) for _ in range(5)]
    lists.load()
    assert len(threads()) == 1
    lists.close()
    assert threads() == []
    lists.close()
    lists.keep_running()
    assert threads() == []
    assert [len(each.current(now())) for each in (watched, *more)] == [1] * 6, "what was read stays"


def test_close_ends_a_fetch_in_its_middle(site: Site) -> None:
    pytest.importorskip("httpx2")
    lists = RevocationLists()
    watched = lists.watch([site.drips(bytes(1000), "/slow", 1.0, first=b"HTTP/1.1 200 OK\r\n\r\n")])
    wait_until(lambda: site.seen)
    begun = time.monotonic()
    lists.close()
    assert time.monotonic() - begun < 1.0
    assert threads() == []
    assert watched.current(now()) == ()


def test_it_does_not_keep_what_nobody_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mtlskit.revocation.worker._LONGEST_SLEEP_SECONDS", 0.05)
    put(tmp_path / "a", make_list(1))
    lists = RevocationLists()
    watched = lists.watch([tmp_path / "a"])
    lists.load()
    del lists
    gc.collect()
    wait_until(lambda: not threads())
    assert len(watched.current(now())) == 1


def test_an_exception_in_a_subscriber_or_a_source_ends_nothing(
    quick: RevocationLists, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_arguments: object) -> None:
        raise RuntimeError("boom")

    quick.subscribe(broken)
    put(tmp_path / "a", make_list(1))
    watched = quick.watch([tmp_path / "a"])
    wait_until(lambda: watched.current(now()))
    with monkeypatch.context() as patch:
        patch.setattr("mtlskit.revocation.loading.read_list", broken)
        put(tmp_path / "a", make_list(2))
        wait_until(lambda: "got RuntimeError" in quick.status()[0].error)
    wait_until(lambda: watched.current(now())[0].number == 2)


def test_a_thread_that_cannot_be_started_is_started_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def none_left(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    lists = RevocationLists()
    put(tmp_path / "a", make_list(1))
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", none_left)
        watched = lists.watch([tmp_path / "a"])
    try:
        lists.keep_running()
        wait_until(lambda: watched.current(now()))
    finally:
        lists.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_child_of_a_fork_reads_on_with_a_thread_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "a"
    put(path, make_list(1))
    lists = RevocationLists(schedule=QUICK)
    watched = lists.watch([path])
    lists.load()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        told = 1
        try:
            lists.keep_running()
            wait_until(lambda: watched.current(now())[0].number == 2)
            lists.close()
            told = 0
        finally:
            os._exit(told)
    put(path, make_list(2))
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    wait_until(lambda: watched.current(now())[0].number == 2)
    lists.close()


def test_readers_under_load_see_whole_lists_that_never_go_back(tmp_path: Path) -> None:
    """Number n revokes the serials 1 to n, and no other: a half of one, or a mixture, would show."""
    path = tmp_path / "a"
    made = [make_list(number, revoked=tuple(range(1, number + 1))) for number in range(1, 21)]
    put(path, made[0])
    lists = RevocationLists(schedule=QUICK)
    watched = lists.watch([path])
    lists.load()
    stop = threading.Event()
    wrong: list[str] = []
    seen: list[set[int]] = []

    def read() -> None:
        last, numbers = 0, set()
        while not stop.is_set():
            (listed,) = watched.current(now())
            number = listed.number or 0
            if number < last:
                wrong.append(f"{last} went back to {number}")
            if listed.size != number or listed.reason_for(listed.name, number) is None:
                wrong.append(f"half of {number}")
            if listed.reason_for(listed.name, number + 1) is not None:
                wrong.append(f"more than {number}")
            last = number
            numbers.add(number)
            time.sleep(0.0001)
        seen.append(numbers)

    readers = [threading.Thread(target=read) for _ in range(8)]
    for reader in readers:
        reader.start()
    for data in made[1:]:
        put(path, data)
        lists.refresh()
    stop.set()
    for reader in readers:
        reader.join()
    lists.close()
    assert wrong == []
    assert len(set().union(*seen)) > 10
    assert watched.current(now())[0].number == 20


def test_an_event_loop_goes_on_while_a_long_list_is_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The aim is 20 ms; a busy machine gets five times as much here."""
    path = tmp_path / "long.crl"
    put(path, long_list(200_000))
    lists = RevocationLists()
    longest = 0.0

    async def beat() -> None:
        nonlocal longest
        watched = lists.watch([path])
        ends = time.perf_counter() + 20
        while not watched.current(now()) and time.perf_counter() < ends:
            before = time.perf_counter()
            await asyncio.sleep(0.001)
            longest = max(longest, time.perf_counter() - before - 0.001)
        (listed,) = watched.current(now())
        assert listed.size == 200_000
        assert listed.reason_for(listed.name, 199_999 | 1 << 125) == "unspecified"

    try:
        asyncio.run(beat())
    finally:
        lists.close()
    with capsys.disabled():
        print(f"\nthe longest stall of the event loop while 200,000 entries were read: {longest * 1000:.1f} ms")
    assert longest < 0.1


def test_a_pause_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between two attempts the thread sleeps: it does not turn in circles."""
    put(tmp_path / "a", make_list(1))
    lists = RevocationLists()
    turns: list[float] = []
    due = lists.due
    monkeypatch.setattr(lists, "due", lambda busy: turns.append(0.0) or due(busy))
    watched = lists.watch([tmp_path / "a"])
    lists.load()
    time.sleep(0.3)
    lists.close()
    assert watched.current(now())[0].next_update > now() + timedelta(hours=1)  # type: ignore[operator]
    assert len(turns) < 10
