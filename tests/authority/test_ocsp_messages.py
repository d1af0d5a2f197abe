"""OCSP messages: requests whole, cut, with a tail and changed; responses that other readers read."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp
from hypothesis import given, settings
from hypothesis import strategies as st

from mtlskit.authority.publishing.messages import (
    Malformed,
    ResponseStatus,
    SingleStatus,
    read_request,
    response_data,
    successful,
    unsuccessful,
)
from mtlskit.core.validation import der
from mtlskit.testing.certificates import Authority

ROOT = Authority.root("Acme")
LEAF = ROOT.leaf("device").certificate
NOW = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)
NONCE_OID = bytes.fromhex("06092b0601050507300102")
OTHER = b"\x06\x03\x55\x1d\x63"


def request_for(
    serial: int | None = None, *, hash_algorithm: Any = None, extensions: list[tuple[Any, bool]] | None = None
) -> bytes:
    """A request as `cryptography` makes it."""
    algorithm = hash_algorithm or hashes.SHA1()
    builder = ocsp.OCSPRequestBuilder()
    if serial is None:
        builder = builder.add_certificate(LEAF, ROOT.certificate, algorithm)
    else:
        digest = bytes(algorithm.digest_size)
        builder = builder.add_certificate_by_hash(digest, digest, serial, algorithm)
    for value, critical in extensions or ():
        builder = builder.add_extension(value, critical)
    return builder.build().public_bytes(Encoding.DER)


def element(tag: int, *parts: bytes) -> bytes:
    return bytes((tag,)) + der.sequence(*parts)[1:]


CERT_ID = der.sequence(
    der.sequence(bytes.fromhex("06052b0e03021a"), b"\x05\x00"),
    element(4, bytes(20)),
    element(4, bytes(20)),
    b"\x02\x01\x05",
)


def built(
    *,
    ids: list[bytes] | None = None,
    before: bytes = b"",
    after: bytes = b"",
    outside: bytes = b"",
    single: bytes = b"",
) -> bytes:
    """A request put together by hand."""
    requests = [der.sequence(each, single) for each in ([CERT_ID] if ids is None else ids)]
    return der.sequence(der.sequence(before, der.sequence(*requests), after), outside)


def extensions(*pairs: tuple[bytes, bytes], tag: int = 0xA2, critical: bytes = b"") -> bytes:
    return element(tag, der.sequence(*(der.sequence(oid, critical, element(4, value)) for oid, value in pairs)))


def nonce(octets: int) -> bytes:
    return element(4, b"n" * octets)


@pytest.mark.parametrize("algorithm", [hashes.SHA1(), hashes.SHA256()])
def test_what_cryptography_asks_is_read(algorithm: Any) -> None:
    (found,) = read_request(request_for(hash_algorithm=algorithm)).certificates
    theirs = ocsp.load_der_ocsp_request(request_for(hash_algorithm=algorithm))
    assert (found.name_hash, found.key_hash) == (theirs.issuer_name_hash, theirs.issuer_key_hash)
    assert found.serial_number == LEAF.serial_number
    assert found.der in request_for(hash_algorithm=algorithm)


def test_several_certificates_are_asked_for_in_their_order() -> None:
    ids = [CERT_ID[:-1] + bytes((number,)) for number in range(16)]
    assert [each.serial_number for each in read_request(built(ids=ids)).certificates] == list(range(16))


@pytest.mark.parametrize("octets", [1, 16, 32])
def test_a_nonce_is_read(octets: int) -> None:
    request = request_for(extensions=[(x509.OCSPNonce(b"n" * octets), False)])
    assert read_request(request).nonce == b"n" * octets
    assert (
        read_request(built(after=extensions((NONCE_OID, nonce(octets)), critical=b"\x01\x01\xff"))).nonce
        == b"n" * octets
    )


@pytest.mark.parametrize("octets", [33, 128])
def test_a_long_nonce_is_ignored(octets: int) -> None:
    assert read_request(built(after=extensions((NONCE_OID, nonce(octets))))).nonce is None


def test_what_needs_no_answer_is_read_over() -> None:
    name = element(0xA1, element(0xA4, der.sequence()))
    version, signature = element(0xA0, b"\x02\x01\x00"), element(0xA0, der.sequence(b"\x05\x00"))
    other = (bytes.fromhex("06092b0601050507300104"), der.sequence())  # acceptable responses
    full = built(
        before=version + name, after=extensions(other, (NONCE_OID, nonce(20))), outside=signature,
        single=extensions((bytes.fromhex("06092b0601050507300107"), der.sequence()), tag=0xA0),
    )  # fmt: skip
    assert read_request(full).certificates == read_request(built()).certificates
    assert read_request(full).nonce == b"n" * 20


WRONG = {
    "nothing": b"",
    "no request": built(ids=[]),
    "seventeen requests": built(ids=[CERT_ID] * 17),
    "another version": built(before=element(0xA0, b"\x02\x01\x01")),
    "no nonce's octets": built(after=extensions((NONCE_OID, nonce(0)))),
    "a nonce of 129 octets": built(after=extensions((NONCE_OID, nonce(129)))),
    "a nonce that is no string": built(after=extensions((NONCE_OID, b"n" * 16))),
    "two nonces": built(after=extensions((NONCE_OID, nonce(16)), (NONCE_OID, nonce(16)))),
    "a critical extension": built(after=extensions((OTHER, b""), critical=b"\x01\x01\xff")),
    "a critical extension of one": built(single=extensions((OTHER, b""), tag=0xA0, critical=b"\x01\x01\xff")),
    "an element after the extensions": built(after=extensions((NONCE_OID, nonce(16))) + b"\x05\x00"),
    "an element for a signature": built(outside=b"\x05\x00"),
    "two signatures": built(outside=element(0xA0, b"\x05\x00") * 2),
    "a hash with parameters": built(ids=[CERT_ID.replace(b"\x05\x00", b"\x01\x00")]),
    "a CertID of five elements": built(ids=[der.sequence(CERT_ID[2:], b"\x05\x00")]),
    "an indefinite length": b"\x30\x80" + built()[2:] + b"\x00\x00",
    "a certificate": LEAF.public_bytes(Encoding.DER),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_what_is_no_request_is_refused(name: str) -> None:
    with pytest.raises(Malformed):
        read_request(WRONG[name])


WHOLE = built(before=element(0xA0, b"\x02\x01\x00"), after=extensions((NONCE_OID, nonce(16))), ids=[CERT_ID, CERT_ID])


def test_a_cut_request_and_one_with_a_tail_are_refused() -> None:
    assert len(read_request(WHOLE).certificates) == 2
    for end in range(len(WHOLE)):
        with pytest.raises(Malformed):
            read_request(WHOLE[:end])
    for tail in (b"\0", b"\x30\x00", WHOLE):
        with pytest.raises(Malformed):
            read_request(WHOLE + tail)


@settings(deadline=None)
@given(st.binary(max_size=200) | st.lists(st.tuples(st.integers(0, 500), st.integers(0, 255)), max_size=3))
def test_other_octets_are_read_or_refused(given_one: bytes | list[tuple[int, int]]) -> None:
    data = given_one
    if not isinstance(data, bytes):
        changed = bytearray(WHOLE)
        for at, value in data:
            changed[at % len(changed)] = value
        data = bytes(changed)
    with suppress(Malformed):
        read_request(data)


def test_a_response_is_what_cryptography_reads() -> None:
    known = read_request(request_for()).certificates[0]
    revoked = SingleStatus(known, True, NOW - timedelta(days=1), 6)
    for status, wanted in (
        (SingleStatus(known, True), "GOOD"),
        (SingleStatus(known, False), "UNKNOWN"),
        (revoked, "REVOKED"),
    ):
        data = response_data(
            [status], responder_key_hash=bytes(20), this_update=NOW, next_update=NOW + timedelta(hours=1),
            nonce=b"n" * 16,
        )  # fmt: skip
        signed = der.sequence(data, der.sequence(bytes.fromhex("06082a8648ce3d040302")), element(3, b"\0" * 9))
        response = ocsp.load_der_ocsp_response(successful(signed, [LEAF.public_bytes(Encoding.DER)]))
        (single,) = response.responses
        assert response.response_status is ocsp.OCSPResponseStatus.SUCCESSFUL
        assert single.certificate_status.name == wanted
        assert (single.this_update_utc, single.next_update_utc) == (NOW, NOW + timedelta(hours=1))
        assert response.produced_at_utc == NOW
        assert response.tbs_response_bytes == data
        assert response.certificates == [LEAF]
        assert response.extensions.get_extension_for_class(x509.OCSPNonce).value.nonce == b"n" * 16
        assert single.serial_number == LEAF.serial_number
        if wanted == "REVOKED":
            assert single.revocation_time_utc == NOW - timedelta(days=1)
            assert single.revocation_reason is x509.ReasonFlags.certificate_hold


@pytest.mark.parametrize("status", [each for each in ResponseStatus if each])
def test_an_unsuccessful_response_is_what_cryptography_makes(status: ResponseStatus) -> None:
    theirs = ocsp.OCSPResponseBuilder.build_unsuccessful(ocsp.OCSPResponseStatus[status.name])
    assert unsuccessful(status) == theirs.public_bytes(Encoding.DER)
