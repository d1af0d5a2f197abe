"""Raw octets, and damaged certificates, lists, responses and PEM, signed anew so that the damage is reached.

Nothing but PathError, CertificateError and ConfigurationError comes out, a `malformed` says where, and no input takes
long. `pytest -m slow tests/fuzz` looks longer.
"""

from __future__ import annotations

import base64
import contextlib
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fuzz.damage import damaged, resigned
from mtlskit.core.certificates import PresentedChain, read_certificate, read_certificates, shown_subject
from mtlskit.core.reasons import Reason
from mtlskit.core.validation import (
    COMPATIBLE,
    RFC5280,
    WEBPKI,
    ExplicitPolicy,
    PolicyInputs,
    RevocationList,
    TrustStore,
    VerifiedPath,
    verify_path,
)
from mtlskit.errors import CertificateError, ConfigurationError, PathError
from mtlskit.testing.certificates import Authority
from support.der import Fields, der_of, encode, extension, integer, oid, seq
from support.validation import NOW

# cryptography warns of serial numbers, lengths and flags while it parses.
pytestmark = pytest.mark.filterwarnings("ignore")

HOUR = timedelta(hours=1)
POLICY = x509.PolicyInformation(x509.ObjectIdentifier("1.2.3.4"), ["http://policies.example"])
POINT = x509.DistributionPoint([x509.UniformResourceIdentifier("http://lists.example")], None, None, None)
RICH = [
    (x509.CertificatePolicies([POLICY]), False),
    (x509.CRLDistributionPoints([POINT]), False),
    (x509.AuthorityInformationAccess([x509.AccessDescription(
        x509.AuthorityInformationAccessOID.OCSP, x509.UniformResourceIdentifier("http://ocsp.example"))]), False),
]  # fmt: skip
LIMITED = [
    (x509.NameConstraints([x509.DNSName("example"), x509.DirectoryName(x509.Name([])), x509.RFC822Name("example"),
                           x509.UniformResourceIdentifier(".example")], [x509.DNSName("bad.example")]), True),
    (x509.PolicyConstraints(3, 3), True), (x509.InhibitAnyPolicy(4), True),
]  # fmt: skip
ROOT = Authority.root("Fuzzed root")
MIDDLE = ROOT.intermediate("Fuzzed intermediate", path_length=1, extensions=[*RICH, *LIMITED])
LEAF = MIDDLE.leaf(
    sans=("dns:a.example", "uri:spiffe://a.example/x", "email:a@example", "ip:10.0.0.1"), extensions=RICH
)
MAPPED = Fields.of(der_of(MIDDLE.certificate)).plus(
    extension("2.5.29.33", seq(seq(oid("1.2.3.4"), oid("1.2.3.5"))), critical=True)
).sign(ROOT.key)  # fmt: skip
MAPPED_BADLY = Fields.of(der_of(MIDDLE.certificate)).plus(extension("2.5.29.33", b"\x30\x05")).sign(ROOT.key)
LEAF_DER, MIDDLE_DER, ROOT_DER = (der_of(each.certificate) for each in (LEAF, MIDDLE, ROOT))
TRUST = TrustStore([ROOT.certificate])
ASKING = PolicyInputs(explicit=ExplicitPolicy.REQUIRED)


def crl() -> bytes:
    builder = x509.CertificateRevocationListBuilder(MIDDLE.certificate.subject, NOW - HOUR, NOW + HOUR)
    scope = x509.IssuingDistributionPoint(POINT.full_name, None, False, False, None, True, False)
    for value, critical in (
        (x509.CRLNumber(3), False), (scope, True),
        (x509.AuthorityKeyIdentifier.from_issuer_public_key(MIDDLE.key.public_key()), False),
    ):  # fmt: skip
        builder = builder.add_extension(value, critical)
    for serial in (1, 2, LEAF.serial_number):
        entry = x509.RevokedCertificateBuilder(serial, NOW - HOUR)
        for value in (
            x509.CRLReason(x509.ReasonFlags.superseded), x509.InvalidityDate(NOW - HOUR),
            x509.CertificateIssuer([x509.DirectoryName(MIDDLE.certificate.subject)]),
        ):  # fmt: skip
            entry = entry.add_extension(value, isinstance(value, x509.CertificateIssuer))
        builder = builder.add_revoked_certificate(entry.build())
    return builder.sign(MIDDLE.key, hashes.SHA256()).public_bytes(Encoding.DER)


def response(beside: x509.Certificate = LEAF.certificate) -> bytes:
    builder = ocsp.OCSPResponseBuilder().add_response(
        LEAF.certificate, MIDDLE.certificate, hashes.SHA256(), ocsp.OCSPCertStatus.GOOD, NOW - HOUR, NOW + HOUR, None, None
    ).responder_id(ocsp.OCSPResponderEncoding.HASH, MIDDLE.certificate).certificates([beside])  # fmt: skip
    builder = builder.add_extension(x509.OCSPNonce(b"0123456789"), False)
    return builder.sign(MIDDLE.key, hashes.SHA256()).public_bytes(Encoding.DER)


CRL, RESPONSE = crl(), response()


@contextmanager
def in_time(seconds: float = 2.0) -> Iterator[None]:
    start = time.perf_counter()
    yield
    assert time.perf_counter() - start < seconds


def judged(ders: tuple[bytes, ...], **options: Any) -> PathError | None:
    """The refusal; only a PathError may come out, and it says where."""
    options = {"purpose": "client_auth", "now": NOW, "trust": TRUST, **options}
    try:
        with in_time():
            path = verify_path(PresentedChain(ders), options.pop("trust"), **options)
    except PathError as error:
        assert_tells(error, len(ders))
        return error
    except ValueError:
        if not POLICIES_ARE_OPEN:
            raise
        return PathError(Reason.MALFORMED)
    assert isinstance(path, VerifiedPath)
    return None


def assert_tells(error: PathError, count: int) -> None:
    """A reason, a detail in one line, and a place."""
    assert isinstance(error.reason, Reason)
    assert error.detail
    assert "\n" not in str(error)
    if error.reason is Reason.LIMIT_EXCEEDED:
        return
    where = error.facts.get("position")
    assert PLACES_ARE_OPEN or error.certificate is not None or (isinstance(where, int) and 0 <= where < count), (
        f"no place: {error}"
    )


def _is_open(ders: tuple[bytes, ...], kind: type[Exception], **options: Any) -> bool:
    try:
        verify_path(PresentedChain(ders), TRUST, purpose="client_auth", now=NOW, **options)
    except PathError as error:
        return kind is PathError and error.certificate is None and "position" not in error.facts
    except ValueError:
        return kind is ValueError
    return False


# What `test_found.py` marks as open is let pass here for as long as it is.
_NO_POLICY = Fields.of(MIDDLE_DER).instead("2.5.29.32", seq(seq())).sign(ROOT.key)
_NO_SERIAL = Fields.of(LEAF_DER).but(serial=integer(-5)).sign(MIDDLE.key)
POLICIES_ARE_OPEN = _is_open((LEAF_DER, _NO_POLICY), ValueError, policies=ASKING)
_NAMELESS = x509.load_der_x509_certificate(Fields.of(LEAF_DER).but(issuer=seq(encode(0x31))).sign(MIDDLE.key))
RESPONSES_ARE_OPEN = _is_open((LEAF_DER, MIDDLE_DER), PathError, revocation="leaf", ocsp=[response(_NAMELESS)])
PLACES_ARE_OPEN = _is_open((_NO_SERIAL, MIDDLE_DER), PathError) or _is_open((LEAF_DER, MAPPED_BADLY), PathError)


def budget(normal: int) -> Callable[[Any], Any]:
    # The same examples every time: new ones are for the long run, not for whoever changes something else.
    return settings(max_examples=normal, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))


PROFILES = st.sampled_from((COMPATIBLE, RFC5280, WEBPKI))


def any_certificates(ders: list[bytes], profile: Any) -> None:
    judged(tuple(ders), profile=profile)


def a_damaged_certificate(data: Any, profile: Any) -> None:
    leaf, middle = LEAF_DER, data.draw(st.sampled_from((MIDDLE_DER, MAPPED)))
    if data.draw(st.booleans()):
        leaf = resigned(data.draw(damaged(leaf)), MIDDLE.key)
    else:
        middle = resigned(data.draw(damaged(middle)), ROOT.key)
    judged((leaf, middle), profile=profile, policies=ASKING if data.draw(st.booleans()) else PolicyInputs())


def a_damaged_anchor(data: Any) -> None:
    try:
        anchor = x509.load_der_x509_certificate(resigned(data.draw(damaged(ROOT_DER)), ROOT.key))
    except Exception:
        return
    try:
        with in_time():
            trust = TrustStore([anchor], intermediates=[MIDDLE.certificate])
    except ConfigurationError:
        return
    with contextlib.suppress(PathError):  # an anchor was not presented: there may be no position to tell
        verify_path(PresentedChain.from_der(LEAF_DER), trust, purpose="client_auth", now=NOW)


def a_damaged_list(data: Any, profile: Any) -> None:
    octets = resigned(data.draw(damaged(CRL)), MIDDLE.key)
    try:
        with in_time():
            listed = RevocationList(octets)
    except CertificateError as error:
        assert str(len(octets)) in str(error)
        return
    assert listed.size >= 0
    trust = TrustStore([ROOT.certificate], lists=[listed])
    error = judged((LEAF_DER, MIDDLE_DER), trust=trust, profile=profile, revocation="leaf")
    assert error is None or error.reason in (Reason.REVOKED, Reason.REVOCATION_UNKNOWN, Reason.PROFILE_VIOLATION)


def a_damaged_response(data: Any) -> None:
    octets = data.draw(damaged(RESPONSE))
    error = judged((LEAF_DER, MIDDLE_DER), revocation="leaf", ocsp=[octets])
    if octets != RESPONSE and error is not None and not (RESPONSES_ARE_OPEN and error.reason is Reason.MALFORMED):
        assert error.reason in (Reason.REVOCATION_UNKNOWN, Reason.REVOKED)


LABELS = st.sampled_from(
    ("CERTIFICATE", "PRIVATE KEY", "RSA PRIVATE KEY", "X509 CRL", "TRUSTED CERTIFICATE", "", "CERTIFICATE\0")
)
BODIES = st.sampled_from((LEAF_DER, MIDDLE_DER, CRL, b"", b"\x30\x00")) | st.binary(max_size=60)


@st.composite
def pems(draw: Any) -> bytes:
    """Blocks of PEM with right and wrong labels, ends, bodies and rubbish between."""
    found = b""
    for _ in range(draw(st.integers(0, 3))):
        label = draw(LABELS)
        body = base64.encodebytes(draw(BODIES)) if draw(st.booleans()) else draw(st.binary(max_size=40))
        end = draw(st.sampled_from((label, "CERTIFICATE", "PRIVATE KEY", None)))
        found += draw(st.binary(max_size=8)) + f"-----BEGIN {label}-----\n".encode() + body
        found += b"" if end is None else f"-----END {end}-----\n".encode()
    return found


def any_pem(data: bytes) -> None:
    for read in (read_certificates, read_certificate, PresentedChain.from_pem):
        try:
            with in_time():
                read(data)
        except CertificateError as error:
            assert len(str(error)) < 300


@budget(120)
@given(st.lists(st.binary(max_size=300), min_size=1, max_size=4), PROFILES)
def test_any_octets_as_certificates(ders: list[bytes], profile: Any) -> None:
    any_certificates(ders, profile)


@budget(250)
@given(st.data(), PROFILES)
def test_damaged_certificates_that_are_signed(data: Any, profile: Any) -> None:
    a_damaged_certificate(data, profile)


@budget(100)
@given(st.data())
def test_damaged_anchors(data: Any) -> None:
    a_damaged_anchor(data)


@budget(200)
@given(st.data(), PROFILES)
def test_damaged_lists_that_are_signed(data: Any, profile: Any) -> None:
    a_damaged_list(data, profile)


@budget(150)
@given(st.data())
def test_damaged_responses(data: Any) -> None:
    a_damaged_response(data)


@budget(150)
@given(pems())
def test_any_pem(data: bytes) -> None:
    any_pem(data)


@budget(150)
@given(st.binary(max_size=200))
def test_any_octets_as_list_response_and_subject(data: bytes) -> None:
    with pytest.raises(CertificateError):
        RevocationList(data)
    error = judged((LEAF_DER, MIDDLE_DER), revocation="leaf", ocsp=[data])
    assert error is not None
    assert error.reason is Reason.REVOCATION_UNKNOWN
    assert shown_subject(data).isprintable()


@pytest.mark.parametrize("password", [None, b"secret"])
def test_a_private_key_in_pem_is_refused_and_never_shown(password: bytes | None) -> None:
    pem = LEAF.to_pem(password=password)
    for text in (pem, pem.decode(), b"rubbish" + pem):
        for read in (read_certificates, read_certificate, PresentedChain.from_pem):
            with pytest.raises(CertificateError, match="private key") as caught:
                read(text)
            assert not any(line in repr(caught.value) for line in pem.decode().splitlines() if line)


def test_a_list_over_the_size_limit_says_its_size_and_the_limit() -> None:
    size = 64 * 1024 * 1024 + 1
    with in_time(), pytest.raises(CertificateError, match=rf"at most {size - 1} octets, got {size}"):
        RevocationList(bytes(size))


@pytest.mark.slow
@pytest.mark.parametrize("what", [a_damaged_certificate, a_damaged_list])
def test_longer_with_profiles(what: Any) -> None:
    settings(budget(6_000), derandomize=False)(given(st.data(), PROFILES)(what))()


@pytest.mark.slow
@pytest.mark.parametrize("what", [a_damaged_anchor, a_damaged_response])
def test_longer(what: Any) -> None:
    settings(budget(4_000), derandomize=False)(given(st.data())(what))()
