"""What of an authority's records is sealed: its private keys."""

from __future__ import annotations

from typing import Final

from mtlskit.authority.creation import ELSEWHERE, key_context
from mtlskit.authority.ledger import AUTHORITY_KEY
from mtlskit.ports import Record
from mtlskit.sealing import SealedRecords


def _envelope(record: Record) -> bytes | None:
    return None if record.value == ELSEWHERE else record.value


SEALED: Final = SealedRecords(
    kind=AUTHORITY_KEY,
    what="authorities' keys",
    envelope=_envelope,
    context=key_context,
    resealed=lambda _, sealed: sealed,
)
