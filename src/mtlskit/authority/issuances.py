"""The read side of the ledger for those who judge connections: who issued a certificate, and by which profile."""

from __future__ import annotations

from cryptography import x509

from mtlskit.authority.ledger import AUTHORITY_OF_KEY, CERTIFICATE, CertificateRecord
from mtlskit.authority.serials import serial_key
from mtlskit.core.certificates import Issuance
from mtlskit.ports import Store


def issuance_of(store: Store, issuer_key: bytes, certificate: x509.Certificate) -> Issuance:
    """What the authorities of the store know of a certificate that the key with that id has certified.

    Of one that is not recorded, the authority is known by its key, and the profile is not. What the signature is over
    is compared and not the signature, of which ECDSA has two for the same. Raises StoreError: the caller must deny.
    """
    with store.snapshot() as snapshot:
        found = snapshot.get(CERTIFICATE, issuer_key.hex(), serial_key(certificate.serial_number))
        named = snapshot.get(AUTHORITY_OF_KEY, "", issuer_key.hex())
    record = None if found is None else CertificateRecord.from_bytes(found.value)
    if record is None and named is None:
        return Issuance()
    is_it = record is not None and _is_of_the_same_content(record, certificate)
    return Issuance(
        authority=named.value.decode() if named else None,
        profile=record.reservation.profile if record is not None and is_it else None,
    )


def _is_of_the_same_content(record: CertificateRecord, certificate: x509.Certificate) -> bool:
    if record.der is None:
        return False
    return x509.load_der_x509_certificate(record.der).tbs_certificate_bytes == certificate.tbs_certificate_bytes
