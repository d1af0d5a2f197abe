"""Why the policies say what they say: every rule with what it saw. For people, not for the path of a request."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Any, Final, assert_never

from mtlskit.core.certificates import ClientIdentity
from mtlskit.core.doubt import Doubt
from mtlskit.core.durations import in_units
from mtlskit.core.expressions import explain_parts
from mtlskit.core.fields import ClientCertificateFields
from mtlskit.core.policy.compiled import NOTHING_KNOWN, compile_policies
from mtlskit.core.policy.document import rule_to_dict
from mtlskit.core.policy.values import AccessPolicy, Part, PolicyOutcome
from mtlskit.core.request import RequestFacts
from mtlskit.core.rules.matching import predicate
from mtlskit.core.rules.readers import UNREADABLE, Keys, certificate_reader, request_reader
from mtlskit.core.rules.selectors import OF_REQUEST, Selector
from mtlskit.core.rules.values import (
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
    inner,
)

_LONGEST: Final = 128


class Match(StrEnum):
    """How a rule came out."""

    MATCH = "match"
    NO_MATCH = "no match"
    UNKNOWN = "unknown"  # no single reading: it lets nobody in, and shuts out
    ERROR = "error"  # it failed: the request is denied


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleExplanation:
    """One rule: its document as text, how it came out, and what it saw of this client and request, escaped and cut."""

    rule: str
    match: Match
    saw: str
    parts: tuple[RuleExplanation, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyExplanation:
    """One policy with its rules, in the order of the list and not of evaluation."""

    name: str
    decision: str
    include: tuple[RuleExplanation, ...]
    require: tuple[RuleExplanation, ...]
    exclude: tuple[RuleExplanation, ...]


@dataclass(frozen=True, slots=True)
class Explanation:
    """What the policies say of a client, and how every rule came out. `str()` shows it as an indented tree."""

    outcome: PolicyOutcome
    policies: tuple[PolicyExplanation, ...]

    def to_dict(self) -> dict[str, Any]:
        """Texts and lists only, for JSON."""
        outcome = {
            "decision": self.outcome.decision.value, "cause": self.outcome.cause.value, "path": self.outcome.path,
            "policy": self.outcome.policy_name,
        }  # fmt: skip
        return {"outcome": outcome, "policies": list(map(_policy_to_dict, self.policies))}

    def __str__(self) -> str:
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        place = f" at {self.outcome.path}" if self.outcome.path else ""
        yield f"{self.outcome.decision.value}: {self.outcome.cause.value}{place}"
        for index, policy in enumerate(self.policies):
            name = f" {policy.name!r}" if policy.name else ""
            yield f"policies[{index}]{name}: {policy.decision}"
            for part in Part:
                for rule in getattr(policy, part.value):
                    yield from _rule_lines(rule, f"  {part.value} ")


def explain(
    policies: Sequence[AccessPolicy], identity: ClientIdentity | None, facts: RequestFacts = NOTHING_KNOWN
) -> Explanation:
    """What `evaluate` says of the same, and why. Every rule is shown, those too that were not reached."""
    outcome = compile_policies(policies)(identity, facts)
    return Explanation(outcome, tuple(_explained_policy(each, identity, facts) for each in policies))


def _explained_policy(policy: AccessPolicy, identity: ClientIdentity | None, facts: RequestFacts) -> PolicyExplanation:
    parts = {part.value: tuple(_explained(rule, identity, facts) for rule in policy.rules(part)) for part in Part}
    return PolicyExplanation(name=policy.name, decision=policy.decision.value, **parts)


def _explained(rule: Rule, identity: ClientIdentity | None, facts: RequestFacts) -> RuleExplanation:
    try:
        match, saw = _match(rule, identity, facts), _saw(rule, identity, facts)
    except Exception as error:  # noqa: BLE001 - a rule that fails denies; here it is told that it did
        match, saw = Match.ERROR, type(error).__name__
    parts = tuple(_explained(each, identity, facts) for each in inner(rule))
    if isinstance(rule, InExpression):
        parts = _comparisons(rule, identity, facts)
    text = json.dumps(rule_to_dict(rule))  # which escapes what it says
    return RuleExplanation(rule=_cut(text), match=match, saw=_escaped(saw), parts=parts)


def _match(rule: Rule, identity: ClientIdentity | None, facts: RequestFacts) -> Match:
    """What is true whatever the unknown counts as, is certain."""
    least, most = (predicate(rule, doubt)(identity, facts) for doubt in (Doubt.NO_MATCH, Doubt.MATCH))
    return _told(least if least is most else None)


def _told(match: bool | None) -> Match:
    return Match.UNKNOWN if match is None else Match.MATCH if match else Match.NO_MATCH


def _comparisons(
    rule: InExpression, identity: ClientIdentity | None, facts: RequestFacts
) -> tuple[RuleExplanation, ...]:
    fields = ClientCertificateFields() if identity is None else ClientCertificateFields.of_identity(identity)
    return tuple(
        RuleExplanation(rule=_cut(seen.comparison), match=_told(seen.result), saw=_seen(seen.value))
        for seen in explain_parts(rule.expression, fields, facts)
    )


def _seen(value: str | None) -> str:
    return "unreadable" if value is None else value or "nothing"


def _saw(rule: Rule, identity: ClientIdentity | None, facts: RequestFacts) -> str:
    match rule:
        case Selected(selector):
            return _shown(_keys(selector, identity, facts))
        case AnyValidCertificate():
            return "no certificate" if identity is None else "a verified certificate"
        case Lasting(lifetime):
            return _shown_lifetime(lifetime, identity, facts)
        case TimeWindow():
            return "no moment" if facts.at is None else facts.at.astimezone(rule.zone()).isoformat()
        case Everyone() | AllOf() | AnyOf() | Not() | RuleGroup() | InExpression():
            return ""
        case _:
            assert_never(rule)


def _keys(selector: Selector, identity: ClientIdentity | None, facts: RequestFacts) -> Keys:
    if selector in OF_REQUEST:
        return (request_reader(selector)(facts),)
    return () if identity is None else certificate_reader(selector)(identity)


def _shown(keys: Keys) -> str:
    return ", ".join(map(_shown_key, keys)) or "nothing"


def _shown_key(key: object) -> str:
    if key is UNREADABLE:
        return "unreadable"
    return f"{key:X}" if isinstance(key, int) else str(key)


def _shown_lifetime(lifetime: Lifetime, identity: ClientIdentity | None, facts: RequestFacts) -> str:
    if identity is None:
        return "nothing"
    since = identity.not_before if lifetime is Lifetime.TOTAL else facts.at
    if since is None:
        return "no moment"
    left = identity.not_after - since
    return in_units(timedelta(seconds=int(left.total_seconds())))


def _escaped(text: str) -> str:
    """What a peer sent may be shown on a terminal."""
    return _cut(text.encode("unicode_escape").decode("ascii"))


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else text[:_LONGEST] + "..."


def _rule_lines(rule: RuleExplanation, indent: str) -> Iterator[str]:
    saw = f", saw {rule.saw}" if rule.saw else ""
    yield f"{indent}{rule.rule}: {rule.match.value}{saw}"
    for part in rule.parts:
        yield from _rule_lines(part, " " * (len(indent) - len(indent.lstrip())) + "    ")


def _policy_to_dict(policy: PolicyExplanation) -> dict[str, Any]:
    parts = {part.value: list(map(_rule_to_dict, getattr(policy, part.value))) for part in Part}
    return {"name": policy.name, "decision": policy.decision, **parts}


def _rule_to_dict(rule: RuleExplanation) -> dict[str, Any]:
    document: dict[str, Any] = {"rule": rule.rule, "match": rule.match.value, "saw": rule.saw}
    return document | {"parts": list(map(_rule_to_dict, rule.parts))} if rule.parts else document
