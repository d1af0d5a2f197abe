"""What is wanted of an authority and what is written for it, before anything is recorded or signed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from cryptography import x509

from mtlskit.authority.assembly import Assembly
from mtlskit.authority.authorization import Authorize, IssuanceRequest, check_authorization
from mtlskit.authority.ledger import Reservation
from mtlskit.authority.limits import IssuerLimits
from mtlskit.authority.requests import spki_of
from mtlskit.authority.serials import draw_serial
from mtlskit.core.profiles import (
    NO_CONSTRAINTS,
    NO_LOCATIONS,
    AuthorityConstraints,
    CertificateTemplate,
    Issuer,
    Locations,
    Names,
    Profile,
    PublicKey,
    Role,
    Validity,
    certificate_builder,
    check_names,
    validity,
)
from mtlskit.errors import IssuanceError
from mtlskit.ports import Store

_MOST_TEMPLATES: Final = 64  # a caller may make a profile for each certificate


class Templates:
    """The templates of one issuer, each made when its profile is first used."""

    __slots__ = ("_algorithm", "_found", "_issuer", "_locations")

    def __init__(self, issuer: Issuer, *, algorithm: bytes, locations: Locations) -> None:
        self._issuer, self._algorithm, self._locations = issuer, algorithm, locations
        self._found: dict[Profile, CertificateTemplate] = {}

    def of(self, profile: Profile) -> CertificateTemplate:
        """The template of certificates of a profile for end entities."""
        found = self._found.get(profile)
        if found is None:
            if len(self._found) >= _MOST_TEMPLATES:
                self._found = {}
            made = CertificateTemplate(profile, self._issuer, algorithm=self._algorithm, locations=self._locations)
            found = self._found[profile] = made
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Issuing:
    """The authority that issues: its name, its key's id in hexadecimal, its certificate's data and its signature.

    `version` is that of the authority's record: nothing is issued under a record that is not the latest. `presented`
    are the certificates after one that is issued now, in DER; `locations` have nothing left to fill in; `authorize` is
    the hook that is asked, if there is one. `trusted_keys` are the ids of the keys whose certificates may be renewed,
    `certified` what its own chain consists of: the issuer's key id and the serial number, as they stand in the ledger.
    """

    authority: str
    version: int
    key_id: str
    issuer: Issuer
    limits: IssuerLimits
    assembly: Assembly
    templates: Templates
    store: Store
    presented: tuple[bytes, ...] = ()
    locations: Locations = NO_LOCATIONS
    authorize: Authorize | None = None
    trusted_keys: frozenset[str] = frozenset()
    certified: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Predecessor:
    """The certificate that another one renews, and the id of the key that it is recorded under, in hexadecimal."""

    certificate: x509.Certificate
    key_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """A certificate that is wanted. `lifetime` None means the profile's default; `now` is UTC-aware.

    `spki` is the public key's SubjectPublicKeyInfo as `cryptography` writes it, where that is known already. `csr` is
    the request that it came with, `renews` the certificate that this one follows. `constraints` are for an authority's
    certificate; `like` is one that has the subject and the key identifier already. `subject` is the names' text.
    """

    profile: Profile
    names: Names
    public_key: PublicKey
    lifetime: timedelta | None
    requester: str
    now: datetime
    spki: bytes = b""
    csr: x509.CertificateSigningRequest | None = None
    renews: Predecessor | None = None
    constraints: AuthorityConstraints = NO_CONSTRAINTS
    like: x509.Certificate | None = None
    subject: str = field(init=False, default="")

    def __post_init__(self) -> None:
        object.__setattr__(self, "subject", str(self.names))


@dataclass(frozen=True, slots=True)
class Draft:
    """A certificate that is written and not yet signed."""

    order: Order
    reservation: Reservation
    to_be_signed: bytes


def draft_of(issuing: Issuing, order: Order, *, draw: Callable[[], int] = draw_serial) -> Draft:
    """What is to be signed for an order, checked and authorised; raises IssuanceError, which names the field."""
    check_names(order.profile, order.names)
    issuing.limits.check_profile(order.profile, order.constraints)
    if order.renews is not None and order.renews.key_id not in issuing.trusted_keys:
        raise IssuanceError("certificate: expected one to renew of a trusted generation, got one of a retired one")
    draft = written(issuing, order, draw())
    if issuing.limits.constrain_names:
        issuing.limits.check_names(issuing.assembly.unsigned(draft.to_be_signed), order.names)
    if issuing.authorize is not None:
        _authorize(issuing, issuing.authorize, order)
    return draft


def written(issuing: Issuing, order: Order, serial: int) -> Draft:
    """What is to be signed for an order that was checked, under that serial number; raises IssuanceError."""
    life = validity(order.profile, now=order.now, lifetime=order.lifetime, issuer=issuing.issuer)
    to_be_signed = _to_be_signed(issuing, order, serial, life)
    reservation = Reservation(
        serial_number=serial,
        tbs_sha256=hashlib.sha256(to_be_signed).hexdigest(),
        profile=order.profile.name,
        subject=order.subject,
        requester=order.requester,
        reserved_at=order.now,
        not_after=life.not_after,
        public_key=hashlib.sha256(order.spki or spki_of(order.public_key)).hexdigest(),
    )
    return Draft(order, reservation, to_be_signed)


def _to_be_signed(issuing: Issuing, order: Order, serial: int, life: Validity) -> bytes:
    if order.profile.role is Role.END_ENTITY and order.like is None:
        template = issuing.templates.of(order.profile)
        spki = order.spki or spki_of(order.public_key)
        return template.to_be_signed(names=order.names, spki=spki, serial_number=serial, validity=life)
    builder = certificate_builder(
        order.profile,
        names=order.names,
        public_key=order.public_key,
        issuer=issuing.issuer,
        serial_number=serial,
        validity=life,
        constraints=order.constraints,
        like=order.like,
        locations=issuing.locations,
    )
    return issuing.assembly.to_be_signed(builder)


def _authorize(issuing: Issuing, authorize: Authorize, order: Order) -> None:
    lifetime = order.profile.lifetimes.default if order.lifetime is None else order.lifetime
    request = IssuanceRequest(
        authority=issuing.authority,
        profile=order.profile,
        names=order.names,
        public_key=order.public_key,
        lifetime=lifetime,
        requester=order.requester,
        csr=order.csr,
        renews=None if order.renews is None else order.renews.certificate,
        constraints=order.constraints,
    )
    try:
        check_authorization(authorize, request)
    except IssuanceError as error:
        with issuing.store.transaction() as transaction:
            transaction.append_audit("certificate.denied", order_details(issuing, order) | {"reason": str(error)})
        raise


def order_details(issuing: Issuing, order: Order) -> dict[str, str]:
    """What the audit log says of an order."""
    details = {
        "authority": issuing.authority,
        "issuer_key": issuing.key_id,
        "profile": order.profile.name,
        "subject": order.subject,
        "requester": order.requester,
    }
    if order.renews is not None:
        details["renews"] = f"{order.renews.certificate.serial_number:x}"
        details["renews_issuer_key"] = order.renews.key_id
    return details
