"""A name's texts are OpenSSL's, whatever an authority put into the name, and their readings are told apart (I9)."""

from __future__ import annotations

import pytest
from cryptography import x509
from cryptography.x509.name import _ASN1Type
from cryptography.x509.oid import NameOID, ObjectIdentifier
from hypothesis import given
from hypothesis import strategies as st

from mtlskit.core.certificates import read_certificate, to_der
from mtlskit.core.distinguished_names import SHORT_NAMES, legacy_text, readable_name, rfc2253_text, unambiguous_name
from mtlskit.testing.certificates import Authority, build, new_key

pytestmark = pytest.mark.invariant(9)

ROOT = Authority.root()
KEY = new_key()
UNKNOWN = ObjectIdentifier("1.2.3.4.5")


def attribute(value, oid=NameOID.COMMON_NAME, kind=None):
    return x509.NameAttribute(oid, value, kind, _validate=False) if kind else x509.NameAttribute(oid, value)


def name(*rdns):
    """A name of relative names (lists of attributes), as it is read from a certificate."""
    subject = x509.Name([x509.RelativeDistinguishedName(rdn) for rdn in rdns])
    certificate = build(
        subject=subject, issuer=ROOT.certificate.subject, public_key=KEY.public_key(), signing_key=ROOT.key
    )
    return read_certificate(to_der(certificate)).subject


def of(value, oid=NameOID.COMMON_NAME, kind=None):
    return name([attribute(value, oid, kind)])


PLAIN = name(
    [attribute("US", NameOID.COUNTRY_NAME)],
    [attribute("Texas", NameOID.STATE_OR_PROVINCE_NAME)],
    [attribute("Austin", NameOID.LOCALITY_NAME)],
    [attribute("Access", NameOID.ORGANIZATION_NAME)],
    [attribute("Access Admins", NameOID.ORGANIZATIONAL_UNIT_NAME)],
    [attribute("James Royal")],
)
TWO_IN_ONE = name(
    [attribute("a"), attribute("b", NameOID.ORGANIZATION_NAME)], [attribute("u", NameOID.ORGANIZATIONAL_UNIT_NAME)]
)

# What `openssl x509 -subject -nameopt RFC2253` says of each, and `X509_NAME_oneline`.
TEXTS = [
    (PLAIN, "CN=James Royal,OU=Access Admins,O=Access,L=Austin,ST=Texas,C=US",
     "/C=US/ST=Texas/L=Austin/O=Access/OU=Access Admins/CN=James Royal"),
    (name(), "", ""),
    (of("Cloudflare, Inc.", NameOID.ORGANIZATION_NAME), r"O=Cloudflare\, Inc.", "/O=Cloudflare, Inc."),
    (TWO_IN_ONE, "OU=u,O=b+CN=a", "/CN=a/O=b/OU=u"),
    (of("svc\0.evil"), r"CN=svc\00.evil", r"/CN=svc\x00.evil"),
    (of(' #a,b+c"d\\e<f>g;h=i/j#k '), r'CN=\ #a\,b\+c\"d\\e\<f\>g\;h=i/j#k\ ', '/CN= #a,b+c"d\\e<f>g;h=i/j#k '),
    (of("#a"), r"CN=\#a", "/CN=#a"),
    (of(" "), "CN=\\ ", "/CN= "),
    (of("a\nb\x7f"), r"CN=a\0Ab\7F", r"/CN=a\x0Ab\x7F"),
    (of("M\xfcller \u200b"), r"CN=M\C3\BCller \E2\80\8B", r"/CN=M\xC3\xBCller \xE2\x80\x8B"),
    (of("x=y", UNKNOWN), "1.2.3.4.5=#0C03783D79", "/1.2.3.4.5=x=y"),
    (of("x" * 200, UNKNOWN), "1.2.3.4.5=#0C81C8" + "78" * 200, "/1.2.3.4.5=" + "x" * 200),
    (of("sv\u010d", kind=_ASN1Type.BMPString), r"CN=sv\C4\8D", r"/CN=sv\xC4\x8D"),
    (of("sv\xe9", kind=_ASN1Type.T61String), r"CN=sv\C3\83\C2\A9", r"/CN=sv\xC3\xA9"),
    (of("sv\U0001f600", kind=_ASN1Type.UniversalString), r"CN=sv\F0\9F\98\80", r"/CN=sv\xF0\x9F\x98\x80"),
    (of("12", kind=_ASN1Type.NumericString), "CN=12", "/CN=12"),
    (of(b"\x00\xab", NameOID.X500_UNIQUE_IDENTIFIER, _ASN1Type.BitString),
     "x500UniqueIdentifier=#030200AB", r"/x500UniqueIdentifier=\xAB"),
]  # fmt: skip


@pytest.mark.parametrize(("given_name", "rfc2253", "legacy"), TEXTS, ids=[text for _, text, _ in TEXTS])
def test_a_name_has_the_texts_that_openssl_gives_it(given_name, rfc2253, legacy):
    assert (rfc2253_text(given_name), legacy_text(given_name)) == (rfc2253, legacy)


def test_every_short_name_is_of_one_type():
    assert len(set(SHORT_NAMES.values())) == len(SHORT_NAMES)


@pytest.mark.parametrize("kind", [_ASN1Type.UTF8String, _ASN1Type.PrintableString, _ASN1Type.BMPString])
def test_a_string_type_with_one_reading_does_not_show(kind):
    assert rfc2253_text(of("svc", kind=kind)) == "CN=svc"
    assert legacy_text(of("svc", kind=kind)) == "/CN=svc"
    assert unambiguous_name(of("svc", kind=kind))


UNREADABLE = {
    "NUL": of("svc\0"),
    "teletex": of("svc", kind=_ASN1Type.T61String),
    "universal": of("svc", kind=_ASN1Type.UniversalString),
    "numeric": of("12", kind=_ASN1Type.NumericString),
    # `cryptography` refuses these two before they come here.
    "not ASCII in a PrintableString": x509.Name([attribute("sv\xe9", kind=_ASN1Type.PrintableString)]),
    "not ASCII in an IA5String": x509.Name([attribute("sv\xe9", NameOID.EMAIL_ADDRESS, _ASN1Type.IA5String)]),
    "a bit string": of(b"\x00\xab", NameOID.X500_UNIQUE_IDENTIFIER, _ASN1Type.BitString),
}
AMBIGUOUS = (
    UNREADABLE
    | {
        "two in one relative name": TWO_IN_ONE,
        "empty": of("", NameOID.ORGANIZATION_NAME, _ASN1Type.UTF8String),
        "a space before": of(" svc"),
        "a space after": of("svc "),
        "a line": of("svc\nO=evil"),
        "a zero-width space": of("svc\u200b"),
        "an override of direction": of("svc\u202e"),
    }
    | {f"the character {each}": of(f"svc{each}evil") for each in ',+="\\<>;#/'}
)


@pytest.mark.parametrize("case", UNREADABLE)
def test_a_name_that_readers_could_read_in_two_ways_is_not_readable(case):
    assert not readable_name(UNREADABLE[case])


@pytest.mark.parametrize("case", AMBIGUOUS)
def test_a_name_that_could_be_taken_for_another_is_ambiguous(case):
    assert not unambiguous_name(AMBIGUOUS[case])


@pytest.mark.parametrize("clear", [PLAIN, name(), of("svc"), of("M\xfcller"), of("x", UNKNOWN), of("a.b-c_d@e:f'(g)")])
def test_a_plain_name_is_unambiguous(clear):
    assert unambiguous_name(clear)
    assert readable_name(clear)


TYPES = st.sampled_from([NameOID.COMMON_NAME, NameOID.ORGANIZATION_NAME, NameOID.SURNAME, UNKNOWN])
VALUES = st.text(st.sampled_from('ab,+="\\<>;# /\x01\xe9\u20acCNO0123456789'), min_size=1, max_size=6)
NAMES = st.lists(
    st.lists(st.tuples(TYPES, VALUES), min_size=1, max_size=2, unique_by=lambda each: each[0].dotted_string), max_size=3
)


def made(rdns):
    relative = [[attribute(value, oid) for oid, value in sorted(rdn, key=str)] for rdn in rdns]
    return x509.Name([x509.RelativeDistinguishedName(rdn) for rdn in relative])


@given(NAMES, NAMES)
def test_two_readable_names_have_one_text_only_if_they_are_the_same(one, other):
    first, second = made(one), made(other)
    assert (rfc2253_text(first) == rfc2253_text(second)) is (first == second)
    if unambiguous_name(first) and unambiguous_name(second):
        assert (legacy_text(first) == legacy_text(second)) is (first == second)


@given(NAMES)
def test_the_text_of_readable_attributes_can_be_read_again(rdns):
    read = x509.Name.from_rfc4514_string(rfc2253_text(known(rdns)), {"SN": NameOID.SURNAME})
    assert read == known(rdns)


def known(rdns):
    return made(
        [[(oid, value) for oid, value in rdn if oid != UNKNOWN] or [(NameOID.COMMON_NAME, "x")] for rdn in rdns]
    )


@given(st.text(max_size=8), st.sampled_from(list(_ASN1Type)))
def test_no_text_raises(value, kind):
    if kind is not _ASN1Type.BitString:
        odd = x509.Name([attribute(value, NameOID.ORGANIZATION_NAME, kind)])
        assert rfc2253_text(odd).isascii()
        assert legacy_text(odd).isascii()
        assert isinstance(unambiguous_name(odd), bool)
