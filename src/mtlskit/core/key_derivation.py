"""What a password costs before it opens anything: PKCS #12 (RFC 7292) and encrypted PKCS #8 (RFC 5958), read unopened.

A key is derived from a password by a function that is slow on purpose, and as slow as whoever wrote the file wanted: a
few hundred octets can ask for hours. What they ask for stands in the clear, everywhere as a salt with numbers after it:
the iterations (RFC 8018, A; RFC 7292, 4), or N, r and p of scrypt (RFC 7914, 7). What is encrypted itself cannot be
looked into: a key among encrypted certificates, where no known writer puts one.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice, pairwise, takewhile
from typing import Final, TypeAlias

MOST_ITERATIONS: Final = 5_000_000  # of all keys that one file derives: some seconds. Writers choose 2,000 to 1,000,000

_DEEPEST: Final = 32
_MOST_ELEMENTS: Final = 20_000
_SCRYPT: Final = 2  # iterations that one of N * r * p stands for; each needs 128 octets of memory, too
_INTEGER: Final = 0x02
_OCTET_STRING: Final = 0x04
_OID: Final = 0x06
_CONSTRUCTED: Final = 0x20
_EXPLICIT: Final = 0xA0  # [0]
_DATA: Final = bytes.fromhex("2a864886f70d010701")
# keyBag and pkcs8ShroudedKeyBag (RFC 7292, 4.2).
_KEY_BAGS: Final = (bytes.fromhex("2a864886f70d010c0a0101"), bytes.fromhex("2a864886f70d010c0a0102"))
_ENCRYPTED: Final = re.compile(rb"-----BEGIN ENCRYPTED PRIVATE KEY-----")  # RFC 7468, 11

_Element: TypeAlias = tuple[int, memoryview]


@dataclass(frozen=True, slots=True)
class Demand:
    """What opening asks for: so many iterations in all, of so many private keys in PKCS #12 that are not hidden."""

    iterations: int
    keys: int


def of_pkcs12(data: bytes) -> Demand | None:
    """What PKCS #12 asks for, in DER or BER; None for other octets. Raises nothing, so that nothing shows them."""
    reader = _Reader()
    with suppress(ValueError, IndexError):
        # What follows the first element is passed over, as by who opens it.
        reader.read(list(islice(reader.elements(memoryview(data), 0), 1)), 0)
        return Demand(reader.iterations, reader.keys)
    return None


def of_pem(data: bytes) -> Demand | None:
    """What the encrypted keys in PEM ask for; None where one of them cannot be read."""
    reader = _Reader()
    with suppress(ValueError, IndexError):
        for block in _ENCRYPTED.split(data)[1:]:
            # Who opens it passes over headers (RFC 1421), which have a colon.
            lines = (line for line in block.partition(b"-----END")[0].splitlines() if b":" not in line)
            der = base64.b64decode(b"".join(b"".join(lines).split()), validate=True)
            reader.read(list(reader.elements(memoryview(der), 0)), 0)
        return Demand(reader.iterations, 0)
    return None


class _Reader:
    """Adds up what the elements of BER (X.690) ask for. Raises ValueError and IndexError for what is none.

    Takes no more elements, and no deeper ones, than these formats can have, for whoever wrote the file chose them.
    """

    def __init__(self) -> None:
        self.iterations = self.keys = 0
        self._left = _MOST_ELEMENTS

    def read(self, found: Sequence[_Element], depth: int) -> None:
        """What stands beside one another in something constructed, and what is in it."""
        if depth > _DEEPEST:
            raise ValueError
        self.iterations += _iterations(found)
        for (before, name), (tag, content) in pairwise([(0, memoryview(b"")), *found]):
            if tag == _OID:
                self.keys += content in _KEY_BAGS
            elif tag == _EXPLICIT and before == _OID and name == _DATA:
                self._read_data(content, depth)
            elif tag & _CONSTRUCTED:
                self.read(list(self.elements(content, depth)), depth + 1)

    def elements(self, data: memoryview, depth: int) -> Iterator[_Element]:
        """The tags and the contents of the elements that follow one another."""
        while len(data) > 0:
            tag, start, size = self._header(data)
            end = start + (self._until_end(data[start:], depth) if size is None else size)
            if end > len(data):
                raise ValueError
            yield tag, data[start:end]
            data = data[end + (2 if size is None else 0) :]

    def _read_data(self, content: memoryview, depth: int) -> None:
        """The content of `data` is BER again, in an octet string."""
        for tag, octets in self.elements(content, depth):
            inner = memoryview(self._joined(tag, octets, depth))
            self.read(list(self.elements(inner, depth)), depth + 1)

    def _joined(self, tag: int, content: memoryview, depth: int) -> bytes:
        """An octet string, which BER may have in pieces (X.690, 8.7.3)."""
        if depth > _DEEPEST:
            raise ValueError
        if not tag & _CONSTRUCTED:
            return bytes(content)
        return b"".join(self._joined(*each, depth + 1) for each in self.elements(content, depth))

    def _until_end(self, data: memoryview, depth: int) -> int:
        """The size of what has an end instead of a length (X.690, 8.1.3.6)."""
        if depth > _DEEPEST:
            raise ValueError
        place = 0
        while bytes(data[place : place + 2]) != b"\0\0":
            _, start, size = self._header(data[place:])
            inner = self._until_end(data[place + start :], depth + 1) + 2 if size is None else size
            place += start + inner
        return place

    def _header(self, data: memoryview) -> tuple[int, int, int | None]:
        """The tag, where the content begins, and its size; None where it has an end instead."""
        self._left -= 1
        tag, length = data[0], data[1]
        if self._left < 0 or tag & 0x1F == 0x1F:  # none of these formats has tags of several octets
            raise ValueError
        if length < 0x80:
            return tag, 2, length
        if length == 0x80:
            return tag, 2, None
        start = 2 + (length & 0x7F)
        return tag, start, int.from_bytes(data[2:start], "big")


def _iterations(found: Sequence[_Element]) -> int:
    """What a salt and the numbers after it ask for; 0 where there is none."""
    tags = [tag & ~_CONSTRUCTED for tag, _ in found]
    if _OCTET_STRING not in tags:
        return 0
    after = found[tags.index(_OCTET_STRING) + 1 :]
    numbers = [_number(content) for _, content in takewhile(lambda each: each[0] == _INTEGER, after)]
    match numbers:
        case [n, r, p, *_]:
            return _SCRYPT * n * r * p
        case [iterations, *_]:  # and the length of the key
            return iterations
        case _:
            return 0


def _number(content: memoryview) -> int:
    most = 2**63 - 1
    return max(0, int.from_bytes(content, "big", signed=True)) if len(content) <= 8 else most
