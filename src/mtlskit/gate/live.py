"""Requests that are still running, so that a change can end them: streams, WebSockets, long polls (I6).

A timer per event loop asks the gate for each of them twice a second, which costs a comparison of numbers while
nothing has changed, and ends those that are denied now: at once, for a peer that does not read would not let a
connection be closed.
"""

from __future__ import annotations

import asyncio
import logging
import weakref
from collections.abc import Callable, MutableMapping
from functools import partial

from mtlskit.core.verdict import Deny
from mtlskit.gate.connection import Connection
from mtlskit.gate.gate import Facts, Gate

_LOGGER = logging.getLogger("mtlskit.gate")
_LOOK_SECONDS = 0.5


class LiveRequests:
    """The running requests of one middleware."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._watches: MutableMapping[asyncio.AbstractEventLoop, _Watch] = weakref.WeakKeyDictionary()

    def begin(self, connection: Connection, authority: str | None, facts: Facts) -> Callable[[], None]:
        """Watches a request from now on, until the function that this gives is called."""
        loop = asyncio.get_running_loop()
        watch = self._watches.get(loop)
        if watch is None:
            watch = self._watches[loop] = _Watch(self._gate, loop)
        return watch.add(connection, authority, facts)


class _Watch:
    def __init__(self, gate: Gate, loop: asyncio.AbstractEventLoop) -> None:
        self._gate = gate
        self._loop = weakref.proxy(loop)
        self._running: dict[object, tuple[Connection, str | None, Facts]] = {}
        self._timer: asyncio.TimerHandle | None = None

    def add(self, connection: Connection, authority: str | None, facts: Facts) -> Callable[[], None]:
        key = object()
        self._running[key] = (connection, authority, facts)
        if self._timer is None:
            self._timer = self._loop.call_later(_LOOK_SECONDS, self._look)
        return partial(self._running.__delitem__, key)

    def _look(self) -> None:
        self._timer = None
        if not self._running:
            return
        for connection, authority, facts in list(self._running.values()):
            try:
                self._look_at(connection, authority, facts)
            except Exception:
                _LOGGER.exception("a running request could not be judged again, and is ended")
                connection.close()
        self._timer = self._loop.call_later(_LOOK_SECONDS, self._look)

    def _look_at(self, connection: Connection, authority: str | None, facts: Facts) -> None:
        verdict = self._gate.decide_on(connection, authority, facts)
        if isinstance(verdict, Deny):
            self._gate.report(connection.evidence, verdict)
            connection.close()
