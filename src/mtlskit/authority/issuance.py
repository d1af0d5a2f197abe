"""The order of issuance (I10): written down, signed, written down as issued, returned. Never otherwise.

1. Everything that can be refused is refused, the authorisation hook last.
2. One transaction records the serial number, the hash of the bytes to be signed, the profile, the subject and the
   requester as a reservation, with an audit row, and commits. It may do so for several certificates.
3. The signer signs those bytes, once.
4. A second transaction turns the reservations into the certificates' records, with an audit row each.
5. Only then the certificates leave this module.

Whatever ends the process in between leaves reservations: they are listed, can be revoked, and their serial numbers
are never used again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Final

from mtlskit.authority.assembly import Assembly
from mtlskit.authority.compromised_keys import COMPROMISED_KEY, compromised
from mtlskit.authority.drafting import Draft, Issuing, Order, Predecessor, draft_of, order_details, written
from mtlskit.authority.ledger import AUTHORITY, REVOCATION, finish, reserve
from mtlskit.authority.serials import draw_serial, serial_key
from mtlskit.errors import Conflict, IssuanceError
from mtlskit.ports import Snapshot, Transaction

__all__ = [
    "CompromisedKeys",
    "Issuing",
    "Order",
    "Superseded",
    "check_unrevoked",
    "issue",
    "record_all",
    "reserve_all",
    "revoked_meanwhile",
    "sign",
]

_DRAWS: Final = 8  # two equal draws of 159 bits do not happen; more of them mean a broken source of randomness


class Superseded(Exception):
    """The authority has changed since it was read, in this process or another."""


class CompromisedKeys(IssuanceError):
    """Some drafts are for keys that are compromised: `at` tells which of them, counted from 0."""

    def __init__(self, at: frozenset[int]) -> None:
        super().__init__(str(compromised()))
        self.at = at


def issue(issuing: Issuing, order: Order, *, draw: Callable[[], int] = draw_serial) -> bytes:
    """The certificate in DER, recorded; raises IssuanceError and StoreError, and then nothing has left.

    Raises Superseded where `issuing` was made from an older record of the authority.
    """
    (draft,) = reserve_all(issuing, [draft_of(issuing, order, draw=draw)], draw=draw)
    der = sign(issuing.assembly, draft)
    if not all(record_all(issuing, [(draft, der)])):
        raise revoked_meanwhile()
    return der


def reserve_all(issuing: Issuing, drafts: Sequence[Draft], *, draw: Callable[[], int] = draw_serial) -> Sequence[Draft]:
    """Records the drafts as reservations, all or none, under serial numbers that were never used: theirs or others.

    Raises Superseded, CompromisedKeys, IssuanceError where what one renews has been revoked, StoreError.
    """
    for _ in range(_DRAWS):
        try:
            with issuing.store.transaction() as transaction:
                _check_current(transaction, issuing)
                _check_renewed(transaction, drafts)
                _check_keys(transaction, drafts)
                reserve(transaction, issuing.key_id, [draft.reservation for draft in drafts])
                for draft in drafts:
                    transaction.append_audit("certificate.reserved", _reserved_details(issuing, draft))
        except Conflict:
            drafts = [written(issuing, each.order, draw()) for each in drafts]
            continue
        return drafts
    raise IssuanceError(f"expected an unused serial number, got {_DRAWS} that were used before")


def sign(assembly: Assembly, draft: Draft) -> bytes:
    """The certificate in DER; raises IssuanceError where the signer fails."""
    return assembly.sign(draft.to_be_signed)


def record_all(issuing: Issuing, signed: Sequence[tuple[Draft, bytes]]) -> list[bool]:
    """Turns reservations into the records of certificates in DER, and tells for which there still was one."""
    ders = {draft.reservation.serial_number: der for draft, der in signed}
    with issuing.store.transaction() as transaction:
        there = finish(transaction, issuing.key_id, ders)
        for number, der in ders.items():
            if number in there:
                transaction.append_audit("certificate.issued", _issued_details(issuing, number, der))
    return [number in there for number in ders]


def revoked_meanwhile() -> IssuanceError:
    """The error for a certificate whose reservation was revoked before it was recorded: it must not leave."""
    return IssuanceError("expected the reservation of this certificate, got it revoked meanwhile")


def check_unrevoked(snapshot: Snapshot, old: Predecessor) -> None:
    """Raises IssuanceError where the certificate that is to be renewed is revoked, or on hold."""
    if snapshot.get(REVOCATION, old.key_id, serial_key(old.certificate.serial_number)) is not None:
        raise IssuanceError("certificate: expected one to renew that is not revoked, got a revoked one")


def _check_current(transaction: Transaction, issuing: Issuing) -> None:
    record = transaction.get(AUTHORITY, "", issuing.authority)
    if record is None or record.version != issuing.version:
        raise Superseded
    for issuer, key in issuing.certified:
        if transaction.get(REVOCATION, issuer, key) is not None:
            raise IssuanceError(f"authority: expected {issuing.authority!r} to be good, got its certificate revoked")


def _check_renewed(transaction: Transaction, drafts: Sequence[Draft]) -> None:
    for draft in drafts:
        if draft.order.renews is not None:
            check_unrevoked(transaction, draft.order.renews)


# After what is renewed: so nobody who revokes waits for this one while this one waits for him.
def _check_keys(transaction: Transaction, drafts: Sequence[Draft]) -> None:
    found = transaction.get_many(COMPROMISED_KEY, "", {draft.reservation.public_key for draft in drafts})
    if found:
        raise CompromisedKeys(frozenset(at for at, each in enumerate(drafts) if each.reservation.public_key in found))


def _reserved_details(issuing: Issuing, draft: Draft) -> dict[str, str]:
    reservation = draft.reservation
    details = {"serial": f"{reservation.serial_number:x}", "tbs_sha256": reservation.tbs_sha256}
    return order_details(issuing, draft.order) | details


def _issued_details(issuing: Issuing, serial: int, der: bytes) -> dict[str, str]:
    return {
        "authority": issuing.authority,
        "issuer_key": issuing.key_id,
        "serial": f"{serial:x}",
        "sha256": hashlib.sha256(der).hexdigest(),
    }
