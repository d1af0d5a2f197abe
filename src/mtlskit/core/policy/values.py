"""Access policies and what comes out of them, as values. Owns their form; how they are evaluated is in `compiled`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Literal, TypeAlias

from mtlskit.core.policy.document import Reading, fields_of, rule_to_dict, shown, text_at
from mtlskit.core.rules.values import Rule, RuleGroup, check_size, checked_rules
from mtlskit.errors import ConfigurationError

_FIELDS = ("name", "decision", "include", "require", "exclude", "session_duration")


class PolicyDecision(StrEnum):
    """What a policy does with the clients that it is about."""

    ALLOW = "allow"
    DENY = "deny"
    BYPASS = "bypass"  # lets through like allow, marked as not enforced; recorded all the same
    NON_IDENTITY = "non_identity"  # "Service Auth": lets through like allow; no person stands behind a certificate


DecisionText: TypeAlias = Literal["allow", "deny", "bypass", "non_identity"]


@dataclass(frozen=True, slots=True, init=False)
class AccessPolicy:
    """Whom a policy is about and what it does with them.

    It is about a client that matches at least one rule of `include`, every one of `require` and none of `exclude`.
    `session_duration` is carried for the round trip of an Access document only: here every request is judged.
    """

    decision: PolicyDecision
    include: tuple[Rule, ...]
    require: tuple[Rule, ...]
    exclude: tuple[Rule, ...]
    name: str
    session_duration: str

    def __init__(
        self,
        *,
        decision: PolicyDecision | DecisionText,
        include: Sequence[Rule],
        require: Sequence[Rule] = (),
        exclude: Sequence[Rule] = (),
        name: str = "",
        session_duration: str = "",
    ) -> None:
        """Raises ConfigurationError for an unknown decision, no rule in `include`, or what is not a rule."""
        values: dict[str, Any] = {
            "decision": _decision(decision, "decision"),
            "include": checked_rules(include, "include"),
            "require": checked_rules(require, "require"),
            "exclude": checked_rules(exclude, "exclude"),
            "name": text_at(name, "name"),
            "session_duration": text_at(session_duration, "session_duration"),
        }
        if not values["include"]:
            raise ConfigurationError(f"expected at least one rule to include in the policy {name!r}, got none")
        check_size((*values["include"], *values["require"], *values["exclude"]))
        for field, value in values.items():
            object.__setattr__(self, field, value)

    @classmethod
    def from_dict(
        cls, document: Mapping[str, Any], *, groups: Mapping[str, RuleGroup] | None = None, where: str = "policy"
    ) -> AccessPolicy:
        """The policy of an Access document, which may name `groups` by their ids.

        Raises ConfigurationError with a path that begins with `where`.
        """
        fields = fields_of(document, _FIELDS, where)
        reading = Reading(groups or {})
        policy_rules = {part: reading.rules(fields.get(part, ()), f"{where}.{part}") for part in Part}
        if not policy_rules[Part.INCLUDE]:
            raise ConfigurationError(f"expected at least one rule at {where}.include, got none")
        return cls(
            decision=_decision(fields.get("decision"), f"{where}.decision"),
            include=policy_rules[Part.INCLUDE],
            require=policy_rules[Part.REQUIRE],
            exclude=policy_rules[Part.EXCLUDE],
            name=text_at(fields.get("name", ""), f"{where}.name"),
            session_duration=text_at(fields.get("session_duration", ""), f"{where}.session_duration"),
        )

    def to_dict(self) -> dict[str, Any]:
        """The policy's document: what `from_dict` reads back to an equal policy."""
        document: dict[str, Any] = {"name": self.name, "decision": self.decision.value}
        document.update({part.value: [rule_to_dict(rule) for rule in self.rules(part)] for part in Part})
        if self.session_duration:
            document["session_duration"] = self.session_duration
        return document

    def rules(self, part: Part) -> tuple[Rule, ...]:
        """The rules of one part."""
        match part:
            case Part.INCLUDE:
                return self.include
            case Part.REQUIRE:
                return self.require
            case Part.EXCLUDE:
                return self.exclude


class Part(StrEnum):
    """The three lists of rules in a policy."""

    INCLUDE = "include"
    REQUIRE = "require"
    EXCLUDE = "exclude"


class Effect(StrEnum):
    """What the policies together say about a request."""

    ALLOW = "allow"
    DENY = "deny"


class Cause(StrEnum):
    """Why. The last three say, for a client that no policy lets in, how far the nearest policy got."""

    POLICY = "policy"  # a policy was about this client; `applied` says what it does
    NO_POLICIES = "no_policies"  # there are none: a verified certificate is enough
    NO_CERTIFICATE = "no_certificate"  # there is nobody to judge
    ERROR = "error"  # a rule failed: denied (I4)
    NOT_INCLUDED = "not_included"
    REQUIREMENT_MISSING = "requirement_missing"
    EXCLUDED = "excluded"


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyOutcome:
    """What the policies say of one client: allow or deny, and which policy and rule of which part decided it."""

    decision: Effect
    cause: Cause
    policy: int | None = None
    policy_name: str = ""
    applied: PolicyDecision | None = None
    part: Part | None = None
    rule: int | None = None

    @property
    def allowed(self) -> bool:
        """Whether the request may pass."""
        return self.decision is Effect.ALLOW

    @property
    def path(self) -> str:
        """The place of what decided, as in `policies[0].exclude[2]`; empty where no policy did."""
        if self.policy is None:
            return ""
        place = f"policies[{self.policy}]"
        if self.part is None:
            return place
        return f"{place}.{self.part}" if self.rule is None else f"{place}.{self.part}[{self.rule}]"


def read_policies(
    documents: Sequence[Mapping[str, Any]], *, groups: Sequence[Mapping[str, Any]] = (), where: str = "policies"
) -> tuple[AccessPolicy, ...]:
    """The policies of a list of Access documents, which may name these rule groups by their ids.

    A group may name those before it. Raises ConfigurationError with the path of what is wrong.
    """
    known: dict[str, RuleGroup] = {}
    for index, document in enumerate(_list_at(groups, "rule groups", "groups")):
        group = Reading(known).group(document, f"groups[{index}]")
        if not group.id or group.id in known:
            raise ConfigurationError(f"expected an id of its own at groups[{index}].id, got {group.id!r:.80}")
        known[group.id] = group
    return tuple(
        AccessPolicy.from_dict(each, groups=known, where=f"{where}[{index}]")
        for index, each in enumerate(_list_at(documents, "policies", where))
    )


def _list_at(value: Any, what: str, where: str) -> Sequence[Any]:
    if not isinstance(value, list | tuple):
        raise ConfigurationError(f"expected a list of {what} at {where}, got {shown(value)}")
    return value


def _decision(value: Any, where: str) -> PolicyDecision:
    if value not in PolicyDecision.__members__.values():
        known = ", ".join(PolicyDecision)
        raise ConfigurationError(f"expected a decision ({known}) at {where}, got {shown(value)}")
    return PolicyDecision(value)
