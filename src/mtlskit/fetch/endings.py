"""When uploaded certificates end: those of clients, and CAs. Opens no key."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

from mtlskit.endings import Ending, EndingKind
from mtlskit.fetch import preflight, upload_authorities, uploads
from mtlskit.fetch.upload_records import read_chain, read_upload
from mtlskit.paging import stored
from mtlskit.ports import Store


def endings(store: Store) -> Iterator[Ending]:
    """The end of every upload, by its name (its id where it has none); raises StoreError for one that is unreadable."""
    return chain(_of_clients(store), _of_authorities(store))


def _of_clients(store: Store) -> Iterator[Ending]:
    for record in stored(store, uploads.KIND):
        upload = read_upload(record)
        yield Ending(
            what=EndingKind.UPLOAD,
            name=upload.name or upload.id,
            subject=upload.issuer,
            ends_at=upload.expires_on,
            then="requests through its bindings fail",
        )


def _of_authorities(store: Store) -> Iterator[Ending]:
    """Each certificate of an upload by itself: they have nothing to do with one another."""
    for record in stored(store, upload_authorities.KIND):
        upload = read_upload(record)
        for certificate in read_chain(record):
            yield Ending(
                what=EndingKind.UPLOADED_CA,
                name=upload.name or upload.id,
                subject=preflight.subject_of(certificate),
                ends_at=certificate.not_valid_after_utc,
                then="servers with certificates from it are trusted no more",
            )
