"""What is known of a request: paths with one reading, addresses, moments; and the rules that hang on time."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtlskit.core import rules
from mtlskit.core.certificates import ClientIdentity
from mtlskit.core.policy import AccessPolicy, evaluate
from mtlskit.core.request import RequestFacts, plain_path, readable_path
from mtlskit.errors import ConfigurationError, InvalidName
from mtlskit.testing.certificates import Authority

ROOT = Authority.root()
CLIENT = ClientIdentity.of(ROOT.leaf("device-17").certificate, hostname="pay.acme.example", anchor_id="acme")


def is_let_in(rule: rules.Rule, facts: RequestFacts) -> bool:
    return evaluate([AccessPolicy(decision="allow", include=[rule])], CLIENT, facts).allowed


def is_kept_out(rule: rules.Rule, facts: RequestFacts) -> bool:
    policy = AccessPolicy(decision="allow", include=[rules.everyone()], exclude=[rule])
    return not evaluate([policy], CLIENT, facts).allowed


@pytest.mark.parametrize(
    ("raw", "path"),
    [("/", "/"), ("/a", "/a"), ("/a/", "/a/"), ("/%61%C3%A4", "/aä"), ("/.well-known/x", "/.well-known/x"),
     ("/a%20b", "/a b"), ("/..a/b..", "/..a/b..")],
)  # fmt: skip
def test_a_path_with_one_reading_is_decoded(raw: str, path: str) -> None:
    assert readable_path(raw) == path


DOUBTFUL = (
    "", "*", "a", "//", "//a", "/a//b", "/./a", "/a/.", "/..", "/a/../b", "/%2e%2e/b", "/a/%2E", "/a%2fb", "/a%2Fb", "/a\\b", "/a;b=c", "/a%3fb", "/a#b",
    "/a%5cb", "/a%00", "/a\n", "/%zz", "/a%", "/a%2", "/%252e", "/%ff", "/a%C0%AF", "/\u202e", "http://a.example/", "/" + "a" * 8192,
)  # fmt: skip


@pytest.mark.invariant(9)
@pytest.mark.parametrize("raw", DOUBTFUL)
def test_a_path_with_more_than_one_reading_has_none(raw: str) -> None:
    assert readable_path(raw) is None
    facts = RequestFacts.of(path=raw)
    for rule in (rules.path(prefix="/"), rules.path("/a"), rules.not_(rules.path(prefix="/admin"))):
        assert not is_let_in(rule, facts)
        assert is_kept_out(rule, facts)


@given(st.text(alphabet="/.%2ef5cC\\aä;", max_size=12))
def test_a_path_that_is_read_has_neither_dots_nor_empty_segments(raw: str) -> None:
    path = readable_path(raw)
    if path is not None:
        assert plain_path(path) == path
        assert not {"", ".", ".."} & set(path[1:].split("/")[:-1])
        assert "\\" not in path
        assert path[0] == "/"


@pytest.mark.parametrize(("given", "known"), [
    ("192.0.2.1", "192.0.2.1"), ("::ffff:192.0.2.1", "192.0.2.1"), ("2001:db8::1", "2001:db8::1"), ("fe80::1%eth0", "None"),
])  # fmt: skip
def test_a_client_address_is_the_clients(given: str, known: str) -> None:
    assert str(RequestFacts.of(client_address=given).client_address) == known


@pytest.mark.parametrize("wrong", [
    {"client_address": "localhost"}, {"hostname": "192.0.2.1"}, {"at": datetime(2026, 1, 1)},
])  # fmt: skip
def test_facts_that_are_none_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises((ValueError, InvalidName)):
        RequestFacts.of(**wrong)


@pytest.mark.invariant(9)
@pytest.mark.parametrize("rule", [
    rules.method("GET"), rules.path("/"), rules.hostname("a.example"), rules.client_address("0.0.0.0/0"),
    rules.time_window(days=["mon", "tue", "wed", "thu", "fri", "sat"]), rules.remaining(at_least=timedelta(seconds=1)),
])  # fmt: skip
def test_what_is_not_known_lets_nobody_in_and_shuts_out(rule: rules.Rule) -> None:
    assert not is_let_in(rule, RequestFacts())
    assert not is_let_in(rules.not_(rule), RequestFacts())
    assert is_kept_out(rule, RequestFacts())


def at(text: str) -> RequestFacts:
    return RequestFacts(at=datetime.fromisoformat(text).replace(tzinfo=UTC))


# 2026-03-02 is a Monday. In Berlin the clock goes forward on 2026-03-29 and back on 2026-10-25.
WINDOWS: list[tuple[dict[str, Any], list[str], list[str]]] = [
    (
        {"start": time(8), "end": time(18)},
        ["2026-03-02T08:00", "2026-03-02T17:59:59.999999", "2026-03-08T12:00"],
        ["2026-03-02T07:59:59.999999", "2026-03-02T18:00", "2026-03-02T00:00"],
    ),
    (
        {"start": time(22), "end": time(6), "days": ["mon"]},
        ["2026-03-02T22:00", "2026-03-03T05:59", "2026-03-02T23:59"],
        ["2026-03-02T05:59", "2026-03-03T06:00", "2026-03-03T22:00", "2026-03-02T12:00"],
    ),
    ({"start": time(0), "end": time(0)}, ["2026-03-02T00:00", "2026-03-02T23:59:59"], []),
    (
        {"start": time(8), "end": time(18), "timezone": "Europe/Berlin"},
        ["2026-03-02T07:00", "2026-03-30T06:00", "2026-10-26T16:59"],
        ["2026-03-02T17:00", "2026-03-30T16:00", "2026-03-30T05:59", "2026-10-26T17:00"],
    ),
    ({"days": ["sat", "sun"], "timezone": "Pacific/Auckland"}, ["2026-03-06T12:00"], ["2026-03-02T12:00"]),
    (
        {"since": datetime(2026, 3, 1, tzinfo=UTC), "until": datetime(2026, 4, 1, tzinfo=UTC)},
        ["2026-03-01T00:00", "2026-03-31T23:59:59"],
        ["2026-02-28T23:59:59", "2026-04-01T00:00"],
    ),
    (
        {"since": datetime(2026, 3, 1, tzinfo=timezone(timedelta(hours=2))), "start": time(8), "end": time(9)},
        ["2026-03-01T08:30"],
        ["2026-02-28T08:30", "2026-03-01T09:30"],
    ),
]


@pytest.mark.parametrize(("window", "inside", "outside"), WINDOWS)
def test_a_time_window_is_open_from_its_start_until_before_its_end(
    window: dict[str, Any], inside: list[str], outside: list[str]
) -> None:
    rule = rules.time_window(**window)

    for moment, is_inside in [*((each, True) for each in inside), *((each, False) for each in outside)]:
        assert is_let_in(rule, at(moment)) is is_inside, moment
        assert is_kept_out(rule, at(moment)) is is_inside, moment


def test_windows_of_the_same_moments_are_equal_in_whatever_zone_they_are_written() -> None:
    berlin = datetime(2026, 3, 1, 1, tzinfo=timezone(timedelta(hours=1)))
    assert rules.time_window(since=berlin) == rules.time_window(since=datetime(2026, 3, 1, tzinfo=UTC))


@pytest.mark.parametrize("wrong", [
    {}, {"start": time(8)}, {"end": time(8)}, {"start": "08:00", "end": "09:00"}, {"start": time(8, tzinfo=UTC), "end": time(9)},
    {"days": []}, {"days": ["monday"]}, {"days": "mon"}, {"timezone": "Mars/Olympus", "days": ["mon"]}, {"timezone": "../etc/passwd", "days": ["mon"]},
    {"since": datetime(2026, 1, 1)}, {"since": "2026-01-01T00:00:00Z"},
    {"since": datetime(2026, 2, 1, tzinfo=UTC), "until": datetime(2026, 1, 1, tzinfo=UTC)},
])  # fmt: skip
def test_a_window_that_is_none_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match="expected "):
        rules.time_window(**wrong)


def test_what_remains_of_a_life_shrinks() -> None:
    end = CLIENT.not_after
    rule = rules.remaining(at_least=timedelta(hours=1), at_most=timedelta(hours=2))

    for hours, is_inside in ((0, False), (0.99, False), (1, True), (1.5, True), (2, True), (2.01, False), (-1, False)):
        assert is_let_in(rule, RequestFacts(at=end - timedelta(hours=hours))) is is_inside, hours


def test_a_life_is_measured_from_end_to_end() -> None:
    life = CLIENT.not_after - CLIENT.not_before

    assert is_let_in(rules.lifetime(at_least=life, at_most=life), RequestFacts())
    assert not is_let_in(rules.lifetime(at_most=life - timedelta(seconds=1)), RequestFacts())
