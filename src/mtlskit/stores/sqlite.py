"""The store in one SQLite file: WAL, `synchronous=FULL`, one writer at a time, readers that never wait for it."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from mtlskit.errors import ConfigurationError, StoreError, Unavailable
from mtlskit.locks import ForkSafeLock
from mtlskit.ports import EVERYTHING, Snapshot, Transaction
from mtlskit.stores.encryption import ENVIRONMENT_VARIABLE, KeyEncryption
from mtlskit.stores.keyfile import read_key_file, read_or_make_key_file
from mtlskit.stores.origins import Origins
from mtlskit.stores.records import nested
from mtlskit.stores.sqlite_connections import Connection, Connections, mapped
from mtlskit.stores.sqlite_schema import migrate, needs_migration
from mtlskit.stores.sqlite_transaction import SQLiteSnapshot, SQLiteTransaction
from mtlskit.stores.subscribers import Callback, Subscribers

_BUSY_SECONDS: Final = 5.0
_HELD: Final = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL)  # by others: it may pass


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
        self._lock = ForkSafeLock()
        self._origins = Origins()
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
        try:
            keys = self._keys()
        except BaseException:
            del plaintext  # no traceback is to have it (I11)
            raise
        return keys.seal(plaintext, context=context)

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
            topics, seen = self._read_changes(connection)
            self._subscribers.notify(topics)
            # Only now: what interrupts the telling leaves the changes to be found again.
            connection.data_version = data_version
            with self._lock:
                self._seen = max(self._seen, seen)

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
            elif connection.row("PRAGMA journal_mode") != ("wal",):  # it was restored from a copy that SQLite made
                self._enter_wal(connection)
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
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode & 0xFF not in _HELD or time.monotonic() > deadline:
                    raise
                time.sleep(0.01)

    def _read_changes(self, connection: Connection) -> tuple[frozenset[str], int]:
        """The topics that nobody here was told of, and the number of the last change."""
        seen = self._seen
        rows = connection.rows(
            "SELECT sequence, topic, origin FROM changes WHERE sequence > ? ORDER BY sequence", (seen,)
        )
        if not rows:
            return frozenset(), seen
        if rows[0][0] > seen + 1:
            return frozenset({EVERYTHING}), rows[-1][0]
        return frozenset(topic for _, topic, origin in rows if not self._origins.is_told(origin)), rows[-1][0]


class _Unit:
    """The `with` block of one transaction."""

    __slots__ = ("_connection", "_origin", "_store", "_transaction")

    def __init__(self, store: SQLiteStore) -> None:
        self._store = store

    def __enter__(self) -> Transaction:
        self._connection = self._store._connection()
        self._origin = self._store._origins.new()
        self._transaction = SQLiteTransaction(self._connection, self._origin)
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            return self._transaction
        except BaseException:
            self._transaction.roll_back()
            raise

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if kind is not None:
            self._transaction.roll_back()
            return
        store, connection = self._store, self._connection
        # SQLite tells a connection of others' commits, and not of its own: until the subscribers were told, it has
        # to look for itself.
        data_version, connection.data_version = connection.data_version, None
        self._transaction.commit()
        store._subscribers.notify(self._transaction.topics)
        store._origins.tell(self._origin)
        connection.data_version = data_version


class _Reading:
    """The `with` block of one snapshot."""

    __slots__ = ("_snapshot", "_store")

    def __init__(self, store: SQLiteStore) -> None:
        self._store = store

    def __enter__(self) -> Snapshot:
        connection = self._store._connection()
        self._snapshot = SQLiteSnapshot(connection)
        try:
            connection.execute("BEGIN DEFERRED")
            return self._snapshot
        except BaseException:
            self._snapshot.roll_back()
            raise

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        self._snapshot.roll_back()


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
