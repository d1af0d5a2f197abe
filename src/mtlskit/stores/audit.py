"""The audit log's hash chain: how a row is made from the one before, and how a changed or missing row shows.

A row's hash is SHA-256 over the hash before it, then sequence, recorded_at and event, each with a line feed after it
(none of them has one in it), then the canonical JSON of the details. The chain cannot show that its last rows were
cut off: keep the head that `verify_audit` gives somewhere else.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime

from mtlskit.errors import StoreError
from mtlskit.ports import AuditRow, Store
from mtlskit.stores.records import checked

_GENESIS = bytes(32)
_encode = json.JSONEncoder(sort_keys=True, separators=(",", ":")).encode


def next_row(previous: tuple[int, bytes] | None, event: str, details: Mapping[str, str]) -> tuple[AuditRow, str]:
    """The row after the one with `previous`' sequence and hash, stamped now, and its details in canonical JSON."""
    encoded = encoded_details(event, details)
    sequence, previous_hash = previous or (0, _GENESIS)
    recorded_at = datetime.now(UTC).isoformat(timespec="milliseconds")
    row = AuditRow(
        sequence=sequence + 1,
        recorded_at=recorded_at,
        event=event,
        details=details,
        previous_hash=previous_hash,
        hash=_hash(previous_hash, sequence + 1, recorded_at, event, encoded),
    )
    return row, encoded


def encoded_details(event: str, details: Mapping[str, str]) -> str:
    """The details of a row to come in canonical JSON; raises StoreError for an event that no row can hold."""
    checked(event)
    if "\n" in event:
        raise StoreError(f"expected an event of one line, got {event!r}")
    return _encode(dict(details))


def stored_row(
    sequence: int, recorded_at: str, event: str, details: str, previous_hash: bytes, row_hash: bytes
) -> AuditRow:
    """A row as it was kept, its details in JSON; raises StoreError where these are not written as we write them.

    Two texts can mean the same details, and only one of them was hashed.
    """
    found = json.loads(details)
    if _encode(found) != details:
        raise StoreError(f"expected audit row {sequence} as it was written, got a changed one")
    return AuditRow(
        sequence=sequence,
        recorded_at=recorded_at,
        event=event,
        details=found,
        previous_hash=bytes(previous_hash),
        hash=bytes(row_hash),
    )


def verify_audit(store: Store, *, head: AuditRow | None = None) -> AuditRow | None:
    """Checks the whole log and gives its last row, None if it is empty.

    `head` is a row that was seen last at some earlier time: it must still be there. Raises StoreError that names
    the first row at fault.
    """
    with store.snapshot() as snapshot:
        return verify_rows(snapshot.scan_audit(), head=head)


def verify_rows(rows: Iterable[AuditRow], *, head: AuditRow | None = None) -> AuditRow | None:
    """As `verify_audit`, over rows from the first on."""
    last: AuditRow | None = None
    for row in rows:
        _check_row(row, last)
        if head is not None and row.sequence == head.sequence and row.hash != head.hash:
            raise StoreError(f"expected audit row {row.sequence} as it was seen before, got another one")
        last = row
    if head is not None and (last is None or last.sequence < head.sequence):
        raise StoreError(f"expected audit row {head.sequence}, got a log that ends before it")
    return last


def _check_row(row: AuditRow, last: AuditRow | None) -> None:
    sequence, previous_hash = (last.sequence, last.hash) if last else (0, _GENESIS)
    if row.sequence != sequence + 1 or row.previous_hash != previous_hash:
        raise StoreError(f"expected audit row {sequence + 1} after {sequence}, got row {row.sequence} of another chain")
    if row.hash != _hash(row.previous_hash, row.sequence, row.recorded_at, row.event, _encode(dict(row.details))):
        raise StoreError(f"expected audit row {row.sequence} as it was written, got a changed one")


def _hash(previous_hash: bytes, sequence: int, recorded_at: str, event: str, details: str) -> bytes:
    return hashlib.sha256(previous_hash + f"{sequence}\n{recorded_at}\n{event}\n{details}".encode()).digest()
