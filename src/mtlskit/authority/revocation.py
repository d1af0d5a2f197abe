"""Revocation and revocation lists (RFC 5280, 5): durable before acknowledged, and never a list number twice."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from enum import StrEnum

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from mtlskit.authority.issuance import Issuing
from mtlskit.authority.ledger import (
    CERTIFICATE,
    REVOCATION,
    CertificateRecord,
    Revocation,
    finish,
    with_reason,
)
from mtlskit.authority.serials import serial_key
from mtlskit.authority.topics import revocation_topic
from mtlskit.core.profiles import ROOT
from mtlskit.errors import IssuanceError, NotFound
from mtlskit.ports import Record, Transaction


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
    issuing: Issuing, serial: int, *, reason: RevocationReason, now: datetime, der: bytes | None = None
) -> Revocation:
    """Revokes a serial number, or gives the revocation that there is, with its first date.

    Only a hold can be changed: to a reason that lasts. `der` must be the recorded certificate's, where it is
    given. Raises NotFound where no such certificate was issued or reserved.
    """
    with issuing.store.transaction() as transaction:
        _settle(transaction, issuing, serial, der)
        found = transaction.get(REVOCATION, issuing.key_id, serial_key(serial))
        if found is None:
            revocation = Revocation(serial_number=serial, reason=reason.value, revoked_at=now.replace(microsecond=0))
            transaction.insert(REVOCATION, issuing.key_id, serial_key(serial), revocation.to_json())
        else:
            revocation = Revocation.from_json(found.key, found.value)
            if not _lasts_longer(reason, than=revocation.reason):
                return revocation
            revocation = with_reason(revocation, reason.value)
            transaction.replace(REVOCATION, issuing.key_id, found.key, revocation.to_json())
        transaction.append_audit("certificate.revoked", _audit_details(issuing, revocation))
        transaction.touch(revocation_topic(bytes.fromhex(issuing.key_id)))
    return revocation


def make_list(issuing: Issuing, *, now: datetime, lifetime: timedelta) -> x509.CertificateRevocationList:
    """The complete list of this moment under the next number, which is recorded before anything is signed."""
    this_update = now.replace(microsecond=0)
    next_update = this_update + lifetime
    if lifetime <= timedelta(0):
        raise IssuanceError(f"lifetime: expected more than nothing for a revocation list, got {lifetime}")
    with issuing.store.transaction() as transaction:
        number = transaction.increment(f"crl:{issuing.key_id}")
        records = list(transaction.scan(REVOCATION, issuing.key_id))
        transaction.append_audit(
            "crl.numbered",
            {
                "authority": issuing.authority,
                "issuer_key": issuing.key_id,
                "number": str(number),
                "entries": str(len(records)),
                "next_update": next_update.isoformat(),
            },
        )
    builder = x509.CertificateRevocationListBuilder(
        issuer_name=issuing.issuer.name,
        last_update=this_update.replace(tzinfo=None),
        next_update=next_update.replace(tzinfo=None),
        extensions=_extensions(issuing, number),
        revoked_certificates=_entries(records),
    )
    der = issuing.assembly.sign(issuing.assembly.to_be_signed(builder))
    return x509.load_der_x509_crl(der)


def crl_der(revocation_list: x509.CertificateRevocationList) -> bytes:
    """The list in DER."""
    return revocation_list.public_bytes(serialization.Encoding.DER)


def crl_pem(revocation_list: x509.CertificateRevocationList) -> bytes:
    """The list in PEM."""
    return revocation_list.public_bytes(serialization.Encoding.PEM)


def _settle(transaction: Transaction, issuing: Issuing, serial: int, der: bytes | None) -> None:
    """Sees to it that there is a certificate to revoke; a reservation becomes one that never was."""
    key = serial_key(serial)
    found = transaction.get(CERTIFICATE, issuing.key_id, key)
    if found is not None:
        record = CertificateRecord.from_bytes(found.value)
        if record.reservation.profile == ROOT.name:
            raise IssuanceError(f"serial: expected a certificate issued by {issuing.authority!r}, got its own")
        if der is None or der == record.der:
            return
        raise _not_found(issuing, serial)
    try:
        finish(transaction, issuing.key_id, serial, None)
    except NotFound:
        raise _not_found(issuing, serial) from None


def _not_found(issuing: Issuing, serial: int) -> NotFound:
    return NotFound(f"expected a certificate issued by {issuing.authority!r}, got the serial number {serial:x}")


def _lasts_longer(reason: RevocationReason, *, than: str) -> bool:
    return than == RevocationReason.CERTIFICATE_HOLD and reason is not RevocationReason.CERTIFICATE_HOLD


def _audit_details(issuing: Issuing, revocation: Revocation) -> dict[str, str]:
    return {
        "authority": issuing.authority,
        "issuer_key": issuing.key_id,
        "serial": f"{revocation.serial_number:x}",
        "reason": revocation.reason,
        "revoked_at": revocation.revoked_at.isoformat(),
    }


def _extensions(issuing: Issuing, number: int) -> list[x509.Extension[x509.ExtensionType]]:
    values = (issuing.issuer.authority_key_identifier, x509.CRLNumber(number))
    return [x509.Extension(value.oid, False, value) for value in values]


def _entries(records: Sequence[Record]) -> list[x509.RevokedCertificate]:
    return [_entry(Revocation.from_json(record.key, record.value)) for record in records]


def _entry(revocation: Revocation) -> x509.RevokedCertificate:
    builder = x509.RevokedCertificateBuilder(
        revocation.serial_number,
        revocation.revoked_at.replace(tzinfo=None),
        _REASON_EXTENSIONS[RevocationReason(revocation.reason)],
    )
    return builder.build()


def _reason_extensions(flag: x509.ReasonFlags) -> list[x509.Extension[x509.ExtensionType]]:
    # `unspecified` is said by saying nothing (RFC 5280, 5.3.1).
    if flag is x509.ReasonFlags.unspecified:
        return []
    return [x509.Extension(x509.CRLReason.oid, False, x509.CRLReason(flag))]


_REASON_EXTENSIONS = {reason: _reason_extensions(x509.ReasonFlags[reason.value]) for reason in RevocationReason}
