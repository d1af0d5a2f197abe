"""What a gate remembers of its store: hostname records, their TLS contexts, the paths that were verified.

Everything here can be thrown away at any time: records are read again on first use. A change of a hostname throws
away its entry with its context, its session ticket keys and its paths (I5), and nothing of its neighbours.
Every table is bounded, since what peers send chooses the keys (I12).
"""

from __future__ import annotations

import ssl
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Generic, NamedTuple, TypeAlias, TypeVar

from cryptography import x509

from mtlskit.core.certificates import Issuance, PresentedChain
from mtlskit.core.custom_hostname import CustomHostname
from mtlskit.core.names import Hostname, HostnamePattern, pattern_keys
from mtlskit.core.rules.asking import Asked
from mtlskit.core.validation import RevocationList, Revocations, TrustStore
from mtlskit.core.verdict import VerifiedClient, verify_client
from mtlskit.gate.hostnames import Hostnames
from mtlskit.locks import ForkSafeLock
from mtlskit.revocation import GivenList, ListSource, ListStatus, RevocationLists, WatchedLists, source_of

_LONGEST_MEMORY = timedelta(minutes=5)
_MOST_PATHS = 512

IssuanceOf: TypeAlias = Callable[[bytes, x509.Certificate], Issuance]
_Key = TypeVar("_Key", bound=Hashable)
_Value = TypeVar("_Value")


class Bounded(Generic[_Key, _Value]):
    """A table that forgets what was used longest ago. Single operations are atomic under the interpreter's lock."""

    __slots__ = ("_items", "_most")

    def __init__(self, most: int) -> None:
        self._items: OrderedDict[_Key, _Value] = OrderedDict()
        self._most = most

    def get(self, key: _Key) -> _Value | None:
        """The value, now the youngest."""
        value = self._items.get(key)
        if value is not None:
            try:
                self._items.move_to_end(key)
            except KeyError:
                return value  # another thread threw it away meanwhile
        return value

    def put(self, key: _Key, value: _Value) -> None:
        """Adds it, and forgets the oldest if there are too many."""
        self._items[key] = value
        while len(self._items) > self._most:
            self._items.popitem(last=False)

    def discard(self, key: _Key) -> None:
        """Forgets it, if it is there."""
        self._items.pop(key, None)

    def discard_where(self, is_meant: Callable[[_Key], bool]) -> None:
        """Forgets all whose key is meant."""
        for key in [key for key in list(self._items) if is_meant(key)]:
            self._items.pop(key, None)

    def clear(self) -> None:
        """Forgets all."""
        self._items.clear()

    def __len__(self) -> int:
        return len(self._items)


class _Judging(NamedTuple):
    """The hostname with the revocation lists of one moment in its trust store, and the paths verified with these."""

    lists: tuple[RevocationList, ...]
    hostname: CustomHostname
    paths: Bounded[tuple[bytes, ...], tuple[VerifiedClient, datetime, datetime]]


class Entry:
    """One hostname's record as it was read, with what was made from it.

    `lists` are its sources of revocation lists. When one of these has a new list, the paths that were verified with
    the old one go with it: what is judged, and what is remembered of it, change in one assignment.
    """

    __slots__ = ("_context", "_issuance_of", "_judging", "_lists", "_lock", "_revocations", "hostname")

    def __init__(
        self,
        hostname: CustomHostname,
        revocations: Revocations,
        issuance_of: IssuanceOf,
        lists: WatchedLists | None = None,
    ) -> None:
        self.hostname = hostname
        self._revocations = revocations
        self._issuance_of = issuance_of
        self._lists = lists
        self._judging = _Judging((), hostname, Bounded(_MOST_PATHS))
        self._context: ssl.SSLContext | None = None
        self._lock = ForkSafeLock()

    def context(self, make: Callable[[CustomHostname], ssl.SSLContext]) -> ssl.SSLContext:
        """The hostname's own TLS context, made on first use."""
        if self._context is None:
            with self._lock:
                if self._context is None:
                    self._context = make(self.hostname)
        return self._context

    def verify(self, _hostname: CustomHostname, presented: PresentedChain, now: datetime) -> VerifiedClient:
        """As `verify_client`, remembering the answer while nothing can have changed it. Revocation is asked anew."""
        _, hostname, paths = self._judging if self._lists is None else self._judging_at(self._lists, now)
        remembered = paths.get(presented.ders)
        if remembered is not None:
            client, since, until = remembered  # a clock that was set back asks again too
            if since <= now < until and not self._is_revoked(client):
                return client
        client = self._with_issuance(verify_client(hostname, presented, now))
        issuance = client.identity.issuance
        if issuance is None or issuance.profile is not None:  # what is not on record may be recorded yet
            paths.put(presented.ders, (client, now, min(client.path.not_after, now + _LONGEST_MEMORY)))
        return client

    def _with_issuance(self, client: VerifiedClient) -> VerifiedClient:
        """With what the store's authorities know of the leaf, where policies ask: it does not change any more."""
        if Asked.ISSUANCE not in self.hostname.admits.asks or not client.path.links:
            return client
        issuer_key, _ = client.path.links[0]
        issuance = self._issuance_of(issuer_key, client.path.leaf)
        return replace(client, identity=replace(client.identity, issuance=issuance))

    def list_status(self) -> tuple[ListStatus, ...]:
        """What the hostname's sources of revocation lists say of themselves."""
        return () if self._lists is None else self._lists.status()

    def _judging_at(self, watched: WatchedLists, now: datetime) -> _Judging:
        judging, lists = self._judging, watched.current(now)
        if lists != judging.lists:
            hostname = replace(self.hostname, trust=_with_lists(self.hostname.trust, lists))
            judging = self._judging = _Judging(lists, hostname, Bounded(_MOST_PATHS))
        return judging

    def _is_revoked(self, client: VerifiedClient) -> bool:
        for issuer_key, serial in client.path.links:  # a loop: this runs on every request
            if self._revocations.reason_of(issuer_key, serial) is not None:
                return True
        return False


def _with_lists(trust: TrustStore, lists: tuple[RevocationList, ...]) -> TrustStore:
    return TrustStore(trust.anchors, intermediates=trust.intermediates, revocations=trust.revocations, lists=lists)


def watched(hostname: CustomHostname, lists: RevocationLists) -> WatchedLists | None:
    """The sources of a hostname's revocation lists, from now on kept current; None if it has none."""
    return lists.watch([_source(each) for each in hostname.lists]) if hostname.lists else None


def _source(kept: bytes | str) -> ListSource:
    return GivenList(kept) if isinstance(kept, bytes) else source_of(kept)


class Snapshot:
    """The entries, found by hostname. `lists` keeps the sources of their revocation lists."""

    def __init__(
        self,
        hostnames: Hostnames,
        revocations: Revocations,
        issuance_of: IssuanceOf,
        lists: RevocationLists,
        *,
        most_hostnames: int,
    ) -> None:
        self._hostnames = hostnames
        self._revocations = revocations
        self._issuance_of = issuance_of
        self._lists = lists
        self._entries: Bounded[str, Entry] = Bounded(most_hostnames)
        self._resolved: Bounded[str, Entry] = Bounded(most_hostnames)
        self._lock = ForkSafeLock()
        self._generation = 0

    def entry(self, name: Hostname) -> Entry | None:
        """The entry that covers `name`; None if there is no such hostname. Raises what the store raises."""
        return self._resolved.get(name.name) or self._load(name)

    def _load(self, name: Hostname) -> Entry | None:
        generation = self._generation
        record = self._hostnames.look_up(pattern_keys(name))
        if record is None:
            return None
        entry = self._entries.get(record.key)
        if entry is None or entry.hostname.version != record.version:
            hostname = self._hostnames.read(record)
            entry = Entry(hostname, self._revocations, self._issuance_of, watched(hostname, self._lists))
        with self._lock:
            if generation == self._generation:
                self._entries.put(record.key, entry)
                self._resolved.put(name.name, entry)
            # else: the record changed while it was read; what was read serves this once and is not remembered.
        return entry

    def forget(self, pattern: str) -> None:
        """The record of `pattern` came, changed or went."""
        changed = HostnamePattern.parse(pattern)
        with self._lock:
            self._generation += 1
            self._entries.discard(pattern)
            if changed.wildcard:
                self._resolved.discard_where(lambda name: name.partition(".")[2] == changed.base.name)
            else:
                self._resolved.discard(changed.base.name)  # it may have been found under a wildcard till now

    def forget_all(self) -> None:
        """Anything may have changed."""
        with self._lock:
            self._generation += 1
            self._entries.clear()
            self._resolved.clear()
