"""What other processes have changed: the log of changes, read from where this process saw it last.

Numbers come in the order of commits without a gap (`postgres_locks`), so none can show after a higher one. The row that
was seen last is read again each time: where it is gone or another one (the log was cut, a backup was restored, a
standby took over without the last commits), everything may have changed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from mtlskit.locks import ForkSafeLock
from mtlskit.ports import EVERYTHING
from mtlskit.stores.origins import Origins
from mtlskit.stores.postgres_connections import Rows, Session, impatient, run
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
    """The reading end of the log."""

    def __init__(self, connections: Connections, session: Session, origins: Origins) -> None:
        """Begins at the end of the log, which `session` is to read."""
        self._connections = connections
        self._lock = ForkSafeLock()
        self._origins = origins
        self._seen = _last(run(session, [(_LAST, {})], connections.target.place)[0])

    def read(self, tell: Callable[[frozenset[str]], None]) -> None:
        """Tells the topics that were touched since the last time and nobody here was told of; raises Unavailable."""
        with self._lock:
            topics, seen = self._unheard()
        tell(topics)
        # Only now: what interrupts the telling leaves the changes to be found again.
        self._seen = seen

    def _unheard(self) -> tuple[frozenset[str], _Seen]:
        with self._connections.using(_POLL_SECONDS) as session, impatient(session, _POLL_SECONDS):
            place, seen = self._connections.target.place, self._seen
            (rows,) = run(session, [(_FROM, {"sequence": seen.sequence})], place)
            if not self._continues(seen, rows):
                return frozenset({EVERYTHING}), _last(run(session, [(_LAST, {})], place)[0])
        new = [row for row in rows if row[0] > seen.sequence]
        return frozenset(row[2] for row in new if not self._origins.is_told(bytes(row[3]))), _last(rows[-1:])

    @staticmethod
    def _continues(seen: _Seen, rows: Rows) -> bool:
        if seen.sequence == 0:
            return not rows or rows[0][0] == 1
        return bool(rows) and _last(rows[:1]) == seen


def _last(rows: Rows) -> _Seen:
    return _Seen(rows[0][0], bytes(rows[0][1])) if rows else _Seen()
