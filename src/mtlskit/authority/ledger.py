"""What an authority writes down: the records in the store and their one JSON form. Nothing else reads or writes them.

| kind | partition | key | value |
|---|---|---|---|
| `authority` | | name | AuthorityRecord |
| `authority-key` | | issuer key id | the sealed private key |
| `reservation` | issuer key id | serial | Reservation: written before signing, gone when issued |
| `certificate` | issuer key id | serial | CertificateRecord |
| `revocation` | issuer key id | serial | Revocation |

An issuer key id is SHA-256 over the SubjectPublicKeyInfo in hexadecimal, a serial 40 hexadecimal digits. A serial
that stands under `reservation` or `certificate` is taken for ever.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final

from mtlskit.authority.documents import dump, load, unreadable
from mtlskit.authority.serials import serial_key
from mtlskit.errors import Conflict, NotFound
from mtlskit.ports import Snapshot, Transaction

AUTHORITY: Final = "authority"
AUTHORITY_KEY: Final = "authority-key"
RESERVATION: Final = "reservation"
CERTIFICATE: Final = "certificate"
REVOCATION: Final = "revocation"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reservation:
    """A certificate that is about to be signed, or was when its process ended. Times are UTC."""

    serial_number: int
    tbs_sha256: str
    profile: str
    subject: str
    requester: str
    reserved_at: datetime
    not_after: datetime

    def to_json(self) -> bytes:
        """The stored form."""
        return dump(
            {
                "serial": serial_key(self.serial_number),
                "tbs_sha256": self.tbs_sha256,
                "profile": self.profile,
                "subject": self.subject,
                "requester": self.requester,
                "reserved_at": _moment_text(self.reserved_at),
                "not_after": _moment_text(self.not_after),
            }
        )

    @classmethod
    def from_json(cls, value: bytes) -> Reservation:
        """From the stored form; raises StoreError."""
        found = load(value, "a certificate")
        try:
            return cls(
                serial_number=int(found["serial"], 16),
                tbs_sha256=found["tbs_sha256"],
                profile=found["profile"],
                subject=found["subject"],
                requester=found["requester"],
                reserved_at=datetime.fromisoformat(found["reserved_at"]),
                not_after=datetime.fromisoformat(found["not_after"]),
            )
        except (KeyError, TypeError, ValueError):
            raise unreadable("a certificate") from None


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateRecord:
    """A certificate that was issued; `der` is None where a reservation was revoked before it came to that."""

    reservation: Reservation
    der: bytes | None

    def to_bytes(self) -> bytes:
        """The stored form: the reservation's JSON, a line feed, and the DER if there is one."""
        return self.reservation.to_json() + b"\n" + (self.der or b"")

    @classmethod
    def from_bytes(cls, value: bytes) -> CertificateRecord:
        """From the stored form; raises StoreError."""
        reservation, _, der = value.partition(b"\n")
        return cls(reservation=Reservation.from_json(reservation), der=der or None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Revocation:
    """Why and since when (UTC, whole seconds) a serial number is revoked."""

    serial_number: int
    reason: str
    revoked_at: datetime

    def to_json(self) -> bytes:
        """The stored form."""
        return dump({"reason": self.reason, "revoked_at": _moment_text(self.revoked_at)})

    @classmethod
    def from_json(cls, key: str, value: bytes) -> Revocation:
        """From the key and the stored form; raises StoreError."""
        found = load(value, "a revocation")
        try:
            moment = datetime.fromisoformat(found["revoked_at"])
            return cls(serial_number=int(key, 16), reason=found["reason"], revoked_at=moment)
        except (KeyError, TypeError, ValueError):
            raise unreadable("a revocation") from None


def reserve(transaction: Transaction, issuer: str, reservation: Reservation) -> None:
    """Writes a reservation down; raises Conflict where the serial number was ever used."""
    key = serial_key(reservation.serial_number)
    if transaction.get(CERTIFICATE, issuer, key) is not None:
        raise Conflict(f"expected an unused serial number, got {reservation.serial_number:x}")
    transaction.insert(RESERVATION, issuer, key, reservation.to_json())


def finish(transaction: Transaction, issuer: str, serial: int, der: bytes | None) -> None:
    """Turns a reservation into the record of a certificate; raises NotFound where the reservation is gone."""
    key = serial_key(serial)
    reserved = transaction.get(RESERVATION, issuer, key)
    if reserved is None:
        raise NotFound(f"expected a reservation of the serial number {serial:x}, got none")
    transaction.delete(RESERVATION, issuer, key)
    transaction.insert(CERTIFICATE, issuer, key, reserved.value + b"\n" + (der or b""))


def scan_reservations(snapshot: Snapshot, issuer: str) -> Iterator[Reservation]:
    """The reservations of an issuer by serial number."""
    return (Reservation.from_json(record.value) for record in snapshot.scan(RESERVATION, issuer))


def scan_revocations(snapshot: Snapshot, issuer: str) -> Iterator[Revocation]:
    """The revocations of an issuer by serial number."""
    return (Revocation.from_json(record.key, record.value) for record in snapshot.scan(REVOCATION, issuer))


def with_reason(revocation: Revocation, reason: str) -> Revocation:
    """The revocation with another reason and the date that it had."""
    return replace(revocation, reason=reason)


def _moment_text(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="seconds")
