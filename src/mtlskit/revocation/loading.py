"""One attempt at one source: read, judge as far as a source can be judged, swap, and say when to come back."""

from __future__ import annotations

import logging
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from random import SystemRandom
from typing import assert_never

from mtlskit.errors import MTLSError
from mtlskit.revocation.feed import Feed, FeedState, kept_state, utc_now
from mtlskit.revocation.files import imprint_of, read_file
from mtlskit.revocation.keeping import Keeping
from mtlskit.revocation.reading import as_der, check_size, read_list
from mtlskit.revocation.schedule import ListLimits, Schedule
from mtlskit.revocation.sources import FileSource, GivenList, ListSource, WebSource

_LOGGER = logging.getLogger("mtlskit.revocation")
_chance = SystemRandom().random


@dataclass(frozen=True, slots=True, kw_only=True)
class Loader:
    """How sources are read. `swapped` is called, in the reading thread, after a list has taken its place."""

    schedule: Schedule
    limits: ListLimits
    tolerance: timedelta
    tls: ssl.SSLContext | None = field(repr=False)
    keeping: Keeping | None = field(repr=False)
    swapped: Callable[[ListSource], None] = field(repr=False)

    def recall(self, feed: Feed) -> None:
        """Gives a source that was never read the list that an earlier run kept of it; never raises."""
        if self.keeping is None or feed.attempts:
            return
        try:
            kept = self.keeping.recalled(feed)
        except Exception:  # as in `attempt`
            _LOGGER.exception("a kept revocation list could not be read")
            return
        if kept is not None:
            feed.state = kept_state(kept.listed, kept.moment)
            _LOGGER.info("a kept revocation list was loaded", extra={"mtlskit": {"source": str(feed.source)}})
            self.swapped(feed.source)

    def is_to_be_kept(self, feed: Feed) -> bool:
        """Whether the source has a list for the next start that is not written yet."""
        return self.keeping is not None and self.keeping.wants(feed, feed.state)

    def keep(self, feed: Feed, state: FeedState) -> None:
        """Writes the list of that state of the source, if it is to be kept; never raises."""
        if self.keeping is None:
            return
        try:
            self.keeping.keep(feed, state)
        except Exception:  # as in `attempt`
            _LOGGER.exception("a revocation list could not be kept")

    async def attempt(self, feed: Feed) -> None:
        """Reads the source; never raises. What was good before stays where nothing better comes."""
        feed.wanted_now, wanted = False, feed.wanted_now
        before = feed.state
        try:
            after = await self._read(feed, wanted)
        except MTLSError as error:
            after = before.failed(str(error))
        except Exception as error:  # whatever fails here must not end the thread that reads all the others
            _LOGGER.exception("a revocation list could not be loaded")
            after = before.failed(f"expected a revocation list, got {type(error).__name__}")
        self._settle(feed, before, after)

    async def _read(self, feed: Feed, wanted: bool) -> FeedState:
        match feed.source:
            case FileSource(path):
                if not wanted and self._is_as_it_was(feed, path):
                    return feed.state if feed.state.error else feed.state.still_good(utc_now())
                feed.imprint, feed.reread = None, 0.0
                data, feed.imprint = read_file(path, self.limits)
                return self._taken(feed.state, data)
            case WebSource():
                from mtlskit.revocation.http import fetch  # needs an extra

                return self._taken(feed.state, await fetch(feed.source, self.limits, self.tls))
            case GivenList(der):
                return self._taken(feed.state, der)
            case _:
                assert_never(feed.source)

    def _is_as_it_was(self, feed: Feed, path: str) -> bool:
        return feed.imprint is not None and time.monotonic() < feed.reread and imprint_of(path) == feed.imprint

    def _taken(self, state: FeedState, data: bytes) -> FeedState:
        check_size(len(data), self.limits)
        der = as_der(data)
        if state.good is not None and der == state.good.der:
            return state.still_good(utc_now())
        return state.with_list(read_list(der, self.limits, self.tolerance), utc_now())

    def _settle(self, feed: Feed, before: FeedState, after: FeedState) -> None:
        feed.state = after
        self._come_back(feed, after)
        if after.good is not before.good:
            _LOGGER.info("a revocation list was loaded", extra={"mtlskit": {"source": str(feed.source)}})
            self.swapped(feed.source)
        elif after.failures == 1 and before.failures == 0:
            told = {"source": str(feed.source), "error": after.error}
            _LOGGER.warning("a revocation list could not be loaded: the last good one stays", extra={"mtlskit": told})
        self.keep(feed, before)  # it may have been found authentic since the last look, and will not be seen again
        feed.attempts += 1

    def _come_back(self, feed: Feed, state: FeedState) -> None:
        if state.error:
            pause = self.schedule.after_failure(max(1, state.failures), _chance())
        else:
            ends = None if state.good is None else state.good.next_update
            pause = self.schedule.after_success(None if ends is None else ends - utc_now(), _chance())
        now = time.monotonic()
        if isinstance(feed.source, FileSource):
            feed.reread = feed.reread or now + pause.total_seconds()
            pause = self.schedule.file_interval
        feed.due = now + pause.total_seconds()
