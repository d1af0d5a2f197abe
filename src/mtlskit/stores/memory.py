"""The store that lives in memory: the model that the contract suite holds the others to.

One lock makes transactions serial; an undo list makes one without effect when it raised. A forked child has a
copy of its own from the moment of the fork.
"""

from __future__ import annotations

import os
import threading
import weakref
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from typing import Final

from mtlskit.errors import Unavailable
from mtlskit.ports import AuditRow, Record, Snapshot, Transaction
from mtlskit.stores.audit import next_row
from mtlskit.stores.encryption import KeyEncryption
from mtlskit.stores.records import ManyByOne, already_there, checked, checked_name, checked_new, ended, expected, nested
from mtlskit.stores.subscribers import Callback, Subscribers

_BUSY_SECONDS: Final = 5.0


class MemoryStore:
    """A `Store` that is gone with the object. Make it with `open_store("memory://")`."""

    def __init__(self, *, keys: KeyEncryption | None = None) -> None:
        self._keys = keys or KeyEncryption.generate()
        self._content = _Content()
        self._subscribers = Subscribers()
        self._closed = False
        self._untold: dict[object, frozenset[str]] = {}  # what was committed, by its transaction
        self._lock = threading.Lock()
        self._owner: int | None = None
        _stores.add(self)

    def transaction(self) -> _Unit:
        """As `Store.transaction`."""
        return _Unit(self)

    def snapshot(self) -> _Reading:
        """As `Store.snapshot`."""
        return _Reading(self)

    def seal(self, plaintext: bytes, *, context: str) -> bytes:
        """As `Store.seal`."""
        return self._keys.seal(plaintext, context=context)

    def unseal(self, sealed: bytes, *, context: str) -> bytes:
        """As `Store.unseal`."""
        return self._keys.unseal(sealed, context=context)

    def poll(self) -> None:
        """Tells what an exception has kept from being told; no other process can change this store."""
        for transaction, topics in list(self._untold.items()):
            self._tell(transaction, topics)

    def subscribe(self, callback: Callback) -> Callable[[], None]:
        """As `Store.subscribe`."""
        return self._subscribers.add(callback)

    def close(self) -> None:
        """As `Store.close`; a closed store is Unavailable."""
        self._closed = True

    def _acquire(self) -> None:
        if self._owner == threading.get_ident():
            raise nested()
        if self._closed:
            raise Unavailable("expected an open store, got a closed one")
        if not self._lock.acquire(timeout=_BUSY_SECONDS):
            raise Unavailable(f"expected the store within {_BUSY_SECONDS:g} s, got another transaction holding it")
        self._owner = threading.get_ident()

    def _release(self) -> None:
        self._owner = None
        self._lock.release()

    def _tell(self, transaction: object, topics: frozenset[str]) -> None:
        self._subscribers.notify(topics)
        self._untold.pop(transaction, None)

    def _unlock(self) -> None:
        self._lock = threading.Lock()
        self._owner = None


class _Unit:
    """The `with` block of one transaction."""

    __slots__ = ("_store", "_transaction")

    def __init__(self, store: MemoryStore) -> None:
        self._store = store

    def __enter__(self) -> Transaction:
        self._store._acquire()
        self._transaction = _MemoryTransaction(self._store._content)
        return self._transaction

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        store, transaction = self._store, self._transaction
        topics = frozenset() if kind is not None else transaction.topics
        if topics:
            store._untold[transaction] = topics
        if kind is None:
            transaction.finish()
        else:
            transaction.undo()
        store._release()
        if topics:
            store._tell(transaction, topics)


class _Reading:
    """The `with` block of one snapshot."""

    __slots__ = ("_snapshot", "_store")

    def __init__(self, store: MemoryStore) -> None:
        self._store = store

    def __enter__(self) -> Snapshot:
        self._store._acquire()
        self._snapshot = _MemorySnapshot(self._store._content)
        return self._snapshot

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        self._snapshot.finish()
        self._store._release()


class _Partition:
    """Records by key; the order is worked out when somebody asks for it."""

    __slots__ = ("deleted", "ordered", "records")

    def __init__(self) -> None:
        self.records: dict[str, Record] = {}
        self.deleted: dict[str, int] = {}
        self.ordered: list[str] | None = None

    def keys(self) -> list[str]:
        if self.ordered is None:
            self.ordered = sorted(self.records)
        return self.ordered


class _Content:
    """Everything that a memory store holds."""

    __slots__ = ("audit", "counters", "partitions")

    def __init__(self) -> None:
        self.partitions: dict[tuple[str, str], _Partition] = {}
        self.counters: dict[str, int] = {}
        self.audit: list[AuditRow] = []


class _MemorySnapshot(ManyByOne):
    """What can be read, while the store is held."""

    __slots__ = ("_content", "_open")

    def __init__(self, content: _Content) -> None:
        self._content = content
        self._open = True

    def get(self, kind: str, partition: str, key: str) -> Record | None:
        self._check(kind, partition, key)
        found = self._content.partitions.get((kind, partition))
        return None if found is None else found.records.get(key)

    def scan(self, kind: str, partition: str, *, after: str = "", limit: int | None = None) -> Iterator[Record]:
        self._check(kind, partition, after)
        found = self._content.partitions.get((kind, partition))
        if found is None:
            return iter(())
        # The key list of this moment: what the transaction changes while it scans does not shift it.
        keys = found.keys()
        return islice(self._scan(found, keys, bisect_right(keys, after)), limit)

    def scan_audit(self, *, after: int = 0) -> Iterator[AuditRow]:
        self._check()
        for row in self._content.audit[after:]:
            self._check()
            yield row

    def finish(self) -> None:
        self._open = False

    def _scan(self, partition: _Partition, keys: list[str], start: int) -> Iterator[Record]:
        for position in range(start, len(keys)):
            self._check()
            record = partition.records.get(keys[position])
            if record is not None:
                yield record

    def _check(self, *texts: str) -> None:
        if not self._open:
            raise ended()
        checked(*texts)


class _MemoryTransaction(_MemorySnapshot):
    """Changes the content in place and remembers how to take each change back."""

    __slots__ = ("_topics", "_undo")

    def __init__(self, content: _Content) -> None:
        super().__init__(content)
        self._undo: list[Callable[[], object]] = []
        self._topics: set[str] = set()

    def insert(self, kind: str, partition: str, key: str, value: bytes) -> Record:
        self._check()
        checked_new(kind, partition, key)
        place = self._content.partitions.setdefault((kind, partition), _Partition())
        if key in place.records:
            raise already_there(kind, key)
        record = Record(key, bytes(value), place.deleted.get(key, 0) + 1)
        self._put(place, key, record)
        return record

    def replace(self, kind: str, partition: str, key: str, value: bytes, *, version: int | None = None) -> Record:
        old = expected(self.get(kind, partition, key), kind, key, version)
        record = Record(key, bytes(value), old.version + 1)
        self._put(self._content.partitions[kind, partition], key, record)
        return record

    def delete(self, kind: str, partition: str, key: str, *, version: int | None = None) -> None:
        old = expected(self.get(kind, partition, key), kind, key, version)
        place = self._content.partitions[kind, partition]
        before = place.deleted.get(key, 0)
        self._undo.append(lambda: place.deleted.__setitem__(key, before))
        place.deleted[key] = old.version
        self._put(place, key, None)

    def increment(self, name: str) -> int:
        self._check()
        checked_name(name)
        counters = self._content.counters
        old = counters.get(name, 0)
        self._undo.append(lambda: counters.__setitem__(name, old))
        counters[name] = old + 1
        return old + 1

    def append_audit(self, event: str, details: Mapping[str, str]) -> None:
        self._check()
        audit = self._content.audit
        row, _ = next_row((audit[-1].sequence, audit[-1].hash) if audit else None, event, dict(details))
        self._undo.append(audit.pop)
        audit.append(row)

    def touch(self, topic: str) -> None:
        self._check(topic)
        self._topics.add(topic)

    @property
    def topics(self) -> frozenset[str]:
        return frozenset(self._topics)

    def undo(self) -> None:
        self._open = False
        for step in reversed(self._undo):
            step()

    def _put(self, place: _Partition, key: str, record: Record | None) -> None:
        old = place.records.get(key)
        self._undo.append(lambda: self._set(place, key, old))
        self._set(place, key, record)

    @staticmethod
    def _set(place: _Partition, key: str, record: Record | None) -> None:
        if record is None:
            place.records.pop(key, None)
            place.ordered = None
            return
        if key not in place.records:
            place.ordered = None
        place.records[key] = record


_stores: weakref.WeakSet[MemoryStore] = weakref.WeakSet()


def _after_fork() -> None:
    for store in _stores:
        store._unlock()  # the thread that may have held the lock is not in the child


os.register_at_fork(after_in_child=_after_fork)
