"""One PostgreSQL transaction on a connection of the pool: begun with its first statement, ended exactly once."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import Final

from mtlskit.errors import MTLSError, Unavailable
from mtlskit.stores.postgres_connections import Rows, Session, Step, has_failed, is_idle, run
from mtlskit.stores.postgres_pool import Connections
from mtlskit.stores.records import ended, failed

WRITING: Final = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE"
READING: Final = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"

_COMMIT: Final = "COMMIT"
# Ends when it is on disk (and on the standbys that are waited for), and with it everything that was committed before.
_FLUSH: Final = "SELECT pg_logical_emit_message(true, 'mtlskit', '')"


class Work:
    """A transaction. After a fork it is the parent's: the child can do nothing in it."""

    __slots__ = ("_begin", "_begun", "_connections", "_failed", "_process", "_session")

    def __init__(self, connections: Connections, begin: str) -> None:
        """Takes a connection; raises Unavailable."""
        self._connections = connections
        self._begin = begin
        self._begun = False
        self._failed = False
        self._process = os.getpid()
        self._session: Session | None = connections.take()

    @property
    def has_begun(self) -> bool:
        """Whether anything was asked."""
        return self._begun

    def ask(self, *steps: Step) -> Rows:
        """Runs the steps in one round trip; the rows of the last. Raises Unavailable: then the whole is undone."""
        return self._run(steps)[-1]

    def commit(self, *steps: Step) -> list[Rows]:
        """Runs the last steps, commits and waits until it is durable; the rows of each step.

        Raises Unavailable, and then nothing has happened; unless the connection was lost on the way, when nobody can
        tell.
        """
        if self._failed:
            raise failed()
        session = self._open()
        try:
            found = self._run((*steps, (_COMMIT, {}), (_FLUSH, {})))
        except Unavailable as error:
            if has_failed(session):
                raise
            raise Unavailable(f"expected to hear of the commit, which may hold or not: {error}") from None
        return found[: -len((_COMMIT, _FLUSH))]

    def end(self) -> None:
        """Undoes what was not committed and gives the connection back; never raises."""
        session, self._session = self._session, None
        if session is None or self._process != os.getpid():
            return
        if not is_idle(session):
            with suppress(MTLSError):
                run(session, [("ROLLBACK", {})], self._connections.target.place)
        # The server skips what was sent off after the statement at fault; psycopg (3.3) may take such a one for
        # prepared all the same, and would never again get it done on this connection.
        if self._failed or not is_idle(session):
            session.close()
        self._connections.give_back(session)

    def _run(self, steps: tuple[Step, ...]) -> list[Rows]:
        session = self._open()
        if not self._begun:
            steps = ((self._begin, {}), *steps)
        try:
            found = run(session, steps, self._connections.target.place)
        except BaseException:
            self._failed = True
            raise
        finally:
            begun, self._begun = self._begun, True
        return found if begun else found[1:]

    def _open(self) -> Session:
        if self._session is None or self._process != os.getpid():
            raise ended()
        return self._session
