"""The lists that a service uses, kept current: the registry of sources, and what a reader holds of it."""

from __future__ import annotations

import logging
import os
import ssl
import time
from collections.abc import Callable, Collection, Iterable
from datetime import datetime, timedelta
from typing import TypeAlias

from mtlskit.core.validation import RevocationList
from mtlskit.errors import ConfigurationError
from mtlskit.locks import ForkSafeLock
from mtlskit.revocation.feed import Feed, FeedState, status_of, utc_now
from mtlskit.revocation.keeping import Keeping
from mtlskit.revocation.loading import Loader
from mtlskit.revocation.reading import LoadedList
from mtlskit.revocation.schedule import ListLimits, Schedule
from mtlskit.revocation.sources import Given, GivenList, ListSource, source_of
from mtlskit.revocation.status import ListStatus
from mtlskit.revocation.worker import Worker

_LOGGER = logging.getLogger("mtlskit.revocation")
_LOOK_SECONDS = 0.005
_IDLE_SECONDS = 600.0  # a source that nobody uses is read, and its list held, for so long
_MANY_SOURCES = 20_000  # above this, what is idle is forgotten at once

Subscriber: TypeAlias = Callable[[ListSource], None]


class WatchedLists:
    """What one user sees of its sources. They are read for as long as this is held. For any thread."""

    __slots__ = ("__weakref__", "_feeds", "_given")

    def __init__(self, feeds: Iterable[Feed], given: Iterable[tuple[GivenList, LoadedList]] = ()) -> None:
        self._feeds = tuple(feeds)
        self._given = tuple(given)

    def current(self, now: datetime) -> tuple[RevocationList, ...]:
        """The lists to be asked at `now` (UTC-aware): whole ones always, and equal while nothing was swapped."""
        found: list[RevocationList] = [listed for _, listed in self._given]
        for feed in self._feeds:
            found += feed.state.lists(now)
        return tuple(found)

    def status(self) -> tuple[ListStatus, ...]:
        """What each source says of itself now."""
        now = utc_now()
        fixed = (
            status_of(str(source), FeedState(good=listed), now, next_attempt=None) for source, listed in self._given
        )
        return (*fixed, *(feed.status(now) for feed in self._feeds))


class RevocationLists:
    """The sources in use, each with its last good list. May be shared between threads, and survives a fork.

    A list is parsed and indexed in a background thread, which starts when there is a source to be read, once in
    every process. It takes the place of the one before if it holds now and does not go back; then `subscribe`rs
    hear of it. `clock_tolerance` (default: none) lengthens the time of every list at both ends, for clocks that
    differ: a stale list counts for so much longer. `tls` is the context for `https:` sources (default: certifi's
    roots).

    `keep_in` is a directory (made with mode 0700 if missing; ConfigurationError for one that others can write) in which
    the last authentic list of each source outlives the process (default: nothing does). The next one begins with it
    before the source has answered, and takes none that goes back behind it. A list is written within half a minute
    after a verdict has found its signature right, and on `close`. Processes may share the directory.
    """

    def __init__(
        self,
        *,
        schedule: Schedule | None = None,
        limits: ListLimits | None = None,
        clock_tolerance: timedelta = timedelta(0),
        tls: ssl.SSLContext | None = None,
        keep_in: os.PathLike[str] | str | None = None,
    ) -> None:
        if clock_tolerance < timedelta(0):
            raise ConfigurationError(f"expected a clock tolerance of zero or more, got {clock_tolerance}")
        self._tolerance = clock_tolerance
        limits = limits or ListLimits()
        self._loader = Loader(
            schedule=schedule or Schedule(),
            limits=limits,
            tolerance=clock_tolerance,
            tls=tls,
            keeping=None if keep_in is None else Keeping(keep_in, limits=limits, tolerance=clock_tolerance),
            swapped=self._swapped,
        )
        self._feeds: dict[ListSource, Feed] = {}
        self._subscribers: tuple[Subscriber, ...] = ()
        self._worker: Worker | None = None
        self._is_closed = False
        self._lock = ForkSafeLock()

    def watch(self, sources: Iterable[Given]) -> WatchedLists:
        """Reads these sources from now on, for as long as the result is held; does not wait for them.

        Each is as `source_of` takes it. A source that is read already is not read twice, and is there at once.
        """
        wanted = list(dict.fromkeys(map(source_of, sources)))
        given = [
            (source, LoadedList(source.der, self._tolerance)) for source in wanted if isinstance(source, GivenList)
        ]
        with self._lock:
            feeds = [
                self._feeds.setdefault(source, Feed(source)) for source in wanted if not isinstance(source, GivenList)
            ]
            watched = WatchedLists(feeds, given)
            for feed in feeds:
                feed.users.add(watched)
                feed.idle_since = None
        if any(feed.attempts == 0 for feed in feeds):
            self._wake()
        return watched

    def keep_running(self) -> None:
        """Starts the thread where there is work and none runs: at first, and in the child of a fork. Cheap."""
        if self._feeds and (self._worker is None or not self._worker.is_alive):
            self._wake()

    def load(self, timeout: float = 30.0) -> tuple[ListStatus, ...]:
        """Waits until every source has been tried once, at most `timeout` seconds; the status of all.

        For the start of a service. It blocks: in an event loop, call it in a thread.
        """
        untried = [feed for feed in self._all() if feed.attempts == 0]
        return self._waited(lambda: any(feed.attempts == 0 for feed in untried), timeout)

    def refresh(self, timeout: float = 30.0) -> tuple[ListStatus, ...]:
        """Reads every source now, due or not, and waits for it as `load` does."""
        feeds = self._all()
        for feed in feeds:
            feed.wanted_now = True
        return self._waited(lambda: any(map(self._is_pending, feeds)), timeout)

    def status(self) -> tuple[ListStatus, ...]:
        """What each source that is read says of itself now."""
        now = utc_now()
        return tuple(feed.status(now) for feed in self._all())

    def subscribe(self, subscriber: Subscriber) -> Callable[[], None]:
        """Calls `subscriber` with the source, in the reading thread, after a swap; gives the function that ends it."""
        with self._lock:
            self._subscribers = (*self._subscribers, subscriber)

        def unsubscribe() -> None:
            with self._lock:
                self._subscribers = tuple(each for each in self._subscribers if each is not subscriber)

        return unsubscribe

    def close(self) -> None:
        """Stops reading, in the middle of a fetch if need be; the lists stay as they are. Idempotent.

        What is to be kept (`keep_in`) is written before that.
        """
        with self._lock:
            self._is_closed = True
            worker, self._worker = self._worker, None
        if worker is not None:
            worker.stop()

    # The worker's questions.

    def due(self, busy: Collection[Feed]) -> tuple[list[Feed], float]:
        """As `worker.Owner`."""
        now = time.monotonic()
        self._forget_idle(now)
        free = [feed for feed in self._all() if feed not in busy]
        found = [feed for feed in free if feed.wanted_now or feed.due <= now]
        return found, min((feed.due - now for feed in free if feed.due > now), default=_IDLE_SECONDS)

    def recall(self, feed: Feed) -> None:
        """As `worker.Owner`."""
        self._loader.recall(feed)

    async def attempt(self, feed: Feed) -> None:
        """As `worker.Owner`."""
        await self._loader.attempt(feed)

    def unkept(self) -> list[Feed]:
        """As `worker.Owner`."""
        return [feed for feed in self._all() if self._loader.is_to_be_kept(feed)]

    def keep(self, feed: Feed) -> None:
        """As `worker.Owner`."""
        self._loader.keep(feed, feed.state)

    def _all(self) -> list[Feed]:
        with self._lock:
            return list(self._feeds.values())

    def _waited(self, is_pending: Callable[[], bool], timeout: float) -> tuple[ListStatus, ...]:
        if self._feeds:
            self._wake()
        ends = time.monotonic() + timeout
        while is_pending() and time.monotonic() < ends and not self._is_closed:
            time.sleep(_LOOK_SECONDS)
        return self.status()

    def _is_pending(self, feed: Feed) -> bool:
        worker = self._worker
        return feed.wanted_now or (worker is not None and worker.is_busy_with(feed))

    def _wake(self) -> None:
        with self._lock:
            if self._is_closed:
                return
            if self._worker is None or not self._worker.is_alive:
                try:
                    self._worker = Worker(self)
                except RuntimeError:  # no thread to be had now; `keep_running` tries again
                    _LOGGER.exception("the thread that reads revocation lists could not be started")
                    return
            self._worker.wake()

    def _forget_idle(self, now: float) -> None:
        with self._lock:
            patience = 0.0 if len(self._feeds) > _MANY_SOURCES else _IDLE_SECONDS
            for source, feed in list(self._feeds.items()):
                if feed.users:
                    feed.idle_since = None
                elif feed.idle_since is None:
                    feed.idle_since = now
                elif now - feed.idle_since > patience:
                    del self._feeds[source]

    def _swapped(self, source: ListSource) -> None:
        for subscriber in self._subscribers:
            try:
                subscriber(source)
            except Exception:
                _LOGGER.exception("a subscriber of revocation lists failed")
