"""Many certificates with few commits: one transaction reserves a whole batch, another records it (I10).

The order of issuance holds for each certificate as it does for one alone: its reservation is committed before it is
signed, its record before it leaves. What a batch shares is the waiting for the disk. Whatever ends the process leaves
reservations of the batch at work, and of no other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence, Sized
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Final, TypeAlias

from mtlskit.authority.compromised_keys import compromised
from mtlskit.authority.drafting import Draft, Issuing, Order, draft_of
from mtlskit.authority.issuance import CompromisedKeys, record_all, reserve_all, revoked_meanwhile, sign
from mtlskit.authority.issued import IssuedCertificate
from mtlskit.authority.opened import OpenedAuthority
from mtlskit.authority.orders import CertificateOrder, NewKey, prepare
from mtlskit.core.certificates import PresentedChain
from mtlskit.errors import ConfigurationError, IssuanceError, MTLSError

BATCH_SIZE: Final = 100
LARGEST_BATCH: Final = 250  # in larger transactions a store would let nobody else work beside them


@dataclass(frozen=True, slots=True)
class Filled:
    """An order that was filled. `index` counts the orders from 0.

    `issued` is an IssuedCertificate where the key was made here, and the PresentedChain for the key of a request.
    """

    index: int
    order: CertificateOrder
    issued: IssuedCertificate | PresentedChain


@dataclass(frozen=True, slots=True)
class Unfilled:
    """An order that was refused or failed, and why; nothing was issued for it."""

    index: int
    order: CertificateOrder
    error: MTLSError


Outcome: TypeAlias = Filled | Unfilled
Progress: TypeAlias = Callable[[int, int | None], object]
_Each: TypeAlias = Callable[[Callable[["_Slot"], None], Sequence["_Slot"]], Iterable[None]]


@dataclass(slots=True)
class _Slot:
    """One order on its way: what it has become so far, or what became of it instead."""

    index: int
    order: CertificateOrder
    prepared: Order | NewKey | None = None
    draft: Draft | None = None
    der: bytes = b""
    error: MTLSError | None = None

    def outcome(self, presented: Sequence[bytes]) -> Outcome:
        if self.error is not None or self.prepared is None:
            return Unfilled(self.index, self.order, _without_frames(self.error or revoked_meanwhile()))
        chain = (self.der, *presented)
        issued = self.prepared.issued(chain) if isinstance(self.prepared, NewKey) else PresentedChain(chain)
        return Filled(self.index, self.order, issued)


# The frames that it was raised in, and what it was raised from, would keep the whole batch in memory. It is no copy: of
# an exception of somebody else's there may be none to be had.
def _without_frames(error: MTLSError) -> MTLSError:
    error.__cause__ = error.__context__ = None
    return error.with_traceback(None)


def issue_many(
    opened: OpenedAuthority,
    orders: Iterable[CertificateOrder],
    *,
    batch_size: int,
    progress: Progress | None,
    threads: int,
) -> Iterator[Outcome]:
    """As `CertificateAuthority.issue_many`; raises ConfigurationError at once, the rest when it is asked for more."""
    if not 1 <= batch_size <= LARGEST_BATCH or threads < 1:
        raise ConfigurationError(
            f"expected a batch size of 1 to {LARGEST_BATCH} and at least one thread, got {batch_size} and {threads}"
        )
    return _issue_many(opened, orders, batch_size, progress or (lambda _done, _total: None), threads)


def _issue_many(
    opened: OpenedAuthority, orders: Iterable[CertificateOrder], batch_size: int, progress: Progress, threads: int
) -> Iterator[Outcome]:
    total = len(orders) if isinstance(orders, Sized) else None
    slots = (_Slot(index, order) for index, order in enumerate(orders))
    with ThreadPoolExecutor(threads) if threads > 1 else nullcontext() as pool:
        each: _Each = map if pool is None else pool.map
        while batch := list(islice(slots, batch_size)):
            presented, failure = _fill(opened, batch, each)
            for slot in batch:
                yield slot.outcome(presented)
                progress(slot.index + 1, total)
            if failure is not None:
                raise failure


def _fill(opened: OpenedAuthority, batch: Sequence[_Slot], each: _Each) -> tuple[Sequence[bytes], MTLSError | None]:
    """Takes a batch through all steps. Gives what is presented after its certificates, and the signer's failure."""
    now = opened.clock()
    list(each(lambda slot: _prepare(slot, now), batch))
    issuing = opened.with_latest(lambda: _reserve(opened.issuing(), batch))
    failure = _sign(issuing, [slot for slot in batch if slot.draft is not None], each)
    _record(issuing, [slot for slot in batch if slot.der])
    return issuing.presented, failure


def _prepare(slot: _Slot, now: datetime) -> None:
    try:
        slot.prepared = prepare(slot.order, now)
    except MTLSError as error:
        slot.error = error


def _reserve(issuing: Issuing, batch: Sequence[_Slot]) -> Issuing:
    for slot in batch:
        if slot.prepared is not None:
            slot.draft, slot.error = _drafted(issuing, slot.prepared)
    wanted = [slot for slot in batch if slot.draft is not None]
    while wanted:
        try:
            drafts = reserve_all(issuing, [slot.draft for slot in wanted if slot.draft is not None])
        except CompromisedKeys as error:
            for at in error.at:
                wanted[at].draft, wanted[at].error = None, compromised()
            wanted = [slot for slot in wanted if slot.draft is not None]
            continue
        for slot, draft in zip(wanted, drafts, strict=True):
            slot.draft = draft
        break
    return issuing


def _drafted(issuing: Issuing, prepared: Order | NewKey) -> tuple[Draft | None, MTLSError | None]:
    try:
        return draft_of(issuing, prepared.order if isinstance(prepared, NewKey) else prepared), None
    except IssuanceError as error:
        return None, error


def _sign(issuing: Issuing, slots: Sequence[_Slot], each: _Each) -> MTLSError | None:
    # A signer that fails is no matter of one order: it is asked no more, and what was signed is recorded.
    failures: list[MTLSError] = []

    def signed(slot: _Slot) -> None:
        if not failures and slot.draft is not None:
            try:
                slot.der = sign(issuing.assembly, slot.draft)
            except MTLSError as error:
                failures.append(error)
        # One of its own for each order: the failure itself is raised in the end, with what it came from.
        slot.error = None if slot.der else IssuanceError(str(failures[0]))

    list(each(signed, slots))
    return failures[0] if failures else None


def _record(issuing: Issuing, slots: Sequence[_Slot]) -> None:
    there = record_all(issuing, [(slot.draft, slot.der) for slot in slots if slot.draft is not None])
    for slot, was_there in zip(slots, there, strict=True):
        if not was_there:
            slot.error = revoked_meanwhile()
