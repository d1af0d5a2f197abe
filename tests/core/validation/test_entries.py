"""The index of a revocation list's entries: what a dictionary would say, from the list's own octets."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtlskit.core.validation import der
from mtlskit.core.validation.entries import Entries
from mtlskit.core.validation.names import comparable_name
from support.der import encode, seq

UTC_TIME = encode(0x17, b"260101000000Z")
GENERALIZED = encode(0x18, b"20600101000000Z")


def named(text: str) -> bytes:
    return seq(encode(0x31, seq(encode(6, b"\x55\x04\x03"), encode(0x0C, text.encode()))))


OWN, OTHER = named("own"), named("other")
OWN_NAME, OTHER_NAME = comparable_name(OWN), comparable_name(OTHER)


def integer(number: int) -> bytes:
    return encode(2, number.to_bytes((number.bit_length() >> 3) + 1, "big", signed=True))


def reason(number: int) -> bytes:
    return seq(encode(6, b"\x55\x1d\x15"), encode(4, encode(0x0A, bytes((number,)))))


def issued_by(name: bytes) -> bytes:
    return seq(encode(6, b"\x55\x1d\x1d"), encode(1, b"\xff"), encode(4, seq(encode(0xA4, name))))


def entry(serial: int, *extensions: bytes, time: bytes = UTC_TIME) -> bytes:
    return seq(integer(serial), time, *([seq(*extensions)] if extensions else []))


def index(*entries: bytes, before: bytes = b"\x30\x00", after: bytes = b"\x05\x00") -> Entries:
    body = b"".join(entries)
    return Entries(before + body + after, len(before), len(before) + len(body), OWN_NAME)


SERIALS = st.one_of(st.integers(0, 3), st.integers(0, 2**160 - 1), st.integers(-3, 2**63), st.integers(0, 2**900))


@given(st.lists(st.tuples(SERIALS, st.sampled_from([None, 1, 4, 8]), st.sampled_from([UTC_TIME, GENERALIZED]))))
def test_it_says_what_a_dictionary_would(rows: list[Any]) -> None:
    known = ("unspecified", "key_compromise", None, None, "superseded", None, None, None, "removeFromCRL")
    expected = {serial: known[number or 0] for serial, number, _ in rows}
    made = [entry(serial, *([] if number is None else [reason(number)]), time=time) for serial, number, time in rows]
    found = index(*made)
    assert {serial: found.reason_for(OWN_NAME, serial) for serial in expected} == expected
    assert found.count == len(expected)
    for serial in (5, 2**159 + 1, -7):
        assert found.reason_for(OWN_NAME, serial) == expected.get(serial)
        assert found.reason_for(OTHER_NAME, serial) is None


@given(st.lists(st.tuples(st.integers(0, 5), st.sampled_from([None, OWN, OTHER]), st.sampled_from([1, 4]))))
def test_the_issuer_of_an_entry_holds_for_those_after_it(rows: list[Any]) -> None:
    expected, issuer = {}, OWN_NAME
    for serial, name, number in rows:
        issuer = issuer if name is None else comparable_name(name)
        expected[issuer, serial] = {1: "key_compromise", 4: "superseded"}[number]
    made = [
        entry(serial, reason(number), *([] if name is None else [issued_by(name)])) for serial, name, number in rows
    ]
    found = index(*made)
    for name in (OWN_NAME, OTHER_NAME):
        for serial in range(7):
            assert found.reason_for(name, serial) == expected.get((name, serial))
    assert found.count == len(expected)


def test_one_serial_a_hundred_thousand_times_costs_no_more_than_others() -> None:
    found = index(entry(7) * 100_000, entry(7, reason(1)))
    assert (found.count, found.reason_for(OWN_NAME, 7)) == (1, "key_compromise")


def test_a_serial_that_no_certificate_can_have_is_an_error() -> None:
    with pytest.raises(ValueError, match="expected a serial number"):
        index(entry(1)).reason_for(OWN_NAME, 1 << 1024)


GOOD = entry(0x1234)
BROKEN = {
    "no time": seq(integer(1)),
    "another time": seq(integer(1), encode(0x04, b"260101000000Z")),
    "a time of another length": seq(integer(1), encode(0x17, b"2601010000Z")),
    "no serial": seq(UTC_TIME),
    "an empty serial": seq(encode(2, b""), UTC_TIME),
    "a serial with a needless zero": seq(encode(2, b"\x00\x01"), UTC_TIME),
    "a serial with a needless sign": seq(encode(2, b"\xff\x81"), UTC_TIME),
    "not a sequence": encode(0x31, GOOD[2:]),
    "over the end": GOOD[:1] + bytes((GOOD[1] + 1,)) + GOOD[2:],
    "a tail that is no list of extensions": seq(integer(1), UTC_TIME, encode(5, b"")),
    "two tails": seq(integer(1), UTC_TIME, seq(reason(1)), seq(reason(1))),
    "half an entry": GOOD[:9],
}


@pytest.mark.parametrize("broken", BROKEN.values(), ids=BROKEN)
def test_what_is_no_entry_is_an_error(broken: bytes) -> None:
    for entries in ((broken,), (GOOD, broken)):
        with pytest.raises((der.DERError, IndexError)):
            index(*entries)
