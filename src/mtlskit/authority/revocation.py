"""Revoking a certificate and releasing one from a hold (RFC 5280, 5.3.1): durable before acknowledged."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from enum import StrEnum
from typing import Final

from mtlskit.authority import compromised_keys
from mtlskit.authority.changes import ChangeKind, append_change
from mtlskit.authority.compromised_keys import CertifiedKey
from mtlskit.authority.ledger import (
    CERTIFICATE,
    NO_END,
    RESERVATION,
    REVOCATION,
    CertificateRecord,
    Ledger,
    Revocation,
    finish,
    with_reason,
)
from mtlskit.authority.serials import serial_key
from mtlskit.authority.topics import revocation_topic
from mtlskit.core.profiles import CROSS, INTERMEDIATE, ROOT, Role
from mtlskit.core.validation.certificate import ParsedCertificate
from mtlskit.errors import Conflict, IssuanceError, NotFound
from mtlskit.paging import pages
from mtlskit.ports import Record, Transaction

_AUTHORITIES = frozenset({ROOT.name, INTERMEDIATE.name, CROSS.name})
_PAGE: Final = 250  # certificates: what is read, and at most revoked, before somebody else gets the store


class RevocationReason(StrEnum):
    """The reasons of RFC 5280, 5.3.1. removeFromCRL is none: it belongs to delta lists."""

    UNSPECIFIED = "unspecified"
    KEY_COMPROMISE = "key_compromise"
    CA_COMPROMISE = "ca_compromise"
    AFFILIATION_CHANGED = "affiliation_changed"
    SUPERSEDED = "superseded"
    CESSATION_OF_OPERATION = "cessation_of_operation"
    CERTIFICATE_HOLD = "certificate_hold"
    PRIVILEGE_WITHDRAWN = "privilege_withdrawn"
    AA_COMPROMISE = "aa_compromise"

    @classmethod
    def parse(cls, text: str) -> RevocationReason:
        """The reason of that name; raises IssuanceError."""
        try:
            return cls(text)
        except ValueError:
            raise IssuanceError(f"reason: expected one of {', '.join(cls)}, got {text!r}") from None


def revoke(
    ledger: Ledger, serial: int, *, reason: RevocationReason, requester: str, now: datetime, der: bytes | None = None
) -> Revocation:
    """Revokes a serial number, or gives the revocation that there is, with its first date.

    Only a hold can be changed: to a reason that lasts. `der` must be the recorded certificate's, where it is
    given. Raises NotFound where no such certificate was issued or reserved.
    """
    with ledger.store.transaction() as transaction:
        return revoke_within(
            transaction, ledger.authority, ledger.key_id, serial, reason=reason, requester=requester, now=now, der=der
        )


def revoke_within(
    transaction: Transaction, authority: str, key_id: str, serial: int, *, reason: RevocationReason, requester: str,
    now: datetime, der: bytes | None = None,
) -> Revocation:  # fmt: skip
    """As `revoke`, for what the key of that id issued, as a part of a transaction.

    Where the certificate's own key is compromised, that is written down as well.
    """
    certificate = _settle(transaction, authority, key_id, serial, der)
    wanted = _revocation(certificate, serial, reason, now)
    revocation = adopt(transaction, authority, key_id, wanted, requester=requester, now=now)
    if certificate is not None and RevocationReason.KEY_COMPROMISE in (reason, revocation.reason):
        compromised_keys.mark(transaction, authority, key_id, certificate, requester)
    return revocation


def adopt(
    transaction: Transaction, authority: str, key_id: str, revocation: Revocation, *, requester: str, now: datetime
) -> Revocation:
    """Writes a revocation down, or gives the one that there is; but for a hold, which it makes last."""
    key = serial_key(revocation.serial_number)
    found = transaction.get(REVOCATION, key_id, key)
    if found is None:
        transaction.insert(REVOCATION, key_id, key, revocation.to_text().encode())
    else:
        there = Revocation.of(found)
        if not _lasts_longer(revocation.reason, than=there.reason):
            return there
        revocation = with_reason(there, revocation.reason)
        transaction.replace(REVOCATION, key_id, key, revocation.to_text().encode())
    _write_down(transaction, authority, key_id, ChangeKind.REVOKED, revocation, requester, now)
    return revocation


def revoke_with_twins(
    ledger: Ledger, others: Iterable[Ledger], serial: int, *, reason: RevocationReason, requester: str, now: datetime,
    der: bytes | None = None,
) -> Revocation:  # fmt: skip
    """As `revoke`; of a compromised key all that the `others` have for it, too. Again: what was left undone."""
    revocation = revoke(ledger, serial, reason=reason, requester=requester, now=now, der=der)
    if RevocationReason.KEY_COMPROMISE in (reason, revocation.reason):
        with ledger.store.snapshot() as snapshot:
            found = snapshot.get(CERTIFICATE, ledger.key_id, serial_key(serial))
        key = None if found is None else compromised_keys.key_of(CertificateRecord.from_bytes(found.value))
        if key is not None:
            for each in others:
                revoke_twins(each, key, requester=requester, now=now)
    return revocation


def revoke_twins(ledger: Ledger, key: CertifiedKey, *, requester: str, now: datetime) -> None:
    """Revokes every certificate for a compromised key that has not expired, and every reservation.

    The key is written down already. Again: what was left undone.
    """
    # In this order: what is recorded after the reservations were read is found among the certificates.
    for kind in (RESERVATION, CERTIFICATE):
        for page in pages(ledger.store, kind, ledger.key_id, size=_PAGE):
            twins = [each for each in page if _is_twin(each, key, now)]
            if twins:
                _revoke_page(ledger, twins, requester, now)


def _revoke_page(ledger: Ledger, twins: Iterable[Record], requester: str, now: datetime) -> None:
    issuer = ledger.authority, ledger.key_id
    with ledger.store.transaction() as transaction:
        for each in twins:
            serial = int(each.key, 16)
            certificate = _settle(transaction, *issuer, serial, None)
            wanted = _revocation(certificate, serial, RevocationReason.KEY_COMPROMISE, now)
            adopt(transaction, *issuer, wanted, requester=requester, now=now)


def _is_twin(record: Record, key: CertifiedKey, now: datetime) -> bool:
    # Nearly all of them have neither: nothing is taken apart.
    if key.id.encode() not in record.value and key.octets not in record.value:
        return False
    found = CertificateRecord.from_bytes(record.value)
    if found.reservation.not_after <= now or found.reservation.profile == ROOT.name:
        return False
    return found.reservation.public_key == key.id or compromised_keys.key_of(found) == key


def fill_in(transaction: Transaction, key_id: str, certificate: CertificateRecord) -> None:
    """Adds the certificate's end and role to a revocation that only a list told of, now that they are known."""
    found = transaction.get(REVOCATION, key_id, serial_key(certificate.reservation.serial_number))
    if found is None:
        return
    there = Revocation.of(found)
    if there.role is None:
        known = replace(there, role=_role(certificate), not_after=_end(certificate))
        transaction.replace(REVOCATION, key_id, found.key, known.to_text().encode())


def release(
    ledger: Ledger, serial: int, *, requester: str, now: datetime, der: bytes | None = None
) -> Revocation | None:
    """Ends the hold of a certificate, and gives it; None, and nothing happens, where it is not revoked.

    Raises Conflict for a revocation that lasts, NotFound where no such certificate was issued.
    """
    with ledger.store.transaction() as transaction:
        _find(transaction, ledger.authority, ledger.key_id, serial, der)
        found = transaction.get(REVOCATION, ledger.key_id, serial_key(serial))
        if found is None:
            return None
        revocation = Revocation.of(found)
        if revocation.reason != RevocationReason.CERTIFICATE_HOLD:
            raise Conflict(f"expected a certificate on hold, got {serial:x}, revoked for good as {revocation.reason}")
        transaction.delete(REVOCATION, ledger.key_id, found.key, version=found.version)
        _write_down(transaction, ledger.authority, ledger.key_id, ChangeKind.RELEASED, revocation, requester, now)
    return revocation


def _write_down(
    transaction: Transaction, authority: str, key_id: str, kind: ChangeKind, revocation: Revocation, requester: str,
    now: datetime,
) -> None:  # fmt: skip
    append_change(transaction, key_id, kind, revocation, now)
    transaction.append_audit(f"certificate.{kind}", _audit_details(authority, key_id, revocation, requester))
    transaction.touch(revocation_topic(bytes.fromhex(key_id)))


def _settle(
    transaction: Transaction, authority: str, key_id: str, serial: int, der: bytes | None
) -> CertificateRecord | None:
    """The certificate to revoke; a reservation becomes one that never was. None where only a list told of it."""
    found = _find(transaction, authority, key_id, serial, der)
    if found is None and transaction.get(RESERVATION, key_id, serial_key(serial)) is not None:
        finish(transaction, key_id, {serial: None})
        found = _find(transaction, authority, key_id, serial, der)
    if found is not None and found.reservation.profile == ROOT.name:
        raise IssuanceError(f"serial: expected a certificate issued by {authority!r}, got its own")
    return found


def _find(
    transaction: Transaction, authority: str, key_id: str, serial: int, der: bytes | None
) -> CertificateRecord | None:
    """The record of what was issued, None where it is only reserved or revoked; raises NotFound where it is neither."""
    key = serial_key(serial)
    found = transaction.get(CERTIFICATE, key_id, key)
    if found is None and any(transaction.get(kind, key_id, key) is not None for kind in (RESERVATION, REVOCATION)):
        return None
    record = None if found is None else CertificateRecord.from_bytes(found.value)
    if record is None or (der is not None and record.der is not None and der != record.der):
        raise NotFound(f"expected a certificate issued by {authority!r}, got the serial number {serial:x}")
    return record


def _revocation(
    certificate: CertificateRecord | None, serial: int, reason: RevocationReason, now: datetime
) -> Revocation:
    return Revocation(
        serial_number=serial,
        reason=reason.value,
        revoked_at=now.replace(microsecond=0),
        not_after=NO_END if certificate is None else _end(certificate),
        role=None if certificate is None else _role(certificate),
    )


def _end(certificate: CertificateRecord) -> datetime:
    return certificate.reservation.not_after.replace(microsecond=0)


# A profile of one's own may have any name: the certificate itself is asked where there is one.
def _role(certificate: CertificateRecord) -> Role:
    if certificate.der is None:
        is_authority = certificate.reservation.profile in _AUTHORITIES
    else:
        is_authority = ParsedCertificate(certificate.der).is_ca
    return Role.AUTHORITY if is_authority else Role.END_ENTITY


def _lasts_longer(reason: str, *, than: str) -> bool:
    return than == RevocationReason.CERTIFICATE_HOLD != reason


def _audit_details(authority: str, key_id: str, revocation: Revocation, requester: str) -> dict[str, str]:
    return {
        "authority": authority,
        "issuer_key": key_id,
        "serial": f"{revocation.serial_number:x}",
        "reason": revocation.reason,
        "revoked_at": revocation.revoked_at.isoformat(),
        "requester": requester,
    }
