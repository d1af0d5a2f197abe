"""When a source is read again, and what a reading may cost. Values; no clock is asked here."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from mtlskit.errors import ConfigurationError

_MOST_DOUBLINGS = 20
_MOST_OCTETS = 64 * 1024 * 1024  # what RevocationList reads


@dataclass(frozen=True, slots=True, kw_only=True)
class ListLimits:
    """What one reading may cost: octets of the list (PEM or DER; at most 64 MiB), and seconds from start to end."""

    octets: int = 16 * 1024 * 1024  # about 400,000 entries
    seconds: float = 10.0

    def __post_init__(self) -> None:
        if not 0 < self.octets <= _MOST_OCTETS:
            raise ConfigurationError(f"expected a limit of 1 to {_MOST_OCTETS} octets, got {self.octets!r}")
        if not self.seconds > 0:
            raise ConfigurationError(f"expected a limit of more than 0 seconds, got {self.seconds!r}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """When sources are read again.

    A distribution point is asked when half of the time to nextUpdate is over, at least `minimum` and at most `maximum`
    after the last time; after a failure, after `retry`, twice as long after each further one up to `longest_retry`.
    `jitter` (0 to 1) is the part of a pause by which it may be shorter, so that a fleet does not ask all at once.
    Files are looked at every `file_interval`, and read where they have changed.
    """

    minimum: timedelta = timedelta(minutes=1)
    maximum: timedelta = timedelta(hours=1)
    retry: timedelta = timedelta(seconds=15)
    longest_retry: timedelta = timedelta(minutes=5)
    file_interval: timedelta = timedelta(seconds=2)
    jitter: float = 0.1

    def __post_init__(self) -> None:
        if not timedelta(0) < self.minimum <= self.maximum or not timedelta(0) < self.retry <= self.longest_retry:
            raise ConfigurationError("expected intervals above zero, each minimum not above its maximum")
        if self.file_interval <= timedelta(0) or not 0 <= self.jitter <= 1:
            raise ConfigurationError("expected a file interval above zero and a jitter from 0 to 1")

    def after_success(self, remaining: timedelta | None, chance: float) -> timedelta:
        """The pause where `remaining` is the time to nextUpdate; `chance` is a random number from 0 to 1."""
        half = self.maximum if remaining is None else remaining / 2
        return max(self.minimum, self._earlier(min(max(half, self.minimum), self.maximum), chance))

    def after_failure(self, failures: int, chance: float) -> timedelta:
        """The pause after so many failures in a row (1 or more)."""
        pause = self.retry * 2 ** min(failures - 1, _MOST_DOUBLINGS)
        return self._earlier(min(pause, self.longest_retry), chance)

    def _earlier(self, pause: timedelta, chance: float) -> timedelta:
        return pause * (1 - self.jitter * chance)
