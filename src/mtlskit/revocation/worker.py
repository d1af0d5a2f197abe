"""The one thread that reads lists. It is a daemon with an event loop of its own, and belongs to one process.

Fetches run side by side, a few at a time, so that a source that is slow holds up no other; files are read, and
indices built, in the thread itself, which lets the other threads run as any Python code does.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
import weakref
from collections.abc import Collection
from typing import Protocol

from mtlskit.revocation.feed import Feed
from mtlskit.revocation.sources import WebSource

_MOST_FETCHES = 8
_LONGEST_SLEEP_SECONDS = 30.0
_JOIN_SECONDS = 5.0
_KEEP_SECONDS = 1.0  # between two looks for what is to be kept: each is at all sources


class Owner(Protocol):
    """Who knows the sources."""

    def due(self, busy: Collection[Feed]) -> tuple[list[Feed], float]:
        """The sources to be read now, but the busy ones, and the seconds until the next one is due."""
        ...

    def recall(self, feed: Feed) -> None:
        """Gives one that was never read what is kept of it; never raises."""
        ...

    async def attempt(self, feed: Feed) -> None:
        """Reads one; never raises."""
        ...

    def unkept(self) -> list[Feed]:
        """The sources with something to be kept for the next start."""
        ...

    def keep(self, feed: Feed) -> None:
        """Writes it; never raises."""
        ...


class Worker:
    """Runs until `stop`, or until its owner is gone."""

    def __init__(self, owner: Owner) -> None:
        self._owner = weakref.ref(owner)
        self._fetches: dict[Feed, asyncio.Task[None]] = {}
        self._reading: Feed | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._wake = asyncio.Event()
        self._is_stopping = False
        self._next_keeping = 0.0
        self._thread = threading.Thread(target=self._run, name="mtlskit-revocation", daemon=True)
        self._thread.start()

    @property
    def is_alive(self) -> bool:
        """Whether it works in this process: in the child of a fork it does not."""
        return self._thread.is_alive()

    def is_busy_with(self, feed: Feed) -> bool:
        """Whether the source is being read."""
        return feed is self._reading or feed in self._fetches

    def wake(self) -> None:
        """Something is due. From any thread."""
        loop = self._loop
        if loop is not None:
            with contextlib.suppress(RuntimeError):  # it has ended meanwhile
                loop.call_soon_threadsafe(self._wake.set)

    def stop(self) -> None:
        """Ends the thread, in the middle of a fetch if need be. Idempotent."""
        self._is_stopping = True
        self.wake()
        if self._thread is not threading.current_thread() and self._thread.is_alive():
            self._thread.join(_JOIN_SECONDS)

    def _run(self) -> None:
        asyncio.run(self._main())

    async def _main(self) -> None:
        self._loop = asyncio.get_running_loop()
        slots = asyncio.Semaphore(_MOST_FETCHES)
        try:
            while not self._is_stopping:
                self._wake.clear()
                owner = self._owner()
                if owner is None:
                    return
                pause = await self._turn(owner, slots)
                del owner
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(pause):
                        await self._wake.wait()
        finally:
            await self._cancel()
            owner = self._owner()
            if owner is not None:
                await self._keep(owner)

    async def _turn(self, owner: Owner, slots: asyncio.Semaphore) -> float:
        due, pause = owner.due(self._fetches.keys())
        await self._recall(owner, due)
        for feed in due:
            if isinstance(feed.source, WebSource):
                self._fetch(owner, feed, slots)
        near = [feed for feed in due if not isinstance(feed.source, WebSource)]
        for feed in near:
            if not self._is_stopping:
                self._reading = feed
                await owner.attempt(feed)
                self._reading = None
        if time.monotonic() >= self._next_keeping:
            await self._keep(owner)
        return 0.0 if near else min(pause, _LONGEST_SLEEP_SECONDS)

    # All of them before the first fetch begins, whose time would run out meanwhile.
    async def _recall(self, owner: Owner, due: list[Feed]) -> None:
        for feed in due:
            if not feed.attempts and not self._is_stopping:
                owner.recall(feed)
                await asyncio.sleep(0)  # so that the fetches go on: a disk may be slow

    async def _keep(self, owner: Owner) -> None:
        for feed in owner.unkept():
            owner.keep(feed)
            await asyncio.sleep(0)
        self._next_keeping = time.monotonic() + _KEEP_SECONDS

    def _fetch(self, owner: Owner, feed: Feed, slots: asyncio.Semaphore) -> None:
        task = self._fetches[feed] = asyncio.create_task(_fetched(owner, feed, slots))
        task.add_done_callback(lambda _task: self._done(feed))

    def _done(self, feed: Feed) -> None:
        self._fetches.pop(feed, None)
        self._wake.set()

    async def _cancel(self) -> None:
        tasks = list(self._fetches.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _fetched(owner: Owner, feed: Feed, slots: asyncio.Semaphore) -> None:
    async with slots:
        await owner.attempt(feed)
