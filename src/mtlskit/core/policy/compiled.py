"""Evaluation of access policies: compiled once to a closure, a few dictionary look-ups per request. Owns precedence.

1. No policies: every client with a certificate verified for the hostname is let in. With one or more: deny by default.
2. `deny` policies are asked first, wherever they stand in the list. One that is about the client ends it.
3. Then `bypass` and `non_identity` as Access asks them, then `allow`; each kind in the order of the list. The first
   one that is about the client lets it in. (In Access a bypass overrides a deny; here nothing does.)
4. Who has no verified certificate is let in by a `bypass` policy only, and asked at all only where the hostname takes
   such clients. An exception in a rule denies (I4).

Where something has no single reading (two common names, say), a rule that would let in does not match, and a rule
that would shut out does (I9): the unknown falls on the deny side of `include`, `require` and `exclude` alike.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

from mtlskit.core.certificates import ClientIdentity
from mtlskit.core.doubt import Doubt
from mtlskit.core.policy.values import AccessPolicy, Cause, Effect, Part, PolicyDecision, PolicyOutcome
from mtlskit.core.request import RequestFacts
from mtlskit.core.rules.asking import Asked, asked_by
from mtlskit.core.rules.matching import finder

_Ask: TypeAlias = Callable[[ClientIdentity | None, RequestFacts], PolicyOutcome]

NOTHING_KNOWN: Final = RequestFacts()
_NO_POLICIES: Final = PolicyOutcome(decision=Effect.ALLOW, cause=Cause.NO_POLICIES)
_NO_CERTIFICATE: Final = PolicyOutcome(decision=Effect.DENY, cause=Cause.NO_CERTIFICATE)
_NOT_INCLUDED: Final = PolicyOutcome(decision=Effect.DENY, cause=Cause.NOT_INCLUDED)
_RANKS: Final = {Cause.NOT_INCLUDED: 0, Cause.REQUIREMENT_MISSING: 1, Cause.EXCLUDED: 2}
_TURNS: Final = {
    PolicyDecision.DENY: 0, PolicyDecision.BYPASS: 1, PolicyDecision.NON_IDENTITY: 1, PolicyDecision.ALLOW: 2,
}  # fmt: skip
_WITHOUT_CERTIFICATE: Final = frozenset({PolicyDecision.DENY, PolicyDecision.BYPASS})


class CompiledPolicies:
    """Policies as one function of the client and the request. It never raises: what goes wrong inside denies.

    `asks` says what it looks at beside the certificate: while that is nothing, the outcome for a client is the same
    on every request.
    """

    __slots__ = ("_certified", "_uncertified", "asks")

    def __init__(self, policies: Sequence[AccessPolicy]) -> None:
        rules = (rule for policy in policies for part in Part for rule in policy.rules(part))
        self.asks: frozenset[Asked] = asked_by(rules)
        turns = sorted(enumerate(policies), key=lambda item: _TURNS[item[1].decision])
        self._certified = _asked(turns, _NOT_INCLUDED) if policies else _everybody
        without = [turn for turn in turns if turn[1].decision in _WITHOUT_CERTIFICATE]
        self._uncertified = _asked(without, _NO_CERTIFICATE)

    def __call__(self, identity: ClientIdentity | None, facts: RequestFacts = NOTHING_KNOWN) -> PolicyOutcome:
        """What the policies say of a client, None being one without a verified certificate."""
        return self._uncertified(None, facts) if identity is None else self._certified(identity, facts)


def evaluate(
    policies: Sequence[AccessPolicy], identity: ClientIdentity | None, facts: RequestFacts = NOTHING_KNOWN
) -> PolicyOutcome:
    """What `policies` say of a client, None being one without a verified certificate. Never raises for a bad client.

    Compiles each time; a gate compiles once per version of a hostname's record.
    """
    return compile_policies(policies)(identity, facts)


def compile_policies(policies: Sequence[AccessPolicy]) -> CompiledPolicies:
    """The policies as one function."""
    return CompiledPolicies(policies)


def _everybody(identity: ClientIdentity | None, facts: RequestFacts) -> PolicyOutcome:
    return _NO_POLICIES


def _asked(numbered: Sequence[tuple[int, AccessPolicy]], nobody: PolicyOutcome) -> _Ask:
    """The outcome of the first policy that is about the client; `nobody` and the nearest miss, if none is."""
    turns = tuple((_compile(index, policy), _failed(index, policy.name)) for index, policy in numbered)

    def outcome(identity: ClientIdentity | None, facts: RequestFacts) -> PolicyOutcome:
        nearest = nobody
        for ask, failed in turns:
            try:
                found = ask(identity, facts)
            except Exception:  # noqa: BLE001  a rule that fails denies, whatever it raised (I4)
                return failed
            if found.cause is about_the_client:
                return found
            nearest = _nearer(nearest, found)
        return nearest

    def only_outcome(identity: ClientIdentity | None, facts: RequestFacts) -> PolicyOutcome:
        try:
            return only_ask(identity, facts)
        except Exception:  # noqa: BLE001  as above
            return only_failed

    about_the_client = Cause.POLICY  # read here once: a member of an enum is slow to find
    if len(turns) != 1 or nobody is not _NOT_INCLUDED:
        return outcome
    ((only_ask, only_failed),) = turns
    return only_outcome


def _compile(index: int, policy: AccessPolicy) -> _Ask:
    doubt = Doubt.MATCH if policy.decision is PolicyDecision.DENY else Doubt.NO_MATCH
    included = finder(policy.include, doubt)
    required = [finder((rule,), doubt) for rule in policy.require]
    excluded = finder(policy.exclude, doubt.flipped) if policy.exclude else None
    hits = tuple(_hit(index, policy, rule) for rule in range(len(policy.include)))
    outside = _miss(index, policy, Cause.NOT_INCLUDED, Part.INCLUDE, None)
    lacks = tuple(
        (find, _miss(index, policy, Cause.REQUIREMENT_MISSING, Part.REQUIRE, rule))
        for rule, find in enumerate(required)
    )
    exclusions = tuple(_miss(index, policy, Cause.EXCLUDED, Part.EXCLUDE, rule) for rule in range(len(policy.exclude)))

    def ask(identity: ClientIdentity | None, facts: RequestFacts) -> PolicyOutcome:
        hit = included(identity, facts)
        if hit is None:
            return outside
        for find, lack in lacks:
            if find(identity, facts) is None:
                return lack
        exclusion = None if excluded is None else excluded(identity, facts)
        return hits[hit] if exclusion is None else exclusions[exclusion]

    return ask


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


def _failed(index: int, name: str) -> PolicyOutcome:
    return PolicyOutcome(decision=Effect.DENY, cause=Cause.ERROR, policy=index, policy_name=name)


def _nearer(one: PolicyOutcome, other: PolicyOutcome) -> PolicyOutcome:
    """The miss that got further; of two that got equally far the earlier. Who has no certificate lacks that first."""
    if one.cause is Cause.NO_CERTIFICATE or other.policy is None:
        return one
    if one.policy is None:
        return other
    return other if _RANKS[other.cause] > _RANKS[one.cause] else one
