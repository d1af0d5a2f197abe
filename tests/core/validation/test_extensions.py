"""The short way to a certificate's extensions says what `cryptography` says, or nothing."""

from __future__ import annotations

from typing import Any

import pytest
from cryptography import x509
from hypothesis import given, settings
from hypothesis import strategies as st

from mtlskit.core.validation import extensions
from mtlskit.core.validation.certificate import ParsedCertificate
from mtlskit.core.validation.frame import read_frame
from mtlskit.testing.certificates import Authority
from support.der import der_of
from support.validation import INTERMEDIATE, LEAF, LEAF_FIELDS, ROOT, load

CERTIFICATES = [
    *(each.certificate for each in (LEAF, INTERMEDIATE, ROOT)),
    ROOT.leaf(sans=("ip:192.0.2.1", "ip:2001:db8::1", "email:a@b.example", "dns:*.a.example")).certificate,
    ROOT.leaf(sans=tuple(f"dns:host-{number}.example" for number in range(40))).certificate,
    ROOT.leaf(
        extensions=[(x509.SubjectAlternativeName([x509.DirectoryName(ROOT.certificate.subject)]), False)]
    ).certificate,
    ROOT.intermediate(extensions=[(x509.NameConstraints([x509.DNSName("a.example")], None), True)]).certificate,
]

# cryptography warns of what it takes with reluctance; that is not what is tested.
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(autouse=True)
def _forgetful() -> None:
    extensions._remembered.clear()


def meaning(parsed: ParsedCertificate) -> dict[Any, tuple[Any, bool]]:
    return {oid: (parsed.value(oid), parsed.is_critical(oid)) for oid in parsed.extensions}


def said_by_cryptography(data: bytes) -> dict[Any, tuple[Any, bool]]:
    return {each.oid: (each.value, each.critical) for each in load(data).extensions}


@pytest.mark.parametrize("certificate", CERTIFICATES)
def test_both_ways_say_the_same(certificate: x509.Certificate) -> None:
    data = der_of(certificate)
    slow, quick = ParsedCertificate(data), ParsedCertificate(data)
    assert meaning(slow) == meaning(quick) == said_by_cryptography(data)
    for name in (
        "is_ca",
        "path_length",
        "subject_key_identifier",
        "authority_key_identifier",
        "critical",
        "has_constraints",
    ):
        assert getattr(slow, name) == getattr(quick, name)
    assert slow.fault is quick.fault is None


def test_the_usual_certificate_goes_the_short_way_from_the_second_on() -> None:
    first, second = (ROOT.leaf(sans=(f"dns:{name}.example",)).certificate for name in "ab")
    ParsedCertificate(der_of(first))
    assert extensions.read_usual(read_frame(der_of(second)).extensions or b"") is not None


@settings(max_examples=1000)
@given(st.data())
def test_changed_octets_are_refused_or_mean_what_cryptography_says(data: Any) -> None:
    for certificate in CERTIFICATES:
        ParsedCertificate(der_of(certificate))
    source = data.draw(st.sampled_from(CERTIFICATES[:4]))
    octets = bytearray(der_of(source))
    start = bytes(octets).index(read_frame(bytes(octets)).extensions or b"")
    for _ in range(data.draw(st.integers(1, 2))):
        octets[data.draw(st.integers(start, len(octets) - 80))] = data.draw(st.integers(0, 255))
    try:
        parsed = ParsedCertificate(bytes(octets))
    except ValueError:
        return
    if parsed.fault is None:
        assert meaning(parsed) == said_by_cryptography(bytes(octets))


def test_what_is_twice_there_goes_the_long_way() -> None:
    first = LEAF_FIELDS.sign(INTERMEDIATE.key)
    ParsedCertificate(first)
    raw = read_frame(first).extensions or b""
    inner = raw[2:] if raw[1] < 0x80 else raw[3:] if raw[1] == 0x81 else raw[4:]
    twice = inner + inner
    assert extensions.read_usual(b"\x30\x82" + len(twice).to_bytes(2, "big") + twice) is None


def test_what_is_remembered_is_bounded() -> None:
    for number in range(extensions.REMEMBERED + 10):
        odd = x509.UnrecognizedExtension(x509.ObjectIdentifier(f"1.2.3.{number}"), b"\5\0")
        ParsedCertificate(der_of(Authority.root(extensions=[(odd, False)]).certificate))
        assert len(extensions._remembered) <= extensions.REMEMBERED
    long = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.4"), bytes(1000))
    ParsedCertificate(der_of(Authority.root(extensions=[(long, False)]).certificate))
    assert max(map(len, extensions._remembered)) < 600


def test_what_is_at_fault_is_not_remembered() -> None:
    usage = x509.UnrecognizedExtension(x509.oid.ExtensionOID.KEY_USAGE, b"\x03\x02\x07\x00")
    parsed = ParsedCertificate(der_of(ROOT.leaf(without=[x509.KeyUsage], extensions=[(usage, True)]).certificate))
    assert parsed.fault is not None
    assert not extensions._remembered
