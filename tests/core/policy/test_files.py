"""Policies in files, JSON and TOML: whole or not at all, with the groups that they name."""

from __future__ import annotations

import json
from datetime import UTC, datetime, time, timedelta
from typing import Any

import pytest

from mtlskit.core import rules
from mtlskit.core.policy import AccessPolicy, policies_from_text, policies_to_text, read_policies
from mtlskit.errors import ConfigurationError

STAFF = rules.group(
    [rules.organizational_unit("Office"), rules.organizational_unit("Support")], id="staff", name="Staff"
)
NIGHT = rules.group([STAFF], require=[rules.time_window(start=time(22), end=time(6))], id="night")
POLICIES = (
    AccessPolicy(
        name="everything",
        decision="allow",
        include=[
            rules.any_valid_certificate(), rules.common_name(one_of=["a", "b"]), rules.organization(prefix="Acme"),
            rules.dns(suffix=".acme.example"), rules.uri(prefix="urn:acme:"), rules.email(suffix="@acme.example"),
            rules.ip(one_of=["192.0.2.0/24", "2001:db8::1"]), rules.spiffe_id(prefix="spiffe://acme.example/"),
            rules.spiffe_trust_domain("acme.example"), rules.serial(one_of=[1, 255]), rules.fingerprint("0a" * 32),
            rules.public_key("0b" * 32), rules.key_type(prefix="ec-"), rules.anchor("acme"), rules.anchor_key("0c" * 32),
            rules.profile("client"), rules.authority("Acme"), STAFF,
        ],
        require=[
            rules.lifetime(at_least=timedelta(seconds=1), at_most=timedelta(days=90)), rules.remaining(at_least=timedelta(hours=36)),
            rules.hostname("pay.acme.example"), rules.method("GET"), rules.path(prefix="/admin"), rules.client_address("192.0.2.0/24"),
            rules.time_window(
                since=datetime(2026, 1, 1, tzinfo=UTC), until=datetime(2027, 1, 1, 12, 30, tzinfo=UTC), start=time(8, 30),
                end=time(18, 0, 1), days=["fri", "mon"], timezone="Europe/Berlin",
            ),
            rules.any_of(NIGHT, rules.all_of(rules.everyone(), rules.not_(rules.common_name("c")))),
        ],
        exclude=[rules.expression('http.request.uri.path contains "\\"" and not cf.tls_client_auth.cert_revoked')],
        session_duration="24h",
    ),
    AccessPolicy(decision="deny", include=[rules.group([rules.everyone()], name="without an id")]),
)  # fmt: skip


@pytest.mark.parametrize("form", ["json", "toml"])
def test_every_rule_survives_a_file(form: str) -> None:
    if form == "toml":
        pytest.importorskip("tomli_w")
    text = policies_to_text(POLICIES, form)

    assert policies_from_text(text, form) == POLICIES
    assert policies_from_text(text.encode(), form) == POLICIES
    assert policies_to_text(policies_from_text(text, form), form) == text


def test_a_group_with_an_id_is_written_once_and_before_who_names_it() -> None:
    document = json.loads(policies_to_text(POLICIES, "json"))

    assert [group["id"] for group in document["groups"]] == ["staff", "night"]
    assert document["groups"][1]["include"] == [{"group": {"id": "staff"}}]
    assert document["policies"][0]["include"][-1] == {"group": {"id": "staff"}}
    assert document["policies"][1]["include"][0]["group"]["name"] == "without an id"


def test_two_groups_of_one_id_are_not_written() -> None:
    other = rules.group([rules.everyone()], id="staff")

    with pytest.raises(ConfigurationError, match="one rule group of the id 'staff'"):
        policies_to_text([*POLICIES, AccessPolicy(decision="allow", include=[other])], "json")


def test_an_access_document_alone_will_do() -> None:
    policy = {"decision": "allow", "include": [{"certificate": {}}]}

    assert policies_from_text(json.dumps([policy]), "json") == read_policies([policy])


def test_toml_has_moments_of_its_own() -> None:
    text = """
    [[policies]]
    decision = "allow"
    include = [{ certificate = {} }]
    require = [{ time = { since = 2026-01-01T00:00:00Z, start = 08:30:00, end = 18:00:00 } }]
    """
    (policy,) = policies_from_text(text, "toml")

    assert policy.require == (
        rules.time_window(since=datetime(2026, 1, 1, tzinfo=UTC), start=time(8, 30), end=time(18)),
    )


ALLOW = {"decision": "allow", "include": [{"certificate": {}}]}


def with_rule(**rule: Any) -> dict[str, Any]:
    return {"policies": [{**ALLOW, "require": [rule]}]}


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({}, "policies"),
        ({"policies": []} | {"group": []}, "the file.group"),
        ({"policies": ALLOW}, "list of policies at policies"),
        ({"policies": [ALLOW], "groups": {}}, "list of rule groups at groups"),
        ({"policies": [ALLOW], "groups": [{"include": [{"certificate": {}}]}]}, "groups[0].id"),
        ({"policies": [ALLOW], "groups": [{"id": "a", "include": [{"everyone": {}}]}] * 2}, "groups[1].id"),
        ({"policies": [ALLOW], "groups": [{"id": "a", "include": []}]}, "groups[0]"),
        ({"policies": [ALLOW], "groups": [{"id": "a", "include": [{"emial": {}}]}]}, "groups[0].include[0].emial"),
        (with_rule(group={"id": "b"}), "policies[0].require[0].group.id"),
        (with_rule(group={"id": "b", "include": []}), "policies[0].require[0].group"),
        (with_rule(all_of=[{"certificate": {}}, {"not": {"emial": {}}}]), "policies[0].require[0].all_of[1].not.emial"),
        (with_rule(any_of=[]), "policies[0].require[0].any_of"),
        (with_rule(any_of={"certificate": {}}), "policies[0].require[0].any_of"),
        (with_rule(**{"not": []}), "policies[0].require[0].not"),
        (with_rule(san={"dns": {"suffix": "acme.example"}}), "policies[0].require[0].san"),
        (with_rule(san={"dns": {"regex": ".*"}}), "policies[0].require[0].san.dns.regex"),
        (with_rule(san={"dns": {"one_of": "a.example"}}), "policies[0].require[0].san.dns.one_of"),
        (with_rule(san={"dns": {"one_of": ["a.example", 7]}}), "policies[0].require[0].san.dns.one_of[1]"),
        (with_rule(san={"dns": {"prefix": "a", "suffix": ".b"}}), "policies[0].require[0].san.dns"),
        (with_rule(ip={"ip": {"prefix": "10."}}), "policies[0].require[0].ip"),
        (with_rule(expression={"text": "http.hosst"}), "policies[0].require[0].expression.text"),
        (with_rule(expression={}), "policies[0].require[0].expression"),
        (with_rule(lifetime={"at_most": "90"}), "policies[0].require[0].lifetime.at_most"),
        (with_rule(remaining={"at_leats": "90d"}), "policies[0].require[0].remaining.at_leats"),
        (with_rule(lifetime={}), "policies[0].require[0].lifetime"),
        (with_rule(time={"since": "today"}), "policies[0].require[0].time.since"),
        (with_rule(time={"start": "25:00", "end": "26:00"}), "policies[0].require[0].time.start"),
        (with_rule(time={"days": "mon"}), "policies[0].require[0].time.days"),
        (with_rule(time={"days": [1]}), "policies[0].require[0].time"),
        (with_rule(issued={"profile": "a", "authority": "b"}), "policies[0].require[0].issued"),
    ],
)
def test_what_is_not_known_is_an_error_with_its_path(wrong: Any, told: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        policies_from_text(json.dumps(wrong), "json")

    assert told in str(caught.value)
    assert str(caught.value).count(" at policies") <= 1
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("{", "json"),
        ('{"policies": [], "policies": []}', "json"),
        ('{"policies": [{"decision": "deny", "decision": "allow", "include": [{"certificate": {}}]}]}', "json"),
        ("[" * 100_000, "json"),
        (b"\xff", "json"),
        ("policies = [", "toml"),
        ("policies = []\npolicies = []", "toml"),
        (b"\xff", "toml"),
    ],
)
def test_a_broken_file_is_one_clear_error(text: str | bytes, form: str) -> None:
    with pytest.raises(ConfigurationError, match=f"expected policies in {form.upper()}, got "):
        policies_from_text(text, form)


def test_rules_nested_without_end_are_refused() -> None:
    rule: dict[str, Any] = {"certificate": {}}
    for _ in range(200):
        rule = {"not": rule}

    with pytest.raises(ConfigurationError, match="deep in one another"):
        read_policies([{**ALLOW, "require": [rule]}])
