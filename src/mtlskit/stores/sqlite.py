"""The store in one SQLite file: WAL, `synchronous=FULL`, one writer at a time, readers that never wait for it."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from mtlskit.errors import ConfigurationError, StoreError, Unavailable
from mtlskit.ports import EVERYTHING, Snapshot, Transaction
from mtlskit.stores.encryption import ENVIRONMENT_VARIABLE, KeyEncryption
from mtlskit.stores.keyfile import read_key_file, read_or_make_key_file
from mtlskit.stores.records import nested
from mtlskit.stores.sqlite_connections import Connection, Connections, mapped
from mtlskit.stores.sqlite_schema import migrate, needs_migration
from mtlskit.stores.sqlite_transaction import SQLiteSnapshot, SQLiteTransaction
from mtlskit.stores.subscribers import Callback, Subscribers

_BUSY_SECONDS: Final = 5.0


class SQLiteStore:
    """A `Store` in a file. Make it with `open_store("sqlite:///state.db")`."""

    def __init__(self, path: Path, *, keys: KeyEncryption | None = None, busy_seconds: float = _BUSY_SECONDS) -> None:
        """Opens or makes the file. Raises ConfigurationError and Unavailable; see `open_store`."""
        self._path = path.absolute()
        self._given_keys = keys
        self._busy_seconds = busy_seconds
        self._closed = False
        self._subscribers = Subscribers()
        self._connections = Connections(self._path, busy_seconds)
        self._process = _Process()
        try:
            self._seen, self._key_id = self._prepare()
        except BaseException:
            self.close()
            raise

    def transaction(self) -> _Unit:
        """As `Store.transaction`."""
        return _Unit(self)

    def snapshot(self) -> _Reading:
        """As `Store.snapshot`."""
        return _Reading(self)

    def seal(self, plaintext: bytes, *, context: str) -> bytes:
        """As `Store.seal`; raises StoreError where the key of this database is not at hand."""
        return self._keys().seal(plaintext, context=context)

    def unseal(self, sealed: bytes, *, context: str) -> bytes:
        """As `Store.unseal`."""
        return self._keys().unseal(sealed, context=context)

    def adopt_key(self) -> None:
        """Takes the key that it seals under for its own: where all is resealed, it opens with that key alone."""
        keys = self._keys()
        self._connection().execute("UPDATE meta SET value = ? WHERE name = 'key_id'", (keys.key_id,))
        self._key_id = keys.key_id

    def poll(self) -> None:
        """As `Store.poll`. Without a change of others it costs one `PRAGMA data_version`."""
        connection = self._connection()
        (data_version,) = connection.row("PRAGMA data_version") or (None,)
        if data_version != connection.data_version:
            topics = self._read_changes(connection)
            connection.data_version = data_version
            self._subscribers.notify(topics)

    def subscribe(self, callback: Callback) -> Callable[[], None]:
        """As `Store.subscribe`."""
        return self._subscribers.add(callback)

    def close(self) -> None:
        """As `Store.close`; a closed store is Unavailable."""
        self._closed = True
        self._connections.close()

    def _connection(self) -> Connection:
        if self._closed:
            raise Unavailable("expected an open store, got a closed one")
        connection = self._connections.mine()
        if connection.raw.in_transaction:
            raise nested()
        return connection

    def _mine(self) -> _Process:
        if self._process.number != os.getpid():
            self._process = _Process()
        return self._process

    def _found_keys(self) -> KeyEncryption | None:
        return self._given_keys or KeyEncryption.from_environment() or read_key_file(self._key_file)

    def _keys(self) -> KeyEncryption:
        keys = self._found_keys()
        if keys is None:
            raise StoreError(
                f"expected the key-encryption key in {ENVIRONMENT_VARIABLE} or {str(self._key_file)!r}, got neither"
            )
        self._given_keys = keys.for_store(self._key_id)
        return keys

    @property
    def _key_file(self) -> Path:
        return self._path.with_name(self._path.name + ".key")

    def _prepare(self) -> tuple[int, bytes]:
        if not self._path.exists():
            self._found_keys()  # an unusable key is told before anything is written
            _make_private_file(self._path)
        connection = self._connection()
        with mapped(self._path):
            if needs_migration(connection.raw, self._path):
                self._migrate(connection)
        key_id = connection.row("SELECT value FROM meta WHERE name = 'key_id'")
        (seen,) = connection.row("SELECT coalesce(max(sequence), 0) FROM changes") or (0,)
        if key_id is None:
            raise Unavailable(f"expected a whole database at {str(self._path)!r}, got one without its key's id")
        return seen, bytes(key_id[0])

    def _migrate(self, connection: Connection) -> None:
        self._enter_wal(connection)
        raw = connection.raw
        raw.execute("BEGIN IMMEDIATE")
        try:
            if needs_migration(raw, self._path):
                migrate(raw)
                self._choose_key(raw)
            raw.execute("COMMIT")
        finally:
            if raw.in_transaction:
                raw.execute("ROLLBACK")

    def _choose_key(self, raw: sqlite3.Connection) -> None:
        if raw.execute("SELECT value FROM meta WHERE name = 'key_id'").fetchone() is None:
            keys = self._found_keys() or read_or_make_key_file(self._key_file)
            raw.execute("INSERT INTO meta VALUES ('key_id', ?)", (keys.key_id,))

    def _enter_wal(self, connection: Connection) -> None:
        # Changing the journal mode does not wait for a lock by itself when two processes do it at once.
        deadline = time.monotonic() + self._busy_seconds
        while True:
            try:
                connection.raw.execute("PRAGMA journal_mode = WAL")
                return
            except sqlite3.OperationalError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.01)

    def _read_changes(self, connection: Connection) -> frozenset[str]:
        process = self._mine()
        with process.lock:
            rows = connection.rows(
                "SELECT sequence, topic, origin FROM changes WHERE sequence > ? ORDER BY sequence", (self._seen,)
            )
            if not rows:
                return frozenset()
            forgotten = rows[0][0] > self._seen + 1
            self._seen = rows[-1][0]
            if forgotten:
                return frozenset({EVERYTHING})
            return frozenset(topic for _, topic, origin in rows if origin != process.origin)


class _Unit:
    """The `with` block of one transaction."""

    __slots__ = ("_store", "_transaction")

    def __init__(self, store: SQLiteStore) -> None:
        self._store = store

    def __enter__(self) -> Transaction:
        connection = self._store._connection()
        connection.execute("BEGIN IMMEDIATE")
        self._transaction = SQLiteTransaction(connection, self._store._mine().origin)
        return self._transaction

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if kind is not None:
            self._transaction.roll_back()
            return
        self._store._subscribers.notify(self._transaction.commit())


class _Reading:
    """The `with` block of one snapshot."""

    __slots__ = ("_snapshot", "_store")

    def __init__(self, store: SQLiteStore) -> None:
        self._store = store

    def __enter__(self) -> Snapshot:
        connection = self._store._connection()
        connection.execute("BEGIN DEFERRED")
        self._snapshot = SQLiteSnapshot(connection)
        return self._snapshot

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        self._snapshot.roll_back()


class _Process:
    """What a store has anew in each process: its lock, and the mark of its changes, so as not to hear them twice."""

    __slots__ = ("lock", "number", "origin")

    def __init__(self) -> None:
        self.number = os.getpid()
        self.lock = threading.Lock()
        self.origin = os.urandom(16)


def _make_private_file(path: Path) -> None:
    # A file that is there is not opened here: closing any descriptor of it would drop SQLite's POSIX locks.
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        return
    except (FileNotFoundError, NotADirectoryError):
        raise ConfigurationError(f"expected the directory {str(path.parent)!r} for the database, got none") from None
    except OSError as error:
        raise Unavailable(f"expected to make the database {str(path)!r}, got {error.strerror!r}") from None
    try:
        os.fchmod(descriptor, 0o600)
    finally:
        os.close(descriptor)
