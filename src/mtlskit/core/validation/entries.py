"""The entries of a revocation list (RFC 5280, 5.3): an index over the list's own octets, which are not copied.

It is a hash table of offsets: 4 octets a slot, so that a million entries cost 16 MiB beside the list. Usual entries
are found by one regular expression, a batch at a time, all others are read one by one. No call into C is long: a
thread that builds the index gives way to the others every few milliseconds, as a sort or a join of everything would
not let it.
"""

from __future__ import annotations

import re
from array import array
from bisect import bisect_right
from collections.abc import Iterator
from functools import cache, lru_cache
from typing import Final

from mtlskit.core.validation import der
from mtlskit.core.validation.names import ComparableName, comparable_name

REMOVED: Final = "removeFromCRL"
_UNSPECIFIED = "unspecified"
_CERTIFICATE_ISSUER = bytes.fromhex("551d1d")
_CRL_REASON = bytes.fromhex("551d15")
_INVALIDITY_DATE = bytes.fromhex("551d18")
# RFC 5280, 5.3.1, by number.
_REASONS = (
    _UNSPECIFIED, "key_compromise", "ca_compromise", "affiliation_changed", "superseded", "cessation_of_operation",
    "certificate_hold", _UNSPECIFIED, REMOVED, "privilege_withdrawn", "aa_compromise",
)  # fmt: skip

# An entry without extensions takes 20 octets at least, and 35 with a serial of the usual size: most slots stay empty,
# and what is not on the list is usually told from an empty slot alone.
_OCTETS_PER_SLOT = 12
_OWN = 0  # the number of the list's own issuer
# By the first octet of a length, the octets of the tag and the length together.
_HEADER = bytes([2] * 0x80 + [2 + octets for octets in range(0x80)])
_LONG_FORM = 0x80
_UTC_TIME = 15  # octets, whole
_PLAIN = 2 + _UTC_TIME  # by how much an entry without extensions is longer than its serial
_INTEGERS = [bytes((der.INTEGER, octets)) for octets in range(_LONG_FORM)]
_TIMES = {der.UTC_TIME: 13, der.GENERALIZED_TIME: 15}

# What is read, or cleared, at once: about a millisecond's work. In octets.
_BATCH = 1 << 16
_PIECE = 1 << 18
# The octets of serials; the alternatives of a pattern are tried in turn, the usual ones first.
_SIZES = (*range(16, 22), *range(15, 0, -1))
# Extensions that are no more than a reason, or a date that nobody asks for: how long, and the pattern.
_REASON = 12, re.escape(bytes.fromhex("300a0603551d1504030a01")) + b"."
_DATE = 26, re.escape(bytes.fromhex("30180603551d180411180f")) + b".{15}"
_EXTENSIONS = ((), (_REASON,), (_DATE,), (_REASON, _DATE), (_DATE, _REASON))


class Entries:
    """The entries between `start` and `stop` of a list's octets. The constructor raises DERError.

    `name` is the list's issuer; in an indirect list an entry's issuer holds for the entries after it (5.3.3). Of two
    entries for one certificate the later counts.
    """

    __slots__ = (
        "_data", "_direct", "_issuers", "_last_slot", "_numbers", "_slots", "_starts", "_stop", "count",
        "has_unknown_critical",
    )  # fmt: skip

    def __init__(self, data: bytes, start: int, stop: int, name: ComparableName) -> None:
        self._data = data
        self._stop = stop
        self._slots = _empty_slots(1 << ((stop - start) // _OCTETS_PER_SLOT).bit_length())
        self._last_slot = len(self._slots) - 1
        # The issuer of every entry, if there is one only, and no entry has a long header.
        self._direct: ComparableName | None = name
        self._numbers = {name: _OWN}
        # From which offset on which issuer holds.
        self._starts, self._issuers = [start], [_OWN]
        self.has_unknown_critical = False
        self.count = 0
        at = start
        while at < stop:
            at = self._read_usual(at, stop)
            # What ends the usual ones is read by itself, be it the end of a batch only.
            if at < stop:
                at = self._read_one(at, stop)

    def reason_for(self, issuer: ComparableName, serial: int) -> str | None:
        """Why the certificate of this issuer with this serial is on the list; None if it is not."""
        octets = (serial.bit_length() >> 3) + 1
        if issuer is not self._direct or octets >= _LONG_FORM or serial < 0:
            return self._reason_for_any(issuer, serial)
        # The usual case, without a call: this is asked for every certificate, and `_slot` says the same.
        content = serial.to_bytes(octets)
        data, slots, last_slot = self._data, self._slots, self._last_slot
        slot = hash(content) & last_slot
        while at := slots[slot]:
            time = at + 4 + octets
            if data[at + 4 : time] == content and data[at + 3] == octets:
                if data[at + 1] == octets + _PLAIN:
                    return _UNSPECIFIED
                return _stated_reason(data[time + 2 + data[time + 1] : at + 2 + data[at + 1]])
            slot = (slot + 1) & last_slot
        return None

    def _reason_for_any(self, issuer: ComparableName, serial: int) -> str | None:
        number = self._numbers.get(issuer)
        if number is None:
            return None
        at = self._slots[self._slot(_integer(serial), number)]
        return self._reason_at(at) if at else None

    # Where the usual entries from `at` on end, or a batch of them.
    def _read_usual(self, at: int, stop: int) -> int:
        slots, last_slot, issuer = self._slots, self._last_slot, self._issuers[-1]
        found = _usual_entries().findall(self._data, at, min(at + _BATCH, stop))
        if not found[-1]:
            del found[-1]
        self.count += len(found)
        for entry in found:
            slot = hash(entry[3:]) & last_slot
            # An empty slot, usually; else whoever is there has to be looked at.
            if issuer or slots[slot]:
                slot = self._slot(entry[1:], issuer)
                self.count -= slots[slot] > 0
            slots[slot] = at
            at += 2 + entry[0]
        return at

    # Where the entry at `at` ends, whatever its shape.
    def _read_one(self, at: int, stop: int) -> int:
        data = self._data
        time, rest, end = _fields(data, at, stop)
        if rest < end:
            self._note_extensions(at, data[rest:end])
        if data[at + 1] >= _LONG_FORM:
            self._direct = None
        slot = self._slot(data[at + _HEADER[data[at + 1]] : time], self._issuers[-1])
        self.count += not self._slots[slot]
        self._slots[slot] = at
        return end

    # Where the entry with this serial (an INTEGER, whole) of this issuer is, or belongs.
    def _slot(self, serial: bytes, issuer: int) -> int:
        data, slots, last_slot = self._data, self._slots, self._last_slot
        content = serial[2:]
        # Python's hash of bytes has a secret (that of numbers has none): whoever writes lists cannot aim at one slot.
        slot = hash((issuer, content) if issuer else content) & last_slot
        while at := slots[slot]:
            same = data.startswith(serial, at + _HEADER[data[at + 1]])
            if same and (len(self._starts) == 1 or self._issuer_at(at) == issuer):
                return slot
            slot = (slot + 1) & last_slot
        return slot

    def _reason_at(self, at: int) -> str:
        _, rest, end = _fields(self._data, at, self._stop)
        return _stated_reason(self._data[rest:end])

    def _issuer_at(self, at: int) -> int:
        return self._issuers[bisect_right(self._starts, at) - 1]

    def _note_extensions(self, at: int, extensions: bytes) -> None:
        _, named, is_known = _read_extensions(extensions)
        if not is_known:
            self.has_unknown_critical = True
        number = self._issuers[-1] if named is None else self._numbers.setdefault(named, len(self._numbers))
        if number != self._issuers[-1]:
            self._direct = None
            self._starts.append(at)
            self._issuers.append(number)


def _empty_slots(count: int) -> array[int]:
    # In pieces: to clear so much memory at once can take 20 ms, in which no other thread runs.
    slots = array("I")
    piece = bytes(min(count * slots.itemsize, _PIECE))
    while len(slots) < count:
        slots.frombytes(piece)
    return slots


# Finds usual entries one after the other: of each its length and its serial (an INTEGER, whole), and "" for all from
# the first that is not usual on. An entry is one only if its lengths fit, its serial is in the shortest form and its
# extensions are such that nothing depends on them but the reason.
@cache
def _usual_entries() -> re.Pattern[bytes]:
    serials = b"|".join(_serial(size) for size in _SIZES)
    shapes = b"|".join(_shape(size, *extensions) for extensions in _EXTENSIONS for size in _SIZES)
    return re.compile(b"(?=0(.(?:%s)))(?:%s)|.+" % (serials, shapes), re.DOTALL)


def _serial(size: int) -> bytes:
    content = b"." if size == 1 else b"(?:[\x01-\xfe].|\0[\x80-\xff]).{%d}" % (size - 2)
    return _header(der.INTEGER, size) + content


def _shape(size: int, *extensions: tuple[int, bytes]) -> bytes:
    length = sum(octets for octets, _ in extensions)
    tail = b"".join((_header(der.SEQUENCE, length), *(pattern for _, pattern in extensions))) if extensions else b""
    entry = size + _PLAIN + (2 + length if extensions else 0)
    serial = _header(der.INTEGER, size) + b".{%d}" % size
    return _header(der.SEQUENCE, entry) + serial + _header(der.UTC_TIME, 13) + b".{13}" + tail


def _header(tag: int, length: int) -> bytes:
    return re.escape(bytes((tag, length)))


def _integer(number: int) -> bytes:
    octets = (number.bit_length() >> 3) + 1
    if octets >= _LONG_FORM:  # no certificate that this package takes has such a serial
        raise ValueError(f"expected a serial number of less than {_LONG_FORM} octets, got {octets}")
    return _INTEGERS[octets] + (number.to_bytes(octets) if number >= 0 else number.to_bytes(octets, signed=True))


# Where the time of the entry at `at` begins, where it ends, and where the entry does.
def _fields(data: bytes, at: int, stop: int) -> tuple[int, int, int]:
    first, end = der.expect(der.SEQUENCE, data, at, stop)
    number, time = der.expect(der.INTEGER, data, first, end)
    der.integer(data, number, time)
    tag, inner, rest = der.element(data, time, end)
    if _TIMES.get(tag) != rest - inner:
        raise der.DERError("expected the time of a revocation, got another element")
    return time, rest, end


def _stated_reason(extensions: bytes) -> str:
    return _read_extensions(extensions)[0] if extensions else _UNSPECIFIED


# The reason, the certificate's issuer, and whether every critical one is known. Many entries of a list have the same
# extensions, to the octet.
@lru_cache(maxsize=256)
def _read_extensions(extensions: bytes) -> tuple[str, ComparableName | None, bool]:
    reason, issuer, is_known = _UNSPECIFIED, None, True
    for kind, critical, value in _extensions(extensions):
        if kind == _CRL_REASON:
            reason = _reason(value)
        elif kind == _CERTIFICATE_ISSUER:
            issuer = _certificate_issuer(value)
        elif kind != _INVALIDITY_DATE and critical:
            is_known = False
    return reason, issuer, is_known


def _extensions(data: bytes) -> Iterator[tuple[bytes, bytes, bytes]]:
    for _, _, first, last in der.children(data, *der.whole(der.SEQUENCE, data)):
        kind, after = der.expect(der.OBJECT_IDENTIFIER, data, first, last)
        *flags, (_, _, start, stop) = der.children(data, after, last)
        yield data[kind:after], b"".join(data[inner:outer] for _, _, inner, outer in flags), data[start:stop]


def _reason(value: bytes) -> str:
    start, stop = der.whole(0x0A, value)
    number = int.from_bytes(value[start:stop], "big")
    return _REASONS[number] if number < len(_REASONS) else _UNSPECIFIED


def _certificate_issuer(value: bytes) -> ComparableName:
    for _, tag, first, last in der.children(value, *der.whole(der.SEQUENCE, value)):
        if tag == 0xA4:
            return comparable_name(value[first:last])
    raise der.DERError("expected a directoryName as certificate issuer, got none")
