"""Each selector in each form: what it matches, what it does not, and what it makes of the unreadable."""

from __future__ import annotations

import ipaddress
from datetime import timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.x509.name import _ASN1Type
from cryptography.x509.oid import NameOID

from mtlskit.core import rules
from mtlskit.core.certificates import ClientIdentity, Issuance, public_key_id, read_certificate, to_der
from mtlskit.core.policy import AccessPolicy, evaluate
from mtlskit.core.request import RequestFacts
from mtlskit.errors import ConfigurationError, InvalidName
from mtlskit.testing.certificates import Authority, build, new_key

ROOT = Authority.root()
KEY = new_key()


def name(*pairs: tuple[x509.ObjectIdentifier, str], kind: _ASN1Type | None = None) -> x509.Name:
    attributes = [x509.NameAttribute(oid, value, kind, _validate=kind is None) for oid, value in pairs]
    return x509.Name([x509.RelativeDistinguishedName([each]) for each in attributes])


def client(*sans: x509.GeneralName, subject: x509.Name | None = None, key: Any = KEY, **known: Any) -> ClientIdentity:
    extensions: list[tuple[x509.ExtensionType, bool]] = [(x509.SubjectAlternativeName(sans), False)] if sans else []
    certificate = build(
        subject=subject or name((NameOID.COMMON_NAME, "device-17")), issuer=ROOT.certificate.subject,
        public_key=key.public_key(), signing_key=ROOT.key, extensions=extensions,
    )  # fmt: skip
    known = {"issuers": [ROOT.certificate], "issuance": Issuance(authority="Acme", profile="client"), **known}
    return ClientIdentity.of(
        read_certificate(to_der(certificate)), hostname="pay.acme.example", anchor_id="acme-root", **known
    )


O, OU = NameOID.ORGANIZATION_NAME, NameOID.ORGANIZATIONAL_UNIT_NAME  # noqa: E741
ACME = client(
    x509.DNSName("device-17.Acme.example"), x509.RFC822Name("Ops+17@ACME.example"),
    x509.IPAddress(ipaddress.ip_address("192.0.2.17")), x509.IPAddress(ipaddress.ip_address("2001:db8::17")),
    x509.UniformResourceIdentifier("spiffe://acme.example/till/17"),
    subject=name((O, "Acme, Inc."), (OU, "Tills"), (NameOID.COMMON_NAME, "device-17")),
)  # fmt: skip
URN = client(x509.UniformResourceIdentifier("urn:acme:device:17"))
AT_WORK = RequestFacts.of(
    method="GET", path="/admin/users", client_address="::ffff:192.0.2.9", hostname="Pay.Acme.example."
)


def is_let_in(rule: rules.Rule, identity: ClientIdentity | None = ACME, facts: RequestFacts = AT_WORK) -> bool:
    return evaluate([AccessPolicy(decision="allow", include=[rule])], identity, facts).allowed


def is_kept_out(rule: rules.Rule, identity: ClientIdentity | None = ACME, facts: RequestFacts = AT_WORK) -> bool:
    policy = AccessPolicy(decision="allow", include=[rules.any_valid_certificate()], exclude=[rule])
    return not evaluate([policy], identity, facts).allowed


MATCHING = [
    rules.common_name("device-17"),
    rules.common_name(prefix="device-"),
    rules.common_name(suffix="-17"),
    rules.common_name(one_of=["device-16", "device-17"]),
    rules.organization("Acme, Inc."),
    rules.organization(prefix="Acme"),
    rules.organizational_unit("Tills"),
    rules.dns(prefix="device-"),
    rules.dns(suffix=".ACME.example"),
    rules.dns(one_of=["other.example", "DEVICE-17.acme.example."]),
    rules.email(prefix="Ops+"),
    rules.email(suffix="@Acme.example"),
    rules.email(suffix="+17@acme.example"),
    rules.ip("192.0.2.0/24"),
    rules.ip("2001:db8::/32"),
    rules.ip(one_of=["198.51.100.1", "192.0.2.17"]),
    rules.san("ip:192.0.2.16/28"),
    rules.spiffe_id("spiffe://acme.example/till/17"),
    rules.spiffe_id(prefix="spiffe://acme.example/till/"),
    rules.spiffe_id(suffix="/till/17"),
    rules.spiffe_trust_domain("acme.example"),
    rules.spiffe_trust_domain(suffix=".example"),
    rules.uri(prefix="spiffe://acme.example/"),
    rules.uri(suffix="/17"),
    rules.fingerprint(one_of=["00" * 32, ACME.fingerprint_sha256]),
    rules.public_key(ACME.public_key_sha256),
    rules.serial(one_of=[1, f"{ACME.serial_number:x}"]),
    rules.key_type("ec-p256"),
    rules.key_type(prefix="ec-"),
    rules.anchor("acme-root"),
    rules.anchor(prefix="acme-"),
    rules.anchor_key(public_key_id(ROOT.certificate).hex()),
    rules.profile("client"),
    rules.authority("Acme"),
    rules.lifetime(at_most=timedelta(days=365)),
    rules.lifetime(at_least=timedelta(days=1), at_most=timedelta(days=365)),
    rules.hostname("PAY.acme.example"),
    rules.hostname(suffix=".acme.example"),
    rules.hostname(prefix="pay."),
    rules.method(one_of=["GET", "HEAD"]),
    rules.path("/admin/users"),
    rules.path(prefix="/admin"),
    rules.path(prefix="/admin/"),
    rules.path(prefix="/"),
    rules.path(suffix="/users"),
    rules.client_address("192.0.2.0/24"),
    rules.client_address("::ffff:192.0.2.9"),
    rules.client_address("::ffff:192.0.2.0/120"),
    rules.all_of(rules.method("GET"), rules.path(prefix="/admin")),
    rules.any_of(rules.method("POST"), rules.path(prefix="/admin")),
    rules.not_(rules.method("POST")),
    rules.group([rules.method("GET")], require=[rules.path(prefix="/admin")], exclude=[rules.dns("a.example")]),
    rules.expression('http.host eq "pay.acme.example" and ip.src in {192.0.2.0/24}'),
    rules.everyone(),
]
NOT_MATCHING = [
    rules.common_name("device-1"),
    rules.common_name(prefix="evice-"),
    rules.common_name(suffix="-1"),
    rules.organization("Acme"),
    rules.organization("Tills"),
    rules.organizational_unit("tills"),
    rules.dns(suffix=".me.example"),
    rules.dns(suffix=".device-17.acme.example"),
    rules.dns(prefix="evice-"),
    rules.email(prefix="ops"),
    rules.email(suffix="@me.example"),
    rules.ip("192.0.2.0/28"),
    rules.ip("::ffff:192.0.2.17"),
    rules.ip("2001:db9::/32"),
    rules.spiffe_id("spiffe://acme.example/till/1"),
    rules.spiffe_id(prefix="spiffe://acme.example/tills/"),
    rules.spiffe_id(suffix="/acme.example/till/17"),
    rules.spiffe_trust_domain("example"),
    rules.spiffe_trust_domain(suffix=".acme.example"),
    rules.uri(prefix="urn:acme:"),
    rules.public_key("00" * 32),
    rules.anchor_key(ACME.public_key_sha256),
    rules.key_type("rsa-2048"),
    rules.key_type(prefix="rsa-"),
    rules.anchor("acme"),
    rules.profile("server"),
    rules.authority("acme"),
    rules.lifetime(at_least=timedelta(days=365)),
    rules.hostname("acme.example"),
    rules.hostname(suffix=".pay.acme.example"),
    rules.method("POST"),
    rules.path("/admin"),
    rules.path(prefix="/adm"),
    rules.path(prefix="/admin/users/"),
    rules.path("/Admin/users"),
    rules.client_address("192.0.2.8"),
    rules.client_address("2001:db8::/32"),
    rules.client_address("::/0"),
    rules.all_of(rules.method("GET"), rules.path(prefix="/other")),
    rules.any_of(rules.method("POST"), rules.path(prefix="/other")),
    rules.not_(rules.method("GET")),
    rules.group([rules.method("GET")], exclude=[rules.dns(suffix=".acme.example")]),
    rules.group([rules.method("GET")], require=[rules.method("POST")]),
    rules.expression('http.host eq "acme.example"'),
]


@pytest.mark.parametrize("rule", MATCHING)
def test_what_matches_lets_in_and_shuts_out(rule: rules.Rule) -> None:
    assert is_let_in(rule)
    assert is_kept_out(rule)
    assert not is_let_in(rules.not_(rule))


@pytest.mark.parametrize("rule", NOT_MATCHING)
def test_what_does_not_match_does_neither(rule: rules.Rule) -> None:
    assert not is_let_in(rule)
    assert not is_kept_out(rule)
    assert is_let_in(rules.not_(rule))


UNREADABLE = {
    "two organizations": (rules.organization(prefix="A"), client(subject=name((O, "Acme"), (O, "Acme")))),
    "two units": (rules.organizational_unit("Tills"), client(subject=name((OU, "Tills"), (OU, "Other")))),
    "NUL": (rules.organization(prefix="Acme"), client(subject=name((O, "Acme\0.evil")))),
    "teletex": (rules.organization("Acme"), client(subject=name((O, "Acme"), kind=_ASN1Type.T61String))),
    "no issuers known": (rules.anchor_key("00" * 32), client(issuers=())),
    "nobody looked": (rules.profile("client"), client(issuance=None)),
    "an authority without a name": (rules.authority("Acme"), client(issuance=Issuance(authority=None, profile="x"))),
    "an unreadable address": (rules.ip("192.0.2.0/24"), client(x509.IPAddress(ipaddress.ip_network("192.0.2.0/24")))),
    "a SPIFFE id beside another URI": (
        rules.spiffe_trust_domain("acme.example"),
        client(x509.UniformResourceIdentifier("spiffe://acme.example/a"), x509.UniformResourceIdentifier("urn:a:b")),
    ),
}  # fmt: skip
BROKEN_IDS = (
    "spiffe://acme.example", "spiffe://acme.example/", "spiffe://Acme.example/a", "SPIFFE://acme.example/a",
    "spiffe://acme.example:443/a", "spiffe://user@acme.example/a", "spiffe://acme.example/a?b", "spiffe://acme.example/a#b",
    "spiffe://acme.example//a", "spiffe://acme.example/../a", "spiffe://acme.example/%61", "spiffe:acme.example/a",
    "spiffe://acme.example/" + "a" * 2048,
)  # fmt: skip


@pytest.mark.invariant(9)
@pytest.mark.parametrize("case", UNREADABLE)
def test_the_unreadable_lets_nobody_in_and_shuts_out(case: str) -> None:
    rule, identity = UNREADABLE[case]

    assert not is_let_in(rule, identity)
    assert is_kept_out(rule, identity)


@pytest.mark.invariant(9)
@pytest.mark.parametrize("uri", BROKEN_IDS)
def test_a_broken_spiffe_id_is_unreadable(uri: str) -> None:
    identity = client(x509.UniformResourceIdentifier(uri))

    for rule in (rules.spiffe_trust_domain("acme.example"), rules.spiffe_id(prefix="spiffe://acme.example/")):
        assert not is_let_in(rule, identity)
        assert is_kept_out(rule, identity)


@pytest.mark.invariant(9)
@pytest.mark.parametrize("case", UNREADABLE)
def test_of_the_unreadable_nothing_is_certain_however_it_is_put_together(case: str) -> None:
    rule, identity = UNREADABLE[case]
    no = rules.common_name("nobody")
    for doubtful in (
        rules.not_(rule), rules.not_(rules.not_(rule)), rules.any_of(no, rule), rules.all_of(rules.everyone(), rule),
        rules.group([rules.everyone()], exclude=[rule]), rules.group([rule]), rules.all_of(rule, rules.not_(rule)),
        rules.not_(rules.all_of(rules.everyone(), rule)), rules.group([rules.everyone()], require=[rule]),
    ):  # fmt: skip
        assert not is_let_in(doubtful, identity)
        assert is_kept_out(doubtful, identity)
    assert is_let_in(rules.any_of(rules.everyone(), rule), identity)
    assert not is_kept_out(rules.all_of(no, rule), identity)


def test_another_certificate_of_the_same_kind_is_another() -> None:
    assert is_let_in(rules.uri(prefix="urn:acme:device:"), URN)
    assert not is_let_in(rules.spiffe_trust_domain("acme.example"), URN)
    assert not is_kept_out(rules.spiffe_trust_domain("acme.example"), URN)
    nobodys = client(issuance=Issuance())
    assert not is_let_in(rules.profile(prefix="c"), nobodys)
    assert not is_kept_out(rules.authority("Acme"), nobodys)


@pytest.mark.parametrize("rule", [rule for rule in MATCHING if rule != rules.everyone()])
def test_no_rule_lets_in_who_has_no_certificate(rule: rules.Rule) -> None:
    assert not is_let_in(rule, None)


@pytest.mark.parametrize(
    ("make", "given"),
    [
        (rules.dns, {"suffix": "acme.example"}),
        (rules.dns, {"suffix": "."}),
        (rules.dns, {"suffix": "*.acme.example"}),
        (rules.dns, {"prefix": "Device-"}),
        (rules.dns, {"prefix": "*."}),
        (rules.hostname, {"suffix": "acme.example"}),
        (rules.hostname, {"value": "pay.acme.example:443"}),
        (rules.uri, {"prefix": "https://acme.example"}),
        (rules.uri, {"prefix": "spiffe://acme"}),
        (rules.uri, {"prefix": "no scheme"}),
        (rules.email, {"suffix": "acme.example"}),
        (rules.email, {"prefix": "ops@acme"}),
        (rules.spiffe_id, {"prefix": "spiffe://acme.example"}),
        (rules.spiffe_id, {"prefix": "spiffe://acme.example/../"}),
        (rules.spiffe_id, {"value": "spiffe://acme.example"}),
        (rules.spiffe_id, {"suffix": "till/17"}),
        (rules.spiffe_id, {"suffix": "/../17"}),
        (rules.spiffe_trust_domain, {"suffix": "example"}),
        (rules.spiffe_trust_domain, {"value": "Acme.example"}),
        (rules.serial, {"one_of": []}),
        (rules.serial, {"one_of": ["zz"]}),
        (rules.common_name, {}),
        (rules.common_name, {"prefix": ""}),
        (rules.common_name, {"value": "a", "prefix": "a"}),
        (rules.common_name, {"one_of": "device"}),
        (rules.key_type, {"value": "ec-p257"}),
        (rules.key_type, {"prefix": "e"}),
        (rules.fingerprint, {"sha256": "00", "one_of": ["00" * 32]}),
        (rules.ip, {"value": "192.0.2.1/24"}),
        (rules.ip, {"value": "10.0.0.0/8", "one_of": ["10.0.0.0/8"]}),
        (rules.client_address, {"value": "localhost"}),
        (rules.client_address, {"value": 167772160}),
        (rules.path, {"value": "admin"}),
        (rules.path, {"value": "/a/../b"}),
        (rules.path, {"prefix": "//"}),
        (rules.path, {"suffix": "\\b"}),
        (rules.method, {"value": "GET POST"}),
        (rules.method, {"value": "get"}),
        (rules.lifetime, {}),
        (rules.lifetime, {"at_least": timedelta(0)}),
        (rules.lifetime, {"at_least": timedelta(days=2), "at_most": timedelta(days=1)}),
        (rules.remaining, {"at_least": timedelta(microseconds=1)}),
        (rules.remaining, {"at_least": 30}),
    ],
)
def test_a_rule_that_could_never_match_or_too_much_is_refused(make: Any, given: dict[str, Any]) -> None:
    value = given.pop("value", None)
    with pytest.raises((ConfigurationError, InvalidName), match="expected "):
        make(value, **given) if value is not None else make(**given)


@pytest.mark.parametrize("make", [rules.all_of, rules.any_of])
def test_a_combination_of_nothing_is_refused(make: Any) -> None:
    with pytest.raises(ConfigurationError, match="at least one rule"):
        make()


def test_rules_are_not_nested_without_end() -> None:
    rule: rules.Rule = rules.everyone()
    with pytest.raises(ConfigurationError, match="at most 32 deep"):
        for _ in range(40):
            rule = rules.any_of(rule, rule)


def test_a_thousand_prefixes_are_one_look_up_for_each_length() -> None:
    many = [rules.common_name(prefix=f"other-{number:04}-") for number in range(1_000)]
    policy = AccessPolicy(decision="allow", include=[*many, rules.common_name(prefix="device-")])

    assert evaluate([policy], ACME).rule == 1_000
