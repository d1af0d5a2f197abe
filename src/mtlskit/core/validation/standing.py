"""What is known of a certificate's revocation, and from which list or response: values, for verdict and proof."""

from __future__ import annotations

from datetime import datetime
from enum import Enum, StrEnum
from typing import NamedTuple


class Standing(StrEnum):
    """A certificate's revocation status."""

    GOOD = "good"
    REVOKED = "revoked"
    STALE = "stale"  # only lists or responses past their time cover it
    UNKNOWN = "unknown"  # nothing covers it


class StatusKind(StrEnum):
    """The form of what tells a status."""

    LIST = "crl"
    RESPONSE = "ocsp"


class StatusSource(NamedTuple):
    """A list or response that counted: its time as it states it (UTC-aware), and a list's number."""

    kind: StatusKind
    this_update: datetime
    next_update: datetime | None
    number: int | None = None


class Status(NamedTuple):
    """A status; why, if it is one of revocation (by stale data too); until when it holds; and who says so."""

    standing: Standing
    why: str = ""
    until: datetime | None = None
    sources: tuple[StatusSource, ...] = ()


UNKNOWN = Status(Standing.UNKNOWN)


class Currency(Enum):
    """Which lists and responses are asked: those in their time, or those past it too."""

    CURRENT = "current"
    STALE_TOO = "stale_too"

    def counts(self, this_update: datetime, next_update: datetime | None, moment: datetime) -> bool:
        """Whether what holds from `this_update` to `next_update` (both included) is asked at the moment.

        What states no end counts as past it; what is not of this time yet is never asked.
        """
        if self is Currency.STALE_TOO:
            return this_update <= moment
        return next_update is not None and this_update <= moment <= next_update
