"""Making an authority: a root, one below another, or one that exists elsewhere. Its name carries its generation.

Whatever is made, its key, certificate and audit row are stored in one transaction before anyone has seen the
certificate: if that does not commit, there was no such authority. Of several makers of one name exactly one succeeds.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from cryptography import x509

from mtlskit.authority.assembly import Assembly
from mtlskit.authority.compromised_keys import compromised, is_compromised
from mtlskit.authority.generations import AuthorityRecord, Generation, GenerationState, KeyPlace
from mtlskit.authority.inheritance import LastList, inherit
from mtlskit.authority.issuance import Issuing, Order, issue
from mtlskit.authority.ledger import (
    AUTHORITY,
    AUTHORITY_KEY,
    AUTHORITY_OF_KEY,
    CERTIFICATE,
    CertificateRecord,
    IssuerLedger,
    Reservation,
)
from mtlskit.authority.list_records import start_above
from mtlskit.authority.possession import check_possession
from mtlskit.authority.revocation import RevocationReason, revoke
from mtlskit.authority.serials import draw_serial, serial_key
from mtlskit.authority.signers import KeySigner, KeyType, Signer, generate_key
from mtlskit.authority.topics import authority_topic
from mtlskit.core.certificates import spki_id, to_der
from mtlskit.core.profiles import (
    INTERMEDIATE,
    NO_LOCATIONS,
    ROOT,
    AuthorityConstraints,
    Locations,
    Names,
    certificate_builder,
    checked_common_name,
    validity,
)
from mtlskit.core.profiles.building import purpose_oid
from mtlskit.errors import Conflict, NotFound
from mtlskit.ports import Store, Transaction

_LONGEST_NAME: Final = 58  # leaves room for " G" and the generation in a common name of 64 octets
ELSEWHERE: Final = b""  # stands for a private key that the store does not have


def authority_name(text: str) -> str:
    """A name for an authority: 1 to 58 octets of printable UTF-8; raises IssuanceError."""
    return checked_common_name(text, longest=_LONGEST_NAME)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """An authority that is wanted. `signer` has its key; `place` is where that is kept. `now` is UTC-aware."""

    name: str
    signer: Signer
    place: KeyPlace
    constraints: AuthorityConstraints
    lifetime: timedelta | None
    requester: str
    now: datetime
    locations: Locations = NO_LOCATIONS

    @property
    def key_id(self) -> str:
        """The id of the signer's key, in hexadecimal."""
        return spki_id(self.signer.public_key()).hex()


def signer_of(key_type: KeyType, signer: Signer | None) -> tuple[Signer, KeyPlace]:
    """The given signer, or one with a new key that the store is to keep; raises IssuanceError for one without a key."""
    if signer is None:
        return KeySigner(generate_key(key_type)), KeyPlace.STORE
    check_possession(signer)
    return signer, KeyPlace.SIGNER


def check_constraints(name: str, certificate: x509.Certificate, wanted: AuthorityConstraints | None) -> None:
    """Raises Conflict where the certificate of that authority has others than are wanted; None wants nothing."""
    if wanted is None:
        return
    there, asked = (_comparable(each) for each in (AuthorityConstraints.of(certificate), wanted))
    different = [field for field in asked if asked[field] != there[field]]
    if different:
        raise Conflict(f"expected the authority {name!r} with these constraints, got other {', '.join(different)}")


def _comparable(constraints: AuthorityConstraints) -> dict[str, object]:
    names = constraints.name_constraints()
    return {
        "path_length": constraints.path_length,
        "extended_key_usages": frozenset(map(purpose_oid, constraints.extended_key_usages)),
        "permitted": frozenset((names and names.permitted_subtrees) or ()),
        "excluded": frozenset((names and names.excluded_subtrees) or ()),
    }


def make_root(plan: Plan, store: Store) -> AuthorityRecord:
    """A new authority with a self-signed certificate; raises Conflict if there is one of that name."""
    generation, issued = self_signed(plan, number=1)
    record = AuthorityRecord(name=plan.name, generations=(generation,), locations=plan.locations)
    _store(record, plan, store, issued)
    return record


def make_intermediate(plan: Plan, store: Store, parent: Issuing, above: Sequence[x509.Certificate]) -> AuthorityRecord:
    """A new authority whose certificate `parent` issues; `above` is the parent's own and those over it."""
    _check_new(plan, store)
    certificate = x509.load_der_x509_certificate(issue(parent, certificate_order(plan, number=1)))
    generation = Generation(number=1, certificate=certificate, key_place=plan.place, above=tuple(above))
    record = AuthorityRecord(
        name=plan.name, generations=(generation,), parent=parent.authority, locations=plan.locations
    )
    try:
        _store(record, plan, store, None)
    except Conflict:
        withdraw(plan, certificate, parent)
        raise
    return record


def withdraw(plan: Plan, certificate: x509.Certificate, parent: Issuing) -> None:
    """Revokes a certificate that is of no use to anybody: somebody else was quicker to make that authority."""
    reason = RevocationReason.CESSATION_OF_OPERATION
    revoke(parent, certificate.serial_number, reason=reason, requester=plan.requester, now=plan.now)


def take_over(
    plan: Plan, store: Store, certificate: x509.Certificate, above: Sequence[x509.Certificate], last: LastList | None
) -> AuthorityRecord:
    """The authority that a certificate and its key are already; both have been checked, and its `last` list.

    What that list revokes is written down before the authority is: there is no moment at which it is forgotten.
    """
    generation = Generation(number=1, certificate=certificate, key_place=plan.place, above=tuple(above))
    record = AuthorityRecord(name=plan.name, generations=(generation,), locations=plan.locations)
    issued = None
    if generation.is_root:
        reservation = reservation_of(certificate, plan, b"")
        issued = CertificateRecord(reservation=reservation, der=to_der(certificate))
    if last is not None:
        _check_new(plan, store)
        inherit(IssuerLedger(plan.name, plan.key_id, store), last, requester=plan.requester, now=plan.now)
    _store(record, plan, store, issued, last)
    return record


def _check_new(plan: Plan, store: Store) -> None:
    with store.snapshot() as snapshot:
        if snapshot.get(AUTHORITY, "", plan.name) is not None:
            raise Conflict(f"expected a new name for an authority, got {plan.name!r}, which there is")
        if snapshot.get(AUTHORITY_KEY, "", plan.key_id) is not None:
            raise _key_is_taken()


def self_signed(plan: Plan, *, number: int) -> tuple[Generation, CertificateRecord]:
    """A root's generation of that number, and the record of its certificate."""
    names, serial = Names.of(f"{plan.name} G{number}"), draw_serial()
    life = validity(ROOT, now=plan.now, lifetime=plan.lifetime, issuer=None)
    builder = certificate_builder(
        ROOT, names=names, public_key=plan.signer.public_key(), issuer=None, serial_number=serial, validity=life,
        constraints=plan.constraints,
    )  # fmt: skip
    assembly = Assembly(plan.signer)
    to_be_signed = assembly.to_be_signed(builder)
    der = assembly.sign(to_be_signed)
    certificate = x509.load_der_x509_certificate(der)
    state = GenerationState.ACTIVE if number == 1 else GenerationState.PREPARED
    generation = Generation(number=number, certificate=certificate, state=state, key_place=plan.place)
    return generation, CertificateRecord(reservation=reservation_of(certificate, plan, to_be_signed), der=der)


def certificate_order(plan: Plan, *, number: int) -> Order:
    """The order for the certificate of an intermediate authority's generation."""
    return Order(
        profile=INTERMEDIATE, names=Names.of(f"{plan.name} G{number}"), public_key=plan.signer.public_key(),
        lifetime=plan.lifetime, requester=plan.requester, now=plan.now, constraints=plan.constraints,
    )  # fmt: skip


def reservation_of(certificate: x509.Certificate, plan: Plan, to_be_signed: bytes) -> Reservation:
    """What the ledger says of an authority's own certificate."""
    return Reservation(
        serial_number=certificate.serial_number,
        tbs_sha256=hashlib.sha256(to_be_signed or certificate.tbs_certificate_bytes).hexdigest(),
        profile=ROOT.name,
        subject=certificate.subject.rfc4514_string(),
        requester=plan.requester,
        reserved_at=plan.now,
        not_after=certificate.not_valid_after_utc,
    )


def store_key(transaction: Transaction, plan: Plan, store: Store) -> None:
    """Keeps the sealed key, or the mark that it is elsewhere; raises Conflict if an authority has this key already.

    Raises IssuanceError for a key that is compromised.
    """
    if is_compromised(transaction, plan.key_id):
        raise compromised()
    sealed = ELSEWHERE
    if isinstance(plan.signer, KeySigner) and plan.place is KeyPlace.STORE:
        sealed = store.seal(plan.signer.to_der(), context=key_context(plan.key_id))
    try:
        transaction.insert(AUTHORITY_KEY, "", plan.key_id, sealed)
        transaction.insert(AUTHORITY_OF_KEY, "", plan.key_id, plan.name.encode())
    except Conflict:
        raise _key_is_taken() from None


def _key_is_taken() -> Conflict:
    return Conflict("expected a key of its own for an authority, got one that another authority has")


def open_signer(store: Store, key_id: str) -> KeySigner:
    """The signer with the sealed key of that id; raises NotFound, and StoreError where it does not open."""
    with store.snapshot() as snapshot:
        found = snapshot.get(AUTHORITY_KEY, "", key_id)
    if found is None or found.value == ELSEWHERE:
        raise NotFound(f"expected the private key with the id {key_id[:16]}..., got none in the store")
    return KeySigner.from_der(store.unseal(found.value, context=key_context(key_id)))


def _store(
    record: AuthorityRecord, plan: Plan, store: Store, issued: CertificateRecord | None, last: LastList | None = None
) -> None:
    generation = record.active
    serial = generation.certificate.serial_number
    with store.transaction() as transaction:
        transaction.insert(AUTHORITY, "", plan.name, record.to_json())
        store_key(transaction, plan, store)
        if issued is not None:
            transaction.insert(CERTIFICATE, plan.key_id, serial_key(serial), issued.to_bytes())
        if last is not None:
            start_above(transaction, plan.key_id, last.number)
        transaction.append_audit(
            "authority.created",
            {
                "authority": plan.name,
                "issuer_key": plan.key_id,
                "serial": f"{serial:x}",
                "parent": record.parent,
                "key_place": plan.place.value,
                "requester": plan.requester,
                **({} if last is None else {"last_crl": str(last.number)}),
            },
        )
        transaction.touch(authority_topic(plan.name))


def key_context(key_id: str) -> str:
    """What the sealed key of that id is bound to."""
    return f"authority-key:{key_id}"
