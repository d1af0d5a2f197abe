"""What is done inside one SQLite transaction: the statements on records, counters, the audit log and the changes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from mtlskit.errors import MTLSError, Unavailable
from mtlskit.ports import AuditRow, Record
from mtlskit.stores.audit import next_row, stored_row
from mtlskit.stores.records import (
    PAGE,
    ManyByOne,
    already_there,
    checked,
    checked_name,
    checked_new,
    ended,
    expected,
    failed,
    in_pages,
)
from mtlskit.stores.sqlite_connections import Connection

CHANGES_KEPT: Final = 10_000

_GET = "SELECT key, value, version FROM records WHERE kind = ? AND partition = ? AND key = ?"
_SCAN = """SELECT key, value, version FROM records
    WHERE kind = ? AND partition = ? AND key > ? ORDER BY key LIMIT ?"""
_INSERT = "INSERT INTO records (kind, partition, key, value, version) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING"
_REPLACE = "UPDATE records SET value = ?, version = ? WHERE kind = ? AND partition = ? AND key = ?"
_DELETE = "DELETE FROM records WHERE kind = ? AND partition = ? AND key = ?"
_OLD_VERSION = "SELECT version FROM deleted WHERE kind = ? AND partition = ? AND key = ?"
_REMEMBER = """INSERT INTO deleted (kind, partition, key, version) VALUES (?, ?, ?, ?)
    ON CONFLICT DO UPDATE SET version = excluded.version"""
_INCREMENT = """INSERT INTO counters (name, value) VALUES (?, 1)
    ON CONFLICT DO UPDATE SET value = counters.value + 1"""
_AUDIT_SCAN = """SELECT sequence, recorded_at, event, details, previous_hash, hash FROM audit
    WHERE sequence > ? ORDER BY sequence LIMIT ?"""
_AUDIT_LAST = "SELECT sequence, hash FROM audit ORDER BY sequence DESC LIMIT 1"
_AUDIT_APPEND = "INSERT INTO audit VALUES (?, ?, ?, ?, ?, ?)"


class SQLiteSnapshot(ManyByOne):
    """Reads within one SQLite transaction."""

    __slots__ = ("_connection",)

    def __init__(self, connection: Connection) -> None:
        self._connection: Connection | None = connection

    def get(self, kind: str, partition: str, key: str) -> Record | None:
        checked(kind, partition, key)
        row = self._open().row(_GET, (kind, partition, key))
        return None if row is None else Record(*row)

    def scan(self, kind: str, partition: str, *, after: str = "", limit: int | None = None) -> Iterator[Record]:
        checked(kind, partition, after)
        self._open()
        return self._scan(kind, partition, after, limit)

    def _scan(self, kind: str, partition: str, after: str, limit: int | None) -> Iterator[Record]:
        def read(after: str, size: int) -> list[Record]:
            return [Record(*row) for row in self._open().rows(_SCAN, (kind, partition, after, size))]

        for record in in_pages(read, after, limit):
            self._open()
            yield record

    def scan_audit(self, *, after: int = 0) -> Iterator[AuditRow]:
        while rows := self._open().rows(_AUDIT_SCAN, (after, PAGE)):
            for row in rows:
                yield stored_row(*row)
            after = rows[-1][0]

    def roll_back(self) -> None:
        """Ends the transaction without effect; never raises, for what went wrong before is to be told."""
        connection, self._connection = self._connection, None
        if connection is not None:
            _roll_back(connection)

    def _open(self) -> Connection:
        if self._connection is None:
            raise ended()
        return self._connection


class SQLiteTransaction(SQLiteSnapshot):
    """Reads and changes within one SQLite transaction."""

    __slots__ = ("_origin", "_topics")

    def __init__(self, connection: Connection, origin: bytes) -> None:
        super().__init__(connection)
        connection.has_failed = False
        self._origin = origin
        self._topics: set[str] = set()

    def insert(self, kind: str, partition: str, key: str, value: bytes) -> Record:
        checked_new(kind, partition, key)
        connection = self._open()
        old = connection.row(_OLD_VERSION, (kind, partition, key))
        record = Record(key, bytes(value), 1 if old is None else old[0] + 1)
        done = connection.execute(_INSERT, (kind, partition, key, record.value, record.version))
        if done.rowcount != 1:
            raise already_there(kind, key)
        return record

    def replace(self, kind: str, partition: str, key: str, value: bytes, *, version: int | None = None) -> Record:
        old = expected(self.get(kind, partition, key), kind, key, version)
        record = Record(key, bytes(value), old.version + 1)
        self._open().execute(_REPLACE, (record.value, record.version, kind, partition, key))
        return record

    def delete(self, kind: str, partition: str, key: str, *, version: int | None = None) -> None:
        old = expected(self.get(kind, partition, key), kind, key, version)
        self._open().execute(_REMEMBER, (kind, partition, key, old.version))
        self._open().execute(_DELETE, (kind, partition, key))

    def increment(self, name: str) -> int:
        checked_name(name)
        self._open().execute(_INCREMENT, (name,))
        row = self._open().row("SELECT value FROM counters WHERE name = ?", (name,))
        if row is None:
            raise Unavailable(f"expected the counter {name!r}, got none")
        return int(row[0])

    def append_audit(self, event: str, details: Mapping[str, str]) -> None:
        last = self._open().row(_AUDIT_LAST)
        row, encoded = next_row(None if last is None else (last[0], last[1]), event, details)
        values = (row.sequence, row.recorded_at, event, encoded, row.previous_hash, row.hash)
        self._open().execute(_AUDIT_APPEND, values)

    def touch(self, topic: str) -> None:
        checked(topic)
        self._open()
        self._topics.add(topic)

    @property
    def topics(self) -> frozenset[str]:
        """What was touched."""
        return frozenset(self._topics)

    def commit(self) -> None:
        """Makes it durable; raises Unavailable, and then nothing happened."""
        try:
            connection = self._open()
            self._write_changes(connection)
            connection.execute("COMMIT")
        except BaseException:
            self.roll_back()
            raise
        self._connection = None

    def _open(self) -> Connection:
        connection = super()._open()
        # SQLite may have rolled the whole back (a full disk): what came after it would not be in any transaction.
        if connection.has_failed:
            raise failed()
        return connection

    def _write_changes(self, connection: Connection) -> None:
        for topic in sorted(self._topics):
            done = connection.execute("INSERT INTO changes (topic, origin) VALUES (?, ?)", (topic, self._origin))
            connection.execute("DELETE FROM changes WHERE sequence <= ?", ((done.lastrowid or 0) - CHANGES_KEPT,))


def _roll_back(connection: Connection) -> None:
    try:
        if connection.raw.in_transaction:
            connection.execute("ROLLBACK")
    except MTLSError:
        connection.close()  # the thread's next transaction opens another one
