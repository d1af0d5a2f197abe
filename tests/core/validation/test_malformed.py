"""What is no certificate, whatever it is used for: every row is `malformed`, in each place and profile."""

from __future__ import annotations

import pytest

from mtlskit.core.reasons import Reason
from mtlskit.core.validation import COMPATIBLE, RFC5280, WEBPKI, Limits, TrustStore
from support.der import Fields, boolean, der_of, encode, extension, integer, name, oid, seq
from support.validation import ACCEPTED, LEAF, ROOT, judged, refusal, verdict

SAN, KEY_USAGE, BASIC, USAGES, CONSTRAINTS = "2.5.29.17", "2.5.29.15", "2.5.29.19", "2.5.29.37", "2.5.29.30"
TRUST = TrustStore([ROOT.certificate])
V1, V2 = b"", encode(0xA0, integer(1))


def utc(text: bytes) -> bytes:
    return encode(0x17, text)


def generalized(text: bytes) -> bytes:
    return encode(0x18, text)


def times(first: bytes, second: bytes) -> bytes:
    return seq(first, second)


ANY_CERTIFICATE = {
    "negative serial": lambda f: f.but(serial=integer(-5)),
    "serial of 2^160": lambda f: f.but(serial=integer(2**160)),
    "serial with a needless octet": lambda f: f.but(serial=encode(2, b"\0\x05")),
    "version 4": lambda f: f.but(version=encode(0xA0, integer(3))),
    "version 1 with extensions": lambda f: f.but(version=V1),
    "version 2 with extensions": lambda f: f.but(version=V2),
    "version 1 spelled out": lambda f: f.but(version=encode(0xA0, integer(0)), extensions=None),
    "empty extension list": lambda f: f.but(extensions=()),
    "the same extension twice": lambda f: f.plus(extension("1.2.3", b"\5\0"), extension("1.2.3", b"\5\0")),
    "critical FALSE spelled out": lambda f: f.plus(seq(oid("1.2.3"), boolean(False), encode(4, b"\5\0"))),
    "GeneralizedTime before 2050": lambda f: f.but(
        validity=times(utc(b"200101000000Z"), generalized(b"20490101000000Z"))
    ),
    "fraction of a second": lambda f: f.but(validity=times(utc(b"200101000000Z"), generalized(b"20550101000000.5Z"))),
    "offset from UTC": lambda f: f.but(validity=times(utc(b"200101000000Z"), generalized(b"20550101000000+0100"))),
    "UTCTime without seconds": lambda f: f.but(validity=times(utc(b"2001010000Z"), utc(b"490101000000Z"))),
    "a day that is none": lambda f: f.but(validity=times(utc(b"200101000000Z"), utc(b"490231000000Z"))),
    "no key usage at all": lambda f: f.instead(KEY_USAGE, encode(3, b"\7\0")),
    "empty key usage": lambda f: f.instead(KEY_USAGE, encode(3, b"\0")),
    "empty SAN": lambda f: f.instead(SAN, seq()),
    "NUL in a dNSName": lambda f: f.instead(SAN, seq(encode(0x82, b"device.example\0.attacker.example"))),
    "not ASCII in a dNSName": lambda f: f.instead(SAN, seq(encode(0x82, "dévice.example".encode()))),
    "an address of three octets": lambda f: f.instead(SAN, seq(encode(0x87, b"\1\2\3"))),
    "an x400Address": lambda f: f.instead(SAN, seq(encode(0xA3))),
    "empty name constraints": lambda f: f.instead(CONSTRAINTS, seq()),
    "empty permitted subtrees": lambda f: f.instead(CONSTRAINTS, seq(encode(0xA0))),
    "pathLenConstraint without cA": lambda f: f.instead(BASIC, seq(integer(1))),
    "negative pathLenConstraint": lambda f: f.instead(BASIC, seq(boolean(True), integer(-1))),
    "broken authority information": lambda f: f.instead("1.3.6.1.5.5.7.1.1", b"broken"),
    "an extension without a value": lambda f: f.without(SAN).plus(seq(oid(SAN))),
    "empty subject without a SAN": lambda f: f.but(subject=seq()).without(SAN),
}  # fmt: skip


@pytest.mark.parametrize("profile", [COMPATIBLE, RFC5280, WEBPKI], ids=lambda profile: profile.name)
@pytest.mark.parametrize("what", ANY_CERTIFICATE)
def test_a_leaf_that_is_malformed_is_refused_in_every_profile(what: str, profile: object) -> None:
    assert judged(leaf=ANY_CERTIFICATE[what], profile=profile) == "malformed"


@pytest.mark.parametrize("what", sorted(set(ANY_CERTIFICATE) - {"NUL in a dNSName", "not ASCII in a dNSName"}))
def test_a_malformed_leaf_under_name_constraints_is_refused(what: str) -> None:
    """Its names are looked for in what is left of it; a name that cannot be compared is more telling still."""
    permitted = seq(encode(0xA0, seq(encode(0x82, b"example"))))
    assert judged(leaf=ANY_CERTIFICATE[what], intermediate=lambda f: f.instead(CONSTRAINTS, permitted)) == "malformed"


@pytest.mark.parametrize("what", sorted(set(ANY_CERTIFICATE) - {"empty subject without a SAN"}))
def test_an_intermediate_that_is_malformed_is_refused(what: str) -> None:
    assert judged(intermediate=ANY_CERTIFICATE[what]) == "malformed"


@pytest.mark.parametrize(
    "what", ["no key usage at all", "empty SAN", "GeneralizedTime before 2050", "empty extension list"]
)
def test_an_anchor_that_is_malformed_is_refused(what: str) -> None:
    assert judged(root=ANY_CERTIFICATE[what]) in ("malformed", "not_a_ca")


@pytest.mark.parametrize("profile", [COMPATIBLE, RFC5280, WEBPKI], ids=lambda profile: profile.name)
def test_the_unchanged_hierarchy_is_accepted_in_every_profile(profile: object) -> None:
    assert judged(profile=profile) == ACCEPTED


@pytest.mark.parametrize(
    "validity",
    [
        times(utc(b"200101000000Z"), utc(b"491231235959Z")),
        times(utc(b"200101000000Z"), generalized(b"20500101000000Z")),
        times(utc(b"200101000000Z"), generalized(b"99991231235959Z")),
    ],
)
def test_times_in_their_right_form_are_read(validity: bytes) -> None:
    assert judged(leaf=lambda f: f.but(validity=validity)) == ACCEPTED


@pytest.mark.parametrize("serial", [2**159 - 1, 2**160 - 1, 1])
def test_serials_in_range_are_read(serial: int) -> None:
    assert judged(leaf=lambda f: f.but(serial=integer(serial))) == ACCEPTED


def test_an_empty_issuer_is_malformed() -> None:
    nameless = Fields.of(der_of(ROOT.leaf().certificate)).but(issuer=seq()).sign(ROOT.key)
    assert verdict((nameless,), TRUST) == "malformed"


def test_an_empty_relative_name_is_malformed() -> None:
    assert judged(leaf=lambda f: f.but(subject=seq(encode(0x31)))) == "malformed"


def test_a_subject_that_nobody_can_read_is_malformed() -> None:
    assert judged(leaf=lambda f: f.but(subject=name(("2.5.4.3", 0x0C, b"\xff\xfe")))) == "malformed"


@pytest.mark.parametrize(
    "subject", [name(("2.5.4.3", 0x0C, b"a\0b")), name(("2.5.4.3", 0x0C, b"a"), ("2.5.4.3", 0x0C, b"b"))]
)
def test_a_nul_or_a_second_common_name_does_not_spoil_the_path(subject: bytes) -> None:
    assert judged(leaf=lambda f: f.but(subject=subject)) == ACCEPTED


def test_an_empty_subject_with_a_critical_san_is_accepted() -> None:
    san = extension(SAN, seq(encode(0x82, b"device.example")), critical=True)
    assert judged(leaf=lambda f: f.but(subject=seq()).without(SAN).plus(san), profile=RFC5280) == ACCEPTED


@pytest.mark.parametrize("junk", [b"", b"\0", b"\x30", b"\x30\x80", b"not a certificate", b"\x30\x84\xff\xff\xff\xff"])
def test_bytes_that_are_no_certificate_are_malformed_and_say_where(junk: bytes) -> None:
    error = refusal((junk,), TRUST)
    assert error is not None
    assert (error.reason, error.facts["position"]) == (Reason.MALFORMED, 0)
    beside = refusal((LEAF.presented().leaf_der, junk), TRUST)
    assert beside is not None
    assert (beside.reason, beside.facts["position"]) == (Reason.MALFORMED, 1)


def test_junk_beside_a_good_path_does_not_spoil_it() -> None:
    presented = (*LEAF.presented().ders, b"junk")
    assert verdict(presented, TRUST) == ACCEPTED


def test_every_cut_and_every_tail_of_a_certificate_is_refused() -> None:
    leaf, intermediate = LEAF.presented().ders
    for size in range(len(leaf)):
        assert verdict((leaf[:size], intermediate), TRUST) != ACCEPTED
    assert verdict((leaf + b"\0", intermediate), TRUST) == "malformed"


def test_every_flipped_octet_is_refused() -> None:
    leaf, intermediate = LEAF.presented().ders
    for at in range(len(leaf)):
        flipped = leaf[:at] + bytes((leaf[at] ^ 0x01,)) + leaf[at + 1 :]
        assert verdict((flipped, intermediate), TRUST) != ACCEPTED


def test_more_certificates_or_octets_than_the_limits_are_refused_unread() -> None:
    leaf, intermediate = LEAF.presented().ders
    assert verdict((leaf, intermediate, *[bytes((n,)) for n in range(39)]), TRUST) == "limit_exceeded"
    assert verdict((leaf, intermediate), TRUST, limits=Limits(octets=len(leaf))) == "limit_exceeded"
    assert verdict((leaf, intermediate, b"\0" * 256 * 1024), TRUST) == "limit_exceeded"
    assert verdict((leaf, intermediate), TRUST, limits=Limits(octets=len(leaf) + len(intermediate))) == ACCEPTED


# cryptography warns of it while parsing.
@pytest.mark.filterwarnings("ignore:Parsed a serial number")
def test_serial_zero_is_read() -> None:
    assert judged(leaf=lambda f: f.but(serial=integer(0))) == ACCEPTED
    assert judged(leaf=lambda f: f.but(serial=integer(0)), profile=RFC5280) == "profile_violation:odd_serial"
    assert judged(root=lambda f: f.but(serial=integer(0)), profile=RFC5280) == ACCEPTED
