"""What the profiles differ on: each row accepted by those that accept it, refused by its name by the rest."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa

from mtlskit.core.validation import COMPATIBLE, RFC5280, WEBPKI, Profile, Stance, TrustStore
from mtlskit.core.validation.rules import RULES
from mtlskit.testing.certificates import CLIENT_AUTH, Authority
from support.der import Fields, boolean, cn, der_of, encode, integer, oid, seq
from support.validation import ACCEPTED, INTERMEDIATE, LEAF_FIELDS, ROOT, judged, load, verdict

SKI, KEY_USAGE, SAN, BASIC, CONSTRAINTS, AKI, USAGES = (
    f"2.5.29.{number}" for number in (14, 15, 17, 19, 30, 35, 37)
)  # fmt: skip
POLICY_CONSTRAINTS, INHIBIT_ANY, AIA = "2.5.29.36", "2.5.29.54", "1.3.6.1.5.5.7.1.1"
CLIENT, ANY = oid("1.3.6.1.5.5.7.3.2"), oid("2.5.29.37.0")
DEVICE = seq(encode(0x82, b"device.example"))
BOTH = encode(3, b"\2\x84")  # digitalSignature and keyCertSign
PERMITTED = seq(encode(0xA0, seq(encode(0x82, b"example"))))
DIRECTORY_AKI = encode(0xA1, encode(0xA4, cn("Test root"))) + encode(0x82, b"\1")
V1 = b""
A, R = "accept", "refuse"


def ski_of(authority: Authority) -> bytes:
    return authority.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest


OWN_AKI = seq(encode(0x80, ski_of(ROOT)))
MIXED_AKI = seq(encode(0x80, ski_of(ROOT)), DIRECTORY_AKI)
FOREIGN_AKI = seq(encode(0x80, b"somebody else"))

# What is changed, where, and what COMPATIBLE, RFC5280 and WEBPKI say; the refusing ones with their rule's name.
ROWS = {
    "leaf without a SAN": ("missing_san", "leaf", lambda f: f.without(SAN), A, A, R),
    "leaf without an EKU": ("missing_usages", "leaf", lambda f: f.without(USAGES), A, A, R),
    "anyExtendedKeyUsage beside": ("any_usage_beside", "leaf", lambda f: f.instead(USAGES, seq(CLIENT, ANY)), A, A, R),
    "critical EKU": ("critical_usages", "leaf", lambda f: f.instead(USAGES, seq(CLIENT), critical=True), A, A, R),
    "EKU on an anchor": ("anchor_usages", "root", lambda f: f.instead(USAGES, seq(CLIENT)), A, A, R),
    "no digitalSignature": (
        "leaf_without_digital_signature", "leaf", lambda f: f.instead(KEY_USAGE, encode(3, b"\5\x20")), R, A, R,
    ),
    "CA as leaf": (
        "ca_as_leaf", "leaf",
        lambda f: f.instead(BASIC, seq(boolean(True)), critical=True).instead(KEY_USAGE, BOTH, critical=True), R, A, R,
    ),
    "keyCertSign without cA": ("cert_sign_on_leaf", "leaf", lambda f: f.instead(KEY_USAGE, BOTH), A, R, R),
    "basicConstraints not critical": (
        "non_critical_basic_constraints", "intermediate", lambda f: f.instead(BASIC, seq(boolean(True))), A, R, R,
    ),
    "basicConstraints not critical on a root": (
        "non_critical_basic_constraints", "root", lambda f: f.instead(BASIC, seq(boolean(True))), A, R, R,
    ),
    "nameConstraints not critical": (
        "non_critical_name_constraints", "intermediate", lambda f: f.instead(CONSTRAINTS, PERMITTED), A, R, A,
    ),
    "nameConstraints in a leaf": (
        "name_constraints_in_leaf", "leaf", lambda f: f.instead(CONSTRAINTS, PERMITTED, critical=True), A, R, R,
    ),
    "policyConstraints not critical": (
        "non_critical_policy_limits", "intermediate",
        lambda f: f.instead(POLICY_CONSTRAINTS, seq(encode(0x80, b"\7"))), A, R, R,
    ),
    "inhibitAnyPolicy not critical": (
        "non_critical_policy_limits", "intermediate", lambda f: f.instead(INHIBIT_ANY, integer(1)), A, R, R,
    ),
    "critical AIA": (
        "critical_information", "leaf",
        lambda f: f.instead(AIA, seq(seq(oid("1.3.6.1.5.5.7.48.1"), encode(0x86, b"http://a.example"))), critical=True),
        A, R, R,
    ),
    "critical AKI": ("critical_information", "intermediate", lambda f: f.instead(AKI, OWN_AKI, critical=True), A, R, R),
    "critical SKI": (
        "critical_information", "root", lambda f: f.instead(SKI, encode(4, ski_of(ROOT)), critical=True), A, R, R,
    ),
    "SAN not critical with an empty subject": (
        "non_critical_san_without_subject", "leaf", lambda f: f.but(subject=seq()).instead(SAN, DEVICE), A, R, R,
    ),
    "critical SAN with a subject": (
        "critical_san_with_subject", "leaf", lambda f: f.instead(SAN, DEVICE, critical=True), A, A, R,
    ),
    "no SKI on an intermediate": (
        "missing_subject_key_identifier", "intermediate", lambda f: f.without(SKI), A, R, R,
    ),
    "no SKI on a root": ("missing_subject_key_identifier", "root", lambda f: f.without(SKI), A, R, R),
    "no AKI on an intermediate": (
        "missing_authority_key_identifier", "intermediate", lambda f: f.without(AKI), A, R, R,
    ),
    "no AKI on a leaf": ("missing_authority_key_identifier", "leaf", lambda f: f.without(AKI), A, R, R),
    "no AKI on a root": ("", "root", lambda f: f.without(AKI), A, A, A),
    "AKI with issuer and serial on a root": (
        "anchor_key_identifier", "root", lambda f: f.instead(AKI, MIXED_AKI), A, A, R,
    ),
    "AKI without key identifier on a root": (
        "anchor_key_identifier", "root", lambda f: f.instead(AKI, seq(DIRECTORY_AKI)), A, A, R,
    ),
    "AKI of a root that is not its SKI": (
        "anchor_key_identifier", "root", lambda f: f.instead(AKI, FOREIGN_AKI), A, A, R,
    ),
    "a root without keyUsage": ("", "root", lambda f: f.without(KEY_USAGE), A, A, A),
    "CN that no SAN repeats": ("", "leaf", lambda f: f.but(subject=cn("other.example")), A, A, A),
    "serial of 21 octets": ("odd_serial", "leaf", lambda f: f.but(serial=integer(2**160 - 1)), A, R, R),
    "underscore in a dNSName": (
        "underscore_in_dns_name", "leaf", lambda f: f.instead(SAN, seq(encode(0x82, b"a_b.example"))), A, R, R,
    ),
    "wildcard on a public suffix, without a list": (
        "", "leaf", lambda f: f.instead(SAN, seq(encode(0x82, b"*.co.example"))), A, A, A,
    ),
}  # fmt: skip


@pytest.mark.parametrize("profile", [COMPATIBLE, RFC5280, WEBPKI], ids=lambda profile: profile.name)
@pytest.mark.parametrize("row", ROWS)
def test_a_row_of_the_table(row: str, profile: Profile) -> None:
    rule, where, change, *stances = ROWS[row]
    stance = stances[(COMPATIBLE, RFC5280, WEBPKI).index(profile)]
    expected = ACCEPTED if stance == A else f"profile_violation:{rule}"
    assert judged(**{where: change}, profile=profile) == expected


def test_the_verdict_is_the_same_when_only_that_rule_is_turned_round() -> None:
    for rule, where, change, *stances in ROWS.values():
        if R in stances:
            refusing = replace(COMPATIBLE, name="one", **{rule: Stance.REFUSE})
            accepting = replace(refusing, name="none", **{rule: Stance.ACCEPT})
            assert judged(**{where: change}, profile=refusing) == f"profile_violation:{rule}"
            assert judged(**{where: change}, profile=accepting) == ACCEPTED


def test_every_stance_of_a_profile_has_a_rule_and_a_row() -> None:
    stances = {field.name for field in fields(Profile)} - {"name", "public_suffixes", "key_identifier_mismatch"}
    elsewhere = {"leading_dot_constraint", "list_without_number", "version_1_list"}
    assert {rule.name for rule in RULES} == stances - elsewhere
    tested_below = {"version_1_leaf", "public_suffix_wildcard", "odd_modulus_length"}
    assert {row[0] for row in ROWS.values()} - {""} == stances - elsewhere - tested_below


@pytest.mark.parametrize(("profile", "expected"), [
    (COMPATIBLE, ACCEPTED),
    (RFC5280, "profile_violation:version_1_leaf"),
    (WEBPKI, "profile_violation:version_1_leaf"),
])  # fmt: skip
def test_a_version_1_leaf(profile: Profile, expected: str) -> None:
    verdicts = judged(leaf=lambda f: f.but(version=V1, extensions=None), profile=replace(
        profile, missing_san=Stance.ACCEPT, missing_usages=Stance.ACCEPT, name="loose",
        missing_authority_key_identifier=Stance.ACCEPT,
    ))  # fmt: skip
    assert verdicts == expected


def test_a_wildcard_on_a_public_suffix_of_the_callers_list() -> None:
    strict = replace(WEBPKI, name="with suffixes", public_suffixes=frozenset({"co.example"}))
    for name, expected in (
        (b"*.co.example", "profile_violation:public_suffix_wildcard"),
        (b"*.CO.example", "profile_violation:public_suffix_wildcard"),
        (b"*.shop.co.example", ACCEPTED), (b"co.example", ACCEPTED),
    ):  # fmt: skip
        san = seq(encode(0x82, name))
        assert judged(leaf=lambda f, san=san: f.instead(SAN, san), profile=strict) == expected


def test_an_rsa_modulus_of_odd_length() -> None:
    numbers = rsa.RSAPublicNumbers(65537, (1 << 2050) | 1)
    key = LEAF_FIELDS.but(spki=_rsa_spki(numbers.n, numbers.e)).sign(INTERMEDIATE.key)
    presented, trust = (key, der_of(INTERMEDIATE.certificate)), TrustStore([ROOT.certificate])
    assert verdict(presented, trust) == ACCEPTED
    assert verdict(presented, trust, profile=WEBPKI) == "profile_violation:odd_modulus_length"


@pytest.mark.parametrize(("profile", "expected"), [
    (COMPATIBLE, "unknown_issuer"),
    (RFC5280, "profile_violation:key_identifier_mismatch"),
    (WEBPKI, "profile_violation:key_identifier_mismatch"),
])  # fmt: skip
@pytest.mark.parametrize("where", ["leaf", "intermediate"])
def test_an_aki_that_names_another_key(where: str, profile: Profile, expected: str) -> None:
    assert judged(**{where: lambda f: f.instead(AKI, FOREIGN_AKI)}, profile=profile) == expected


def test_the_issuer_and_serial_form_of_an_aki_matches_nothing() -> None:
    wrong = seq(encode(0x80, ski_of(INTERMEDIATE)), encode(0xA1, encode(0xA4, cn("Nobody"))), encode(0x82, b"\1"))
    assert judged(leaf=lambda f: f.instead(AKI, wrong)) == ACCEPTED


def test_a_critical_extension_of_a_version_1_leaf_is_not_looked_for() -> None:
    plain = Fields.of(der_of(ROOT.leaf(usages=(CLIENT_AUTH,)).certificate)).but(version=V1, extensions=None)
    assert verdict((plain.sign(ROOT.key),), TrustStore([load(der_of(ROOT.certificate))])) == ACCEPTED


def _rsa_spki(modulus: int, exponent: int) -> bytes:
    algorithm = seq(oid("1.2.840.113549.1.1.1"), b"\5\0")
    return seq(algorithm, encode(3, b"\0", seq(integer(modulus), integer(exponent))))
