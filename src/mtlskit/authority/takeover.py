"""What is asked of an authority that exists elsewhere before it is taken over, and of a certificate that it issued."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm

from mtlskit.authority.compromised_keys import CertifiedKey, is_compromised, key_of
from mtlskit.authority.ledger import CERTIFICATE, REVOCATION, CertificateRecord, Ledger, Reservation, Revocation
from mtlskit.authority.possession import check_possession
from mtlskit.authority.revocation import RevocationReason, fill_in, revoke_twins, revoke_within
from mtlskit.authority.serials import checked_serial, serial_key
from mtlskit.authority.signers import Signer
from mtlskit.authority.topics import authority_topic
from mtlskit.core.certificates import public_key_id, spki_id, to_der
from mtlskit.core.validation.algorithms import key_weakness
from mtlskit.core.validation.certificate import ParsedCertificate
from mtlskit.errors import IssuanceError, PathError
from mtlskit.ports import Transaction

RECORDED: Final = "recorded"  # stands for the profile of a certificate that was issued elsewhere


def check_authority(certificate: x509.Certificate, signer: Signer, now: datetime) -> None:
    """Raises IssuanceError, which names the field, for a certificate that could issue nothing good with this key."""
    parsed = _parsed(certificate)
    if spki_id(signer.public_key()) != public_key_id(certificate):
        raise IssuanceError("private_key: expected the key of the authority's certificate, got another")
    weakness = key_weakness(parsed.frame.spki)
    if weakness is not None:
        raise IssuanceError(f"public_key: {weakness}")
    if not parsed.is_ca:
        raise IssuanceError("basic_constraints: expected an authority's certificate, got one that is none")
    usage = parsed.extensions.get(x509.KeyUsage.oid)  # without one the key is for anything (RFC 5280, 4.2.1.3)
    if usage is not None and not (usage.key_cert_sign and usage.crl_sign):
        raise IssuanceError("key_usage: expected keyCertSign and cRLSign, got another")
    if not parsed.not_before <= now <= parsed.not_after:
        raise IssuanceError(
            f"validity: expected a certificate that is valid now, got one from {parsed.not_before.isoformat()} "
            f"to {parsed.not_after.isoformat()}"
        )
    if parsed.subject_key_identifier is None:
        raise IssuanceError("subject_key_identifier: expected one, got none")
    check_possession(signer)


def check_chain(certificate: x509.Certificate, above: Sequence[x509.Certificate]) -> None:
    """Raises IssuanceError unless each of `above` has issued the one before it."""
    for issued, issuer in zip((certificate, *above), above, strict=False):
        if not is_issued_by(issued, issuer):
            raise IssuanceError("chain: expected certificates of which each has issued the one before, got others")


def record_issued(
    issuers: Sequence[tuple[x509.Certificate, Ledger]],
    certificates: Sequence[x509.Certificate],
    requester: str,
    now: datetime,
) -> None:
    """Writes down what one of the issuers, the oldest first, issued elsewhere; raises IssuanceError for anything else.

    What is known to be in other hands is revoked with it.
    """
    issued = [(_ledger_of(each, issuers), each) for each in certificates]
    if not issued:
        return
    found: set[CertifiedKey] = set()
    with issuers[0][1].store.transaction() as transaction:
        for ledger, each in issued:
            record = record_within(transaction, ledger.authority, ledger.key_id, each, requester, now)
            found.update(_compromised(transaction, ledger, record, now))
    for key in found:
        for _, ledger in issuers:
            revoke_twins(ledger, key, requester=requester, now=now)


def _ledger_of(certificate: x509.Certificate, issuers: Sequence[tuple[x509.Certificate, Ledger]]) -> Ledger:
    checked_serial(certificate.serial_number)
    for issuer, ledger in reversed(issuers):
        if is_issued_by(certificate, issuer):
            return ledger
    raise IssuanceError("signature: expected certificates that this authority issued, got another")


def record_within(
    transaction: Transaction, authority: str, key_id: str, certificate: x509.Certificate, requester: str, now: datetime
) -> CertificateRecord:
    """What the key of that id issued, written down as a part of a transaction; without effect where it is known."""
    record = CertificateRecord(reservation=_told_of(certificate, requester, now), der=to_der(certificate))
    serial = certificate.serial_number
    if transaction.get(CERTIFICATE, key_id, serial_key(serial)) is None:
        transaction.insert(CERTIFICATE, key_id, serial_key(serial), record.to_bytes())
        details = {"authority": authority, "issuer_key": key_id, "serial": f"{serial:x}", "requester": requester}
        transaction.append_audit("certificate.recorded", details)
        transaction.touch(authority_topic(authority))  # policies may ask who issued it
        fill_in(transaction, key_id, record)
    return record


# A key is compromised where another certificate for it says so, or the list that was taken over for this one.
def _compromised(
    transaction: Transaction, ledger: Ledger, record: CertificateRecord, now: datetime
) -> Iterator[CertifiedKey]:
    reservation, key = record.reservation, key_of(record)
    found = transaction.get(REVOCATION, ledger.key_id, serial_key(reservation.serial_number))
    is_told = found is not None and Revocation.of(found).reason == RevocationReason.KEY_COMPROMISE
    if key is not None and (is_told or is_compromised(transaction, key.id)):
        revoke_within(
            transaction, ledger.authority, ledger.key_id, reservation.serial_number, now=now,
            reason=RevocationReason.KEY_COMPROMISE, requester=reservation.requester,
        )  # fmt: skip
        yield key


def _told_of(certificate: x509.Certificate, requester: str, now: datetime) -> Reservation:
    return Reservation(
        serial_number=certificate.serial_number,
        tbs_sha256=hashlib.sha256(certificate.tbs_certificate_bytes).hexdigest(),
        profile=RECORDED,
        subject=certificate.subject.rfc4514_string(),
        requester=requester,
        reserved_at=now,
        not_after=certificate.not_valid_after_utc,
    )


def is_issued_by(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    """Whether name and signature say so."""
    try:
        certificate.verify_directly_issued_by(issuer)
    except (InvalidSignature, UnsupportedAlgorithm, ValueError, TypeError):
        return False
    return True


def _parsed(certificate: x509.Certificate) -> ParsedCertificate:
    try:
        parsed = ParsedCertificate(to_der(certificate))
        if parsed.fault is None:
            return parsed
        raise parsed.fault
    except (PathError, ValueError) as error:
        raise IssuanceError(f"certificate: expected an authority's, got one that cannot be used: {error}") from None
