"""What is asked of an authority that exists elsewhere before it is taken over, and of a certificate that it issued."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import datetime
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm

from mtlskit.authority.issuance import Issuing
from mtlskit.authority.ledger import CERTIFICATE, CertificateRecord, Reservation
from mtlskit.authority.serials import serial_key
from mtlskit.authority.signers import Signer
from mtlskit.core.certificates import public_key_id, spki_id, to_der
from mtlskit.core.validation.algorithms import key_weakness
from mtlskit.core.validation.certificate import ParsedCertificate
from mtlskit.errors import IssuanceError, PathError

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
    usage = parsed.extensions.get(x509.KeyUsage.oid)
    if usage is None or not (usage.key_cert_sign and usage.crl_sign):
        raise IssuanceError("key_usage: expected keyCertSign and cRLSign, got another")
    if not parsed.not_before <= now <= parsed.not_after:
        raise IssuanceError(
            f"validity: expected a certificate that is valid now, got one from {parsed.not_before.isoformat()} "
            f"to {parsed.not_after.isoformat()}"
        )
    if parsed.subject_key_identifier is None:
        raise IssuanceError("subject_key_identifier: expected one, got none")


def check_chain(certificate: x509.Certificate, above: Sequence[x509.Certificate]) -> None:
    """Raises IssuanceError unless each of `above` has issued the one before it."""
    for issued, issuer in zip((certificate, *above), above, strict=False):
        if not is_issued_by(issued, issuer):
            raise IssuanceError("chain: expected certificates of which each has issued the one before, got others")


def record_issued(
    issuing: Issuing, issuer: x509.Certificate, certificates: Sequence[x509.Certificate], requester: str, now: datetime
) -> None:
    """Writes down what the issuer issued elsewhere; raises IssuanceError for anything else."""
    if not all(is_issued_by(each, issuer) for each in certificates):
        raise IssuanceError("signature: expected certificates that this authority issued, got another")
    with issuing.store.transaction() as transaction:
        for each in certificates:
            key = serial_key(each.serial_number)
            if transaction.get(CERTIFICATE, issuing.key_id, key) is None:
                record = CertificateRecord(reservation=_told_of(each, requester, now), der=to_der(each))
                transaction.insert(CERTIFICATE, issuing.key_id, key, record.to_bytes())
                transaction.append_audit(
                    "certificate.recorded",
                    {
                        "authority": issuing.authority,
                        "issuer_key": issuing.key_id,
                        "serial": f"{each.serial_number:x}",
                        "requester": requester,
                    },
                )


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
