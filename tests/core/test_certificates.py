"""Chains and keys as values: what is refused, and what never shows."""

from __future__ import annotations

import copy
import pickle
import traceback
from collections.abc import Callable

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import dsa
from cryptography.x509.name import _ASN1Type
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from mtlskit.core.certificates import (
    PresentedChain,
    SigningChain,
    common_name,
    read_certificate,
    read_certificates,
    read_private_key,
    shown_subject,
    to_pem,
)
from mtlskit.core.pem import Secret
from mtlskit.errors import CertificateError
from mtlskit.testing.certificates import Authority, new_key
from support.exposure import exposed

ROOT = Authority.root("Acme root")
CHAIN = ROOT.intermediate("Plant").leaf("device-17")
SECRET = CHAIN.private_key_der()


def key_parts(chain: SigningChain) -> list[str]:
    scalar = chain.private_key.private_numbers().private_value  # type: ignore[union-attr]
    return [str(scalar), f"{scalar:x}", chain.to_pem().decode().splitlines()[1], repr(chain.private_key_der())[2:40]]


def test_a_chain_goes_out_and_comes_back() -> None:
    for again in (
        SigningChain.from_pem(CHAIN.to_pem()),
        SigningChain.from_pem(CHAIN.to_pem(password=b"x"), password=b"x"),
        SigningChain.from_pem(CHAIN.chain_pem(), CHAIN.to_pem()),
        SigningChain.from_pkcs12(CHAIN.to_pkcs12(password=b"x", name="device"), password=b"x"),
    ):
        assert again.certificates == CHAIN.certificates
        assert again.private_key_der() == SECRET
    assert PresentedChain.from_pem(CHAIN.chain_pem()) == CHAIN.presented()
    assert CHAIN.presented().to_pem() == CHAIN.chain_pem()


@pytest.mark.invariant(11)
def test_i11_a_key_shows_nowhere() -> None:
    told = [repr(CHAIN), str(CHAIN), f"{CHAIN!r:>200}", repr([CHAIN]), repr(vars(Authority))]
    for act in (
        lambda: pickle.dumps(CHAIN),
        lambda: SigningChain(new_key(), CHAIN.certificates),
        lambda: SigningChain.from_pem(
            CHAIN.to_pem() + b"x", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----"
        ),
        lambda: read_certificates(CHAIN.to_pem()),
        lambda: read_certificate(CHAIN.to_pem(), what="a CA certificate"),
        lambda: PresentedChain.from_pem(CHAIN.to_pem()),
        lambda: read_private_key(CHAIN.to_pem(password=b"right"), password=b"wrong"),
        lambda: read_private_key(CHAIN.to_pem(password=b"right")),
        lambda: SigningChain.from_pkcs12(CHAIN.to_pkcs12(password=b"right"), password=b"wrong"),
    ):
        with pytest.raises((CertificateError, TypeError)) as caught:
            act()
        told.append("".join(traceback.format_exception(caught.value)))
        told.append(repr(caught.value.__cause__))
    for secret in key_parts(CHAIN):
        assert all(secret not in text for text in told)


CERTIFICATES = CHAIN.chain_pem()
KEY_BYTES = b"".join(CHAIN.to_pem().partition(b"-----END PRIVATE KEY")[0].splitlines()[1:2])
PASSWORD = b"correct horse battery"
CUT_OFF = CERTIFICATES[:200] + CHAIN.to_pem() + CERTIFICATES  # a certificate that runs on into the key


@pytest.mark.invariant("I11")
@pytest.mark.parametrize(
    "act",
    [
        lambda: SigningChain.from_pem(CHAIN.to_pem(), password=PASSWORD),
        lambda: SigningChain.from_pem(CHAIN.to_pem(password=b"x" + PASSWORD), password=PASSWORD),
        lambda: SigningChain.from_pem(b"", CHAIN.to_pem(), password=PASSWORD),
        lambda: SigningChain.from_pem(CERTIFICATES, CHAIN.to_pem().replace(b"-----END PRIVATE", b"-----END")),
        lambda: SigningChain.from_pem(CUT_OFF),
        lambda: SigningChain.from_pem(ROOT.leaf("another").chain_pem(), CHAIN.to_pem().decode()),
        lambda: SigningChain.from_pem(bytearray(CHAIN.to_pem())),  # type: ignore[arg-type]
        lambda: SigningChain.from_pkcs12(CHAIN.to_pkcs12(password=b"x" + PASSWORD), password=PASSWORD),
        lambda: SigningChain.from_pkcs12(CHAIN.to_pem(), password=PASSWORD),
        lambda: read_private_key(CHAIN.to_pem(), password=PASSWORD),
        lambda: read_private_key(CHAIN.to_pem()[:200], password=PASSWORD),
        lambda: read_certificates(CHAIN.to_pem()),
        lambda: read_certificate(CHAIN.to_pem().decode()),
        lambda: read_certificate(KEY_BYTES),
        lambda: PresentedChain.from_pem(CHAIN.to_pem()),
        lambda: CHAIN.to_pem(password=PASSWORD * 99),
    ],
)
def test_i11_no_key_and_no_password_is_in_a_local_variable_of_what_failed(act: Callable[[], object]) -> None:
    with pytest.raises((CertificateError, ValueError)) as caught:
        act()
    assert exposed(caught.value, KEY_BYTES, PASSWORD) == []
    assert caught.value.__context__ is None


def test_a_secret_shows_nothing_and_is_not_pickled() -> None:
    assert repr([Secret(KEY_BYTES)]) == "[<Secret>]"
    with pytest.raises(TypeError, match="pickle"):
        pickle.dumps(Secret(KEY_BYTES))


def test_a_copy_shares_the_key_but_a_pickle_is_refused() -> None:
    with pytest.raises(TypeError, match="without a private key"):
        copy.deepcopy(CHAIN)


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"", "0 unreadable bytes"),
        (b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "does not parse"),
        (CHAIN.to_pem(), "holds a private key"),
        (b"-----BEGIN RSA PRIVATE KEY-----", "holds a private key"),
        (b"-----BEGIN ENCRYPTED PRIVATE KEY-----", "holds a private key"),
        (CHAIN.chain_pem(), "got 2 certificates"),
    ],
)
def test_what_is_not_one_certificate_is_refused(data: bytes, told: str) -> None:
    with pytest.raises(CertificateError, match=f"a CA certificate.*{told}"):
        read_certificate(data, what="a CA certificate")
    with pytest.raises(CertificateError):
        read_certificate(data.decode())


@pytest.mark.parametrize(
    ("chain", "key", "told"),
    [
        (CHAIN.chain_pem(), None, "a private key"),
        (CHAIN.chain_pem(), to_pem([ROOT.certificate]), "a private key"),
        (b"", CHAIN.to_pem(), "got no certificate"),
        (to_pem([ROOT.certificate]), CHAIN.to_pem(), "got another key"),
        (CHAIN.chain_pem(), CHAIN.to_pem(password=b"x"), "a password"),
    ],
)
def test_a_certificate_without_its_key_is_refused(chain: bytes, key: bytes | None, told: str) -> None:
    with pytest.raises(CertificateError, match=told):
        SigningChain.from_pem(chain, key)


def test_key_types_that_are_not_served_are_refused() -> None:
    pem = dsa.generate_private_key(1024).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    with pytest.raises(CertificateError, match="EC, Ed25519, Ed448 or RSA"):
        read_private_key(pem)


@given(st.binary(max_size=400))
def test_bytes_of_any_kind_raise_only_our_error(data: bytes) -> None:
    for parse in (
        read_certificate,
        SigningChain.from_pem,
        SigningChain.from_pkcs12,
        PresentedChain.from_pem,
        read_private_key,
    ):
        with pytest.raises(CertificateError):
            parse(data)
    with pytest.raises(CertificateError):
        PresentedChain.from_der(data).certificates()
    assert shown_subject(data) == ""


def test_a_certificate_of_an_unknown_version_is_refused_like_any_other_bytes() -> None:
    """`cryptography` raises an exception for it that is no ValueError."""
    der = ROOT.leaf("device").presented().leaf_der
    odd = der.replace(b"\xa0\x03\x02\x01\x02", b"\xa0\x03\x02\x01\x05", 1)
    with pytest.raises(CertificateError):
        read_certificate(odd)
    with pytest.raises(CertificateError):
        PresentedChain.from_der(odd).certificates()
    assert shown_subject(odd) == ""


def names(*values: tuple[str, _ASN1Type]) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, value, kind) for value, kind in values])


@pytest.mark.invariant(9)
def test_i9_a_common_name_with_more_than_one_reading_is_none() -> None:
    utf8 = _ASN1Type.UTF8String
    assert common_name(names(("device", utf8))) == "device"
    assert common_name(names(("device", utf8), ("device", utf8))) is None
    assert common_name(names(("device", utf8), ("admin", utf8))) is None
    assert common_name(names(("device\0admin", utf8))) is None
    assert common_name(names(("device", _ASN1Type.T61String))) is None
    assert common_name(x509.Name([])) is None
    both = [x509.NameAttribute(NameOID.COMMON_NAME, "a"), x509.NameAttribute(NameOID.COMMON_NAME, "b")]
    assert common_name(x509.Name([x509.RelativeDistinguishedName(both)])) is None


def test_a_shown_subject_is_escaped_and_cut() -> None:
    shown = shown_subject(ROOT.leaf("a\r\n\x1b[31m" + "é" * 20).presented().leaf_der, limit=40)
    assert shown.isprintable()
    assert shown.isascii()
    assert len(shown) == 43
