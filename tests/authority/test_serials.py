"""One serial number has many notations and one canonical form."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtlskit.authority import read_serial
from mtlskit.authority.serials import draw_serial, serial_key
from mtlskit.errors import IssuanceError

serials = st.integers(min_value=0, max_value=(1 << 160) - 1)


@given(serials, st.integers(0, 4), st.booleans(), st.sampled_from(["", ":", " "]), st.sampled_from(["", "0x", "0X"]))
def test_every_notation_says_the_same_number(serial: int, zeros: int, upper: bool, separator: str, prefix: str) -> None:
    digits = "00" * zeros + serial.to_bytes((serial.bit_length() + 7) // 8 or 1, "big").hex()
    text = separator.join(digits[at : at + 2] for at in range(0, len(digits), 2))
    assert read_serial(prefix + (text.upper() if upper else text)) == serial
    assert read_serial(f"{serial:x}") == serial
    assert read_serial(f"decimal:{'0' * zeros}{serial}") == read_serial(f" decimal: {serial}\n") == serial
    assert read_serial(serial) == serial


@given(serials, serials)
def test_keys_are_in_numerical_order(one: int, other: int) -> None:
    assert (serial_key(one) < serial_key(other)) == (one < other)
    assert len(serial_key(one)) == 40


def test_digits_alone_are_hexadecimal() -> None:
    assert read_serial("4660") == 0x4660
    assert read_serial("decimal:4660") == 0x1234


@given(st.text(max_size=60).filter(lambda text: "decimal:" not in text))
def test_other_text_is_refused_or_is_hexadecimal(text: str) -> None:
    try:
        number = read_serial(text)
    except IssuanceError:
        return
    assert int("".join(character for character in text if character not in ": \n\t\r\x0b\x0c"), 16) == number


@pytest.mark.parametrize(
    "serial",
    [
        "", " ", "0x", "-1", -1, 1 << 160, f"{1 << 160:x}", "g", "1_0", "a::b", ":a", "a:", "1.0", "\uff11", True, 1.5,
        None, b"1", "decimal:", "decimal:-1", "decimal:0x1", "decimal:a", "decimal:1:2", "decimal:1_0",
        "decimal:\uff11",
        f"decimal:{1 << 160}", "Decimal:1", "decimal 1", f"decimal:{'9' * 300}",
    ],
)  # fmt: skip
def test_what_is_no_serial_number_is_refused(serial: object) -> None:
    with pytest.raises(IssuanceError, match="serial: expected"):
        read_serial(serial)  # type: ignore[arg-type]


def test_drawn_numbers_are_positive_and_fit() -> None:
    drawn = {draw_serial() for _ in range(1_000)}
    assert len(drawn) == 1_000
    assert all(0 < serial < 1 << 159 for serial in drawn)
    assert max(serial.bit_length() for serial in drawn) > 150
