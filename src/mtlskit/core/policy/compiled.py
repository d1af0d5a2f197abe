"""Evaluation of access policies: compiled once to a closure, a few dictionary look-ups per request. Owns precedence.

1. No policies: every client with a certificate verified for the hostname is let in. With one or more: deny by default.
2. `deny` policies are asked first, wherever they stand in the list. One that is about the client ends it.
3. Then `bypass` and `non_identity` as Access asks them, then `allow`; each kind in the order of the list. The first
   one that is about the client lets it in. (In Access a bypass overrides a deny; here nothing does.)
4. Nobody without a verified certificate is let in by any policy, and an exception in a rule denies (I4).

Where the certificate has no single reading (two common names, say), a rule that would let in does not match, and a
rule that would shut out does (I9): the unknown falls on the deny side of `include`, `require` and `exclude` alike.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from enum import Enum, auto
from typing import TypeAlias, assert_never

from mtlskit.core.certificates import ClientIdentity
from mtlskit.core.policy.values import AccessPolicy, Cause, Effect, Part, PolicyDecision, PolicyOutcome
from mtlskit.core.rules import UNREADABLE, Rule, Selector, key_of, keys_reader

CompiledPolicies: TypeAlias = Callable[[ClientIdentity | None], PolicyOutcome]
_Find: TypeAlias = Callable[[ClientIdentity], int | None]
_Ask: TypeAlias = Callable[[ClientIdentity], PolicyOutcome]

_NO_POLICIES = PolicyOutcome(decision=Effect.ALLOW, cause=Cause.NO_POLICIES)
_NO_CERTIFICATE = PolicyOutcome(decision=Effect.DENY, cause=Cause.NO_CERTIFICATE)
_NOT_INCLUDED = PolicyOutcome(decision=Effect.DENY, cause=Cause.NOT_INCLUDED)
_RANKS = {Cause.NOT_INCLUDED: 0, Cause.REQUIREMENT_MISSING: 1, Cause.EXCLUDED: 2}
_TURNS = {PolicyDecision.DENY: 0, PolicyDecision.BYPASS: 1, PolicyDecision.NON_IDENTITY: 1, PolicyDecision.ALLOW: 2}


def evaluate(policies: Sequence[AccessPolicy], identity: ClientIdentity | None) -> PolicyOutcome:
    """What `policies` say of a client, None being one without a verified certificate. Never raises for a bad client.

    Compiles each time; a gate calls `compile_policies` once per version of its policies.
    """
    return compile_policies(policies)(identity)


def compile_policies(policies: Sequence[AccessPolicy]) -> CompiledPolicies:
    """The policies as one function of the client. It never raises: what goes wrong inside denies."""
    if not policies:
        return lambda identity: _NO_CERTIFICATE if identity is None else _NO_POLICIES
    numbered = sorted(enumerate(policies), key=lambda item: _TURNS[item[1].decision])
    asked = tuple((_compile(index, policy), _failed(index, policy)) for index, policy in numbered)

    def outcome(identity: ClientIdentity | None) -> PolicyOutcome:
        if identity is None:
            return _NO_CERTIFICATE
        nearest = _NOT_INCLUDED
        for ask, failed in asked:
            try:
                found = ask(identity)
            except Exception:  # noqa: BLE001  a rule that fails denies, whatever it raised (I4)
                return failed
            if found.cause is Cause.POLICY:
                return found
            nearest = _nearer(nearest, found)
        return nearest

    return outcome


class _Doubt(Enum):
    """What a rule makes of something that has no single reading."""

    NO_MATCH = auto()
    MATCH = auto()


def _compile(index: int, policy: AccessPolicy) -> _Ask:
    inwards, outwards = _Doubt.NO_MATCH, _Doubt.MATCH
    if policy.decision is PolicyDecision.DENY:
        inwards, outwards = outwards, inwards
    included = _finder(policy.include, inwards)
    required = tuple(_finder((rule,), inwards) for rule in policy.require)
    excluded = _finder(policy.exclude, outwards)
    hits = tuple(_hit(index, policy, rule) for rule in range(len(policy.include)))
    outside = _miss(index, policy, Cause.NOT_INCLUDED, Part.INCLUDE, None)
    lacks = tuple(
        (find, _miss(index, policy, Cause.REQUIREMENT_MISSING, Part.REQUIRE, rule))
        for rule, find in enumerate(required)
    )
    exclusions = tuple(_miss(index, policy, Cause.EXCLUDED, Part.EXCLUDE, rule) for rule in range(len(policy.exclude)))

    def ask(identity: ClientIdentity) -> PolicyOutcome:
        hit = included(identity)
        if hit is None:
            return outside
        for find, lack in lacks:
            if find(identity) is None:
                return lack
        exclusion = excluded(identity)
        return hits[hit] if exclusion is None else exclusions[exclusion]

    return ask


def _finder(rules: Sequence[Rule], doubt: _Doubt) -> _Find:
    """A function that gives the position of a rule that matches, or None: one look-up per selector, not per rule."""
    indexes: dict[Selector, dict[Hashable, int]] = {}
    for position, rule in enumerate(rules):
        selector, key = key_of(rule)
        indexes.setdefault(selector, {}).setdefault(key, position)
    finders = tuple(_indexed(selector, index, doubt) for selector, index in indexes.items())
    return finders[0] if len(finders) == 1 else _first_of(finders)


def _indexed(selector: Selector, index: dict[Hashable, int], doubt: _Doubt) -> _Find:
    keys_of = keys_reader(selector)
    first = min(index.values())

    def certain(identity: ClientIdentity) -> int | None:
        for key in keys_of(identity):
            if key in index:
                return index[key]
        return None

    def possible(identity: ClientIdentity) -> int | None:
        keys = keys_of(identity)
        for key in keys:
            if key in index:
                return index[key]
        return first if UNREADABLE in keys else None

    match doubt:
        case _Doubt.NO_MATCH:
            return certain
        case _Doubt.MATCH:
            return possible
        case _:
            assert_never(doubt)


def _first_of(finders: Sequence[_Find]) -> _Find:
    def find(identity: ClientIdentity) -> int | None:
        for each in finders:
            found = each(identity)
            if found is not None:
                return found
        return None

    return find


def _hit(index: int, policy: AccessPolicy, rule: int) -> PolicyOutcome:
    return PolicyOutcome(
        decision=Effect.DENY if policy.decision is PolicyDecision.DENY else Effect.ALLOW,
        cause=Cause.POLICY,
        policy=index,
        policy_name=policy.name,
        applied=policy.decision,
        part=Part.INCLUDE,
        rule=rule,
    )


def _miss(index: int, policy: AccessPolicy, cause: Cause, part: Part, rule: int | None) -> PolicyOutcome:
    if policy.decision is PolicyDecision.DENY:
        return _NOT_INCLUDED  # no reason to be shut out
    return PolicyOutcome(decision=Effect.DENY, cause=cause, policy=index, policy_name=policy.name, part=part, rule=rule)


def _failed(index: int, policy: AccessPolicy) -> PolicyOutcome:
    return PolicyOutcome(decision=Effect.DENY, cause=Cause.ERROR, policy=index, policy_name=policy.name)


def _nearer(one: PolicyOutcome, other: PolicyOutcome) -> PolicyOutcome:
    """The miss that got further; of two that got equally far the earlier."""
    if one.policy is None:
        return other
    return other if _RANKS[other.cause] > _RANKS[one.cause] else one
