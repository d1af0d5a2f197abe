"""Lists from files: what takes the place of what, what stays, and what a source says of itself."""

from __future__ import annotations

import os
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from mtlskit.core.certificates import to_pem
from mtlskit.core.validation import RevocationList, TrustStore, verify_path
from mtlskit.errors import ConfigurationError, PathError
from mtlskit.revocation import ListLimits, ListStatus, RevocationLists, WatchedLists
from mtlskit.revocation.files import imprint_of, read_file
from mtlskit.testing.certificates import Authority
from revocation.crls import acme, make_list, other, put, wait_until

DEVICE = acme().leaf("device")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "acme.crl"


def now() -> datetime:
    return datetime.now(UTC)


def numbers(watched: WatchedLists) -> list[int | None]:
    return [listed.number for listed in watched.current(now())]


def only(status: tuple[ListStatus, ...]) -> ListStatus:
    (found,) = status
    return found


def judged(watched: WatchedLists) -> str:
    """What `verify_path` says of the device by these lists."""
    trust = TrustStore([acme().certificate], lists=watched.current(now()))
    try:
        verify_path(DEVICE.presented(), trust, purpose="client_auth", now=now(), revocation="leaf")
    except PathError as error:
        return error.reason.value
    return "good"


def test_a_file_is_read_and_read_again_when_it_is_replaced(quick: RevocationLists, path: Path) -> None:
    swapped: list[str] = []
    end = quick.subscribe(lambda source: swapped.append(str(source)))
    put(path, make_list(1))
    watched = quick.watch([path])
    assert numbers(watched) == []
    wait_until(lambda: numbers(watched) == [1])
    put(path, make_list(2, encoding=Encoding.PEM))
    wait_until(lambda: numbers(watched) == [2])
    wait_until(lambda: swapped == [path.as_uri()] * 2)
    end()
    put(path, make_list(3))
    wait_until(lambda: numbers(watched) == [3])
    assert len(swapped) == 2


REFUSED = {
    "cut off": (lambda: make_list(2)[:-9], "list in DER"),
    "empty": (lambda: b"", "got 0 in 0 octets"),
    "another thing": (lambda: to_pem([acme().certificate]), "one revocation list in PEM or DER, got 0"),
    "a private key": (lambda: DEVICE.to_pem(), "holds a private key"),
    "going back": (lambda: make_list(6), "does not go back from number 7 of .*, got number 6"),
    "without its number": (lambda: make_list(None), "does not go back from number 7 of .*, got no number"),
    "an older one of the same number": (lambda: make_list(7, since=timedelta(hours=-2)), "does not go back"),
    "stale": (lambda: make_list(8, until=timedelta(minutes=-1)), "that holds at .*, got one from"),
    "of the future": (lambda: make_list(8, since=timedelta(hours=1)), "that holds at"),
    "an unknown critical extension": (
        lambda: make_list(
            8, extensions=((x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00"), True),)
        ),
        "without unknown critical extensions",
    ),
    "too long": (lambda: make_list(8) + bytes(1 << 20), r"at most 1048576 octets, got 1048\d\d\d"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_take_its_place_leaves_the_last_good_one(lists: RevocationLists, path: Path, case: str) -> None:
    make, told = REFUSED[case]
    put(path, make_list(7))
    watched = lists.watch([path])
    lists.load()
    before = watched.current(now())
    put(path, make())
    status = only(lists.refresh())
    assert watched.current(now()) == before
    assert (status.standing.value, status.number, status.failures) == ("good", 7, 1)
    assert re.search(told, status.error), status.error
    assert "PRIVATE KEY---" not in status.error
    put(path, make_list(9))
    status = only(lists.refresh())
    assert (status.number, status.failures, status.error) == (9, 0, "")


def test_a_source_says_how_it_stands(lists: RevocationLists, path: Path) -> None:
    watched = lists.watch([path])
    assert only(watched.status()).standing.value == "waiting"
    missing = only(lists.load())
    assert (missing.standing.value, missing.failures, missing.number, missing.age) == ("waiting", 1, None, None)
    assert "got ENOENT" in missing.error
    data = make_list(5, revoked=(1, 2, 3))
    put(path, data)
    lists.refresh()
    good = only(watched.status())
    assert (good.standing.value, good.number, good.entries, good.octets) == ("good", 5, 3, len(data))
    assert (good.failures, good.error, good.source) == (0, "", path.as_uri())
    stated = x509.load_der_x509_crl(data)
    assert (good.this_update, good.next_update) == (stated.last_update_utc, stated.next_update_utc)
    assert good.age is not None
    assert timedelta(0) <= good.age < timedelta(seconds=5)
    assert good.next_attempt is not None
    assert good.last_success is not None
    os.unlink(path)
    lists.refresh()
    kept = only(lists.refresh())
    assert (kept.standing.value, kept.number, kept.failures, kept.last_success) == ("good", 5, 2, good.last_success)
    assert "good, number 5" in str(kept)
    assert "ENOENT" in str(kept)


def test_the_age_of_a_file_that_stays_as_it_is_does_not_grow(quick: RevocationLists, path: Path) -> None:
    put(path, make_list(1))
    os.utime(path, (1, 1))  # changed long ago, so that it is not read again
    watched = quick.watch([path])
    quick.load()
    first = only(watched.status()).last_success
    assert first is not None
    wait_until(lambda: (only(watched.status()).last_success or first) > first)


def test_a_list_that_has_run_out_is_called_stale_and_kept(
    lists: RevocationLists, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(path, make_list(1, until=timedelta(minutes=5)))
    watched = lists.watch([path])
    lists.load()
    later = now() + timedelta(minutes=6)
    monkeypatch.setattr("mtlskit.revocation.lists.utc_now", lambda: later)
    assert only(watched.status()).standing.value == "stale"
    assert numbers(watched) == [1]


def test_special_files_and_directories_are_not_read(lists: RevocationLists, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    lists.watch([])
    watched = [lists.watch([tmp_path / name]) for name in ("pipe", ".")]
    errors = [status.error for status in lists.load()]
    assert "regular file" in errors[0]
    assert "regular file" in errors[1] or "EISDIR" in errors[1]
    assert watched


@pytest.mark.parametrize("tolerance", [timedelta(0), timedelta(minutes=10)], ids=["none", "ten minutes"])
def test_a_tolerance_for_clocks_is_none_unless_it_is_stated(path: Path, tolerance: timedelta) -> None:
    for since, until in ((timedelta(minutes=5), timedelta(hours=1)), (timedelta(hours=-1), timedelta(minutes=-5))):
        lists = RevocationLists(clock_tolerance=tolerance)
        try:
            put(path, make_list(1, since=since, until=until))
            watched = lists.watch([path])
            status = only(lists.load())
            assert judged(watched) == ("good" if tolerance else "revocation_unknown")
            if tolerance:
                assert status.next_update == x509.load_der_x509_crl(path.read_bytes()).next_update_utc
        finally:
            lists.close()


def test_a_tolerance_below_zero_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="clock tolerance"):
        RevocationLists(clock_tolerance=timedelta(seconds=-1))


def test_a_forged_list_does_not_push_out_the_authentic_one(lists: RevocationLists, path: Path) -> None:
    """No signature is judged when a list is read, so a forged one comes in; but it gets nobody in, and nobody out."""
    forger = Authority.root("Acme root", key=other().key)
    put(path, make_list(7, revoked=(1,)))
    watched = lists.watch([path])
    lists.load()
    assert judged(watched) == "good"
    for number in (1_000_000, 1_000_001):
        put(path, make_list(number, forged_by=forger))
        lists.refresh()
        assert numbers(watched) == [number, 7]
    assert judged(watched) == "good"
    put(path, make_list(6))
    assert "does not go back" in only(lists.refresh()).error
    put(path, make_list(8, revoked=(DEVICE.serial_number,)))
    lists.refresh()
    assert judged(watched) == "revoked"
    assert numbers(watched) == [8]


def test_what_was_replaced_does_not_come_back_when_its_successor_runs_out(lists: RevocationLists, path: Path) -> None:
    put(path, make_list(7, until=timedelta(days=9)))
    watched = lists.watch([path])
    lists.load()
    assert judged(watched) == "good"
    put(path, make_list(8, until=timedelta(days=1)))
    lists.refresh()
    assert [listed.number for listed in watched.current(now() + timedelta(days=2))] == [8]


def test_lists_given_in_code_are_there_at_once_and_need_no_thread(lists: RevocationLists) -> None:
    watched = lists.watch([make_list(4)])
    assert numbers(watched) == [4]
    assert only(watched.status()).standing.value == "good"
    assert lists._worker is None
    assert judged(watched) == "good"


def test_a_source_is_read_once_for_all_who_use_it(lists: RevocationLists, path: Path) -> None:
    put(path, make_list(1))
    first = lists.watch([path])
    lists.load()
    second = lists.watch([path.as_uri(), path])
    assert len(lists.status()) == 1
    assert first.current(now())[0] is second.current(now())[0]
    assert isinstance(first.current(now())[0], RevocationList)


def test_a_source_that_nobody_uses_is_forgotten_after_a_while(
    quick: RevocationLists, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(path, make_list(1))
    watched = quick.watch([path])
    quick.load()
    del watched
    assert numbers(quick.watch([path])) == [1], "it is still there for who comes back soon"
    monkeypatch.setattr("mtlskit.revocation.lists._IDLE_SECONDS", 0.05)
    wait_until(lambda: quick.status() == ())


def test_a_file_longer_than_the_limit_is_not_even_read(path: Path) -> None:
    lists = RevocationLists(limits=ListLimits(octets=1000))
    try:
        with path.open("wb") as file:
            file.truncate(1 << 34)
        watched = lists.watch([path])
        assert "at most 1000 octets, got 17179869184" in only(lists.load()).error
        assert numbers(watched) == []
    finally:
        lists.close()


def test_a_file_changed_just_now_is_read_again_whatever_its_times_say(path: Path) -> None:
    path.write_bytes(b"x")
    assert read_file(str(path), ListLimits()) == (b"x", None)
    os.utime(path, (1, 1))
    _, imprint = read_file(str(path), ListLimits())
    assert imprint is not None
    assert imprint == imprint_of(str(path))
    assert imprint_of(str(path / "none")) is None
