"""The pure step from profile, names, key and issuer to the certificate that is to be signed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final, TypeAlias

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID

from mtlskit.core.durations import in_units
from mtlskit.core.profiles.constraints import NO_CONSTRAINTS, AuthorityConstraints
from mtlskit.core.profiles.locations import NO_LOCATIONS, Locations
from mtlskit.core.profiles.names import Names
from mtlskit.core.profiles.values import ExtendedKeyUsage, KeyUsage, Profile, ResponderCheck, Role
from mtlskit.errors import IssuanceError

PublicKey: TypeAlias = ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey | ed448.Ed448PublicKey | rsa.RSAPublicKey

BACKDATING: Final = timedelta(seconds=30)  # so that a clock which is a little behind takes a new certificate


@dataclass(frozen=True, slots=True, kw_only=True)
class Validity:
    """notBefore and notAfter, UTC-aware and in whole seconds."""

    not_before: datetime
    not_after: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Issuer:
    """What a certificate takes from the one above it: its name, its key's identifier, and its end."""

    name: x509.Name
    authority_key_identifier: x509.AuthorityKeyIdentifier
    not_before: datetime
    not_after: datetime

    @classmethod
    def of(cls, certificate: x509.Certificate, *above: x509.Certificate) -> Issuer:
        """The issuer whose certificate this is, with those up to its root, which all bound what it issues in time.

        Raises IssuanceError if it has no subject key identifier.
        """
        identifier = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(_key_identifier(certificate))
        return cls(
            name=certificate.subject,
            authority_key_identifier=identifier,
            not_before=max(each.not_valid_before_utc for each in (certificate, *above)),
            not_after=min(each.not_valid_after_utc for each in (certificate, *above)),
        )


def validity(profile: Profile, *, now: datetime, lifetime: timedelta | None, issuer: Issuer | None) -> Validity:
    """From 30 s before `now` (aware of its zone) to `lifetime` after it, the profile's default without one.

    In UTC and whole seconds. Where no lifetime is given, it is the profile's, or what is left of the issuer's. Raises
    IssuanceError for a lifetime outside the profile's and for a life that begins before the issuer's or ends after it.
    """
    allowed = profile.lifetimes
    wanted = allowed.default if lifetime is None else lifetime
    if not isinstance(wanted, timedelta):
        raise IssuanceError(f"lifetime: expected a timedelta, got {type(wanted).__name__}")
    if not allowed.minimum <= wanted <= allowed.maximum:
        raise IssuanceError(
            f"lifetime: expected {in_units(allowed.minimum)} to {in_units(allowed.maximum)} for the profile "
            f"{profile.name!r}, got {in_units(wanted)}"
        )
    if now.tzinfo is None:
        raise IssuanceError(f"now: expected a moment that knows its time zone, got {now.isoformat()}")
    moment = now.astimezone(UTC).replace(microsecond=0)
    end = _end(moment, wanted)
    if issuer is not None and lifetime is None and moment + allowed.minimum <= issuer.not_after:
        end = min(end, issuer.not_after)
    found = Validity(not_before=moment - BACKDATING, not_after=end)
    if issuer is not None and not (issuer.not_before <= found.not_before and found.not_after <= issuer.not_after):
        raise IssuanceError(
            f"lifetime: expected a life within the issuer's from {issuer.not_before.isoformat()} to "
            f"{issuer.not_after.isoformat()}, got {found.not_before.isoformat()} to {found.not_after.isoformat()}"
        )
    return found


def _end(moment: datetime, lifetime: timedelta) -> datetime:
    try:
        return (moment + lifetime).replace(microsecond=0)
    except OverflowError:
        raise IssuanceError("lifetime: expected an end before the year 10000, got a later one") from None


def certificate_builder(
    profile: Profile,
    *,
    names: Names,
    public_key: PublicKey,
    issuer: Issuer | None,
    serial_number: int,
    validity: Validity,
    constraints: AuthorityConstraints = NO_CONSTRAINTS,
    like: x509.Certificate | None = None,
    locations: Locations = NO_LOCATIONS,
) -> x509.CertificateBuilder:
    """The certificate to be signed. Without `issuer` it is self-signed. The names have passed `check_names`.

    `constraints` are those in an authority's certificate; from `like` come the subject and the key identifier;
    `locations` are the issuer's, with nothing left to fill in.
    """
    subject, key_identifier = names.subject, x509.SubjectKeyIdentifier.from_public_key(public_key)
    if like is not None:
        subject, key_identifier = like.subject, _key_identifier(like)
    above = (
        x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(key_identifier)
        if issuer is None
        else issuer.authority_key_identifier
    )
    extensions = [*fixed_extensions(profile, constraints), _extension(key_identifier), _extension(above)]
    extensions += map(_extension, locations_in(profile, locations).extensions(serial_number))
    if names.sans:
        # Critical only where there is no subject (RFC 5280, 4.2.1.6).
        sans = x509.SubjectAlternativeName([san.general_name() for san in names.sans])
        extensions.append(x509.Extension(sans.oid, names.common_name is None, sans))
    return x509.CertificateBuilder(
        issuer_name=subject if issuer is None else issuer.name,
        subject_name=subject,
        public_key=public_key,
        serial_number=serial_number,
        not_valid_before=validity.not_before.replace(tzinfo=None),
        not_valid_after=validity.not_after.replace(tzinfo=None),
        extensions=extensions,
    )


def _key_identifier(certificate: x509.Certificate) -> x509.SubjectKeyIdentifier:
    try:
        return certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    except x509.ExtensionNotFound:
        raise IssuanceError("issuer: expected a certificate with a subject key identifier, got none") from None


@lru_cache(maxsize=64)
def fixed_extensions(
    profile: Profile, constraints: AuthorityConstraints = NO_CONSTRAINTS
) -> tuple[x509.Extension[x509.ExtensionType], ...]:
    """The extensions that every certificate of a profile and such constraints has, before all others."""
    basic = x509.BasicConstraints(profile.role is Role.AUTHORITY, constraints.path_length)
    fixed: list[x509.Extension[x509.ExtensionType]] = [
        x509.Extension(basic.oid, True, basic),
        x509.Extension(x509.KeyUsage.oid, True, _key_usage(profile.key_usages)),
    ]
    if usages := profile.extended_key_usages or constraints.extended_key_usages:
        fixed.append(_extension(x509.ExtendedKeyUsage([purpose_oid(usage) for usage in usages])))
    if profile.responder_check is ResponderCheck.NOT_ASKED:
        fixed.append(_extension(x509.OCSPNoCheck()))
    if (names := constraints.name_constraints()) is not None:
        fixed.append(x509.Extension(names.oid, True, names))
    return tuple(fixed)


def locations_in(profile: Profile, locations: Locations) -> Locations:
    """Those of an issuer's locations that stand in a certificate of the profile: no list where nobody is to ask."""
    if profile.responder_check is ResponderCheck.NOT_ASKED:
        return Locations(issuers=locations.issuers)
    return locations


def _extension(value: x509.ExtensionType) -> x509.Extension[x509.ExtensionType]:
    return x509.Extension(value.oid, False, value)


def _key_usage(usages: frozenset[KeyUsage]) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=KeyUsage.DIGITAL_SIGNATURE in usages,
        key_cert_sign=KeyUsage.KEY_CERT_SIGN in usages,
        crl_sign=KeyUsage.CRL_SIGN in usages,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def purpose_oid(usage: ExtendedKeyUsage | x509.ObjectIdentifier) -> x509.ObjectIdentifier:
    """The purpose's object identifier."""
    return _PURPOSES[usage] if isinstance(usage, ExtendedKeyUsage) else usage


_PURPOSES: Final = {
    ExtendedKeyUsage.CLIENT_AUTH: ExtendedKeyUsageOID.CLIENT_AUTH,
    ExtendedKeyUsage.SERVER_AUTH: ExtendedKeyUsageOID.SERVER_AUTH,
    ExtendedKeyUsage.OCSP_SIGNING: ExtendedKeyUsageOID.OCSP_SIGNING,
}
