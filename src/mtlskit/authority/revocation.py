"""Revoking a certificate and releasing one from a hold (RFC 5280, 5.3.1): durable before acknowledged."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from mtlskit.authority.changes import ChangeKind, append_change
from mtlskit.authority.issuance import Issuing
from mtlskit.authority.ledger import (
    CERTIFICATE,
    RESERVATION,
    REVOCATION,
    CertificateRecord,
    Revocation,
    finish,
    with_reason,
)
from mtlskit.authority.serials import serial_key
from mtlskit.authority.topics import revocation_topic
from mtlskit.core.profiles import CROSS, INTERMEDIATE, ROOT, Role
from mtlskit.core.validation.certificate import ParsedCertificate
from mtlskit.errors import Conflict, IssuanceError, NotFound
from mtlskit.ports import Transaction

_AUTHORITIES = frozenset({ROOT.name, INTERMEDIATE.name, CROSS.name})


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
    issuing: Issuing, serial: int, *, reason: RevocationReason, requester: str, now: datetime, der: bytes | None = None
) -> Revocation:
    """Revokes a serial number, or gives the revocation that there is, with its first date.

    Only a hold can be changed: to a reason that lasts. `der` must be the recorded certificate's, where it is
    given. Raises NotFound where no such certificate was issued or reserved.
    """
    with issuing.store.transaction() as transaction:
        return revoke_within(
            transaction, issuing.authority, issuing.key_id, serial, reason=reason, requester=requester, now=now, der=der
        )


def revoke_within(
    transaction: Transaction, authority: str, key_id: str, serial: int, *, reason: RevocationReason, requester: str,
    now: datetime, der: bytes | None = None,
) -> Revocation:  # fmt: skip
    """As `revoke`, for what the key of that id issued, as a part of a transaction."""
    certificate = _settle(transaction, authority, key_id, serial, der)
    found = transaction.get(REVOCATION, key_id, serial_key(serial))
    if found is None:
        revocation = _revocation(certificate, reason, now)
        transaction.insert(REVOCATION, key_id, serial_key(serial), revocation.to_text().encode())
    else:
        revocation = Revocation.of(found)
        if not _lasts_longer(reason, than=revocation.reason):
            return revocation
        revocation = with_reason(revocation, reason.value)
        transaction.replace(REVOCATION, key_id, found.key, revocation.to_text().encode())
    _write_down(transaction, authority, key_id, ChangeKind.REVOKED, revocation, requester, now)
    return revocation


def release(
    issuing: Issuing, serial: int, *, requester: str, now: datetime, der: bytes | None = None
) -> Revocation | None:
    """Ends the hold of a certificate, and gives it; None, and nothing happens, where it is not revoked.

    Raises Conflict for a revocation that lasts, NotFound where no such certificate was issued.
    """
    with issuing.store.transaction() as transaction:
        _find(transaction, issuing.authority, issuing.key_id, serial, der)
        found = transaction.get(REVOCATION, issuing.key_id, serial_key(serial))
        if found is None:
            return None
        revocation = Revocation.of(found)
        if revocation.reason != RevocationReason.CERTIFICATE_HOLD:
            raise Conflict(f"expected a certificate on hold, got {serial:x}, revoked for good as {revocation.reason}")
        transaction.delete(REVOCATION, issuing.key_id, found.key, version=found.version)
        _write_down(transaction, issuing.authority, issuing.key_id, ChangeKind.RELEASED, revocation, requester, now)
    return revocation


def _write_down(
    transaction: Transaction, authority: str, key_id: str, kind: ChangeKind, revocation: Revocation, requester: str,
    now: datetime,
) -> None:  # fmt: skip
    append_change(transaction, key_id, kind, revocation, now)
    transaction.append_audit(f"certificate.{kind}", _audit_details(authority, key_id, revocation, requester))
    transaction.touch(revocation_topic(bytes.fromhex(key_id)))


def _settle(transaction: Transaction, authority: str, key_id: str, serial: int, der: bytes | None) -> CertificateRecord:
    """The certificate to revoke; a reservation becomes one that never was."""
    found = _find(transaction, authority, key_id, serial, der)
    if found is None:
        finish(transaction, key_id, serial, None)
        found = _find(transaction, authority, key_id, serial, der)
    if found is None or found.reservation.profile == ROOT.name:
        raise IssuanceError(f"serial: expected a certificate issued by {authority!r}, got its own")
    return found


def _find(
    transaction: Transaction, authority: str, key_id: str, serial: int, der: bytes | None
) -> CertificateRecord | None:
    """The record of what was issued, None where it is only reserved; raises NotFound where it is neither."""
    key = serial_key(serial)
    found = transaction.get(CERTIFICATE, key_id, key)
    if found is None and transaction.get(RESERVATION, key_id, key) is not None:
        return None
    record = None if found is None else CertificateRecord.from_bytes(found.value)
    if record is None or (der is not None and record.der is not None and der != record.der):
        raise NotFound(f"expected a certificate issued by {authority!r}, got the serial number {serial:x}")
    return record


def _revocation(certificate: CertificateRecord, reason: RevocationReason, now: datetime) -> Revocation:
    reservation = certificate.reservation
    return Revocation(
        serial_number=reservation.serial_number,
        reason=reason.value,
        revoked_at=now.replace(microsecond=0),
        not_after=reservation.not_after.replace(microsecond=0),
        role=_role(certificate),
    )


# A profile of one's own may have any name: the certificate itself is asked where there is one.
def _role(certificate: CertificateRecord) -> Role:
    if certificate.der is None:
        is_authority = certificate.reservation.profile in _AUTHORITIES
    else:
        is_authority = ParsedCertificate(certificate.der).is_ca
    return Role.AUTHORITY if is_authority else Role.END_ENTITY


def _lasts_longer(reason: RevocationReason, *, than: str) -> bool:
    return than == RevocationReason.CERTIFICATE_HOLD and reason is not RevocationReason.CERTIFICATE_HOLD


def _audit_details(authority: str, key_id: str, revocation: Revocation, requester: str) -> dict[str, str]:
    return {
        "authority": authority,
        "issuer_key": key_id,
        "serial": f"{revocation.serial_number:x}",
        "reason": revocation.reason,
        "revoked_at": revocation.revoked_at.isoformat(),
        "requester": requester,
    }
