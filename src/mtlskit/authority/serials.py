"""Serial numbers: drawing one, and reading one in any notation into the one integer that it is."""

from __future__ import annotations

import re
import secrets
from typing import Final

from mtlskit.errors import IssuanceError

RANDOM_BITS: Final = 159  # 20 octets in DER with the sign bit clear (RFC 5280, 4.1.2.2)
_LIMIT: Final = 1 << 160
_MOST_DIGITS: Final = 40  # hexadecimal ones
_BLANK: Final = " \t\r\n"
# 40 digits at most, in upper or lower case, as one run or in pairs: what openssl, browsers and we print.
_HEXADECIMAL: Final = re.compile(r"(?:0[xX])?(?:[0-9A-Fa-f]+|[0-9A-Fa-f]{1,2}(?:[: ][0-9A-Fa-f]{2})+)", re.ASCII)
# Most decimal numbers are hexadecimal ones as well, and would name another certificate: they have to say what they are.
_DECIMAL: Final = re.compile(r"decimal: ?([0-9]+)", re.ASCII)


def draw_serial() -> int:
    """A random serial number of 159 bits, never 0."""
    return secrets.randbits(RANDOM_BITS) or draw_serial()


def read_serial(serial: int | str) -> int:
    """The serial number that an int, or text in any of these notations, says.

    Text is hexadecimal: upper or lower case, with or without `0x`, colons, spaces and leading zeros. Decimal digits
    have `decimal:` before them (`decimal:4660` is `0x1234`). Raises IssuanceError for anything else.
    """
    if isinstance(serial, int) and not isinstance(serial, bool):
        number = serial
    elif isinstance(serial, str) and len(serial) <= 256:
        number = _number_in(serial.strip(_BLANK))
    else:
        raise _not_a_serial(serial)
    return checked_serial(number)


def checked_serial(number: int) -> int:
    """The serial number, if a list can tell of it; raises IssuanceError."""
    if not 0 <= number < _LIMIT:
        raise IssuanceError("serial: expected a number of 20 octets at most and not negative, got another")
    return number


def serial_key(serial: int) -> str:
    """The serial number as 40 lower-case hexadecimal digits: its key in the store, in numerical order."""
    return f"{serial:040x}"


def _number_in(text: str) -> int:
    decimal = _DECIMAL.fullmatch(text)
    if decimal is not None:
        return int(decimal[1])
    if _HEXADECIMAL.fullmatch(text) is None:
        raise _not_a_serial(text)
    if text.isdecimal() and len(text.lstrip("0")) > _MOST_DIGITS:
        raise IssuanceError(
            f"serial: expected a hexadecimal number of 20 octets at most, got {len(text)} decimal digits: "
            "a decimal number has 'decimal:' before it"
        )
    return int(re.sub("[: ]", "", text), 16)


def _not_a_serial(given: object) -> IssuanceError:
    return IssuanceError(f"serial: expected an int, hexadecimal text or 'decimal:' and digits, got {given!r:.80}")
