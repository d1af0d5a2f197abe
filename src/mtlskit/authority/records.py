"""The read side of revocation for those who judge connections: a serial number's reason in two look-ups."""

from __future__ import annotations

from typing import Final

from mtlskit.authority.ledger import scan_revocations
from mtlskit.authority.topics import REVOCATION
from mtlskit.locks import ForkSafeLock
from mtlskit.ports import EVERYTHING, Store

_MOST_ISSUERS: Final = 65_536
_ATTEMPTS: Final = 3
_NOTHING: Final[dict[int, str]] = {}


class RevokedSerials:
    """What the authorities of one store have revoked, in memory, per issuer key, kept current by the store's changes.

    An issuer's revocations are read when they are first asked for and dropped when they change. Other processes'
    changes arrive when somebody calls the store's `poll`.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._by_issuer: dict[bytes, dict[int, str]] = {}
        self._changes = 0
        self._lock = ForkSafeLock()
        self._unsubscribe = store.subscribe(self._on_change)

    def reason_of(self, issuer_key: bytes, serial: int) -> str | None:
        """Why `serial` is revoked under the issuer with that key id, None if it is not.

        `issuer_key` is SHA-256 over the issuer's SubjectPublicKeyInfo (`core.certificates.public_key_id`).
        Raises Unavailable where the store cannot say: the caller must deny.
        """
        found = self._by_issuer.get(issuer_key)
        if found is None:
            found = self._load(issuer_key)
        return found.get(serial)

    def close(self) -> None:
        """Stops listening to the store. Idempotent."""
        self._unsubscribe()

    def _load(self, issuer_key: bytes) -> dict[int, str]:
        # What was read is kept only if nothing has changed since before it was read.
        for _ in range(_ATTEMPTS):
            changes = self._changes
            found = self._read(issuer_key)
            with self._lock:
                if changes == self._changes:
                    if len(self._by_issuer) >= _MOST_ISSUERS:
                        self._by_issuer = {}
                    self._by_issuer[issuer_key] = found
                    break
        return found

    def _read(self, issuer_key: bytes) -> dict[int, str]:
        with self._store.snapshot() as snapshot:
            found = {one.serial_number: str(one.reason) for one in scan_revocations(snapshot, issuer_key.hex())}
        return found or _NOTHING

    def _on_change(self, topics: frozenset[str]) -> None:
        with self._lock:
            self._changes += 1
            if EVERYTHING in topics:
                self._by_issuer = {}
                return
            for topic in topics:
                if topic.startswith(REVOCATION):
                    self._by_issuer.pop(bytes.fromhex(topic.removeprefix(REVOCATION)), None)
