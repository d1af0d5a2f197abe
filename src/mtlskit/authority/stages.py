"""The stages of a rotation: prepare (the next key may be trusted), activate (it issues), retire (the old is gone).

Between activate and retire clients of both generations get in, whichever of the two roots somebody trusts: a root's
keys certify each other. Each stage is one transaction on the latest record, or it is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Final, TypeAlias

from cryptography import x509

from mtlskit.authority.creation import Plan, certificate_order, store_key
from mtlskit.authority.generations import AuthorityRecord, Generation, GenerationState
from mtlskit.authority.issuance import Issuing, Order, Superseded, issue
from mtlskit.authority.ledger import (
    AUTHORITY,
    CERTIFICATE,
    REVOCATION,
    CertificateRecord,
    Reservation,
    scan_reservations,
)
from mtlskit.authority.revocation import RevocationReason, revoke_within
from mtlskit.authority.serials import serial_key
from mtlskit.authority.takeover import record_within
from mtlskit.authority.topics import authority_topic
from mtlskit.core.certificates import to_der
from mtlskit.core.profiles import CROSS, ROOT, AuthorityConstraints, Names, PublicKey
from mtlskit.errors import ConfigurationError, Conflict, NotFound
from mtlskit.ports import Snapshot, Store, Transaction


class Remaining(StrEnum):
    """What becomes of the good certificates of a generation that is to be retired."""

    REFUSE = "refuse"  # it is not retired while there are some
    ABANDON = "abandon"  # their holders get in no more

    @classmethod
    def parse(cls, text: str) -> Remaining:
        """The member of that name; raises ConfigurationError."""
        try:
            return cls(text)
        except ValueError:
            raise ConfigurationError(f"expected one of {', '.join(cls)}, got {text!r}") from None


_OWN: Final = frozenset({ROOT.name, CROSS.name})  # of certificates that a generation has for itself and its successors
IssuingOf: TypeAlias = Callable[[Generation], Issuing]


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A step of an authority's record, and what the log says of it."""

    before: AuthorityRecord
    after: AuthorityRecord
    event: str
    generation: Generation
    requester: str

    def commit(self, store: Store, also: Callable[[Transaction], None] | None = None) -> AuthorityRecord:
        """Writes the step down, with what `also` adds; raises Superseded where the record is another by now."""
        name = self.before.name
        with store.transaction() as transaction:
            found = transaction.get(AUTHORITY, "", name)
            if found is None or AuthorityRecord.from_json(found.value) != self.before:
                raise Superseded
            transaction.replace(AUTHORITY, "", name, self.after.to_json(), version=found.version)
            if also is not None:
                also(transaction)
            transaction.append_audit(self.event, self._details())
            transaction.touch(authority_topic(name))
        return self.after

    def _details(self) -> dict[str, str]:
        return {
            "authority": self.before.name,
            "issuer_key": self.generation.key_id,
            "generation": str(self.generation.number),
            "serial": f"{self.generation.certificate.serial_number:x}",
            "requester": self.requester,
        }


def prepare(
    record: AuthorityRecord, plan: Plan, store: Store, certified: tuple[Generation, CertificateRecord | None], *,
    parent: str = "",
) -> AuthorityRecord:  # fmt: skip
    """The record with one generation more, which issues nothing yet. There must be none that is prepared.

    `certified` is that generation, and what is to be recorded of its certificate; `parent` the authority above.
    """
    generation, issued = certified
    changed = replace(record, generations=(*record.generations, generation), parent=parent)

    def also(transaction: Transaction) -> None:
        store_key(transaction, plan, store)
        if issued is not None:
            key = serial_key(generation.certificate.serial_number)
            transaction.insert(CERTIFICATE, plan.key_id, key, issued.to_bytes())

    change = Change(
        before=record, after=changed, event="authority.prepared", generation=generation, requester=plan.requester
    )
    return change.commit(store, also)


def certify_below(
    plan: Plan, number: int, parent: Issuing, above: tuple[x509.Certificate, ...]
) -> tuple[Generation, None]:
    """A prepared generation that `parent` certifies and keeps on record; `above` is its own chain."""
    certificate = x509.load_der_x509_certificate(issue(parent, certificate_order(plan, number=number)))
    generation = Generation(
        number=number, certificate=certificate, state=GenerationState.PREPARED, key_place=plan.place, above=above
    )
    return generation, None


def certify_each_other(
    record: AuthorityRecord, store: Store, issuing_of: IssuingOf, *, requester: str, now: datetime
) -> AuthorityRecord:
    """The record in which the active and the prepared key of a root certify each other, as far as lengths allow.

    What is there already stays: so it can be called again after a crash.
    """
    old, new = record.active, record.prepared
    if new is None or not new.is_root or not old.is_root or (new.cross is not None and new.back is not None):
        return record
    cross = new.cross or _certified(new, issuing_of(old), old, requester, now)
    back = new.back or _certified(old, issuing_of(new), new, requester, now)
    crossed = replace(new, cross=cross, back=back)
    changed = replace(record, generations=tuple(crossed if each is new else each for each in record.generations))
    if changed == record:
        return record
    change = Change(
        before=record, after=changed, event="authority.cross_certified", generation=crossed, requester=requester
    )
    return change.commit(store)


def activate(record: AuthorityRecord, number: int | None, store: Store, *, requester: str) -> AuthorityRecord:
    """The record in which the prepared generation issues; raises Conflict where none is, or one of another number."""
    new = record.prepared
    if new is None:
        raise Conflict(f"expected a prepared generation of {record.name!r}, got none")
    if number not in (None, new.number):
        raise Conflict(f"expected generation {number} of {record.name!r} to be prepared, got {new.number}")
    states = {record.active.number: GenerationState.RETIRING, new.number: GenerationState.ACTIVE}
    change = Change(
        before=record, after=record.with_states(states), event="authority.activated", generation=new,
        requester=requester,
    )  # fmt: skip
    return change.commit(store)


def retire(
    record: AuthorityRecord, number: int, store: Store, *, remaining: Remaining, requester: str, now: datetime
) -> AuthorityRecord:
    """The record in which that generation is trusted no more. Again: without effect.

    What other keys certified it by is revoked in the same transaction. Raises NotFound where there is none of that
    number, Conflict for the active one, and for one with certificates that are still good, or pending, unless these are
    to be abandoned.
    """
    found = record.numbered(number)
    if found is None:
        raise NotFound(f"expected a generation of {record.name!r}, got the number {number}")
    if found.state is GenerationState.ACTIVE:
        raise Conflict(f"expected a generation that issues nothing any more, got the active one, {number}")
    if found.state is GenerationState.RETIRED:
        return record
    if remaining is Remaining.REFUSE:
        with store.snapshot() as snapshot:
            _check_no_good_ones(snapshot, found, now)
    changed = record.with_states({number: GenerationState.RETIRED})
    change = Change(
        before=record, after=changed, event="authority.retired", generation=found, requester=requester
    )  # fmt: skip
    return change.commit(store, lambda transaction: _end_trust(transaction, record, found, requester, now))


# Whoever trusts another generation, or the authority above, would follow these to the key that is retired.
def _end_trust(
    transaction: Transaction, record: AuthorityRecord, generation: Generation, requester: str, now: datetime
) -> None:
    for authority, key_id, certificate in record.certified_by_others(generation):
        if authority:  # or it is of an authority that the store has not
            record_within(transaction, authority, key_id, certificate, requester, now)
            revoke_within(
                transaction, authority, key_id, certificate.serial_number, der=to_der(certificate),
                reason=RevocationReason.CESSATION_OF_OPERATION, requester=requester, now=now,
            )  # fmt: skip


# A reservation may be a certificate by now that has not left yet: the one who signs it does not look here again.
def _check_no_good_ones(snapshot: Snapshot, generation: Generation, now: datetime) -> None:
    found = (*_issued(snapshot, generation), *scan_reservations(snapshot, generation.key_id))
    ends = [each.not_after for each in found if each.not_after > now and each.profile not in _OWN]
    if ends:
        raise Conflict(
            f"expected no good or pending certificates of generation {generation.number}, got {len(ends)}, "
            f"the last until {max(ends).isoformat()}"
        )


def _issued(snapshot: Snapshot, generation: Generation) -> Iterator[Reservation]:
    """What was issued and is not revoked."""
    for row in snapshot.scan(CERTIFICATE, generation.key_id):
        record = CertificateRecord.from_bytes(row.value)
        if record.der is not None and snapshot.get(REVOCATION, generation.key_id, row.key) is None:
            yield record.reservation


# A key certified under another one: its name, its key identifier and its limits, as long as both last.
def _certified(
    subject: Generation, issuing: Issuing, issuer: Generation, requester: str, now: datetime
) -> x509.Certificate | None:
    above, own = (AuthorityConstraints.of(each.certificate) for each in (issuer, subject))
    if above.path_length == 0:
        return None  # nothing may stand between that root and a leaf
    lengths = [own.path_length, None if above.path_length is None else above.path_length - 1]
    ends = min(subject.certificate.not_valid_after_utc, issuer.certificate.not_valid_after_utc)
    public_key: PublicKey = subject.certificate.public_key()  # type: ignore[assignment]
    order = Order(
        profile=CROSS, names=Names.of(f"{issuing.authority} G{subject.number}"), public_key=public_key,
        lifetime=ends - now.replace(microsecond=0), requester=requester, now=now, like=subject.certificate,
        constraints=replace(own, path_length=min((each for each in lengths if each is not None), default=None)),
    )  # fmt: skip
    return x509.load_der_x509_certificate(issue(issuing, order))
