"""How fresh what a gate remembers is: it looks for other processes' changes; where it cannot, all is denied."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from mtlskit.errors import Unavailable
from mtlskit.locks import ForkSafeLock

_LOGGER = logging.getLogger("mtlskit.gate")
_POLL_SECONDS = 1.0
_STALE_SECONDS = 5.0


class Freshness:
    """Calls `poll` at most once a second, in the thread of who asks."""

    def __init__(self, poll: Callable[[], None]) -> None:
        self._poll = poll
        self._next = 0.0
        self._answered = time.monotonic()
        self._is_current = True
        self._lock = ForkSafeLock()

    def look(self) -> None:
        """Looks for changes, if it is time.

        Raises Unavailable when the store has not answered for five seconds: a revocation may have been missed (I6).
        """
        if time.monotonic() >= self._next:
            with self._lock:
                if time.monotonic() >= self._next:
                    self._ask()
        if not self._is_current:
            raise Unavailable(f"expected a store that answers within {_STALE_SECONDS:.0f} s, got none")

    def _ask(self) -> None:
        try:
            self._poll()
        except Exception:
            _LOGGER.exception("the store could not be asked for changes")
            self._is_current = time.monotonic() - self._answered < _STALE_SECONDS
        else:
            self._answered = time.monotonic()
            self._is_current = True
        self._next = time.monotonic() + _POLL_SECONDS
