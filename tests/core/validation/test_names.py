"""Names as RFC 5280, 7.1 compares them."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtlskit.core.validation import der
from mtlskit.core.validation.names import comparable_name, is_readable, same_name
from support.der import encode, name, oid, seq

CN, O = "2.5.4.3", "2.5.4.10"  # noqa: E741


def text(value: str, tag: int = 0x0C, codec: str = "utf-8") -> bytes:
    return name((CN, tag, value.encode(codec)))


@pytest.mark.parametrize(("first", "second"), [
    (text("Acme"), text("ACME")),
    (text("Acme"), text("acme", 0x13)),
    (text("Acme"), text("Acme", 0x1E, "utf-16-be")),
    (text("Acme"), text("Acme", 0x1C, "utf-32-be")),
    (text("Acme"), text("Acme", 0x16)),
    (text("Acme Inc"), text("  Acme   Inc ")),
    (text("Acme Inc"), text("Acme\tInc")),
    (text("Acme"), text("Ac\u00adme")),  # a soft hyphen is nothing
    (text("Straße"), text("STRASSE")),
    (text("Müller"), text("MU\u0308LLER")),  # composed and decomposed
    (text("Müller"), text("Müller", 0x14, "latin-1")),
    (text("ﬁrm"), text("firm")),
])  # fmt: skip
def test_the_same_name(first: bytes, second: bytes) -> None:
    assert same_name(first, second)
    assert same_name(second, first)


@pytest.mark.parametrize(("first", "second"), [
    (text("Acme"), text("Acme2")),
    (text("AcmeInc"), text("Acme Inc")),
    (text("Acme"), name((O, 0x0C, b"Acme"))),
    (text("Acme"), name((CN, 0x0C, b"Acme"), (CN, 0x0C, b"Acme"))),
    (name((CN, 0x0C, b"a"), (O, 0x0C, b"b")), name((O, 0x0C, b"b"), (CN, 0x0C, b"a"))),
    (text("Acme"), seq()),
    (text("Acme\0"), text("Acme2")),
])  # fmt: skip
def test_another_name(first: bytes, second: bytes) -> None:
    assert not same_name(first, second)


def test_the_attributes_of_one_rdn_are_a_set() -> None:
    a, b = (seq(oid(kind), encode(0x0C, value)) for kind, value in ((CN, b"x"), (O, b"y")))
    assert same_name(seq(encode(0x31, a, b)), seq(encode(0x31, b, a)))
    assert not same_name(seq(encode(0x31, a, b)), seq(encode(0x31, a), encode(0x31, b)))


@pytest.mark.parametrize(
    ("tag", "octets"), [(0x0C, b"\xff"), (0x13, b"\xe9"), (0x1E, b"odd"), (0x03, b"\0\1"), (0x04, b"a")]
)
def test_a_value_without_a_reading_equals_only_itself(tag: int, octets: bytes) -> None:
    odd = name((CN, tag, octets))
    assert same_name(odd, odd)
    assert not is_readable(comparable_name(odd))
    assert not same_name(odd, text("a"))
    assert not same_name(odd, name((CN, 0x0C, octets.hex().encode())))


@pytest.mark.parametrize("raw", [
    b"", b"\x30", seq(b"\5\0"), seq(encode(0x31)), seq(encode(0x31, b"\5\0")), seq(encode(0x31, seq())),
    seq(encode(0x31, seq(oid(CN)))), seq(encode(0x31, seq(oid(CN), b"\5\0", b"\5\0"))), seq() + b"\0",
])  # fmt: skip
def test_what_is_no_name_is_an_error(raw: bytes) -> None:
    with pytest.raises(der.DERError):
        comparable_name(raw)


@given(st.binary(max_size=60))
def test_any_bytes_are_a_name_or_an_error(raw: bytes) -> None:
    try:
        comparable_name(raw)
    except der.DERError:
        return


def test_long_texts_beyond_ascii_are_not_normalised() -> None:
    marks = text("a" + "\u0315\u0300" * 50_000)
    start = time.perf_counter()
    assert not is_readable(comparable_name(marks))
    assert time.perf_counter() - start < 1
    assert same_name(text("A" * 5_000), text("a" * 5_000))
