"""The read side of the ledger for those who judge connections: who issued a certificate, and by which profile."""

from __future__ import annotations

from cryptography import x509

from mtlskit.authority.ledger import AUTHORITY_OF_KEY, CERTIFICATE, CertificateRecord
from mtlskit.authority.serials import serial_key
from mtlskit.core.certificates import Issuance, to_der
from mtlskit.ports import Store


def issuance_of(store: Store, issuer_key: bytes, certificate: x509.Certificate) -> Issuance:
    """What the authorities of the store know of a certificate that the key with that id has certified.

    One that is not recorded octet by octet is nobody's. Raises StoreError: the caller must deny.
    """
    with store.snapshot() as snapshot:
        found = snapshot.get(CERTIFICATE, issuer_key.hex(), serial_key(certificate.serial_number))
        named = snapshot.get(AUTHORITY_OF_KEY, "", issuer_key.hex())
    record = None if found is None else CertificateRecord.from_bytes(found.value)
    if record is None or record.der != to_der(certificate):
        return Issuance()
    return Issuance(authority=named.value.decode() if named else None, profile=record.reservation.profile)
