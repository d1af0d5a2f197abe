"""A lock that a fork cannot leave held: the child of a process whose other thread held it gets it free."""

from __future__ import annotations

import os
import threading
import weakref


class ForkSafeLock:
    """As `threading.Lock` in a `with` block. What it guards must be whole at every moment, or be thrown away."""

    __slots__ = ("__weakref__", "_lock")

    def __init__(self) -> None:
        self._lock = threading.Lock()
        _ALL.add(self)

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *_exception: object) -> None:
        self._lock.release()

    def renew(self) -> None:
        """Makes it free, in a child that has only one thread."""
        self._lock = threading.Lock()


_ALL: weakref.WeakSet[ForkSafeLock] = weakref.WeakSet()


def _after_fork() -> None:
    for lock in list(_ALL):
        lock.renew()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
