"""What is of the language parses to one value with one text; what is not is an error with its place, whatever it is."""

from __future__ import annotations

import time
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtlskit.core.expressions import DEEPEST_NESTING, LONGEST_TEXT, parse
from mtlskit.core.expressions.vocabulary import FIELDS, Kind
from mtlskit.errors import ExpressionError
from support.expressions import CF, EXPRESSIONS

P, V, R = f"{CF}cert_presented", f"{CF}cert_verified", f"{CF}cert_revoked"
ENFORCING = '(http.host in {"pay.acme.example"} and not cf.tls_client_auth.cert_verified)'


def test_cloudflares_own_rule_parses():
    expression = parse(ENFORCING)

    assert expression.text == ENFORCING
    assert str(expression) == ENFORCING[1:-1]
    assert expression.fields == {"http.host", V}
    assert expression.asks_request


def test_the_fields_are_those_of_requests_and_the_21_of_certificates():
    assert len(FIELDS) == 25
    for field in FIELDS.values():
        literal = {Kind.BOOLEAN: "", Kind.TEXT: ' ne "a0"', Kind.ADDRESS: " ne ::1"}[field.kind]
        if "fingerprint" not in field.name:
            expression = parse(field.name + literal)
            assert (expression.fields, expression.asks_request) == ({field.name}, field.attribute is None)


@pytest.mark.parametrize(("text", "canonical"), [
    (f"!{P}", f"not {P}"),
    (f"not not {P}", f"not not {P}"),
    (f"!!({P})", f"not not {P}"),
    (f"{P}&&{V}||{R}^^{P}", f"{P} and {V} or {R} xor {P}"),
    (f"({P} and {V}) and {R}", f"{P} and {V} and {R}"),
    (f"{P} xor ({V} xor {R})", f"{P} xor {V} xor {R}"),
    (f"({P} and {V}) or {R}", f"{P} and {V} or {R}"),
    (f"{P} and ({V} or {R})", f"{P} and ({V} or {R})"),
    (f"({P} or {V}) xor {R}", f"({P} or {V}) xor {R}"),
    (f"not ({P} and {V})", f"not ({P} and {V})"),
    (f" \r\n\t{P}\n and\n{V} ", f"{P} and {V}"),
    ('http.host=="A.Example."', 'http.host eq "a.example"'),
    ('http.host in{"b.example""a.example" "B.example"}', 'http.host in {"a.example" "b.example"}'),
    ('http.host eq "b\u00fccher.example"', 'http.host eq "xn--bcher-kva.example"'),
    ("ip.src!=::FFFF:192.0.2.1", "ip.src ne 192.0.2.1"),
    ("ip.src in {10.0.0.0..10.0.0.255 ::1 9.9.9.9/32}", "ip.src in {9.9.9.9 10.0.0.0/24 ::1}"),
    ('starts_with ( http.host , "a" )', 'starts_with(http.host, "a")'),
    (f'{CF}cert_serial eq "00:a"', f'{CF}cert_serial eq "0A"'),
    (f'{CF}cert_serial in {{"0" ""}}', f'{CF}cert_serial in {{"" "00"}}'),
    (f'{CF}cert_ski eq "0a:bc"', f'{CF}cert_ski eq "0ABC"'),
    (f'{CF}cert_fingerprint_sha1 eq "{"AB" * 20}"', f'{CF}cert_fingerprint_sha1 eq "{"ab" * 20}"'),
    (f'{CF}cert_issuer_dn_legacy eq "/CN=\u00e9"', f'{CF}cert_issuer_dn_legacy eq "/CN=\\\\xC3\\\\xA9"'),
    (r'http.request.method eq "\x47\x45T\"\\"', r'http.request.method eq "GET\"\\"'),
    (r'http.request.method eq r"a\x47\"', r'http.request.method eq "a\\x47\\"'),
    ('http.request.method eq r##"a"#b"##', r'http.request.method eq "a\"#b"'),
    ('http.request.method eq "\u20ac\n\u200b"', r'http.request.method eq "' + "\u20ac" + r'\x0A\xE2\x80\x8B"'),
    (r'http.request.method eq "\xe2\x82\xac"', 'http.request.method eq "\u20ac"'),
])  # fmt: skip
def test_an_expression_has_one_text(text, canonical):
    expression = parse(text)

    assert str(expression) == canonical
    assert parse(canonical) == expression
    assert hash(parse(canonical)) == hash(expression)
    assert expression.text == text


def test_what_says_something_else_is_not_equal():
    assert parse(P) != parse(V)
    assert parse(P) != P
    assert parse("ip.src in {10.0.0.1}") != parse("ip.src eq 10.0.0.1")


@given(EXPRESSIONS)
def test_the_canonical_text_parses_to_an_equal_expression(text):
    expression = parse(text)
    assert parse(str(expression)) == expression
    assert str(parse(str(expression))) == str(expression)


METHOD = "http.request.method"


def test_only_text_is_parsed():
    with pytest.raises(ExpressionError, match="expected an expression as str, got bytes"):
        parse(P.encode())


NEST = "expected at most 64 nested brackets and negations at column"


@pytest.mark.parametrize("opening", ["(", "!", "not ", "!("])
def test_nesting_has_a_bound(opening):
    depth = DEEPEST_NESTING // (len(opening) if opening == "!(" else 1)
    closing = ")" * depth if "(" in opening else ""
    assert parse(opening * depth + P + closing).fields == {P}
    with pytest.raises(ExpressionError, match=NEST) as caught:
        parse(opening * (depth + 1) + P)
    assert caught.value.column == depth * len(opening) + 1
    with pytest.raises(ExpressionError, match=NEST):
        parse(opening * 4000)


def test_brackets_and_negations_that_were_closed_do_not_count():
    text = " and ".join([f"not (not ({P}))"] * 200)
    assert parse(f"({text})").fields == {P}


def test_levels_have_a_bound_too():
    text = P
    for _ in range(40):
        text = f"({text} and {V} or {R})"
    with pytest.raises(ExpressionError, match="expected at most 64 levels of expressions, got 80"):
        parse(text)


def test_a_text_has_a_bound_as_written_and_in_canonical_form():
    padding = LONGEST_TEXT - len(METHOD + ' eq ""')
    assert parse(f'{METHOD} eq "{"a" * padding}"')
    for text, got in (
        (f'{METHOD} eq "{"a" * (padding + 1)}"', "16385 characters"),
        (f'{METHOD} eq "{chr(0x20AC) * 6000}"', "18025 octets"),
        (f'{METHOD} eq r"{chr(1) * 6000}"', "24025 octets in its canonical form"),
    ):
        with pytest.raises(ExpressionError, match=f"of at most 16384 octets, got {got}"):
            parse(text)


WORDS = st.sampled_from([
    *FIELDS, "and", "or", "xor", "not", "eq", "ne", "in", "contains", "starts_with", "&&", "||", "^^", "!", "==", "!=",
    "(", ")", "{", "}", ",", '"', "\\", 'r"', '"a.example"', "10.0.0.1", "10.0.0.0/8", "::1", "..", "#", " ", "\n", "$",
])  # fmt: skip


@given(st.text() | st.lists(WORDS | st.characters(codec=None)).map(" ".join) | st.lists(WORDS).map("".join))
def test_any_text_is_an_expression_or_an_expression_error(text):
    try:
        expression = parse(text)
    except ExpressionError as error:
        assert 1 <= error.column <= len(text) + 1
        assert str(error).startswith("expected ")
        assert len(str(error)) < 400
    else:
        assert parse(str(expression)) == expression


SHAPES = {
    "operands": lambda size: " or ".join([P] * (size // 35)),
    "a set": lambda size: "http.request.method in {" + '"a" ' * (size // 4) + "}",
    "escapes": lambda size: f'{METHOD} eq "' + "\\x41" * (size // 4) + '"',
    "quotes in a raw string": lambda size: f'{METHOD} eq r##"' + '"#' * (size // 2) + '"##',
    "addresses": lambda size: "ip.src in {" + "10.0.0.1 " * (size // 9) + "}",
    "an open string": lambda size: f'{METHOD} eq "' + "a" * size,
    "number signs": lambda size: f"{METHOD} eq r" + "#" * size,
    "opened and closed": lambda size: " and ".join([f"(!{P})"] * (size // 40)),
    "white space": lambda size: P + " " * size,
}


@pytest.mark.parametrize("shape", SHAPES)
def test_the_work_grows_with_the_length_of_the_text(shape):
    def seconds(size):
        text, best = SHAPES[shape](size), 60.0
        for _ in range(5):
            start = time.perf_counter()
            with suppress(ExpressionError):
                parse(text)
            best = min(best, time.perf_counter() - start)
        return best

    assert seconds(12000) < 12 * seconds(3000) + 0.002
