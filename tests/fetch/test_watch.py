"""Whoever has a binding is told in time that its certificate ends: once for each urgency."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from mtlskit.core.certificates import SigningChain
from mtlskit.errors import FetchError
from mtlskit.fetch import Environment, Urgency
from mtlskit.fetch.watch import ending_of
from mtlskit.testing.certificates import Authority

ROOT = Authority.root()
START = datetime(2026, 1, 1, tzinfo=UTC)
NOW = datetime.now(UTC).replace(microsecond=0)


def leaf(days: float, start: datetime = START, name: str = "device") -> SigningChain:
    return ROOT.leaf(name, not_before=start, not_after=start + timedelta(days=days))


@pytest.mark.parametrize(
    ("life", "left", "urgency"),
    [
        (365, 31, "none"), (365, 30, "month"), (365, 14.01, "month"), (365, 14, "fortnight"), (365, 7, "week"),
        (365, 0, "week"), (365, -0.01, "ended"), (61, 30, "month"), (60, 30, "none"), (60, 15, "month"),
        (12, 3.01, "none"), (12, 3, "month"), (12, 2, "fortnight"), (12, 1, "week"), (1, 0.3, "none"),
    ],
)  # fmt: skip
def test_it_is_more_urgent_the_less_is_left(life: float, left: float, urgency: str) -> None:
    certificate = leaf(life).certificate
    ending = ending_of("A", certificate, certificate.not_valid_after_utc - timedelta(days=left))

    assert ending.urgency is Urgency(urgency)
    assert (ending.binding, ending.serial_number) == ("A", certificate.serial_number)


class Source:
    def __init__(self, chain: SigningChain) -> None:
        self.chain = chain

    def current(self) -> SigningChain:
        return self.chain


def test_each_urgency_is_told_once_to_the_log_and_to_subscribers(caplog: pytest.LogCaptureFixture) -> None:
    source, now = Source(leaf(365)), [START + timedelta(days=1)]
    told: list[Any] = []

    def broken(_: Any) -> None:
        raise RuntimeError("a fault")

    with Environment({"A": source}, clock=lambda: now[0]) as env:
        env.subscribe(broken)
        end = env.subscribe(told.append)

        def call(days_left: float) -> None:
            now[0] = source.chain.certificate.not_valid_after_utc - timedelta(days=days_left)
            with pytest.raises(Exception):  # noqa: B017 - nobody listens there, or it has ended
                env.A.fetch("https://localhost:1/")

        for days in (100, 29, 28, 13, 12, 6, 5, -1, -2):
            call(days)
        assert [each.urgency.value for each in told] == ["month", "fortnight", "week", "ended"]
        assert [each.days_left for each in told] == [29, 13, 6, -1]
        levels = [record.levelno for record in caplog.records if "is good until" in record.getMessage()]
        assert levels == [logging.WARNING, logging.ERROR, logging.ERROR]  # information is not captured here
        source.chain = leaf(365, START + timedelta(days=365))
        call(20)
        assert told[-1].serial_number == source.chain.serial_number
        end()
        call(5)
        assert len(told) == 5


def test_all_bindings_are_told_the_soonest_first() -> None:
    env = Environment({"A": leaf(20, NOW), "B": leaf(10, NOW), "C": leaf(400, NOW)}, clock=lambda: NOW)

    assert [(each.binding, each.days_left) for each in env.endings()] == [("B", 10), ("A", 20), ("C", 400)]


def test_an_error_of_the_network_is_not_in_the_way(caplog: pytest.LogCaptureFixture) -> None:
    with Environment({"A": leaf(365, NOW - timedelta(days=363))}) as env, pytest.raises(FetchError):
        env.A.fetch("https://localhost:1/")
    assert "is good until" in caplog.text
