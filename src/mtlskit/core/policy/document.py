"""The document form of rules: what Cloudflare Access writes, and our own selectors. Owns its names and error paths.

    {"certificate": {}}                               {"common_name": {"common_name": "John Doe"}}
    {"san": {"uri": "urn:acme:device:17"}}            {"san": {"dns": {"suffix": ".acme.example"}}}
    {"serial": {"hex": {"one_of": ["0A1B", "17"]}}}   {"ip": {"ip": "192.0.2.0/24"}}
    {"any_of": [...]}, {"all_of": [...]}              {"not": {...}}

Where a text stands for a whole value, an object can say `one_of`, `prefix` or `suffix`. Nothing is skipped: what is
not known is a ConfigurationError that says where, as in `policies[1].require[0].emial`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, time
from typing import Any, Final, TypeVar, assert_never

from mtlskit.core.durations import in_units, read_moment, read_time
from mtlskit.core.rules.making import expression
from mtlskit.core.rules.selectors import Form, Selector, Value
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
from mtlskit.errors import ConfigurationError, MTLSError

_Made = TypeVar("_Made")

# The rule's name and its field, as they stand in a document.
_FIELDS: Final[Mapping[Selector, tuple[str, str]]] = {
    Selector.COMMON_NAME: ("common_name", "common_name"),
    Selector.ORGANIZATION: ("organization", "name"),
    Selector.ORGANIZATIONAL_UNIT: ("organizational_unit", "name"),
    Selector.DNS: ("san", "dns"),
    Selector.URI: ("san", "uri"),
    Selector.EMAIL: ("san", "email"),
    Selector.IP: ("san", "ip"),
    Selector.SPIFFE_ID: ("spiffe", "id"),
    Selector.SPIFFE_TRUST_DOMAIN: ("spiffe", "trust_domain"),
    Selector.FINGERPRINT: ("fingerprint", "sha256"),
    Selector.PUBLIC_KEY: ("public_key", "sha256"),
    Selector.SERIAL: ("serial", "hex"),
    Selector.KEY_TYPE: ("key", "type"),
    Selector.ANCHOR: ("anchor", "id"),
    Selector.ANCHOR_KEY: ("anchor", "key_sha256"),
    Selector.PROFILE: ("issued", "profile"),
    Selector.AUTHORITY: ("issued", "authority"),
    Selector.HOSTNAME: ("hostname", "name"),
    Selector.METHOD: ("method", "name"),
    Selector.PATH: ("path", "path"),
    Selector.CLIENT_ADDRESS: ("ip", "ip"),  # Access's own name for it
}
_SELECTORS: Final = {names: selector for selector, names in _FIELDS.items()}
_TIME_FIELDS: Final = ("since", "until", "start", "end", "days", "timezone")
_GROUP_FIELDS: Final = ("id", "name", "include", "require", "exclude")
_DEEPEST: Final = 40


@dataclass(frozen=True, slots=True)
class Reading:
    """What a document is read with: the rule groups that it may name by their ids."""

    groups: Mapping[str, RuleGroup] = field(default_factory=dict)

    def rules(self, documents: object, where: str, depth: int = 0) -> tuple[Rule, ...]:
        """The rules of a list of documents; raises ConfigurationError with the path, which begins with `where`."""
        if not isinstance(documents, list | tuple):
            raise ConfigurationError(f"expected a list of rules at {where}, got {shown(documents)}")
        return tuple(self.rule(document, f"{where}[{index}]", depth) for index, document in enumerate(documents))

    def rule(self, document: object, where: str, depth: int = 0) -> Rule:
        """The rule of one document; raises ConfigurationError with the path, which begins with `where`."""
        if depth > _DEEPEST:
            raise ConfigurationError(f"expected rules at most {_DEEPEST} deep in one another at {where[:80]}, got more")
        name, body = _only_member(document, where)
        return self._named(name, body, f"{where}.{name}", depth + 1)

    def _named(self, name: str, body: object, path: str, depth: int) -> Rule:
        match name:
            case "everyone" | "certificate":
                fields_of(body, (), path)
                return Everyone() if name == "everyone" else AnyValidCertificate()
            case "all_of":
                return made_at(path, AllOf, self.rules(body, path, depth))
            case "any_of":
                return made_at(path, AnyOf, self.rules(body, path, depth))
            case "not":
                return made_at(path, Not, self.rule(body, path, depth))
            case "group":
                return self.group(body, path, depth)
            case _:
                return _simple(name, body, path)

    def group(self, body: object, path: str, depth: int = 0) -> RuleGroup:
        """A rule group: written out, or named by the id under which it was given."""
        fields = fields_of(body, _GROUP_FIELDS, path)
        id, name = (text_at(fields.get(each, ""), f"{path}.{each}") for each in ("id", "name"))  # noqa: A001
        if set(fields) == {"id"}:
            if id not in self.groups:
                raise ConfigurationError(f"expected the id of a rule group that is given at {path}.id, got {id!r:.80}")
            return self.groups[id]
        parts = {
            part: self.rules(fields.get(part, ()), f"{path}.{part}", depth)
            for part in ("include", "require", "exclude")
        }
        return made_at(path, RuleGroup, id=id, name=name, **parts)


def rule_to_dict(rule: Rule) -> dict[str, Any]:
    """The rule's document, in its canonical form."""
    match rule:
        case Everyone():
            return {"everyone": {}}
        case AnyValidCertificate():
            return {"certificate": {}}
        case Selected(selector):
            name, body_field = _FIELDS[selector]
            return {name: {body_field: _written(rule)}}
        case Lasting(lifetime):
            bounds = {"at_least": rule.at_least, "at_most": rule.at_most}
            return {lifetime.value: {name: in_units(bound) for name, bound in bounds.items() if bound is not None}}
        case TimeWindow():
            return {"time": _window_to_dict(rule)}
        case AllOf(rules):
            return {"all_of": list(map(rule_to_dict, rules))}
        case AnyOf(rules):
            return {"any_of": list(map(rule_to_dict, rules))}
        case Not(negated):
            return {"not": rule_to_dict(negated)}
        case RuleGroup():
            return {"group": group_to_dict(rule)}
        case InExpression(given):
            return {"expression": {"text": given.text}}
        case _:
            assert_never(rule)


def group_to_dict(group: RuleGroup) -> dict[str, Any]:
    """The group written out."""
    texts = {name: text for name, text in (("id", group.id), ("name", group.name)) if text}
    parts = {"include": group.include, "require": group.require, "exclude": group.exclude}
    return texts | {part: list(map(rule_to_dict, rules)) for part, rules in parts.items() if rules}


def fields_of(document: object, known: Iterable[str], where: str) -> Mapping[str, Any]:
    """`document` as a mapping that has no other fields than `known`; raises ConfigurationError with the path."""
    if not isinstance(document, Mapping):
        raise ConfigurationError(f"expected an object at {where}, got {shown(document)}")
    allowed = tuple(known)
    for name in document:
        if name not in allowed:
            raise ConfigurationError(f"expected a known field ({_listed(allowed)}) at {where}.{name}, got {name!r}")
    return document


def text_at(value: object, where: str) -> str:
    """`value` as the text that has to be at `where`."""
    if not isinstance(value, str):
        raise ConfigurationError(f"expected text at {where}, got {shown(value)}")
    return value


def shown(value: object) -> str:
    """A value as errors show it: by `repr`, cut."""
    text = repr(value)
    return text if len(text) <= 80 else text[:80] + "..."


def _simple(name: str, body: object, path: str) -> Rule:
    match name:
        case "lifetime" | "remaining":
            return _lasting(Lifetime(name), body, path)
        case "time":
            return _window(body, path)
        case "expression":
            return made_at(f"{path}.text", expression, _text_field(body, "text", path))
        case _:
            return _selected(name, body, path)


def _selected(name: str, body: object, path: str) -> Selected:
    known = [body_field for rule_name, body_field in _SELECTORS if rule_name == name]
    if not known:
        names = {rule_name for rule_name, _ in _SELECTORS} | _OTHER_NAMES
        raise ConfigurationError(f"expected a known rule ({_listed(names)}) at {path}, got {name!r}")
    body_field, value = _only_member(fields_of(body, known, path), path)
    form, values = _form_and_values(value, f"{path}.{body_field}")
    return made_at(path, Selected, _SELECTORS[name, body_field], form, values)


_OTHER_NAMES: Final = frozenset(
    {"everyone", "certificate", "lifetime", "remaining", "time", "all_of", "any_of", "not", "group", "expression"}
)


def _form_and_values(value: object, where: str) -> tuple[Form, tuple[str, ...]]:
    if not isinstance(value, Mapping):
        return Form.ONE_OF, (text_at(value, where),)
    name, given = _only_member(fields_of(value, list(Form), where), where)
    path = f"{where}.{name}"
    if name != Form.ONE_OF:
        return Form(name), (text_at(given, path),)
    if not isinstance(given, list | tuple):
        raise ConfigurationError(f"expected a list of texts at {path}, got {shown(given)}")
    return Form.ONE_OF, tuple(text_at(each, f"{path}[{index}]") for index, each in enumerate(given))


def _written(rule: Selected) -> str | dict[str, Any]:
    texts = [_value_text(value) for value in rule.values]
    if rule.form is not Form.ONE_OF:
        return {rule.form.value: texts[0]}
    return texts[0] if len(texts) == 1 else {rule.form.value: texts}


def _value_text(value: Value) -> str:
    if isinstance(value, int):
        return f"{value:X}"
    if isinstance(value, str):
        return value
    return str(value.network_address) if value.prefixlen == value.max_prefixlen else str(value)


def _lasting(lifetime: Lifetime, body: object, path: str) -> Lasting:
    fields = fields_of(body, ("at_least", "at_most"), path)
    bounds = {name: _read_at(read_time, text, f"{path}.{name}") for name, text in fields.items()}
    return made_at(path, Lasting, lifetime, **bounds)


def _window(body: object, path: str) -> TimeWindow:
    fields = fields_of(body, _TIME_FIELDS, path)
    read: Mapping[str, Callable[[str], Any]] = {
        "since": read_moment, "until": read_moment, "start": _clock, "end": _clock, "timezone": str,
    }  # fmt: skip
    given = {name: _read_at(read[name], text, f"{path}.{name}") for name, text in fields.items() if name != "days"}
    days = fields.get("days", WEEK)
    if not isinstance(days, list | tuple):
        raise ConfigurationError(f"expected a list of days at {path}.days, got {shown(days)}")
    return made_at(path, TimeWindow, **given, days=tuple(days))


def _clock(text: str) -> time:
    try:
        return time.fromisoformat(text)
    except ValueError:
        raise ConfigurationError(f"expected a time of the day, as '08:30', got {text!r:.80}") from None


def _window_to_dict(window: TimeWindow) -> dict[str, Any]:
    moments = {"since": window.since, "until": window.until, "start": window.start, "end": window.end}
    document: dict[str, Any] = {name: moment.isoformat() for name, moment in moments.items() if moment is not None}
    if window.days != WEEK:
        document["days"] = [day.value for day in window.days]
    return document if window.timezone == "UTC" else document | {"timezone": window.timezone}


def made_at(where: str, make: Callable[..., _Made], *arguments: Any, **fields: Any) -> _Made:
    """What `make` makes; what it raises is a ConfigurationError with the path."""
    try:
        return make(*arguments, **fields)
    except MTLSError as error:
        raise ConfigurationError(f"{error} at {where}") from error


def _read_at(read: Callable[[str], Any], value: object, where: str) -> Any:
    """TOML has moments and times of its own."""
    text = value.isoformat() if isinstance(value, datetime | time) else text_at(value, where)
    return made_at(where, read, text)


def _text_field(body: object, name: str, path: str) -> str:
    fields = fields_of(body, (name,), path)
    if name not in fields:
        raise ConfigurationError(f"expected the field {name!r} at {path}, got none")
    return text_at(fields[name], f"{path}.{name}")


def _only_member(document: object, where: str) -> tuple[str, object]:
    if not isinstance(document, Mapping) or len(document) != 1:
        raise ConfigurationError(f"expected an object with one member at {where}, got {shown(document)}")
    ((name, body),) = document.items()
    return text_at(name, where), body


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(map(str, names))) or "none"
