"""Uploads as they are kept: the form of their records, their ids, and the index of their names.

Each upload is one record: key the id, value JSON. Beside it, in the same transaction, stands an empty record of the
kind `<kind>-name` under the name's SHA-256, so that a name is found without reading all uploads. Ids sort by the moment
they were given at.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from cryptography import x509

from mtlskit.core.certificates import read_certificates
from mtlskit.core.given import shown
from mtlskit.errors import CertificateError, ConfigurationError, Conflict, MTLSError, NotFound, StoreError
from mtlskit.ports import Record, Snapshot, Store, Transaction

_PARTITION: Final = ""
_PAGE: Final = 256  # records that are read at once
_LONGEST_NAME: Final = 256  # characters
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def utc_now() -> datetime:
    """The moment, UTC-aware."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadedCertificate:
    """What is told of an upload; never its key. Times are UTC-aware; the issuer is text for people (RFC 4514).

    Issuer, serial number and end are those of the first certificate. `ca` is whether it is trusted, and has no key.
    """

    id: str
    name: str | None
    issuer: str
    serial_number: int
    uploaded_on: datetime
    expires_on: datetime
    ca: bool = False

    @classmethod
    def of(
        cls, certificate: x509.Certificate, *, certificate_id: str, name: str | None, now: datetime, ca: bool = False
    ) -> UploadedCertificate:
        """Of the first certificate of an upload."""
        return cls(
            id=certificate_id,
            name=name,
            issuer=certificate.issuer.rfc4514_string(),
            serial_number=certificate.serial_number,
            uploaded_on=now,
            expires_on=certificate.not_valid_after_utc,
            ca=ca,
        )

    def document(self) -> dict[str, Any]:
        """As JSON has it, under the names of Cloudflare's API."""
        return {
            "id": self.id,
            "name": self.name,
            "ca": self.ca,
            "issuer": self.issuer,
            "serial_number": f"{self.serial_number:X}",
            "uploaded_on": self.uploaded_on.isoformat(),
            "expires_on": self.expires_on.isoformat(),
        }


def new_id(now: datetime) -> str:
    """A UUID of version 7 (RFC 9562, 5.7): milliseconds, their 4096ths, and 62 random bits."""
    milliseconds, rest = divmod(max(0, (now - _EPOCH) // timedelta(microseconds=1)), 1_000)
    first = milliseconds << 16 | 0x7000 | rest * 4_096 // 1_000
    return str(uuid.UUID(int=first << 64 | 0b10 << 62 | secrets.randbits(62)))


def checked_name(name: str | None) -> str | None:
    """The name that an upload may have; raises ConfigurationError."""
    if name is None:
        return None
    if not isinstance(name, str) or not name.strip() or not name.isprintable():
        raise ConfigurationError(f"expected a name of printable text, got {shown(name)}")
    if len(name) > _LONGEST_NAME:
        raise ConfigurationError(f"expected a name of at most {_LONGEST_NAME} characters, got {len(name)}")
    return name


def document_of(record: Record) -> dict[str, Any]:
    """The stored record; raises StoreError for other bytes."""
    try:
        document = json.loads(record.value)
    except ValueError:
        document = None
    if not isinstance(document, dict):
        raise StoreError(f"expected the record of the certificate {record.key!r}, got other bytes")
    return document


def read_upload(record: Record) -> UploadedCertificate:
    """What a stored record tells of its upload; raises StoreError."""
    document = document_of(record)
    try:
        return UploadedCertificate(
            id=record.key,
            name=document["name"],
            issuer=document["issuer"],
            serial_number=int(document["serial_number"], 16),
            uploaded_on=datetime.fromisoformat(document["uploaded_on"]),
            expires_on=datetime.fromisoformat(document["expires_on"]),
            ca=document.get("ca", False) is True,
        )
    except (KeyError, TypeError, ValueError, MTLSError):
        raise StoreError(f"expected the record of the certificate {record.key!r}, got another form") from None


def read_chain(record: Record) -> tuple[x509.Certificate, ...]:
    """The certificates of an upload, in their order; raises StoreError."""
    try:
        return read_certificates(document_of(record)["chain"])
    except (KeyError, CertificateError):
        raise StoreError(f"expected the chain of the certificate {record.key!r}, got another form") from None


def topic(kind: str, certificate_id: str) -> str:
    """The topic under which the store reports changes of an upload."""
    return f"{kind}:{certificate_id}"


class Shelf:
    """The uploads of one kind in a store, by id and by name."""

    def __init__(self, store: Store, kind: str) -> None:
        self._store = store
        self._kind = kind
        self._names = f"{kind}-name"

    def record(self, certificate_id: str) -> Record:
        """The one of that id; raises NotFound."""
        with self._store.snapshot() as snapshot:
            return self._found(snapshot, certificate_id)

    def uploads(self, name: str | None, after: str, limit: int | None) -> Iterator[UploadedCertificate]:
        """All of them, or those of one name, in the order of their ids; a page of them at a time."""
        if limit is not None and limit < 0:
            raise ConfigurationError(f"expected how many uploads to list, got {limit!r}")
        read = self._page if name is None else self._named(name)
        left = limit
        while left is None or left > 0:
            size = _PAGE if left is None else min(left, _PAGE)
            with self._store.snapshot() as snapshot:
                page, after = read(snapshot, after, size)
            yield from map(read_upload, page)
            if not after:
                return
            left = None if left is None else left - size

    def insert(self, transaction: Transaction, uploaded: UploadedCertificate, value: bytes) -> None:
        """Adds an upload."""
        transaction.insert(self._kind, _PARTITION, uploaded.id, value)
        self._add_name(transaction, uploaded.id, uploaded.name)
        transaction.touch(topic(self._kind, uploaded.id))

    def replace(self, transaction: Transaction, uploaded: UploadedCertificate, value: bytes, old: Record) -> None:
        """Puts an upload in the place of one as it was read; raises NotFound and Conflict where that is no more."""
        found = self._found(transaction, old.key)
        if found.version != old.version:
            raise Conflict(f"expected the certificate {old.key!r} as it was read, got one changed meanwhile")
        transaction.replace(self._kind, _PARTITION, old.key, value, version=old.version)
        self._remove_name(transaction, found)
        self._add_name(transaction, uploaded.id, uploaded.name)
        transaction.touch(topic(self._kind, old.key))

    def delete(self, transaction: Transaction, certificate_id: str) -> None:
        """Removes an upload; raises NotFound."""
        found = self._found(transaction, certificate_id)
        self._remove_name(transaction, found)
        transaction.delete(self._kind, _PARTITION, certificate_id)
        transaction.touch(topic(self._kind, certificate_id))

    def _found(self, snapshot: Snapshot, certificate_id: str) -> Record:
        if isinstance(certificate_id, str) and certificate_id.isprintable():
            record = snapshot.get(self._kind, _PARTITION, certificate_id)
            if record is not None:
                return record
        raise NotFound(f"expected the id of an uploaded certificate, got {shown(certificate_id)}")

    def _page(self, snapshot: Snapshot, after: str, size: int) -> tuple[list[Record], str]:
        page = list(snapshot.scan(self._kind, _PARTITION, after=after, limit=size))
        return page, page[-1].key if len(page) == size else ""

    def _named(self, name: str) -> Callable[[Snapshot, str, int], tuple[list[Record], str]]:
        def read(snapshot: Snapshot, after: str, size: int) -> tuple[list[Record], str]:
            ids = [row.key for row in snapshot.scan(self._names, _digest(name), after=after, limit=size)]
            found = snapshot.get_many(self._kind, _PARTITION, ids)
            return [found[each] for each in ids if each in found], ids[-1] if len(ids) == size else ""

        return read

    def _add_name(self, transaction: Transaction, certificate_id: str, name: str | None) -> None:
        if name is not None:
            transaction.insert(self._names, _digest(name), certificate_id, b"")

    def _remove_name(self, transaction: Transaction, record: Record) -> None:
        try:
            name = document_of(record).get("name")
        except StoreError:
            name = None  # what cannot be read is to be got rid of all the same
        if isinstance(name, str) and transaction.get(self._names, _digest(name), record.key) is not None:
            transaction.delete(self._names, _digest(name), record.key)


def _digest(name: str) -> str:
    return hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()
