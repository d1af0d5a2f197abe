"""Profiles are made from enum members or their texts: what is neither is refused, and never passed over."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from hypothesis import given
from hypothesis import strategies as st

from mtlskit.core import profiles
from mtlskit.core.names import SubjectAlternativeName
from mtlskit.core.profiles import (
    CLIENT,
    OCSP_RESPONDER,
    ROOT,
    AuthorityConstraints,
    DNSLabels,
    ExtendedKeyUsage,
    KeyUsage,
    Lifetimes,
    Names,
    NameSubtree,
    Profile,
    RequestNames,
    ResponderCheck,
    Role,
    SanPresence,
    SanRule,
    SanType,
    URIForm,
)
from mtlskit.errors import ConfigurationError, InvalidName, IssuanceError

NOW = datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
TEXTS: dict[str, tuple[Any, Any]] = {
    "role": ("end_entity", Role.END_ENTITY),
    "key_usages": (["digital_signature"], frozenset({KeyUsage.DIGITAL_SIGNATURE})),
    "extended_key_usages": (["client_auth"], (ExtendedKeyUsage.CLIENT_AUTH,)),
    "san_types": ({"uri", "dns"}, frozenset({SanType.URI, SanType.DNS})),
    "san_presence": ("required", SanPresence.REQUIRED),
    "request_names": ("caller_only", RequestNames.CALLER_ONLY),
    "dns_labels": ("without_underscore", DNSLabels.WITHOUT_UNDERSCORE),
    "uri_form": ("spiffe_id", URIForm.SPIFFE_ID),
    "responder_check": ("asked", ResponderCheck.ASKED),
    "san_rules": ([SanRule("uri", "urn:acme:")], (SanRule(SanType.URI, "urn:acme:"),)),  # type: ignore[arg-type]
    "required_sans": ({"uri"}, frozenset({SanType.URI})),
}
STRANGE: tuple[Any, ...] = (
    None, "", "other", b"uri", 7, 1.5, True, ..., [], ["other"], {"other"}, (None,), [[]], {"uri": 1}, [b"uri"],
    ExtendedKeyUsage.OCSP_SIGNING, HOUR, x509.ObjectIdentifier("1.2.3"), [x509.ObjectIdentifier("1.2.3")],
)  # fmt: skip


def made(**changes: Any) -> Profile:
    return replace(CLIENT, name="sensor", **changes)


# --- the text of a member -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("field", TEXTS)
def test_the_text_of_a_member_stands_for_it(field: str) -> None:
    text, member = TEXTS[field]
    found = made(**{field: text})
    assert found == made(**{field: member})
    assert type(getattr(found, field)) is type(member)
    assert hash(found) == hash(made(**{field: member}))
    kinds = {type(each) for each in getattr(found, field)} if isinstance(member, tuple | frozenset) else set()
    assert str not in kinds


def test_a_rule_with_a_text_for_its_type_binds() -> None:
    profile = made(san_rules=(SanRule("uri", "urn:acme:"),))  # type: ignore[arg-type]
    assert profile.san_rules[0].type is SanType.URI
    profiles.check_names(profile, Names.of(uris=["urn:acme:till-7"]))
    with pytest.raises(IssuanceError, match="^uri: expected one inside of urn:acme:"):
        profiles.check_names(profile, Names.of(uris=["urn:umbrella:till-7"]))


BINDING: dict[str, tuple[dict[str, Any], Names, str]] = {
    "presence": ({"san_presence": "required"}, Names.of("a"), "expected one for the profile"),
    "type": ({"san_types": {"dns"}}, Names.of(uris=["urn:a"]), "expected SAN types dns"),
    "required": ({"required_sans": {"uri"}}, Names.of("a"), "^uri: expected one"),
    "labels": ({"dns_labels": "without_underscore"}, Names.of(dns=["_a.example"]), "without an underscore"),
    "form": ({"uri_form": "spiffe_id"}, Names.of(uris=["urn:a"]), "expected a SPIFFE id"),
    "usages": ({"key_usages": ["digital_signature"], "most_sans": 1}, Names.of(uris=["urn:a", "urn:b"]), "at most 1"),
}


@pytest.mark.parametrize("which", BINDING)
def test_what_texts_say_is_held(which: str) -> None:
    changes, names, said = BINDING[which]
    with pytest.raises(IssuanceError, match=said):
        profiles.check_names(made(**changes), names)


@pytest.mark.parametrize("usage", ["key_cert_sign", "crl_sign"])
def test_no_end_entity_signs_certificates_by_a_text_either(usage: str) -> None:
    with pytest.raises(ConfigurationError, match="signs no certificates and no lists"):
        made(role="end_entity", key_usages=[usage])
    with pytest.raises(ConfigurationError, match="stands for nothing else"):
        replace(CLIENT, name="root", role="end_entity")  # type: ignore[arg-type]


def test_a_responder_is_one_by_texts_too() -> None:
    assert replace(OCSP_RESPONDER, responder_check="not_asked", extended_key_usages=["ocsp_signing"]) == OCSP_RESPONDER  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="for OCSPSigning alone"):
        made(responder_check="not_asked")


# --- what is none ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("field", [each.name for each in fields(Profile)])
@pytest.mark.parametrize("given", STRANGE, ids=repr)
def test_a_field_is_what_it_says_or_refused(field: str, given: Any) -> None:
    """No TypeError, and no value that another check would pass over."""
    try:
        found = replace(CLIENT, **{"name": "sensor", field: given})
    except ConfigurationError as error:
        assert "expected" in str(error)
        assert field in str(error) or "profile" in str(error)
        return
    usual = getattr(CLIENT, field)
    assert type(getattr(found, field)) is type(usual)
    hash(found)


@pytest.mark.parametrize(("field", "given", "said"), [
    ("san_types", "uri", "expected several for san_types, got the one text 'uri'"),
    ("san_types", SanType.URI, "expected several for san_types, got the one text"),
    ("required_sans", {"urn"}, "expected required_sans to be one of ['dns', 'uri', 'email', 'ip'], got 'urn'"),
    ("san_presence", "mandatory", "expected san_presence to be one of ['optional', 'required'], got 'mandatory'"),
    ("role", "ca", "expected role to be one of ['end_entity', 'authority'], got 'ca'"),
    ("san_rules", SanRule(SanType.URI, "urn:"), "expected several for san_rules, got SanRule"),
    ("san_rules", ["urn:acme:"], "expected san_rules to be SanRule, got 'urn:acme:'"),
    ("lifetimes", HOUR, "expected lifetimes to be Lifetimes, got "),
    ("most_sans", "100", "expected most_sans to be a number from 0 on, got '100'"),
    ("most_sans", -1, "expected most_sans to be a number from 0 on, got -1"),
    ("name", "a\nb", "expected name to be a printable text, got"),
])  # fmt: skip
def test_the_error_names_the_field(field: str, given: Any, said: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        replace(CLIENT, **{"name": "sensor", field: given})
    assert str(caught.value).startswith(said)


@pytest.mark.parametrize(("kind", "base"), [
    ("urn", "urn:acme:"), (None, "urn:acme:"), ([], "urn:acme:"), (Role.AUTHORITY, "urn:acme:"), ("uri", b"urn:acme:"),
    ("uri", None), ("uri", ""), ("ip", 5), ("ip", ipaddress.ip_network("10.0.0.0/8")), ("email", None), ("dns", b"a.b"),
    ("dns", None),
])  # fmt: skip
def test_what_is_no_rule_is_refused(kind: Any, base: Any) -> None:
    with pytest.raises(ConfigurationError, match="expected"):
        SanRule(kind, base)
    with pytest.raises((IssuanceError, ConfigurationError), match="expected"):
        NameSubtree(kind, base)


@pytest.mark.parametrize("field", ["minimum", "default", "maximum"])
@pytest.mark.parametrize("given", [None, 60, "1h", True, 1.5], ids=repr)
def test_a_lifetime_is_a_timedelta(field: str, given: Any) -> None:
    bounds: dict[str, Any] = {"minimum": HOUR, "default": HOUR, "maximum": HOUR}
    with pytest.raises(ConfigurationError, match=f"expected {field} to be timedelta, got"):
        Lifetimes(**{**bounds, field: given})


@given(st.sampled_from([each.name for each in fields(Profile)]), st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.binary(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
))  # fmt: skip
def test_nothing_else_but_a_configuration_error_comes_out(field: str, given: Any) -> None:
    for profile in (CLIENT, ROOT, OCSP_RESPONDER):
        try:
            hash(replace(profile, **{"name": "sensor", field: given}))
        except ConfigurationError as error:
            assert str(error).startswith("expected ")


# --- constraints, and names that were made by hand ------------------------------------------------------------------


def test_constraints_take_texts_too() -> None:
    written = AuthorityConstraints(
        path_length=0,
        extended_key_usages=["client_auth"],  # type: ignore[arg-type]
        permitted=[NameSubtree("dns", "a.example"), NameSubtree("ip", "10.0.0.0/8")],  # type: ignore[arg-type]
    )
    assert written == AuthorityConstraints(
        path_length=0,
        extended_key_usages=(ExtendedKeyUsage.CLIENT_AUTH,),
        permitted=(NameSubtree(SanType.DNS, "a.example"), NameSubtree(SanType.IP, "10.0.0.0/8")),
    )
    assert hash(written)
    assert written.permitted[1].general_name() == x509.IPAddress(ipaddress.ip_network("10.0.0.0/8"))  # type: ignore[union-attr]


WRONG_CONSTRAINTS: dict[str, tuple[Callable[[], object], str]] = {
    "one purpose": (lambda: AuthorityConstraints(extended_key_usages="client_auth"), "the one text"),  # type: ignore[arg-type]
    "no purpose": (lambda: AuthorityConstraints(extended_key_usages=["clientAuth"]), "got 'clientAuth'"),  # type: ignore[list-item, arg-type]
    "one subtree": (lambda: AuthorityConstraints(permitted=NameSubtree(SanType.DNS, "a.example")), "expected several"),  # type: ignore[arg-type]
    "a text": (lambda: AuthorityConstraints(excluded=["a.example"]), "excluded"),  # type: ignore[list-item, arg-type]
    "a path length": (lambda: AuthorityConstraints(path_length="1"), "path_length"),  # type: ignore[arg-type]
    "a negative one": (lambda: AuthorityConstraints(path_length=-1), "path_length"),
    "a bool": (lambda: AuthorityConstraints(path_length=True), "path_length"),
}


@pytest.mark.parametrize("which", WRONG_CONSTRAINTS)
def test_constraints_that_are_none_are_refused(which: str) -> None:
    make, said = WRONG_CONSTRAINTS[which]
    with pytest.raises(ConfigurationError, match=said):
        make()


def test_a_name_that_was_made_by_hand_has_a_type() -> None:
    name = SubjectAlternativeName("uri", "urn:umbrella:1")  # type: ignore[arg-type]
    assert name.type is SanType.URI
    with pytest.raises(InvalidName, match="expected a type of name among"):
        SubjectAlternativeName("urn", "x")  # type: ignore[arg-type]
    rule = made(san_rules=[SanRule(SanType.URI, "urn:acme:")])
    with pytest.raises(IssuanceError, match="^uri: expected one inside of"):
        profiles.check_names(rule, Names(common_name=None, sans=(name,)))


@pytest.mark.parametrize("lifetime", ["30d", 60, True, b"1h"], ids=repr)
def test_a_lifetime_that_is_asked_for_is_a_timedelta(lifetime: Any) -> None:
    with pytest.raises(IssuanceError, match="^lifetime: expected a timedelta, got"):
        profiles.validity(CLIENT, now=NOW, lifetime=lifetime, issuer=None)


def test_a_life_beyond_what_a_certificate_can_say_is_refused() -> None:
    endless = made(lifetimes=Lifetimes(minimum=HOUR, default=HOUR, maximum=timedelta.max))
    with pytest.raises(IssuanceError, match="^lifetime: expected an end before the year 10000"):
        profiles.validity(endless, now=NOW, lifetime=timedelta(days=3_000_000), issuer=None)
