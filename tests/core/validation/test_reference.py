"""The reference name of a server (RFC 9525)."""

from __future__ import annotations

import ipaddress
from typing import Any

import pytest

from mtlskit.core.names import Hostname
from mtlskit.core.validation import TrustStore, verify_path
from mtlskit.errors import ConfigurationError
from support.der import cn, encode, seq
from support.validation import ACCEPTED, LEAF, NOW, ROOT, judged

SAN = "2.5.29.17"


def named(san: bytes, reference: Any) -> str:
    return judged(leaf=lambda f: f.instead(SAN, seq(san)), purpose="server_auth", reference_name=reference)


def dns(text: str) -> bytes:
    return encode(0x82, text.encode())


@pytest.mark.parametrize(("presented", "reference", "expected"), [
    ("pay.example", "pay.example", ACCEPTED),
    ("PAY.example", "pay.EXAMPLE", ACCEPTED),
    ("pay.example", "pay.example.", ACCEPTED),
    ("pay.example", "other.example", "name_mismatch"),
    ("example", "pay.example", "name_mismatch"),
    ("*.example.com", "pay.example.com", ACCEPTED),
    ("*.example.com", "a.pay.example.com", "name_mismatch"),
    ("*.example.com", "example.com", "name_mismatch"),
    ("*", "localhost", "name_mismatch"),
    ("*.com", "example.com", "name_mismatch"),
    ("p*.example.com", "pay.example.com", "name_mismatch"),
    ("*.*.example.com", "a.pay.example.com", "name_mismatch"),
    ("pay.*.com", "pay.example.com", "name_mismatch"),
    ("10.0.0.1", "10.0.0.1", "name_mismatch"),
    ("xn--bcher-kva.example", "bücher.example", ACCEPTED),
])  # fmt: skip
def test_a_dns_name(presented: str, reference: str, expected: str) -> None:
    assert named(dns(presented), reference) == expected


@pytest.mark.parametrize(("octets", "reference", "expected"), [
    (b"\x0a\0\0\1", "10.0.0.1", ACCEPTED),
    (b"\x0a\0\0\1", ipaddress.ip_address("10.0.0.1"), ACCEPTED),
    (b"\x0a\0\0\1", "10.0.0.2", "name_mismatch"),
    (b"\0" * 15 + b"\1", "::1", ACCEPTED),
    (b"\0" * 15 + b"\1", "0:0::1", ACCEPTED),
])  # fmt: skip
def test_an_address(octets: bytes, reference: Any, expected: str) -> None:
    assert named(encode(0x87, octets), reference) == expected


def test_a_hostname_value_is_taken() -> None:
    assert named(dns("pay.example"), Hostname.parse("pay.example")) == ACCEPTED


def test_the_common_name_is_never_a_reference_name() -> None:
    options = {"purpose": "server_auth", "reference_name": "pay.example"}
    assert judged(leaf=lambda f: f.but(subject=cn("pay.example")).without(SAN), **options) == "name_mismatch"
    assert judged(leaf=lambda f: f.but(subject=cn("pay.example")), **options) == "name_mismatch"


@pytest.mark.parametrize(("purpose", "reference"), [
    ("server_auth", None), ("server_auth", ""), ("server_auth", "a b"), ("server_auth", "*.example"),
    ("server_auth", "pay.example:443"), ("server_auth", 7), ("client_auth", "pay.example"), ("email", "pay.example"),
])  # fmt: skip
def test_a_reference_name_that_does_not_go_with_the_purpose_is_a_mistake(purpose: str, reference: Any) -> None:
    with pytest.raises(ConfigurationError):
        verify_path(
            LEAF.presented(), TrustStore([ROOT.certificate]), purpose=purpose, now=NOW, reference_name=reference
        )  # fmt: skip
