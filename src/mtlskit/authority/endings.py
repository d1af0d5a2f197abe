"""When an authority's certificates end, and how many of those that it issued."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Final

from mtlskit.authority.generations import AuthorityRecord, Generation, GenerationState
from mtlskit.authority.ledger import AUTHORITY, CERTIFICATE, REVOCATION, Reservation
from mtlskit.core.profiles import CROSS, INTERMEDIATE, ROOT
from mtlskit.endings import CertificatesEnding, Ending, EndingKind
from mtlskit.paging import stored
from mtlskit.ports import Record, Store

_THEN: Final = {
    GenerationState.PREPARED: "it is of no use before it was activated: prepare another",
    GenerationState.ACTIVE: "it issues nothing more, and nothing that it issued is good: rotate it before",
    GenerationState.RETIRING: "what it issued before the rotation is good no more",
}
_AUTHORITIES: Final = frozenset((ROOT.name, INTERMEDIATE.name, CROSS.name))
_PAGE: Final = 1_000
_MOST_SUBJECTS: Final = 400_000  # in memory at once, at about a hundred bytes each; the rest in further passes


def endings(store: Store, *, now: datetime) -> Iterator[Ending]:
    """The ends of all authorities' certificates that are not retired, and not past while they are retiring."""
    for record in _authorities(store):
        for each in record.trusted:
            ending = _ending(record.name, each)
            if each.state is not GenerationState.RETIRING or ending.ends_at > now:
                yield ending


def _ending(name: str, generation: Generation) -> Ending:
    first = min((generation.certificate, *generation.above), key=lambda each: each.not_valid_after_utc)
    return Ending(
        what=EndingKind.AUTHORITY,
        name=f"{name} G{generation.number} ({generation.state.value})",
        subject=first.subject.rfc4514_string(),
        ends_at=first.not_valid_after_utc,
        then=_THEN[generation.state],
    )


def certificates_ending(store: Store, *, now: datetime, until: datetime) -> Iterator[CertificatesEnding]:
    """For each authority its end-entity certificates that end between `now` and `until`, without those revoked.

    A subject that has another certificate of the same authority for longer counts as renewed; of several that end, the
    last counts. Memory is bounded: of an authority with more subjects than fit, the records are read several times.
    """
    for record in _authorities(store):
        count, first, last = 0, until, now
        for end in _last_ends(store, record.trusted, now):
            if end <= until:
                count, first, last = count + 1, min(first, end), max(last, end)
        if count:
            yield CertificatesEnding(authority=record.name, count=count, first=first, last=last)


def _last_ends(store: Store, generations: Iterable[Generation], now: datetime) -> Iterator[datetime]:
    """The end of each subject's last good certificate. Subjects are told apart by a digest, and read in shares."""
    shares, share = 1, 0
    while share < shares:
        last: dict[int, datetime] = {}
        for reservation in _good(store, generations, now):
            subject = _digest(reservation)
            if subject % shares == share:
                last[subject] = max(last.get(subject, reservation.not_after), reservation.not_after)
            if len(last) > _MOST_SUBJECTS and share == 0:
                shares *= 2
                last = {each: end for each, end in last.items() if each % shares == 0}
        yield from last.values()
        share += 1


def _good(store: Store, generations: Iterable[Generation], now: datetime) -> Iterator[Reservation]:
    for generation in generations:
        for record in _not_revoked(store, generation.key_id):
            reservation = Reservation.from_json(record.value.partition(b"\n")[0])
            if reservation.not_after > now and reservation.profile not in _AUTHORITIES:
                yield reservation


# Both are in the order of serial numbers, and read side by side.
def _not_revoked(store: Store, issuer: str) -> Iterator[Record]:
    revoked = (each.key for each in stored(store, REVOCATION, issuer, size=_PAGE))
    next_revoked = next(revoked, None)
    for record in stored(store, CERTIFICATE, issuer, size=_PAGE):
        while next_revoked is not None and next_revoked < record.key:
            next_revoked = next(revoked, None)
        if record.key != next_revoked:
            yield record


def _digest(reservation: Reservation) -> int:
    return int.from_bytes(hashlib.blake2b(reservation.subject.encode(), digest_size=8).digest())


def _authorities(store: Store) -> Iterator[AuthorityRecord]:
    return (AuthorityRecord.from_json(each.value) for each in stored(store, AUTHORITY))
