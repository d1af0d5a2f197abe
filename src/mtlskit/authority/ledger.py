"""What an authority writes down: the records in the store and their one JSON form. Nothing else reads or writes them.

| kind | partition | key | value |
|---|---|---|---|
| `authority` | | name | AuthorityRecord |
| `authority-key` | | issuer key id | the sealed private key |
| `reservation` | issuer key id | serial | Reservation: written before signing, gone when issued |
| `certificate` | issuer key id | serial | CertificateRecord |
| `revocation` | issuer key id | serial | Revocation: gone when a hold is released |

A revocation may be of a serial that stands nowhere else: the last list from before a take-over told of it. How they
change is written down in `changes.py`, what lists were made of them in `list_records.py`.

An issuer key id is SHA-256 over the SubjectPublicKeyInfo in hexadecimal, a serial 40 hexadecimal digits. A serial
that stands under `reservation` or `certificate` is taken for ever.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final, Protocol

from mtlskit.authority.documents import load, quoted, unreadable
from mtlskit.authority.serials import serial_key
from mtlskit.core.profiles import Role
from mtlskit.errors import Conflict
from mtlskit.ports import Record, Snapshot, Store, Transaction

AUTHORITY: Final = "authority"
AUTHORITY_KEY: Final = "authority-key"
AUTHORITY_OF_KEY: Final = "authority-of-key"  # its name
RESERVATION: Final = "reservation"
CERTIFICATE: Final = "certificate"
REVOCATION: Final = "revocation"
WHY_AT: Final = 30  # where the moments of a stored revocation are over, and its reason begins
NO_END: Final = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)  # of what does not expire (RFC 5280, 4.1.2.5)
_UNKNOWN: Final = "unknown"


class Ledger(Protocol):
    """Where the certificates of one key of an authority are written down: all that it takes to end them."""

    @property
    def authority(self) -> str:
        """The authority's name."""
        ...

    @property
    def key_id(self) -> str:
        """The id of the key in hexadecimal."""
        ...

    @property
    def store(self) -> Store:
        """Where it is."""
        ...


@dataclass(frozen=True, slots=True)
class IssuerLedger:
    """A `Ledger` and nothing more: no key is opened for it."""

    authority: str
    key_id: str
    store: Store


@dataclass(frozen=True, slots=True, kw_only=True)
class Reservation:
    """A certificate that is about to be signed, or was when its process ended. Times are UTC.

    `public_key` is the id of its key in hexadecimal; empty where nobody said.
    """

    serial_number: int
    tbs_sha256: str
    profile: str
    subject: str
    requester: str
    reserved_at: datetime
    not_after: datetime
    public_key: str = ""

    def to_json(self) -> bytes:
        """The stored form."""
        # By hand, at half the cost of an encoder: one is written for every certificate.
        return (
            f'{{"serial":"{serial_key(self.serial_number)}","tbs_sha256":{quoted(self.tbs_sha256)},'
            f'"profile":{quoted(self.profile)},"subject":{quoted(self.subject)},'
            f'"requester":{quoted(self.requester)},"reserved_at":"{moment_text(self.reserved_at)}",'
            f'"not_after":"{moment_text(self.not_after)}","public_key":"{self.public_key}"}}'
        ).encode()

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
                public_key=found.get("public_key", ""),
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
    """Why and since when (UTC, whole seconds) a serial number is revoked.

    `not_after` is the end of the certificate, `role` whether it is an authority's; None where only a list told of it.
    """

    serial_number: int
    reason: str
    revoked_at: datetime
    not_after: datetime = NO_END
    role: Role | None = Role.END_ENTITY

    def to_text(self) -> str:
        """The stored form: since when, the certificate's end, the reason, and `authority` for one of an authority
        or `unknown` for one of whom nobody knows.

        No JSON, for there may be millions: it is half as long, and `entries.py` cuts it up where it stands.
        """
        suffix = "" if self.role is Role.END_ENTITY else f" {self.role or _UNKNOWN}"
        return f"{stamp(self.revoked_at)} {stamp(self.not_after)} {self.reason}{suffix}"

    @classmethod
    def from_text(cls, key: str, text: str) -> Revocation:
        """From the key and the stored form; raises StoreError."""
        try:
            since, end, reason, *suffix = text.split(" ")
            (role,) = suffix or (Role.END_ENTITY,)
            return cls(
                serial_number=int(key, 16),
                reason=reason,
                revoked_at=_moment(since),
                not_after=_moment(end),
                role=None if role == _UNKNOWN else Role(role),
            )
        except (AttributeError, TypeError, ValueError):
            raise unreadable("a revocation") from None

    @classmethod
    def of(cls, record: Record) -> Revocation:
        """From the record; raises StoreError."""
        return cls.from_text(record.key, record.value.decode("ascii", "replace"))


def reserve(transaction: Transaction, issuer: str, reservations: Sequence[Reservation]) -> None:
    """Writes reservations down; raises Conflict where one of the serial numbers was ever used, or two are the same."""
    values = {serial_key(each.serial_number): each.to_json() for each in reservations}
    if len(values) < len(reservations) or transaction.get_many(CERTIFICATE, issuer, values):
        raise Conflict("expected unused serial numbers, got others")
    transaction.insert_many(RESERVATION, issuer, values)


def finish(transaction: Transaction, issuer: str, ders: Mapping[int, bytes | None]) -> frozenset[int]:
    """Turns reservations into the records of certificates, by their serial numbers; those that still were there."""
    numbers = {serial_key(number): number for number in ders}
    reserved = transaction.get_many(RESERVATION, issuer, numbers)
    transaction.delete_many(RESERVATION, issuer, reserved)
    issued = {key: record.value + b"\n" + (ders[numbers[key]] or b"") for key, record in reserved.items()}
    transaction.insert_many(CERTIFICATE, issuer, issued)
    return frozenset(numbers[key] for key in reserved)


def scan_reservations(snapshot: Snapshot, issuer: str) -> Iterator[Reservation]:
    """The reservations of an issuer by serial number."""
    return (Reservation.from_json(record.value) for record in snapshot.scan(RESERVATION, issuer))


def with_reason(revocation: Revocation, reason: str) -> Revocation:
    """The revocation with another reason and the date that it had."""
    return replace(revocation, reason=reason)


def stamp(moment: datetime) -> str:
    """A UTC-aware moment as it stands in a revocation: YYYYMMDDhhmmss, so that texts compare as moments do."""
    return f"{moment.astimezone(UTC):%Y%m%d%H%M%S}".rjust(14, "0")


def _moment(text: str) -> datetime:
    if len(text) != 14 or not text.isdigit():
        raise ValueError("expected a moment as YYYYMMDDhhmmss, got another text")
    return datetime.fromisoformat(f"{text[:8]}T{text[8:]}Z")


def moment_text(moment: datetime) -> str:
    """A UTC-aware moment as it is stored elsewhere: RFC 3339 in UTC and whole seconds."""
    return moment.astimezone(UTC).isoformat(timespec="seconds")
