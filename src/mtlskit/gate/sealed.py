"""What of a hostname's record is sealed: the key of its server certificate."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any, Final

from mtlskit.errors import StoreError
from mtlskit.gate.hostname_records import KIND, key_context
from mtlskit.ports import Record
from mtlskit.sealing import SealedRecords


def _envelope(record: Record) -> bytes | None:
    try:
        server = _document(record)["server"]
        return None if server is None else base64.b64decode(server["key"], validate=True)
    except (ValueError, KeyError, TypeError):
        raise StoreError(f"expected a readable record of hostname {record.key!r}, got another") from None


def _resealed(record: Record, sealed: bytes) -> bytes:
    document = dict(_document(record))
    document["server"] = {**document["server"], "key": base64.b64encode(sealed).decode("ascii")}
    return json.dumps(document, separators=(",", ":")).encode()


def _document(record: Record) -> Mapping[str, Any]:
    document: Mapping[str, Any] = json.loads(record.value)
    return document


SEALED: Final = SealedRecords(
    kind=KIND, what="hostnames' server keys", envelope=_envelope, context=key_context, resealed=_resealed
)
