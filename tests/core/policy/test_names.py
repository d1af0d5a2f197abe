"""Rules match what a certificate says as typed values, and nothing that only looks like it (I9)."""

import ipaddress

import pytest
from cryptography import x509
from cryptography.x509.name import _ASN1Type
from cryptography.x509.oid import NameOID

from mtlskit.core import rules
from mtlskit.core.certificates import ClientIdentity, read_certificate, to_der
from mtlskit.core.policy import AccessPolicy, Cause, evaluate
from mtlskit.errors import ConfigurationError, InvalidName
from mtlskit.testing.certificates import Authority, build, new_key

ROOT = Authority.root()
KEY = new_key()

pytestmark = pytest.mark.invariant(9)


def attribute(oid, value, kind=None):
    return x509.NameAttribute(oid, value, kind, _validate=False) if kind else x509.NameAttribute(oid, value)


def client(*rdns, sans=()):
    """A client whose subject has these relative names (lists of attributes), and these SAN entries."""
    subject = x509.Name([x509.RelativeDistinguishedName(rdn) for rdn in rdns])
    extensions = [(x509.SubjectAlternativeName(sans), False)] if sans else []
    certificate = build(
        subject=subject, issuer=ROOT.certificate.subject, public_key=KEY.public_key(), signing_key=ROOT.key,
        extensions=extensions,
    )  # fmt: skip
    return ClientIdentity.of(read_certificate(to_der(certificate)), hostname="pay.acme.example", anchor_id="acme")


def cn(value, kind=None):
    return attribute(NameOID.COMMON_NAME, value, kind)


def email_entry(value):
    """An rfc822Name as a hostile authority could write it."""
    return x509.RFC822Name._init_without_validation(value)


def is_let_in(rule, identity):
    return evaluate([AccessPolicy(decision="allow", include=[rule])], identity).allowed


def is_kept_out(rule, identity):
    """Whether an exclusion of `rule` shuts the client out."""
    policy = AccessPolicy(decision="allow", include=[rules.any_valid_certificate()], exclude=[rule])
    return not evaluate([policy], identity).allowed


NOT_SVC = {
    "two relative names": client([cn("svc")], [cn("evil")]),
    "two, ours last": client([cn("evil")], [cn("svc")]),
    "two in one relative name": client([cn("svc"), cn("evil")]),
    "the same twice": client([cn("svc")], [cn("svc", _ASN1Type.PrintableString)]),
    "NUL": client([cn("svc\0.evil")]),
    "more behind a comma": client([cn("svc,O=evil")]),
    "as text of the whole subject": client([cn("CN=svc,O=evil")]),
    "with a backslash": client([cn("svc\\,O=evil")]),
    "Cyrillic es": client([cn("\u0455vc")]),
    "full width": client([cn("\uff53vc")]),
    "zero width": client([cn("svc\u200b")]),
    "a space after": client([cn("svc ")]),
    "upper case": client([cn("SVC")]),
    "teletex": client([cn("svc", _ASN1Type.T61String)]),
    "in the organisation": client([attribute(NameOID.ORGANIZATION_NAME, "svc")]),
    "in the organisation, beside another": client([cn("evil")], [attribute(NameOID.ORGANIZATION_NAME, "svc")]),
    "in a SAN": client(sans=[x509.DNSName("svc")]),
}
AMBIGUOUS = (
    "two relative names", "two, ours last", "two in one relative name", "the same twice", "NUL", "teletex",
)  # fmt: skip


@pytest.mark.parametrize("identity", NOT_SVC.values(), ids=NOT_SVC)
def test_a_common_name_that_only_looks_like_it_does_not_match(identity):
    assert not is_let_in(rules.common_name("svc"), identity)


@pytest.mark.parametrize("case", AMBIGUOUS)
def test_a_common_name_without_a_single_reading_is_caught_by_every_exclusion_and_every_deny(case):
    assert is_kept_out(rules.common_name("svc"), NOT_SVC[case])
    denying = AccessPolicy(decision="deny", include=[rules.common_name("svc")])
    allowing = AccessPolicy(decision="allow", include=[rules.any_valid_certificate()])
    outcome = evaluate([allowing, denying], NOT_SVC[case])
    assert (outcome.allowed, outcome.cause) == (False, Cause.POLICY)


@pytest.mark.parametrize("case", sorted(set(NOT_SVC) - set(AMBIGUOUS)))
def test_a_common_name_that_is_clearly_another_is_not_excluded(case):
    assert not is_kept_out(rules.common_name("svc"), NOT_SVC[case])


@pytest.mark.parametrize("kind", [_ASN1Type.UTF8String, _ASN1Type.PrintableString, _ASN1Type.BMPString])
def test_a_common_name_matches_in_every_string_type_with_one_reading(kind):
    assert is_let_in(rules.common_name("svc"), client([cn("svc", kind)]))


def test_a_multi_valued_relative_name_is_read_attribute_by_attribute():
    both = client([cn("a"), attribute(NameOID.ORGANIZATION_NAME, "b")])

    assert is_let_in(rules.common_name("a"), both)
    for text in ("a+O=b", "CN=a+O=b", "O=b+CN=a", "b"):
        assert not is_let_in(rules.common_name(text), both)


NOT_THE_SAN = {
    "dns:a.example": [
        x509.DNSName("b.example,DNS:a.example"),
        x509.DNSName("*.example"),
        x509.DNSName("a.example.evil.example"),
        x509.DNSName("a.example\0.evil.example"),
        x509.DNSName("a.example:443"),
        x509.DNSName("a..example"),
        x509.DNSName("xn--80a.example"),
        x509.UniformResourceIdentifier("a.example"),
        x509.UniformResourceIdentifier("dns:a.example"),
        email_entry("a.example"),
        x509.OtherName(NameOID.COMMON_NAME, b"\x0c\x09a.example"),
        x509.DirectoryName(x509.Name([cn("a.example")])),
    ],
    "uri:urn:a:b": [
        x509.UniformResourceIdentifier("urn:a:b,URI:urn:a:c"),
        x509.UniformResourceIdentifier("urn:c,urn:a:b"),
        x509.UniformResourceIdentifier("URN:a:b"),
        x509.UniformResourceIdentifier("urn:a:B"),
        x509.UniformResourceIdentifier("urn:a:b/"),
        x509.UniformResourceIdentifier("urn:a:%62"),
        x509.UniformResourceIdentifier("urn:a:b\0"),
        x509.DNSName("urn:a:b"),
        x509.RegisteredID(NameOID.COMMON_NAME),
    ],
    "email:ops@a.example": [
        email_entry("OPS@a.example"),
        email_entry("ops@a.example@evil.example"),
        email_entry("ops@evil.example,ops@a.example"),
        email_entry("ops@a.example:25"),
        email_entry("a.example"),
        x509.UniformResourceIdentifier("mailto:ops@a.example"),
    ],
    "ip:192.0.2.1": [
        x509.DNSName("192.0.2.1"),
        x509.IPAddress(ipaddress.ip_address("192.0.2.2")),
        x509.IPAddress(ipaddress.ip_address("::ffff:192.0.2.1")),
        x509.IPAddress(ipaddress.ip_network("192.0.2.1/32")),
        x509.IPAddress(ipaddress.ip_network("192.0.2.0/24")),
    ],
}


@pytest.mark.parametrize(
    ("rule", "entry"), [(rule, entry) for rule, entries in NOT_THE_SAN.items() for entry in entries], ids=str
)
def test_a_san_that_only_looks_like_it_does_not_match(rule, entry):
    assert not is_let_in(rules.san(rule), client(sans=[entry]))


@pytest.mark.parametrize(
    ("rule", "entry"),
    [
        ("dns:a.example", x509.DNSName("A.Example.")),
        ("dns:*.a.example", x509.DNSName("*.A.example")),
        ("dns:bücher.example", x509.DNSName("xn--bcher-kva.example")),
        ("uri:urn:a,b:c", x509.UniformResourceIdentifier("urn:a,b:c")),
        ("email:Ops@a.example", email_entry("Ops@A.EXAMPLE")),
        ("ip:2001:db8::1", x509.IPAddress(ipaddress.ip_address("2001:0db8:0:0::1"))),
    ],
)
def test_a_san_matches_in_its_types_canonical_form(rule, entry):
    assert is_let_in(rules.san(rule), client(sans=[x509.DNSName("other.example"), entry]))


def test_a_san_that_cannot_be_read_is_caught_by_every_exclusion_of_its_type():
    unreadable = client(sans=[x509.DNSName("a.example\0.evil.example")])

    assert is_kept_out(rules.dns("other.example"), unreadable)
    assert not is_kept_out(rules.email("ops@a.example"), unreadable)


@pytest.mark.parametrize(
    ("make", "value", "error"),
    [
        (rules.common_name, "", ConfigurationError),
        (rules.common_name, "svc\0", ConfigurationError),
        (rules.common_name, None, ConfigurationError),
        (rules.san, "a.example", InvalidName),
        (rules.san, "dns:", InvalidName),
        (rules.san, "DNS:a.example", InvalidName),
        (rules.dns, "192.0.2.1", InvalidName),
        (rules.dns, "a.example:443", InvalidName),
        (rules.dns, "https://a.example", InvalidName),
        (rules.uri, "no scheme", InvalidName),
        (rules.email, "ops", InvalidName),
        (rules.ip, "192.0.2", InvalidName),
        (rules.ip, "192.0.2.1/24", InvalidName),
        (rules.ip, "fe80::1%eth0", InvalidName),
        (rules.fingerprint, "ab" * 20, ConfigurationError),
        (rules.fingerprint, "zz" * 32, ConfigurationError),
        (rules.fingerprint, b"\0" * 32, ConfigurationError),
        (rules.serial, 0, ConfigurationError),
        (rules.serial, -1, ConfigurationError),
        (rules.serial, True, ConfigurationError),
        (rules.serial, 1 << 160, ConfigurationError),
        (rules.serial, "0x1F", ConfigurationError),
        (rules.serial, "-1F", ConfigurationError),
        (rules.serial, "", ConfigurationError),
        (rules.serial, 1.0, ConfigurationError),
        (rules.common_name, 7, ConfigurationError),
    ],
)
def test_a_rule_that_could_never_match_is_refused(make, value, error):
    with pytest.raises(error, match="expected "):
        make(value)


def test_rules_are_equal_in_whatever_spelling_they_are_written():
    assert rules.fingerprint("AB:" * 31 + "AB") == rules.fingerprint("ab" * 32)
    assert rules.serial("00:1F") == rules.serial("1f") == rules.serial(31)
    assert rules.dns("A.example.") == rules.san("dns:a.example")
    assert rules.dns(one_of=["b.example", "A.example", "a.example."]) == rules.dns(one_of=["a.example", "b.example"])
    assert rules.ip("192.0.2.1/32") == rules.ip(one_of=["192.0.2.1"])
