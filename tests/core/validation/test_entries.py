"""The index of a revocation list's entries: what a dictionary would say, from the list's own octets."""

from __future__ import annotations

import re
from typing import Any
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtlskit.core.validation import der, entries
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


def date() -> bytes:
    return seq(encode(6, b"\x55\x1d\x18"), encode(4, GENERALIZED))


def other(critical: bool, value: bytes = b"\5\0") -> bytes:
    return seq(encode(6, b"\x2a\x03"), *([encode(1, b"\xff")] if critical else []), encode(4, value))


def issued_by(name: bytes) -> bytes:
    return seq(encode(6, b"\x55\x1d\x1d"), encode(1, b"\xff"), encode(4, seq(encode(0xA4, name))))


def entry(serial: int, *extensions: bytes, time: bytes = UTC_TIME) -> bytes:
    return seq(integer(serial), time, *([seq(*extensions)] if extensions else []))


def index(*made: bytes, before: bytes = b"\x30\x00", after: bytes = b"\x05\x00") -> Entries:
    body = b"".join(made)
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


@pytest.mark.parametrize("size", [2, 100, 300])
def test_extensions_of_any_length_are_read(size: int) -> None:
    found = index(GOOD, entry(7, reason(1), other(False, b"x" * size)), entry(8, reason(4)))
    assert [found.reason_for(OWN_NAME, serial) for serial in (0x1234, 7, 8, 9)] == [
        "unspecified", "key_compromise", "superseded", None,
    ]  # fmt: skip
    assert not found.has_unknown_critical
    for made in ((entry(7, other(True, b"x" * size)), GOOD), (GOOD, entry(7, reason(1), other(True, b"x" * size)))):
        assert index(*made).has_unknown_critical


def test_what_follows_the_list_is_not_read() -> None:
    assert index(after=GOOD).count == 0
    found = index(entry(7), after=GOOD)
    assert (found.count, found.reason_for(OWN_NAME, 0x1234)) == (1, None)


def test_the_same_serial_of_another_issuer_is_not_found_though_the_slots_meet() -> None:
    """Of so few slots, many of these two hundred pairs want the same."""
    for serial in range(200):
        found = index(entry(serial, reason(1), issued_by(OTHER)))
        assert found.reason_for(OWN_NAME, serial) is None
        assert found.reason_for(OTHER_NAME, serial) == "key_compromise"


def test_one_serial_under_many_issuers_costs_no_more_than_others() -> None:
    looked_at = 0

    def issuer_at(self: Entries, at: int) -> int:
        nonlocal looked_at
        looked_at += 1
        return real(self, at)

    real = Entries._issuer_at
    many = [named(f"issuer {number}") for number in range(1000)]
    with mock.patch.object(Entries, "_issuer_at", issuer_at):
        found = index(*(entry(7, reason(1), issued_by(each)) for each in many))
    assert found.count == len(many)
    assert looked_at < len(many)
    assert found.reason_for(comparable_name(many[500]), 7) == "key_compromise"
    assert found.reason_for(OWN_NAME, 7) is None


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
    for made in ((broken,), (GOOD, broken), (broken, GOOD)):
        with pytest.raises((der.DERError, IndexError)):
            index(*made)


# --- many at a time, and one by one -----------------------------------------------------------------------------

NOTHING = re.compile(b"()(?!).|.+", re.DOTALL)
SIZES = (0, 1, 0x7F, 0x80, *(1 << bits for bits in (8, 15, 63, 64, 119, 120, 127, 128, 151, 159)), 2**160 - 1, 2**168)
USUAL = ((), (reason(4),), (date(),), (reason(4), date()), (date(), reason(4)))
RARE = (
    (other(False),),
    (other(True),),
    (reason(1), other(False, b"x" * 100)),
    (reason(1), other(False, b"x" * 300)),
    (reason(1), issued_by(OTHER)),
    (issued_by(named("x" * 120)),),
    (reason(5), date(), other(False)),
)


def told(*made: bytes) -> Any:
    """Everything that an index of these entries says; the error, if they are none."""
    try:
        found = index(*made)
    except (der.DERError, IndexError):
        return "an error"
    reasons = [found.reason_for(name, serial + more) for name in NAMES for serial in SIZES for more in (0, 1, -1)]
    return found.count, found.has_unknown_critical, reasons


NAMES = (OWN_NAME, OTHER_NAME, comparable_name(named("x" * 120)))
ROWS = st.tuples(
    st.sampled_from(SIZES),
    st.integers(-1, 1),
    st.sampled_from(USUAL + RARE),
    st.sampled_from([UTC_TIME] * 4 + [GENERALIZED]),
)


@given(
    st.lists(ROWS.map(lambda row: entry(row[0] + row[1], *row[2], time=row[3])), max_size=12),
    st.lists(st.tuples(st.integers(0, 400), st.sampled_from([0, 1, 2, 0x17, 0x30, 0x7F, 0x80, 0xFF])), max_size=2),
    st.sampled_from([1, 50, 100, 1 << 16]),
)
def test_many_at_a_time_are_read_as_one_by_one(made: list[bytes], damage: list[Any], batch: int) -> None:
    octets = bytearray(b"".join(made))
    for at, octet in damage:
        if at < len(octets):
            octets[at] = octet
    with mock.patch.object(entries, "_BATCH", batch):
        many = told(bytes(octets))
    with mock.patch.object(entries, "_usual_entries", return_value=NOTHING):
        assert many == told(bytes(octets))


def test_every_octet_of_a_usual_entry_can_spoil_it() -> None:
    for extensions in USUAL:
        good = entry(1 << 126, *extensions)
        for at in range(len(good)):
            for octet in {good[at] ^ 1, good[at] + 1 & 0xFF, 0, 0x30, 0x80, 0xFF}:
                changed = good[:at] + bytes((octet,)) + good[at + 1 :]
                many = told(changed, GOOD)
                with mock.patch.object(entries, "_usual_entries", return_value=NOTHING):
                    assert many == told(changed, GOOD)


@pytest.mark.parametrize("extensions", USUAL)
def test_usual_entries_are_not_read_one_by_one(extensions: Any) -> None:
    """The bench would be slow, and nothing else would tell."""
    with mock.patch.object(Entries, "_read_one", side_effect=AssertionError("read by itself")):
        for octets in range(1, 22):
            for serial in (1 << 8 * octets - 2, (1 << 8 * octets - 1) - 1, 1 << 8 * octets - 1):
                if serial < 1 << 160:
                    expected = "superseded" if reason(4) in extensions else "unspecified"
                    assert index(entry(serial, *extensions)).reason_for(OWN_NAME, serial) == expected
