"""Rotation of the key-encryption key: everything that is sealed in a store, and sealing all of it under the new key.

Open the store with the new key and the old ones, `KeyEncryption(new, previous=[old])`, in every process first; then
`reseal(store)`, once, from anywhere; then the old keys can go. Nothing that is served stops meanwhile.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Protocol, runtime_checkable

from mtlskit.authority.sealed import SEALED as AUTHORITY_KEYS
from mtlskit.errors import ConfigurationError, StoreError, Unavailable
from mtlskit.fetch.sealed import SEALED as UPLOADED_KEYS
from mtlskit.gate.sealed import SEALED as HOSTNAME_KEYS
from mtlskit.ports import Store
from mtlskit.sealing import SealedRecords, count_by_key, reseal_records, sealing_key

# Whoever seals something else adds it here; a test compares this with who calls `Store.seal`.
EVERYTHING_SEALED: Final[tuple[SealedRecords, ...]] = (AUTHORITY_KEYS, HOSTNAME_KEYS, UPLOADED_KEYS)


@runtime_checkable
class RemembersKey(Protocol):
    """A store that knows which key its secrets are sealed under, and opens with no other one alone."""

    def adopt_key(self) -> None:
        """Takes the key that it seals under for its own from now on."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedCount:
    """So many records of a kind are sealed under one key, whose id is in hexadecimal; empty: they cannot be read."""

    kind: str
    what: str
    key_id: str
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Resealed:
    """What `reseal` did and left: `done` by kind, and what is sealed under other keys than `key_id` (hexadecimal)."""

    key_id: str
    done: Mapping[str, int]
    left: tuple[SealedCount, ...]


def sealed(store: Store) -> tuple[SealedCount, ...]:
    """What is sealed under which key, counted. Needs no key; reads the store in pages. Raises Unavailable."""
    return tuple(
        SealedCount(kind=records.kind, what=records.what, key_id=key_id.hex(), count=count)
        for records in EVERYTHING_SEALED
        for key_id, count in sorted(count_by_key(store, records).items())
    )


def key_in_use(store: Store) -> str:
    """The id of the key that the store seals under now, in hexadecimal; empty where it has no key that fits it."""
    try:
        return sealing_key(store).hex()
    except Unavailable:
        raise
    except (ConfigurationError, StoreError):
        return ""


def reseal(store: Store) -> Resealed:
    """Seals under the store's key all that older keys of its `KeyEncryption` sealed, and says what is left.

    May be called again at any time, after a crash or by several processes at once, while others work. Where nothing is
    left, the store opens with the new key alone from now on. Raises StoreError without the store's key, Unavailable,
    and Conflict where records change faster than they can be sealed.
    """
    key_id = sealing_key(store).hex()
    done = {records.kind: reseal_records(store, records) for records in EVERYTHING_SEALED}
    left = tuple(each for each in sealed(store) if each.key_id != key_id)
    if not left and isinstance(store, RemembersKey):
        store.adopt_key()
    return Resealed(key_id=key_id, done=done, left=left)
