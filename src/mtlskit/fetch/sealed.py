"""What of an upload's record is sealed: the key of the client certificate."""

from __future__ import annotations

import base64
import json
from typing import Final

from mtlskit.errors import StoreError
from mtlskit.fetch.uploads import KIND, document_of, key_context
from mtlskit.ports import Record
from mtlskit.sealing import SealedRecords


def _envelope(record: Record) -> bytes:
    try:
        return base64.b64decode(document_of(record)["private_key"], validate=True)
    except (ValueError, KeyError, TypeError):
        raise StoreError(f"expected the key of the certificate {record.key!r}, got another form") from None


def _resealed(record: Record, sealed: bytes) -> bytes:
    return json.dumps({**document_of(record), "private_key": base64.b64encode(sealed).decode("ascii")}).encode("utf-8")


SEALED: Final = SealedRecords(
    kind=KIND, what="uploads' keys", envelope=_envelope, context=key_context, resealed=_resealed
)
