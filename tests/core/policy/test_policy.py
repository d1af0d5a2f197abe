"""Access policies: who of the verified clients gets in, and which rule says so."""

import ipaddress
import itertools

import pytest
from cryptography import x509
from hypothesis import given
from hypothesis import strategies as st

from mtlskit.core import rules
from mtlskit.core.certificates import ClientIdentity
from mtlskit.core.names import SanType
from mtlskit.core.policy import (
    AccessPolicy,
    Cause,
    Effect,
    Part,
    PolicyDecision,
    compile_policies,
    evaluate,
)
from mtlskit.core.rules.selectors import Selector
from mtlskit.core.rules.values import AnyValidCertificate, Selected
from mtlskit.errors import ConfigurationError
from mtlskit.testing.certificates import Authority

ROOT = Authority.root()
CERTIFICATE = ROOT.leaf(
    "device-17",
    sans=("uri:urn:acme:device:17", "dns:device-17.acme.example", "email:ops@acme.example", "ip:192.0.2.17"),
    serial_number=0x0A1B2C,
).certificate
CLIENT = ClientIdentity.of(CERTIFICATE, hostname="pay.acme.example", anchor_id="acme", issuers=[ROOT.certificate])
DOUBTFUL = ClientIdentity.of(
    ROOT.leaf("device-17", extensions=[(x509.SubjectAlternativeName([x509.DNSName("bad..name")]), False)]).certificate,
    hostname="pay.acme.example",
    anchor_id="acme",
    issuers=[ROOT.certificate],
)

MATCHING = {
    "any_valid_certificate": rules.any_valid_certificate(),
    "common_name": rules.common_name("device-17"),
    "dns": rules.dns("Device-17.ACME.example."),
    "uri": rules.san("uri:urn:acme:device:17"),
    "email": rules.email("ops@ACME.example"),
    "ip": rules.ip("192.0.2.17"),
    "fingerprint": rules.fingerprint(CLIENT.fingerprint_sha256.upper()),
    "serial": rules.serial("0a:1b:2c"),
}
OTHER = {
    "common_name": rules.common_name("device-18"),
    "dns": rules.dns("device-18.acme.example"),
    "uri": rules.uri("urn:acme:device:18"),
    "email": rules.email("Ops@acme.example"),
    "ip": rules.ip("192.0.2.18"),
    "fingerprint": rules.fingerprint("00" * 32),
    "serial": rules.serial(0x0A1B2D),
}
PERMITTING = ("allow", "bypass", "non_identity")


@pytest.mark.parametrize("decision", PolicyDecision)
@pytest.mark.parametrize("rule", MATCHING.values(), ids=MATCHING)
def test_each_decision_applies_to_a_client_that_the_rule_matches(decision, rule):
    outcome = evaluate([AccessPolicy(decision=decision, include=[rule], name="p")], CLIENT)

    assert outcome.decision is (Effect.DENY if decision == "deny" else Effect.ALLOW)
    assert (outcome.cause, outcome.applied, outcome.policy_name) == (Cause.POLICY, decision, "p")
    assert outcome.path == "policies[0].include[0]"


@pytest.mark.parametrize("decision", PolicyDecision)
@pytest.mark.parametrize("rule", OTHER.values(), ids=OTHER)
def test_no_decision_lets_in_a_client_that_the_rule_does_not_match(decision, rule):
    outcome = evaluate([AccessPolicy(decision=decision, include=[rule])], CLIENT)

    assert not outcome.allowed
    assert outcome.cause is Cause.NOT_INCLUDED


@pytest.mark.parametrize("rule", OTHER.values(), ids=OTHER)
def test_a_requirement_that_does_not_match_shuts_out(rule):
    policy = AccessPolicy(decision="allow", include=[MATCHING["uri"]], require=[MATCHING["uri"], rule])

    outcome = evaluate([policy], CLIENT)

    assert (outcome.decision, outcome.cause, outcome.path) == (
        Effect.DENY,
        Cause.REQUIREMENT_MISSING,
        "policies[0].require[1]",
    )


@pytest.mark.parametrize("rule", MATCHING.values(), ids=MATCHING)
def test_an_exclusion_that_matches_shuts_out(rule):
    policy = AccessPolicy(decision="allow", include=[MATCHING["uri"]], exclude=[rule])

    outcome = evaluate([policy], CLIENT)

    assert (outcome.decision, outcome.cause, outcome.path) == (Effect.DENY, Cause.EXCLUDED, "policies[0].exclude[0]")


@pytest.mark.parametrize("permitting", PERMITTING)
@pytest.mark.parametrize("order", [0, 1])
def test_a_matched_deny_wins_over_everything_in_either_order(permitting, order):
    both = [
        AccessPolicy(decision=permitting, include=[MATCHING["common_name"]]),
        AccessPolicy(decision="deny", include=[MATCHING["serial"]], name="lost devices"),
    ]
    if order:
        both.reverse()

    outcome = evaluate(both, CLIENT)

    assert not outcome.allowed
    assert (outcome.applied, outcome.policy, outcome.policy_name) == (PolicyDecision.DENY, 1 - order, "lost devices")


def test_bypass_is_asked_before_allow_and_says_that_it_was_it():
    policies = [AccessPolicy(decision=each, include=[MATCHING["uri"]]) for each in ("allow", "bypass")]

    outcome = evaluate(policies, CLIENT)

    assert (outcome.decision, outcome.applied, outcome.policy) == (Effect.ALLOW, PolicyDecision.BYPASS, 1)


def test_several_permitting_policies_are_alternatives():
    policies = [AccessPolicy(decision="allow", include=[each]) for each in (OTHER["uri"], MATCHING["uri"])]

    assert evaluate(policies, CLIENT).path == "policies[1].include[0]"


def test_the_nearest_miss_is_told():
    policies = [
        AccessPolicy(decision="allow", include=[OTHER["uri"]]),
        AccessPolicy(decision="allow", include=[MATCHING["uri"]], exclude=[MATCHING["serial"]]),
        AccessPolicy(decision="allow", include=[MATCHING["uri"]], require=[OTHER["serial"]]),
    ]

    assert evaluate(policies, CLIENT).path == "policies[1].exclude[0]"


def test_only_deny_policies_let_nobody_in():
    outcome = evaluate([AccessPolicy(decision="deny", include=[OTHER["uri"]])], CLIENT)

    assert (outcome.decision, outcome.cause, outcome.path) == (Effect.DENY, Cause.NOT_INCLUDED, "")


def test_no_policies_let_in_every_verified_certificate_and_nobody_else():
    assert evaluate([], CLIENT).decision is Effect.ALLOW
    assert evaluate([], CLIENT).cause is Cause.NO_POLICIES
    assert evaluate([], None).cause is Cause.NO_CERTIFICATE
    assert not evaluate([], None).allowed


@pytest.mark.parametrize("decision", PolicyDecision)
def test_a_client_without_a_verified_certificate_is_let_in_by_no_policy(decision):
    outcome = evaluate([AccessPolicy(decision=decision, include=[rules.any_valid_certificate()])], None)

    assert (outcome.decision, outcome.cause) == (Effect.DENY, Cause.NO_CERTIFICATE)


@pytest.mark.parametrize("decision", PolicyDecision)
def test_of_everyone_only_a_bypass_lets_in_who_has_no_certificate(decision):
    outcome = evaluate([AccessPolicy(decision=decision, include=[rules.everyone()])], None)

    assert outcome.allowed is (decision == "bypass")
    assert outcome.cause is (Cause.POLICY if decision in ("bypass", "deny") else Cause.NO_CERTIFICATE)


@pytest.mark.parametrize("part", ["require", "exclude"])
def test_a_deny_and_what_a_bypass_does_not_want_shut_out_who_has_no_certificate(part):
    everyone, certified = rules.everyone(), rules.any_valid_certificate()
    bypass = AccessPolicy(decision="bypass", include=[everyone])
    narrowed = AccessPolicy(
        decision="bypass", include=[everyone], **{part: [certified if part == "require" else rules.not_(certified)]}
    )
    denying = AccessPolicy(decision="deny", include=[rules.not_(certified)], name="anonymous")

    assert not evaluate([narrowed], None).allowed
    assert evaluate([bypass, denying], None).policy_name == "anonymous"
    assert evaluate([bypass, denying], CLIENT).allowed


@pytest.mark.invariant(4)
@pytest.mark.parametrize("decision", PolicyDecision)
@pytest.mark.parametrize("rule", ["common_name", "uri", "serial", "fingerprint"])
def test_a_rule_that_raises_denies(decision, rule):
    class Broken:
        def __getattr__(self, name):
            raise RuntimeError(name)

    policies = [
        AccessPolicy(decision=decision, include=[MATCHING[rule]], name="first"),
        AccessPolicy(decision="allow", include=[rules.any_valid_certificate()]),
    ]

    outcome = compile_policies(policies)(Broken())

    assert (outcome.decision, outcome.cause, outcome.path) == (Effect.DENY, Cause.ERROR, "policies[0]")


def test_a_policy_wants_something_to_include():
    with pytest.raises(ConfigurationError, match="at least one rule to include"):
        AccessPolicy(decision="allow", include=[])


@pytest.mark.parametrize("decision", ["permit", "ALLOW", "", None, True])
def test_an_unknown_decision_is_refused(decision):
    with pytest.raises(ConfigurationError, match="expected a decision"):
        AccessPolicy(decision=decision, include=[rules.any_valid_certificate()])


@pytest.mark.parametrize("part", Part)
@pytest.mark.parametrize("value", [["device-17"], "device-17", [None], rules.any_valid_certificate()])
def test_what_is_not_a_rule_is_refused(part, value):
    parts = {"include": [rules.any_valid_certificate()], part.value: value}
    with pytest.raises(ConfigurationError, match="expected a"):
        AccessPolicy(decision="allow", **parts)


def test_a_policy_is_a_value():
    one, other = (AccessPolicy(decision="allow", include=[rules.uri("urn:a:b")], name="a") for _ in range(2))

    assert one == other
    assert hash(one) == hash(other)
    with pytest.raises(AttributeError):
        one.decision = "deny"


# --- the compiled form against a slow, plain reading of the same words -------------------------------------------

ALL_RULES = st.sampled_from([*MATCHING.values(), *OTHER.values()])
RULES = st.lists(ALL_RULES, max_size=4)
POLICY = st.builds(
    AccessPolicy,
    decision=st.sampled_from(list(PolicyDecision)),
    include=st.lists(ALL_RULES, min_size=1, max_size=4),
    require=RULES,
    exclude=RULES,
)
CLIENTS = st.sampled_from([CLIENT, DOUBTFUL])


def plainly(rule, identity):
    """True, False, or None where the certificate has no single reading."""
    match rule:
        case AnyValidCertificate():
            return True
        case Selected(selector, _, (value,)):
            return said(selector, value, identity)


def said(selector, value, identity):
    match selector:
        case Selector.COMMON_NAME:
            return identity.common_name == value
        case Selector.FINGERPRINT:
            return identity.fingerprint_sha256 == value
        case Selector.SERIAL:
            return identity.serial_number == value
        case Selector.DNS if identity is DOUBTFUL:
            return None
        case Selector.IP:
            return any(ipaddress.ip_address(address) in value for address in identity.ips)
        case _:
            return value in identity.values(SanType(selector))


def all_of(values):
    return False if False in values else (None if None in values else True)


def any_of(values):
    return True if True in values else (None if None in values else False)


def negated(value):
    return None if value is None else not value


def is_about(policy, identity):
    return all_of(
        [
            any_of([plainly(rule, identity) for rule in policy.include]),
            *[plainly(rule, identity) for rule in policy.require],
            negated(any_of([plainly(rule, identity) for rule in policy.exclude])),
        ]
    )


def slowly(policies, identity):
    if any(is_about(policy, identity) is not False for policy in policies if policy.decision == "deny"):
        return Effect.DENY
    permits = [is_about(policy, identity) is True for policy in policies if policy.decision != "deny"]
    return Effect.ALLOW if not policies or any(permits) else Effect.DENY


@given(st.lists(POLICY, max_size=4), CLIENTS)
def test_the_compiled_form_equals_a_plain_interpreter(policies, identity):
    assert evaluate(policies, identity).decision is slowly(policies, identity)


@given(st.lists(POLICY, max_size=4), CLIENTS)
def test_what_decided_can_be_looked_up_and_holds(policies, identity):
    outcome = evaluate(policies, identity)

    if outcome.cause is Cause.POLICY:
        policy = policies[outcome.policy]
        assert policy.decision is outcome.applied
        assert plainly(policy.include[outcome.rule], identity) is not False
    if outcome.cause is Cause.EXCLUDED:
        assert plainly(policies[outcome.policy].exclude[outcome.rule], identity) is not False
    if outcome.cause is Cause.REQUIREMENT_MISSING:
        assert plainly(policies[outcome.policy].require[outcome.rule], identity) is not True


def with_more(policy, part, rule):
    parts = {each.value: policy.rules(each) for each in Part}
    parts[part.value] += (rule,)
    return AccessPolicy(decision=policy.decision, **parts)


@pytest.mark.invariant(4)
@given(st.lists(POLICY, min_size=1, max_size=4), st.integers(0, 3), ALL_RULES, st.sampled_from([0, 1]), CLIENTS)
def test_a_further_rule_on_the_closing_side_never_opens(policies, position, rule, side, identity):
    position %= len(policies)
    is_denying = policies[position].decision is PolicyDecision.DENY  # there, more to include shuts more out
    part = Part.INCLUDE if is_denying else (Part.REQUIRE, Part.EXCLUDE)[side]
    stricter = [*policies]
    stricter[position] = with_more(policies[position], part, rule)

    if not evaluate(policies, identity).allowed:
        assert not evaluate(stricter, identity).allowed


@given(st.lists(POLICY, min_size=1, max_size=4), st.lists(ALL_RULES, min_size=1), CLIENTS)
def test_a_further_deny_policy_never_opens(policies, include, identity):
    if not evaluate(policies, identity).allowed:
        denying = AccessPolicy(decision="deny", include=include)
        assert not evaluate([*policies, denying], identity).allowed


def test_every_combination_of_the_three_parts():
    for included, required, excluded in itertools.product([True, False], repeat=3):
        policy = AccessPolicy(
            decision="allow",
            include=[(MATCHING if included else OTHER)["uri"]],
            require=[(MATCHING if required else OTHER)["serial"]],
            exclude=[(MATCHING if excluded else OTHER)["dns"]],
        )
        assert evaluate([policy], CLIENT).allowed is (included and required and not excluded)
