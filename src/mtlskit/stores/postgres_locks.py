"""What makes PostgreSQL transactions serialisable: each takes a lock on what it touches, before it looks at it.

A store cannot run a caller's `with` block again, so nothing here may find out at the end that a transaction was in
conflict, as PostgreSQL's own SERIALIZABLE does. It is strict two-phase locking instead: a transaction reads and
changes a record only under that record's lock (an advisory one, for a record that is not there has no row to lock)
and reads a partition only under the partition's, and keeps them to its end. Under READ COMMITTED each statement sees
what was committed before it began, and so, run after the lock was got, the last state of what is locked. A counter's
lock is its row's. Readers (`snapshot`) take none: REPEATABLE READ shows them one moment between two commits.

* A record's lock is exclusive even for reading, for who reads in a transaction is about to write.
* Who touches one record holds its partition's lock shared; who scans it, or touches very many records of it, holds it
  alone. So no record comes or goes in a partition that was scanned.
* The log's lock comes last of all, sent off together with the rows of the audit log and of the changes and with the
  commit, so that others wait for it as short as can be; and their numbers are in the order of the commits without a
  gap.

Who waits for 10 s, or for each other (two transactions that touch the same two records the other way round), gets
Unavailable, and nothing of that transaction has happened.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Final

from mtlskit.stores.postgres_connections import Step

MOST_RECORDS: Final = 256  # of a partition, each with its lock; the server's table of locks is not endless

_ONE_RECORD: Final = (
    "SELECT pg_advisory_xact_lock_shared(%(partition)s::bigint), pg_advisory_xact_lock(%(record)s::bigint)"
)
_PARTITION_SHARED: Final = "SELECT pg_advisory_xact_lock_shared(%(partition)s::bigint)"
_RECORDS: Final = "SELECT count(pg_advisory_xact_lock(record)) FROM unnest(%(records)s::bigint[]) AS given (record)"
_PARTITION: Final = "SELECT pg_advisory_xact_lock(%(partition)s::bigint)"


class Locks:
    """The locks that one transaction holds."""

    __slots__ = ("_records", "_store_id", "_whole")

    def __init__(self, store_id: bytes) -> None:
        self._store_id = store_id
        self._records: dict[int, set[int]] = {}
        self._whole: set[int] = set()

    def record(self, kind: str, partition: str, key: str) -> tuple[Step, ...]:
        """The steps before a record is touched: none if it is locked already."""
        place = lock_id(self._store_id, "partition", kind, partition)
        if place in self._whole:
            return ()
        held = self._records.setdefault(place, set())
        wanted = lock_id(self._store_id, "record", kind, partition, key)
        if wanted in held:
            return ()
        if len(held) >= MOST_RECORDS:
            return self.partition(kind, partition)
        held.add(wanted)
        return ((_ONE_RECORD, {"partition": place, "record": wanted}),)

    def records(self, kind: str, partition: str, keys: Iterable[str]) -> tuple[Step, ...]:
        """The steps before records are touched, always in the same order: none if they are locked already."""
        place = lock_id(self._store_id, "partition", kind, partition)
        if place in self._whole:
            return ()
        held = self._records.setdefault(place, set())
        wanted = {lock_id(self._store_id, "record", kind, partition, key) for key in keys} - held
        if len(held) + len(wanted) > MOST_RECORDS:
            return self.partition(kind, partition)
        held |= wanted
        return (
            (_PARTITION_SHARED, {"partition": place}),
            (_RECORDS, {"records": sorted(wanted)}),
        )

    def partition(self, kind: str, partition: str) -> tuple[Step, ...]:
        """The steps before a partition is read."""
        place = lock_id(self._store_id, "partition", kind, partition)
        if place in self._whole:
            return ()
        self._whole.add(place)
        return ((_PARTITION, {"partition": place}),)


def lock_id(store_id: bytes, *names: str) -> int:
    """The number that an advisory lock of this store is taken by: 64 bits, signed."""
    digest = hashlib.blake2b("\0".join(names).encode(), digest_size=8, key=store_id).digest()
    return int.from_bytes(digest, signed=True)
