"""What only a file can get wrong: foreign, corrupt and locked files, processes, forks, threads that end."""

from __future__ import annotations

import gc
import os
import sqlite3
import stat
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from mtlskit.errors import ConfigurationError, StoreError, Unavailable
from mtlskit.ports import EVERYTHING, AuditRow, Store
from mtlskit.stores import KeyEncryption, SQLiteStore, open_store
from mtlskit.stores.audit import verify_audit
from mtlskit.stores.sqlite_connections import Connection
from mtlskit.stores.sqlite_schema import MIGRATIONS
from mtlskit.stores.sqlite_transaction import CHANGES_KEPT
from support.scripts import finish, run, start

KEYS = KeyEncryption(bytes(32))
_CHANGE = """UPDATE audit SET details = '{"n":"9"}' WHERE sequence = 3"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state.db"


@pytest.fixture
def store(path: Path) -> Iterator[Store]:
    opened = open_store(f"sqlite:///{path}", keys=KEYS)
    yield opened
    opened.close()


@pytest.mark.parametrize(
    "url",
    [
        "", "sqlite", "sqlite:", "sqlite://", "sqlite:///", "sqlite://host/x.db", "sqlite:///:memory:", "sqlite:///a?b",
        "sqlite:///dir/", "memory:", "memory://x", "redis://x", "/state.db", "sqlite:///a\0b", None,
    ],
)  # fmt: skip
def test_an_unknown_url_is_told_with_what_was_expected(url: str) -> None:
    with pytest.raises(ConfigurationError, match="memory://"):
        open_store(url)


def test_an_unknown_url_is_told_without_its_password() -> None:
    with pytest.raises(ConfigurationError, match="mysql://...@host/db") as raised:
        open_store("mysql://user:p@ss/secret@host/db")
    assert "secret" not in str(raised.value)


def test_a_relative_url_is_meant_from_where_it_was_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    opened = open_store("sqlite:///state.db", keys=KEYS)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    thread = threading.Thread(target=lambda: put(opened, "a"))
    thread.start()
    thread.join()
    with opened.snapshot() as snapshot:
        assert snapshot.get("kind", "", "a") is not None
    opened.close()


def test_a_missing_directory_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="directory"):
        open_store(f"sqlite:///{tmp_path}/missing/state.db", keys=KEYS)


@pytest.mark.invariant("I11")
def test_every_file_of_the_database_has_mode_0600_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        opened = open_store(f"sqlite:///{tmp_path}/state.db", keys=KEYS)
        put(opened, "a")
        modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in tmp_path.iterdir()}
        opened.close()
    finally:
        os.umask(before)
    assert modes == {"state.db": 0o600, "state.db-wal": 0o600, "state.db-shm": 0o600}


def test_a_file_that_is_no_database_is_told_and_left_alone(path: Path) -> None:
    content = b"these are not the bytes of a database" * 100
    path.write_bytes(content)
    with pytest.raises(ConfigurationError, match=r"state\.db"):
        open_store(f"sqlite:///{path}", keys=KEYS)
    assert path.read_bytes() == content
    assert [file.name for file in path.parent.iterdir()] == ["state.db"]


def test_a_database_of_another_application_is_told_and_left_alone(path: Path) -> None:
    with_table(path)
    content = path.read_bytes()
    with pytest.raises(ConfigurationError, match="another application"):
        open_store(f"sqlite:///{path}", keys=KEYS)
    assert path.read_bytes() == content


def test_a_directory_in_the_file_s_place_is_told(path: Path) -> None:
    path.mkdir()
    with pytest.raises(Unavailable, match=r"state\.db"):
        open_store(f"sqlite:///{path}", keys=KEYS)


def test_a_newer_schema_is_told(path: Path, store: Store) -> None:
    store.close()
    raw_execute(path, f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    with pytest.raises(ConfigurationError, match="schema version"):
        open_store(f"sqlite:///{path}", keys=KEYS)


def test_a_corrupt_database_is_unavailable(path: Path, store: Store) -> None:
    with store.transaction() as transaction:
        for number in range(200):
            transaction.insert("kind", "", f"{number:03}", os.urandom(500))
    store.close()
    content = bytearray(path.read_bytes())
    content[4096:-4096] = b"\xa5" * (len(content) - 8192)
    path.write_bytes(content)
    with pytest.raises(Unavailable, match=r"state\.db"):
        damaged = open_store(f"sqlite:///{path}", keys=KEYS)
        try:
            with damaged.snapshot() as snapshot:
                list(snapshot.scan("kind", ""))
        finally:
            damaged.close()


def test_a_read_only_database_is_unavailable_for_writing() -> None:
    with tempfile.TemporaryDirectory() as directory:  # not below pytest's, which another user cannot enter
        path = Path(directory) / "state.db"
        open_store(f"sqlite:///{path}", keys=KEYS).close()
        path.chmod(0o444)
        path.parent.chmod(0o555)
        said = run(f"""
        import os
        from mtlskit.errors import Unavailable
        from mtlskit.stores import KeyEncryption, open_store
        if os.getuid() == 0:
            os.setgid(65534)
            os.setuid(65534)
        try:
            opened = open_store("sqlite:///{path}", keys=KeyEncryption(bytes(32)))
            with opened.transaction() as transaction:
                transaction.insert("kind", "", "a", b"")
        except Unavailable as error:
            print("unavailable", error)
        """)
        path.parent.chmod(0o755)
    assert said.startswith("unavailable expected the database")


def test_a_locked_database_is_unavailable_after_a_while_and_still_readable(path: Path, store: Store) -> None:
    put(store, "a")
    impatient = SQLiteStore(path, keys=KEYS, busy_seconds=0.05)
    with store.transaction():
        with pytest.raises(Unavailable, match="locked"), impatient.transaction():
            pass
        with impatient.snapshot() as snapshot:
            assert snapshot.get("kind", "", "a") is not None
    with impatient.transaction() as transaction:
        transaction.insert("kind", "", "b", b"")
    impatient.close()


def test_a_snapshot_sees_one_state_while_others_write(store: Store) -> None:
    put(store, "a")
    with store.snapshot() as snapshot:
        assert len(list(snapshot.scan("kind", ""))) == 1
        thread = threading.Thread(target=lambda: put(store, "b"))
        thread.start()
        thread.join()
        assert len(list(snapshot.scan("kind", ""))) == 1
    with store.snapshot() as snapshot:
        assert len(list(snapshot.scan("kind", ""))) == 2


def test_durability_is_as_promised(store: SQLiteStore) -> None:
    connection = store._connection()
    assert connection.row("PRAGMA journal_mode") == ("wal",)
    assert connection.row("PRAGMA synchronous") == (2,)


def test_openers_at_once_make_one_database_with_one_key(path: Path) -> None:
    script = f"""
        from mtlskit.stores import open_store
        opened = open_store("sqlite:///{path}")
        with opened.transaction() as transaction:
            print(transaction.increment("counter"), opened.seal(b"", context="c")[1:9].hex())
        opened.close()
        """
    children = [start(script) for _ in range(4)]
    said = [finish(child).split() for child in children]
    assert sorted(number for number, _ in said) == ["1", "2", "3", "4"]
    assert len({key for _, key in said}) == 1


def test_another_process_s_change_is_heard_by_polling(path: Path, store: Store) -> None:
    heard: list[frozenset[str]] = []
    store.subscribe(heard.append)
    store.poll()
    with store.transaction() as transaction:
        transaction.touch("own")
    run(f"""
        from mtlskit.stores import KeyEncryption, open_store
        opened = open_store("sqlite:///{path}", keys=KeyEncryption(bytes(32)))
        with opened.transaction() as transaction:
            transaction.touch("theirs")
        opened.close()
        """)
    assert heard == [frozenset({"own"})]
    store.poll()
    store.poll()
    assert heard == [frozenset({"own"}), frozenset({"theirs"})]


def test_changes_are_heard_from_every_thread_that_polls_once(path: Path, store: Store) -> None:
    other = open_store(f"sqlite:///{path}", keys=KEYS)
    heard: list[frozenset[str]] = []
    store.subscribe(heard.append)
    with other.transaction() as transaction:
        transaction.touch("theirs")
    threads = [threading.Thread(target=store.poll) for _ in range(4)]
    for thread in threads:
        thread.start()
        thread.join()
    assert heard == [frozenset({"theirs"})]
    other.close()


def test_the_change_log_is_bounded_and_who_comes_too_late_hears_everything(path: Path, store: Store) -> None:
    other = open_store(f"sqlite:///{path}", keys=KEYS)
    heard: list[frozenset[str]] = []
    store.subscribe(heard.append)
    with other.transaction() as transaction:
        for number in range(CHANGES_KEPT + 5):
            transaction.touch(f"topic:{number}")
    (count,) = other._connection().row("SELECT count(*) FROM changes")  # type: ignore[attr-defined]
    assert count == CHANGES_KEPT
    store.poll()
    assert heard == [frozenset({EVERYTHING})]
    other.close()


def test_a_fork_opens_its_own_connection_and_leaves_the_parent_s_alone(path: Path) -> None:
    said = run(f"""
        import os, sys
        from mtlskit.stores import KeyEncryption, open_store
        opened = open_store("sqlite:///{path}", keys=KeyEncryption(bytes(32)))
        heard = []
        opened.subscribe(heard.append)
        with opened.transaction() as transaction:
            transaction.insert("kind", "", "parent", b"")
        inherited = opened._connections.mine()
        child = os.fork()
        if child == 0:
            with opened.transaction() as transaction:
                transaction.insert("kind", "", "child", b"")
                transaction.touch("child")
            assert opened._connections.mine() is not inherited
            opened.close()
            sys.exit(0)  # the interpreter's whole end, finalizers too
        assert os.waitpid(child, 0)[1] == 0
        with opened.snapshot() as snapshot:
            print([record.key for record in snapshot.scan("kind", "")])
        opened.poll()
        print(heard)
        assert opened._connections.mine() is inherited
        opened.close()
        """)
    assert said.splitlines() == ["['child', 'parent']", "[frozenset({'child'})]"]


def test_connections_of_threads_that_ended_are_closed(store: SQLiteStore) -> None:
    def use() -> None:
        put(store, f"{threading.get_ident()}-{os.urandom(4).hex()}")

    for _ in range(5):
        thread = threading.Thread(target=use)
        thread.start()
        thread.join()
    gc.collect()
    with store.snapshot():
        assert len(store._connections._process.opened) == 1


def test_close_closes_the_connections_of_all_threads(store: SQLiteStore) -> None:
    used, done = threading.Event(), threading.Event()

    def use() -> None:
        put(store, "a")
        used.set()
        done.wait(10)

    thread = threading.Thread(target=use)
    thread.start()
    used.wait(10)
    opened = list(store._connections._process.opened)
    assert opened
    store.close()
    assert not any(connection.close.alive for connection in opened)
    done.set()
    thread.join()


def test_a_changed_audit_row_shows(path: Path, store: Store) -> None:
    head = audited(store, 5)
    store.close()
    with pytest.raises(sqlite3.IntegrityError, match="append-only"):
        raw_execute(path, "UPDATE audit SET event = 'other' WHERE sequence = 3")
    raw_execute(path, "DROP TRIGGER audit_is_append_only_u", _CHANGE)
    with reopened(path) as damaged, pytest.raises(StoreError, match="row 3 as it was written"):
        verify_audit(damaged, head=head)


@pytest.mark.parametrize(("missing", "message"), [(1, "row 1 after 0"), (3, "row 3 after 2"), (5, "ends before")])
def test_a_missing_audit_row_shows(path: Path, store: Store, missing: int, message: str) -> None:
    head = audited(store, 5)
    store.close()
    raw_execute(path, "DROP TRIGGER audit_is_append_only_d", f"DELETE FROM audit WHERE sequence = {missing}")
    with reopened(path) as damaged, pytest.raises(StoreError, match=message):
        verify_audit(damaged, head=head)


def test_a_full_disk_leaves_nothing_behind(store: SQLiteStore) -> None:
    connection = store._connection()
    (pages,) = connection.row("PRAGMA page_count") or (0,)
    connection.row(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(Unavailable, match="full"), store.transaction() as transaction:
        transaction.insert("kind", "", "small", b"")
        transaction.insert("kind", "", "large", bytes(100_000))
    connection.row("PRAGMA max_page_count = 100000")
    with store.snapshot() as snapshot:
        assert list(snapshot.scan("kind", "")) == []
    put(store, "small")


@contextmanager
def reopened(path: Path) -> Iterator[Store]:
    opened = open_store(f"sqlite:///{path}", keys=KEYS)
    yield opened
    opened.close()


def put(store: Store, key: str) -> None:
    with store.transaction() as transaction:
        transaction.insert("kind", "", key, b"")


def audited(store: Store, count: int) -> AuditRow | None:
    for number in range(count):
        with store.transaction() as transaction:
            transaction.append_audit("event", {"n": str(number)})
    return verify_audit(store)


def with_table(path: Path) -> None:
    raw_execute(path, "CREATE TABLE theirs (a)")


def raw_execute(path: Path, *statements: str) -> None:
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        for statement in statements:
            connection.execute(statement)
    finally:
        connection.close()


def test_a_signal_between_begin_and_the_block_leaves_no_lock(
    store: SQLiteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a signal's handler raises may come after any statement: nobody would ever roll that transaction back."""
    execute = Connection.execute

    def interrupted(self: Connection, statement: str, parameters: tuple[object, ...] = ()) -> sqlite3.Cursor:
        done = execute(self, statement, parameters)
        if statement.startswith("BEGIN"):
            raise KeyboardInterrupt
        return done

    for unit in (store.transaction, store.snapshot):
        with monkeypatch.context() as patch:
            patch.setattr(Connection, "execute", interrupted)
            with pytest.raises(KeyboardInterrupt), unit():
                pass
        with store.transaction() as transaction:
            transaction.touch("free again")
