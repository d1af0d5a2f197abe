"""Which changes in the log this process has told its subscribers of already, so that it need not hear them again.

Each transaction marks its changes with an origin of its own, which counts as told only once the subscribers were told.
Whatever comes in between (an answer of the server that is lost, an exception that a signal brings), polling finds a
stranger's change and tells them (I6). To be told twice does no harm.
"""

from __future__ import annotations

import os
from typing import Final

from mtlskit.locks import ForkSafeLock

_MOST_TOLD: Final = 4_096  # transactions since the last poll
_MARK: Final = 8  # octets that the origins of one process begin with


class Origins:
    """The origins of one store in this process. May be used on both sides of a fork."""

    __slots__ = ("_lock", "_process", "_told")

    def __init__(self) -> None:
        self._lock = ForkSafeLock()
        self._process = (os.getpid(), os.urandom(_MARK))
        self._told: dict[bytes, None] = {}

    def new(self) -> bytes:
        """The origin of a transaction that begins."""
        return self._mark() + os.urandom(_MARK)

    def tell(self, origin: bytes) -> None:
        """The subscribers were told of what that transaction changed."""
        with self._lock:
            self._told[origin] = None
            if len(self._told) > _MOST_TOLD:
                del self._told[next(iter(self._told))]

    def is_told(self, origin: bytes) -> bool:
        """Whether they were."""
        return origin in self._told

    def is_ours(self, origin: str) -> bool:
        """Whether the origin, in hexadecimal, is of a transaction of this process."""
        return origin.startswith(self._mark().hex())

    def _mark(self) -> bytes:
        if self._process[0] != os.getpid():
            self._process = (os.getpid(), os.urandom(_MARK))
        return self._process[1]
