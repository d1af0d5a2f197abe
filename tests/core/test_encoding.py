"""What is to be signed is written by hand: octet for octet what the builder of `cryptography` leads to."""

from __future__ import annotations

import ipaddress
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from hypothesis import example, given
from hypothesis import strategies as st

from mtlskit.core.names import SanType
from mtlskit.core.profiles import (
    CLIENT,
    OCSP_RESPONDER,
    ROOT,
    SERVER,
    CertificateTemplate,
    ExtendedKeyUsage,
    Issuer,
    Locations,
    Names,
    Profile,
    PublicKey,
    Validity,
    certificate_builder,
    spiffe,
    validity,
)
from mtlskit.core.profiles.encoding import _subject, common_name_in, object_identifier
from mtlskit.core.validation import der
from mtlskit.core.validation.der import DERError
from mtlskit.errors import IssuanceError

NOW = datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC)
SIGNER = ec.generate_private_key(ec.SECP256R1())
KEYS: tuple[PublicKey, ...] = tuple(
    key.public_key()
    for key in (
        *(ec.generate_private_key(ec.SECP256R1()) for _ in range(4)),
        ec.generate_private_key(ec.SECP384R1()),
        ec.generate_private_key(ec.SECP521R1()),
        ed25519.Ed25519PrivateKey.generate(),
        ed448.Ed448PrivateKey.generate(),
        rsa.generate_private_key(65537, 2048),
        rsa.generate_private_key(3, 3072),
    )
)
PROFILES = (
    CLIENT,
    SERVER,
    spiffe("acme.example"),
    OCSP_RESPONDER,
    replace(CLIENT, name="no purpose", extended_key_usages=()),
    replace(CLIENT, name="several", extended_key_usages=tuple(ExtendedKeyUsage), key_usages=frozenset()),
)
URLS = st.sampled_from(["http://a.example/a.crl", "https://b.example:8443/?x=1", "http://[::1]/" + "a" * 200])


def signed(builder: x509.CertificateBuilder) -> x509.Certificate:
    return builder.sign(SIGNER, hashes.SHA256())


def issuer_named(name: x509.Name) -> Issuer:
    life = validity(ROOT, now=NOW, lifetime=None, issuer=None)
    root = certificate_builder(
        ROOT, names=Names.of("Root G1"), public_key=SIGNER.public_key(), issuer=None, serial_number=1, validity=life
    )
    return replace(Issuer.of(signed(root)), name=name)


ISSUER = issuer_named(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Root G1")]))
ISSUERS = (
    ISSUER,
    issuer_named(
        x509.Name(
            [
                x509.RelativeDistinguishedName(
                    [
                        x509.NameAttribute(x509.NameOID.COUNTRY_NAME, "DE"),
                        x509.NameAttribute(x509.NameOID.ORGANIZATION_NAME, "\u00c4rger & S\u00f6hne"),
                    ]
                ),
                x509.RelativeDistinguishedName([x509.NameAttribute(x509.NameOID.DOMAIN_COMPONENT, "example")]),
            ]
        )
    ),
)
# What cryptography writes after its TBSCertificate: the algorithm that the two share.
ALGORITHM = bytes.fromhex("300a06082a8648ce3d040302")

labels = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?", fullmatch=True)
hosts = st.builds(lambda first, second: f"{first}.{second}.example", labels, labels)
common_names = st.none() | st.text(
    st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1, max_size=64
).filter(lambda text: len(text.encode()) <= 64 and text.isprintable())


@st.composite
def names(draw: st.DrawFn) -> Names:
    try:
        return Names.of(
            draw(common_names),
            dns=draw(st.lists(hosts | hosts.map(lambda name: f"*.{name}"), max_size=4)),
            uris=draw(st.lists(st.from_regex(r"(urn|spiffe|HTTPS):[!-~]{1,90}", fullmatch=True), max_size=3)),
            emails=draw(st.lists(hosts.map(lambda host: f"a+b@{host}"), max_size=2)),
            ips=draw(st.lists(st.ip_addresses().map(str), max_size=3)),
        )
    except IssuanceError:
        return Names.of("refused")


moments = st.datetimes(datetime(1950, 1, 1), datetime(9999, 12, 31), timezones=st.just(UTC)).map(
    lambda moment: moment.replace(microsecond=0)
)


@example(CLIENT, ISSUER, Names.of("a"), KEYS[0], 1, NOW, NOW, Locations())
@example(SERVER, ISSUER, Names.of(dns=["a.example"]), KEYS[0], (1 << 159) - 1, NOW, NOW, Locations())
@example(CLIENT, ISSUER, Names.of("a" * 64), KEYS[-1], 0x80, NOW, datetime(2050, 1, 1, tzinfo=UTC), Locations())
@example(
    CLIENT, ISSUER, Names.of(uris=[f"urn:{'a' * 90}:{n}" for n in range(100)]), KEYS[0], 0xFF, NOW, NOW, Locations()
)
@given(
    st.sampled_from(PROFILES), st.sampled_from(ISSUERS), names(), st.sampled_from(KEYS),
    st.integers(1, (1 << 159) - 1), moments, moments,
    st.builds(Locations, crl=st.lists(URLS, max_size=3), ocsp=st.lists(URLS, max_size=2), issuers=st.lists(URLS, max_size=2)),
)  # fmt: skip
def test_the_template_writes_what_the_builder_writes(
    profile: Profile,
    issuer: Issuer,
    wanted: Names,
    key: PublicKey,
    serial: int,
    not_before: datetime,
    not_after: datetime,
    locations: Locations,
) -> None:
    life = Validity(not_before=not_before, not_after=max(not_before, not_after))
    builder = certificate_builder(
        profile, names=wanted, public_key=key, issuer=issuer, serial_number=serial, validity=life, locations=locations
    )
    template = CertificateTemplate(profile, issuer, algorithm=ALGORITHM, locations=locations)
    spki = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    written = template.to_be_signed(names=wanted, spki=spki, serial_number=serial, validity=life)
    assert written == signed(builder).tbs_certificate_bytes


def test_a_key_that_is_none_is_not_written() -> None:
    template = CertificateTemplate(CLIENT, ISSUER, algorithm=ALGORITHM)
    life = validity(CLIENT, now=NOW, lifetime=timedelta(days=1), issuer=None)
    with pytest.raises(DERError):
        template.to_be_signed(names=Names.of("a"), spki=b"\x30\x00", serial_number=1, validity=life)


def test_lists_may_depend_on_the_serial_number() -> None:
    places = Locations(crl=("http://crl.example/{partition}.crl",), partitions=4)
    template = CertificateTemplate(CLIENT, ISSUER, algorithm=ALGORITHM, locations=places)
    life = validity(CLIENT, now=NOW, lifetime=timedelta(days=1), issuer=None)
    spki = KEYS[0].public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    for serial in (6, 7):
        written = template.to_be_signed(names=Names.of("a"), spki=spki, serial_number=serial, validity=life)
        builder = certificate_builder(
            CLIENT, names=Names.of("a"), public_key=KEYS[0], issuer=ISSUER, serial_number=serial, validity=life,
            locations=places,
        )  # fmt: skip
        assert f"http://crl.example/{serial % 4}.crl".encode() in written
        assert written == signed(builder).tbs_certificate_bytes


@given(st.integers(0, 100_000))
def test_lengths_are_in_their_shortest_form(length: int) -> None:
    written = der.encoded(der.OCTET_STRING, bytes(length // 2), bytes(length - length // 2))
    start, stop = der.whole(der.OCTET_STRING, written)
    assert stop - start == length


@pytest.mark.parametrize(
    ("dotted", "octets"),
    [("2.5.4.3", "0603550403"), ("1.3.6.1.5.5.7.3.2", "06082b06010505070302"), ("2.999.1", "0603883701")],
)
def test_object_identifiers(dotted: str, octets: str) -> None:
    assert object_identifier(x509.ObjectIdentifier(dotted)) == bytes.fromhex(octets)


@given(common_names)
def test_the_usual_subject_is_read_as_it_is_written(text: str | None) -> None:
    subject = Names.of(text).subject.public_bytes() if text else x509.Name([]).public_bytes()
    assert common_name_in(subject) == (text or None)


@pytest.mark.parametrize(
    "subject",
    [
        x509.Name([x509.NameAttribute(x509.NameOID.ORGANIZATION_NAME, "device")]),
        x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name) for name in ("one", "two")]),
        x509.Name(
            [x509.NameAttribute(x509.NameOID.COMMON_NAME, "a" * 60), x509.NameAttribute(x509.NameOID.TITLE, "b")]
        ),
    ],
)
def test_another_subject_is_not_the_usual_one(subject: x509.Name) -> None:
    assert common_name_in(subject.public_bytes()) is None


@given(st.binary(max_size=200))
def test_other_octets_are_no_usual_subject(octets: bytes) -> None:
    text = common_name_in(octets)
    assert text is None or Names(common_name=text, sans=()).subject.public_bytes() == octets


def test_every_san_type_has_its_form() -> None:
    given_names = Names.of(dns=["a.example"], uris=["urn:a"], emails=["a@b.example"], ips=["10.0.0.1", "::1"])
    assert {san.type for san in given_names.sans} == set(SanType)
    template = CertificateTemplate(CLIENT, ISSUER, algorithm=ALGORITHM)
    life = validity(CLIENT, now=NOW, lifetime=timedelta(days=1), issuer=None)
    spki = KEYS[0].public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    content = template.to_be_signed(names=given_names, spki=spki, serial_number=1, validity=life)
    assert ipaddress.ip_address("::1").packed in content


@pytest.mark.filterwarnings("ignore:Attribute's length")
@pytest.mark.parametrize("length", [1, 64, 65, 115, 116, 117, 118, 119, 127, 128, 200, 300])
def test_a_subject_of_any_length_is_written(length: int) -> None:
    text = "a" * length
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, text, _validate=False)])
    assert _subject(text) == name.public_bytes()
    assert common_name_in(name.public_bytes()) == (text if length <= 116 else None)
