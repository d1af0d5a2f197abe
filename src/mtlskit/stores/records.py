"""The rules of records that every adapter shares, so that they say the same thing in the same words."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Final

from mtlskit.errors import Conflict, NotFound, StoreError, Unavailable
from mtlskit.ports import Record, Snapshot, Transaction

PAGE: Final = 1_000  # records or rows that are read at once
_LONGEST_NAME: Final = 2_000  # a PostgreSQL index takes 2,700 bytes


def checked(*texts: str) -> None:
    """Raises StoreError where a kind, partition, key, name or topic is not text that every adapter can keep."""
    for text in texts:
        if "\0" in text or not (text.isascii() or _is_encodable(text)):
            raise StoreError(f"expected text without NUL and lone surrogates, got {text[:80]!r}")


def checked_new(kind: str, partition: str, key: str) -> None:
    """As `checked` for a record to be; raises StoreError for an empty key, which no scan could start after."""
    if not key:
        raise StoreError("expected a key, got an empty text")
    checked_name(kind, partition, key)


def checked_name(*texts: str) -> None:
    """As `checked` for what is to be found again by these texts; raises StoreError where they are too long for it."""
    checked(*texts)
    size = sum(len(text.encode()) for text in texts)
    if size > _LONGEST_NAME:
        raise StoreError(f"expected a name of at most {_LONGEST_NAME} bytes, got {size}: {texts[-1][:80]!r}")


class ManyByOne:
    """What a transaction does with many records where its medium is at hand: one after the other."""

    __slots__ = ()

    def get_many(self: Snapshot, kind: str, partition: str, keys: Collection[str]) -> Mapping[str, Record]:
        """As `Snapshot.get_many`."""
        found = ((key, self.get(kind, partition, key)) for key in keys)
        return {key: record for key, record in found if record is not None}

    def insert_many(self: Transaction, kind: str, partition: str, values: Mapping[str, bytes]) -> None:
        """As `Transaction.insert_many`."""
        for key, value in values.items():
            self.insert(kind, partition, key, value)

    def delete_many(self: Transaction, kind: str, partition: str, keys: Collection[str]) -> None:
        """As `Transaction.delete_many`."""
        for key in keys:
            self.delete(kind, partition, key)


def in_pages(read: Callable[[str, int], list[Record]], after: str, limit: int | None) -> Iterator[Record]:
    """The records after the key `after`, at most `limit`; `read` gives a page of them, after a key."""
    left = limit
    while left is None or left > 0:
        size = PAGE if left is None else min(left, PAGE)
        page = read(after, size)
        yield from page
        if len(page) < size:
            return
        after = page[-1].key
        left = None if left is None else left - size


def missing(kind: str, key: str) -> NotFound:
    """The error of a change to a record that is not there."""
    return NotFound(f"expected a record {kind} {key!r}, got none")


def expected(found: Record | None, kind: str, key: str, version: int | None) -> Record:
    """The record that a change was asked for; raises NotFound, or Conflict if it has not that version."""
    if found is None:
        raise missing(kind, key)
    if version is not None and version != found.version:
        raise Conflict(f"expected version {version} of {kind} {key!r}, got {found.version}")
    return found


def already_there(kind: str, key: str) -> Conflict:
    """The error of an insert over a record."""
    return Conflict(f"expected no record {kind} {key!r} yet, got one")


def ended() -> StoreError:
    """The error of using a transaction after its end."""
    return StoreError("expected an open transaction, got one that has ended")


def failed() -> Unavailable:
    """The error of going on with a transaction in which a statement has failed: none of it can be committed."""
    return Unavailable("expected a transaction whose every statement was done, got one that has failed")


def nested() -> StoreError:
    """The error of opening a transaction inside another in the same thread."""
    return StoreError("expected no transaction inside a transaction, got one")


def _is_encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
