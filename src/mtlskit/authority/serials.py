"""Serial numbers: drawing one, and reading one in any notation into the one integer that it is."""

from __future__ import annotations

import re
import secrets
from typing import Final

from mtlskit.errors import IssuanceError

RANDOM_BITS: Final = 159  # 20 octets in DER with the sign bit clear (RFC 5280, 4.1.2.2)
_LIMIT: Final = 1 << 160
_BLANK: Final = " \t\r\n"
# 40 digits at most, in upper or lower case, as one run or in pairs: what openssl, browsers and we print.
_HEXADECIMAL: Final = re.compile(r"(?:0[xX])?(?:[0-9A-Fa-f]+|[0-9A-Fa-f]{1,2}(?:[: ][0-9A-Fa-f]{2})+)", re.ASCII)


def draw_serial() -> int:
    """A random serial number of 159 bits, never 0."""
    return secrets.randbits(RANDOM_BITS) or draw_serial()


def read_serial(serial: int | str) -> int:
    """The serial number that an int, or hexadecimal text with or without `0x`, colons and leading zeros, says.

    Text is always hexadecimal, never decimal. Raises IssuanceError for anything else.
    """
    if isinstance(serial, int) and not isinstance(serial, bool):
        number = serial
    elif isinstance(serial, str) and len(serial) <= 256 and _HEXADECIMAL.fullmatch(serial.strip(_BLANK)):
        number = int(re.sub("[: ]", "", serial.strip(_BLANK)), 16)
    else:
        raise IssuanceError(f"serial: expected an int or hexadecimal text, got {serial!r:.80}")
    if not 0 <= number < _LIMIT:
        raise IssuanceError("serial: expected a number of 20 octets at most and not negative, got another")
    return number


def serial_key(serial: int) -> str:
    """The serial number as 40 lower-case hexadecimal digits: its key in the store, in numerical order."""
    return f"{serial:040x}"
