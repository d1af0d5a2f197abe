"""When a source is read again."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from mtlskit.errors import ConfigurationError
from mtlskit.revocation import ListLimits, Schedule

MINUTES = [timedelta(minutes=number) for number in range(121)]
SCHEDULE = Schedule(minimum=MINUTES[1], maximum=MINUTES[60], retry=MINUTES[1], longest_retry=MINUTES[5], jitter=0.0)


@pytest.mark.parametrize(
    ("remaining", "pause"),
    [(MINUTES[40], 20), (timedelta(days=7), 60), (MINUTES[1], 1), (-MINUTES[5], 1), (None, 60)],
    ids=["half of what is left", "at most", "at least", "when it is over", "without an end"],
)
def test_the_pause_after_a_success(remaining: timedelta | None, pause: int) -> None:
    assert SCHEDULE.after_success(remaining, 0.5) == MINUTES[pause]


def test_the_pause_after_failures_doubles_up_to_a_limit() -> None:
    assert [SCHEDULE.after_failure(failures, 0.5) for failures in (1, 2, 3, 4, 1000)] == [
        MINUTES[minutes] for minutes in (1, 2, 4, 5, 5)
    ]


@given(some.timedeltas(), some.integers(1, 10**9), some.floats(0, 1))
def test_no_pause_is_outside_of_the_limits(remaining: timedelta, failures: int, chance: float) -> None:
    schedule = Schedule()
    assert schedule.minimum <= schedule.after_success(remaining, chance) <= schedule.maximum
    assert schedule.retry * (1 - schedule.jitter) <= schedule.after_failure(failures, chance) <= schedule.longest_retry


def test_a_fleet_does_not_ask_all_at_once() -> None:
    pauses = {Schedule().after_success(timedelta(days=7), chance / 10) for chance in range(10)}
    assert len(pauses) == 10


@pytest.mark.parametrize(
    "settings",
    [
        {"minimum": timedelta(0)},
        {"minimum": timedelta(hours=2)},
        {"retry": timedelta(0)},
        {"retry": timedelta(hours=1)},
        {"file_interval": timedelta(0)},
        {"jitter": 1.5},
    ],
    ids=str,
)
def test_a_schedule_that_makes_no_sense_is_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        Schedule(**settings)


@pytest.mark.parametrize("settings", [{"octets": 0}, {"octets": 1 << 40}, {"seconds": 0}], ids=str)
def test_limits_that_make_no_sense_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        ListLimits(**settings)
