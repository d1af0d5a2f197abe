"""An expression says true, false or unknown, by Kleene's tables; the unknown counts for whatever keeps a client out."""

from __future__ import annotations

import inspect
import sys
from ipaddress import IPv6Address
from itertools import product

import pytest
from hypothesis import given

from mtlskit.core.certificates import ClientIdentity, PresentedChain
from mtlskit.core.doubt import Doubt
from mtlskit.core.expressions import (
    DEEPEST_NESTING,
    RevokedCertificates,
    Seen,
    compile_expression,
    evaluate,
    explain_parts,
    parse,
)
from mtlskit.core.fields import ClientCertificateFields
from mtlskit.core.reasons import Reason
from mtlskit.core.request import RequestFacts
from support.expressions import CF, CLIENTS, EXPRESSIONS, NOTHING, REQUESTS, ROOT, client, named, verdicts

SVC = named("svc")
TRUE, FALSE, UNKNOWN = f"{CF}cert_presented", f"{CF}cert_revoked", 'http.request.method eq "GET"'
TEXT_OF = {True: TRUE, False: FALSE, None: UNKNOWN}


def known(function):
    """A table of two true-or-false values, with None wherever that leaves the answer open."""

    def of(one, other):
        answers = {
            function(*pair)
            for pair in product(*([each] if each is not None else [True, False] for each in (one, other)))
        }
        return answers.pop() if len(answers) == 1 else None

    return of


TABLES = {
    "and": known(lambda one, other: one and other),
    "or": known(lambda one, other: one or other),
    "xor": known(lambda one, other: one is not other),
}
THREE = (True, False, None)


@pytest.mark.parametrize("connective", TABLES)
@pytest.mark.parametrize(("one", "other"), list(product(THREE, THREE)))
def test_a_connective_has_kleenes_table(connective, one, other):
    found = verdicts(f"{TEXT_OF[one]} {connective} {TEXT_OF[other]}", SVC)
    assert found is TABLES[connective](one, other)


@pytest.mark.parametrize(("value", "contrary"), [(True, False), (False, True), (None, None)])
def test_a_negation_leaves_the_unknown_unknown(value, contrary):
    assert verdicts(f"not {TEXT_OF[value]}", SVC) is contrary


@pytest.mark.parametrize("operands", list(product(THREE, repeat=3)))
def test_more_than_two_are_joined_as_two_by_two(operands):
    for connective, table in TABLES.items():
        found = verdicts(f" {connective} ".join(TEXT_OF[each] for each in operands), SVC)
        assert found is table(table(operands[0], operands[1]), operands[2])


@given(EXPRESSIONS, CLIENTS, REQUESTS)
def test_compiled_and_interpreted_say_the_same(text, identity, request):
    verdicts(text, identity, request)


@pytest.mark.invariant(9)
@given(EXPRESSIONS, CLIENTS, REQUESTS)
def test_to_know_less_never_turns_an_answer_round(text, identity, request):
    expression = parse(text)
    told, untold = verdicts(expression, identity, request), verdicts(expression, identity, NOTHING)
    assert untold is None or untold is told


REQUEST = RequestFacts.of(method="GET", path="/a/b%20c", client_address="10.0.0.7", hostname="Pay.Acme.example:443")


@pytest.mark.parametrize(("text", "expected"), [
    ('http.host eq "PAY.acme.example."', True),
    ('http.host ne "pay.acme.example"', False),
    ('http.host in {"a.example" "pay.acme.example"}', True),
    ('http.host contains ".acme."', True),
    ('ends_with(http.host, ".example")', True),
    ('starts_with(http.host, "acme")', False),
    ('http.request.method eq "GET"', True),
    ('http.request.method eq "get"', False),
    ('http.request.uri.path eq "/a/b c"', True),
    ('starts_with(http.request.uri.path, "/a/")', True),
    ('ends_with(http.request.uri.path, "/a/")', False),
    ("ip.src eq 10.0.0.7", True),
    ("ip.src ne 10.0.0.7", False),
    ("ip.src in {192.0.2.1 10.0.0.0/29}", True),
    ("ip.src in {10.0.0.8..10.0.0.9 ::/0}", False),
])  # fmt: skip
def test_a_comparison_with_the_request(text, expected):
    assert verdicts(text, SVC, REQUEST) is expected
    assert verdicts(text, None, REQUEST) is expected
    assert verdicts(text, SVC, NOTHING) is None


def test_a_certificates_fields_are_compared_in_their_own_spelling():
    serial, key = SVC.serial_number, ClientCertificateFields.of_identity(SVC)
    for text in (
        f'{CF}cert_serial eq "{serial:x}"',
        f'{CF}cert_serial in {{"01" "000{serial:X}"}}',
        f'{CF}cert_fingerprint_sha256 eq "{SVC.fingerprint_sha256.upper()}"',
        f'{CF}cert_fingerprint_sha1 eq "{key.cert_fingerprint_sha1}"',
        f'{CF}cert_issuer_ski eq "{key.cert_issuer_ski.lower()}"',
        f'{CF}cert_ski contains "{key.cert_ski[3:9].lower()}"',
        f'{CF}cert_not_after eq "{key.cert_not_after}"',
        f'{CF}cert_subject_dn eq "CN=svc" and {CF}cert_subject_dn_rfc2253 eq "CN=svc"',
        f'{CF}cert_issuer_dn_legacy eq "/CN=Test root"',
        f"{CF}cert_verified and not {CF}cert_revoked",
    ):
        assert verdicts(text, SVC) is True, text


def test_no_certificate_is_certain_and_has_the_placeholder():
    assert verdicts(f"not {CF}cert_presented and not {CF}cert_verified", None) is True
    assert verdicts(f'{CF}cert_subject_dn eq "" and {CF}cert_issuer_ski eq ""', None) is True
    assert verdicts(f'{CF}cert_issuer_dn_legacy contains "CN"', None) is False


def test_what_the_identity_does_not_have_is_unknown_not_empty():
    bare = ClientIdentity.of(SVC.certificate, hostname="pay.acme.example", anchor_id="acme")

    for name in ("cert_issuer_ski", "cert_issuer_serial", "cert_chain_rfc9440"):
        assert verdicts(f'{CF}{name} eq ""', bare) is None
        assert verdicts(f'{CF}{name} ne "AB"', bare) is None
    assert verdicts(f"{CF}cert_chain_rfc9440_too_large", bare) is None


def test_the_address_of_one_link_is_unknown_and_an_embedded_one_is_what_it_embeds():
    linked, embedded = (RequestFacts(client_address=IPv6Address(each)) for each in ("fe80::1%1", "::ffff:10.0.0.7"))

    assert verdicts("ip.src eq fe80::1", None, linked) is None
    assert verdicts("ip.src eq 10.0.0.7 and ip.src in {::ffff:10.0.0.0/120}", None, embedded) is True


REVOKED = ClientCertificateFields.of_refused(
    PresentedChain.from_certificates(SVC.certificate), Reason.REVOKED, issuers=[ROOT.certificate]
)


def test_a_revoked_certificate_is_not_verified_unless_cloudflares_answer_is_asked_for():
    expression = parse(f"{CF}cert_verified")

    for revoked, expected in ((RevokedCertificates.NOT_VERIFIED, False), (RevokedCertificates.VERIFIED, True)):
        compiled = compile_expression(expression, unknown_matches=Doubt.NO_MATCH, revoked=revoked)
        assert evaluate(expression, REVOKED, NOTHING, revoked=revoked) is expected
        assert compiled(REVOKED, NOTHING) is expected
    assert evaluate(expression, REVOKED, NOTHING) is False
    assert evaluate(parse(f"{CF}cert_revoked"), REVOKED, NOTHING) is True


def test_what_of_a_refused_certificate_does_not_parse_is_unknown():
    fields = ClientCertificateFields.of_refused(PresentedChain.from_der(b"no certificate"), Reason.MALFORMED)

    for name in ("cert_subject_dn", "cert_serial", "cert_not_before", "cert_ski"):
        assert evaluate(parse(f'{CF}{name} eq ""'), fields, NOTHING) is None
    assert evaluate(parse(f"{CF}cert_presented and not {CF}cert_verified"), fields, NOTHING) is True


def test_an_explanation_shows_what_each_comparison_saw():
    expression = parse(
        f'{CF}cert_verified and ({CF}cert_subject_dn contains "CN=x" or not http.request.method eq "GET")'
    )
    fields = ClientCertificateFields.of_identity(named("a,\u20ac" + "b" * 20))

    assert explain_parts(expression, fields, NOTHING) == (
        Seen(f"{CF}cert_verified", True, "true"),
        Seen(f'{CF}cert_subject_dn contains "CN=x"', None, r"CN=a\\,\\E2\\82\\AC" + "b" * 20),
        Seen('http.request.method eq "GET"', None, None),
    )


def test_an_explanation_cuts_and_escapes_what_a_client_sent():
    request = RequestFacts(path="/\u202e" + "x" * 200)
    (seen,) = explain_parts(parse('http.request.uri.path eq "/"'), ClientCertificateFields.none(), request)
    assert seen.value == "/\\u202e" + "x" * 121 + "..."


def test_the_deepest_expression_is_asked_without_trouble():
    text = f"{CF}cert_presented"
    for level in range(DEEPEST_NESTING - 1):
        text = f"({text}) {'and' if level % 2 else 'or'} {CF}cert_presented"
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(len(inspect.stack(0)) + 3 * DEEPEST_NESTING)
    try:
        assert verdicts(text, SVC) is True
        assert hash(parse(text)) == hash(parse(str(parse(text))))
    finally:
        sys.setrecursionlimit(limit)


def test_only_the_fields_that_are_asked_for_are_read():
    class Untouchable:
        def __getattr__(self, name):
            raise AssertionError(name)

    compiled = compile_expression(
        parse('http.host eq "a.example" and not ip.src eq 10.0.0.1'), unknown_matches=Doubt.MATCH
    )
    assert compiled(Untouchable(), RequestFacts(hostname="b.example")) is False


def test_a_client_without_a_subject_is_asked_too():
    assert verdicts(f'{CF}cert_subject_dn eq "" and {CF}cert_subject_dn_legacy eq ""', client()) is True
