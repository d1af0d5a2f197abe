"""How a length of time and a moment are written by people and for them."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Final

from mtlskit.errors import ConfigurationError

_LARGEST: Final = (("d", timedelta(days=1)), ("h", timedelta(hours=1)), ("m", timedelta(minutes=1)))
_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_TIME: Final = re.compile(r"([0-9]{1,14})([smhdw])", re.ASCII)
# RFC 3339, 5.6: a date, a time and an offset, none of them left out.
_RFC3339: Final = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)", re.ASCII)


def in_units(duration: timedelta) -> str:
    """`90d`, `12h`, `90m`, `45s`: in the largest unit of which it is a whole number; parts of seconds as `0.5s`."""
    for unit, length in _LARGEST:
        if duration and not duration % length:
            return f"{duration // length}{unit}"
    return f"{duration.total_seconds():.6f}".rstrip("0").rstrip(".") + "s"


def read_time(text: str) -> timedelta:
    """A whole number and its unit, as in `30d`, `12h`, `90m`, `45s`, `2w`; raises ConfigurationError."""
    found = _TIME.fullmatch(text)
    try:
        if found is not None and int(found[1]):
            return timedelta(**{_UNITS[found[2]]: int(found[1])})
    except OverflowError:
        pass
    raise ConfigurationError(f"expected a time as '30d', '12h', '90m', '45s' or '2w', got {text!r:.80}")


def read_moment(text: str) -> datetime:
    """The moment in UTC that an RFC 3339 text says; raises ConfigurationError."""
    try:
        if _RFC3339.fullmatch(text):
            return datetime.fromisoformat(text.upper()).astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise ConfigurationError(f"expected a moment as 2026-03-01T12:00:00Z (RFC 3339), got {text!r}")
