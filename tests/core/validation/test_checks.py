"""What every profile refuses of a certificate: time, purpose, issuers, extensions, keys, algorithms, signatures."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from mtlskit.core.reasons import Reason
from mtlskit.core.validation import COMPATIBLE, RFC5280, WEBPKI, TrustStore, verify_path
from mtlskit.errors import ConfigurationError
from mtlskit.testing.certificates import CLIENT_AUTH, SERVER_AUTH, Authority, build, name_of
from support.der import ECDSA_SHA256, Fields, der_of, encode, extension, integer, oid, seq
from support.validation import (
    ACCEPTED,
    INTERMEDIATE,
    INTERMEDIATE_FIELDS,
    LEAF,
    LEAF_FIELDS,
    NOW,
    ROOT,
    judged,
    refusal,
    verdict,
)

PROFILES = pytest.mark.parametrize("profile", [COMPATIBLE, RFC5280, WEBPKI], ids=lambda profile: profile.name)
BASIC, KEY_USAGE, USAGES = "2.5.29.19", "2.5.29.15", "2.5.29.37"
CLIENT, SERVER, EMAIL, ANY = (
    oid(dotted)
    for dotted in ("1.3.6.1.5.5.7.3.2", "1.3.6.1.5.5.7.3.1", "1.3.6.1.5.5.7.3.4", "2.5.29.37.0")
)  # fmt: skip
TRUST = TrustStore([ROOT.certificate])
START, END = LEAF.certificate.not_valid_before_utc, LEAF.certificate.not_valid_after_utc
SECOND = timedelta(seconds=1)


@pytest.mark.parametrize(("moment", "expected"), [
    (START, ACCEPTED),
    (START - SECOND, "not_yet_valid"),
    (END, ACCEPTED),
    (END + SECOND, "expired"),
    (END + timedelta(microseconds=999_999), ACCEPTED),
    (START.astimezone(timezone(timedelta(hours=5))), ACCEPTED),
    ((START - SECOND).astimezone(timezone(timedelta(hours=5))), "not_yet_valid"),
])  # fmt: skip
def test_both_ends_of_the_time_belong_to_it_to_the_second(moment: datetime, expected: str) -> None:
    assert verdict(LEAF.presented(), TRUST, now=moment) == expected


@PROFILES
@pytest.mark.parametrize("where", ["leaf", "intermediate", "root"])
def test_each_certificate_of_the_path_must_be_in_its_time_the_anchor_too(where: str, profile: Any) -> None:
    past, future = _validity(NOW - timedelta(days=2), NOW - SECOND), _validity(NOW + SECOND, NOW + timedelta(days=2))
    assert judged(**{where: lambda f: f.but(validity=past)}, profile=profile) == "expired"
    assert judged(**{where: lambda f: f.but(validity=future)}, profile=profile) == "not_yet_valid"


def test_the_facts_of_time_are_told() -> None:
    error = refusal(LEAF.presented(), TRUST, now=END + SECOND)
    assert error is not None
    assert error.facts == {"moment": END + SECOND, "not_after": END}
    assert error.certificate == LEAF.certificate


def test_a_moment_without_time_zone_is_a_mistake_of_the_caller() -> None:
    with pytest.raises(ConfigurationError, match="time zone"):
        verify_path(LEAF.presented(), TRUST, purpose="client_auth", now=datetime.now(UTC).replace(tzinfo=None))


@pytest.mark.parametrize(("usages", "expected"), [
    ((CLIENT,), ACCEPTED),
    ((SERVER, CLIENT), ACCEPTED),
    ((ANY, CLIENT), ACCEPTED),
    ((SERVER,), "wrong_purpose"),
    ((EMAIL,), "wrong_purpose"),
    ((ANY,), "wrong_purpose"),
    ((), "wrong_purpose"),
])  # fmt: skip
def test_the_leafs_purposes(usages: tuple[bytes, ...], expected: str) -> None:
    assert judged(leaf=lambda f: f.instead(USAGES, seq(*usages))) == expected


@pytest.mark.parametrize(("usages", "expected"), [
    ((CLIENT,), ACCEPTED),
    ((ANY,), ACCEPTED),
    ((SERVER,), "wrong_purpose"),
    ((), "wrong_purpose"),
])  # fmt: skip
def test_purposes_nest_in_intermediates(usages: tuple[bytes, ...], expected: str) -> None:
    assert judged(intermediate=lambda f: f.instead(USAGES, seq(*usages))) == expected


def test_an_anchors_purposes_are_not_looked_at() -> None:
    assert judged(root=lambda f: f.instead(USAGES, seq(SERVER))) == ACCEPTED


def test_the_facts_of_a_wrong_purpose_are_told() -> None:
    error = refusal(ROOT.leaf(usages=(SERVER_AUTH,)).presented(), TRUST)
    assert error is not None
    assert error.facts == {"wanted": "client_auth", "found": (SERVER_AUTH.dotted_string,)}


def test_the_purpose_may_be_given_as_text_and_an_unknown_one_is_a_mistake() -> None:
    assert verdict(LEAF.presented(), TRUST, purpose="client_auth") == ACCEPTED
    assert verdict(ROOT.leaf(usages=(SERVER_AUTH,)).presented(), TRUST, purpose="email") == "wrong_purpose"
    with pytest.raises(ConfigurationError, match="client_auth"):
        verdict(LEAF.presented(), TRUST, purpose="anything")


NOT_A_CA = {
    "no basic constraints": lambda f: f.without(BASIC),
    "cA is FALSE": lambda f: f.instead(BASIC, seq(), critical=True),
    "keyUsage without keyCertSign": lambda f: f.instead(KEY_USAGE, encode(3, b"\1\x82")),
    "version 1": lambda f: f.but(version=b"", extensions=None),
}


@PROFILES
@pytest.mark.parametrize("where", ["intermediate", "root"])
@pytest.mark.parametrize("what", NOT_A_CA)
def test_an_issuer_must_be_a_version_3_ca_that_may_sign(what: str, where: str, profile: Any) -> None:
    # A version 1 issuer breaks rules of the stricter profiles too, and these outrank.
    expected = "not_a_ca" if what != "version 1" or profile is COMPATIBLE else "profile_violation"
    assert judged(**{where: NOT_A_CA[what]}, profile=profile).startswith(expected)


def test_a_ca_without_key_usage_may_sign() -> None:
    assert judged(intermediate=lambda f: f.without(KEY_USAGE)) == ACCEPTED


@PROFILES
@pytest.mark.parametrize("where", ["leaf", "intermediate", "root"])
@pytest.mark.parametrize("dotted", ["1.2.3.4", "1.3.6.1.4.1.11129.2.4.3", "2.5.29.18"])
def test_an_unknown_critical_extension_is_refused_anywhere(dotted: str, where: str, profile: Any) -> None:
    value = seq(encode(0x82, b"a.example")) if dotted == "2.5.29.18" else b"\5\0"
    unknown = extension(dotted, value, critical=True)
    assert judged(**{where: lambda f: f.plus(unknown)}, profile=profile) == "unsupported_critical_extension"
    assert judged(**{where: lambda f: f.plus(extension(dotted, value))}, profile=profile) == ACCEPTED


def rsa_spki(modulus: int, exponent: int = 65537) -> bytes:
    return seq(
        seq(oid("1.2.840.113549.1.1.1"), b"\5\0"), encode(3, b"\0", seq(integer(modulus), integer(exponent)))
    )  # fmt: skip


def spki_of(key: Any) -> bytes:
    return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


EXPLICIT = seq(seq(oid("1.2.840.10045.2.1"), seq(integer(1))), encode(3, b"\0\4" + b"x" * 64))
WEAK_KEYS = {
    "RSA of 2040 bits": rsa_spki(2**2039 + 1),
    "RSA of 8200 bits": rsa_spki(2**8199 + 1),
    "even modulus": rsa_spki(2**2047),
    "even exponent": rsa_spki(2**2047 + 1, 4),
    "exponent 1": rsa_spki(2**2047 + 1, 1),
    "exponent of 100 bits": rsa_spki(2**2047 + 1, 2**99 + 1),
    "P-192": spki_of(ec.generate_private_key(ec.SECP192R1())),
    "secp256k1": spki_of(ec.generate_private_key(ec.SECP256K1())),
    "brainpool": spki_of(ec.generate_private_key(ec.BrainpoolP256R1())),
    "explicit curve": EXPLICIT,
    "DSA": spki_of(dsa.generate_private_key(2048)),
    "unknown kind": seq(seq(oid("1.2.3")), encode(3, b"\0\1")),
}


@PROFILES
@pytest.mark.parametrize("what", WEAK_KEYS)
def test_a_weak_key_of_a_leaf_is_refused(what: str, profile: Any) -> None:
    assert judged(leaf=lambda f: f.but(spki=WEAK_KEYS[what]), profile=profile) == "weak_key"


GOOD_KEYS = {
    "RSA-2048": rsa_spki(2**2047 + 1, 3),
    "RSA-8192": rsa_spki(2**8191 + 1),
    "P-384": spki_of(ec.generate_private_key(ec.SECP384R1())),
    "P-521": spki_of(ec.generate_private_key(ec.SECP521R1())),
    "Ed25519": spki_of(ed25519.Ed25519PrivateKey.generate()),
    "Ed448": spki_of(ed448.Ed448PrivateKey.generate()),
}


@PROFILES
@pytest.mark.parametrize("what", GOOD_KEYS)
def test_a_good_key_of_a_leaf_is_accepted(what: str, profile: Any) -> None:
    assert judged(leaf=lambda f: f.but(spki=GOOD_KEYS[what]), profile=profile) == ACCEPTED


def test_a_point_that_is_on_no_curve_is_malformed() -> None:
    off = seq(seq(oid("1.2.840.10045.2.1"), oid("1.2.840.10045.3.1.7")), encode(3, b"\0\4" + b"x" * 64))
    assert judged(leaf=lambda f: f.but(spki=off)) == "malformed"


@pytest.mark.parametrize("key", [ec.generate_private_key(ec.SECP192R1()), ec.generate_private_key(ec.SECP256K1())])
def test_a_weak_key_of_an_issuer_is_refused(key: Any) -> None:
    weak = Authority.root("Weak root", key=key)
    assert verdict(weak.leaf().presented(), TrustStore([weak.certificate])) == "weak_key"
    below = ROOT.intermediate("Weak intermediate", key=key)
    assert verdict(below.leaf().presented(), TRUST) == "weak_key"


@pytest.mark.parametrize(
    "key",
    [
        ed25519.Ed25519PrivateKey.generate(),
        ed448.Ed448PrivateKey.generate(),
        ec.generate_private_key(ec.SECP384R1()),
        ec.generate_private_key(ec.SECP521R1()),
        rsa.generate_private_key(65537, 2048),
    ],
    ids=lambda key: type(key).__name__,
)
@PROFILES
def test_cas_of_every_good_kind_are_accepted(key: Any, profile: Any) -> None:
    root = Authority.root("Of another kind", key=key)
    chain = root.intermediate("Below", key=key).leaf()
    assert verdict(chain.presented(), TrustStore([root.certificate]), profile=profile) == ACCEPTED


RSA_KEY = rsa.generate_private_key(65537, 2048)
RSA_ROOT = Authority.root("RSA root", key=RSA_KEY)
RSA_TRUST = TrustStore([RSA_ROOT.certificate])


@pytest.mark.parametrize(("algorithm", "salt", "expected"), [
    (hashes.SHA256(), 32, ACCEPTED),
    (hashes.SHA384(), 48, ACCEPTED),
    (hashes.SHA512(), 64, ACCEPTED),
    (hashes.SHA256(), 20, "weak_signature"),
    (hashes.SHA224(), 28, "weak_signature"),
])  # fmt: skip
def test_rsa_pss(algorithm: hashes.HashAlgorithm, salt: int, expected: str) -> None:
    pss = padding.PSS(padding.MGF1(algorithm), salt)
    leaf = _signed_with(RSA_KEY, RSA_ROOT.certificate, algorithm, rsa_padding=pss)
    assert verdict((leaf,), RSA_TRUST) == expected


@pytest.mark.parametrize("algorithm", [hashes.SHA384(), hashes.SHA512()], ids=lambda algorithm: algorithm.name)
def test_longer_hashes(algorithm: hashes.HashAlgorithm) -> None:
    assert verdict((_signed_with(RSA_KEY, RSA_ROOT.certificate, algorithm),), RSA_TRUST) == ACCEPTED
    assert verdict((_signed_with(ROOT.key, ROOT.certificate, algorithm),), TRUST) == ACCEPTED


def test_rsa_parameters_may_be_absent() -> None:
    fields = Fields.of(der_of(RSA_ROOT.leaf().certificate)).but(algorithm=seq(oid("1.2.840.113549.1.1.11")))
    assert verdict((fields.sign(RSA_KEY),), RSA_TRUST) == ACCEPTED


def test_rsa_pss_with_its_default_of_sha_1_is_weak() -> None:
    default = seq(oid("1.2.840.113549.1.1.10"), seq())
    fields = Fields.of(der_of(RSA_ROOT.leaf().certificate)).but(algorithm=default)
    assert verdict((fields.sign(RSA_KEY),), RSA_TRUST) == "weak_signature"


WEAK_ALGORITHMS = {
    "SHA-1": (seq(oid("1.2.840.10045.4.1")), hashes.SHA1()),
    "SHA-224": (seq(oid("1.2.840.10045.4.3.1")), hashes.SHA224()),
    "unknown": (seq(oid("1.2.3.4")), hashes.SHA256()),
}


@PROFILES
@pytest.mark.parametrize("what", WEAK_ALGORITHMS)
def test_a_weak_signature_is_refused_on_leaf_and_intermediate(what: str, profile: Any) -> None:
    identifier, algorithm = WEAK_ALGORITHMS[what]
    leaf = LEAF_FIELDS.but(algorithm=identifier).sign(INTERMEDIATE.key, algorithm=algorithm)
    assert verdict((leaf, der_of(INTERMEDIATE.certificate)), TRUST, profile=profile) == "weak_signature"
    # Its own key identifier says that the root issued it, so what cannot be verified is told.
    intermediate = INTERMEDIATE_FIELDS.but(algorithm=identifier).sign(ROOT.key, algorithm=algorithm)
    assert verdict((LEAF.presented().leaf_der, intermediate), TRUST, profile=profile) == "weak_signature"


def test_the_anchors_own_signature_is_not_looked_at() -> None:
    anchor = Fields.of(der_of(ROOT.certificate)).but(algorithm=seq(oid("1.2.840.10045.4.1")))
    trust = TrustStore([x509.load_der_x509_certificate(anchor.sign(ec.generate_private_key(ec.SECP256R1())))])
    assert verdict(LEAF.presented(), trust) == ACCEPTED


@PROFILES
def test_two_algorithms_in_one_certificate_are_a_bad_signature(profile: Any) -> None:
    other = seq(oid("1.2.840.10045.4.3.3"))
    assert judged(leaf=lambda f: f.but(outer_algorithm=other), profile=profile) == "bad_signature"
    assert (
        judged(leaf=lambda f: f.but(algorithm=other, outer_algorithm=ECDSA_SHA256), profile=profile) == "bad_signature"
    )


@pytest.mark.parametrize("dotted", ["1.2.840.10045.4.3.2", "1.3.101.112"])
def test_needless_parameters_are_a_bad_signature(dotted: str) -> None:
    assert judged(leaf=lambda f: f.but(algorithm=seq(oid(dotted), b"\5\0"))) == "bad_signature"


@PROFILES
def test_a_signature_that_the_named_key_did_not_make_is_bad(profile: Any) -> None:
    stranger = ec.generate_private_key(ec.SECP256R1())
    forged = LEAF_FIELDS.sign(stranger)
    assert verdict((forged, der_of(INTERMEDIATE.certificate)), TRUST, profile=profile) == "bad_signature"
    forged = INTERMEDIATE_FIELDS.sign(stranger)
    assert verdict((LEAF.presented().leaf_der, forged), TRUST, profile=profile) == "bad_signature"


def test_a_signature_of_another_kind_than_the_key_is_bad() -> None:
    forged = LEAF_FIELDS.but(algorithm=seq(oid("1.3.101.112"))).sign(ed25519.Ed25519PrivateKey.generate())
    assert verdict((forged, der_of(INTERMEDIATE.certificate)), TRUST) == "bad_signature"


def test_a_signature_with_unused_bits_is_malformed() -> None:
    good = LEAF.presented().leaf_der
    size = len(LEAF.certificate.signature)
    assert good[-size - 1] == 0
    assert verdict((good[: -size - 1] + b"\1" + good[-size:], der_of(INTERMEDIATE.certificate)), TRUST) == "malformed"


def test_when_several_things_are_wrong_the_most_telling_is_told() -> None:
    past = _validity(NOW - timedelta(days=2), NOW - SECOND)
    assert judged(leaf=lambda f: f.but(validity=past).instead(USAGES, seq(SERVER))) == "expired"
    assert judged(leaf=lambda f: f.instead(USAGES, seq(SERVER)), root=lambda f: f.but(validity=past)) == "expired"


def test_a_refusal_says_which_certificate_is_at_fault() -> None:
    below = ROOT.intermediate(usages=(SERVER_AUTH,))
    error = refusal(below.leaf().presented(), TRUST)
    assert error is not None
    assert (error.reason, error.certificate) == (Reason.WRONG_PURPOSE, below.certificate)


def _validity(start: datetime, end: datetime) -> bytes:
    return seq(*(encode(0x17, moment.strftime("%y%m%d%H%M%SZ").encode()) for moment in (start, end)))


def _signed_with(key: Any, issuer: x509.Certificate, algorithm: hashes.HashAlgorithm, **options: Any) -> bytes:
    model = build(
        subject=name_of("device"), issuer=issuer.subject, public_key=LEAF.private_key.public_key(), signing_key=key,
        signing_certificate=issuer, usages=(CLIENT_AUTH,), sans=("dns:a.example",),
    )  # fmt: skip
    builder = x509.CertificateBuilder(
        issuer.subject, model.subject, model.public_key(), model.serial_number, START, END,
        [x509.Extension(each.oid, each.critical, each.value) for each in model.extensions],
    )  # fmt: skip
    return builder.sign(key, algorithm, **options).public_bytes(Encoding.DER)
