"""Who wants to hear of committed changes. A subscriber that fails is logged and does not stop the others."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TypeAlias

from mtlskit.locks import ForkSafeLock

_logger = logging.getLogger(__name__)

Callback: TypeAlias = Callable[[frozenset[str]], None]


class Subscribers:
    """The callbacks of one store, called in the order in which they came."""

    __slots__ = ("_callbacks", "_lock")

    def __init__(self) -> None:
        self._callbacks: tuple[tuple[object, Callback], ...] = ()
        self._lock = ForkSafeLock()

    def add(self, callback: Callback) -> Callable[[], None]:
        """Adds `callback`; gives the function that takes it away again, which may be called more than once."""
        token = object()
        with self._lock:
            self._callbacks = (*self._callbacks, (token, callback))

        def end() -> None:
            with self._lock:
                self._callbacks = tuple(entry for entry in self._callbacks if entry[0] is not token)

        return end

    def notify(self, topics: frozenset[str]) -> None:
        """Tells everyone, if there is anything to tell."""
        if not topics:
            return
        for _, callback in self._callbacks:
            try:
                callback(topics)
            except Exception:
                _logger.exception("a subscriber of the store's changes failed")
