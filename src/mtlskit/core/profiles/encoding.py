"""What is to be signed for an end entity, written in DER by hand: the same octets that `certificate_builder` leads to.

The builder of `cryptography` takes longer than the rest of issuing but for the signatures. Most of what it writes is
the same in every certificate of one profile and issuer, and is written once here. A test holds the two to the same
octets for any names, keys, numbers and moments; certificates of authorities, which are rare, come from the builder.
"""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import lru_cache
from typing import Final

from cryptography import x509
from cryptography.x509.oid import NameOID

from mtlskit.core.names import SanType, SubjectAlternativeName
from mtlskit.core.profiles.building import Issuer, Validity, fixed_extensions, locations_in
from mtlskit.core.profiles.locations import NO_LOCATIONS, Locations, location_extensions
from mtlskit.core.profiles.names import Names
from mtlskit.core.profiles.values import Profile
from mtlskit.core.validation import der
from mtlskit.core.validation.algorithms import is_usual_key

_VERSION_3: Final = bytes.fromhex("a003020102")
_EXTENSIONS: Final = 0xA3
_CRITICAL: Final = b"\x01\x01\xff"
_FIRST_GENERALIZED_YEAR: Final = 2050  # RFC 5280, 4.1.2.5


class CertificateTemplate:
    """The certificates of one profile for end entities under one issuer.

    `algorithm` is the AlgorithmIdentifier of the issuer's signatures in DER; `locations` have nothing left to fill in.
    """

    __slots__ = ("_before", "_fixed", "_issuer", "_key_identifier", "_locations")

    def __init__(
        self, profile: Profile, issuer: Issuer, *, algorithm: bytes, locations: Locations = NO_LOCATIONS
    ) -> None:
        self._before = algorithm + issuer.name.public_bytes()
        self._fixed = b"".join(_extension(each.value, critical=each.critical) for each in fixed_extensions(profile))
        self._issuer = _extension(issuer.authority_key_identifier)
        found = locations_in(profile, locations)
        self._locations = None if found == NO_LOCATIONS else found

    def to_be_signed(self, *, names: Names, spki: bytes, serial_number: int, validity: Validity) -> bytes:
        """The TBSCertificate in DER (RFC 5280, 4.1). The names have passed `check_names`.

        `spki` is the SubjectPublicKeyInfo as `cryptography` writes it. Raises DERError where it is none.
        """
        extensions = [self._fixed, _key_identifier(spki), self._issuer]
        if (locations := self._locations) is not None:
            extensions.append(_located(locations.crl_urls(serial_number), locations.ocsp, locations.issuers))
        if names.sans:
            extensions.append(_names_extension(names))
        return der.encoded(
            der.SEQUENCE,
            _VERSION_3,
            der.encoded(der.INTEGER, serial_number.to_bytes(serial_number.bit_length() // 8 + 1, "big")),
            self._before,
            _validity(validity.not_before, validity.not_after),
            _subject(names.common_name),
            spki,
            der.encoded(_EXTENSIONS, der.encoded(der.SEQUENCE, *extensions)),
        )


def common_name_in(subject: bytes) -> str | None:
    """The common name of a subject in DER that has nothing else and is written as here; None for any other."""
    try:
        text = subject[_COMMON_NAME_HEADER:].decode()
    except UnicodeDecodeError:
        return None
    return text if text and _subject(text) == subject else None


def object_identifier(oid: x509.ObjectIdentifier) -> bytes:
    """The DER of an object identifier (X.690, 8.19)."""
    first, second, *rest = map(int, oid.dotted_string.split("."))
    return der.encoded(der.OBJECT_IDENTIFIER, *map(_base_128, (40 * first + second, *rest)))


def _base_128(number: int) -> bytes:
    octets = [number & 0x7F]
    while number := number >> 7:
        octets.append(0x80 | number & 0x7F)
    return bytes(reversed(octets))


def _extension(value: x509.ExtensionType, *, critical: bool = False) -> bytes:
    return _extension_of(object_identifier(value.oid), value.public_bytes(), critical=critical)


def _extension_of(oid: bytes, content: bytes, *, critical: bool = False) -> bytes:
    return der.encoded(der.SEQUENCE, oid, _CRITICAL if critical else b"", der.encoded(der.OCTET_STRING, content))


_NAMES_OID: Final = object_identifier(x509.SubjectAlternativeName.oid)
_COMMON_NAME_OID: Final = object_identifier(NameOID.COMMON_NAME)
_USUAL_BITS: Final[Mapping[int, int]] = {91: 26, 44: 12}  # where the key begins in that of P-256 and of Ed25519
_COMMON_NAME_HEADER: Final = 13  # octets before a text with which all lengths take one octet
_LONGEST_SHORT_NAME: Final = 0x80 - 12  # octets of a text with which every length around it takes one octet
_KEY_IDENTIFIER: Final = _extension(x509.SubjectKeyIdentifier(bytes(20)))[:-20]


def _key_identifier(spki: bytes) -> bytes:
    # RFC 5280, 4.2.1.2, method 1: SHA-1 of the key's bits; a name for the key and no protection.
    return _KEY_IDENTIFIER + hashlib.sha1(_key_bits(spki), usedforsecurity=False).digest()


def _key_bits(spki: bytes) -> bytes:
    if is_usual_key(spki):
        return spki[_USUAL_BITS[len(spki)] :]
    start, stop = der.whole(der.SEQUENCE, spki)
    _, after = der.expect(der.SEQUENCE, spki, start, stop)
    first, last = der.expect(der.BIT_STRING, spki, after, stop)
    return spki[der.unsigned_bits(spki, first, last) : last]


@lru_cache(maxsize=4096)  # one for each partition
def _located(crl: tuple[str, ...], ocsp: tuple[str, ...], issuers: tuple[str, ...]) -> bytes:
    return b"".join(map(_extension, location_extensions(crl, ocsp, issuers)))


def _names_extension(names: Names) -> bytes:
    content = der.encoded(der.SEQUENCE, *map(_general_name, names.sans))
    # Critical only where there is no subject (RFC 5280, 4.2.1.6).
    return _extension_of(_NAMES_OID, content, critical=names.common_name is None)


def _general_name(san: SubjectAlternativeName) -> bytes:
    tag, octets = _GENERAL_NAMES[san.type]
    return der.encoded(tag, octets(san.value))


_GENERAL_NAMES: Final[Mapping[SanType, tuple[int, Callable[[str], bytes]]]] = {
    SanType.EMAIL: (0x81, str.encode),
    SanType.DNS: (0x82, str.encode),
    SanType.URI: (0x86, str.encode),
    SanType.IP: (0x87, lambda value: ipaddress.ip_address(value).packed),
}


def _subject(common_name: str | None) -> bytes:
    if common_name is None:
        return b"\x30\x00"
    text = common_name.encode()
    length = len(text)
    if length > _LONGEST_SHORT_NAME:
        attribute = der.encoded(der.SEQUENCE, _COMMON_NAME_OID, der.encoded(der.UTF8_STRING, text))
        return der.encoded(der.SEQUENCE, der.encoded(der.SET, attribute))
    heads = bytes((der.SEQUENCE, length + 11, der.SET, length + 9, der.SEQUENCE, length + 7))
    return b"".join((heads, _COMMON_NAME_OID, bytes((der.UTF8_STRING, length)), text))


@lru_cache(maxsize=64)  # whoever issues much issues much in one second
def _validity(not_before: datetime, not_after: datetime) -> bytes:
    return der.encoded(der.SEQUENCE, _time(not_before), _time(not_after))


def _time(moment: datetime) -> bytes:
    text = moment.strftime("%m%d%H%M%SZ")
    if moment.year < _FIRST_GENERALIZED_YEAR:
        return der.encoded(der.UTC_TIME, f"{moment.year % 100:02}{text}".encode())
    return der.encoded(der.GENERALIZED_TIME, f"{moment.year:04}{text}".encode())
