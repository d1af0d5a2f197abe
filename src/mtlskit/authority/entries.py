"""The entries of a revocation list in DER (RFC 5280, 5.1 and 5.3), made of the records themselves, a page at a time.

`cryptography` makes an object of each entry and of the whole list, which for a million of them takes several times as
long, and memory, as the list itself. Here an entry is put together out of pieces of octets. What is made stays in
pages, so that what changed while it was made can be put in its place.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
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
_USUAL_SERIAL: Final = 20  # octets, the first of them neither 0 nor over 127
_USUAL_KEYS: Final = ("01", "80")  # those of such numbers: 40 hexadecimal digits from the one to below the other
_AUTHORITY: Final = b" authority"
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
# Of an entry with a usual serial number and a UTCTime, by what stands behind the moments in a record: what goes before
# the number, and after the time.
_USUAL: Final = {
    reason + suffix: (
        bytes((der.SEQUENCE, 2 + _USUAL_SERIAL + 15 + len(tail), der.INTEGER, _USUAL_SERIAL)), b"Z" + tail
    )
    for reason, tail in _REASONS.items()
    for suffix in (b"", _AUTHORITY)
}  # fmt: skip


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
        pieces: list[bytes] = []
        (least, over), usual, from_hex = _USUAL_KEYS, _USUAL, bytes.fromhex
        taken = records if self._takes_all else list(filter(self._takes, records))
        try:
            for record in taken:
                key, value = record.key, record.value
                (head, tail), since = usual[value[WHY_AT:]], value[2:14]
                if least <= key < over and len(key) == 40 and _UTC_BEGIN <= value < _UTC_END and since.isdigit():
                    pieces += (head, from_hex(key), _UTC_TIME, since, tail)
                else:
                    pieces.append(entry(Revocation.of(record)))
        except (KeyError, ValueError):
            raise unreadable("a revocation") from None
        self._append(records[-1].key, b"".join(pieces), len(taken))

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


def _role(value: bytes) -> Role:
    return Role.AUTHORITY if value.endswith(_AUTHORITY) else Role.END_ENTITY


def _taken_apart(page: bytes) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for at, _, start, stop in der.children(page, 0, len(page)):
        first, last = der.expect(der.INTEGER, page, start, stop)
        found[serial_key(der.integer(page, first, last))] = page[at:stop]
    return found
