"""A store in which others do something between any two readings of one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from mtlskit.ports import Snapshot, Store, Transaction


class Meddling:
    """As the store; `meanwhile` is called with the number of the reading that has just ended, from 1 on."""

    def __init__(self, store: Store, meanwhile: Callable[[int], object]) -> None:
        self._store = store
        self.meanwhile = meanwhile
        self.readings = 0

    @contextmanager
    def snapshot(self) -> Iterator[Snapshot]:
        with self._store.snapshot() as snapshot:
            yield snapshot
        self.readings += 1
        self.meanwhile(self.readings)

    def transaction(self) -> AbstractContextManager[Transaction]:
        return self._store.transaction()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)
