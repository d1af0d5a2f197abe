"""What is no expression, or none that is spoken here, is an error that says what was expected, where, and what came."""

from __future__ import annotations

import pickle

import pytest

from mtlskit.core.expressions import parse
from mtlskit.errors import ConfigurationError, ExpressionError
from support.expressions import CF

P, V = f"{CF}cert_presented", f"{CF}cert_verified"
HERE = "▾"  # stands before the character that the error is about
FIELD, AFTER_HOST = "a known field", "one of eq, ne, in, contains after http.host"
STRING, METHOD = "a string in double quotes", "http.request.method"
ADDRESS = "an IP address, network or range"

FAULTS = [
    ("▾", FIELD, "the end"),
    ('  not\n ▾http.hosst eq "x"', FIELD, "'http.hosst'"),
    ("not▾", FIELD, "the end"),
    ("(▾)", FIELD, "')'"),
    (f"{P} and▾", FIELD, "the end"),
    (f"{P} and ▾or {V}", FIELD, "'or'"),
    (f"▾{CF}cert_foo", FIELD, f"'{CF}cert_foo'"),
    (f"▾{'$' * 99}", FIELD, f"'{'$' * 60}...'"),
    (f"({P}▾", "and, xor, or, or ')'", "the end"),
    (f"({P} ▾}}", "and, xor, or, or ')'", "'}'"),
    (f"{P}▾)", "and, xor, or, or the end", "')'"),
    (f"{P} ▾{V}", "and, xor, or, or the end", f"'{V}'"),
    (f"{P} ▾AND {V}", "and, xor, or, or the end", "'AND'"),
    (f"{P} ▾& {V}", f"and, xor, or, or the end after the boolean {P}", "'&'"),
    (f"{P} ▾eq true", f"and, xor, or, or the end after the boolean {P}", "'eq'"),
    (f'{P} ▾in {{"a"}}', f"and, xor, or, or the end after the boolean {P}", "'in'"),
    ("http.host▾", AFTER_HOST, "the end"),
    ('http.host ▾EQ "a"', AFTER_HOST, "'EQ'"),
    ('http.host ▾= "a"', AFTER_HOST, "'='"),
    ("http.host eq ▾a", STRING, "'a'"),
    ("http.host eq ▾http.host", STRING, "'http.host'"),
    ("http.host eq ▾{}", STRING, "'{'"),
    ('http.host in ▾"a"', "'{'", "'\"a\"'"),
    ("http.host in {▾}", STRING, "'}'"),
    ('http.host in {"a.b" ▾7}', f"{STRING} or '}}'", "'7'"),
    ('http.host in {"a.b"▾', f"{STRING} or '}}'", "the end"),
    ('http.host eq "a▾', "a closing quote", "the end"),
    ('http.host eq r#"a"▾', "a closing '\"#'", "the end"),
    (r'http.host eq "a▾\n"', r"one of \", \\ and \xHH", r"'\\'"),
    (r'http.host eq "▾\x4"', r"one of \", \\ and \xHH", r"'\\'"),
    (r'http.host eq "▾\101"', r"one of \", \\ and \xHH", r"'\\'"),
    (METHOD + r' eq ▾"\xff"', "a string in UTF-8", "'\"\\\\xff\"'"),
    (f'{METHOD} eq ▾r{"#" * 256}"a"', "at most 255 number signs before a raw string", "'r'"),
    ('http.host eq "▾\ud800"', "a character of UTF-8", r"'\ud800'"),
    ('http.host eq ▾"a b"', "a hostname for http.host", "'\"a b\"'"),
    ('http.host in {"a.b" ▾"10.0.0.1"}', "a hostname for http.host", "'\"10.0.0.1\"'"),
    ('http.host in {▾"*.a.b"}', "a hostname for http.host", "'\"*.a.b\"'"),
    ('http.host ne ▾""', "a hostname for http.host", "'\"\"'"),
    ('http.host eq ▾"a.b:80"', "a hostname without a port for http.host", "'\"a.b:80\"'"),
    ('http.host contains ▾"A"', "a part of a hostname in lower-case ASCII for http.host", "'\"A\"'"),
    ('ends_with(http.host, ▾"\xe9")', "a part of a hostname in lower-case ASCII for http.host", "'\"\xe9\"'"),
    (f'{METHOD} contains ▾""', f"some text for {METHOD}", "'\"\"'"),
    (f'starts_with({CF}cert_subject_dn, ▾"")', f"some text for {CF}cert_subject_dn", "'\"\"'"),
    ('http.request.uri.path eq ▾"/%2e"', "a decoded path, without percent escapes for http.request.uri.path",
     "'\"/%2e\"'"),
    (f'{CF}cert_serial eq ▾"x"', f"hexadecimal digits for {CF}cert_serial", "'\"x\"'"),
    (f'{CF}cert_ski contains ▾"a:b"', f"hexadecimal digits for {CF}cert_ski", "'\"a:b\"'"),
    (f'{CF}cert_ski eq ▾"abc"', f"two hexadecimal digits for each octet for {CF}cert_ski", "'\"abc\"'"),
    (f'{CF}cert_fingerprint_sha1 eq ▾"ab"', f"a fingerprint of 40 hexadecimal digits for {CF}cert_fingerprint_sha1",
     "'\"ab\"'"),
    ("ip.src ▾contains 1", "one of eq, ne, in after ip.src", "'contains'"),
    ('ip.src eq ▾"10.0.0.1"', "an IP address", "'\"10.0.0.1\"'"),
    ("ip.src eq ▾10.0.0.0/8", "a single IP address", "'10.0.0.0/8'"),
    ("ip.src ne ▾10.0.0.1..10.0.0.1", "a single IP address", "'10.0.0.1..10.0.0.1'"),
    ("ip.src in {▾10.0.0.1/8}", ADDRESS, "'10.0.0.1/8'"),
    ("ip.src in {▾}", ADDRESS, "'}'"),
    ("ip.src in {::1 ▾x}", f"{ADDRESS}, or '}}'", "'x'"),
    ("ip.src in {::1▾", f"{ADDRESS}, or '}}'", "the end"),
    ('starts_with(▾ip.src, "a")', "a field of text", "'ip.src'"),
    (f'ends_with(▾{P}, "a")', "a field of text", f"'{P}'"),
    ('starts_with ▾http.host, "a")', "'('", "'http.host'"),
    ('starts_with(http.host ▾"a")', "','", "'\"a\"'"),
    ('starts_with(http.host, "a"▾', "')'", "the end"),
]  # fmt: skip


def caught_in(text):
    with pytest.raises(ExpressionError) as caught:
        parse(text)
    return caught.value


@pytest.mark.parametrize(("marked", "expected", "got"), FAULTS, ids=[repr(marked)[:50] for marked, _, _ in FAULTS])
def test_an_error_says_what_was_expected_and_where(marked, expected, got):
    column = marked.index(HERE) + 1
    error = caught_in(marked.replace(HERE, ""))
    assert (str(error), error.column) == (f"expected {expected} at column {column}, got {got}", column)


OPERATORS = ("matches", "~", "wildcard", "strict", "lt", "<", "le", "<=", "gt", ">", "ge", ">=", "&", "bitwise_and")
WORDS = (
    "lower", "len", "any", "regex_replace", "ssl", "http.user_agent", "http.request.headers", "http.request.uri",
    "http.request.uri.query", "http.response.code", "ip.src.country", "ip.geoip.asnum", "cf.threat_score",
    "cf.bot_management.score", "cf.hostname.metadata", "raw.http.request.uri.path",
)  # fmt: skip


@pytest.mark.parametrize("operator", OPERATORS)
def test_an_operator_of_cloudflare_that_is_not_here_is_said_not_to_be(operator):
    error = caught_in(f'http.host {operator} "a"')
    assert str(error) == f"expected {AFTER_HOST} at column 11, got {operator!r}, which is not supported here"


@pytest.mark.parametrize("word", WORDS)
def test_a_field_or_function_of_cloudflare_that_is_not_here_is_said_not_to_be(word):
    for before, after in (("", " gt 1"), ("starts_with(", ', "a")'), ("not (", ")"), ("", '(http.host) eq "a"')):
        error = caught_in(before + word + after)
        assert str(error).endswith(f"got {word!r}, which is not supported here")
        assert error.column == len(before) + 1


def test_a_list_of_cloudflare_is_said_not_to_be_here():
    error = caught_in("ip.src in $office_network")
    assert str(error) == "expected '{' at column 11, got '$office_network', which is not supported here"


def test_the_error_is_one_of_configuration_and_travels():
    error = caught_in("http.hosst")
    assert isinstance(error, ConfigurationError)
    copy = pickle.loads(pickle.dumps(error))
    assert (str(copy), copy.column) == (str(error), error.column)
