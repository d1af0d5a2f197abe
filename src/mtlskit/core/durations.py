"""How a length of time is written for people: in the notation that the command line reads."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

_UNITS: Final = (("d", timedelta(days=1)), ("h", timedelta(hours=1)), ("m", timedelta(minutes=1)))


def in_units(duration: timedelta) -> str:
    """`90d`, `12h`, `90m`, `45s`: in the largest unit of which it is a whole number; parts of seconds as `0.5s`."""
    for unit, length in _UNITS:
        if duration and not duration % length:
            return f"{duration // length}{unit}"
    return f"{duration.total_seconds():.6f}".rstrip("0").rstrip(".") + "s"
