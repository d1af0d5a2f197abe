"""The extensions of a certificate in the form that most have, read without building `cryptography`'s objects.

That costs half of the reading of a certificate otherwise. Key identifiers and names differ from one certificate to the
next: their plain forms are read here, and given as they stand. The others are the same in very many certificates: what
`cryptography` made of their octets once is remembered by these octets. Anything else is not for this module: it says
None, and `cryptography` reads, and refuses, all of it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from cryptography import x509
from cryptography.x509.oid import ExtensionOID

from mtlskit.core.validation import der

REMEMBERED: Final = 256  # extensions, whoever sent them
_LONGEST_REMEMBERED = 512  # octets
_LONG_FORM = 0x80
_KEY_IDENTIFIER = 0x80
_EMAIL, _DNS, _URI, _ADDRESS = 0x81, 0x82, 0x86, 0x87
_ADDRESS_OCTETS = (4, 16)


class Known(NamedTuple):
    """One extension: its type, its value (octets where it was read here), and whether it is critical."""

    oid: x509.ObjectIdentifier
    value: Any
    is_critical: bool


def read_usual(raw: bytes) -> list[Known] | None:
    """The extensions whose list in DER is `raw`; None unless each is one of those that are known here."""
    at, stop = der.whole(der.SEQUENCE, raw)
    found: list[Known] = []
    while at < stop:
        # The usual length first, without a call.
        first, end = at + 2, at + 2 + raw[at + 1]
        if raw[at] != der.SEQUENCE or raw[at + 1] >= _LONG_FORM or end > stop:
            first, end = der.expect(der.SEQUENCE, raw, at, stop)
        element = raw[first:end]
        known = _remembered.get(element) or _own(element)
        if known is None:
            return None
        found.append(known)
        at = end
    return found if len({known.oid for known in found}) == len(found) else None


def remember(raw: bytes, extensions: x509.Extensions) -> None:
    """Takes what `cryptography` made of the list `raw`. A peer may choose both: they are bounded in number and size."""
    children = der.children(raw, *der.whole(der.SEQUENCE, raw))
    for (_, _, first, last), extension in zip(children, extensions, strict=True):
        if last - first <= _LONGEST_REMEMBERED and extension.oid not in _OWN_TYPES:
            if len(_remembered) >= REMEMBERED:
                _remembered.clear()
            _remembered[raw[first:last]] = Known(extension.oid, extension.value, extension.critical)


_remembered: dict[bytes, Known] = {}


# Not critical, and all lengths in one octet.
def _own(element: bytes) -> Known | None:
    reader = _READERS.get(element[:6])
    size = len(element)
    if reader is None or size < 10 or size - 7 >= _LONG_FORM or element[6] != size - 7 or element[8] != size - 9:
        return None
    oid, tag, read = reader
    value = read(element) if element[7] == tag else None
    return None if value is None else Known(oid, value, False)


# RFC 5280, 4.2.1.2.
def _subject_key(element: bytes) -> bytes:
    return element[9:]


# RFC 5280, 4.2.1.1, with a key identifier alone.
def _authority_key(element: bytes) -> bytes | None:
    if len(element) < 12 or element[9] != _KEY_IDENTIFIER or element[10] != len(element) - 11:
        return None
    return element[11:]


# RFC 5280, 4.2.1.6, of names that any validator reads the same.
def _names(element: bytes) -> bytes | None:
    at, end = 9, len(element)
    while at < end - 1:
        start = at + 2
        tag, at = element[at], start + element[at + 1]
        name = element[start:at]
        if tag == _ADDRESS:
            if len(name) not in _ADDRESS_OCTETS:
                return None
        elif tag not in (_DNS, _URI, _EMAIL) or not name.isascii() or b"\0" in name:
            return None
    return element[7:] if at == end else None


_Reader = tuple[x509.ObjectIdentifier, int, Callable[[bytes], bytes | None]]
_READERS: Mapping[bytes, _Reader] = {
    bytes.fromhex("0603551d0e04"): (ExtensionOID.SUBJECT_KEY_IDENTIFIER, der.OCTET_STRING, _subject_key),
    bytes.fromhex("0603551d2304"): (ExtensionOID.AUTHORITY_KEY_IDENTIFIER, der.SEQUENCE, _authority_key),
    bytes.fromhex("0603551d1104"): (ExtensionOID.SUBJECT_ALTERNATIVE_NAME, der.SEQUENCE, _names),
}
_OWN_TYPES = frozenset(oid for oid, _, _ in _READERS.values())
