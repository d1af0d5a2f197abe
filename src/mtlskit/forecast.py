"""The expiry forecast: what of a whole store stops working, when, and what then happens."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import chain
from typing import Any, TypeVar

from mtlskit.authority import endings as of_authorities
from mtlskit.endings import CertificatesEnding, Ending
from mtlskit.errors import ConfigurationError
from mtlskit.fetch import endings as of_uploads
from mtlskit.gate import endings as of_hostnames
from mtlskit.ports import Store

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """What ends until `until` (UTC-aware), the soonest first; `left_out` more come after them.

    `certificates` counts, for each authority, the end-entity certificates that end and were not renewed;
    `authorities_left_out` more authorities have some.
    """

    now: datetime
    until: datetime
    endings: tuple[Ending, ...]
    left_out: int
    certificates: tuple[CertificatesEnding, ...]
    authorities_left_out: int

    def __bool__(self) -> bool:
        return bool(self.endings or self.certificates)


def forecast(store: Store, *, now: datetime, within: timedelta, most: int = 1_000) -> Forecast:
    """What ends within that time from `now` (UTC-aware), and what has ended already and is still in use.

    Of a store of any size, at most `most` are named, and memory stays bounded. Opens no key. Raises
    ConfigurationError for a moment without a zone, StoreError for records that cannot be read, Unavailable.
    """
    if now.tzinfo is None:
        raise ConfigurationError(f"expected a moment with its zone, got {now!r}")
    until = now + within
    ending = (each for each in _all(store, now) if each.ends_at <= until)
    endings, left_out = _soonest(ending, most, lambda each: (each.ends_at, each.what, each.name, each.subject))
    counted = of_authorities.certificates_ending(store, now=now, until=until)
    certificates, authorities_left_out = _soonest(counted, most, lambda each: (each.first, each.authority))
    return Forecast(
        now=now, until=until, endings=endings, left_out=left_out, certificates=certificates,
        authorities_left_out=authorities_left_out,
    )  # fmt: skip


def _all(store: Store, now: datetime) -> Iterator[Ending]:
    return chain(
        of_hostnames.endings(store, now=now), of_authorities.endings(store, now=now), of_uploads.endings(store)
    )


def _soonest(found: Iterable[_T], most: int, order: Callable[[_T], Any]) -> tuple[tuple[_T, ...], int]:
    """The first `most` in that order, and how many more there are; keeps no others in memory."""
    number = 0

    def counted() -> Iterator[_T]:
        nonlocal number
        for each in found:
            number += 1
            yield each

    first = heapq.nsmallest(most, counted(), key=order)
    return tuple(first), number - len(first)
