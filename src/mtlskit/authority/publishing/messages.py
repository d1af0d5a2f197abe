"""OCSP messages in DER (RFC 6960, 4): a request taken apart, a response put together. Owns no meaning and no key.

`cryptography` reads and writes messages about one certificate only; a request may ask for several.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum
from typing import Final

from mtlskit.authority.ledger import stamp
from mtlskit.core.validation import der

MOST_REQUESTS: Final = 16  # in one message
LONGEST_NONCE: Final = 128  # octets (RFC 9654, 2.1)
LONGEST_ECHOED: Final = 32  # a longer one may be ignored

_NONCE: Final = bytes.fromhex("2b0601050507300102")
_BASIC: Final = bytes.fromhex("06092b0601050507300101")  # id-pkix-ocsp-basic, whole
_EXPLICIT: Final = 0xA0  # [0]; the others follow
_VERSION_1: Final = b"\x02\x01\x00"
_ENUMERATED: Final = 0x0A
_GOOD: Final = b"\x80\x00"
_UNKNOWN: Final = b"\x82\x00"
_REVOKED_TAG: Final = 0xA1


class Malformed(ValueError):
    """These octets are no request."""


class ResponseStatus(IntEnum):
    """OCSPResponseStatus (RFC 6960, 4.2.1)."""

    SUCCESSFUL = 0
    MALFORMED_REQUEST = 1
    INTERNAL_ERROR = 2
    TRY_LATER = 3
    UNAUTHORIZED = 6


@dataclass(frozen=True, slots=True)
class CertID:
    """Which certificate is asked for: its issuer under a hash (an object identifier's octets), and its serial number.

    `der` is the whole as it came: what the answer is about is said in the same octets.
    """

    der: bytes
    hash_oid: bytes
    name_hash: bytes
    key_hash: bytes
    serial_number: int


@dataclass(frozen=True, slots=True)
class OCSPRequest:
    """What is asked, and the nonce that is to come back, if there is one."""

    certificates: tuple[CertID, ...]
    nonce: bytes | None


@dataclass(frozen=True, slots=True)
class SingleStatus:
    """The status of one certificate: `revoked_at` and `reason` (RFC 5280, 5.3.1, by number; 0 is left out) if revoked.

    Neither known nor revoked is `unknown`.
    """

    certificate: CertID
    is_known: bool
    revoked_at: datetime | None = None
    reason: int = 0


def read_request(data: bytes) -> OCSPRequest:
    """The request in DER (RFC 6960, 4.1.1); its signature, if it has one, is not looked at. Raises Malformed."""
    try:
        start, stop = der.whole(der.SEQUENCE, data)
        first, last = der.expect(der.SEQUENCE, data, start, stop)
        if last < stop and [tag for _, tag, _, _ in der.children(data, last, stop)] != [_EXPLICIT]:
            raise Malformed("expected a signature after the request, got another element")
        return _read_request(data, first, last)
    except der.DERError as error:
        raise Malformed(str(error)) from None


def _read_request(data: bytes, at: int, stop: int) -> OCSPRequest:
    tag, start, end = der.element(data, at, stop)
    if tag == _EXPLICIT:
        if data[start:end] != _VERSION_1:
            raise Malformed("expected version 1, got another")
        at = end
        tag, start, end = der.element(data, at, stop)
    if tag == _EXPLICIT + 1:  # who asks
        at = end
    start, end = der.expect(der.SEQUENCE, data, at, stop)
    certificates = tuple(_requests(data, start, end))
    if not 0 < len(certificates) <= MOST_REQUESTS:
        raise Malformed(f"expected 1 to {MOST_REQUESTS} requests, got {len(certificates)}")
    return OCSPRequest(certificates, _nonce(_trailing_extensions(data, end, stop, _EXPLICIT + 2)))


def _requests(data: bytes, at: int, stop: int) -> Iterator[CertID]:
    count = 0
    while at < stop and count <= MOST_REQUESTS:
        start, end = der.expect(der.SEQUENCE, data, at, stop)
        first, last = der.expect(der.SEQUENCE, data, start, end)
        if any(critical for _, critical, _ in _trailing_extensions(data, last, end, _EXPLICIT)):
            raise Malformed("expected no critical extension of a request, got one")
        yield _cert_id(data, start, first, last)
        at, count = end, count + 1


def _cert_id(data: bytes, at: int, start: int, stop: int) -> CertID:
    first, last = der.expect(der.SEQUENCE, data, start, stop)
    oid, parameters = der.expect(der.OBJECT_IDENTIFIER, data, first, last)
    if data[parameters:last] not in (b"", b"\x05\x00"):
        raise Malformed("expected a hash without parameters, got some")
    name, after_name = der.expect(der.OCTET_STRING, data, last, stop)
    key, after_key = der.expect(der.OCTET_STRING, data, after_name, stop)
    number, end = der.expect(der.INTEGER, data, after_key, stop)
    if end != stop:
        raise Malformed("expected a CertID of four elements, got more")
    return CertID(
        data[at:stop], data[oid:parameters], data[name:after_name], data[key:after_key], der.integer(data, number, end)
    )


# Extensions ::= SEQUENCE OF SEQUENCE { extnID, critical BOOLEAN DEFAULT FALSE, extnValue OCTET STRING }, in a tag.
def _trailing_extensions(data: bytes, at: int, stop: int, tag: int) -> list[tuple[bytes, bool, bytes]]:
    if at == stop:
        return []
    start, end = der.expect(tag, data, at, stop)
    first, last = der.expect(der.SEQUENCE, data, start, end)
    if end != stop or last != end:
        raise Malformed("expected extensions as the last element, got more")
    return [_extension(data, inner, outer) for _, _, inner, outer in der.children(data, first, last)]


def _extension(data: bytes, start: int, stop: int) -> tuple[bytes, bool, bytes]:
    oid, at = der.expect(der.OBJECT_IDENTIFIER, data, start, stop)
    name, critical = data[oid:at], False
    tag, first, last = der.element(data, at, stop)
    if tag == der.BOOLEAN:
        critical, at = data[first:last] != b"\x00", last
    value, end = der.expect(der.OCTET_STRING, data, at, stop)
    if end != stop:
        raise Malformed("expected an extension of three elements at most, got more")
    return name, critical, data[value:end]


# RFC 9654, 2.1: 1 to 128 octets, or the request is refused.
def _nonce(extensions: Sequence[tuple[bytes, bool, bytes]]) -> bytes | None:
    if any(critical and name != _NONCE for name, critical, _ in extensions):
        raise Malformed("expected no critical extension but the nonce, got one")
    values = [value for name, _, value in extensions if name == _NONCE]
    if not values:
        return None
    start, stop = der.whole(der.OCTET_STRING, values[0])
    if len(values) > 1 or not 0 < stop - start <= LONGEST_NONCE:
        raise Malformed(f"expected one nonce of 1 to {LONGEST_NONCE} octets, got another")
    nonce = values[0][start:stop]
    return nonce if len(nonce) <= LONGEST_ECHOED else None


def response_data(
    statuses: Sequence[SingleStatus], *, responder_key_hash: bytes, this_update: datetime, next_update: datetime,
    nonce: bytes | None,
) -> bytes:  # fmt: skip
    """The ResponseData to be signed (RFC 6960, 4.2.1). Made at `this_update`; both moments are UTC-aware."""
    times = der.encoded(der.GENERALIZED_TIME, _time(this_update)), der.encoded(der.GENERALIZED_TIME, _time(next_update))
    parts = [
        der.encoded(_EXPLICIT + 2, der.encoded(der.OCTET_STRING, responder_key_hash)),  # byKey
        times[0],
        der.sequence(*(_single(each, *times) for each in statuses)),
    ]
    if nonce is not None:
        value = der.encoded(der.OCTET_STRING, der.encoded(der.OCTET_STRING, nonce))
        extension = der.sequence(der.encoded(der.OBJECT_IDENTIFIER, _NONCE), value)
        parts.append(der.encoded(_EXPLICIT + 1, der.sequence(extension)))
    return der.sequence(*parts)


def successful(signed: bytes, certificates: Sequence[bytes]) -> bytes:
    """The response around what was signed (ResponseData, algorithm, signature), with certificates in DER beside it."""
    if certificates:
        start, stop = der.whole(der.SEQUENCE, signed)
        signed = der.sequence(signed[start:stop], der.encoded(_EXPLICIT, der.sequence(*certificates)))
    content = der.sequence(_BASIC, der.encoded(der.OCTET_STRING, signed))
    return der.sequence(_status(ResponseStatus.SUCCESSFUL), der.encoded(_EXPLICIT, content))


def unsuccessful(status: ResponseStatus) -> bytes:
    """A response that says nothing but why there is none; nobody signs it."""
    return der.sequence(_status(status))


def _status(status: ResponseStatus) -> bytes:
    return der.encoded(_ENUMERATED, bytes((status,)))


def _single(status: SingleStatus, this_update: bytes, next_update: bytes) -> bytes:
    return der.sequence(status.certificate.der, _cert_status(status), this_update, der.encoded(_EXPLICIT, next_update))


def _cert_status(status: SingleStatus) -> bytes:
    if status.revoked_at is None:
        return _GOOD if status.is_known else _UNKNOWN
    reason = der.encoded(_EXPLICIT, der.encoded(_ENUMERATED, bytes((status.reason,)))) if status.reason else b""
    return der.encoded(_REVOKED_TAG, der.encoded(der.GENERALIZED_TIME, _time(status.revoked_at)), reason)


def _time(moment: datetime) -> bytes:
    return stamp(moment).encode() + b"Z"
