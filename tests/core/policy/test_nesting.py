"""Nested rules against a plain interpreter of three truth values, and what more rules may never do."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID
from hypothesis import given, settings
from hypothesis import strategies as st

from mtlskit.core import rules
from mtlskit.core.certificates import ClientIdentity
from mtlskit.core.policy import AccessPolicy, Effect, Match, Part, PolicyDecision, evaluate, explain, read_policies
from mtlskit.core.request import RequestFacts
from mtlskit.core.rules.values import AllOf, AnyOf, Not, RuleGroup
from mtlskit.testing.certificates import Authority, build, new_key

ROOT = Authority.root()
SUBJECT = x509.Name(
    [
        x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Acme"),
        x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Umbrella"),
        x509.NameAttribute(NameOID.COMMON_NAME, "device-17"),
    ]
)
CLIENT = ClientIdentity.of(
    build(
        subject=SUBJECT, issuer=ROOT.certificate.subject, public_key=new_key().public_key(), signing_key=ROOT.key,
        extensions=[(x509.SubjectAlternativeName([x509.UniformResourceIdentifier("urn:acme:device:17")]), False)],
    ),
    hostname="pay.acme.example",
    anchor_id="acme",
)  # fmt: skip
FACTS = RequestFacts.of(method="GET", client_address="192.0.2.9", hostname="pay.acme.example")  # the path is not known

TRUTHS: list[tuple[rules.Rule, bool | None]] = [
    (rules.everyone(), True),
    (rules.any_valid_certificate(), True),
    (rules.common_name(prefix="device-"), True),
    (rules.uri("urn:acme:device:17"), True),
    (rules.method(one_of=["GET", "HEAD"]), True),
    (rules.client_address("192.0.2.0/24"), True),
    (rules.expression('cf.tls_client_auth.cert_verified and http.host eq "pay.acme.example"'), True),
    (rules.common_name("device-18"), False),
    (rules.uri(prefix="urn:other:"), False),
    (rules.dns(suffix=".acme.example"), False),
    (rules.client_address("198.51.100.0/24"), False),
    (rules.expression("cf.tls_client_auth.cert_revoked"), False),
    (rules.organization("Acme"), None),
    (rules.organization(prefix="U"), None),
    (rules.path(prefix="/"), None),
    (rules.expression('http.request.uri.path eq "/"'), None),
]


def all_of(values: Sequence[bool | None]) -> bool | None:
    return False if False in values else (None if None in values else True)


def any_of(values: Sequence[bool | None]) -> bool | None:
    return True if True in values else (None if None in values else False)


def negated(value: bool | None) -> bool | None:
    return None if value is None else not value


def plainly(rule: rules.Rule) -> bool | None:
    """The truth of a rule for CLIENT and FACTS: of a simple one as it stands above, of others by Kleene's tables."""
    match rule:
        case AllOf(parts):
            return all_of(list(map(plainly, parts)))
        case AnyOf(parts):
            return any_of(list(map(plainly, parts)))
        case Not(part):
            return negated(plainly(part))
        case RuleGroup():
            return is_about(rule)
        case _:
            return next(truth for known, truth in TRUTHS if known == rule)


def is_about(policy: AccessPolicy | RuleGroup) -> bool | None:
    included = any_of(list(map(plainly, policy.include)))
    excluded = any_of(list(map(plainly, policy.exclude)))
    return all_of([included, *map(plainly, policy.require), negated(excluded)])


def slowly(policies: Sequence[AccessPolicy]) -> Effect:
    about = [(policy.decision, is_about(policy)) for policy in policies]
    if any(decision is PolicyDecision.DENY and truth is not False for decision, truth in about):
        return Effect.DENY
    is_let_in = any(decision is not PolicyDecision.DENY and truth is True for decision, truth in about)
    return Effect.ALLOW if is_let_in or not policies else Effect.DENY


def lists(inner: st.SearchStrategy[rules.Rule], *, least: int = 0) -> st.SearchStrategy[tuple[rules.Rule, ...]]:
    return st.lists(inner, min_size=least, max_size=3).map(tuple)


def nested(inner: st.SearchStrategy[rules.Rule]) -> st.SearchStrategy[rules.Rule]:
    return st.one_of(
        st.builds(AllOf, lists(inner, least=1)),
        st.builds(AnyOf, lists(inner, least=1)),
        st.builds(Not, inner),
        st.builds(RuleGroup, include=lists(inner, least=1), require=lists(inner), exclude=lists(inner)),
    )


quickly = settings(max_examples=50)  # each draws whole policies

RULES = st.recursive(st.sampled_from([rule for rule, _ in TRUTHS]), nested, max_leaves=12)
POLICIES = st.lists(
    st.builds(
        AccessPolicy,
        decision=st.sampled_from(list(PolicyDecision)),
        include=lists(RULES, least=1),
        require=lists(RULES),
        exclude=lists(RULES),
    ),
    max_size=3,
)


@pytest.mark.parametrize(("rule", "truth"), TRUTHS)
def test_the_truths_are_true(rule: rules.Rule, truth: bool | None) -> None:
    (policy,) = explain([AccessPolicy(decision="allow", include=[rule])], CLIENT, FACTS).policies

    assert policy.include[0].match is {True: Match.MATCH, False: Match.NO_MATCH, None: Match.UNKNOWN}[truth]


@quickly
@given(POLICIES)
def test_the_compiled_form_equals_a_plain_interpreter(policies: list[AccessPolicy]) -> None:
    assert evaluate(policies, CLIENT, FACTS).decision is slowly(policies)


@quickly
@given(RULES)
def test_an_explanation_says_what_is_true(rule: rules.Rule) -> None:
    (policy,) = explain([AccessPolicy(decision="allow", include=[rule])], CLIENT, FACTS).policies
    expected = {True: Match.MATCH, False: Match.NO_MATCH, None: Match.UNKNOWN}[plainly(rule)]

    # Whatever the parts of a rule have in common, it can be certain of more than the tables say: never of something else.
    assert policy.include[0].match is expected


@quickly
@given(POLICIES)
def test_an_explanation_has_the_outcome_and_every_rule(policies: list[AccessPolicy]) -> None:
    explanation = explain(policies, CLIENT, FACTS)

    assert explanation.outcome == evaluate(policies, CLIENT, FACTS)
    for policy, explained in zip(policies, explanation.policies, strict=True):
        for part in Part:
            assert len(getattr(explained, part.value)) == len(policy.rules(part))
    json.dumps(explanation.to_dict())


@pytest.mark.invariant(4)
@quickly
@given(POLICIES.filter(bool), st.integers(0, 2), RULES, st.booleans())
def test_a_further_rule_on_the_closing_side_never_opens(
    policies: list[AccessPolicy], position: int, rule: rules.Rule, is_exclusion: bool
) -> None:
    position %= len(policies)
    policy = policies[position]
    parts = {part.value: policy.rules(part) for part in Part}
    closing = "exclude" if is_exclusion else "require"
    if policy.decision is PolicyDecision.DENY:
        closing = "include"  # more to include shuts more out
    stricter = [*policies]
    stricter[position] = AccessPolicy(decision=policy.decision, **{**parts, closing: (*parts[closing], rule)})

    if not evaluate(policies, CLIENT, FACTS).allowed:
        assert not evaluate(stricter, CLIENT, FACTS).allowed


@pytest.mark.invariant(4)
@quickly
@given(POLICIES, lists(RULES, least=1))
def test_a_further_deny_policy_never_opens(policies: list[AccessPolicy], include: tuple[rules.Rule, ...]) -> None:
    if not evaluate(policies, CLIENT, FACTS).allowed and policies:
        assert not evaluate([*policies, AccessPolicy(decision="deny", include=include)], CLIENT, FACTS).allowed


@pytest.mark.invariant(9)
@quickly
@given(POLICIES.filter(bool))
def test_to_know_less_never_opens(policies: list[AccessPolicy]) -> None:
    if not evaluate(policies, CLIENT, FACTS).allowed:
        assert not evaluate(policies, CLIENT).allowed


@quickly
@given(POLICIES)
def test_every_policy_survives_its_document(policies: list[AccessPolicy]) -> None:
    documents = json.loads(json.dumps([policy.to_dict() for policy in policies]))

    assert list(read_policies(documents)) == policies
