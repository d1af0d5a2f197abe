"""OCSP responses: which count, and what they say."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp
from cryptography.x509.oid import ExtendedKeyUsageOID
from hypothesis import given
from hypothesis import strategies as st

from mtlskit.core.revocation import OCSPEvidence
from mtlskit.core.validation import TrustStore, verify_path
from mtlskit.errors import ConfigurationError
from mtlskit.testing.certificates import Authority
from support.der import content, elements, encode, oid, seq
from support.validation import ACCEPTED, NOW, verdict

HOUR, SECOND = timedelta(hours=1), timedelta(seconds=1)
ROOT = Authority.root("OCSP root")
MIDDLE = ROOT.intermediate("OCSP intermediate")
LEAF = MIDDLE.leaf()
TRUST = TrustStore([ROOT.certificate])
GOOD, REVOKED, UNKNOWN = ocsp.OCSPCertStatus.GOOD, ocsp.OCSPCertStatus.REVOKED, ocsp.OCSPCertStatus.UNKNOWN


def response(
    status: Any = GOOD, *, certificate: Any = LEAF.certificate, issuer: Any = MIDDLE.certificate, key: Any = None,
    responder: Any = None, start: Any = NOW - HOUR, end: Any = NOW + HOUR, algorithm: Any = None, nonce: bytes | None = None,
    certificates: Any = (), critical: object = False,
) -> bytes:  # fmt: skip
    revoked = status is REVOKED
    builder = ocsp.OCSPResponseBuilder().add_response(
        certificate, issuer, algorithm or hashes.SHA256(), status, start, end, NOW - HOUR if revoked else None,
        x509.ReasonFlags.key_compromise if revoked else None,
    )  # fmt: skip
    if responder is None:
        responder = MIDDLE.certificate if key is None else Authority.root("Responder", key=key).certificate
    builder = builder.responder_id(ocsp.OCSPResponderEncoding.HASH, responder)
    if certificates:
        builder = builder.certificates(certificates)
    if nonce is not None:
        builder = builder.add_extension(x509.OCSPNonce(nonce), False)
    if critical:
        odd = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3"), b"\5\0")
        builder = builder.add_extension(odd, True)
    return builder.sign(key or MIDDLE.key, hashes.SHA256()).public_bytes(Encoding.DER)


FINE = response()


def asked(*responses: Any, **options: Any) -> str:
    return verdict(LEAF.presented(), TRUST, **{"revocation": "leaf", "ocsp": responses, **options})


def test_good_revoked_and_unknown() -> None:
    assert asked(response()) == ACCEPTED
    assert asked(response(REVOKED)) == "revoked"
    assert asked(response(UNKNOWN)) == "revocation_unknown"
    assert asked() == "revocation_unknown"
    assert asked(response(), response(REVOKED)) == "revoked"


def test_unsuccessful_is_not_good() -> None:
    failed = ocsp.OCSPResponseBuilder.build_unsuccessful(ocsp.OCSPResponseStatus.TRY_LATER)
    assert asked(failed.public_bytes(Encoding.DER)) == "revocation_unknown"


@pytest.mark.parametrize("algorithm", [hashes.SHA1(), hashes.SHA256(), hashes.SHA384()])
def test_the_certificate_id_may_have_any_hash_that_it_names(algorithm: Any) -> None:
    assert asked(response(algorithm=algorithm)) == ACCEPTED


def test_the_certificate_id_must_match_whole() -> None:
    assert asked(response(certificate=MIDDLE.leaf().certificate)) == "revocation_unknown"
    twin = Authority.root("OCSP intermediate")  # the same name, another key
    assert asked(response(issuer=twin.certificate)) == "revocation_unknown"
    renamed = ROOT.intermediate("Renamed", key=MIDDLE.key)  # the same key, another name
    same_serial = renamed.leaf(serial_number=LEAF.serial_number).certificate
    assert asked(response(certificate=same_serial, issuer=renamed.certificate)) == "revocation_unknown"


@pytest.mark.parametrize(("start", "end", "expected"), [
    (NOW, NOW, ACCEPTED), (NOW - HOUR, NOW - SECOND, "revocation_unknown"),
    (NOW + SECOND, NOW + HOUR, "revocation_unknown"), (NOW - HOUR, None, "revocation_unknown"),
])  # fmt: skip
def test_a_response_must_be_in_its_time(start: Any, end: Any, expected: str) -> None:
    assert asked(response(start=start, end=end)) == expected


def test_a_response_of_a_stranger_does_not_count() -> None:
    assert asked(response(key=ec.generate_private_key(ec.SECP256R1()))) == "revocation_unknown"
    assert asked(response(key=ROOT.key)) == "revocation_unknown"
    damaged = bytearray(response())
    damaged[-1] ^= 1
    assert asked(bytes(damaged)) == "revocation_unknown"


def test_a_delegate_needs_ocsp_signing_directly_from_the_issuer_and_in_date() -> None:
    signing = (ExtendedKeyUsageOID.OCSP_SIGNING,)
    rows: list[tuple[Any, str]] = [
        (MIDDLE.leaf("Responder", usages=signing), ACCEPTED),
        (MIDDLE.leaf("Responder"), "revocation_unknown"),
        (MIDDLE.leaf("Responder", usages=()), "revocation_unknown"),
        (MIDDLE.leaf("Responder", usages=(ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE,)), "revocation_unknown"),
        (ROOT.leaf("Responder", usages=signing), "revocation_unknown"),
        (MIDDLE.leaf("Responder", usages=signing, not_after=NOW - SECOND), "revocation_unknown"),
        (Authority.root("OCSP intermediate").leaf("Responder", usages=signing), "revocation_unknown"),
    ]
    for chain, expected in rows:
        answered = response(key=chain.private_key, responder=chain.certificate, certificates=[chain.certificate])
        assert asked(answered) == expected


def test_a_nonce_that_was_sent_must_come_back() -> None:
    with_nonce = response(nonce=b"0123456789abcdef")
    assert asked(OCSPEvidence(with_nonce, b"0123456789abcdef")) == ACCEPTED
    assert asked(OCSPEvidence(with_nonce, b"another nonce...")) == "revocation_unknown"
    assert asked(OCSPEvidence(response(), b"0123456789abcdef")) == "revocation_unknown"
    assert asked(with_nonce) == ACCEPTED


def test_an_unknown_critical_extension_spoils_the_response() -> None:
    assert asked(response(critical=True)) == "revocation_unknown"


def with_single_extension(critical: bytes) -> bytes:
    """A signed response whose one answer has an extension that nobody knows."""
    _, basic = elements(content(FINE))
    kind, octets = elements(content(content(basic)))
    tbs, algorithm, *_ = elements(content(content(octets)))
    *before, singles = elements(content(tbs))
    extension = seq(oid("1.2.3"), critical, encode(4, b"\5\0"))
    (single,) = elements(content(singles))
    changed = seq(*before, seq(seq(*elements(content(single)), encode(0xA1, seq(extension)))))
    signature = MIDDLE.key.sign(changed, ec.ECDSA(hashes.SHA256()))
    signed = seq(changed, algorithm, encode(3, b"\0", signature))
    return seq(encode(10, b"\0"), encode(0xA0, seq(kind, encode(4, signed))))


def test_an_unknown_critical_extension_of_its_one_answer_spoils_it() -> None:
    assert asked(with_single_extension(b"")) == ACCEPTED
    assert asked(with_single_extension(encode(1, b"\xff"))) == "revocation_unknown"


def test_an_answer_that_cannot_be_read_says_nothing_and_spoils_no_other() -> None:
    """A hash of an unknown kind in the CertID: the foreign parser raises when it is asked for."""
    _, basic = elements(content(FINE))
    kind, octets = elements(content(content(basic)))
    tbs, algorithm, *_ = elements(content(content(octets)))
    *before, singles = elements(content(tbs))
    sha256, odd = oid("2.16.840.1.101.3.4.2.1"), oid("2.16.840.1.101.3.4.2.9")
    unreadable = content(singles).replace(sha256, odd)
    assert unreadable != content(singles)
    for answers, expected in ((unreadable, "revocation_unknown"), (unreadable + content(singles), ACCEPTED)):
        changed = seq(*before, seq(answers))
        signature = MIDDLE.key.sign(changed, ec.ECDSA(hashes.SHA256()))
        signed = seq(changed, algorithm, encode(3, b"\0", signature))
        assert asked(seq(encode(10, b"\0"), encode(0xA0, seq(kind, encode(4, signed))))) == expected


def test_a_response_whose_signature_is_no_bit_string_is_as_if_it_were_not_there() -> None:
    _, basic = elements(content(FINE))
    kind, octets = elements(content(content(basic)))
    tbs, algorithm, *_ = elements(content(content(octets)))
    for signature in (encode(3, b"\1\0"), encode(3), encode(4, b"\0\0"), b""):
        signed = seq(tbs, algorithm, signature)
        assert asked(seq(encode(10, b"\0"), encode(0xA0, seq(kind, encode(4, signed))))) == "revocation_unknown"


def test_a_stale_response_counts_where_that_is_said() -> None:
    past = {"start": NOW - 2 * HOUR, "end": NOW - HOUR}
    assert asked(response(**past), revocation_stale="insecure_allow") == ACCEPTED
    assert asked(response(**past), revocation_unknown="insecure_allow") == "revocation_unknown"
    assert asked(response(REVOKED, **past), revocation_stale="insecure_allow") == "revoked"
    assert asked(response(REVOKED, **past), response(), revocation_stale="insecure_allow") == ACCEPTED
    assert asked(response(UNKNOWN), revocation_stale="insecure_allow") == "revocation_unknown"


def test_the_proof_ends_with_the_response() -> None:
    path = verify_path(
        LEAF.presented(), TRUST, purpose="client_auth", now=NOW, revocation="leaf", ocsp=[response(end=NOW + HOUR)]
    )  # fmt: skip
    assert path.not_after == NOW + HOUR


def test_path_needs_more_than_the_leafs_response() -> None:
    assert asked(response(), revocation="path") == "revocation_unknown"
    of_middle = response(
        certificate=MIDDLE.certificate, issuer=ROOT.certificate, key=ROOT.key, responder=ROOT.certificate
    )  # fmt: skip
    assert asked(response(), of_middle, revocation="path") == ACCEPTED


@pytest.mark.parametrize("wrong", [7, "text", None])
def test_what_is_neither_bytes_nor_evidence_is_the_callers_mistake(wrong: Any) -> None:
    with pytest.raises(ConfigurationError):
        asked(wrong)


@given(st.binary(max_size=100))
def test_any_bytes_are_as_if_they_were_not_there(junk: bytes) -> None:
    assert asked(junk) == "revocation_unknown"


@given(st.data())
def test_a_changed_response_says_nothing_good(data: Any) -> None:
    octets = bytearray(FINE)
    octets[data.draw(st.integers(0, len(octets) - 1))] ^= data.draw(st.integers(1, 255))
    assert asked(bytes(octets)) == "revocation_unknown"
