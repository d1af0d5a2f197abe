"""The entries of a revocation list in DER (RFC 5280, 5.1 and 5.3), made of the records themselves, a page at a time.

`cryptography` makes an object of each entry and of the whole list, which for a million of them takes several times as
long, and memory, as the list itself. Here an entry is put together out of pieces of octets. What is made stays in
pages, so that what changed while it was made can be put in its place.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Final

from cryptography import x509

from mtlskit.authority.documents import unreadable
from mtlskit.authority.ledger import WHY_AT, Revocation, stamp
from mtlskit.authority.revocation import RevocationReason
from mtlskit.authority.scope import ListScope
from mtlskit.authority.serials import serial_key
from mtlskit.core.profiles import Role
from mtlskit.core.validation import der
from mtlskit.ports import Record

_UTC_TIME: Final = b"\x17\x0d"
_GENERALIZED_TIME: Final = b"\x18\x0f"
_UTC_BEGIN: Final = b"1950"  # RFC 5280, 5.1.2.6: UTCTime through 2049
_UTC_END: Final = b"2050"
_UTC_TIME_OCTETS: Final = 14  # without the Z
_SERIAL_OCTETS: Final = 20
_USUAL_KEYS: Final = ("01", "80")  # those of numbers of so many octets, neither more nor less: from the one to below
_AUTHORITY: Final = b" authority"
_UNKNOWN: Final = b" unknown"
NEVER: Final = b"0"  # as the end of what is dropped: before every moment


def _extension(flag: x509.ReasonFlags) -> bytes:
    # crlEntryExtensions with a reason; `unspecified` is said by saying nothing (RFC 5280, 5.3.1).
    if flag is x509.ReasonFlags.unspecified:
        return b""
    value = x509.CRLReason(flag).public_bytes()
    oid = b"\x06\x03\x55\x1d\x15"
    return der.sequence(der.sequence(oid, bytes((der.OCTET_STRING, len(value))), value))


_REASONS: Final = {each.value.encode(): _extension(x509.ReasonFlags[each]) for each in RevocationReason}
_REMOVAL: Final = _extension(x509.ReasonFlags.remove_from_crl)
# By what stands behind the moments in a record: what goes after a UTCTime's digits; and what goes before the serial
# number, by its length first.
_TAILS: Final = {
    reason + role: b"Z" + tail for reason, tail in _REASONS.items() for role in (b"", _AUTHORITY, _UNKNOWN)
}
_HEADS: Final = {
    size: {
        why: bytes((der.SEQUENCE, 2 + size + _UTC_TIME_OCTETS + len(tail), der.INTEGER, size))
        for why, tail in _TAILS.items()
    }
    for size in range(1, _SERIAL_OCTETS + 2)
}


class Entries:
    """The entries of one list in the order of their serial numbers.

    Of the records those count that are in `scope`, and that have not expired before `dropped_until` (a stored moment).
    """

    def __init__(self, scope: ListScope, *, dropped_until: bytes = NEVER, kept: frozenset[str] = frozenset()) -> None:
        self._scope = scope
        self._dropped_until = dropped_until
        self._kept = kept  # the keys of those that stay, expired or not
        self._takes_all = scope.is_whole and dropped_until == NEVER
        self._pages: list[bytes] = []
        self._ends: list[str] = []  # the last key of each page
        self.count = 0

    def add_page(self, records: Sequence[Record]) -> None:
        """Takes records of revocations, whose keys come after those before; raises StoreError."""
        taken = records if self._takes_all else list(filter(self._takes, records))
        try:
            page = _page(taken) if taken else b""
        except (KeyError, ValueError):
            raise unreadable("a revocation") from None
        self._append(records[-1].key, page, len(taken))

    def replace(self, changed: Mapping[str, Revocation | None]) -> None:
        """Puts what changed meanwhile in its place, by key: an entry, or none."""
        pages: dict[int, dict[str, Revocation | None]] = {}
        if not self._pages:
            self._append("", b"", 0)
        for key, revocation in changed.items():
            page = min(bisect_left(self._ends, key), len(self._pages) - 1)
            pages.setdefault(page, {})[key] = revocation
        for page, revocations in pages.items():
            self._replace(page, revocations)

    def take_pages(self) -> list[bytes]:
        """The pages, which are gone from here: there is not room for many copies."""
        pages, self._pages, self._ends = self._pages, [], []
        return pages

    def _takes(self, record: Record) -> bool:
        end = record.value[15:29]
        is_dropped = end < self._dropped_until and record.key not in self._kept
        return not is_dropped and self._scope.covers(record.key, _role(record.value))

    def _append(self, end: str, page: bytes, count: int) -> None:
        self._pages.append(page)
        self._ends.append(end)
        self.count += count

    def _replace(self, page: int, changed: Mapping[str, Revocation | None]) -> None:
        entries = _taken_apart(self._pages[page])
        before = len(entries)
        for key, revocation in changed.items():
            entries.pop(key, None)
            if revocation is not None and self._scope.covers(key, revocation.role):
                entries[key] = entry(revocation)
        self._pages[page] = b"".join(entries[key] for key in sorted(entries))
        self.count += len(entries) - before


# Column by column, for a step of the interpreter for each of a million entries is what takes the time.
def _page(records: Sequence[Record]) -> bytes:
    values = [record.value for record in records]
    if min(values) < _UTC_BEGIN or max(values) >= _UTC_END:
        return b"".join(entry(Revocation.of(record)) for record in records)
    numbers = _integers([record.key for record in records])
    times, whys = [value[2:14] for value in values], [value[WHY_AT:] for value in values]
    if set(map(len, times)) != {12} or not b"".join(times).isdigit():
        raise ValueError("expected moments as YYYYMMDDhhmmss, got another text")
    pieces = [_UTC_TIME] * (5 * len(records))
    pieces[0::5] = _heads(list(map(len, numbers)), whys)
    pieces[1::5] = numbers
    pieces[3::5] = times
    pieces[4::5] = map(_TAILS.__getitem__, whys)
    return b"".join(pieces)


def _heads(sizes: Sequence[int], whys: Sequence[bytes]) -> Iterable[bytes]:
    if min(sizes) == max(sizes):  # the usual case
        return map(_HEADS[sizes[0]].__getitem__, whys)
    return [_HEADS[size][why] for size, why in zip(sizes, whys, strict=True)]


# The octets of INTEGERs, from keys in their order.
def _integers(keys: Sequence[str]) -> list[bytes]:
    octets = bytes.fromhex("".join(keys))
    if set(map(len, keys)) != {2 * _SERIAL_OCTETS}:
        raise ValueError("expected 40 hexadecimal digits as a serial number, got another text")
    numbers = [octets[at : at + _SERIAL_OCTETS] for at in range(0, len(octets), _SERIAL_OCTETS)]
    least, over = _USUAL_KEYS
    return numbers if least <= keys[0] and keys[-1] < over else list(map(_shortest, numbers))


# X.690, 8.3.2: no octet that is not needed, and none for a sign that is not there.
def _shortest(number: bytes) -> bytes:
    number = number.lstrip(b"\0")
    return number if number and number[0] < 0x80 else b"\0" + number


def entry(revocation: Revocation) -> bytes:
    """The entry of one revocation; raises StoreError for a reason that is none."""
    reason = _REASONS.get(revocation.reason.encode())
    if reason is None:
        raise unreadable("a revocation")
    return _entry(revocation.serial_number, revocation.revoked_at, reason)


def removal(revocation: Revocation, moment: datetime) -> bytes:
    """The entry of a delta list that says that the revocation ended at a moment (UTC-aware): removeFromCRL."""
    return _entry(revocation.serial_number, moment, _REMOVAL)


# SEQUENCE { INTEGER, Time, SEQUENCE OF Extension }
def _entry(serial: int, moment: datetime, extensions: bytes) -> bytes:
    number, time = serial.to_bytes(serial.bit_length() // 8 + 1), stamp(moment).encode()
    tagged = _UTC_TIME + time[2:] if _UTC_BEGIN <= time < _UTC_END else _GENERALIZED_TIME + time
    return der.sequence(bytes((der.INTEGER, len(number))), number, tagged, b"Z", extensions)


def _role(value: bytes) -> Role | None:
    if value.endswith(_UNKNOWN):
        return None
    return Role.AUTHORITY if value.endswith(_AUTHORITY) else Role.END_ENTITY


def _taken_apart(page: bytes) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for at, _, start, stop in der.children(page, 0, len(page)):
        first, last = der.expect(der.INTEGER, page, start, stop)
        found[serial_key(der.integer(page, first, last))] = page[at:stop]
    return found
