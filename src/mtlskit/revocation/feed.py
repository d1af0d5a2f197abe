"""One source with what was read from it. What a reader sees is one immutable state, replaced in one assignment.

Only the worker's thread writes (`worker.py`); anybody reads, without a lock.
"""

from __future__ import annotations

import time
import weakref
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from mtlskit.revocation.files import Imprint
from mtlskit.revocation.reading import LoadedList, check_date, check_order
from mtlskit.revocation.sources import ListSource
from mtlskit.revocation.status import ListStanding, ListStatus


@dataclass(frozen=True, slots=True)
class FeedState:
    """What a source has given. `fallback` is the last list that was found authentic, while `good` is not yet.

    `is_kept`: `good` is what an earlier run kept, and the source has not given anything yet.
    """

    good: LoadedList | None = None
    fallback: LoadedList | None = None
    last_success: datetime | None = None
    failures: int = 0
    error: str = ""
    is_kept: bool = False

    def lists(self, now: datetime) -> tuple[LoadedList, ...]:
        """What may be asked at this moment."""
        good, fallback = self.good, self.fallback
        if good is None:
            return ()
        if fallback is None or fallback is good or good.is_confirmed:
            return (good,)
        # A good list that has run out must not hand over to one that it has replaced.
        if good.next_update is None or now > good.next_update:
            return (good,)
        return (good, fallback)

    def with_list(self, listed: LoadedList, now: datetime) -> FeedState:
        """The state with a newer list in place; raises CertificateError for one that must not take it."""
        check_date(listed, now)
        authentic = self.good if self.good is not None and self.good.is_confirmed else self.fallback
        for before in (self.good, authentic):
            # What was kept was found authentic before the start: that nobody could confirm it since proves nothing.
            if before is not None and (before is authentic or not before.is_disowned):
                check_order(listed, before)
        return FeedState(good=listed, fallback=authentic, last_success=now)

    def still_good(self, now: datetime) -> FeedState:
        """The state after the source has given the same again."""
        confirmed = self.good is not None and self.good.is_confirmed
        fallback = None if confirmed else self.fallback
        return replace(self, fallback=fallback, last_success=now, failures=0, error="", is_kept=False)

    def failed(self, error: str) -> FeedState:
        """The state after a reading that gave nothing: what was good stays."""
        return replace(self, failures=self.failures + 1, error=error)


def kept_state(listed: LoadedList, moment: datetime) -> FeedState:
    """What a source begins with that gave this list at that moment, before a restart. It was found authentic then."""
    return FeedState(good=listed, fallback=listed, last_success=moment, is_kept=True)


class Feed:
    """A source, its state, and who uses it."""

    __slots__ = (
        "__weakref__", "attempts", "due", "idle_since", "imprint", "reread", "source", "state", "users",
        "wanted_now",
    )  # fmt: skip

    def __init__(self, source: ListSource) -> None:
        self.source = source
        self.state = FeedState()
        self.attempts = 0
        self.due = 0.0  # by time.monotonic, as the other times here
        self.wanted_now = False
        self.imprint: Imprint | None = None  # of the file as it was when it was read
        self.reread = 0.0  # when a file is read whether it has changed or not
        self.users: weakref.WeakSet[object] = weakref.WeakSet()
        self.idle_since: float | None = None

    def status(self, now: datetime) -> ListStatus:
        """What the source says of itself."""
        pause = timedelta(seconds=max(0.0, self.due - time.monotonic()))
        return status_of(str(self.source), self.state, now, next_attempt=now + pause)


def status_of(source: str, state: FeedState, now: datetime, *, next_attempt: datetime | None) -> ListStatus:
    """The status of a source in that state."""
    good = state.good
    if good is None:
        return ListStatus(
            source=source, standing=ListStanding.WAITING, failures=state.failures, error=state.error,
            next_attempt=next_attempt,
        )  # fmt: skip
    in_date = good.next_update is not None and good.this_update <= now <= good.next_update
    return ListStatus(
        source=source,
        standing=ListStanding.GOOD if in_date else ListStanding.STALE,
        number=good.number,
        entries=good.size,
        octets=len(good.der),
        this_update=good.stated[0],
        next_update=good.stated[1],
        last_success=state.last_success,
        age=None if state.last_success is None else max(timedelta(0), now - state.last_success),
        failures=state.failures,
        error=state.error,
        next_attempt=next_attempt,
        is_kept=state.is_kept,
    )


def utc_now() -> datetime:
    """This moment."""
    return datetime.now(UTC)
