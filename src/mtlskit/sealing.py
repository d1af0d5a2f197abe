"""Secrets at rest under another key-encryption key: which key sealed a record, and sealing it anew.

A service that seals says so once, in a `SealedRecords`; `mtlskit.resealing` knows all of them. An envelope says which
key it was sealed under (`mtlskit.stores.encryption` owns its form): version, key id, and what only the key opens.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from mtlskit.errors import Conflict, StoreError, Unavailable
from mtlskit.paging import pages
from mtlskit.ports import Record, Store, Transaction

EVENT: Final = "keys.resealed"

_BATCH: Final = 100  # records that are sealed in one transaction, which others wait for
_READINGS: Final = 5  # of a batch that somebody else changes at the same time
_VERSION: Final = b"\x01"
_ID_END: Final = 9

UNREADABLE: Final = b""  # stands for the key id where a record or its envelope cannot be read


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedRecords:
    """The records of one kind with a sealed secret each, as their owner writes them.

    `what` names them for people. `envelope` gives the sealed secret of a record, None where it has none; `context`
    what the one under a key is bound to; `resealed` a record's value with another envelope in its place. They raise
    StoreError for a record that cannot be read.
    """

    kind: str
    what: str
    envelope: Callable[[Record], bytes | None]
    context: Callable[[str], str]
    resealed: Callable[[Record, bytes], bytes]


def sealed_under(envelope: bytes) -> bytes:
    """The id of the key-encryption key that an envelope was sealed under (8 bytes); raises StoreError."""
    if envelope[:1] != _VERSION or len(envelope) < _ID_END:
        raise StoreError("expected a sealed secret of a known version, got another format")
    return envelope[1:_ID_END]


def sealing_key(store: Store) -> bytes:
    """The id of the key that the store seals under now; raises StoreError and ConfigurationError without a key."""
    return sealed_under(store.seal(b"", context="which key is it"))


def count_by_key(store: Store, records: SealedRecords) -> Counter[bytes]:
    """How many records are sealed under each key, by its id, and under `UNREADABLE`. Needs no key; reads in pages."""
    counted: Counter[bytes] = Counter()
    for page in pages(store, records.kind):
        counted.update(key_id for each in page if (key_id := _key_of(records, each)) is not None)
    return counted


def reseal_records(store: Store, records: SealedRecords, *, batch: int = _BATCH) -> int:
    """Seals under the store's key what is sealed under older ones that it was opened with; gives how many.

    A batch is one transaction with its audit row (`keys.resealed`, counts only), so that whatever ends the process, the
    next call goes on where this one was. What no key at hand opens stays as it is. Raises Unavailable and Conflict.
    """
    key_id = sealing_key(store)
    done = 0
    for page in pages(store, records.kind, size=batch):
        old = [each.key for each in page if _key_of(records, each) not in (None, key_id)]
        if old:
            done += _reseal_these(store, records, old, key_id)
    return done


def _key_of(records: SealedRecords, record: Record) -> bytes | None:
    # One record that is broken must not keep all others under the old key.
    try:
        found = records.envelope(record)
        return None if found is None else sealed_under(found)
    except StoreError:
        return UNREADABLE


def _reseal_these(store: Store, records: SealedRecords, keys: Sequence[str], key_id: bytes) -> int:
    for _ in range(_READINGS):
        try:
            with store.transaction() as transaction:
                done = sum(_reseal_one(store, transaction, records, key, key_id) for key in keys)
                if done:
                    details = {"kind": records.kind, "count": str(done), "key_id": key_id.hex()}
                    transaction.append_audit(EVENT, details)
        except Conflict:
            continue  # somebody else was at it: read it again
        return done
    raise Conflict(f"expected {records.what} to stand still, got them changed again and again")


def _reseal_one(store: Store, transaction: Transaction, records: SealedRecords, key: str, key_id: bytes) -> int:
    # Read again, in the transaction: it may have been changed, removed or resealed since the page was read.
    found = transaction.get(records.kind, "", key)
    if found is None or _key_of(records, found) in (None, UNREADABLE, key_id):
        return 0
    context = records.context(key)
    try:
        secret = store.unseal(records.envelope(found) or b"", context=context)
    except Unavailable:
        raise
    except StoreError:
        return 0  # no key at hand opens it: `count_by_key` tells of it
    try:
        sealed = store.seal(secret, context=context)
    finally:
        del secret  # no traceback is to have it (I11)
    transaction.replace(records.kind, "", key, records.resealed(found, sealed), version=found.version)
    return 1
