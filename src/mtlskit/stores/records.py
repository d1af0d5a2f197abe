"""The rules of records that every adapter shares, so that they say the same thing in the same words."""

from __future__ import annotations

from mtlskit.errors import Conflict, NotFound, StoreError
from mtlskit.ports import Record


def checked(*texts: str) -> None:
    """Raises StoreError where a kind, partition, key, name or topic is not text that every adapter can keep."""
    for text in texts:
        if "\0" in text or not (text.isascii() or _is_encodable(text)):
            raise StoreError(f"expected text without NUL and lone surrogates, got {text[:80]!r}")


def checked_key(key: str) -> str:
    """The key of a new record; raises StoreError for an empty one, which no scan could start after."""
    if not key:
        raise StoreError("expected a key, got an empty text")
    return key


def expected(found: Record | None, kind: str, key: str, version: int | None) -> Record:
    """The record that a change was asked for; raises NotFound, or Conflict if it has not that version."""
    if found is None:
        raise NotFound(f"expected a record {kind} {key!r}, got none")
    if version is not None and version != found.version:
        raise Conflict(f"expected version {version} of {kind} {key!r}, got {found.version}")
    return found


def already_there(kind: str, key: str) -> Conflict:
    """The error of an insert over a record."""
    return Conflict(f"expected no record {kind} {key!r} yet, got one")


def ended() -> StoreError:
    """The error of using a transaction after its end."""
    return StoreError("expected an open transaction, got one that has ended")


def nested() -> StoreError:
    """The error of opening a transaction inside another in the same thread."""
    return StoreError("expected no transaction inside a transaction, got one")


def _is_encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
