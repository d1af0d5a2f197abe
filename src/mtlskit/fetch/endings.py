"""When uploaded client certificates end. Opens no key."""

from __future__ import annotations

from collections.abc import Iterator

from mtlskit.endings import Ending, EndingKind
from mtlskit.fetch.uploads import KIND, read_upload
from mtlskit.paging import stored
from mtlskit.ports import Store


def endings(store: Store) -> Iterator[Ending]:
    """The end of every upload, by its name (its id where it has none); raises StoreError for one that is unreadable."""
    for record in stored(store, KIND):
        upload = read_upload(record)
        yield Ending(
            what=EndingKind.UPLOAD,
            name=upload.name or upload.id,
            subject=upload.issuer,
            ends_at=upload.expires_on,
            then="requests through its bindings fail",
        )
