"""Reading a whole kind of records from a store of any size: a page at a time, each in a snapshot of its own.

So memory is bounded by the page, and nobody who writes waits, whatever the reader does between two pages.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from mtlskit.ports import Record, Store

_PAGE: Final = 256  # records; those of hostnames can be long


def pages(store: Store, kind: str, partition: str = "", *, size: int = _PAGE) -> Iterator[list[Record]]:
    """The records of a partition in the order of their keys, at most `size` at once; raises Unavailable.

    Each page is as it was when it was read; a record that is added behind the reader is not seen.
    """
    after = ""
    while True:
        with store.snapshot() as snapshot:
            page = list(snapshot.scan(kind, partition, after=after, limit=size))
        if page:
            yield page
        if len(page) < size:
            return
        after = page[-1].key


def stored(store: Store, kind: str, partition: str = "", *, size: int = _PAGE) -> Iterator[Record]:
    """As `pages`, one record after the other."""
    for page in pages(store, kind, partition, size=size):
        yield from page
