"""The profiles are values; the step from a request to a builder is pure."""

from __future__ import annotations

import json
import re
from dataclasses import FrozenInstanceError, replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import AuthorityInformationAccessOID
from hypothesis import given
from hypothesis import strategies as st

from mtlskit.core import profiles
from mtlskit.core.certificates import common_name
from mtlskit.core.names import SanType, SubjectAlternativeName
from mtlskit.core.profiles import (
    CLIENT,
    INTERMEDIATE,
    OCSP_RESPONDER,
    ROOT,
    SERVER,
    ExtendedKeyUsage,
    Issuer,
    KeyUsage,
    Lifetimes,
    Locations,
    Names,
    NameSubtree,
    Profile,
    Role,
    SanRule,
    Validity,
)
from mtlskit.errors import ConfigurationError, IssuanceError

NOW = datetime(2026, 5, 4, 3, 2, 1, 999, tzinfo=UTC)
KEY = ec.generate_private_key(ec.SECP256R1())
YEAR = timedelta(days=365)


def built(
    profile: Profile,
    names: Names,
    issuer: Issuer | None = None,
    *,
    now: datetime = NOW,
    locations: Locations = Locations(),  # noqa: B008
) -> x509.Certificate:
    life = profiles.validity(profile, now=now, lifetime=None, issuer=issuer)
    builder = profiles.certificate_builder(
        profile, names=names, public_key=KEY.public_key(), issuer=issuer, serial_number=7, validity=life,
        locations=locations,
    )  # fmt: skip
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


@pytest.mark.parametrize(
    ("names", "text"),
    [
        (Names.of("Acme devices, plant 1"), 'CN="Acme devices, plant 1"'),
        (Names.of("a, dns:pay.victim.example"), 'CN="a, dns:pay.victim.example"'),
        (Names.of("a", dns=["pay.victim.example"]), "CN=a, dns:pay.victim.example"),
        (Names.of('a "quoted" \\ one'), r'CN="a \"quoted\" \\ one"'),
        (Names.of("\u00c4rger & S\u00f6hne"), "CN=\u00c4rger & S\u00f6hne"),
        (Names.of(uris=["urn:a,b"], emails=['"x,y"@a.example']), r'uri:"urn:a,b", email:"\"x,y\"@a.example"'),
        (Names(common_name="a\n\u202eb", sans=()), r'CN="a\n\u202eb"'),
    ],
)
def test_names_have_a_text_of_their_own(names: Names, text: str) -> None:
    assert str(names) == text


_TEXTS = st.text(st.sampled_from('a", \\=:\n\u00e4') | st.characters(), min_size=1, max_size=8)
_ANY_NAMES = st.builds(
    lambda common_name, sans: Names(
        common_name=common_name, sans=tuple(SubjectAlternativeName(*each) for each in sans)
    ),
    st.none() | _TEXTS, st.lists(st.tuples(st.sampled_from(SanType), _TEXTS), max_size=3),
)  # fmt: skip


def _read(text: str) -> list[tuple[str, str]]:
    """What a reader takes apart who knows of the quotes alone."""
    found = []
    while text:
        kind, text = text[: re.search("[=:]", text).start()], text[re.search("[=:]", text).end() :]  # type: ignore[union-attr]
        if text.startswith('"'):
            value, end = json.JSONDecoder().raw_decode(text)
        else:
            end = len(text.partition(",")[0])
            value = text[:end]
        found.append((kind, value))
        text = text[end:].removeprefix(", ")
    return found


@given(_ANY_NAMES)
def test_what_names_say_can_be_read_back(names: Names) -> None:
    common_name = [] if names.common_name is None else [("CN", names.common_name)]
    assert _read(str(names)) == [*common_name, *((san.type.value, san.value) for san in names.sans)]
    assert str(names).isprintable()


SPIFFE = profiles.spiffe("td.example")


@pytest.mark.parametrize(
    "path", ["/a", "/a/b", "/ns/default/sa/web-1", "/A_b.c-9", "/...", "/a/..b", "/.a", "/" + "a" * 2028]
)
def test_a_spiffe_id_has_a_path_of_plain_segments(path: str) -> None:
    profiles.check_names(SPIFFE, Names.of(uris=[f"spiffe://td.example{path}"]))


@pytest.mark.parametrize(
    "uri",
    [
        "spiffe://td.example", "spiffe://td.example/", "spiffe://td.example//x", "spiffe://td.example/x/",
        "spiffe://td.example/x//y", "spiffe://td.example/a/../admin", "spiffe://td.example/a/./b",
        "spiffe://td.example/..", "spiffe://td.example/.", "spiffe://td.example/a/..", "spiffe://td.example/x?q",
        "spiffe://td.example/x#f", "spiffe://td.example/%61", "spiffe://td.example/a;b", "spiffe://td.example/a:b",
        "spiffe://td.example/a@b", "spiffe://td.example/~a", "spiffe://td.example:443/x", "spiffe://u@td.example/x",
        "SPIFFE://td.example/x", "spiffe://TD.example/x", "spiffe://td.example.evil.example/x", "urn:x",
        "spiffe://td.example/" + "a" * 2029,
    ],
)  # fmt: skip
def test_what_is_no_spiffe_id_is_not_issued_as_one(uri: str) -> None:
    with pytest.raises(IssuanceError, match="^uri: expected"):
        profiles.check_names(SPIFFE, Names.of(uris=[uri]))


@pytest.mark.parametrize(
    "domain", ["", "A.example", "a.example/x", "a.example:1", "u@a.example", "%61", "a b", "*.a.example"]
)
def test_what_is_no_trust_domain_has_no_profile(domain: str) -> None:
    with pytest.raises(ConfigurationError, match="expected"):
        profiles.spiffe(domain)


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


@pytest.mark.parametrize("hours", [-11, 0, 5.5, 14])
def test_a_life_is_told_in_utc_wherever_the_clock_is(hours: float) -> None:
    there = NOW.astimezone(timezone(timedelta(hours=hours)))
    here, far = (profiles.validity(CLIENT, now=now, lifetime=None, issuer=None) for now in (NOW, there))
    assert here == far
    assert far.not_before.utcoffset() == far.not_after.utcoffset() == timedelta(0)
    leaf = built(CLIENT, Names.of("a"), Issuer.of(ANCHOR), now=there)
    assert leaf.not_valid_before_utc == here.not_before
    with pytest.raises(IssuanceError, match=r"^now: expected"):
        profiles.validity(CLIENT, now=NOW.replace(tzinfo=None), lifetime=None, issuer=None)


def test_a_life_ends_in_whole_seconds() -> None:
    life = profiles.validity(CLIENT, now=NOW, lifetime=timedelta(seconds=90, microseconds=7), issuer=None)
    assert life.not_after == NOW.replace(microsecond=0) + timedelta(seconds=90)


# --- where lists, responders and issuers are ------------------------------------------------------------------------

PLACES = Locations(
    crl=("http://crl.acme.example/{generation}.crl", "https://mirror.example/{issuer_key}.crl"),
    ocsp=("http://ocsp.acme.example/",),
    issuers=("http://acme.example/{issuer_key}.cer",),
)


def test_locations_stand_in_what_an_issuer_issues_and_are_not_critical() -> None:
    filled = PLACES.of_generation(3, "ab" * 32)
    leaf = built(CLIENT, Names.of("a", uris=["urn:a"]), Issuer.of(ANCHOR), locations=filled)
    (point,) = leaf.extensions.get_extension_for_class(x509.CRLDistributionPoints).value
    assert [name.value for name in point.full_name] == [
        "http://crl.acme.example/3.crl", f"https://mirror.example/{'ab' * 32}.crl"
    ]  # fmt: skip
    access = leaf.extensions.get_extension_for_class(x509.AuthorityInformationAccess)
    assert [(way.access_method, way.access_location.value) for way in access.value] == [
        (AuthorityInformationAccessOID.OCSP, "http://ocsp.acme.example/"),
        (AuthorityInformationAccessOID.CA_ISSUERS, f"http://acme.example/{'ab' * 32}.cer"),
    ]
    assert not access.critical
    assert not leaf.extensions.get_extension_for_class(x509.CRLDistributionPoints).critical


def test_without_locations_there_are_none() -> None:
    found = {extension.oid for extension in built(CLIENT, Names.of("a"), Issuer.of(ANCHOR)).extensions}
    assert not found & {x509.CRLDistributionPoints.oid, x509.AuthorityInformationAccess.oid}
    only = built(CLIENT, Names.of("a"), Issuer.of(ANCHOR), locations=Locations(issuers=("http://a.example/a.cer",)))
    assert x509.CRLDistributionPoints.oid not in {extension.oid for extension in only.extensions}


@pytest.mark.parametrize(
    "url",
    [
        "", "crl.example/a.crl", "ldap://crl.example/a", "file:///etc/passwd", "http://", "http:///a", "http://a b/",
        "http://a.example/\n", "http://\u00e4.example/", "http://user:secret@a.example/", "http://a.example/#top",
        "http://a.example:99999/", "http://a.example/{shard}", "http://a.example/{", None, b"http://a.example/",
    ],
)  # fmt: skip
def test_what_is_no_url_is_no_location(url: str) -> None:
    for field in ("crl", "ocsp", "issuers"):
        with pytest.raises(ConfigurationError, match="expected a URL|expected an http or https URL"):
            Locations(**{field: (url,)})  # type: ignore[arg-type]


def test_one_text_is_not_several_urls() -> None:
    with pytest.raises(ConfigurationError, match="expected several URLs for 'crl'"):
        Locations(crl="http://a.example/a.crl")  # type: ignore[arg-type]
    assert Locations(crl=["http://a.example/a.crl"]) == Locations(crl=("http://a.example/a.crl",))  # type: ignore[arg-type]
    with pytest.raises(FrozenInstanceError):
        PLACES.crl = ()  # type: ignore[misc]


@given(st.integers(1, (1 << 159) - 1), st.sampled_from([2, 8, 4096]))
def test_the_serial_number_says_on_which_of_several_lists_it_would_stand(serial: int, partitions: int) -> None:
    places = Locations(crl=("http://a.example/{generation}/{partition}.crl",), partitions=partitions)
    assert places.of_generation(2, "").crl_urls(serial) == (f"http://a.example/2/{serial % partitions}.crl",)


@pytest.mark.parametrize(
    "places",
    [
        {"crl": ["http://a.example/{partition}"]},
        {"crl": ["http://a.example/"], "partitions": 2},
        {"crl": ["http://a.example/{partition}", "http://b.example/"], "partitions": 2},
        {"ocsp": ["http://a.example/{partition}"], "partitions": 2},
        {"issuers": ["http://a.example/{partition}"], "partitions": 2},
        {"partitions": 0},
        {"partitions": 4097},
        {"partitions": "2"},
    ],
)
def test_partitions_are_said_in_the_urls_of_lists_and_nowhere_else(places: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match="partition"):
        Locations(**places)


@pytest.mark.parametrize("name", ["root", "intermediate", "cross", "recorded"])
def test_no_profile_of_an_end_entity_has_a_name_that_stands_for_another(name: str) -> None:
    with pytest.raises(ConfigurationError, match=f"stands for nothing else, got '{name}'"):
        replace(CLIENT, name=name)


@pytest.mark.parametrize("usage", [KeyUsage.KEY_CERT_SIGN, KeyUsage.CRL_SIGN])
def test_no_profile_of_an_end_entity_signs_certificates_or_lists(usage: KeyUsage) -> None:
    with pytest.raises(ConfigurationError, match="signs no certificates and no lists, got the profile 'odd'"):
        replace(CLIENT, name="odd", key_usages=frozenset({KeyUsage.DIGITAL_SIGNATURE, usage}))


def test_a_responder_is_for_responses_alone_and_nobody_asks_about_it() -> None:
    leaf = built(OCSP_RESPONDER, Names.of("Acme OCSP 1"), Issuer.of(ANCHOR), locations=PLACES.of_generation(1, "a"))
    found = {extension.oid: (extension.critical, extension.value) for extension in leaf.extensions}
    assert found[x509.OCSPNoCheck.oid] == (False, x509.OCSPNoCheck())
    assert list(found[x509.ExtendedKeyUsage.oid][1]) == [x509.ExtendedKeyUsageOID.OCSP_SIGNING]
    assert found[x509.KeyUsage.oid][1].digital_signature
    assert x509.CRLDistributionPoints.oid not in found
    (way,) = found[x509.AuthorityInformationAccess.oid][1]
    assert way.access_method == AuthorityInformationAccessOID.CA_ISSUERS
    assert leaf.not_valid_after_utc - NOW.replace(microsecond=0) == timedelta(days=7)
    with pytest.raises(IssuanceError, match="^dns: expected SAN types none"):
        profiles.check_names(OCSP_RESPONDER, Names.of("a", dns=["a.example"]))
    with pytest.raises(IssuanceError, match="^lifetime: expected"):
        profiles.validity(OCSP_RESPONDER, now=NOW, lifetime=timedelta(days=32), issuer=None)


@pytest.mark.parametrize(
    "changes",
    [
        {"extended_key_usages": ()},
        {"extended_key_usages": (ExtendedKeyUsage.OCSP_SIGNING, ExtendedKeyUsage.CLIENT_AUTH)},
        {"role": Role.AUTHORITY},
    ],
)
def test_nothing_but_a_responder_is_not_asked_about(changes: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match="for OCSPSigning alone"):
        replace(OCSP_RESPONDER, name="odd", **changes)


@pytest.mark.parametrize("base", ["fe80::%x/64", "::1%x"])
def test_no_network_has_a_zone(base: str) -> None:
    with pytest.raises(ConfigurationError, match="in its form"):
        SanRule(SanType.IP, base)
    with pytest.raises(IssuanceError, match="name_constraints: expected the base"):
        NameSubtree(SanType.IP, base)


@pytest.mark.parametrize(("minimum", "default", "maximum"), [(0, 1, 2), (-1, 1, 2), (2, 1, 3), (1, 3, 2), (2, 2, 1)])
def test_lifetimes_that_contradict_each_other_are_refused(minimum: int, default: int, maximum: int) -> None:
    hours = [timedelta(hours=each) for each in (minimum, default, maximum)]
    with pytest.raises(ConfigurationError, match="the default between the others"):
        Lifetimes(minimum=hours[0], default=hours[1], maximum=hours[2])


def test_a_lifetime_of_exactly_the_bounds_is_allowed() -> None:
    hour = timedelta(hours=1)
    bounds = Lifetimes(minimum=hour, default=2 * hour, maximum=3 * hour)
    profile = replace(CLIENT, name="hours", lifetimes=bounds)
    for lifetime in (hour, 3 * hour):
        profiles.validity(profile, now=NOW, lifetime=lifetime, issuer=None)
    second = timedelta(seconds=1)
    for lifetime in (hour - second, 3 * hour + second):
        with pytest.raises(IssuanceError, match="^lifetime: expected 1h to 3h for the profile 'hours'"):
            profiles.validity(profile, now=NOW, lifetime=lifetime, issuer=None)
    life = profiles.validity(profile, now=NOW, lifetime=None, issuer=None)
    assert life.not_after == NOW.replace(microsecond=0) + 2 * hour


@pytest.mark.parametrize("profile", [INTERMEDIATE, CLIENT], ids=["an authority", "a client"])
def test_nothing_outlives_its_issuer(profile: Profile) -> None:
    """What is left is taken where nobody says for how long; who does is told that it is too long."""
    issuer = replace(Issuer.of(ANCHOR), not_after=NOW.replace(microsecond=0) + timedelta(days=30))
    life = profiles.validity(profile, now=NOW, lifetime=None, issuer=issuer)
    assert life.not_after == issuer.not_after
    with pytest.raises(IssuanceError, match="within the issuer's"):
        profiles.validity(profile, now=NOW, lifetime=timedelta(days=31), issuer=issuer)
    shortest = replace(profile.lifetimes, minimum=timedelta(days=31))
    with pytest.raises(IssuanceError, match="within the issuer's"):
        profiles.validity(replace(profile, lifetimes=shortest), now=NOW, lifetime=None, issuer=issuer)
