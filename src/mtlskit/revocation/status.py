"""What a source says of itself: for people, and for whoever watches the age of lists."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum


class ListStanding(StrEnum):
    """Whether a source has a list that may count now."""

    WAITING = "waiting"  # none was ever read
    GOOD = "good"  # in date; whether its signature is right is judged for each hostname
    STALE = "stale"  # past its nextUpdate, or without one


@dataclass(frozen=True, slots=True, kw_only=True)
class ListStatus:
    """One source at one moment. Moments are UTC-aware; `this_update` and `next_update` are as the list states them.

    `age` is the time since the source last gave a good list, changed or not. `error` is why it did not the last time
    (empty where it did); then the last good list stays. `is_kept`: the list is what an earlier run kept (`keep_in`), of
    which `last_success` and `age` tell; the source has given nothing since the start. None stands for what is not known
    or will not happen.
    """

    source: str
    standing: ListStanding
    number: int | None = None
    entries: int | None = None
    octets: int | None = None
    this_update: datetime | None = None
    next_update: datetime | None = None
    last_success: datetime | None = None
    age: timedelta | None = None
    failures: int = 0
    error: str = ""
    next_attempt: datetime | None = None
    is_kept: bool = False

    def __str__(self) -> str:
        said = [f"{self.source}: {self.standing.value}"]
        if self.this_update is not None:
            said.append("no number" if self.number is None else f"number {self.number}")
            said.append(f"nextUpdate {'none' if self.next_update is None else self.next_update.isoformat()}")
        if self.age is not None:
            said.append(f"read {self.age.total_seconds():.0f} s ago{' by an earlier run' if self.is_kept else ''}")
        return ", ".join([*said, *([self.error] if self.error else [])])
