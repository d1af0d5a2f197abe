"""Distinguished names as RFC 5280, 7.1 compares them. Names stay ASN.1 values; nothing here is ever shown.

Two attribute values are equal if their types are the same and their texts are, after the preparation of RFC 4518:
whatever the string type, letters folded, white space at the ends gone and inside squeezed to one space.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from typing import TypeAlias

from mtlskit.core.validation import der

# One attribute: its type, "" and the prepared text; or its type, the string's tag and the raw octets.
Attribute: TypeAlias = tuple[bytes, str, str]
RDN: TypeAlias = tuple[Attribute, ...]
ComparableName: TypeAlias = tuple[RDN, ...]

EMPTY_NAME = b"\x30\x00"
EMAIL_ADDRESS = bytes.fromhex("2a864886f70d010901")
COMMON_NAME = bytes.fromhex("550403")

_CODECS = {
    0x0C: "utf-8",  # UTF8String
    0x12: "ascii",  # NumericString
    0x13: "ascii",  # PrintableString
    0x14: "latin-1",  # TeletexString, as everybody reads it
    0x16: "ascii",  # IA5String
    0x1A: "ascii",  # VisibleString
    0x1C: "utf-32-be",  # UniversalString
    0x1E: "utf-16-be",  # BMPString
}
# The longest text beyond ASCII that is normalised: normalising is quadratic in the number of combining marks.
_LONGEST_NORMALISED = 1024
# RFC 4518, 2.2: these are spaces; the other control characters are nothing.
_SPACES = dict.fromkeys((0x09, 0x0A, 0x0B, 0x0C, 0x0D, 0x85), " ")
_NOTHINGS = dict.fromkeys((*range(0x09), *range(0x0E, 0x20), *range(0x7F, 0x85), *range(0x86, 0xA0), 0xAD, 0x200B))
_MAPPED: dict[int, str | None] = {**_NOTHINGS, **_SPACES}
_IS_MAPPED = re.compile(f"[{''.join(map(chr, _MAPPED))}]").search
_OPAQUE = "opaque"
_SMALL = 1024  # octets


def comparable_name(raw: bytes) -> ComparableName:
    """The Name whose DER is `raw` in the form in which names are compared; raises DERError."""
    return _small(raw) if len(raw) <= _SMALL else _large(raw)


def is_readable(name: ComparableName) -> bool:
    """Whether every value of the name is a text. One that is not equals only itself, octet by octet."""
    return not any(kind == _OPAQUE for rdn in name for _, kind, _ in rdn)


def same_name(first: bytes, second: bytes) -> bool:
    """Whether two Names in DER are equal (RFC 5280, 7.1); raises DERError."""
    return first == second or comparable_name(first) == comparable_name(second)


def attribute_texts(name: ComparableName, kind: bytes) -> list[str]:
    """The prepared texts of all attributes of one type."""
    return [text for rdn in name for found, _, text in rdn if found == kind]


def _comparable(raw: bytes) -> ComparableName:
    start, stop = der.whole(der.SEQUENCE, raw)
    return tuple([_rdn(raw, tag, inner, outer) for _, tag, inner, outer in der.children(raw, start, stop)])


# Keyed by what a peer sends: bounded in number and in size. The large ones of one chain are compared again and again.
_small = lru_cache(maxsize=1024)(_comparable)
_large = lru_cache(maxsize=16)(_comparable)


def _rdn(raw: bytes, tag: int, start: int, stop: int) -> RDN:
    if tag != der.SET or start == stop:
        raise der.DERError("expected a relative distinguished name with an attribute, got another element")
    # RFC 5280, 7.1: the attributes of one RDN are a set; their order says nothing.
    return tuple(
        sorted([_attribute(raw, kind, inner, outer) for _, kind, inner, outer in der.children(raw, start, stop)])
    )


def _attribute(raw: bytes, tag: int, start: int, stop: int) -> Attribute:
    if tag != der.SEQUENCE:
        raise der.DERError(f"expected an attribute with a type and a value, got tag {tag:#04x}")
    kind, after = der.expect(der.OBJECT_IDENTIFIER, raw, start, stop)
    string, first, last = der.element(raw, after, stop)
    if last != stop:
        raise der.DERError("expected an attribute of one type and one value, got more")
    return raw[kind:after], *_prepared(string, raw[first:last])


def _prepared(tag: int, octets: bytes) -> tuple[str, str]:
    text = _decoded(tag, octets)
    if text is None:
        return _OPAQUE, f"{tag}:{octets.hex()}"
    if text.isascii():
        return "", _squeezed(text.lower())
    return "", _squeezed(unicodedata.normalize("NFKC", text.casefold()).casefold())


def _decoded(tag: int, octets: bytes) -> str | None:
    codec = _CODECS.get(tag)
    if codec is None:
        return None
    try:
        text = octets.decode(codec)
    except UnicodeDecodeError:
        return None
    return text if text.isascii() or len(text) <= _LONGEST_NORMALISED else None


def _squeezed(text: str) -> str:
    # Control characters go first: what is left for `split` is spaces only. Hardly any text has some.
    return " ".join((text.translate(_MAPPED) if _IS_MAPPED(text) else text).split())
