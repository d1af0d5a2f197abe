"""What a verified certificate and a request say under each selector: the keys that rules are compared with.

What is said in a form with more than one reading (two common names, a string type or a SAN value that cannot be read,
a path with dot segments), and what is not known, gives the key `UNREADABLE`: it equals nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from ipaddress import ip_address
from operator import attrgetter
from typing import Final, TypeAlias

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.x509.oid import NameOID

from mtlskit.core.certificates import ClientIdentity, only_value, public_key_id
from mtlskit.core.names import SanType
from mtlskit.core.request import ClientAddress, RequestFacts
from mtlskit.core.rules.selectors import Selector, canonical_san
from mtlskit.core.spiffe import claims_spiffe, is_spiffe_id, trust_domain_of
from mtlskit.core.twins import fingerprints

UNREADABLE: Final = None
_UNREADABLE_ONLY: Final = (UNREADABLE,)
_REMEMBERED: Final = 4096  # filled with what verified certificates say only (I12)

Key: TypeAlias = str | int | ClientAddress | None
Keys: TypeAlias = Sequence[Key]
OfCertificate: TypeAlias = Callable[[ClientIdentity], Keys]
OfRequest: TypeAlias = Callable[[RequestFacts], Key]


def certificate_reader(selector: Selector) -> OfCertificate:
    """The function that gives a verified client's keys; the selector is none of the request's."""
    return _OF_CERTIFICATE[selector]


def request_reader(selector: Selector) -> OfRequest:
    """The function that gives a request's only key; the selector is one of the request's."""
    return _OF_REQUEST[selector]


def _common_name(identity: ClientIdentity) -> Keys:
    name = identity.common_name
    if name is not None:
        return (name,)
    return _subject(NameOID.COMMON_NAME, identity)


def _subject(oid: x509.ObjectIdentifier, identity: ClientIdentity) -> Keys:
    subject = identity.certificate.subject
    if not subject.get_attributes_for_oid(oid):
        return ()
    return (only_value(subject, oid),)


def _sans(san_type: SanType, identity: ClientIdentity) -> Keys:
    read = _CANONICAL[san_type]
    return [read(name.value) for name in identity.sans if name.type is san_type]


# Bounded, and filled with the names of verified certificates only (I12).
_CANONICAL: Final = {each: lru_cache(_REMEMBERED)(partial(canonical_san, each)) for each in SanType}


def _addresses(identity: ClientIdentity) -> Keys:
    return [UNREADABLE if text is None else ip_address(text) for text in _sans(SanType.IP, identity)]


def _spiffe_ids(identity: ClientIdentity) -> Keys:
    """The id, if the certificate has exactly one URI and that is one (X509-SVID, 2)."""
    uris = identity.uris
    if not any(map(claims_spiffe, uris)):
        return ()
    return uris if len(uris) == 1 and is_spiffe_id(uris[0]) else _UNREADABLE_ONLY


def _trust_domains(identity: ClientIdentity) -> Keys:
    return [UNREADABLE if key is None else trust_domain_of(str(key)) for key in _spiffe_ids(identity)]


def _fingerprints(identity: ClientIdentity) -> Keys:
    return fingerprints(identity.certificate, identity.issuers[0] if identity.issuers else None)


@lru_cache(_REMEMBERED)
def _public_key(certificate: x509.Certificate) -> Keys:
    return (public_key_id(certificate).hex(),)


def _anchor_key(identity: ClientIdentity) -> Keys:
    return _public_key(identity.issuers[-1]) if identity.issuers else _UNREADABLE_ONLY


@lru_cache(_REMEMBERED)
def _key_type(certificate: x509.Certificate) -> Keys:
    key = certificate.public_key()
    match key:
        case ec.EllipticCurvePublicKey():
            return (_CURVES.get(key.curve.name, UNREADABLE),)
        case rsa.RSAPublicKey():
            return (f"rsa-{key.key_size}",)
        case ed25519.Ed25519PublicKey():
            return ("ed25519",)
        case ed448.Ed448PublicKey():
            return ("ed448",)
        case _:
            return _UNREADABLE_ONLY


_CURVES: Final = {"secp256r1": "ec-p256", "secp384r1": "ec-p384", "secp521r1": "ec-p521"}


def _issuance(field: str, identity: ClientIdentity) -> Keys:
    """Nothing where no authority of the store issued it; unreadable where nobody has looked."""
    value = None if identity.issuance is None else getattr(identity.issuance, field)
    return () if value == "" else (value,)


_OF_CERTIFICATE: Final[dict[Selector, OfCertificate]] = {
    Selector.COMMON_NAME: _common_name,
    Selector.ORGANIZATION: partial(_subject, NameOID.ORGANIZATION_NAME),
    Selector.ORGANIZATIONAL_UNIT: partial(_subject, NameOID.ORGANIZATIONAL_UNIT_NAME),
    Selector.DNS: partial(_sans, SanType.DNS),
    Selector.URI: partial(_sans, SanType.URI),
    Selector.EMAIL: partial(_sans, SanType.EMAIL),
    Selector.IP: _addresses,
    Selector.SPIFFE_ID: _spiffe_ids,
    Selector.SPIFFE_TRUST_DOMAIN: _trust_domains,
    Selector.FINGERPRINT: _fingerprints,
    Selector.PUBLIC_KEY: lambda identity: _public_key(identity.certificate),
    Selector.SERIAL: lambda identity: (identity.serial_number,),
    Selector.KEY_TYPE: lambda identity: _key_type(identity.certificate),
    Selector.ANCHOR: lambda identity: (identity.anchor_id,),
    Selector.ANCHOR_KEY: _anchor_key,
    Selector.PROFILE: partial(_issuance, "profile"),
    Selector.AUTHORITY: partial(_issuance, "authority"),
}
_OF_REQUEST: Final[dict[Selector, OfRequest]] = {
    Selector.HOSTNAME: attrgetter("hostname"),
    Selector.METHOD: attrgetter("method"),
    Selector.PATH: attrgetter("path"),
    Selector.CLIENT_ADDRESS: attrgetter("client_address"),
}
