"""Name constraints: each form permitted and excluded, on intermediates and anchors, intersected, and incomparable."""

from __future__ import annotations

import time
from typing import Any

import pytest
from cryptography import x509

from mtlskit.core.validation import COMPATIBLE, RFC5280, WEBPKI, Limits, TrustStore
from mtlskit.testing.certificates import Authority
from support.der import Fields, cn, der_of, encode, extension, name, oid, seq
from support.validation import ACCEPTED, INTERMEDIATE, LEAF_FIELDS, ROOT, judged, load, verdict

CONSTRAINTS, SAN = "2.5.29.30", "2.5.29.17"
DNS, EMAIL, URI, IP, DIRECTORY, REGISTERED = 0x82, 0x81, 0x86, 0x87, 0xA4, 0x88


def subtree(tag: int, value: bytes, *bounds: bytes) -> bytes:
    return seq(encode(tag, value), *bounds)


def constraints(permitted: tuple[bytes, ...] = (), excluded: tuple[bytes, ...] = ()) -> bytes:
    return seq(
        encode(0xA0, *permitted) if permitted else b"", encode(0xA1, *excluded) if excluded else b""
    )  # fmt: skip


def under(value: bytes, *sans: bytes, subject: bytes | None = None, **options: Any) -> str:
    """The verdict on a leaf with these SANs below an intermediate with these constraints."""

    def leaf(fields: Fields) -> Fields:
        fields = fields.instead(SAN, seq(*sans)) if sans else fields.without(SAN)
        return fields.but(subject=subject) if subject is not None else fields

    return judged(leaf=leaf, intermediate=lambda f: f.plus(extension(CONSTRAINTS, value, critical=True)), **options)


def dns(text: str) -> bytes:
    return encode(DNS, text.encode())


# form, base, name, inside of it?
CASES = [
    (DNS, b"example.com", b"example.com", True),
    (DNS, b"example.com", b"a.b.example.com", True),
    (DNS, b"Example.COM", b"A.example.com", True),
    (DNS, b"example.com", b"badexample.com", False),
    (DNS, b"a.example.com", b"example.com", False),
    (DNS, b"", b"anything.example", True),
    (DNS, b"example.com", b"*.example.com", True),
    (DNS, b"example.com", b"*.a.example.com", True),
    (DNS, b".example.com", b"a.example.com", True),
    (DNS, b".example.com", b"*.example.com", True),
    (DNS, b".example.com", b"example.com", False),
    (EMAIL, b"user@example.com", b"user@EXAMPLE.com", True),
    (EMAIL, b"user@example.com", b"User@example.com", False),
    (EMAIL, b"example.com", b"user@example.com", True),
    (EMAIL, b"example.com", b"user@mail.example.com", False),
    (EMAIL, b".example.com", b"user@mail.example.com", True),
    (EMAIL, b".example.com", b"user@example.com", False),
    (EMAIL, b"example.com", b'"a@b"@example.com', True),
    (EMAIL, b"*@example.com", b"user@example.com", False),
    (EMAIL, b"**@example.com", b"**@example.com", True),
    (URI, b"example.com", b"https://example.com/path?q#f", True),
    (URI, b"example.com", b"https://user@EXAMPLE.com:8443/path", True),
    (URI, b"example.com", b"https://a.example.com/", False),
    (URI, b".example.com", b"https://a.example.com/", True),
    (URI, b".example.com", b"https://example.com/", False),
    (URI, b"trust.example", b"spiffe://trust.example/ns/a/sa/b", True),
    (URI, b"trust.example", b"spiffe://other.example/ns/a/sa/b", False),
    (URI, b"trust.example", b"spiffe://trust.example.attacker.example/", False),
    (IP, bytes((10, 0, 0, 0, 255, 0, 0, 0)), bytes((10, 1, 2, 3)), True),
    (IP, bytes((10, 0, 0, 0, 255, 0, 0, 0)), bytes((11, 1, 2, 3)), False),
    (IP, bytes((10, 0, 0, 0, 255, 255, 255, 255)), bytes((10, 0, 0, 1)), False),
    (IP, bytes((0x20, 1, *[0] * 14, 255, 255, *[0] * 14)), bytes((0x20, 1, *[7] * 14)), True),
    (IP, bytes((0x20, 1, *[0] * 14, 255, 255, *[0] * 14)), bytes((10, 1, 2, 3)), False),
    (DIRECTORY, cn("Acme"), cn("ACME "), True),
    (DIRECTORY, cn("Acme"), name(("2.5.4.3", 0x0C, b"Acme"), ("2.5.4.11", 0x13, b"x")), True),
    (DIRECTORY, name(("2.5.4.3", 0x0C, b"Acme"), ("2.5.4.11", 0x13, b"x")), cn("Acme"), False),
    (DIRECTORY, cn("Acme"), cn("Other"), False),
    (DIRECTORY, seq(), cn("Anybody"), True),
]  # fmt: skip


@pytest.mark.parametrize(("tag", "base", "value", "inside"), CASES)
def test_a_name_inside_and_outside_of_a_subtree(tag: int, base: bytes, value: bytes, inside: object) -> None:
    own, found = subtree(tag, base), encode(tag, value)
    # The subject is a directoryName too; an empty one leaves the SAN alone with the constraint.
    assert _alone(constraints(permitted=(own,)), found) == (ACCEPTED if inside else "name_not_permitted")
    assert _alone(constraints(excluded=(own,)), found) == ("name_not_permitted" if inside else ACCEPTED)


def _alone(value: bytes, found: bytes) -> str:
    def leaf(fields: Fields) -> Fields:
        return fields.but(subject=seq()).without(SAN).plus(extension(SAN, seq(found), critical=True))

    return judged(leaf=leaf, intermediate=lambda f: f.plus(extension(CONSTRAINTS, value, critical=True)))


# A name, or a constraint, that cannot be compared is refused permitted and excluded.
INCOMPARABLE = [
    (DNS, b"example.com", b"a..example.com"),
    (DNS, b"example.com", b"example.com."),
    (DNS, b"example.com", b"f*o.example.com"),
    (DNS, b"example.com", b"*"),
    (DNS, b"exa mple", b"a.example.com"),
    (EMAIL, b"example.com", b"nobody"),
    (EMAIL, b"example.com", b"a@b@example.com"),
    (EMAIL, b"a@b@c", b"user@example.com"),
    (URI, b"example.com", b"urn:example:device"),
    (URI, b"example.com", b"https://10.0.0.1/"),
    (URI, b"example.com", b"https://[2001:db8::1]/"),
    (URI, b"https://example.com", b"https://example.com/"),
    (REGISTERED, b"\x2a\x03", b"\x2a\x03"),
    (0xA0, oid("1.2.3") + encode(0xA0, encode(12, b"x")), oid("1.2.3") + encode(0xA0, encode(12, b"y"))),
]


@pytest.mark.parametrize(("tag", "base", "value"), INCOMPARABLE)
def test_what_cannot_be_compared_is_refused(tag: int, base: bytes, value: bytes) -> None:
    own, found = subtree(tag, base), encode(tag, value)
    assert _alone(constraints(permitted=(own,)), found) == "name_not_permitted"
    assert _alone(constraints(excluded=(own,)), found) == "name_not_permitted"


@pytest.mark.parametrize(("tag", "base", "value"), INCOMPARABLE)
def test_a_constraint_on_a_form_that_no_name_has_says_nothing(tag: int, base: bytes, value: bytes) -> None:
    other = encode(IP, b"\x0a\0\0\1") if tag != IP else dns("a.example")
    assert _alone(constraints(permitted=(subtree(tag, base),)), other) == ACCEPTED


@pytest.mark.parametrize("bound", [encode(0x80, b"\1"), encode(0x81, b"\2")])
def test_minimum_and_maximum_cannot_be_compared(bound: bytes) -> None:
    assert _alone(constraints(permitted=(subtree(DNS, b"example", bound),)), dns("a.example")) == "name_not_permitted"
    assert _alone(constraints(permitted=(subtree(DNS, b"example", bound),)), encode(IP, b"\1\2\3\4")) == ACCEPTED


def test_an_email_address_hidden_in_an_other_name_is_bound_by_email_constraints() -> None:
    hidden = encode(0xA0, oid("1.3.6.1.5.5.7.8.9"), encode(0xA0, encode(12, b"user@example.com")))
    assert _alone(constraints(excluded=(subtree(EMAIL, b"example.com"),)), hidden) == "name_not_permitted"
    assert _alone(constraints(excluded=(subtree(DNS, b"example.com"),)), hidden) == ACCEPTED


def test_a_wildcard_that_could_stand_for_an_excluded_name_is_refused() -> None:
    excluded = constraints(excluded=(subtree(DNS, b"secret.example.com"),))
    assert under(excluded, dns("*.example.com")) == "name_not_permitted"
    assert under(excluded, dns("*.other.example.com")) == ACCEPTED
    assert under(constraints(permitted=(subtree(DNS, b"a.example.com"),)), dns("*.example.com")) == "name_not_permitted"


def test_excluded_beats_permitted() -> None:
    both = constraints((subtree(DNS, b"example.com"),), (subtree(DNS, b"bad.example.com"),))
    assert under(both, dns("good.example.com")) == ACCEPTED
    assert under(both, dns("very.bad.example.com")) == "name_not_permitted"


def test_every_name_of_the_form_must_be_inside() -> None:
    permitted = constraints(permitted=(subtree(DNS, b"example.com"), subtree(DNS, b"example.org")))
    assert under(permitted, dns("a.example.com"), dns("b.example.org")) == ACCEPTED
    assert under(permitted, dns("a.example.com"), dns("b.example.net")) == "name_not_permitted"


def test_the_subject_counts_as_a_directory_name() -> None:
    permitted = constraints(permitted=(subtree(DIRECTORY, cn("Acme")),))
    assert under(permitted, dns("a.example"), subject=cn("acme")) == ACCEPTED
    assert under(permitted, dns("a.example"), subject=cn("Other")) == "name_not_permitted"
    inside = encode(DIRECTORY, cn("Acme"))
    assert under(permitted, inside, subject=cn("Other")) == "name_not_permitted"


def test_an_unreadable_value_is_never_outside_of_what_is_excluded() -> None:
    excluded = constraints(excluded=(subtree(DIRECTORY, cn("Acme")),))
    odd = name(("2.5.4.3", 0x0C, b"Fine"), ("2.5.4.45", 0x03, b"\0\1"))
    assert under(excluded, dns("a.example"), subject=cn("Fine")) == ACCEPTED
    assert under(excluded, dns("a.example"), subject=odd) == "name_not_permitted"


@pytest.mark.parametrize(("text", "expected"), [
    ("evil.example.com", "name_not_permitted"),
    ("good.example.org", ACCEPTED),
    ("just a device", ACCEPTED),
    ("device", ACCEPTED),
])  # fmt: skip
def test_without_a_san_a_common_name_that_is_a_dns_name_is_bound(text: str, expected: str) -> None:
    permitted = constraints(permitted=(subtree(DNS, b"example.org"),))
    assert under(permitted, subject=cn(text)) == expected
    assert under(permitted, encode(IP, b"\1\2\3\4"), subject=cn(text)) == ACCEPTED


def test_an_address_in_the_subject_is_bound_where_no_san_has_one() -> None:
    permitted = constraints(permitted=(subtree(EMAIL, b"example.org"),))
    inside, outside = (
        name(("2.5.4.3", 0x0C, b"x"), ("1.2.840.113549.1.9.1", 0x16, address))
        for address in (b"user@example.org", b"user@example.com")
    )
    assert under(permitted, dns("a.example"), subject=inside) == ACCEPTED
    assert under(permitted, dns("a.example"), subject=outside) == "name_not_permitted"


def test_the_sets_of_all_cas_are_intersected() -> None:
    wide, narrow, apart = (
        x509.NameConstraints([x509.DNSName(base)], None) for base in ("example", "a.example", "b.test")
    )
    for outer, inner, expected in (
        (wide, narrow, ACCEPTED),
        (narrow, wide, ACCEPTED),
        (apart, wide, "name_not_permitted"),
    ):
        top = ROOT.intermediate("Outer", extensions=[(outer, True)])
        low = top.intermediate("Inner", extensions=[(inner, True)])
        assert verdict(low.leaf(sans=["dns:x.a.example"]).presented(), TrustStore([ROOT.certificate])) == expected


def test_the_anchors_constraints_apply() -> None:
    root = Authority.root("Narrow", extensions=[(x509.NameConstraints(None, [x509.DNSName("example")]), True)])
    trust = TrustStore([root.certificate])
    assert verdict(root.leaf(sans=["dns:a.example"]).presented(), trust) == "name_not_permitted"
    assert verdict(root.intermediate("Below").leaf(sans=["dns:a.test"]).presented(), trust) == ACCEPTED


def test_an_intermediates_own_names_are_bound_unless_it_is_self_issued() -> None:
    root = Authority.root(
        "Narrow", extensions=[(x509.NameConstraints([x509.DirectoryName(_name("Acme"))], None), True)]
    )
    trust = TrustStore([root.certificate])
    below = root.intermediate("Stranger")
    acme = Fields.of(der_of(below.leaf(sans=["dns:a.example"]).certificate)).but(subject=cn("Acme"))
    assert verdict((acme.sign(below.key), der_of(below.certificate)), trust) == "name_not_permitted"
    rolled = Fields.of(der_of(below.certificate)).but(subject=cn("Narrow"))
    leaf = acme.but(issuer=cn("Narrow"))
    assert verdict((leaf.sign(below.key), rolled.sign(root.key)), trust) == ACCEPTED


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, text)])


def test_a_self_issued_leaf_is_bound() -> None:
    root = Authority.root("Narrow", extensions=[(x509.NameConstraints([x509.DNSName("example")], None), True)])
    leaf = Fields.of(der_of(root.leaf(sans=["dns:a.test"]).certificate)).but(subject=cn("Narrow"))
    assert verdict((leaf.sign(root.key),), TrustStore([root.certificate])) == "name_not_permitted"


@pytest.mark.parametrize(("profile", "expected"), [
    (COMPATIBLE, ACCEPTED), (RFC5280, "name_not_permitted"), (WEBPKI, "name_not_permitted"),
])  # fmt: skip
def test_a_dns_constraint_with_a_leading_dot(profile: Any, expected: str) -> None:
    assert under(constraints(permitted=(subtree(DNS, b".example"),)), dns("a.example"), profile=profile) == expected


def test_constraints_that_are_not_critical_are_enforced() -> None:
    value = constraints(permitted=(subtree(DNS, b"example.com"),))
    verdicts = [
        judged(intermediate=lambda f: f.plus(extension(CONSTRAINTS, value)), leaf=_with(dns(text)))
        for text in ("a.example.com", "a.example.org")
    ]
    assert verdicts == [ACCEPTED, "name_not_permitted"]


def _with(*sans: bytes) -> Any:
    return lambda fields: fields.instead(SAN, seq(*sans))


def test_many_names_against_many_constraints_are_answered_or_refused_in_time() -> None:
    names = [dns(f"host{number}.example.com") for number in range(2_000)]
    bases = [subtree(DNS, f"n{number}.example".encode()) for number in range(1_000)]
    few, many = constraints(permitted=(*bases[:100], subtree(DNS, b"com"))), constraints(permitted=tuple(bases))
    start = time.perf_counter()
    assert under(few, *names) == ACCEPTED
    assert under(many, *names) == "limit_exceeded"
    assert time.perf_counter() - start < 1
    assert under(few, *names, limits=Limits(comparisons=2_000 * 101 - 1)) == "limit_exceeded"
    assert under(few, *names, limits=Limits(comparisons=2_000 * 101)) == ACCEPTED


def test_the_refusal_names_the_form() -> None:
    from support.validation import refusal

    fields = LEAF_FIELDS.instead(SAN, seq(dns("a.test")))
    value = extension(CONSTRAINTS, constraints(permitted=(subtree(DNS, b"example"),)), critical=True)
    ca = Fields.of(der_of(INTERMEDIATE.certificate)).plus(value)
    presented = (fields.sign(INTERMEDIATE.key), ca.sign(ROOT.key))
    error = refusal(presented, TrustStore([ROOT.certificate]))
    assert error is not None
    assert error.facts == {"form": "dns"}
    assert error.certificate == load(presented[0])
