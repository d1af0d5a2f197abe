"""Lists that outlive the process: what is kept, what is taken back, and what nobody can do to it."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import re
import stat
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from mtlskit.core.certificates import PresentedChain, to_pem
from mtlskit.core.validation import TrustStore, verify_path
from mtlskit.errors import ConfigurationError, PathError
from mtlskit.revocation import ListLimits, ListStatus, RevocationLists, WatchedLists, kept_files, source_of
from mtlskit.revocation.feed import Feed, FeedState
from mtlskit.revocation.keeping import Keeping
from mtlskit.revocation.reading import LoadedList
from mtlskit.testing.certificates import Authority
from revocation.conftest import QUICK
from revocation.crls import Site, acme, make_list, other, put, wait_until

pytest.importorskip("httpx2")

DEVICE = acme().leaf("device")
FORGER = Authority.root("Acme root", key=other().key)
Start = Callable[..., RevocationLists]


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    return tmp_path / "kept"


@pytest.fixture
def start(kept: Path) -> Iterator[Start]:
    """Starts a service anew, by default over the same directory."""
    made: list[RevocationLists] = []

    def started(**settings: Any) -> RevocationLists:
        made.append(RevocationLists(**{"keep_in": kept, "limits": ListLimits(octets=1 << 20, seconds=1.0), **settings}))
        return made[-1]

    yield started
    for each in made:
        each.close()


def now() -> datetime:
    return datetime.now(UTC)


def numbers(watched: WatchedLists) -> list[int | None]:
    return [listed.number for listed in watched.current(now())]


def only(status: tuple[ListStatus, ...]) -> ListStatus:
    (found,) = status
    return found


def judged(watched: WatchedLists, presented: PresentedChain | None = None) -> str:
    """What `verify_path` says of the device by these lists."""
    trust = TrustStore([acme().certificate], lists=watched.current(now()))
    try:
        verify_path(presented or DEVICE.presented(), trust, purpose="client_auth", now=now(), revocation="leaf")
    except PathError as error:
        return error.reason.value
    return "good"


def file_of(kept: Path, source: object) -> Path:
    return kept / f"{hashlib.sha256(str(source).encode()).hexdigest()}.crl"


def number_in(kept: Path, source: object) -> int | None:
    """The number of the list that is kept; None for none."""
    found = file_of(kept, source)
    return LoadedList(found.read_bytes()[:-32]).number if found.exists() else None


def keep_by_hand(kept: Path, source: object, data: bytes, moment: datetime | None = None) -> Path:
    """As an earlier run would have kept it."""
    with kept_files.opened(str(kept)) as directory:
        kept_files.write(directory, source_of(str(source)), data, moment or now() - timedelta(hours=1))
    return file_of(kept, source)


def run_once(start: Start, url: str) -> ListStatus:
    """A run in which a client is judged by the list; how the source stood at its end."""
    lists = start()
    watched = lists.watch([url])
    lists.load()
    assert judged(watched) == "good"
    lists.close()
    return only(watched.status())


def confirmed(number: int) -> LoadedList:
    """As a list is when somebody was judged by it."""
    listed = LoadedList(make_list(number))
    key = acme().key.public_key()
    assert listed.is_signed_by(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo), key)  # type: ignore[arg-type]
    listed.reason_for(listed.name, 1)
    return listed


def state_of(listed: LoadedList, moment: datetime | None = None) -> FeedState:
    return FeedState(good=listed, last_success=moment or now())


def keeping_of(kept: Path) -> Keeping:
    return Keeping(kept, limits=ListLimits(), tolerance=timedelta(0))


def warned(caplog: pytest.LogCaptureFixture) -> list[str]:
    """The errors of the warnings about what is kept."""
    return [
        each.mtlskit["error"] for each in caplog.records if " kept " in each.message and each.levelname == "WARNING"
    ]  # type: ignore[attr-defined]


# What a restart finds.


def test_a_restart_finds_the_list_before_the_source_has_answered(start: Start, site: Site) -> None:
    before = run_once(start, site.gives(make_list(3)))
    site.drips(bytes(1000), "/list.crl", 0.05, first=b"HTTP/1.1 200 OK\r\n\r\n")
    lists = start(limits=ListLimits(seconds=30))
    heard: list[str] = []
    lists.subscribe(lambda source: heard.append(str(source)))
    watched = lists.watch([site.url()])
    wait_until(lambda: numbers(watched) == [3], seconds=2)
    status = only(watched.status())
    assert judged(watched) == "good"
    assert (status.standing.value, status.number, status.error, status.failures) == ("good", 3, "", 0)
    assert status.is_kept
    assert "by an earlier run" in str(status)
    assert status.last_success is not None
    assert before.last_success is not None
    assert abs(status.last_success - before.last_success) < timedelta(milliseconds=1)
    assert heard == [site.url()], "what was allowed for want of a list is judged anew"


def test_it_serves_while_the_source_is_down_and_says_so(start: Start, site: Site) -> None:
    run_once(start, site.gives(make_list(3)))
    site.gives(b"", status=503)
    lists = start()
    watched = lists.watch([site.url()])
    status = only(lists.load())
    assert (status.standing.value, status.number, status.failures) == ("good", 3, 1)
    assert "got 503" in status.error
    assert status.is_kept
    assert judged(watched) == "good"
    site.gives(make_list(4))
    status = only(lists.refresh())
    assert (status.number, status.is_kept, status.error) == (4, False, "")
    assert "by an earlier run" not in str(status)


def test_load_waits_for_the_source_and_not_for_what_is_kept(start: Start, site: Site) -> None:
    run_once(start, site.gives(make_list(3)))
    site.gives(make_list(4))
    lists = start()
    watched = lists.watch([site.url()])
    assert only(lists.load()).number == 4
    assert judged(watched) == "good"


def test_watching_reads_nothing_itself(start: Start, site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    run_once(start, site.gives(make_list(3)))
    readers: list[str] = []
    read = kept_files.read
    monkeypatch.setattr(
        kept_files, "read", lambda *given: readers.append(threading.current_thread().name) or read(*given)
    )
    lists = start()
    watched = lists.watch([site.url()])
    lists.load()
    lists.refresh()
    assert readers == ["mtlskit-revocation"], "once, in the thread that reads lists"
    assert numbers(watched) == [3]


def test_without_a_directory_nothing_is_kept(start: Start, site: Site, kept: Path) -> None:
    url = site.gives(make_list(3))
    lists = start(keep_in=None)
    watched = lists.watch([url])
    lists.load()
    assert judged(watched) == "good"
    lists.close()
    assert not kept.exists()


# How old it is.


def test_it_is_as_old_as_the_sources_last_word(start: Start, site: Site, kept: Path) -> None:
    run_once(start, site.gives(make_list(3)))
    long_ago = time.time() - 3600
    os.utime(file_of(kept, site.url()), (long_ago, long_ago))
    site.gives(b"", status=503)
    lists = start()
    watched = lists.watch([site.url()])
    status = only(lists.load())
    assert status.last_success == datetime.fromtimestamp(long_ago, UTC)
    assert status.age is not None
    assert timedelta(hours=1) <= status.age < timedelta(hours=1, minutes=1)
    site.gives(watched.current(now())[0].der)  # the same again
    status = only(lists.refresh())
    assert not status.is_kept
    assert status.age is not None
    assert status.age < timedelta(minutes=1)
    lists.close()
    assert file_of(kept, site.url()).stat().st_mtime > long_ago + 3000


def test_what_is_written_late_is_as_old_as_it_was(kept: Path, site: Site) -> None:
    """A list can be confirmed, and so be written, long after it was read."""
    keeping, feed, moment = keeping_of(kept), Feed(source_of(site.url())), now() - timedelta(minutes=20)
    keeping.keep(feed, state_of(confirmed(3), moment))
    again = keeping_of(kept).recalled(Feed(feed.source))
    assert again is not None
    assert abs(again.moment - moment) < timedelta(milliseconds=1)


def test_a_moment_to_come_is_no_age(start: Start, site: Site, kept: Path) -> None:
    run_once(start, site.gives(make_list(3, since=timedelta(hours=-1))))
    site.gives(b"", status=503)
    os.utime(file_of(kept, site.url()), (time.time() + 9000, time.time() + 9000))
    lists = start()
    watched = lists.watch([site.url()])
    status = only(lists.load())
    assert status.last_success == status.this_update, "it is called as old as it can be"
    assert judged(watched) == "good"


def test_another_process_does_not_make_it_older_again(kept: Path, site: Site) -> None:
    keeping, feed, listed = keeping_of(kept), Feed(source_of(site.url())), confirmed(3)
    keeping.keep(feed, state_of(listed, now()))
    before = file_of(kept, site.url()).stat().st_mtime
    keeping_of(kept).keep(Feed(feed.source), state_of(listed, now() - timedelta(hours=2)))
    assert file_of(kept, site.url()).stat().st_mtime == before


def test_the_same_again_and_again_is_not_written_every_time(kept: Path, site: Site) -> None:
    keeping, feed, listed = keeping_of(kept), Feed(source_of(site.url())), confirmed(3)
    begun = now()
    keeping.keep(feed, state_of(listed, begun))
    assert not keeping.wants(feed, state_of(listed, begun + timedelta(seconds=59)))
    assert keeping.wants(feed, state_of(listed, begun + timedelta(seconds=60)))


# Nothing goes back.


@pytest.mark.parametrize("until", [timedelta(days=1), timedelta(minutes=-1)], ids=["in date", "run out"])
def test_after_a_restart_no_older_list_is_taken(start: Start, site: Site, kept: Path, until: timedelta) -> None:
    keep_by_hand(kept, site.url(), make_list(7, revoked=(DEVICE.serial_number,), until=until))
    site.gives(make_list(6))
    lists = start()
    watched = lists.watch([site.url()])
    status = only(lists.load())
    assert "does not go back from number 7" in status.error
    assert (status.number, status.is_kept) == (7, True)
    assert judged(watched) == ("revoked" if until > timedelta(0) else "revocation_unknown")
    site.gives(make_list(8))
    assert only(lists.refresh()).number == 8
    assert judged(watched) == "good"


def test_a_kept_list_that_has_run_out_is_stale(start: Start, site: Site, kept: Path) -> None:
    keep_by_hand(kept, site.url(), make_list(7, until=timedelta(minutes=-1)))
    site.gives(b"", status=503)
    lists = start()
    watched = lists.watch([site.url()])
    status = only(lists.load())
    assert (status.standing.value, status.is_kept) == ("stale", True)
    assert judged(watched) == "revocation_unknown"


def test_a_stranger_cannot_disown_what_is_kept(start: Start, site: Site, kept: Path) -> None:
    """Another hostname may ask first, with another key under the same name: its No lets no older list in."""
    keep_by_hand(kept, site.url(), make_list(7))
    site.gives(make_list(6))
    lists = start()
    watched = lists.watch([site.url()])
    lists.load()
    (listed,) = watched.current(now())
    assert not listed.is_signed_by(b"another", other().key.public_key())  # type: ignore[arg-type]
    assert listed.is_disowned  # type: ignore[attr-defined]
    assert "does not go back" in only(lists.refresh()).error


def test_files_too_do_not_go_back_and_may_be_gone(start: Start, tmp_path: Path, kept: Path) -> None:
    path = tmp_path / "acme.crl"
    put(path, make_list(7))
    run_once(start, path.as_uri())
    assert number_in(kept, path.as_uri()) == 7
    os.unlink(path)
    lists = start()
    watched = lists.watch([path])
    status = only(lists.load())
    assert (status.standing.value, status.number, status.is_kept) == ("good", 7, True)
    assert "ENOENT" in status.error
    assert judged(watched) == "good"
    put(path, make_list(6))
    assert "does not go back" in only(lists.refresh()).error
    put(path, make_list(8))
    assert only(lists.refresh()).number == 8


# Only what was found authentic is kept.


def test_a_list_that_nobody_was_judged_by_is_not_kept(start: Start, site: Site, kept: Path) -> None:
    lists = start()
    watched = lists.watch([site.gives(make_list(7))])
    lists.load()
    lists.refresh()
    lists.close()
    assert numbers(watched) == [7]
    assert number_in(kept, site.url()) is None


def with_signers() -> PresentedChain:
    """What a client sends that shows the forger's certificates too; one has the authority's own key identifier."""
    name, key = acme().certificate.subject, FORGER.key
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, now().replace(tzinfo=None))  # type: ignore[arg-type]
    identifier = x509.SubjectKeyIdentifier.from_public_key(acme().key.public_key())
    builder = builder.not_valid_after(datetime(2099, 1, 1)).add_extension(identifier, critical=False)
    return PresentedChain.from_pem(
        DEVICE.chain_pem() + to_pem([FORGER.certificate, builder.sign(key, hashes.SHA256())])  # type: ignore[arg-type]
    )


@pytest.mark.parametrize("presented", [DEVICE.presented(), with_signers()], ids=["alone", "with its signer"])
def test_a_forged_list_takes_no_kept_ones_place(
    start: Start, site: Site, kept: Path, presented: PresentedChain
) -> None:
    """Whoever answers for an `http:` source, and is a client besides, cannot make its own list the one that is kept."""
    run_once(start, site.gives(make_list(7)))
    for forged in (make_list(10**6, by=FORGER), make_list(10**6, forged_by=FORGER)):
        lists = start()
        watched = lists.watch([site.gives(forged)])
        assert only(lists.load()).number == 10**6
        assert numbers(watched) == [10**6, 7], "nobody has asked yet, but it was found authentic before the start"
        assert judged(watched, presented) == "good"
        lists.refresh()
        assert judged(watched, presented) == "good"
        site.gives(make_list(6))
        assert "does not go back" in only(lists.refresh()).error
        lists.close()
        assert number_in(kept, site.url()) == 7
        assert not any(listed.is_confirmed for listed in watched.current(now()) if listed.number != 7)  # type: ignore[attr-defined]
    lists = start()
    watched = lists.watch([site.url()])
    lists.load()
    assert numbers(watched) == [7]
    site.gives(make_list(8))
    lists.refresh()
    assert judged(watched) == "good"
    lists.close()
    assert number_in(kept, site.url()) == 8


def test_a_forged_list_does_not_shut_out_its_successors(start: Start, site: Site, kept: Path) -> None:
    run_once(start, site.gives(make_list(7)))
    lists = start()
    watched = lists.watch([site.gives(make_list(10**6, forged_by=FORGER))])
    lists.load()
    site.gives(make_list(8))
    assert "does not go back" in only(lists.refresh()).error, "nobody has asked yet"
    assert judged(watched, with_signers()) == "good"
    assert watched.current(now())[0]._verified  # it was asked
    assert only(lists.refresh()).number == 8
    assert judged(watched) == "good"
    lists.close()
    assert number_in(kept, site.url()) == 8


def test_it_is_written_at_the_next_look_after_somebody_was_judged(
    start: Start, site: Site, kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mtlskit.revocation.worker._LONGEST_SLEEP_SECONDS", 0.02)
    monkeypatch.setattr("mtlskit.revocation.worker._KEEP_SECONDS", 0.0)
    lists = start()
    watched = lists.watch([site.gives(make_list(7))])
    lists.load()
    time.sleep(0.2)
    assert number_in(kept, site.url()) is None
    assert judged(watched) == "good"
    wait_until(lambda: number_in(kept, site.url()) == 7)
    assert len(site.seen) == 1, "the source was not asked for that"


def test_what_is_replaced_before_the_next_look_is_kept(start: Start, site: Site, kept: Path) -> None:
    lists = start()
    watched = lists.watch([site.gives(make_list(7))])
    lists.load()
    assert judged(watched) == "good"
    site.gives(make_list(8))
    lists.refresh()
    assert numbers(watched) == [8, 7]
    wait_until(lambda: number_in(kept, site.url()) == 7)


# Files that are not as they were written.


def flipped(data: bytes) -> bytes:
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]


def replaced_by(content: Callable[[bytes], bytes]) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(content(path.read_bytes()))


def as_a_link(path: Path) -> None:
    path.rename(path.with_suffix(".elsewhere"))
    path.symlink_to(path.with_suffix(".elsewhere"))


def as_a_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def as_a_directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


def too_long(path: Path) -> None:
    with path.open("r+b") as file:
        file.truncate(1 << 34)


def sealed(path: Path, data: bytes) -> None:
    """As one who knows the form would write it."""
    source = b"http://127.0.0.1:9/x"
    path.write_bytes(data + hashlib.sha256(source + b"\0" + data).digest())


DAMAGED: dict[str, tuple[Callable[[Path], object], str]] = {
    "empty": (replaced_by(lambda _: b""), "got 0 other octets"),
    "cut off": (replaced_by(lambda data: data[:-1]), "as it was kept"),
    "half of it": (replaced_by(lambda data: data[: len(data) // 2]), "as it was kept"),
    "one bit": (replaced_by(flipped), "as it was kept"),
    "more": (replaced_by(lambda data: data + b"x"), "as it was kept"),
    "text": (replaced_by(lambda _: b"hello" * 30), "as it was kept"),
    "without a seal": (replaced_by(lambda data: data[:-32]), "as it was kept"),
    "of another source": (lambda path: put(path, keep_by_hand(path.parent, "http://b.example/", make_list(9)).read_bytes()), "of this source"),
    "no list": (lambda path: sealed(path, b"hello"), "one revocation list in PEM or DER"),
    "a broken list": (lambda path: sealed(path, make_list(3)[:-5]), "revocation list in DER"),
    "too long": (too_long, r"at most 1048576 octets, got 171798691\d\d"),
    "a link": (as_a_link, "ELOOP"),
    "a pipe": (as_a_pipe, "regular file"),
    "a directory": (as_a_directory, "regular file"),
}  # fmt: skip


@pytest.mark.parametrize("case", DAMAGED)
def test_what_is_not_as_it_was_kept_is_ignored(
    start: Start, kept: Path, case: str, caplog: pytest.LogCaptureFixture
) -> None:
    damage, told = DAMAGED[case]
    url = "http://127.0.0.1:9/x"
    damage(keep_by_hand(kept, url, make_list(3)))
    lists = start()
    watched = lists.watch([url])
    status = only(lists.load())
    assert (status.standing.value, status.number, status.is_kept) == ("waiting", None, False)
    assert numbers(watched) == []
    (warning,) = warned(caplog)
    assert re.search(told, warning), warning


def test_a_damaged_file_is_written_anew(start: Start, site: Site, kept: Path) -> None:
    file = keep_by_hand(kept, site.url(), make_list(10**6))
    file.write_bytes(flipped(file.read_bytes()))
    run_once(start, site.gives(make_list(8)))
    assert number_in(kept, site.url()) == 8


def test_a_file_that_was_removed_is_written_anew(start: Start, site: Site, kept: Path) -> None:
    lists = start()
    watched = lists.watch([site.gives(make_list(8))])
    lists.load()
    assert judged(watched) == "good"
    lists.refresh()
    wait_until(lambda: number_in(kept, site.url()) == 8)
    os.unlink(file_of(kept, site.url()))
    os.rmdir(kept)
    site.gives(make_list(9))
    lists.refresh()
    assert judged(watched) == "good"
    lists.close()
    assert number_in(kept, site.url()) == 9


def test_a_list_that_is_gone_is_not_put_back_unless_it_is_authentic(kept: Path) -> None:
    """It was so once; but who removed it may have had a reason."""
    url = "http://a.example/"
    file, keeping, feed = keep_by_hand(kept, url, make_list(7)), keeping_of(kept), Feed(source_of(url))
    found = keeping.recalled(feed)
    assert found is not None
    file.unlink()
    keeping.keep(feed, state_of(found.listed))
    assert not file.exists()


def test_what_is_put_in_place_is_synced_to_the_disk_first(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    for name in ("fsync", "replace"):
        real = getattr(os, name)
        monkeypatch.setattr(
            kept_files.os,
            name,
            lambda *given, real=real, name=name, **named: done.append(name) or real(*given, **named),
        )
    keep_by_hand(kept, "http://a.example/", make_list(7))
    assert done == ["fsync", "replace", "fsync"], "the file, and then the directory"


def test_directories_in_the_place_of_files_cost_no_descriptors(kept: Path) -> None:
    url = "http://127.0.0.1:9/x"
    as_a_directory(keep_by_hand(kept, url, make_list(3)))
    keeping, feed = keeping_of(kept), Feed(source_of(url))
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        keeping.recalled(feed)
        keeping.keep(Feed(feed.source), state_of(confirmed(4)))
    assert len(os.listdir("/proc/self/fd")) == before


# The directory.


def test_it_is_made_for_its_owner_alone(start: Start, site: Site, kept: Path) -> None:
    before = os.umask(0)
    try:
        run_once(start, site.gives(make_list(3)))
    finally:
        os.umask(before)
    (file,) = kept.iterdir()
    assert file == file_of(kept, site.url())
    assert stat.S_IMODE(kept.stat().st_mode) == 0o700
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert x509.load_der_x509_crl(file.read_bytes()[:-32]).issuer == acme().certificate.subject


@pytest.mark.parametrize("mode", [0o770, 0o707, 0o777, 0o1777])
def test_one_that_others_can_write_is_refused(start: Start, kept: Path, mode: int) -> None:
    kept.mkdir()
    kept.chmod(mode)
    with pytest.raises(ConfigurationError, match=f"only its owner can write at '.*kept', got {mode:04o}"):
        start()


def test_one_that_others_can_read_will_do(start: Start, kept: Path, site: Site) -> None:
    kept.mkdir(mode=0o755)
    run_once(start, site.gives(make_list(3)))
    assert number_in(kept, site.url()) == 3


NO_DIRECTORIES: dict[str, tuple[Callable[[Path], Any], str]] = {
    "a file": (lambda path: (path.touch(), path)[1], "got ENOTDIR"),
    "below a file": (lambda path: (path.touch(), path / "kept")[1], "got ENOTDIR"),
    "without its parent": (lambda path: path / "a" / "b", "got ENOENT"),
    "nothing": (lambda _: "", "got ''"),
    "a NUL": (lambda path: f"{path}\0", "path of a directory"),
    "octets": (lambda path: os.fsencode(path), "path of a directory"),
    "a number": (lambda _: 7, "got 7"),
}  # fmt: skip


@pytest.mark.parametrize("case", NO_DIRECTORIES)
def test_what_is_no_directory_is_refused(start: Start, kept: Path, case: str) -> None:
    make, told = NO_DIRECTORIES[case]
    with pytest.raises(ConfigurationError, match=told):
        start(keep_in=make(kept))


def test_one_that_was_opened_to_others_later_is_not_believed(
    start: Start, kept: Path, site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    lists = start()
    keep_by_hand(kept, site.gives(make_list(3)), make_list(9))
    kept.chmod(0o777)
    watched = lists.watch([site.url()])
    assert only(lists.load()).number == 3
    assert judged(watched) == "good"
    lists.close()
    (warning,) = warned(caplog)
    assert "only its owner can write" in warning
    assert number_in(kept, site.url()) == 9


# A disk that does not serve.


@pytest.fixture
def no_room(monkeypatch: pytest.MonkeyPatch) -> Callable[[int, str], None]:
    """Makes one function of the disk fail."""

    def made(number: int, name: str) -> None:
        real = getattr(os, name)

        def failing(*given: Any, **named: Any) -> Any:
            if name == "open" and not given[1] & os.O_CREAT:
                return real(*given, **named)
            raise OSError(number, os.strerror(number))

        monkeypatch.setattr(kept_files.os, name, failing)

    return made


DISK = [
    (errno.EROFS, "open"), (errno.ENOSPC, "open"), (errno.ENOSPC, "fsync"), (errno.EIO, "fsync"), (errno.EDQUOT, "replace"),
    (errno.EACCES, "open"),
]  # fmt: skip


@pytest.mark.parametrize(("number", "name"), DISK)
def test_a_disk_that_takes_nothing_is_one_warning_and_the_lists_go_on(
    start: Start, site: Site, kept: Path, caplog: pytest.LogCaptureFixture, no_room: Any, number: int, name: str
) -> None:
    lists = start(schedule=QUICK)
    no_room(number, name)
    watched = [lists.watch([site.gives(make_list(3), f"/{source}")]) for source in range(3)]
    lists.load()
    assert [judged(each) for each in watched] == ["good"] * 3
    for round_ in (4, 5):
        for source in range(3):
            site.gives(make_list(round_), f"/{source}")
        wait_until(lambda: all(numbers(each)[0] == round_ for each in watched))  # noqa: B023
        assert [judged(each) for each in watched] == ["good"] * 3
    lists.close()
    assert warned(caplog) == [errno.errorcode[number]]
    assert list(kept.iterdir()) == [], "nothing half-written is left"


def test_a_disk_that_serves_again_is_written_again(
    kept: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    keeping, feed = keeping_of(kept), Feed(source_of("http://a.example/"))
    with monkeypatch.context() as patch:
        patch.setattr(kept_files, "write", lambda *_: (_ for _ in ()).throw(OSError(errno.ENOSPC, "")))
        keeping.keep(feed, state_of(confirmed(3)))
        assert not keeping.wants(feed, state_of(confirmed(3))), "not at every look"
        monkeypatch.setattr("mtlskit.revocation.keeping.time.monotonic", lambda: float("inf"))
        keeping.keep(feed, state_of(confirmed(3)))
    assert warned(caplog) == ["ENOSPC"]
    keeping.keep(feed, state_of(confirmed(3)))
    assert number_in(kept, "http://a.example/") == 3
    keeping.recalled(feed)
    assert warned(caplog) == ["ENOSPC"]


def test_a_directory_that_cannot_be_made_now_stops_nobody(
    start: Start, site: Site, kept: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(kept_files.os, "mkdir", lambda *_: (_ for _ in ()).throw(OSError(errno.ENOSPC, "")))
        lists = start()
    assert warned(caplog) == ["ENOSPC"]
    watched = lists.watch([site.gives(make_list(3))])
    lists.load()
    assert judged(watched) == "good"
    lists.close()
    assert number_in(kept, site.url()) == 3


@pytest.mark.skipif(os.geteuid() == 0, reason="for root no directory is read-only")
def test_a_read_only_directory_is_read(start: Start, site: Site, kept: Path, caplog: pytest.LogCaptureFixture) -> None:
    run_once(start, site.gives(make_list(3)))
    kept.chmod(0o500)
    try:
        lists = start()
        watched = lists.watch([site.gives(make_list(4))])
        lists.load()
        assert judged(watched) == "good"
        lists.close()
        assert warned(caplog) == ["EACCES"]
        assert number_in(kept, site.url()) == 3
    finally:
        kept.chmod(0o700)


def test_an_error_of_our_own_ends_nothing(
    start: Start, site: Site, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_arguments: object) -> None:
        raise RuntimeError("boom")

    monkeypatch.setattr(Keeping, "recalled", broken)
    monkeypatch.setattr(Keeping, "keep", broken)
    lists = start()
    watched = lists.watch([site.gives(make_list(3))])
    lists.load()
    assert judged(watched) == "good"
    site.gives(make_list(4))
    lists.refresh()
    assert numbers(watched)[0] == 4
    assert "boom" in caplog.text


# Several processes.


def test_who_has_an_older_list_does_not_replace_a_newer_one(start: Start, site: Site, kept: Path) -> None:
    slow, quick = start(), start()
    behind = slow.watch([site.gives(make_list(7))])
    slow.load()
    ahead = quick.watch([site.gives(make_list(8))])
    quick.load()
    assert (numbers(behind), numbers(ahead)) == ([7], [8])
    assert (judged(ahead), judged(behind)) == ("good", "good")
    quick.close()
    slow.close()
    assert number_in(kept, site.url()) == 8


def test_who_finds_another_list_in_its_place_does_not_vouch_for_it(kept: Path, site: Site) -> None:
    """The time of the file is that of the list in it."""
    first, feed, listed = keeping_of(kept), Feed(source_of(site.url())), confirmed(7)
    first.keep(feed, state_of(listed, now() - timedelta(hours=3)))
    keeping_of(kept).keep(Feed(feed.source), state_of(confirmed(8), now() - timedelta(hours=2)))
    first.keep(feed, state_of(listed, now()))
    again = keeping_of(kept).recalled(Feed(feed.source))
    assert again is not None
    assert again.listed.number == 8
    assert now() - again.moment > timedelta(hours=1)


def test_who_finds_another_writing_tries_again_later(kept: Path, site: Site, caplog: pytest.LogCaptureFixture) -> None:
    keeping, feed, state = keeping_of(kept), Feed(source_of(site.url())), state_of(confirmed(7))
    descriptor = os.open(kept, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        keeping.keep(feed, state)
        assert list(kept.iterdir()) == []
        assert keeping.wants(feed, state)
    finally:
        os.close(descriptor)
    keeping.keep(feed, state)
    assert number_in(kept, site.url()) == 7
    assert warned(caplog) == []


def in_a_child(work: Callable[[], None]) -> int:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        told = 1
        try:
            work()
            told = 0
        finally:
            os._exit(told)
    return child


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_processes_side_by_side_leave_the_newest_whole(kept: Path, caplog: pytest.LogCaptureFixture) -> None:
    source = source_of("http://a.example/")
    made = {number: confirmed(number) for number in range(1, 121)}
    keeping_of(kept)

    def write(first: int) -> None:
        for number in range(first, 121, 3):
            keeping, feed, state = keeping_of(kept), Feed(source), state_of(made[number])
            while keeping.wants(feed, state):
                keeping.keep(feed, state)
                assert not keeping._failures

    children = [in_a_child(lambda first=first: write(first)) for first in (1, 2, 3)]  # type: ignore[misc]
    seen, running = [0], list(children)
    while running:
        found = keeping_of(kept).recalled(Feed(source))
        seen.append(0 if found is None else found.listed.number or 0)
        running = [child for child in running if os.waitpid(child, os.WNOHANG) == (0, 0)]
    assert warned(caplog) == []
    assert seen == sorted(seen)
    assert number_in(kept, source) == 120
    assert len(list(kept.iterdir())) == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_writer_that_dies_leaves_the_list_before_and_no_rubbish(kept: Path, site: Site) -> None:
    keep_by_hand(kept, site.url(), make_list(7))

    def die(*_arguments: Any, **_named: Any) -> None:
        os._exit(9)

    def write(url: str) -> None:
        kept_files.os.replace = die  # type: ignore[assignment]
        keeping_of(kept).keep(Feed(source_of(url)), state_of(confirmed(8)))

    for url in (site.url(), "http://gone.example/", site.url()):
        _, status = os.waitpid(in_a_child(lambda url=url: write(url)), 0)  # type: ignore[misc]
        assert os.waitstatus_to_exitcode(status) == 9
    assert len(list(kept.iterdir())) == 2, "the list, and one draft: each writer sweeps first"
    found = keeping_of(kept).recalled(Feed(source_of(site.url())))
    assert found is not None
    assert found.listed.number == 7
    keeping_of(kept).keep(Feed(source_of(site.url())), state_of(confirmed(9)))
    assert list(kept.iterdir()) == [file_of(kept, site.url())]
    assert number_in(kept, site.url()) == 9


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_process_forked_while_another_writes_does_not_hold_the_lock(kept: Path, site: Site) -> None:
    keeping, feed = keeping_of(kept), Feed(source_of(site.url()))
    end, told = os.pipe()
    with kept_files.opened(str(kept)) as directory, kept_files.locked(directory) as is_ours:
        assert is_ours
        child = in_a_child(lambda: (os.close(told), os.read(end, 1))[0])
    try:
        keeping.keep(feed, state_of(confirmed(7)))
        assert number_in(kept, site.url()) == 7
    finally:
        os.close(told)
        os.waitpid(child, 0)
        os.close(end)
