"""A length of time is told as it is read."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtlskit.core.durations import in_units, read_time


@pytest.mark.parametrize(("duration", "text"), [
    (timedelta(seconds=1), "1s"), (timedelta(days=3650), "3650d"), (timedelta(minutes=90), "90m"),
    (timedelta(hours=36), "36h"), (timedelta(hours=24), "1d"), (timedelta(0), "0s"), (timedelta(seconds=-5), "-5s"),
    (timedelta(days=-1), "-1d"), (timedelta(milliseconds=500), "0.5s"), (timedelta(days=1, microseconds=7), "86400.000007s"),
])  # fmt: skip
def test_a_length_of_time_is_in_its_largest_unit(duration: timedelta, text: str) -> None:
    assert in_units(duration) == text


@given(st.integers(1, 10**8))
def test_what_is_told_can_be_written_on_the_command_line(seconds: int) -> None:
    duration = timedelta(seconds=seconds)
    text = in_units(duration)
    if len(text) <= 15:  # fourteen digits and a unit
        assert read_time(text) == duration
