"""How rules are matched: compiled once, then a look-up per selector and form, however many rules there are.

A finder gives the position of a rule that matches, or None. Whatever is unreadable counts as its `Doubt` says.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from ipaddress import IPv4Address, IPv6Address
from typing import Any, Final, TypeAlias, assert_never

from mtlskit.core.certificates import ClientIdentity
from mtlskit.core.doubt import Doubt
from mtlskit.core.expressions import compile_expression
from mtlskit.core.request import RequestFacts
from mtlskit.core.rules.readers import UNREADABLE, certificate_reader, request_reader
from mtlskit.core.rules.selectors import OF_REQUEST, Form, Selector, Value
from mtlskit.core.rules.values import (
    WEEK,
    AllOf,
    AnyOf,
    AnyValidCertificate,
    Everyone,
    InExpression,
    Lasting,
    Lifetime,
    Not,
    Rule,
    RuleGroup,
    Selected,
    TimeWindow,
)

Find: TypeAlias = Callable[[ClientIdentity | None, RequestFacts], int | None]
Predicate: TypeAlias = Callable[[ClientIdentity | None, RequestFacts], bool]
_LookUp: TypeAlias = Callable[[Any], int | None]
_Index: TypeAlias = dict[Value, int]

_DAY: Final = timedelta(days=1)


def finder(rules: Sequence[Rule], doubt: Doubt) -> Find:
    """What finds a rule that matches. Raises whatever goes wrong in a rule: the caller denies (I4)."""
    indexes: dict[tuple[Selector, Form], _Index] = {}
    finders: list[Find] = []
    for position, rule in enumerate(rules):
        if isinstance(rule, Selected):
            index = indexes.setdefault((rule.selector, rule.form), {})
            for value in rule.values:
                index.setdefault(value, position)
        else:
            finders.append(_at(position, predicate(rule, doubt)))
    finders[:0] = [_indexed(selector, form, index, doubt) for (selector, form), index in indexes.items()]
    return finders[0] if len(finders) == 1 else _first_of(tuple(finders))


def predicate(rule: Rule, doubt: Doubt) -> Predicate:
    """Whether the rule matches."""
    match rule:
        case Everyone():
            return lambda identity, facts: True
        case AnyValidCertificate():
            return lambda identity, facts: identity is not None
        case Selected():
            return _found(finder((rule,), doubt))
        case AnyOf(rules):
            return _found(finder(rules, doubt))
        case AllOf(rules):
            return _all(tuple(predicate(each, doubt) for each in rules))
        case Not(negated):
            return _not(predicate(negated, doubt.flipped))
        case RuleGroup():
            return _group(rule, doubt)
        case Lasting():
            return _lasting(rule, doubt)
        case TimeWindow():
            return _time_window(rule, doubt)
        case InExpression(expression):
            return compile_expression(expression, unknown_matches=doubt)
        case _:
            assert_never(rule)


def _indexed(selector: Selector, form: Form, index: _Index, doubt: Doubt) -> Find:
    look_up = _look_up(selector, form, index)
    otherwise = min(index.values()) if doubt is Doubt.MATCH else None
    return _in_request(selector, look_up, otherwise) if selector in OF_REQUEST else _in(selector, look_up, otherwise)


# The two loops are written out: to share them would cost a call for each selector of each request.
def _in(selector: Selector, look_up: _LookUp, otherwise: int | None) -> Find:
    keys_of, name = certificate_reader(selector), selector.value  # an enum's hash is slow

    def find(identity: ClientIdentity | None, facts: RequestFacts) -> int | None:
        if identity is None:
            return None
        keys = identity.read.get(name)
        if keys is None:
            keys = identity.read[name] = keys_of(identity)
        for key in keys:
            found = otherwise if key is UNREADABLE else look_up(key)
            if found is not None:
                return found
        return None

    return find


def _in_request(selector: Selector, look_up: _LookUp, otherwise: int | None) -> Find:
    key_of = request_reader(selector)

    def find(identity: ClientIdentity | None, facts: RequestFacts) -> int | None:
        key = key_of(facts)
        return otherwise if key is UNREADABLE else look_up(key)

    return find


def _look_up(selector: Selector, form: Form, index: _Index) -> _LookUp:
    """One look-up per length of prefix that there is, not one per rule."""
    match form:
        case Form.ONE_OF if selector in (Selector.IP, Selector.CLIENT_ADDRESS):
            return _within(index)
        case Form.ONE_OF:
            return index.get
        case Form.PREFIX:
            return _leading_segments(index) if selector is Selector.PATH else _leading(index)
        case Form.SUFFIX:
            return _trailing_path(index) if selector is Selector.SPIFFE_ID else _trailing(index)
        case _:
            assert_never(form)


def _leading(index: _Index) -> _LookUp:
    lengths = tuple(sorted({len(str(value)) for value in index}))

    def look_up(key: str) -> int | None:
        for length in lengths:
            found = index.get(key[:length])
            if found is not None:
                return found
        return None

    if len(lengths) > 1:
        return look_up
    (only,) = lengths
    return lambda key: index.get(key[:only])


def _leading_segments(index: _Index) -> _LookUp:
    """Of paths: /admin is no prefix of /administrator."""
    lengths = tuple(sorted({len(str(value)) for value in index}))

    def look_up(key: str) -> int | None:
        for length in lengths:
            found = index.get(key[:length])
            if found is not None and (len(key) <= length or "/" in (key[length - 1], key[length])):
                return found
        return None

    return look_up


def _trailing(index: _Index) -> _LookUp:
    lengths = tuple(sorted({len(str(value)) for value in index}))

    def look_up(key: str) -> int | None:
        for length in lengths:
            found = index.get(key[-length:])
            if found is not None:
                return found
        return None

    return look_up


def _trailing_path(index: _Index) -> _LookUp:
    """Of SPIFFE ids: a suffix leaves the trust domain out. It begins with a slash, and only there are two."""
    trailing = _trailing(index)
    return lambda key: trailing(key[key.index("/", len("spiffe://")) :])


def _within(index: _Index) -> _LookUp:
    networks: dict[tuple[int, int, int], int] = {}
    for value, position in index.items():
        assert not isinstance(value, str | int)
        shift = value.max_prefixlen - value.prefixlen
        networks[value.version, shift, int(value.network_address) >> shift] = position
    shifts = {version: tuple(sorted({each[1] for each in networks if each[0] == version})) for version in (4, 6)}

    def look_up(key: IPv4Address | IPv6Address) -> int | None:
        number = int(key)
        for shift in shifts[key.version]:
            found = networks.get((key.version, shift, number >> shift))
            if found is not None:
                return found
        return None

    return look_up


def _first_of(finders: tuple[Find, ...]) -> Find:
    def find(identity: ClientIdentity | None, facts: RequestFacts) -> int | None:
        for each in finders:
            found = each(identity, facts)
            if found is not None:
                return found
        return None

    return find


def _at(position: int, holds: Predicate) -> Find:
    return lambda identity, facts: position if holds(identity, facts) else None


def _found(find: Find) -> Predicate:
    return lambda identity, facts: find(identity, facts) is not None


def _all(predicates: tuple[Predicate, ...]) -> Predicate:
    def holds(identity: ClientIdentity | None, facts: RequestFacts) -> bool:
        for each in predicates:  # noqa: SIM110 - a loop is twice as fast as all() of a generator
            if not each(identity, facts):
                return False
        return True

    return holds


def _not(negated: Predicate) -> Predicate:
    return lambda identity, facts: not negated(identity, facts)


def _group(group: RuleGroup, doubt: Doubt) -> Predicate:
    wanted = _all((_found(finder(group.include, doubt)), *(predicate(each, doubt) for each in group.require)))
    unwanted = finder(group.exclude, doubt.flipped)
    return lambda identity, facts: wanted(identity, facts) and unwanted(identity, facts) is None


def _lasting(rule: Lasting, doubt: Doubt) -> Predicate:
    least, most = rule.at_least or timedelta.min, rule.at_most or timedelta.max
    in_doubt = doubt is Doubt.MATCH

    def holds(identity: ClientIdentity | None, facts: RequestFacts) -> bool:
        if identity is None:
            return False
        since = identity.not_before if rule.lifetime is Lifetime.TOTAL else facts.at
        return in_doubt if since is None else least <= identity.not_after - since <= most

    return holds


def _time_window(window: TimeWindow, doubt: Doubt) -> Predicate:
    zone, in_doubt = window.zone(), doubt is Doubt.MATCH

    def holds(identity: ClientIdentity | None, facts: RequestFacts) -> bool:
        at = facts.at
        if at is None:
            return in_doubt
        return _is_between(window, at) and _is_at_its_time(window, at.astimezone(zone))

    return holds


def _is_between(window: TimeWindow, at: datetime) -> bool:
    return (window.since is None or window.since <= at) and (window.until is None or at < window.until)


def _is_at_its_time(window: TimeWindow, local: datetime) -> bool:
    """Whether the window is open at that wall-clock time: the one of the day, or yesterday's that goes on."""
    clock, today = local.time(), WEEK[local.weekday()]
    if window.start is None or window.end is None:
        return today in window.days
    if window.start < window.end:
        return today in window.days and window.start <= clock < window.end
    yesterday = WEEK[(local - _DAY).weekday()]
    return (today in window.days and clock >= window.start) or (yesterday in window.days and clock < window.end)
