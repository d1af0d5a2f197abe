"""Keys that somebody else has: none of them is ever certified again, by no authority of the store.

| kind | partition | key | value |
|---|---|---|---|
| `compromised-key` | | SHA-256 of the SubjectPublicKeyInfo | which certificate told it: issuer key, serial |

A key is written down in the transaction that revokes a certificate of it for `key_compromise`. Whoever reserves looks
here in the transaction of the reservation. What was reserved before is revoked with the certificates for that key: so
none is given out after the revocation was acknowledged.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa

from mtlskit.authority.documents import dump
from mtlskit.authority.ledger import CertificateRecord
from mtlskit.authority.serials import serial_key
from mtlskit.core.certificates import spki_id
from mtlskit.errors import IssuanceError
from mtlskit.ports import Snapshot, Transaction

COMPROMISED_KEY: Final = "compromised-key"


@dataclass(frozen=True, slots=True)
class CertifiedKey:
    """A public key: its id in hexadecimal, and octets that stand in every certificate for it, however it is written."""

    id: str
    octets: bytes


def key_of(record: CertificateRecord) -> CertifiedKey | None:
    """The key in a certificate; None where there is no certificate, or a key of a kind that is not certified here."""
    if record.der is None:
        return None
    try:
        key = x509.load_der_x509_certificate(record.der).public_key()
    except (ValueError, UnsupportedAlgorithm):
        return None
    match key:
        case ec.EllipticCurvePublicKey():
            # The same in a compressed point and in a whole one.
            octets = key.public_numbers().x.to_bytes((key.curve.key_size + 7) // 8)
        case rsa.RSAPublicKey():
            modulus = key.public_numbers().n
            octets = modulus.to_bytes((modulus.bit_length() + 7) // 8)
        case ed25519.Ed25519PublicKey() | ed448.Ed448PublicKey():
            octets = key.public_bytes_raw()
        case _:
            return None
    return CertifiedKey(spki_id(key).hex(), octets)


def mark(transaction: Transaction, authority: str, issuer: str, certificate: CertificateRecord, requester: str) -> None:
    """Writes down that the key of a certificate is compromised, in the transaction that revokes it. Again: nothing."""
    key, serial = key_of(certificate), certificate.reservation.serial_number
    if key is None or is_compromised(transaction, key.id):
        return
    value = dump({"issuer_key": issuer, "serial": serial_key(serial)})
    transaction.insert(COMPROMISED_KEY, "", key.id, value)
    transaction.append_audit(
        "key.compromised",
        {
            "authority": authority,
            "issuer_key": issuer,
            "serial": f"{serial:x}",
            "public_key": key.id,
            "requester": requester,
        },
    )


def is_compromised(snapshot: Snapshot, key_id: str) -> bool:
    """Whether the key of that id (hexadecimal) is compromised."""
    return snapshot.get(COMPROMISED_KEY, "", key_id) is not None


def compromised() -> IssuanceError:
    """The error for a certificate that is wanted for such a key."""
    return IssuanceError("public_key: expected a key that its holder alone has, got one revoked for key_compromise")
