"""How the records of authorities are written: JSON objects. One place says that one cannot be read."""

from __future__ import annotations

import json
from typing import Any

from mtlskit.errors import StoreError

_encode = json.JSONEncoder(separators=(",", ":")).encode
quoted = json.encoder.encode_basestring_ascii  # a text as a JSON string, as `dump` writes it


def dump(value: dict[str, Any]) -> bytes:
    """The stored form of an object."""
    return _encode(value).encode()


def load(value: bytes, what: str) -> dict[str, Any]:
    """The object in a stored form; raises StoreError."""
    try:
        found = json.loads(value)
    except ValueError:
        raise unreadable(what) from None
    if not isinstance(found, dict):
        raise unreadable(what)
    return found


def unreadable(what: str) -> StoreError:
    """The error for a record that is not what it should be."""
    return StoreError(f"expected the record of {what}, got something else")
