"""Certification requests: the key is taken, the names may be, everything else is not."""

from __future__ import annotations

import inspect
from collections.abc import Sequence

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa, x25519
from cryptography.x509.name import _ASN1Type
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from hypothesis import assume, given
from hypothesis import strategies as st

from mtlskit.authority import CertificateAuthority
from mtlskit.core import profiles
from mtlskit.core.certificates import common_name, read_sans
from mtlskit.errors import IssuanceError
from mtlskit.stores import open_store

KEY = ec.generate_private_key(ec.SECP256R1())


@pytest.fixture(scope="module")
def acme() -> CertificateAuthority:
    return CertificateAuthority.create("Acme", store=open_store("memory://"))


def request(
    *attributes: x509.NameAttribute,
    extensions: Sequence[tuple[x509.ExtensionType, bool]] = (),
    key: object = KEY,
    hash_algorithm: hashes.HashAlgorithm | None = hashes.SHA256(),  # noqa: B008
) -> bytes:
    subject = x509.Name(attributes or [x509.NameAttribute(NameOID.COMMON_NAME, "device-17")])
    builder = x509.CertificateSigningRequestBuilder(subject)
    for value, critical in extensions:
        builder = builder.add_extension(value, critical)
    signed = builder.sign(key, hash_algorithm)  # type: ignore[arg-type]
    return signed.public_bytes(serialization.Encoding.DER)


def sans(*names: x509.GeneralName) -> tuple[x509.ExtensionType, bool]:
    return x509.SubjectAlternativeName(names), False


def cn(value: str, kind: _ASN1Type | None = None) -> x509.NameAttribute:
    return x509.NameAttribute(NameOID.COMMON_NAME, value, kind, _validate=False)


def usage(**set_bits: bool) -> tuple[x509.ExtensionType, bool]:
    none = dict.fromkeys(inspect.signature(x509.KeyUsage).parameters, False)
    return x509.KeyUsage(**(none | set_bits)), True


def leaf(acme: CertificateAuthority, data: bytes, **options: object) -> x509.Certificate:
    chain = acme.sign_request(data, **options).certificates()  # type: ignore[arg-type]
    assert len(chain) == 1
    chain[0].verify_directly_issued_by(acme.certificate)
    return chain[0]


def test_the_request_s_key_and_names_are_certified(acme: CertificateAuthority) -> None:
    found = leaf(acme, request(extensions=[sans(x509.DNSName("Device.example"), x509.RFC822Name("a@b.example"))]))
    assert found.public_key() == KEY.public_key()
    assert common_name(found.subject) == "device-17"
    assert list(map(str, read_sans(found))) == ["dns:device.example", "email:a@b.example"]
    assert (
        found.not_valid_after_utc - found.not_valid_before_utc
        == profiles.CLIENT.lifetimes.default + profiles.BACKDATING
    )


def test_pem_is_read_as_well_as_der(acme: CertificateAuthority) -> None:
    pem = x509.load_der_x509_csr(request()).public_bytes(serialization.Encoding.PEM)
    assert leaf(acme, pem).public_key() == KEY.public_key()
    assert leaf(acme, pem.decode()).public_key() == KEY.public_key()  # type: ignore[arg-type]


def test_the_caller_s_names_stand_in_the_place_of_all_of_the_request_s(acme: CertificateAuthority) -> None:
    data = request(cn("admin"), extensions=[sans(x509.UniformResourceIdentifier("urn:acme:admin"))])
    found = leaf(acme, data, uris=["urn:acme:device:17"])
    assert list(found.subject) == []
    assert list(map(str, read_sans(found))) == ["uri:urn:acme:device:17"]


def test_only_the_common_name_of_a_subject_is_taken(acme: CertificateAuthority) -> None:
    found = leaf(acme, request(cn("device-17"), x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Umbrella")))
    assert found.subject.rfc4514_string() == "CN=device-17"


def test_a_server_s_names_come_from_the_caller_alone(acme: CertificateAuthority) -> None:
    data = request(extensions=[sans(x509.DNSName("umbrella.example"))])
    with pytest.raises(IssuanceError, match=r"^subject: expected"):
        acme.sign_request(data, profile=profiles.SERVER)
    found = leaf(acme, data, profile=profiles.SERVER, dns=["pay.acme.example"])
    assert list(map(str, read_sans(found))) == ["dns:pay.acme.example"]
    assert list(found.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value) == [
        ExtendedKeyUsageOID.SERVER_AUTH
    ]


def test_no_request_makes_an_authority(acme: CertificateAuthority) -> None:
    with pytest.raises(IssuanceError, match=r"^profile: expected"):
        acme.sign_request(request(), profile=profiles.ROOT)


def test_extensions_do_not_pass_through(acme: CertificateAuthority) -> None:
    found = leaf(
        acme,
        request(
            extensions=[
                (x509.BasicConstraints(ca=False, path_length=None), True),
                usage(digital_signature=True, key_encipherment=True, key_agreement=True),
                (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CODE_SIGNING]), True),
                (x509.SubjectKeyIdentifier(b"chosen"), False),
                (x509.OCSPNoCheck(), False),
            ]
        ),
    )
    assert list(found.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value) == [
        ExtendedKeyUsageOID.CLIENT_AUTH
    ]
    assert not found.extensions.get_extension_for_class(x509.KeyUsage).value.key_encipherment
    assert found.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest != b"chosen"
    assert not any(isinstance(extension.value, x509.OCSPNoCheck) for extension in found.extensions)


@pytest.mark.parametrize("key", [ed25519.Ed25519PrivateKey.generate(), ed448.Ed448PrivateKey.generate()])
def test_edwards_keys_are_certified(acme: CertificateAuthority, key: object) -> None:
    assert leaf(acme, request(key=key, hash_algorithm=None)).public_key() == key.public_key()  # type: ignore[attr-defined]


HOSTILE = {
    "cA=TRUE": (
        lambda: request(extensions=[(x509.BasicConstraints(ca=True, path_length=0), True)]),
        "basic_constraints",
    ),
    "keyCertSign": (lambda: request(extensions=[usage(key_cert_sign=True)]), "key_usage"),
    "cRLSign": (lambda: request(extensions=[usage(crl_sign=True)]), "key_usage"),
    "unknown critical extension": (
        lambda: request(extensions=[(x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00"), True)]),
        "extensions",
    ),
    "critical name constraints": (
        lambda: request(extensions=[(x509.NameConstraints([x509.DNSName("a.example")], None), True)]),
        "extensions",
    ),
    "1,000 names": (
        lambda: request(extensions=[sans(*(x509.DNSName(f"{number}.example") for number in range(1_000)))]),
        "subject_alternative_name",
    ),
    "a directory name": (
        lambda: request(extensions=[sans(x509.DirectoryName(x509.Name([cn("other")])))]),
        "subject_alternative_name",
    ),
    "another name": (
        lambda: request(extensions=[sans(x509.OtherName(x509.ObjectIdentifier("1.2.3"), b"\x05\x00"))]),
        "subject_alternative_name",
    ),
    "two SPIFFE ids": (
        lambda: request(
            extensions=[sans(*map(x509.UniformResourceIdentifier, ("spiffe://a.example/x", "spiffe://b.example/x")))]
        ),
        "subject_alternative_name",
    ),
    "NUL in a hostname": (lambda: request(extensions=[sans(x509.DNSName("acme.example\0.evil.example"))]), "dns"),
    "an address as hostname": (lambda: request(extensions=[sans(x509.DNSName("127.0.0.1"))]), "dns"),
    "NUL in the common name": (lambda: request(cn("admin\0.evil")), "common_name"),
    "a line break in the common name": (lambda: request(cn("admin\nCN=root")), "common_name"),
    "two common names": (lambda: request(cn("one"), cn("two")), "common_name"),
    "a long common name": (lambda: request(cn("a" * 65)), "common_name"),
    "a T61String": (lambda: request(cn("admin", _ASN1Type.T61String)), "common_name"),
    "no name at all": (lambda: request(x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Acme")), "subject"),
    "RSA-1024": (lambda: request(key=rsa.generate_private_key(65537, 1024)), "public_key"),
    "another curve": (lambda: request(key=ec.generate_private_key(ec.SECP256K1())), "public_key"),
    "SHA-224": (lambda: request(hash_algorithm=hashes.SHA224()), "signature"),
    "a changed signature": (lambda: request()[:-1] + bytes([request()[-1] ^ 1]), "signature"),
    "a changed name": (lambda: request().replace(b"device-17", b"device-18"), "signature"),
    "no request": (lambda: b"nothing", "request"),
    "cut off": (lambda: request()[:-10], "request"),
    "with a tail": (lambda: request() + b"\0", "request"),
    "too long": (lambda: bytes(70_000), "request"),
}


@pytest.mark.filterwarnings("ignore:Attribute's length")
@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_request_is_refused_by_its_field(acme: CertificateAuthority, name: str) -> None:
    make, field = HOSTILE[name]
    with pytest.raises(IssuanceError, match=rf"^{field}: expected"):
        acme.sign_request(make())
    assert acme.pending() == ()


def test_a_key_that_cannot_sign_has_no_proof(acme: CertificateAuthority) -> None:
    inner = x25519.X25519PrivateKey.generate().public_key()
    spki = inner.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    whole = request(key=ed25519.Ed25519PrivateKey.generate(), hash_algorithm=None)
    data = whole.replace(bytes.fromhex("302a300506032b6570"), spki[:9], 1)
    with pytest.raises(IssuanceError, match=r"^public_key: expected"):
        acme.sign_request(data)


@given(st.binary(max_size=300))
def test_bytes_are_a_request_or_an_issuance_error(data: bytes) -> None:
    with pytest.raises(IssuanceError):
        ACME.sign_request(data)


@pytest.mark.filterwarnings("ignore:Attribute's length")
@given(st.lists(st.tuples(st.integers(0, 10_000), st.integers(1, 255)), min_size=1, max_size=3))
def test_a_request_with_changed_bytes_is_refused_in_our_words(changes: list[tuple[int, int]]) -> None:
    changed = bytearray(WHOLE)
    for at, bits in changes:
        changed[at % len(changed)] ^= bits
    assume(changed != WHOLE)
    with pytest.raises(IssuanceError):
        ACME.sign_request(bytes(changed))


WHOLE = request(extensions=[sans(x509.DNSName("a.example"))])
ACME = CertificateAuthority.create("Fuzz", store=open_store("memory://"))
