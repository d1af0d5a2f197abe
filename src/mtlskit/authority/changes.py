"""What changed in an issuer's revocations, one after the other: the log that everything incremental is read from.

| kind | partition | key | value |
|---|---|---|---|
| `revocation-change` | issuer key id | its number, 20 digits | Change: a certificate was revoked or released |
| `revocation-head` | | issuer key id | the number of the last change |

A change is written in the transaction that makes it. The head is read and replaced there as well, so changes of one
issuer are in the order of their commits, without a gap, and never change again. Who knows the revocations as they were
at one number, or as he met them at any time after it, has them as they are now when he applies what came since: so a
million revocations can be read in small pieces while others go on.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from mtlskit.authority.documents import dump, load, unreadable
from mtlskit.authority.ledger import REVOCATION, Revocation, moment_text
from mtlskit.authority.serials import serial_key
from mtlskit.paging import pages
from mtlskit.ports import Record, Snapshot, Store, Transaction

CHANGE: Final = "revocation-change"
HEAD: Final = "revocation-head"
_PAGE: Final = 1_000  # revocations: what is read before somebody else gets the store


class ChangeKind(StrEnum):
    """What became of a certificate."""

    REVOKED = "revoked"  # or revoked for another reason than before
    RELEASED = "released"


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """The change of that number (UTC): the revocation that was made, or the one that ended with it."""

    number: int
    kind: ChangeKind
    revocation: Revocation
    changed_at: datetime

    @property
    def key(self) -> str:
        """The key of the serial number that it is about."""
        return serial_key(self.revocation.serial_number)

    @property
    def left(self) -> Revocation | None:
        """The revocation as it is after this change: None where there is none."""
        return self.revocation if self.kind is ChangeKind.REVOKED else None


def append_change(
    transaction: Transaction, issuer: str, kind: ChangeKind, revocation: Revocation, now: datetime
) -> None:
    """Writes a change down, in the transaction that makes it."""
    head = transaction.get(HEAD, "", issuer)
    number = 1 if head is None else int(head.value) + 1
    if head is None:
        transaction.insert(HEAD, "", issuer, b"%d" % number)
    else:
        transaction.replace(HEAD, "", issuer, b"%d" % number)
    value = {
        "change": kind.value,
        "serial": serial_key(revocation.serial_number),
        "revocation": revocation.to_text(),
        "at": moment_text(now),
    }
    transaction.insert(CHANGE, issuer, _key(number), dump(value))


def last_change(snapshot: Snapshot, issuer: str) -> int:
    """The number of the issuer's last change; 0 before the first."""
    head = snapshot.get(HEAD, "", issuer)
    return 0 if head is None else int(head.value)


def changes_after(snapshot: Snapshot, issuer: str, number: int) -> Iterator[Change]:
    """The issuer's changes after that number, the oldest first; raises StoreError."""
    return map(_read, snapshot.scan(CHANGE, issuer, after=_key(number)))


def read_in_pages(store: Store, issuer: str) -> Iterator[list[Record]]:
    """All records of revocations of the issuer, by serial number, a page at a time.

    Each page is as it was when it was read: for one state of all, apply the changes since before the first.
    """
    return pages(store, REVOCATION, issuer, size=_PAGE)


def _key(number: int) -> str:
    return f"{number:020d}"


def _read(record: Record) -> Change:
    found = load(record.value, "a change of a revocation")
    try:
        return Change(
            number=int(record.key),
            kind=ChangeKind(found["change"]),
            revocation=Revocation.from_text(found["serial"], found["revocation"]),
            changed_at=datetime.fromisoformat(found["at"]),
        )
    except (AttributeError, KeyError, TypeError, ValueError):
        raise unreadable("a change of a revocation") from None
