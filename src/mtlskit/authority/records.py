"""The read side of revocation for those who judge connections: a serial number's reason in two look-ups."""

from __future__ import annotations

from typing import Final

from mtlskit.authority.changes import ChangeKind, changes_after, last_change, read_in_pages
from mtlskit.authority.documents import unreadable
from mtlskit.authority.ledger import WHY_AT
from mtlskit.authority.revocation import RevocationReason
from mtlskit.authority.topics import REVOCATION
from mtlskit.locks import ForkSafeLock
from mtlskit.ports import EVERYTHING, Record, Store

_MOST_ISSUERS: Final = 65_536
# By what stands behind the moments in a record: one text each, however many entries.
_REASONS: Final = {
    each.value.encode() + role: each.value for each in RevocationReason for role in (b"", b" authority", b" unknown")
}


class RevokedSerials:
    """What the authorities of one store have revoked, in memory, per issuer key, kept current by the store's changes.

    An issuer's revocations are read when they are first asked for; afterwards, when something was touched, only what
    has changed since. Other processes' changes arrive when somebody calls the store's `poll`.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._by_issuer: dict[bytes, _Issuer] = {}
        self._lock = ForkSafeLock()
        self._unsubscribe = store.subscribe(self._on_change)

    def reason_of(self, issuer_key: bytes, serial: int) -> str | None:
        """Why `serial` is revoked under the issuer with that key id, None if it is not.

        `issuer_key` is SHA-256 over the issuer's SubjectPublicKeyInfo (`core.certificates.public_key_id`).
        Raises Unavailable where the store cannot say: the caller must deny.
        """
        found = self._by_issuer.get(issuer_key)
        if found is None:
            found = self._new(issuer_key)
        if found.read_at != found.touched:
            found.refresh(self._store)
        return found.reasons.get(serial)

    def close(self) -> None:
        """Stops listening to the store. Idempotent."""
        self._unsubscribe()

    def _new(self, issuer_key: bytes) -> _Issuer:
        with self._lock:
            if len(self._by_issuer) >= _MOST_ISSUERS:
                self._by_issuer = {}
            return self._by_issuer.setdefault(issuer_key, _Issuer(issuer_key))

    def _on_change(self, topics: frozenset[str]) -> None:
        with self._lock:
            if EVERYTHING in topics:
                self._by_issuer = {}
                return
            for topic in topics:
                if topic.startswith(REVOCATION):
                    touched = self._by_issuer.get(bytes.fromhex(topic.removeprefix(REVOCATION)))
                    if touched is not None:
                        touched.touched += 1


class _Issuer:
    """One issuer's reasons by serial number, as they were after its change number `number` (-1: not read yet).

    They are current where `read_at` is `touched`, the number of times that something was touched.
    """

    __slots__ = ("_key", "_loading", "_lock", "number", "read_at", "reasons", "touched")

    def __init__(self, issuer_key: bytes) -> None:
        self._key = issuer_key.hex()
        self._loading = ForkSafeLock()  # so that a million entries are not read by every thread at once
        self._lock = ForkSafeLock()
        self.reasons: dict[int, str] = {}
        self.number = self.read_at = -1
        self.touched = 0

    def refresh(self, store: Store) -> None:
        """Makes it current as of some moment after this call; raises Unavailable and StoreError."""
        if self.number < 0:
            with self._loading:
                if self.number < 0:
                    self._load(store)
        # What is touched after this line is read by the next to come, if not here.
        touched = self.touched
        with store.snapshot() as snapshot:
            changes = list(changes_after(snapshot, self._key, self.number))
        with self._lock:
            for change in changes:
                # Another thread may have read more, and applied it before: nothing is applied twice or out of order.
                if change.number > self.number:
                    self._apply(change.kind, change.revocation.serial_number, change.revocation.reason)
                    self.number = change.number
            self.read_at = max(self.read_at, touched)

    def _apply(self, kind: ChangeKind, serial: int, reason: str) -> None:
        if kind is ChangeKind.REVOKED:
            self.reasons[serial] = reason
        else:
            self.reasons.pop(serial, None)

    def _load(self, store: Store) -> None:
        with store.snapshot() as snapshot:
            number = last_change(snapshot, self._key)
        reasons: dict[int, str] = {}
        for page in read_in_pages(store, self._key):
            reasons.update(map(_reason, page))
        # Some pages may be newer than `number`: the changes since then make them all the same age.
        self.reasons, self.number = reasons, number


def _reason(record: Record) -> tuple[int, str]:
    try:
        return int(record.key, 16), _REASONS[record.value[WHY_AT:]]
    except (KeyError, ValueError):
        raise unreadable("a revocation") from None
