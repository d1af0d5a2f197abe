"""The order of issuance (I10): written down, signed, written down as issued, returned. Never otherwise.

1. One transaction records the serial number, the hash of the bytes to be signed, the profile, the subject and the
   requester as a reservation, with an audit row, and commits.
2. The signer signs those bytes, once.
3. A second transaction turns the reservation into the certificate's record.
4. Only then the certificate leaves this module.

Whatever ends the process in between leaves a reservation: it is listed, can be revoked, and its serial number is
never used again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography import x509

from mtlskit.authority.assembly import Assembly
from mtlskit.authority.ledger import AUTHORITY, Reservation, finish, reserve
from mtlskit.authority.limits import IssuerLimits
from mtlskit.authority.serials import draw_serial
from mtlskit.core.profiles import (
    NO_CONSTRAINTS,
    AuthorityConstraints,
    Issuer,
    Names,
    Profile,
    PublicKey,
    certificate_builder,
    check_names,
    validity,
)
from mtlskit.errors import Conflict, IssuanceError, MTLSError, NotFound
from mtlskit.ports import Store, Transaction

_DRAWS = 8  # two equal draws of 159 bits do not happen; more of them mean a broken source of randomness


class Superseded(Exception):
    """The authority has changed since it was read, in this process or another."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Issuing:
    """The authority that issues: its name, its key's id in hexadecimal, its certificate's data and its signature.

    `version` is that of the authority's record: nothing is issued under a record that is not the latest.
    """

    authority: str
    version: int
    key_id: str
    issuer: Issuer
    limits: IssuerLimits
    assembly: Assembly
    store: Store


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """A certificate that is wanted. `lifetime` None means the profile's default; `now` is UTC-aware.

    `constraints` are for an authority's certificate; `like` is one that has the subject and the key identifier already.
    """

    profile: Profile
    names: Names
    public_key: PublicKey
    lifetime: timedelta | None
    requester: str
    now: datetime
    constraints: AuthorityConstraints = NO_CONSTRAINTS
    like: x509.Certificate | None = None


def issue(issuing: Issuing, order: Order, *, draw: Callable[[], int] = draw_serial) -> bytes:
    """The certificate in DER, recorded; raises IssuanceError and StoreError, and then nothing has left.

    Raises Superseded where `issuing` was made from an older record of the authority.
    """
    check_names(order.profile, order.names)
    issuing.limits.check_profile(order.profile, order.constraints)
    reservation, to_be_signed = _reserve(issuing, order, draw)
    der = _sign(issuing.assembly, to_be_signed)
    _record(issuing, reservation.serial_number, der)
    return der


def _reserve(issuing: Issuing, order: Order, draw: Callable[[], int]) -> tuple[Reservation, bytes]:
    for _ in range(_DRAWS):
        reservation, to_be_signed = _prepare(issuing, order, draw())
        try:
            with issuing.store.transaction() as transaction:
                _check_current(transaction, issuing)
                reserve(transaction, issuing.key_id, reservation)
                transaction.append_audit("certificate.reserved", _audit_details(issuing, reservation))
        except Conflict:
            continue
        return reservation, to_be_signed
    raise IssuanceError(f"expected an unused serial number, got {_DRAWS} that were used before")


def _check_current(transaction: Transaction, issuing: Issuing) -> None:
    record = transaction.get(AUTHORITY, "", issuing.authority)
    if record is None or record.version != issuing.version:
        raise Superseded


def _prepare(issuing: Issuing, order: Order, serial: int) -> tuple[Reservation, bytes]:
    life = validity(order.profile, now=order.now, lifetime=order.lifetime, issuer=issuing.issuer)
    builder = certificate_builder(
        order.profile,
        names=order.names,
        public_key=order.public_key,
        issuer=issuing.issuer,
        serial_number=serial,
        validity=life,
        constraints=order.constraints,
        like=order.like,
    )
    to_be_signed = issuing.assembly.to_be_signed(builder)
    issuing.limits.check_names(issuing.assembly.unsigned(to_be_signed))
    reservation = Reservation(
        serial_number=serial,
        tbs_sha256=hashlib.sha256(to_be_signed).hexdigest(),
        profile=order.profile.name,
        subject=str(order.names),
        requester=order.requester,
        reserved_at=order.now,
        not_after=life.not_after,
    )
    return reservation, to_be_signed


def _sign(assembly: Assembly, to_be_signed: bytes) -> bytes:
    try:
        return assembly.sign(to_be_signed)
    except MTLSError:
        raise
    except Exception as error:
        raise IssuanceError(f"expected a signature, got {type(error).__name__} from the signer") from error


def _record(issuing: Issuing, serial: int, der: bytes) -> None:
    try:
        with issuing.store.transaction() as transaction:
            finish(transaction, issuing.key_id, serial, der)
    except NotFound:
        raise IssuanceError("expected the reservation of this certificate, got it revoked meanwhile") from None


def _audit_details(issuing: Issuing, reservation: Reservation) -> dict[str, str]:
    return {
        "authority": issuing.authority,
        "issuer_key": issuing.key_id,
        "serial": f"{reservation.serial_number:x}",
        "tbs_sha256": reservation.tbs_sha256,
        "profile": reservation.profile,
        "subject": reservation.subject,
        "requester": reservation.requester,
    }
