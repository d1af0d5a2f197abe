"""What other processes have changed: the log of changes, read from where this process saw it last.

Numbers come in the order of commits without a gap (`postgres_locks`), so none can show after a higher one. The row that
was seen last is read again each time: where it is gone or another one (the log was cut, a backup was restored, a
standby took over without the last commits), everything may have changed.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Final

from mtlskit.locks import ForkSafeLock
from mtlskit.ports import EVERYTHING
from mtlskit.stores.postgres_connections import Rows, Session, run
from mtlskit.stores.postgres_pool import Connections

_LAST: Final = "SELECT sequence, mark FROM mtlskit_changes ORDER BY sequence DESC LIMIT 1"
_FROM: Final = """SELECT sequence, mark, topic, origin FROM mtlskit_changes
    WHERE sequence >= %(sequence)s::bigint ORDER BY sequence"""
_POLL_SECONDS: Final = 2.0  # a gate polls while a request waits


@dataclass(frozen=True, slots=True)
class _Seen:
    """The row that was seen last; `sequence` 0 stands for the beginning of the log."""

    sequence: int = 0
    mark: bytes = b""


class Changes:
    """The reading end of the log. `origin` marks what this process itself has said, which it does not hear again."""

    def __init__(self, connections: Connections, session: Session) -> None:
        """Begins at the end of the log, which `session` is to read."""
        self._connections = connections
        self._lock = ForkSafeLock()
        self._origins = (os.getpid(), os.urandom(16))
        self._seen = _last(run(session, [(_LAST, {})], connections.target.place)[0])

    @property
    def origin(self) -> bytes:
        """The mark of what this process says."""
        if self._origins[0] != os.getpid():
            self.disown()
        return self._origins[1]

    def disown(self) -> None:
        """Takes another mark. What was said until now is heard as if others had said it, if it was committed."""
        self._origins = (os.getpid(), os.urandom(16))

    def read(self) -> frozenset[str]:
        """The topics that others have touched since the last time; raises Unavailable."""
        with self._lock, self._connections.using(_POLL_SECONDS) as session:
            place = self._connections.target.place
            (rows,) = run(session, [(_FROM, {"sequence": self._seen.sequence})], place)
            if self._continues(rows):
                seen, self._seen = self._seen, _last(rows[-1:])
                return frozenset(row[2] for row in rows if row[0] > seen.sequence and row[3] != self.origin)
            self._seen = _last(run(session, [(_LAST, {})], place)[0])
        return frozenset({EVERYTHING})

    def _continues(self, rows: Rows) -> bool:
        if self._seen.sequence == 0:
            return not rows or rows[0][0] == 1
        return bool(rows) and _last(rows[:1]) == self._seen


def _last(rows: Rows) -> _Seen:
    return _Seen(rows[0][0], bytes(rows[0][1])) if rows else _Seen()
