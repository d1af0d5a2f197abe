"""What a server's request for a certificate says, from the octets of the handshake."""

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from mtlskit.core.certificate_requests import CertificateRequest

NAMES = [
    x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "A root")]),
    x509.Name(
        [x509.NameAttribute(NameOID.ORGANIZATION_NAME, "x" * 60), x509.NameAttribute(NameOID.COMMON_NAME, "B" * 60)]
    ),
    x509.Name([]),
]


def vector(content, width=2):
    return len(content).to_bytes(width) + content


def message(body):
    return b"\x0d" + vector(body, 3)


def of_tls_1_2(names):
    return message(vector(b"\x01\x40", 1) + vector(b"\x04\x03") + vector(b"".join(vector(name) for name in names)))


def of_tls_1_3(names):
    authorities = b"\x00\x2f" + vector(vector(b"".join(vector(name) for name in names)))
    return message(vector(b"", 1) + vector(b"\x00\x0d" + vector(vector(b"\x04\x03")) + authorities))


@pytest.mark.parametrize("is_tls_1_3", [False, True])
def test_the_names_are_read(is_tls_1_3):
    make = of_tls_1_3 if is_tls_1_3 else of_tls_1_2

    found = CertificateRequest.from_message(make([name.public_bytes() for name in NAMES]), is_tls_1_3=is_tls_1_3)

    assert found.authorities == tuple(NAMES)


def test_a_request_that_names_none_is_a_request():
    assert CertificateRequest.from_message(of_tls_1_2([]), is_tls_1_3=False) == CertificateRequest(())
    assert CertificateRequest.from_message(message(b"\x00" + vector(b"")), is_tls_1_3=True) == CertificateRequest(())


@pytest.mark.parametrize("is_tls_1_3", [False, True])
def test_names_that_cannot_be_read_are_passed_over(is_tls_1_3):
    make = of_tls_1_3 if is_tls_1_3 else of_tls_1_2
    whole = make([NAMES[0].public_bytes(), NAMES[1].public_bytes()])

    for end in range(len(whole)):
        CertificateRequest.from_message(whole[:end], is_tls_1_3=is_tls_1_3)
    found = CertificateRequest.from_message(make([b"garbage", NAMES[0].public_bytes()]), is_tls_1_3=is_tls_1_3)
    assert found.authorities == (NAMES[0],)


@given(st.binary(max_size=300), st.booleans())
def test_whatever_comes_it_is_a_request(octets, is_tls_1_3):
    assert isinstance(CertificateRequest.from_message(octets, is_tls_1_3=is_tls_1_3), CertificateRequest)
