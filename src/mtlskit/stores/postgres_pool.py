"""The connections that transactions use: in bounded pools, which each process has for itself.

The pool's threads do not live on in a forked child, and its connections belong to the parent: the child abandons it
and opens its own. A pool does not try again by itself: each transaction that finds no connection makes one try, so
that it works as soon as the server is back, and says why it did not where the server is not.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from mtlskit.errors import ConfigurationError, Unavailable
from mtlskit.locks import ForkSafeLock
from mtlskit.stores.forks import abandon
from mtlskit.stores.postgres_connections import (
    EXTRA_MISSING,
    PATIENCE_SECONDS,
    Failures,
    Session,
    Target,
    closed,
    is_alive,
    is_idle,
    no_answer,
)

try:
    from psycopg_pool import ConnectionPool, PoolClosed, PoolTimeout
except ImportError as error:
    raise ConfigurationError(EXTRA_MISSING) from error

_CONNECTION_SECONDS: Final = 5.0
_GLANCE_SECONDS: Final = 0.1  # between two looks whether the try to connect has failed


class Connections:
    """Connections to one database: at most `size` in each process, made when they are needed."""

    def __init__(self, target: Target, size: int, patience: float = PATIENCE_SECONDS) -> None:
        self.target = target
        self._size = size
        self._patience = patience
        self._lock = ForkSafeLock()
        self._pool: _Pool | None = None

    def take(self, seconds: float = _CONNECTION_SECONDS) -> Session:
        """A live connection, within `seconds`; raises Unavailable. It is to be given back."""
        mine = self._mine()
        failed, deadline = mine.failures.count, time.monotonic() + seconds
        while True:
            try:
                session = mine.pool.getconn(timeout=_GLANCE_SECONDS)
            except PoolClosed:
                raise closed() from None
            except PoolTimeout:
                if mine.failures.count != failed:
                    raise no_answer(self.target.place, mine.failures.last) from None
                if time.monotonic() > deadline:
                    raise Unavailable(f"expected a free connection within {seconds:g} s, got none") from None
            else:
                if is_alive(session):
                    return session
                mine.pool.putconn(session)

    def give_back(self, session: Session) -> None:
        """Back to the pool that it is from; one that is lost or in a transaction is not used again."""
        if not is_idle(session):
            session.close()
        self._mine().pool.putconn(session)

    @contextmanager
    def using(self, seconds: float = _CONNECTION_SECONDS) -> Iterator[Session]:
        """A connection for statements that are transactions of their own."""
        session = self.take(seconds)
        try:
            yield session
        finally:
            self.give_back(session)

    def close(self) -> None:
        """Closes those that are not in use, and each other one when it is given back. Idempotent."""
        if self._pool is not None:
            self._pool.pool.close()

    def abandon(self) -> None:
        """Leaves the parent's connections alone, in a child that was just forked."""
        if self._pool is not None:
            abandon(self._pool)
            self._pool = None

    def _mine(self) -> _Pool:
        with self._lock:
            if self._pool is None:
                self._pool = _Pool(self.target, self._size, self._patience)
            return self._pool


class _Pool:
    """The pool of one process, and the tries to connect that have failed in it."""

    __slots__ = ("failures", "pool")

    def __init__(self, target: Target, size: int, patience: float) -> None:
        self.failures = Failures()
        self.pool = ConnectionPool(
            connection_class=Session,
            kwargs={**target.parameters, "failures": self.failures, "patience": patience},
            min_size=0,
            max_size=size,
            open=False,
            name="mtlskit",
            reconnect_timeout=0.0,
            num_workers=2,
        )
        self.pool.open()
