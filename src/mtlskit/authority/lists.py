"""Revocation lists (RFC 5280, 5), complete and delta: never a number twice, never one without its revocations.

1. The revocations are read, a page at a time; nobody waits for it.
2. One transaction takes the next number and writes down what it stands for, with the last change of that moment.
3. What changed between 1 and 2 is put in its place: so of two lists the one with the higher number is the newer one,
   whoever made them.
4. The signer signs, once, and a second transaction writes that down. Only then the list leaves this module.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from mtlskit.authority.changes import Change, changes_after, last_change, read_in_pages
from mtlskit.authority.entries import NEVER, Entries, entry, removal
from mtlskit.authority.issuance import Issuing
from mtlskit.authority.ledger import stamp
from mtlskit.authority.list_records import (
    ListRecord,
    find_list,
    is_base_of,
    latest_list,
    mark_signed,
    no_base,
    number_list,
)
from mtlskit.authority.scope import WHOLE, ListScope, check_url
from mtlskit.core.validation import der
from mtlskit.errors import IssuanceError
from mtlskit.ports import Store

_EXTENSIONS: Final = 0xA0


class Expired(StrEnum):
    """What becomes of the entries of certificates that have expired."""

    KEEP = "keep"
    DROP = "drop"  # once they have been on a list of after their end (RFC 5280, 3.3)

    @classmethod
    def parse(cls, text: str) -> Expired:
        """The member of that name; raises IssuanceError."""
        try:
            return cls(text)
        except ValueError:
            raise IssuanceError(f"expired: expected one of {', '.join(cls)}, got {text!r}") from None


@dataclass(frozen=True, slots=True, kw_only=True)
class ListOrder:
    """A list that is wanted: of that scope, from `now` (UTC-aware) on for `lifetime`.

    `delta_url` is where its delta lists are told to be (RFC 5280, 5.2.6). Raises IssuanceError for what cannot be.
    """

    now: datetime
    lifetime: timedelta
    scope: ListScope = WHOLE
    expired: Expired = Expired.KEEP
    delta_url: str | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.now, datetime) or self.now.tzinfo is None:
            raise IssuanceError(f"now: expected a UTC-aware moment, got {self.now!r:.80}")
        if not isinstance(self.lifetime, timedelta) or self.lifetime < timedelta(seconds=1):
            raise IssuanceError(f"lifetime: expected a second or more for a revocation list, got {self.lifetime!r:.80}")
        if not isinstance(self.scope, ListScope):
            raise IssuanceError(f"scope: expected a ListScope, got {type(self.scope).__name__}")
        if self.delta_url is not None:
            check_url(self.delta_url, "delta_url")
        try:
            before = self.this_update.year < 1950 or self.next_update.year > 9999
        except OverflowError:
            before = True
        if before:
            raise IssuanceError("lifetime: expected moments from 1950 to 9999 for a revocation list, got others")

    @property
    def this_update(self) -> datetime:
        """When it is made."""
        return self.now.astimezone(UTC).replace(microsecond=0)

    @property
    def next_update(self) -> datetime:
        """Until when it is good."""
        return (self.this_update + self.lifetime).replace(microsecond=0)


@dataclass(frozen=True, slots=True)
class SignedList:
    """A list in DER, and its record."""

    der: bytes
    record: ListRecord


def complete_list(issuing: Issuing, order: ListOrder) -> SignedList:
    """The list of every revocation in the scope. Raises IssuanceError, Conflict, StoreError, and what signers raise."""
    store, issuer = issuing.store, issuing.key_id
    with store.snapshot() as snapshot:
        start = last_change(snapshot, issuer)
        before = latest_list(snapshot, issuer, order.scope) if order.expired is Expired.DROP else None
    entries = _entries(store, issuer, order, before)
    for page in read_in_pages(store, issuer):
        entries.add_page(page)
    record = _numbered(issuing, order, None)
    entries.replace({change.key: change.left for change in _changes(store, issuer, start, record.last_change)})
    return _signed(issuing, order, record, entries.take_pages())


def delta_list(issuing: Issuing, order: ListOrder, base: int | None) -> SignedList:
    """What has changed since the complete list number `base`, by default the last one; raises NotFound without it."""
    store, issuer = issuing.store, issuing.key_id
    with store.snapshot() as snapshot:
        found = latest_list(snapshot, issuer, order.scope) if base is None else find_list(snapshot, issuer, base)
        if found is None or not is_base_of(snapshot, issuer, order.scope, found.number):
            raise no_base(base)
    record = _numbered(issuing, order, found.number)
    changes = {each.key: each for each in _changes(store, issuer, found.last_change, record.last_change)}
    entries = [_delta_entry(changes[key]) for key in sorted(changes) if _is_covered(order.scope, changes[key])]
    return _signed(issuing, order, record, entries)


def crl_der(revocation_list: x509.CertificateRevocationList) -> bytes:
    """The list in DER."""
    return revocation_list.public_bytes(serialization.Encoding.DER)


def crl_pem(revocation_list: x509.CertificateRevocationList) -> bytes:
    """The list in PEM."""
    return revocation_list.public_bytes(serialization.Encoding.PEM)


# RFC 5280, 3.3: an entry stays until it was on a list of after the certificate's end. `before` is such a list for
# whatever has expired before it and was not changed after it.
def _entries(store: Store, issuer: str, order: ListOrder, before: ListRecord | None) -> Entries:
    if before is None:
        return Entries(order.scope, dropped_until=NEVER)
    with store.snapshot() as snapshot:
        kept = frozenset(change.key for change in changes_after(snapshot, issuer, before.last_change))
    until = min(before.this_update, order.this_update)
    return Entries(order.scope, dropped_until=stamp(until).encode(), kept=kept)


def _numbered(issuing: Issuing, order: ListOrder, base: int | None) -> ListRecord:
    with issuing.store.transaction() as transaction:
        return number_list(transaction, issuing, order.scope, order.this_update, order.next_update, base)


def _changes(store: Store, issuer: str, after: int, last: int) -> Iterator[Change]:
    if after >= last:
        return
    with store.snapshot() as snapshot:
        for change in changes_after(snapshot, issuer, after):
            if change.number > last:
                return
            yield change


# RFC 5280, 5.2.4: what was released is told of whether it was on the base or only on a complete list after it.
def _delta_entry(change: Change) -> bytes:
    return removal(change.revocation, change.changed_at) if change.left is None else entry(change.left)


def _is_covered(scope: ListScope, change: Change) -> bool:
    return scope.covers(change.key, change.revocation.role)


def _extensions(issuing: Issuing, order: ListOrder, record: ListRecord) -> list[x509.Extension[x509.ExtensionType]]:
    values: list[tuple[x509.ExtensionType, bool]] = [
        (issuing.issuer.authority_key_identifier, False),
        (x509.CRLNumber(record.number), False),
    ]
    if record.base is not None:
        values.append((x509.DeltaCRLIndicator(record.base), True))
    if (point := order.scope.extension) is not None:
        values.append((point, True))
    if order.delta_url is not None and record.base is None:
        name = x509.UniformResourceIdentifier(order.delta_url)
        values.append((x509.FreshestCRL([x509.DistributionPoint([name], None, None, None)]), False))
    return [x509.Extension(value.oid, critical, value) for value, critical in values]


def _signed(issuing: Issuing, order: ListOrder, record: ListRecord, entries: list[bytes]) -> SignedList:
    builder = x509.CertificateRevocationListBuilder(
        issuer_name=issuing.issuer.name,
        last_update=record.this_update.replace(tzinfo=None),
        next_update=record.next_update.replace(tzinfo=None),
        extensions=_extensions(issuing, order, record),
    )
    whole = _with_entries(issuing.assembly.to_be_signed(builder), entries)
    signed = issuing.assembly.sign(whole)
    with issuing.store.transaction() as transaction:
        return SignedList(signed, mark_signed(transaction, issuing, record, signed))


# RFC 5280, 5.1: in a TBSCertList, revokedCertificates stands before the extensions, and is left out where it is empty.
# The entries are emptied on the way: of a long list there are never more than two copies at once.
def _with_entries(content: bytes, entries: list[bytes]) -> bytes:
    start, stop = der.whole(der.SEQUENCE, content)
    at = next(at for at, tag, _, _ in der.children(content, start, stop) if tag == _EXTENSIONS)
    revoked = der.sequence(*entries) if any(entries) else b""
    entries.clear()
    return der.sequence(content[start:at], revoked, content[at:stop])
