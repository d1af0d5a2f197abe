"""Distinguished names as text, in the two forms that TLS libraries give them. Owns when it has one reading (I9).

The RFC 2253 form escapes, so that two names of readable attributes have one text only if they say the same. The legacy
form (`/C=US/CN=device`) escapes nothing that it gives a meaning to: an attribute can look like several.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, TypeAlias

from cryptography import x509
from cryptography.x509.name import _ASN1Type
from cryptography.x509.oid import NameOID, ObjectIdentifier

from mtlskit.core.certificates import _READABLE_STRINGS

_Attribute: TypeAlias = "x509.NameAttribute[Any]"

# OpenSSL's short names. A type that is not here is shown by its number, and its value in hexadecimal DER.
SHORT_NAMES: Final[Mapping[ObjectIdentifier, str]] = {
    NameOID.COMMON_NAME: "CN",
    NameOID.COUNTRY_NAME: "C",
    NameOID.LOCALITY_NAME: "L",
    NameOID.STATE_OR_PROVINCE_NAME: "ST",
    NameOID.STREET_ADDRESS: "street",
    NameOID.ORGANIZATION_IDENTIFIER: "organizationIdentifier",
    NameOID.ORGANIZATION_NAME: "O",
    NameOID.ORGANIZATIONAL_UNIT_NAME: "OU",
    NameOID.SERIAL_NUMBER: "serialNumber",
    NameOID.SURNAME: "SN",
    NameOID.GIVEN_NAME: "GN",
    NameOID.TITLE: "title",
    NameOID.INITIALS: "initials",
    NameOID.GENERATION_QUALIFIER: "generationQualifier",
    NameOID.X500_UNIQUE_IDENTIFIER: "x500UniqueIdentifier",
    NameOID.DN_QUALIFIER: "dnQualifier",
    NameOID.PSEUDONYM: "pseudonym",
    NameOID.USER_ID: "UID",
    NameOID.DOMAIN_COMPONENT: "DC",
    NameOID.EMAIL_ADDRESS: "emailAddress",
    NameOID.JURISDICTION_COUNTRY_NAME: "jurisdictionC",
    NameOID.JURISDICTION_LOCALITY_NAME: "jurisdictionL",
    NameOID.JURISDICTION_STATE_OR_PROVINCE_NAME: "jurisdictionST",
    NameOID.BUSINESS_CATEGORY: "businessCategory",
    NameOID.POSTAL_ADDRESS: "postalAddress",
    NameOID.POSTAL_CODE: "postalCode",
    NameOID.INN: "INN",
    NameOID.OGRN: "OGRN",
    NameOID.SNILS: "SNILS",
    NameOID.UNSTRUCTURED_NAME: "unstructuredName",
    ObjectIdentifier("2.5.4.13"): "description",
    ObjectIdentifier("2.5.4.20"): "telephoneNumber",
    ObjectIdentifier("2.5.4.41"): "name",
}

_ASCII_STRINGS = {_ASN1Type.PrintableString, _ASN1Type.IA5String}
_WIDE_STRINGS = {_ASN1Type.BMPString: "utf-16-be", _ASN1Type.UniversalString: "utf-32-be"}
_SHOWN_STRINGS = _READABLE_STRINGS | {
    _ASN1Type.T61String,
    _ASN1Type.UniversalString,
    _ASN1Type.NumericString,
    _ASN1Type.VisibleString,
}
_STRUCTURE = frozenset(',+="\\<>;#/')
_ESCAPED = re.compile(r'[,+"\\<>;]|[^ -~]|\A[ #]| \Z')
_UNPRINTED = re.compile(r"[^ -~]")


def rfc2253_text(name: x509.Name) -> str:
    r"""The name as OpenSSL's `XN_FLAG_RFC2253` has it: the last relative name first, `CN=a\,b,O=Acme,C=US`.

    What is not printable ASCII stands as the `\XX` of its UTF-8 octets. Never raises.
    """
    return ",".join("+".join(map(_escaped_pair, reversed(list(rdn)))) for rdn in reversed(name.rdns))


def legacy_text(name: x509.Name) -> str:
    r"""The name as `X509_NAME_oneline` of BoringSSL has it: the first attribute first, `/C=US/O=Acme/CN=a,b`.

    What is not printable ASCII stands as the `\xXX` of its octets: of wide characters (BMPString) too those of UTF-8,
    where that function shows the wide ones. Never raises.
    """
    return "".join(f"/{_plain_pair(attribute)}" for attribute in name)


def readable_name(name: x509.Name) -> bool:
    """Whether every attribute is text with one reading: a plain string type, its characters only, no NUL."""
    return all(map(_is_readable, name))


def unambiguous_name(name: x509.Name) -> bool:
    """Whether no attribute can be taken for another or for several, in whatever form the name is written.

    That is a readable name with one attribute in each relative name, whose values are neither empty nor hold one of
    `,+="\\<>;#/`, a character that is not printed, or a space at an end.
    """
    return all(len(rdn) == 1 for rdn in name.rdns) and all(map(_is_plain, name))


def _is_readable(attribute: _Attribute) -> bool:
    value, kind = attribute.value, attribute._type
    if kind not in _READABLE_STRINGS or not isinstance(value, str) or "\0" in value:
        return False
    return kind not in _ASCII_STRINGS or value.isascii()


def _is_plain(attribute: _Attribute) -> bool:
    value = attribute.value
    if not _is_readable(attribute) or not isinstance(value, str):
        return False
    return bool(value) and value.isprintable() and value == value.strip() and _STRUCTURE.isdisjoint(value)


def _escaped_pair(attribute: _Attribute) -> str:
    short, value = SHORT_NAMES.get(attribute.oid), attribute.value
    if short is None or isinstance(value, bytes) or attribute._type not in _SHOWN_STRINGS:
        return f"{short or attribute.oid.dotted_string}=#{_der(attribute).hex().upper()}"
    if attribute._type is _ASN1Type.T61String:
        value = _octets(attribute).decode("latin-1")
    return f"{short}={_ESCAPED.sub(_escape, value)}"


def _escape(found: re.Match[str]) -> str:
    character = found[0]
    return f"\\{character}" if " " <= character <= "~" else _hexadecimal(character, "\\")


def _plain_pair(attribute: _Attribute) -> str:
    short, value = SHORT_NAMES.get(attribute.oid), attribute.value
    if isinstance(value, bytes):
        value = value[1:].decode("latin-1")  # a bit string begins with the number of its unused bits
        text = _UNPRINTED.sub(lambda found: f"\\x{ord(found[0]):02X}", value)
    else:
        text = _UNPRINTED.sub(lambda found: _hexadecimal(found[0], "\\x"), value)
    return f"{short or attribute.oid.dotted_string}={text}"


def _hexadecimal(character: str, mark: str) -> str:
    return "".join(f"{mark}{octet:02X}" for octet in character.encode("utf-8", "surrogatepass"))


def _der(attribute: _Attribute) -> bytes:
    content = _octets(attribute)
    size = len(content)
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return (
        bytes([attribute._type.value])
        + (bytes([size]) if size < 0x80 else bytes([0x80 | len(length)]) + length)
        + content
    )


def _octets(attribute: _Attribute) -> bytes:
    """The content of the value's DER."""
    value = attribute.value
    if isinstance(value, bytes):
        return value
    octets: bytes = value.encode(_WIDE_STRINGS.get(attribute._type, "utf-8"), "surrogatepass")
    return octets
