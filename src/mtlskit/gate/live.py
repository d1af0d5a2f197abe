"""Requests that are still running, so that a change can end them: streams, WebSockets, long polls (I6).

One task per event loop wakes once a second while there is anything to watch. It compares one number; only if a
verdict could have turned does it ask the gate again for each connection, and closes those that are denied now.
"""

from __future__ import annotations

import asyncio
import logging
import weakref
from collections.abc import Callable, MutableMapping
from functools import partial

from mtlskit.core.verdict import Deny
from mtlskit.gate.connection import Connection
from mtlskit.gate.gate import Gate

_LOGGER = logging.getLogger("mtlskit.gate")
_LOOK_SECONDS = 0.5
_EXPIRY_SECONDS = 60.0  # time alone turns verdicts too: certificates expire


class LiveRequests:
    """The running requests of one middleware."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._watches: MutableMapping[asyncio.AbstractEventLoop, _Watch] = weakref.WeakKeyDictionary()

    def begin(self, connection: Connection, authority: str | None) -> Callable[[], None]:
        """Watches a request from now on, until the function that this gives is called."""
        loop = asyncio.get_running_loop()
        watch = self._watches.get(loop)
        if watch is None:
            watch = self._watches[loop] = _Watch(self._gate, loop)
        return watch.add(connection, authority)


class _Watch:
    def __init__(self, gate: Gate, loop: asyncio.AbstractEventLoop) -> None:
        self._gate = gate
        self._loop = weakref.proxy(loop)
        self._running: dict[object, tuple[Connection, str | None]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._seen = gate.changes
        self._next_expiry = loop.time() + _EXPIRY_SECONDS

    def add(self, connection: Connection, authority: str | None) -> Callable[[], None]:
        key = object()
        self._running[key] = (connection, authority)
        if self._timer is None:
            self._seen = self._gate.changes
            self._timer = self._loop.call_later(_LOOK_SECONDS, self._look)
        return partial(self._running.__delitem__, key)

    def _look(self) -> None:
        self._timer = None
        if not self._running:
            return
        try:
            self._close_denied()
        except Exception:
            _LOGGER.exception("running requests could not be judged again")
        self._timer = self._loop.call_later(_LOOK_SECONDS, self._look)

    def _close_denied(self) -> None:
        self._gate.refresh()
        due = self._loop.time() >= self._next_expiry
        if self._gate.changes == self._seen and not due:
            return
        self._seen = self._gate.changes
        self._next_expiry = self._loop.time() + _EXPIRY_SECONDS
        for connection, authority in list(self._running.values()):
            verdict = self._gate.decide(connection.evidence, authority)
            if isinstance(verdict, Deny):
                self._gate.report(connection.evidence, verdict)
                connection.close()
