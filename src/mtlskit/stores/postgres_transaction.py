"""What is done inside one PostgreSQL transaction: the statements on records, counters and the audit log."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Final

from mtlskit.errors import Unavailable
from mtlskit.ports import AuditRow, Record
from mtlskit.stores.audit import encoded_details, stored_row
from mtlskit.stores.postgres_connections import Rows, Step
from mtlskit.stores.postgres_locks import Locks
from mtlskit.stores.postgres_log import Log
from mtlskit.stores.postgres_work import Work
from mtlskit.stores.records import (
    PAGE,
    already_there,
    checked,
    checked_name,
    checked_new,
    ended,
    expected,
    in_pages,
    missing,
)

_GET: Final = """SELECT key, value, version FROM mtlskit_records
    WHERE kind = %(kind)s AND partition = %(partition)s AND key = %(key)s"""
_GET_MANY: Final = """SELECT key, value, version FROM mtlskit_records
    WHERE kind = %(kind)s AND partition = %(partition)s AND key = ANY(%(keys)s::text[])"""
_INSERT_MANY: Final = """INSERT INTO mtlskit_records (kind, partition, key, value, version)
    SELECT %(kind)s, %(partition)s, given.key, given.value, 1 + coalesce(gone.version, 0)
    FROM unnest(%(keys)s::text[], %(values)s::bytea[]) AS given (key, value)
    LEFT JOIN mtlskit_deleted AS gone
        ON gone.kind = %(kind)s AND gone.partition = %(partition)s AND gone.key = given.key
    ON CONFLICT DO NOTHING RETURNING key"""
_DELETE_MANY: Final = """WITH gone AS (
        DELETE FROM mtlskit_records
        WHERE kind = %(kind)s AND partition = %(partition)s AND key = ANY(%(keys)s::text[])
        RETURNING kind, partition, key, version)
    INSERT INTO mtlskit_deleted (kind, partition, key, version) SELECT kind, partition, key, version FROM gone
    ON CONFLICT (kind, partition, key) DO UPDATE SET version = excluded.version RETURNING key"""
_SCAN: Final = """SELECT key, value, version FROM mtlskit_records
    WHERE kind = %(kind)s AND partition = %(partition)s AND key > %(after)s ORDER BY key LIMIT %(size)s::int"""
_INSERT: Final = """INSERT INTO mtlskit_records (kind, partition, key, value, version)
    VALUES (%(kind)s, %(partition)s, %(key)s, %(value)s, 1 + coalesce((
        SELECT version FROM mtlskit_deleted
        WHERE kind = %(kind)s AND partition = %(partition)s AND key = %(key)s), 0))
    ON CONFLICT DO NOTHING RETURNING version"""
_REPLACE: Final = """UPDATE mtlskit_records SET value = %(value)s, version = version + 1
    WHERE kind = %(kind)s AND partition = %(partition)s AND key = %(key)s
        AND version = coalesce(%(version)s::bigint, version)
    RETURNING version"""
_DELETE: Final = """WITH gone AS (
        DELETE FROM mtlskit_records
        WHERE kind = %(kind)s AND partition = %(partition)s AND key = %(key)s
            AND version = coalesce(%(version)s::bigint, version)
        RETURNING kind, partition, key, version)
    INSERT INTO mtlskit_deleted (kind, partition, key, version) SELECT kind, partition, key, version FROM gone
    ON CONFLICT (kind, partition, key) DO UPDATE SET version = excluded.version RETURNING version"""
_INCREMENT: Final = """INSERT INTO mtlskit_counters AS counter (name, value) VALUES (%(name)s, 1)
    ON CONFLICT (name) DO UPDATE SET value = counter.value + 1 RETURNING value"""
_SCAN_AUDIT: Final = """SELECT sequence, recorded_at, event, details, previous_hash, hash FROM mtlskit_audit
    WHERE sequence > %(after)s::bigint ORDER BY sequence LIMIT %(size)s::int"""


class PostgresSnapshot:
    """Reads within one PostgreSQL transaction."""

    __slots__ = ("_work",)

    def __init__(self, work: Work) -> None:
        self._work: Work | None = work

    def get(self, kind: str, partition: str, key: str) -> Record | None:
        checked(kind, partition, key)
        rows = self._ask_of_record(_GET, kind, partition, key)
        return Record(*rows[0]) if rows else None

    def get_many(self, kind: str, partition: str, keys: Collection[str]) -> Mapping[str, Record]:
        checked(kind, partition, *keys)
        rows = self._ask_of_records(_GET_MANY, kind, partition, keys)
        return {row[0]: Record(*row) for row in rows}

    def scan(self, kind: str, partition: str, *, after: str = "", limit: int | None = None) -> Iterator[Record]:
        checked(kind, partition, after)
        self._open()
        return self._scan(kind, partition, after, limit)

    def _scan(self, kind: str, partition: str, after: str, limit: int | None) -> Iterator[Record]:
        def read(after: str, size: int) -> list[Record]:
            work = self._open()
            wanted = {"kind": kind, "partition": partition, "after": after, "size": size}
            rows = work.ask(*self._partition_locks(kind, partition), (_SCAN, wanted))
            return [Record(*row) for row in rows]

        for record in in_pages(read, after, limit):
            self._open()
            yield record

    def scan_audit(self, *, after: int = 0) -> Iterator[AuditRow]:
        while rows := self._open().ask((_SCAN_AUDIT, {"after": after, "size": PAGE})):
            for row in rows:
                yield stored_row(*row)
            after = rows[-1][0]

    def end(self) -> None:
        """No more can be done in it."""
        self._work = None

    def _open(self) -> Work:
        if self._work is None:
            raise ended()
        return self._work

    def _ask_of_record(self, statement: str, kind: str, partition: str, key: str, **values: object) -> Rows:
        work = self._open()
        values |= {"kind": kind, "partition": partition, "key": key}
        return work.ask(*self._record_locks(kind, partition, key), (statement, values))

    def _ask_of_records(
        self, statement: str, kind: str, partition: str, keys: Collection[str], **values: object
    ) -> Rows:
        work = self._open()
        if not keys:
            return []
        values |= {"kind": kind, "partition": partition, "keys": list(keys)}
        return work.ask(*self._records_locks(kind, partition, keys), (statement, values))

    def _record_locks(self, kind: str, partition: str, key: str) -> tuple[Step, ...]:
        return ()

    def _records_locks(self, kind: str, partition: str, keys: Collection[str]) -> tuple[Step, ...]:
        return ()

    def _partition_locks(self, kind: str, partition: str) -> tuple[Step, ...]:
        return ()


class PostgresTransaction(PostgresSnapshot):
    """Reads and changes within one PostgreSQL transaction. What goes into the log is kept until its end."""

    __slots__ = ("_audited", "_locks", "_log", "_origin", "_topics")

    def __init__(self, work: Work, locks: Locks, log: Log, origin: bytes) -> None:
        super().__init__(work)
        self._locks = locks
        self._log = log
        self._origin = origin
        self._audited: list[tuple[str, str]] = []
        self._topics: set[str] = set()

    @property
    def topics(self) -> frozenset[str]:
        """What was touched."""
        return frozenset(self._topics)

    def insert(self, kind: str, partition: str, key: str, value: bytes) -> Record:
        checked_new(kind, partition, key)
        value = bytes(value)
        rows = self._ask_of_record(_INSERT, kind, partition, key, value=value)
        if not rows:
            raise already_there(kind, key)
        return Record(key, value, rows[0][0])

    def insert_many(self, kind: str, partition: str, values: Mapping[str, bytes]) -> None:
        for key in values:
            checked_new(kind, partition, key)
        rows = self._ask_of_records(_INSERT_MANY, kind, partition, values, values=list(map(bytes, values.values())))
        if len(rows) != len(values):
            added = {row[0] for row in rows}
            raise already_there(kind, next(key for key in values if key not in added))

    def replace(self, kind: str, partition: str, key: str, value: bytes, *, version: int | None = None) -> Record:
        checked(kind, partition, key)
        value = bytes(value)
        rows = self._ask_of_record(_REPLACE, kind, partition, key, value=value, version=version)
        return Record(key, value, self._version(rows, kind, partition, key, version))

    def delete(self, kind: str, partition: str, key: str, *, version: int | None = None) -> None:
        checked(kind, partition, key)
        rows = self._ask_of_record(_DELETE, kind, partition, key, version=version)
        self._version(rows, kind, partition, key, version)

    def delete_many(self, kind: str, partition: str, keys: Collection[str]) -> None:
        checked(kind, partition, *keys)
        gone = {row[0] for row in self._ask_of_records(_DELETE_MANY, kind, partition, keys)}
        for key in keys:
            if key not in gone:
                raise missing(kind, key)

    def increment(self, name: str) -> int:
        checked_name(name)
        number: int = self._open().ask((_INCREMENT, {"name": name}))[0][0]
        return number

    def append_audit(self, event: str, details: Mapping[str, str]) -> None:
        self._open()
        self._audited.append((event, encoded_details(event, details)))

    def scan_audit(self, *, after: int = 0) -> Iterator[AuditRow]:
        # Nobody else may append between what is read here and what this transaction appends.
        work = self._open()
        work.ask(self._log.lock(), *self._take_audited())
        yield from super().scan_audit(after=after)

    def touch(self, topic: str) -> None:
        checked(topic)
        self._open()
        self._topics.add(topic)

    def commit(self) -> int:
        """Makes it durable; the number of the last change, 0 where nothing was touched. Raises Unavailable."""
        work = self._open()
        changes = [self._log.changes(sorted(self._topics), self._origin)] if self._topics else []
        steps = [*self._take_audited(), *changes]
        if not steps and not work.has_begun:
            return 0
        rows = work.commit(*self._log.last(steps))[-1]
        return int(rows[0][0]) if changes else 0

    def _take_audited(self) -> list[Step]:
        audited, self._audited = self._audited, []
        return [self._log.audit_rows(audited)] if audited else []

    def _version(self, rows: Rows, kind: str, partition: str, key: str, version: int | None) -> int:
        if not rows:
            expected(self.get(kind, partition, key), kind, key, version)
            raise Unavailable(f"expected to find the record {kind} {key!r} again, got it changed meanwhile")
        return int(rows[0][0])

    def _record_locks(self, kind: str, partition: str, key: str) -> tuple[Step, ...]:
        return self._locks.record(kind, partition, key)

    def _records_locks(self, kind: str, partition: str, keys: Collection[str]) -> tuple[Step, ...]:
        return self._locks.records(kind, partition, keys)

    def _partition_locks(self, kind: str, partition: str) -> tuple[Step, ...]:
        return self._locks.partition(kind, partition)
