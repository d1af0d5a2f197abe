"""A strict reader of DER (X.690), for the few things that `cryptography` does not tell. Owns no meaning.

It reads one element at a time out of bytes that somebody else keeps; nothing is copied but what is asked for.
"""

from __future__ import annotations

from collections.abc import Iterator

BOOLEAN = 0x01
INTEGER = 0x02
BIT_STRING = 0x03
OCTET_STRING = 0x04
OBJECT_IDENTIFIER = 0x06
UTF8_STRING = 0x0C
UTC_TIME = 0x17
GENERALIZED_TIME = 0x18
SEQUENCE = 0x30
SET = 0x31

_LONG_FORM = 0x80
_TWO_OCTETS = 0x82
_HIGH_TAG = 0x1F
_LONGEST_LENGTH = 4  # octets; no peer may present 4 GiB


class DERError(ValueError):
    """The bytes are not DER, or not of the shape that was asked for."""


def element(data: bytes, at: int, end: int) -> tuple[int, int, int]:
    """The tag, the start and the stop of the content of the element at `at`, which must end by `end`."""
    start = at + 2
    if start > end:
        raise DERError("expected an element, got the end of the data")
    tag = data[at]
    length = data[at + 1]
    if length >= _LONG_FORM:
        length, start = _long_length(data, start, length - _LONG_FORM, end)
    stop = start + length
    if stop > end:
        raise DERError("expected an element inside its parent, got one that runs over the end")
    if tag & _HIGH_TAG == _HIGH_TAG:
        raise DERError("expected a tag of one octet, got a longer one")
    return tag, start, stop


def _long_length(data: bytes, at: int, octets: int, end: int) -> tuple[int, int]:
    start = at + octets
    if not 0 < octets <= _LONGEST_LENGTH or start > end:
        raise DERError(f"expected a definite length of 1 to {_LONGEST_LENGTH} octets, got another")
    length = int.from_bytes(data[at:start], "big")
    # X.690, 10.1: the shortest form.
    if length < _LONG_FORM or data[at] == 0:
        raise DERError("expected a length in its shortest form, got a longer one")
    return length, start


def expect(tag: int, data: bytes, at: int, end: int) -> tuple[int, int]:
    """The start and the stop of the content of the element at `at`, which must have this tag."""
    # The usual cases first, without a call: every field of every certificate comes through here.
    start = at + 4
    if start <= end and data[at] == tag:
        length = data[at + 1]
        if length < _LONG_FORM:
            start, stop = at + 2, at + 2 + length
        elif length == _TWO_OCTETS and data[at + 2]:
            stop = start + (data[at + 2] << 8) + data[at + 3]
        else:
            stop = end + 1
        if stop <= end:
            return start, stop
    found, start, stop = element(data, at, end)
    if found != tag:
        raise DERError(f"expected tag {tag:#04x}, got {found:#04x}")
    return start, stop


def sequences(data: bytes, at: int, end: int, count: int) -> list[bytes]:
    """So many SEQUENCEs that follow one another from `at` on, each whole."""
    found = []
    for _ in range(count):
        stop = at + 2 + data[at + 1] if at + 1 < end else end + 1
        if stop > end or data[at] != SEQUENCE or data[at + 1] >= _LONG_FORM:
            stop = expect(SEQUENCE, data, at, end)[1]
        found.append(data[at:stop])
        at = stop
    return found


def whole(tag: int, data: bytes) -> tuple[int, int]:
    """The start and the stop of the content of the one element that `data` is, without a tail."""
    start, stop = expect(tag, data, 0, len(data))
    if stop != len(data):
        raise DERError(f"expected one element, got one and {len(data) - stop} octets more")
    return start, stop


def children(data: bytes, start: int, stop: int) -> Iterator[tuple[int, int, int, int]]:
    """The elements between `start` and `stop`: where each begins, its tag, the start and stop of its content."""
    at = start
    while at < stop:
        tag, inner, outer = element(data, at, stop)
        yield at, tag, inner, outer
        at = outer


def last(data: bytes, start: int, stop: int) -> tuple[int, int]:
    """The start and the stop of the content of the last element between `start` and `stop`."""
    found = None
    for _, _, inner, outer in children(data, start, stop):
        found = inner, outer
    if found is None:
        raise DERError("expected an element, got none")
    return found


def integer(data: bytes, start: int, stop: int) -> int:
    """The INTEGER whose content is there; X.690, 8.3.2: at least one octet and no needless one."""
    if start == stop:
        raise DERError("expected an integer, got no octet")
    content = data[start:stop]
    if len(content) > 1 and ((content[0] == 0 and content[1] < 0x80) or (content[0] == 0xFF and content[1] >= 0x80)):
        raise DERError("expected an integer in its shortest form, got a longer one")
    return int.from_bytes(content, "big", signed=True)


def encoded(tag: int, *parts: bytes) -> bytes:
    """The DER of an element with this tag and, as its content, the parts: copied once, for they may be 50 MB."""
    length = sum(map(len, parts)) if len(parts) > 1 else len(parts[0]) if parts else 0
    if length < _LONG_FORM:
        return b"".join((bytes((tag, length)), *parts))
    octets = length.to_bytes((length.bit_length() + 7) // 8, "big")
    return b"".join((bytes((tag, _LONG_FORM | len(octets))), octets, *parts))


def sequence(*parts: bytes) -> bytes:
    """The SEQUENCE of these elements."""
    return encoded(SEQUENCE, *parts)


def unsigned_bits(data: bytes, start: int, stop: int) -> int:
    """Where the octets of a BIT STRING without unused bits begin."""
    if start == stop or data[start] != 0:
        raise DERError("expected a bit string of whole octets, got another")
    return start + 1
