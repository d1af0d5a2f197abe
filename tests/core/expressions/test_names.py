"""A name matches what it is and nothing that it only looks like: in doubt no allow matches, and every deny does (I9)."""

from __future__ import annotations

import pytest
from cryptography import x509
from cryptography.x509.name import _ASN1Type
from cryptography.x509.oid import NameOID, ObjectIdentifier

from mtlskit.core.doubt import Doubt
from mtlskit.core.expressions import compile_expression, parse
from support.expressions import CF, NOTHING, client, named, quoted, verdicts

pytestmark = pytest.mark.invariant(9)


def attribute(oid, value):
    return x509.NameAttribute(oid, value)


def common(value):
    return attribute(NameOID.COMMON_NAME, value)


def organization(value):
    return attribute(NameOID.ORGANIZATION_NAME, value)


ACME = client([organization("Acme")], [common("svc")])  # CN=svc,O=Acme
WANTED = [
    'cert_subject_dn eq "CN=svc,O=Acme"',
    'cert_subject_dn_rfc2253 in {"CN=svc,O=Acme" "CN=other"}',
    'cert_subject_dn_legacy eq "/O=Acme/CN=svc"',
    'cert_subject_dn contains "CN=svc,O=Acme"',
    'cert_subject_dn_rfc2253 contains ",O=Acme"',
    'cert_subject_dn_legacy contains "/CN=svc"',
]
WANTED_CALLS = [
    f'starts_with({CF}cert_subject_dn, "CN=svc,")',
    f'ends_with({CF}cert_subject_dn_rfc2253, ",O=Acme")',
    f'starts_with({CF}cert_subject_dn_legacy, "/O=Acme/")',
    f'ends_with({CF}cert_subject_dn_legacy, "/CN=svc")',
]
ALL = [CF + each for each in WANTED] + WANTED_CALLS

NOT_ACME = {
    "an organisation in the common name": named("svc,O=Acme"),
    "the same, escaped": named("svc\\,O=Acme"),
    "a common name in the organisation": client([organization("Acme/CN=svc")]),
    "the legacy text in the common name": named("x/O=Acme/CN=svc"),
    "the whole text in the common name": named("CN=svc,O=Acme"),
    "the whole text behind a comma": named("x,CN=svc,O=Acme"),
    "the whole text behind a plus sign": named("x+CN=svc,O=Acme"),
    "a line of its own": named("x\nCN=svc,O=Acme"),
    "NUL before the rest": named("svc\0,O=Acme"),
    "both in one relative name": client([organization("Acme"), common("svc")]),
    "an unknown type with the text": client([attribute(ObjectIdentifier("1.2.3.4"), "CN=svc,O=Acme")]),
    "with a space before": client([organization(" Acme")], [common(" svc")]),
    "teletex": client(
        [x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Acme", _ASN1Type.T61String, _validate=False)],
        [x509.NameAttribute(NameOID.COMMON_NAME, "svc", _ASN1Type.T61String, _validate=False)],
    ),
    "Cyrillic": client([organization("Acme")], [common("\u0455vc")]),
    "another case": client([organization("ACME")], [common("SVC")]),
    "something else": client([organization("Umbrella")], [common("device")]),
}


@pytest.mark.parametrize("text", ALL)
def test_a_name_matches_itself(text):
    assert verdicts(text, ACME) is True


@pytest.mark.parametrize("case", NOT_ACME)
@pytest.mark.parametrize("text", [CF + WANTED[0], CF + WANTED[1], CF + WANTED[2], CF + WANTED[3], WANTED_CALLS[0]])
def test_what_only_looks_like_a_name_lets_nobody_in(text, case):
    allow = compile_expression(parse(text), unknown_matches=Doubt.NO_MATCH)
    assert not allow(NOT_ACME[case], NOTHING)


def test_what_only_looks_like_a_name_does_not_get_round_its_negation():
    for case, identity in NOT_ACME.items():
        allow = compile_expression(parse(f'{CF}cert_subject_dn ne "CN=other"'), unknown_matches=Doubt.NO_MATCH)
        clear = case not in ("NUL before the rest", "teletex")
        assert allow(identity, NOTHING) is clear, case


CLEARLY_ANOTHER = ("Cyrillic", "another case", "something else")


@pytest.mark.parametrize("case", sorted(set(NOT_ACME) - set(CLEARLY_ANOTHER)))
@pytest.mark.parametrize("text", [CF + WANTED[2], CF + WANTED[3], CF + WANTED[5], *WANTED_CALLS])
def test_in_doubt_a_deny_by_a_part_or_by_the_legacy_form_matches(text, case):
    identity = NOT_ACME[case]
    deny = compile_expression(parse(text), unknown_matches=Doubt.MATCH)
    assert deny(identity, NOTHING)


@pytest.mark.parametrize("text", ALL)
@pytest.mark.parametrize("case", CLEARLY_ANOTHER[1:])
def test_what_is_clearly_another_name_is_not_in_doubt(text, case):
    assert verdicts(text, NOT_ACME[case]) is False


EXACT = [
    ("svc,O=Acme", r"CN=svc\,O=Acme"),
    ("svc+O=Acme", r"CN=svc\+O=Acme"),
    ("#svc", r"CN=\#svc"),
    ("a b ", r"CN=a b\ "),
    ("M\xfcller", "CN=M\xfcller"),
    ("M\xfcller", r"CN=M\C3\BCller"),
    ("a=b/c", "CN=a=b/c"),
]


@pytest.mark.parametrize(("value", "text"), EXACT)
def test_a_whole_name_in_the_escaping_form_is_certain(value, text):
    assert verdicts(f"{CF}cert_subject_dn eq {quoted(text)}", named(value)) is True
    assert verdicts(f"{CF}cert_subject_dn_rfc2253 ne {quoted(text)}", named(value)) is False


@pytest.mark.parametrize("identity", [named("svc\0"), named("svc", _ASN1Type.T61String),
                                      named("svc", _ASN1Type.UniversalString)])  # fmt: skip
def test_a_name_that_readers_could_read_in_two_ways_is_in_doubt_whole_too(identity):
    for operator in ("eq", "ne", "contains"):
        assert verdicts(f'{CF}cert_subject_dn {operator} "CN=svc"', identity) is None


@pytest.mark.parametrize("kind", [_ASN1Type.UTF8String, _ASN1Type.PrintableString, _ASN1Type.BMPString])
def test_the_string_type_of_a_name_gets_round_no_deny(kind):
    for field, text in (("cert_subject_dn", "CN=svc"), ("cert_subject_dn_legacy", "/CN=svc")):
        assert verdicts(f'{CF}{field} eq "{text}"', named("svc", kind)) is True


@pytest.mark.parametrize("part", ["A9", "C3", r"\xc3", "CN"])
def test_no_part_is_searched_in_a_text_that_holds_escapes(part):
    for field in ("cert_subject_dn", "cert_subject_dn_rfc2253", "cert_subject_dn_legacy"):
        assert verdicts(f"{CF}{field} contains {quoted(part)}", named("\xe9CN")) is None


def test_no_part_is_searched_in_a_value_that_is_shown_in_hexadecimal():
    odd = client([attribute(ObjectIdentifier("1.2.3.4"), "svc")])
    assert verdicts(f'{CF}cert_subject_dn contains "737663"', odd) is None
    assert verdicts(f'{CF}cert_subject_dn eq "1.2.3.4=#0C03737663"', odd) is True
    assert verdicts(f'{CF}cert_subject_dn_legacy eq "/1.2.3.4=svc"', odd) is True


def test_the_issuer_is_judged_by_its_own_name():
    odd = named("svc,O=evil")
    assert verdicts(f'starts_with({CF}cert_issuer_dn, "CN=Test")', odd) is True
    assert verdicts(f'{CF}cert_issuer_dn_legacy eq "/CN=Test root"', odd) is True
    assert verdicts(f'{CF}cert_subject_dn_legacy eq "/CN=Test root"', odd) is None
