"""The frame of a certificate (RFC 5280, 4.1): its fields as octets, read without judging what they hold.

`cryptography` keeps some of them to itself: the inner algorithm, the names' octets, the form of a time.
"""

from __future__ import annotations

from typing import NamedTuple

from mtlskit.core.validation import der

_VERSION_TAG = 0xA0
_EXPLICIT_VERSION_3 = bytes.fromhex("a003020102")
_EXTENSIONS_TAG = 0xA3
_EMPTY_SEQUENCE = b"\x30\x00"
_SERIAL_BITS = 160  # RFC 5280, 4.1.2.2: 20 octets
_FIRST_GENERALIZED_YEAR = b"2050"  # RFC 5280, 4.1.2.5: UTCTime through 2049
_TWO_UTC_TIMES = 32  # octets
VERSION_3 = 3


class Frame(NamedTuple):
    """The fields of one certificate. Those without a type of their own are whole elements in DER."""

    tbs: bytes
    version: int
    serial: int
    serial_octets: int
    inner_algorithm: bytes
    issuer: bytes
    validity: bytes
    subject: bytes
    spki: bytes
    extensions: bytes | None
    outer_algorithm: bytes
    signature: bytes


def read_frame(data: bytes) -> Frame:
    """The fields of the certificate that `data` is; raises DERError."""
    start, stop = der.whole(der.SEQUENCE, data)
    first, last = der.expect(der.SEQUENCE, data, start, stop)
    _, after = der.expect(der.SEQUENCE, data, last, stop)
    bits, end = der.expect(der.BIT_STRING, data, after, stop)
    if end != stop:
        raise der.DERError("expected three fields in a certificate, got more")
    fields = _fields(data, first, last)
    signature = data[der.unsigned_bits(data, bits, end) : end]
    return Frame(data[start:last], *fields, data[last:after], signature)


def _fields(data: bytes, at: int, end: int) -> tuple[int, int, int, bytes, bytes, bytes, bytes, bytes, bytes | None]:
    version, at = _version(data, at, end)
    start, stop = der.expect(der.INTEGER, data, at, end)
    serial = der.integer(data, start, stop)
    algorithm, issuer, validity, subject, spki = fields = der.sequences(data, stop, end, 5)
    extensions = _extensions(data, stop + sum(map(len, fields)), end)
    return version, serial, stop - start, algorithm, issuer, validity, subject, spki, extensions


def _version(data: bytes, at: int, end: int) -> tuple[int, int]:
    if data.startswith(_EXPLICIT_VERSION_3, at):
        return VERSION_3, at + len(_EXPLICIT_VERSION_3)
    tag, start, stop = der.element(data, at, end)
    if tag != _VERSION_TAG:
        return 1, at
    first, last = der.expect(der.INTEGER, data, start, stop)
    return der.integer(data, first, last) + 1, stop


def _extensions(data: bytes, at: int, end: int) -> bytes | None:
    while at < end:
        tag, start, at = der.element(data, at, end)
        if tag == _EXTENSIONS_TAG:
            return data[start:at]
    return None


def frame_complaint(frame: Frame) -> str | None:
    """What `cryptography` lets pass and we do not: serials, versions, empty things, forms of times."""
    if frame.serial < 0 or frame.serial.bit_length() > _SERIAL_BITS:
        return f"expected a serial number of 0 to 2^{_SERIAL_BITS} - 1, got another"
    if frame.issuer == _EMPTY_SEQUENCE:  # RFC 5280, 4.1.2.4
        return "expected the issuer's name, got an empty one"
    if frame.extensions is not None and frame.version != VERSION_3:  # RFC 5280, 4.1.2.9
        return f"expected extensions in version 3 only, got them in version {frame.version}"
    if frame.extensions == _EMPTY_SEQUENCE:
        return "expected at least one extension in the list, got an empty list"
    return _times_complaint(frame.validity)


def _times_complaint(validity: bytes) -> str | None:
    if len(validity) == _TWO_UTC_TIMES and validity[2] == validity[17] == der.UTC_TIME:
        return None
    start, stop = der.whole(der.SEQUENCE, validity)
    for _, tag, first, _ in der.children(validity, start, stop):
        if tag == der.GENERALIZED_TIME and validity[first : first + 4] < _FIRST_GENERALIZED_YEAR:
            return "expected a UTCTime for a year before 2050, got a GeneralizedTime"
    return None


def raw_extension(frame: Frame, oid: bytes) -> bytes | None:
    """The value of the extension with this type (the content of its OID), unparsed; raises DERError."""
    if frame.extensions is None:
        return None
    data = frame.extensions
    start, stop = der.whole(der.SEQUENCE, data)
    for _, _, first, last in der.children(data, start, stop):
        kind, after = der.expect(der.OBJECT_IDENTIFIER, data, first, last)
        if data[kind:after] == oid:
            inner, outer = der.last(data, after, last)
            return data[inner:outer]
    return None
