"""Hears at once that another process has changed something: one thread and one connection per process (LISTEN).

A notification says only that there is news; what it is stands in the log of changes. One that is lost, or a
connection that is, costs time and nothing else: whoever polls finds it.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable
from typing import Final
from weakref import WeakMethod

from mtlskit.errors import MTLSError
from mtlskit.locks import ForkSafeLock
from mtlskit.stores.forks import abandon
from mtlskit.stores.postgres_connections import Target, notifications

_logger = logging.getLogger(__name__)

_FIRST_PAUSE_SECONDS: Final = 1.0
_LONGEST_PAUSE_SECONDS: Final = 30.0
_END_SECONDS: Final = 1.0


class Listener:
    """Calls `heard` with each payload of `channel`, and with an empty text when it has begun to listen.

    It does not keep the object alive whose method `heard` is, and ends with it.
    """

    def __init__(self, target: Target, channel: str, heard: Callable[[str], None]) -> None:
        self._target = target
        self._channel = channel
        self._heard = WeakMethod(heard)
        self._lock = ForkSafeLock()
        self._thread: _Thread | None = None

    def begin(self) -> None:
        """Makes the thread, if this process has none yet."""
        if self._thread is None:
            with self._lock:
                if self._thread is None:
                    self._thread = _Thread(self._target, self._channel, self._heard)
                    self._thread.start()

    def end(self) -> None:
        """Ends the thread. Idempotent; `begin` would make another."""
        with self._lock:
            thread, self._thread = self._thread, None
        if thread is not None:
            thread.end()

    def abandon(self) -> None:
        """Leaves the parent's thread alone, in a child that was just forked."""
        if self._thread is not None:
            abandon(self._thread)
            self._thread = None


class _Thread(threading.Thread):
    def __init__(self, target: Target, channel: str, heard: WeakMethod[Callable[[str], None]]) -> None:
        super().__init__(name="mtlskit-changes", daemon=True)
        self._database = target
        self._channel = channel
        self._heard = heard
        self._ending = threading.Event()
        self._woken, self._wake = os.pipe()
        self._pipe_lock = ForkSafeLock()

    def end(self) -> None:
        """Wakes the thread, which then ends."""
        with self._pipe_lock:
            if not self._ending.is_set():
                self._ending.set()
                os.write(self._wake, b"\0")
        if threading.current_thread() is not self:
            self.join(_END_SECONDS)

    def run(self) -> None:
        """Listens, and connects again when the connection is lost."""
        pause = _FIRST_PAUSE_SECONDS
        while not self._ending.wait(0):
            try:
                self._listen()
                pause = _FIRST_PAUSE_SECONDS
            except MTLSError as error:
                _logger.info("changes of other processes are not heard at once, only when polled for: %s", error)
                self._ending.wait(pause)
                pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
        with self._pipe_lock:
            os.close(self._woken)
            os.close(self._wake)

    def _listen(self) -> None:
        with self._database.connect() as session:
            for payload in notifications(session, self._channel, self._woken, self._database.place):
                if not self._tell(payload):
                    return

    def _tell(self, payload: str) -> bool:
        heard = self._heard()
        if heard is None:
            self._ending.set()
        if heard is None or self._ending.is_set():
            return False
        heard(payload)
        return True
