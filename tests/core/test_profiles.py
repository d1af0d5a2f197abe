"""The profiles are values; the step from a request to a builder is pure."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, replace
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st

from mtlskit.core import profiles
from mtlskit.core.certificates import common_name
from mtlskit.core.names import SanType
from mtlskit.core.profiles import CLIENT, ROOT, SERVER, Issuer, KeyUsage, Names, Profile, Validity
from mtlskit.errors import IssuanceError

NOW = datetime(2026, 5, 4, 3, 2, 1, 999, tzinfo=UTC)
KEY = ec.generate_private_key(ec.SECP256R1())
YEAR = timedelta(days=365)


def built(profile: Profile, names: Names, issuer: Issuer | None = None) -> x509.Certificate:
    life = profiles.validity(profile, now=NOW, lifetime=None, issuer=issuer)
    builder = profiles.certificate_builder(
        profile, names=names, public_key=KEY.public_key(), issuer=issuer, serial_number=7, validity=life
    )
    return builder.sign(KEY, hashes.SHA256())


ANCHOR = built(ROOT, Names.of("Root G1"))


def test_a_profile_is_a_frozen_value() -> None:
    with pytest.raises(FrozenInstanceError):
        CLIENT.name = "other"  # type: ignore[misc]
    assert replace(CLIENT, name="client") == CLIENT
    assert hash(CLIENT) == hash(replace(CLIENT, name="client"))


@pytest.mark.parametrize("profile", [CLIENT, SERVER])
def test_a_leaf_has_no_usage_of_an_authority(profile: Profile) -> None:
    names = Names.of("a.example", dns=["a.example"])
    leaf = built(profile, names, Issuer.of(ANCHOR))
    assert not leaf.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    usage = leaf.extensions.get_extension_for_class(x509.KeyUsage).value
    assert not usage.key_cert_sign
    assert not usage.crl_sign
    assert not profile.key_usages & {KeyUsage.KEY_CERT_SIGN, KeyUsage.CRL_SIGN}


def test_the_extensions_of_every_profile_come_each_once_and_with_their_criticality() -> None:
    names = Names.of("a.example", dns=["a.example"])
    found = {
        extension.oid._name: extension.critical for extension in built(SERVER, names, Issuer.of(ANCHOR)).extensions
    }
    assert found == {
        "basicConstraints": True,
        "keyUsage": True,
        "extendedKeyUsage": False,
        "subjectKeyIdentifier": False,
        "authorityKeyIdentifier": False,
        "subjectAltName": False,
    }
    assert "extendedKeyUsage" not in {extension.oid._name for extension in ANCHOR.extensions}


def test_a_san_is_critical_exactly_where_there_is_no_subject() -> None:
    issuer = Issuer.of(ANCHOR)
    for names, critical in ((Names.of("a", uris=["urn:a"]), False), (Names.of(uris=["urn:a"]), True)):
        leaf = built(CLIENT, names, issuer)
        assert leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).critical is critical


def test_a_life_begins_30_seconds_before_and_is_in_whole_seconds() -> None:
    life = profiles.validity(CLIENT, now=NOW, lifetime=timedelta(minutes=1), issuer=None)
    moment = NOW.replace(microsecond=0)
    assert life == Validity(not_before=moment - timedelta(seconds=30), not_after=moment + timedelta(minutes=1))


@given(st.timedeltas(min_value=-YEAR, max_value=30 * YEAR))
def test_a_life_is_within_the_profile_and_the_issuer_or_refused(lifetime: timedelta) -> None:
    issuer = Issuer.of(ANCHOR)
    try:
        life = profiles.validity(CLIENT, now=NOW, lifetime=lifetime, issuer=issuer)
    except IssuanceError as error:
        assert "lifetime: expected" in str(error)
        return
    assert CLIENT.lifetimes.minimum <= lifetime <= CLIENT.lifetimes.maximum
    assert issuer.not_before <= life.not_before < life.not_after <= issuer.not_after


def test_an_issuer_without_a_key_identifier_is_refused() -> None:
    bare = x509.CertificateBuilder(
        x509.Name([]), x509.Name([]), KEY.public_key(), 1, datetime(2026, 1, 1), datetime(2027, 1, 1)
    ).sign(KEY, hashes.SHA256())
    with pytest.raises(IssuanceError, match="issuer: expected"):
        Issuer.of(bare)


def test_names_are_canonical_and_each_once() -> None:
    names = Names.of("x", dns=["A.example", "a.example."], ips=["::0001"], emails=["a@B.example"])
    assert list(map(str, names.sans)) == ["dns:a.example", "email:a@b.example", "ip:::1"]
    assert str(names) == "CN=x, dns:a.example, email:a@b.example, ip:::1"
    assert Names.of("x")
    assert not Names.of()


@given(st.text(max_size=70))
def test_a_common_name_is_taken_as_it_is_or_refused(text: str) -> None:
    try:
        names = Names.of(text)
    except IssuanceError as error:
        assert str(error).startswith("common_name: expected")
        return
    assert common_name(names.subject) == text
    assert text.isprintable()
    assert 1 <= len(text.encode()) <= 64


@given(st.sampled_from(list(SanType)), st.text(max_size=40))
def test_a_san_is_canonical_or_refused_by_its_field(san_type: SanType, text: str) -> None:
    field = {SanType.DNS: "dns", SanType.URI: "uris", SanType.EMAIL: "emails", SanType.IP: "ips"}[san_type]
    try:
        names = Names.of(**{field: [text]})  # type: ignore[arg-type]
    except IssuanceError as error:
        assert str(error).startswith(f"{san_type}: expected")
        return
    again = Names.of(**{field: [names.sans[0].value]})  # type: ignore[arg-type]
    assert again == names


@pytest.mark.parametrize(
    ("profile", "names", "message"),
    [
        (CLIENT, Names.of(), "subject"),
        (SERVER, Names.of("a.example"), "subject_alternative_name: expected one"),
        (SERVER, Names.of(dns=["a.example"], uris=["urn:a"]), "uri: expected SAN types dns, ip"),
        (SERVER, Names.of(dns=["_a.example"]), "without an underscore"),
        (ROOT, Names.of("Root", dns=["a.example"]), "expected SAN types none"),
        (replace(CLIENT, most_sans=1), Names.of(uris=["urn:a", "urn:b"]), "expected at most 1, got 2"),
        (CLIENT, Names.of(uris=["spiffe://a/b", "spiffe://a/c"]), "at most one SPIFFE id"),
    ],
)
def test_names_that_a_profile_does_not_allow_are_refused(profile: Profile, names: Names, message: str) -> None:
    with pytest.raises(IssuanceError, match=message):
        profiles.check_names(profile, names)


def test_names_that_the_profiles_allow_pass() -> None:
    profiles.check_names(CLIENT, Names.of("device", uris=["spiffe://a/b", "urn:x"], dns=["_a.example"]))
    profiles.check_names(SERVER, Names.of(dns=["*.a.example"], ips=["10.0.0.1"]))
