"""The entries of a revocation list (RFC 5280, 5.3): an index over the list's own octets, which are not copied.

It is a hash table of offsets: 4 octets a slot, so that a million entries cost 16 MiB beside the list. It is built in
plain Python on purpose: a thread that does so gives way to the others every few milliseconds, as no long call into C
(a sort, a join) would.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Iterator
from functools import lru_cache
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

# An entry with a three-octet serial takes 22 octets (and shorter serials are few): slots stay empty.
_OCTETS_PER_SLOT = 18
_OWN = 0  # the number of the list's own issuer
# By the first octet of a length, the octets of the tag and the length together.
_HEADER = bytes([2] * 0x80 + [2 + octets for octets in range(0x80)])
_LONG_FORM = 0x80
_UTC_TIME = 15  # octets, whole
# The headers of an entry and of its serial, and how far the time is from there: short, and with room for the time.
_USUAL_HEADERS = {
    bytes((der.SEQUENCE, length, der.INTEGER, octets)): 4 + octets
    for octets in range(1, 22)
    for length in range(2 + octets + _UTC_TIME, _LONG_FORM)
}
_INTEGERS = [bytes((der.INTEGER, octets)) for octets in range(_LONG_FORM)]
_TIMES = {der.UTC_TIME: 13, der.GENERALIZED_TIME: 15}


class Entries:
    """The entries between `start` and `stop` of a list's octets. The constructor raises DERError.

    `name` is the list's issuer; in an indirect list an entry's issuer holds for the entries after it (5.3.3). Of two
    entries for one certificate the later counts.
    """

    __slots__ = (
        "_data", "_issuers", "_last_slot", "_name", "_numbers", "_slots", "_starts", "_stop", "count",
        "has_unknown_critical",
    )  # fmt: skip

    def __init__(self, data: bytes, start: int, stop: int, name: ComparableName) -> None:
        self._data = data
        self._stop = stop
        self._slots = array("I", [0]) * (1 << ((stop - start) // _OCTETS_PER_SLOT).bit_length())
        self._last_slot = len(self._slots) - 1
        self._name = name
        self._numbers = {name: _OWN}
        # From which offset on which issuer holds.
        self._starts, self._issuers = [start], [_OWN]
        self.has_unknown_critical = False
        self._index(start, stop)

    def reason_for(self, issuer: ComparableName, serial: int) -> str | None:
        """Why the certificate of this issuer with this serial is on the list; None if it is not."""
        number = _OWN if issuer is self._name else self._numbers.get(issuer)
        if number is None:
            return None
        wanted = _integer(serial)
        # The usual answer first, without a call: its slot is empty.
        if not number and not self._slots[hash(wanted) & self._last_slot]:
            return None
        at = self._slots[self._slot(wanted, number)]
        if not at:
            return None
        return _UNSPECIFIED if self._data[at + 1] == len(wanted) + _UTC_TIME else self._reason_at(at)

    # Every entry of the list comes through here: the usual shape is read without a call.
    def _index(self, at: int, stop: int) -> None:
        data, slots, issuer, count = self._data, self._slots, _OWN, 0
        last_slot = self._last_slot
        while at < stop:
            time = at + _USUAL_HEADERS.get(data[at : at + 4], 0)
            if time > at and data[time] == der.UTC_TIME and data[time + 1] == 13 and 0 < data[at + 4] < 0xFF:
                serial, rest, end = data[at + 2 : time], time + _UTC_TIME, at + 2 + data[at + 1]
            else:
                time, rest, end = _fields(data, at, stop)
                serial = data[at + _HEADER[data[at + 1]] : time]
            if rest < end:
                issuer = self._extended(at, data[rest:end], issuer)
            slot = hash(serial) & last_slot
            # An empty slot, usually; else whoever is there has to be looked at.
            if issuer or slots[slot]:
                slot = self._slot(serial, issuer)
                count -= slots[slot] > 0
            count += 1
            slots[slot] = at
            at = end
        self.count = count
        if at > stop:
            raise der.DERError("expected an entry inside the list, got one that runs over the end")

    # Where the entry with this serial (an INTEGER, whole) of this issuer is, or belongs.
    def _slot(self, serial: bytes, issuer: int) -> int:
        data, slots, last_slot = self._data, self._slots, self._last_slot
        # Python's hash of bytes has a secret: whoever writes lists cannot aim at one slot.
        slot = hash((issuer, serial) if issuer else serial) & last_slot
        while at := slots[slot]:
            same = data.startswith(serial, at + _HEADER[data[at + 1]])
            if same and (len(self._starts) == 1 or self._issuer_at(at) == issuer):
                return slot
            slot = (slot + 1) & last_slot
        return slot

    def _reason_at(self, at: int) -> str:
        _, rest, end = _fields(self._data, at, self._stop)
        return _read_extensions(self._data[rest:end])[0] if rest < end else _UNSPECIFIED

    def _issuer_at(self, at: int) -> int:
        return self._issuers[bisect_right(self._starts, at) - 1]

    # The number of the issuer from this entry on.
    def _extended(self, at: int, extensions: bytes, issuer: int) -> int:
        _, named, is_known = _read_extensions(extensions)
        if not is_known:
            self.has_unknown_critical = True
        number = issuer if named is None else self._numbers.setdefault(named, len(self._numbers))
        if number != issuer:
            self._starts.append(at)
            self._issuers.append(number)
        return number


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
