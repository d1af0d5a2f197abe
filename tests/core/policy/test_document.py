"""The Access policy document is read whole or not at all, and comes back as it was."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtlskit.core import rules
from mtlskit.core.policy import AccessPolicy, read_policies
from mtlskit.errors import ConfigurationError

ACCESS = {
    "name": "Devices",
    "decision": "non_identity",
    "include": [{"certificate": {}}, {"common_name": {"common_name": "John Doe"}}],
    "require": [{"san": {"uri": "urn:acme:device:17"}}, {"san": {"dns": "a.example"}}],
    "exclude": [{"fingerprint": {"sha256": "0a" * 32}}, {"serial": {"hex": "0A1B"}}],
    "session_duration": "24h",
}


def test_an_access_document_is_read():
    assert AccessPolicy.from_dict(ACCESS) == AccessPolicy(
        name="Devices",
        decision="non_identity",
        include=[rules.any_valid_certificate(), rules.common_name("John Doe")],
        require=[rules.uri("urn:acme:device:17"), rules.dns("a.example")],
        exclude=[rules.fingerprint("0a" * 32), rules.serial(0x0A1B)],
        session_duration="24h",
    )


def test_an_access_document_comes_back_in_canonical_form():
    written = AccessPolicy.from_dict(ACCESS).to_dict()

    assert written == {**ACCESS, "exclude": [ACCESS["exclude"][0], {"serial": {"hex": "A1B"}}]}


RULES = st.one_of(
    st.just(rules.any_valid_certificate()),
    st.builds(rules.common_name, st.text(min_size=1).filter(lambda text: "\0" not in text)),
    st.sampled_from(["dns:*.a.example", "uri:urn:a:b", "email:Ops@a.example", "ip:2001:db8::1"]).map(rules.san),
    st.builds(rules.fingerprint, st.binary(min_size=32, max_size=32).map(bytes.hex)),
    st.builds(rules.serial, st.integers(1, (1 << 160) - 1)),
)
POLICIES = st.builds(
    AccessPolicy,
    name=st.text(),
    decision=st.sampled_from(["allow", "deny", "bypass", "non_identity"]),
    include=st.lists(RULES, min_size=1),
    require=st.lists(RULES),
    exclude=st.lists(RULES),
)


@given(POLICIES)
def test_every_policy_survives_its_own_json(policy):
    assert AccessPolicy.from_dict(json.loads(json.dumps(policy.to_dict()))) == policy


def document(**changes):
    return {"decision": "allow", "include": [{"certificate": {}}], **changes}


@pytest.mark.parametrize(
    ("wrong", "path"),
    [
        (document(require=[{"emial": {"email": "a@b.example"}}]), "policies[1].require[0].emial"),
        (document(requires=[]), "policies[1].requires"),
        (document(id="x"), "policies[1].id"),
        (document(decision="alow"), "policies[1].decision"),
        (document(name=7), "policies[1].name"),
        (document(include=[]), "policies[1].include"),
        ({"decision": "allow"}, "policies[1].include"),
        ({"include": [{"certificate": {}}]}, "policies[1].decision"),
        (document(include={"certificate": {}}), "policies[1].include"),
        (document(exclude=[{}]), "policies[1].exclude[0]"),
        (document(exclude=["certificate"]), "policies[1].exclude[0]"),
        (document(exclude=[{"certificate": {}, "common_name": {}}]), "policies[1].exclude[0]"),
        (document(include=[{"certificate": {"issuer": "x"}}]), "policies[1].include[0].certificate.issuer"),
        (document(include=[{"certificate": None}]), "policies[1].include[0].certificate"),
        (document(include=[{"common_name": {}}]), "policies[1].include[0].common_name"),
        (document(include=[{"common_name": "x"}]), "policies[1].include[0].common_name"),
        (document(include=[{"common_name": {"common_name": 7}}]), "policies[1].include[0].common_name.common_name"),
        (document(include=[{"san": {"urn": "x"}}]), "policies[1].include[0].san.urn"),
        (document(include=[{"san": {"dns": "a.example", "uri": "urn:a"}}]), "policies[1].include[0].san"),
        (document(include=[{"san": {"dns": "a..example"}}]), "policies[1].include[0].san"),
        (document(include=[{"serial": {"hex": 17}}]), "policies[1].include[0].serial.hex"),
        (document(include=[{"serial": {"hex": "zz"}}]), "policies[1].include[0].serial"),
        (document(include=[{"fingerprint": {"sha1": "00"}}]), "policies[1].include[0].fingerprint.sha1"),
        ("allow", "policies[1]"),
    ],
)
def test_what_is_not_known_is_an_error_with_its_path(wrong, path):
    with pytest.raises(ConfigurationError) as caught:
        read_policies([document(), wrong])

    message = str(caught.value)
    assert f"at {path}," in message or message.endswith(f"at {path}")
    assert "\n" not in message


@pytest.mark.parametrize("wrong", [{}, "policies", None])
def test_a_list_of_policies_is_a_list(wrong):
    with pytest.raises(ConfigurationError, match="expected a list of policies"):
        read_policies(wrong)
