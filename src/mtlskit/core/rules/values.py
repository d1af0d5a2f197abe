"""The rules of access policies as values: what is looked at, in which form, and how rules are put together.

Two rules that mean the same are equal, in whatever spelling they were written.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from enum import StrEnum
from typing import Any, Final, TypeAlias, get_args
from zoneinfo import ZoneInfo

from mtlskit.core.expressions import Expression
from mtlskit.core.given import member, members, several
from mtlskit.core.rules.selectors import Form, Selector, Value, canonical
from mtlskit.errors import ConfigurationError

_NO_ZONES: Final = frozenset({"localtime", "posixrules", "Factory"})  # another one on each machine
_MOST_RULES: Final = 100_000
_DEEPEST: Final = 32  # rules inside of rules


@dataclass(frozen=True, slots=True)
class Everyone:
    """Matches every request, with or without a certificate."""


@dataclass(frozen=True, slots=True)
class AnyValidCertificate:
    """Matches every client whose certificate was verified for this hostname."""


@dataclass(frozen=True, slots=True)
class Selected:
    """Matches where what `selector` looks at is one of `values`, or begins or ends with the only one of them.

    `values` are canonical, each once, in ascending order. A network matches the addresses in it.
    """

    selector: Selector
    form: Form
    values: tuple[Value, ...]

    def __post_init__(self) -> None:
        """Takes the values in every spelling; raises ConfigurationError or InvalidName."""
        object.__setattr__(self, "selector", member(Selector, self.selector, "selector"))
        object.__setattr__(self, "form", member(Form, self.form, "form"))
        made = {canonical(self.selector, self.form, value) for value in several(self.values, self.selector.value)}
        if not made or (len(made) > 1 and self.form is not Form.ONE_OF):
            wanted = "at least one value" if self.form is Form.ONE_OF else f"one {self.form.value}"
            raise ConfigurationError(f"expected {wanted} of {self.selector.value}, got {len(made)}")
        object.__setattr__(self, "values", tuple(sorted(made, key=_order)))


class Lifetime(StrEnum):
    """Which length of a certificate's life is meant."""

    TOTAL = "lifetime"  # from notBefore to notAfter
    REMAINING = "remaining"  # from the moment of the request to notAfter


@dataclass(frozen=True, slots=True)
class Lasting:
    """Matches where the certificate's life lasts so long. At least one bound is given; both are inclusive."""

    lifetime: Lifetime
    at_least: timedelta | None = None
    at_most: timedelta | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "lifetime", member(Lifetime, self.lifetime, "lifetime"))
        bounds = [bound for bound in (self.at_least, self.at_most) if bound is not None]
        if not bounds or not all(isinstance(bound, timedelta) and bound > timedelta(0) for bound in bounds):
            raise ConfigurationError(f"expected a {self.lifetime.value} as positive timedelta, got {bounds or None!r}")
        if any(bound.microseconds for bound in bounds):
            raise ConfigurationError(f"expected a {self.lifetime.value} in whole seconds, got {bounds!r}")
        if len(bounds) == 2 and bounds[0] > bounds[1]:
            raise ConfigurationError(f"expected at_least before at_most in {self.lifetime.value}, got {bounds!r}")


class Weekday(StrEnum):
    """A day of the week, in the order of `datetime.weekday`."""

    MONDAY = "mon"
    TUESDAY = "tue"
    WEDNESDAY = "wed"
    THURSDAY = "thu"
    FRIDAY = "fri"
    SATURDAY = "sat"
    SUNDAY = "sun"


WEEK: Final = tuple(Weekday)


@dataclass(frozen=True, slots=True)
class TimeWindow:
    """Matches requests between two moments (UTC-aware; `until` is exclusive), at these times of these days, or both.

    `start` and `end` are wall-clock times in `timezone` (a name of the IANA database), `end` exclusive. A window whose
    end is not after its start goes on past midnight and belongs to the day on which it starts.
    """

    since: datetime | None = None
    until: datetime | None = None
    start: time | None = None
    end: time | None = None
    days: tuple[Weekday, ...] = WEEK
    timezone: str = "UTC"

    def __post_init__(self) -> None:
        object.__setattr__(self, "days", tuple(sorted(members(Weekday, self.days, "days"), key=WEEK.index)))
        if (self.start is None) is not (self.end is None):
            raise ConfigurationError("expected both start and end of a time window, got one")
        if self.days == WEEK and not any((self.since, self.until, self.start is not None)):
            raise ConfigurationError("expected a time window with a bound, got none")
        self._check_moments()
        self._check_times()
        self.zone()

    def _check_moments(self) -> None:
        for name in ("since", "until"):
            moment = getattr(self, name)
            if moment is not None and (not isinstance(moment, datetime) or moment.utcoffset() is None):
                raise ConfigurationError(f"expected {name} as a datetime with its time zone, got {moment!r}")
            object.__setattr__(self, name, moment and moment.astimezone(UTC))
        if self.since is not None and self.until is not None and self.since >= self.until:
            raise ConfigurationError(f"expected since before until, got {self.since!r} and {self.until!r}")

    def _check_times(self) -> None:
        if not self.days:
            raise ConfigurationError("expected at least one day in a time window, got none")
        for name in ("start", "end"):
            given = getattr(self, name)
            if given is not None and (not isinstance(given, time) or given.tzinfo is not None):
                raise ConfigurationError(f"expected {name} as a time without a zone, got {given!r}")

    def zone(self) -> ZoneInfo:
        """The time zone; raises ConfigurationError where this machine does not know it."""
        try:
            return ZoneInfo("" if self.timezone in _NO_ZONES else self.timezone)
        except Exception:  # noqa: BLE001 - what it raises depends on the name: KeyError, ValueError, OSError, TypeError
            raise ConfigurationError(
                f"expected a time zone of the IANA database, as 'Europe/Berlin', got {self.timezone!r:.80}"
            ) from None


@dataclass(frozen=True, slots=True)
class AllOf:
    """Matches where every one of the rules does."""

    rules: tuple[Rule, ...]

    def __post_init__(self) -> None:
        _put_rules(self, "rules", "all_of")


@dataclass(frozen=True, slots=True)
class AnyOf:
    """Matches where at least one of the rules does."""

    rules: tuple[Rule, ...]

    def __post_init__(self) -> None:
        _put_rules(self, "rules", "any_of")


@dataclass(frozen=True, slots=True)
class Not:
    """Matches where the rule certainly does not."""

    rule: Rule

    def __post_init__(self) -> None:
        checked_rules((self.rule,), "not_")
        _check_depth(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleGroup:
    """Rules under a name, as Access has them: matches one of `include`, all of `require` and none of `exclude`."""

    include: tuple[Rule, ...]
    require: tuple[Rule, ...] = ()
    exclude: tuple[Rule, ...] = ()
    id: str = ""
    name: str = ""

    def __post_init__(self) -> None:
        _put_rules(self, "include", "include")
        for part in ("require", "exclude"):
            object.__setattr__(self, part, checked_rules(getattr(self, part), part))
        for text in (self.id, self.name):
            if not isinstance(text, str):
                raise ConfigurationError(f"expected id and name of a rule group as text, got {text!r:.80}")
        _check_depth(self)


@dataclass(frozen=True, slots=True)
class InExpression:
    """Matches where a Cloudflare rule expression is true."""

    expression: Expression

    def __post_init__(self) -> None:
        if not isinstance(self.expression, Expression):
            raise ConfigurationError(f"expected an Expression, got {self.expression!r:.80}")


Rule: TypeAlias = (
    Everyone | AnyValidCertificate | Selected | Lasting | TimeWindow | AllOf | AnyOf | Not | RuleGroup | InExpression
)


def inner(rule: Rule) -> tuple[Rule, ...]:
    """The rules that it is put together of."""
    match rule:
        case AllOf(rules) | AnyOf(rules):
            return rules
        case Not(one):
            return (one,)
        case RuleGroup():
            return (*rule.include, *rule.require, *rule.exclude)
        case _:
            return ()


def checked_rules(rules: Any, what: str) -> tuple[Rule, ...]:
    """The rules of a list or tuple; raises ConfigurationError."""
    if not isinstance(rules, list | tuple):
        raise ConfigurationError(f"expected a list or tuple of rules at {what}, got {rules!r:.80}")
    for index, rule in enumerate(rules):
        if not isinstance(rule, get_args(Rule)):
            raise ConfigurationError(f"expected a rule of mtlskit.rules at {what}[{index}], got {rule!r:.80}")
    return tuple(rules)


def check_size(rules: Iterable[Rule]) -> None:
    """Raises ConfigurationError for too many rules. A group counts as often as it is named: so often it is asked."""
    sizes: dict[int, int] = {}
    if sum(_size(rule, sizes) for rule in rules) > _MOST_RULES:
        raise ConfigurationError(
            f"expected at most {_MOST_RULES} rules in a policy, with those of its groups, got more"
        )


def _size(rule: Rule, sizes: dict[int, int]) -> int:
    found = sizes.get(id(rule))
    if found is None:
        found = sizes[id(rule)] = 1 + sum(_size(each, sizes) for each in inner(rule))
    return found


def _put_rules(rule: Any, field: str, what: str) -> None:
    found = checked_rules(getattr(rule, field), what)
    if not found:
        raise ConfigurationError(f"expected at least one rule at {what}, got none")
    object.__setattr__(rule, field, found)
    _check_depth(rule)


def _check_depth(rule: Rule) -> None:
    level: Iterable[Rule] = (rule,)
    for _ in range(_DEEPEST):
        level = {id(each): each for outer in level for each in inner(outer)}.values()  # each once, or it grows for ever
        if not level:
            return
    raise ConfigurationError(f"expected rules at most {_DEEPEST} deep in one another, got more")


def _order(value: Value) -> tuple[int, Any]:
    return (value.version, value) if not isinstance(value, str | int) else (0, value)
