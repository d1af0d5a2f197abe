"""The DER reader: right on what is right, and DERError, never anything else, on what is not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtlskit.core.validation import der
from mtlskit.core.validation.frame import read_frame
from support.der import encode, integer, seq
from support.validation import INTERMEDIATE_FIELDS, LEAF, LEAF_FIELDS


@given(st.integers(0, 0xFE).filter(lambda tag: tag & 0x1F != 0x1F), st.binary(max_size=70_000))
def test_an_element_is_read_whole_and_with_a_tail(tag: int, content: bytes) -> None:
    data = encode(tag, content)
    assert der.element(data, 0, len(data)) == (tag, len(data) - len(content), len(data))
    assert der.expect(tag, data + b"tail", 0, len(data) + 4) == (len(data) - len(content), len(data))
    assert der.whole(tag, data) == (len(data) - len(content), len(data))
    with pytest.raises(der.DERError):
        der.whole(tag, data + b"\0")


@given(st.binary(max_size=300))
def test_every_cut_is_refused(content: bytes) -> None:
    data = encode(0x30, content)
    for size in range(len(data)):
        with pytest.raises(der.DERError):
            der.element(data[:size], 0, size)
        with pytest.raises(der.DERError):
            der.expect(0x30, data[:size], 0, size)


@given(st.binary(max_size=40).filter(lambda data: not data or data[0] & 0x1F != 0x1F))
def test_any_bytes_are_an_element_or_an_error_and_both_readers_agree(data: bytes) -> None:
    try:
        found = der.element(data, 0, len(data))
    except der.DERError:
        found = None
    if found is None:
        with pytest.raises(der.DERError):
            der.expect(data[0] if data else 0, data, 0, len(data))
    else:
        assert der.expect(found[0], data, 0, len(data)) == found[1:]


@pytest.mark.parametrize("data", [
    b"\x30\x80\0\0",  # indefinite
    b"\x30\x81\x05hello",  # longer than needed
    b"\x30\x82\x00\x05hello",
    b"\x30\x82\x00\x85" + b"x" * 0x85,
    b"\x30\x85\0\0\0\0\0",
    b"\x30\x02\0",
])  # fmt: skip
def test_what_is_ber_only_is_refused(data: bytes) -> None:
    with pytest.raises(der.DERError):
        der.element(data, 0, len(data))
    with pytest.raises(der.DERError):
        der.expect(data[0], data, 0, len(data))


def test_a_tag_of_more_octets_is_refused() -> None:
    with pytest.raises(der.DERError):
        der.element(b"\x1f\x01\0", 0, 3)


@given(st.integers(-(2**200), 2**200))
def test_integers(value: int) -> None:
    data = integer(value)
    assert der.integer(data, 2, len(data)) == value


@pytest.mark.parametrize("content", [b"", b"\0\1", b"\xff\x80"])
def test_integers_with_needless_octets_are_refused(content: bytes) -> None:
    with pytest.raises(der.DERError):
        der.integer(content, 0, len(content))


def test_bit_strings_have_whole_octets() -> None:
    assert der.unsigned_bits(b"\0ab", 0, 3) == 1
    for wrong in (b"", b"\1ab"):
        with pytest.raises(der.DERError):
            der.unsigned_bits(wrong, 0, len(wrong))


def test_an_unexpected_tag_is_refused() -> None:
    with pytest.raises(der.DERError, match="expected tag 0x31, got 0x30"):
        der.expect(0x31, seq(), 0, 2)


def test_a_frame_has_the_fields_of_the_certificate() -> None:
    frame = read_frame(LEAF.presented().leaf_der)
    assert frame.tbs == LEAF.certificate.tbs_certificate_bytes
    assert frame.signature == LEAF.certificate.signature
    assert (frame.version, frame.serial) == (3, LEAF.serial_number)
    assert (frame.issuer, frame.subject) == (LEAF_FIELDS.issuer, LEAF_FIELDS.subject)
    assert (frame.spki, frame.validity) == (LEAF_FIELDS.spki, LEAF_FIELDS.validity)
    assert frame.issuer == INTERMEDIATE_FIELDS.subject
    assert frame.inner_algorithm == frame.outer_algorithm == LEAF_FIELDS.algorithm
    assert frame.extensions == seq(*LEAF_FIELDS.extensions or ())


def test_every_cut_of_a_certificate_has_no_frame() -> None:
    data = LEAF.presented().leaf_der
    for size in range(len(data)):
        with pytest.raises(der.DERError):
            read_frame(data[:size])
    with pytest.raises(der.DERError):
        read_frame(data + b"\0")
