"""Renewing: a certificate that was issued here, once more, with the same key or with another.

What is renewed is what the ledger says, not what somebody holds up: its names, its profile's name and its public key
are read from the record. They pass through today's checks as if they were new. Of a profile the ledger knows only the
name: `PROFILES` are ours, any other is given by the caller, under the name that is recorded.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import cast

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm

from mtlskit.authority import requests
from mtlskit.authority.drafting import Order, Predecessor
from mtlskit.authority.generations import Generation, GenerationState
from mtlskit.authority.issuance import check_unrevoked
from mtlskit.authority.ledger import CERTIFICATE, CertificateRecord, Reservation
from mtlskit.authority.opened import OpenedAuthority
from mtlskit.authority.orders import NewKey, check_end_entity
from mtlskit.authority.requests import ProvenKey, spki_of, strong_key
from mtlskit.authority.serials import read_serial, serial_key
from mtlskit.authority.signers import KeyType, generate_key
from mtlskit.authority.takeover import RECORDED
from mtlskit.core.certificates import SigningChain, common_name, to_der
from mtlskit.core.durations import in_units
from mtlskit.core.names import SubjectAlternativeName
from mtlskit.core.profiles import PROFILES, Names, Profile, PublicKey, check_names
from mtlskit.core.validation.algorithms import is_usual_key
from mtlskit.core.validation.frame import read_frame
from mtlskit.errors import IssuanceError, NotFound


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """A certificate as the ledger has it, and the generation that issued it."""

    certificate: x509.Certificate
    reservation: Reservation
    generation: Generation
    issuer_ends_at: datetime  # of the generation that issues now

    @property
    def predecessor(self) -> Predecessor:
        """It, as what another one renews."""
        return Predecessor(certificate=self.certificate, key_id=self.generation.key_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class Renewal:
    """What is wanted of a renewal.

    `profile` None means the recorded one, `lifetime` None that of the certificate before; `after_expiry` is how long
    ago that may have ended.
    """

    profile: Profile | None
    lifetime: timedelta | None
    after_expiry: timedelta
    requester: str


def find_recorded(opened: OpenedAuthority, wanted: int | str | x509.Certificate | SigningChain) -> Recorded:
    """The recorded certificate, or the one of that serial number; raises NotFound.

    Raises IssuanceError for one that is revoked or of a generation that is retired: nobody trusts it any more.
    """
    found = wanted.certificate if isinstance(wanted, SigningChain) else wanted
    serial = found.serial_number if isinstance(found, x509.Certificate) else read_serial(found)
    der = to_der(found) if isinstance(found, x509.Certificate) else None
    latest = opened.latest()
    with opened.store.snapshot() as snapshot:
        for generation in reversed(latest.generations):
            row = snapshot.get(CERTIFICATE, generation.key_id, serial_key(serial))
            record = None if row is None else CertificateRecord.from_bytes(row.value)
            if record is None or record.der is None or der not in (None, record.der):
                continue
            certificate = x509.load_der_x509_certificate(record.der)
            recorded = Recorded(
                certificate=certificate, reservation=record.reservation, generation=generation,
                issuer_ends_at=min(each.not_valid_after_utc for each in opened.chain),
            )  # fmt: skip
            check_unrevoked(snapshot, recorded.predecessor)
            if generation.state is GenerationState.RETIRED:
                raise IssuanceError(
                    f"certificate: expected one of a trusted generation, got number {generation.number}"
                )
            return recorded
    raise NotFound(f"expected a certificate issued by {opened.name!r}, got the serial number {serial:x}")


def same_key(old: Recorded, wanted: Renewal, now: datetime) -> Order:
    """The order for the key that it has; raises IssuanceError, which names the field. `now` is UTC-aware."""
    return _order(old, wanted, _key_of(old), now)


def new_key(old: Recorded, wanted: Renewal, key_type: KeyType | str, now: datetime) -> NewKey:
    """The order for a key that is made here; raises IssuanceError and ConfigurationError."""
    parsed = KeyType.parse(key_type)
    check_names(_profile(old, wanted.profile), _names(old.certificate))
    key = generate_key(parsed)
    public_key = key.public_key()
    return NewKey(_order(old, wanted, ProvenKey(public_key, spki_of(public_key)), now), key)


def requested_key(old: Recorded, wanted: Renewal, request: bytes | str, now: datetime) -> Order:
    """The order for the key of a certification request, which must be another one; raises IssuanceError.

    Nothing else of the request counts.
    """
    parsed = requests.read_request(request)
    requests.checked_names(parsed)
    proven = requests.proven_key(parsed)
    if proven.spki == _key_of(old).spki:
        raise IssuanceError("public_key: expected another key than the one before, got the same")
    return _order(old, wanted, proven, now, parsed.parsed)


def _order(
    old: Recorded, wanted: Renewal, key: ProvenKey, now: datetime, csr: x509.CertificateSigningRequest | None = None
) -> Order:
    profile, end = _profile(old, wanted.profile), old.certificate.not_valid_after_utc
    if now - end > wanted.after_expiry:
        raise IssuanceError(
            f"certificate: expected one that ended at most {in_units(wanted.after_expiry)} ago, "
            f"got one that ended at {end:%F %T}"
        )
    lifetime = wanted.lifetime
    if lifetime is None and old.reservation.profile != RECORDED:
        before = old.reservation.not_after - old.reservation.reserved_at
        lifetime = before if now + before <= old.issuer_ends_at else None  # then: what is left
    return Order(
        profile=profile, names=_names(old.certificate), public_key=key.key, lifetime=lifetime,
        requester=wanted.requester, now=now, spki=key.spki, csr=csr, renews=old.predecessor,
    )  # fmt: skip


def _profile(old: Recorded, given: Profile | None) -> Profile:
    name = old.reservation.profile
    found = PROFILES.get(name) if given is None else given
    if found is None:
        raise IssuanceError(f"profile: expected the profile {name!r} to be given, for it is not one of ours, got none")
    if name not in (found.name, RECORDED):
        raise IssuanceError(f"profile: expected {name!r}, by which it was issued, got {found.name!r}")
    check_end_entity(found)
    if _is_authority(old.certificate):
        raise IssuanceError("certificate: expected one of an end entity, got an authority's")
    return found


def _is_authority(certificate: x509.Certificate) -> bool:
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        return False


def _names(certificate: x509.Certificate) -> Names:
    """All names in a certificate; raises IssuanceError where some are of kinds that are not issued here."""
    try:
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        entries = []
    else:
        entries = [SubjectAlternativeName.from_general_name(name) for name in extension.value]
    sans = [entry for entry in entries if entry is not None]
    names = Names.from_values(common_name(certificate.subject), ((san.type, san.value) for san in sans))
    if len(sans) != len(entries) or names.subject != certificate.subject:
        raise IssuanceError("subject: expected a common name and dns, uri, email and ip names to renew, got others too")
    return names


def _key_of(old: Recorded) -> ProvenKey:
    spki = read_frame(to_der(old.certificate)).spki
    strong_key(spki)
    try:
        key = cast("PublicKey", old.certificate.public_key())
    except (ValueError, UnsupportedAlgorithm):
        raise IssuanceError("public_key: expected an RSA, ECDSA, Ed25519 or Ed448 key, got another") from None
    return ProvenKey(key, spki if is_usual_key(spki) else spki_of(key))
