"""The store in a PostgreSQL database, for several processes on several machines.

What makes transactions serialisable is told in `postgres_locks`, what makes many of them fast in `postgres_log`.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Final
from weakref import WeakSet, finalize

from mtlskit.errors import ConfigurationError, MTLSError
from mtlskit.ports import Snapshot, Transaction
from mtlskit.stores.encryption import ENVIRONMENT_VARIABLE, KeyEncryption
from mtlskit.stores.origins import Origins
from mtlskit.stores.postgres_changes import Changes
from mtlskit.stores.postgres_connections import Target, closed, run
from mtlskit.stores.postgres_listener import Listener
from mtlskit.stores.postgres_locks import Locks
from mtlskit.stores.postgres_log import Log, forgetting
from mtlskit.stores.postgres_pool import Connections
from mtlskit.stores.postgres_schema import Identity, adopting, prepare
from mtlskit.stores.postgres_transaction import PostgresSnapshot, PostgresTransaction
from mtlskit.stores.postgres_work import READING, WRITING, Work
from mtlskit.stores.records import nested
from mtlskit.stores.subscribers import Callback, Subscribers

_logger = logging.getLogger(__name__)

_CONNECTIONS: Final = 8
_READING_SECONDS: Final = 10.0  # for a page of records


class PostgresStore:
    """A `Store` in a PostgreSQL database. Make it with `open_store("postgresql://...")`."""

    def __init__(self, url: str, *, keys: KeyEncryption | None = None, connections: int = _CONNECTIONS) -> None:
        """Opens the store, and makes its tables where they are not there yet; see `open_store`.

        Each process uses at most `connections` connections at once to write and as many to read, so that who only
        reads waits for no writer, and one more to listen once it polls.
        """
        target = Target(url)
        self._given_keys = keys
        self._closed = False
        self._subscribers = Subscribers()
        self._writers = Connections(target, connections)
        self._readers = Connections(target, connections, _READING_SECONDS)
        with target.connect() as session:
            self._identity = prepare(session, target.place, lambda: self._found_keys().key_id)
            self._origins = Origins()
            self._changes = Changes(self._readers, session, self._origins)
        self._log = Log(self._identity.store_id)
        self._listener = Listener(target, self._log.channel, self._heard)
        finalize(self, _end, self._listener, self._readers, self._writers)
        self._inside = threading.local()
        _stores.add(self)

    def transaction(self) -> _Unit:
        """As `Store.transaction`."""
        return _Unit(self)

    def snapshot(self) -> _Reading:
        """As `Store.snapshot`."""
        return _Reading(self)

    def seal(self, plaintext: bytes, *, context: str) -> bytes:
        """As `Store.seal`; raises ConfigurationError without a key, and StoreError with another one's."""
        try:
            keys = self._keys()
        except BaseException:
            del plaintext  # no traceback is to have it (I11)
            raise
        return keys.seal(plaintext, context=context)

    def unseal(self, sealed: bytes, *, context: str) -> bytes:
        """As `Store.unseal`; raises ConfigurationError without a key."""
        return self._keys().unseal(sealed, context=context)

    def adopt_key(self) -> None:
        """Takes the key that it seals under for its own: where all is resealed, it opens with that key alone."""
        keys = self._keys()
        self._check_outside()
        with self._readers.using() as session:
            run(session, [adopting(keys.key_id)], self._readers.target.place)
        self._identity = Identity(store_id=self._identity.store_id, key_id=keys.key_id)

    def poll(self) -> None:
        """As `Store.poll`. From the first one on, changes of others are also heard when they are made, in a thread."""
        self._check_outside()
        self._listener.begin()
        self._changes.read(self._subscribers.notify)

    def subscribe(self, callback: Callback) -> Callable[[], None]:
        """As `Store.subscribe`."""
        return self._subscribers.add(callback)

    def close(self) -> None:
        """As `Store.close`; a closed store is Unavailable."""
        self._closed = True
        _end(self._listener, self._readers, self._writers)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} at {self._readers.target.place}>"

    def _found_keys(self) -> KeyEncryption:
        keys = self._given_keys or KeyEncryption.from_environment()
        if keys is None:
            raise ConfigurationError(
                f"expected the key-encryption key in {ENVIRONMENT_VARIABLE} or as keys=KeyEncryption(...) for a store "
                "in PostgreSQL, which has no key file beside it, got neither"
            )
        return keys

    def _keys(self) -> KeyEncryption:
        self._given_keys = self._found_keys().for_store(self._identity.key_id)
        return self._given_keys

    def _check_outside(self) -> None:
        if self._closed:
            raise closed()
        if getattr(self._inside, "process", None) == os.getpid():
            raise nested()

    def _begin(self, connections: Connections, begin: str) -> Work:
        self._check_outside()
        work = Work(connections, begin)
        self._inside.process = os.getpid()
        return work

    def _end(self, work: Work) -> None:
        self._inside.process = None
        work.end()

    def _heard(self, payload: str) -> None:
        if self._origins.is_ours(payload):
            return
        try:
            self._changes.read(self._subscribers.notify)
        except MTLSError as error:
            _logger.info("changes of other processes could not be read: %s", error)

    def _forget(self, last: int, added: int) -> None:
        step = forgetting(last, added)
        if step is not None:
            with suppress(MTLSError), self._readers.using() as session:
                run(session, [step], self._readers.target.place)

    def _abandon(self) -> None:
        for part in (self._readers, self._writers, self._listener):
            part.abandon()


class _Unit:
    """The `with` block of one transaction."""

    __slots__ = ("_origin", "_store", "_transaction", "_work")

    def __init__(self, store: PostgresStore) -> None:
        self._store = store

    def __enter__(self) -> Transaction:
        store = self._store
        self._work = store._begin(store._writers, WRITING)
        self._origin = store._origins.new()
        self._transaction = PostgresTransaction(self._work, Locks(store._identity.store_id), store._log, self._origin)
        return self._transaction

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        try:
            last = 0 if kind is not None else self._transaction.commit()
        finally:
            self._transaction.end()
            self._store._end(self._work)
        if kind is None:
            topics = self._transaction.topics
            self._store._subscribers.notify(topics)
            self._store._origins.tell(self._origin)
            self._store._forget(last, len(topics))


class _Reading:
    """The `with` block of one snapshot."""

    __slots__ = ("_snapshot", "_store", "_work")

    def __init__(self, store: PostgresStore) -> None:
        self._store = store

    def __enter__(self) -> Snapshot:
        self._work = self._store._begin(self._store._readers, READING)
        self._snapshot = PostgresSnapshot(self._work)
        return self._snapshot

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        self._snapshot.end()
        self._store._end(self._work)


def _end(listener: Listener, *pools: Connections) -> None:
    listener.end()
    for pool in pools:
        pool.close()


_stores: WeakSet[PostgresStore] = WeakSet()


def _after_fork() -> None:
    for store in list(_stores):
        store._abandon()


os.register_at_fork(after_in_child=_after_fork)
