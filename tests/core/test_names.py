"""Hostnames: one spelling for all, and nothing that could be two things."""

from __future__ import annotations

import string
from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from mtlskit.core.names import (
    Hostname,
    HostnamePattern,
    SanType,
    SubjectAlternativeName,
    matches_reference,
    pattern_keys,
)
from mtlskit.errors import InvalidName

_INNER = string.ascii_lowercase + string.digits + "-_"
_EDGE = string.ascii_lowercase + string.digits + "_"
labels = st.one_of(
    st.text(_EDGE, min_size=1, max_size=1),
    st.builds(
        lambda first, middle, last: first + middle + last,
        st.sampled_from(_EDGE),
        st.text(_INNER, max_size=20),
        st.sampled_from(_EDGE),
    ),
)
hostnames = (
    st.lists(labels, min_size=1, max_size=5).map(".".join).filter(lambda name: not name.split(".")[-1][0].isdigit())
)
spellings = st.tuples(
    hostnames,
    st.randoms(use_true_random=False),
    st.sampled_from(["", "."]),
    st.one_of(st.just(""), st.integers(0, 65535).map(lambda port: f":{port}")),
)


@given(spellings)
def test_every_spelling_of_a_name_is_one_name(spelling: tuple[str, object, str, str]) -> None:
    name, random, dot, port = spelling
    spoken = "".join(random.choice([c.lower(), c.upper()]) for c in name)  # type: ignore[attr-defined]
    assert Hostname.parse(spoken + dot + port) == Hostname.parse(name)
    assert str(Hostname.parse(name)) == name


@given(st.text(max_size=300))
@example("ﬀ.example")
@example("İstanbul.example")
@example("xn--.example")
@example("a\u0345.example")
@example("a。b")
def test_whatever_comes_is_a_stable_ascii_name_or_refused(text: str) -> None:
    try:
        hostname = Hostname.parse(text)
    except InvalidName as error:
        assert str(error).startswith("expected")
        return
    assert hostname.name.isascii()
    assert hostname.name == hostname.name.lower()
    assert set(hostname.name) <= set(_INNER + ".")
    assert len(hostname.name) <= 253
    assert Hostname.parse(hostname.name) == hostname


@given(hostnames, hostnames)
def test_different_names_stay_different(one: str, other: str) -> None:
    assume(one != other)
    assert Hostname.parse(one) != Hostname.parse(other)


@pytest.mark.parametrize(
    "text",
    [
        "", ".", "..", "a..b", ".a", "a..", "-a.example", "a-.example", "a b", " a", "a ", "a\tb", "a\nb", "a\0", "a\0.b",
        "*", "*.a", "a/b", "a\\b", "a@b", "a?b", "a#b", "a%2e", "a%00", "[::1]", "::1", "[::1]:443", "1.2.3.4", "1.2.3.4.",
        "127.1", "2130706433", "0x7f000001", "0x7f.1", "a.0x1f", "017700000001", "a.1", "1.2.3.4:443", "a:b", "a:",
        "a:65536", "a:-1", "a:+1", "a: 1", "a:1:2", "a:\u0661", "a" * 64, "a." * 127 + "b", "x" * 5000, "a\u200b.example",
        "ａcme.example", "acme。example", "acme．example", "😀.example", "a_b\u0308_.-",
    ],
    ids=ascii,
)  # fmt: skip
def test_what_is_no_hostname_is_refused(text: str) -> None:
    with pytest.raises(InvalidName):
        Hostname.parse(text)


@pytest.mark.parametrize("value", [None, b"a.example", 1, ["a"]])
def test_what_is_no_text_is_refused(value: object) -> None:
    with pytest.raises(InvalidName, match="as str"):
        Hostname.parse(value)  # type: ignore[arg-type]
    with pytest.raises(InvalidName, match="as str"):
        HostnamePattern.parse(value)  # type: ignore[arg-type]


def test_names_in_other_scripts_become_a_labels() -> None:
    assert str(Hostname.parse("BÜCHER.example.")) == "xn--bcher-kva.example"
    assert Hostname.parse("bu\u0308cher.example") == Hostname.parse("XN--BCHER-KVA.example")
    # IDNA 2003, the standard library's codec, folds these two into one.
    assert Hostname.parse("straße.example") != Hostname.parse("strasse.example")


@given(hostnames, labels)
def test_a_wildcard_stands_for_exactly_one_label(name: str, label: str) -> None:
    assume("." in name)
    assume(len(name) + len(label) < 200)
    pattern = HostnamePattern.parse(f"*.{name}")
    assert pattern.matches(Hostname.parse(f"{label}.{name}"))
    assert not pattern.matches(Hostname.parse(name))
    assert not pattern.matches(Hostname.parse(f"{label}.{label}.{name}"))
    assert str(HostnamePattern.parse(str(pattern))) == str(pattern)


@given(hostnames, hostnames)
def test_pattern_keys_are_exactly_the_patterns_that_match(name: str, other: str) -> None:
    hostname = Hostname.parse(name)
    for text in (other, f"*.{other}", name, f"*.{hostname.parent()}"):
        try:
            pattern = HostnamePattern.parse(text)
        except InvalidName:
            continue
        assert pattern.matches(hostname) == (str(pattern) in pattern_keys(hostname))


@pytest.mark.parametrize(
    "text", ["*", "*.", "*.example", "*.*.example", "a.*.example", "*a.example", "a*.b.example", "a.example:443"]
)
def test_other_wildcards_are_refused(text: str) -> None:
    with pytest.raises(InvalidName):
        HostnamePattern.parse(text)


@pytest.mark.parametrize(
    "text",
    [
        "dns:pay.acme.example",
        "dns:*.acme.example",
        "uri:urn:a:b",
        "uri:spiffe://acme/x",
        "email:Ops@acme.example",
        "ip:::1",
    ],
)
def test_sans_are_read_and_written(text: str) -> None:
    assert str(SubjectAlternativeName.parse(text)) == text
    san = SubjectAlternativeName.parse(text)
    assert SubjectAlternativeName.from_general_name(san.general_name()) == san


@pytest.mark.parametrize(
    "text",
    ["", "dns:", "DNS:a.example", "x:a", "dns:1.2.3.4", "uri:nothing", "uri:a:b c", "uri:a:\x7f", "email:a", "email:@b.example",
     "email:a@b@c.example", "email:a@b.example:25", "ip:1.2.3", "ip:1.2.3.4/8", "email:ä@b.example", "dns:a.example\0",
     "ip:::1%x", "ip:fe80::1%25eth0", "ip:::1%", "ip:::1%\n, dns:pay.victim.example", "ip:1.2.3.04", "ip:[::1]",
     "ip: ::1", "ip:::00001", "ip:\u0661.2.3.4", "ip:2130706433", "ip:0x7f.0.0.1"],
)  # fmt: skip
def test_what_is_no_san_is_refused(text: str) -> None:
    with pytest.raises(InvalidName):
        SubjectAlternativeName.parse(text)


@pytest.mark.parametrize(
    ("san", "reference", "matches"),
    [
        ("pay.acme.example", "PAY.acme.example.", True),
        ("*.acme.example", "pay.acme.example", True),
        ("*.acme.example", "acme.example", False),
        ("*.acme.example", "a.pay.acme.example", False),
        ("*.example", "acme.example", False),
        ("p*.acme.example", "pay.acme.example", False),
        ("pay.acme.example", "pay.acme.example\0.evil.example", False),
        ("127.0.0.1", "127.0.0.1", False),
    ],
)
def test_a_reference_name_matches_as_rfc_9525_says(san: str, reference: str, matches: bool) -> None:
    assert matches_reference([SubjectAlternativeName(SanType.DNS, san)], reference) is matches


@given(st.ip_addresses())
def test_every_spelling_of_an_address_is_one_text(address: IPv4Address | IPv6Address) -> None:
    spoken = {str(address), address.exploded, address.compressed, address.exploded.upper()}
    assert {SubjectAlternativeName.parse(f"ip:{text}").value for text in spoken} == {str(address)}


def test_an_address_matches_only_an_address() -> None:
    sans = [SubjectAlternativeName(SanType.IP, "2001:db8::1")]
    assert matches_reference(sans, "2001:DB8:0::1")
    assert matches_reference(sans, "[2001:db8::1]")
    assert not matches_reference(sans, "2001:db8::2")
    assert not matches_reference([SubjectAlternativeName(SanType.URI, "2001:db8::1")], "2001:db8::1")
