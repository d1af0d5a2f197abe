"""The lists that are published now: each signed once, served by every process, and made anew when it is time.

| kind | partition | key | value |
|---|---|---|---|
| `crl-published` | issuer key id | path | the ListRecord of the list that is published there |
| `crl-document` | issuer key id | path | that list in DER |

Both are written in one transaction, and never replaced by those of a lower number. So all processes of one store give
the same list, and who comes by several of them never sees a number go back.
"""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from typing import Final

from mtlskit.authority.changes import changes_after, last_change
from mtlskit.authority.generations import Generation
from mtlskit.authority.issuance import Issuing
from mtlskit.authority.list_records import POINT, ListRecord
from mtlskit.authority.lists import ListOrder, SignedList, complete_list, delta_list
from mtlskit.authority.opened import OpenedAuthority
from mtlskit.authority.publishing.publication import ListName, Publication, Updates
from mtlskit.errors import MTLSError, NotFound, StoreError
from mtlskit.locks import ForkSafeLock
from mtlskit.ports import Transaction

_LOGGER: Final = logging.getLogger("mtlskit.authority")
PUBLISHED: Final = "crl-published"
DOCUMENT: Final = "crl-document"
_NO_TIME: Final = timedelta(0)


class PublishedLists:
    """Those of one authority. May be shared between threads, and used on both sides of a fork."""

    def __init__(self, opened: OpenedAuthority, publication: Publication) -> None:
        self._opened = opened
        self._publication = publication
        self._lock = ForkSafeLock()
        self._places: dict[ListName, _Place] = {}

    def current(self, name: ListName) -> SignedList:
        """The list of that name, made anew if it is due. It has every revocation acknowledged before this call.

        But for what `Publication.pause` leaves to the next one. Where none can be made, the one before serves until
        its nextUpdate. Raises NotFound for a list that is not published, and what `CertificateAuthority.crl` raises.
        """
        generation = self._generation(name)
        with self._lock:
            place = self._places.setdefault(name, _Place(self._opened, self._publication, name))
        base = None
        if name.is_delta:
            base = self.current(name._replace(is_delta=False)).record.number
        return place.current(generation, base)

    def _generation(self, name: ListName) -> Generation:
        publication = self._publication
        generation = self._opened.generation(name.generation)
        if name.is_delta and publication.updates is not Updates.DELTA:
            raise _not_published(name)
        if name.partitions not in (1, publication.partitions) and not self._was_published(name, generation):
            raise _not_published(name)
        return generation

    # Certificates of a time when there were more partitions, or fewer, name the lists of that time.
    def _was_published(self, name: ListName, generation: Generation) -> bool:
        if self._publication.base_url is None:
            return False
        scope = self._publication.scope(name)
        with self._opened.store.snapshot() as snapshot:
            return snapshot.get(POINT, generation.key_id, scope.url or "") is not None


class _Place:
    """Where one list is published. Its lock is held while one is made: of all who wait for it, one makes it."""

    def __init__(self, opened: OpenedAuthority, publication: Publication, name: ListName) -> None:
        self._opened = opened
        self._publication = publication
        self._name = name
        self._scope = publication.scope(name)
        self._lock = ForkSafeLock()
        self._kept: SignedList | None = None
        self._looked_at = 0  # the last change that is known not to concern what is published

    def current(self, generation: Generation, base: int | None) -> SignedList:
        with self._lock:
            now = self._opened.clock()
            published = self._published(generation)
            if published is not None and not self._is_due(generation, published, base, now):
                return published
            try:
                return self._publish(generation, base, now)
            except MTLSError as error:
                if published is None or now >= published.record.next_update:
                    raise
                _LOGGER.warning("the revocation list %s could not be made anew: %s", self._name.path, error)
                return published

    def _published(self, generation: Generation) -> SignedList | None:
        issuer, path = generation.key_id, self._name.path
        with self._opened.store.snapshot() as snapshot:
            found = snapshot.get(PUBLISHED, issuer, path)
            if found is None:
                return None
            record = ListRecord.from_json(found.value)
            if self._kept is None or self._kept.record != record:
                document = snapshot.get(DOCUMENT, issuer, path)
                if document is None:
                    raise StoreError(f"expected the revocation list {path}, got its number only")
                self._kept = SignedList(document.value, record)
        return self._kept

    def _is_due(self, generation: Generation, published: SignedList, base: int | None, now: datetime) -> bool:
        record, publication = published.record, self._publication
        age = now - record.this_update
        renewal = publication.renewal if base is None else publication.delta_renewal
        # A list of a moment to come is none yet: the clock was set back since, or had been set forward.
        if not _NO_TIME <= age < renewal or now >= record.next_update or record.base != base:
            return True
        if age < publication.pause or (base is None and publication.updates is Updates.DELTA):
            return False
        return self._has_changed(generation, record)

    def _has_changed(self, generation: Generation, record: ListRecord) -> bool:
        known = max(self._looked_at, record.last_change)
        with self._opened.store.snapshot() as snapshot:
            last = last_change(snapshot, generation.key_id)
            if last == known:
                return False
            changes = changes_after(snapshot, generation.key_id, known)
            has_changed = any(self._scope.covers(each.key, each.revocation.role) for each in changes)
        if not has_changed:
            self._looked_at = last
        return has_changed

    def _publish(self, generation: Generation, base: int | None, now: datetime) -> SignedList:
        publication, issuing = self._publication, self._opened.issuing(generation)
        order = ListOrder(
            now=now,
            lifetime=publication.lifetime if base is None else publication.delta_lifetime,
            scope=self._scope,
            expired=publication.expired,
            delta_url=publication.delta_url(self._name),
        )
        made = complete_list(issuing, order) if base is None else delta_list(issuing, order, base)
        with self._opened.store.transaction() as transaction:
            is_newest = self._put(transaction, issuing, made)
        newest = made if is_newest else self._published(generation)
        self._kept = newest or made
        return self._kept

    # Whether it is published now; not so where another process has published a later one meanwhile.
    def _put(self, transaction: Transaction, issuing: Issuing, made: SignedList) -> bool:
        issuer, path, record = issuing.key_id, self._name.path, made.record.to_json()
        found = transaction.get(PUBLISHED, issuer, path)
        if found is None:
            transaction.insert(PUBLISHED, issuer, path, record)
            transaction.insert(DOCUMENT, issuer, path, made.der)
        elif ListRecord.from_json(found.value).number < made.record.number:
            transaction.replace(PUBLISHED, issuer, path, record)
            transaction.replace(DOCUMENT, issuer, path, made.der)
        else:
            return False
        return True


def _not_published(name: ListName) -> NotFound:
    return NotFound(f"expected a revocation list that is published, got {name.path}")
