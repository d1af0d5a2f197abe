"""Certification requests: the key is taken, the names may be, everything else is not."""

from __future__ import annotations

import inspect
import math
from collections.abc import Sequence
from dataclasses import replace

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa, x25519
from cryptography.x509.name import _ASN1Type
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from hypothesis import assume, given
from hypothesis import strategies as st

from mtlskit.authority import CertificateAuthority
from mtlskit.core import profiles
from mtlskit.core.certificates import common_name, read_sans
from mtlskit.core.names import SanType
from mtlskit.core.profiles import SanRule
from mtlskit.core.profiles.encoding import object_identifier
from mtlskit.core.validation import der
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


# --- by hand, for what no builder writes ----------------------------------------------------------------------------

SUBJECT = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "device-17")]).public_bytes()
ECDSA_SHA256 = bytes.fromhex("300a06082a8648ce3d040302")
EXTENSION_REQUEST, MICROSOFT_S = "1.2.840.113549.1.9.14", "1.3.6.1.4.1.311.2.1.14"


def extension(value: x509.ExtensionType, *, critical: bytes = b"", content: bytes | None = None) -> bytes:
    octets = value.public_bytes() if content is None else content
    return der.encoded(0x30, object_identifier(value.oid), critical, der.encoded(0x04, octets))


def attribute(*extensions: bytes, oid: str = EXTENSION_REQUEST) -> bytes:
    return der.encoded(
        0x30, object_identifier(x509.ObjectIdentifier(oid)), der.encoded(0x31, der.encoded(0x30, *extensions))
    )  # fmt: skip


def crafted(
    *attributes: bytes, version: bytes = b"\x02\x01\x00", subject: bytes = SUBJECT, spki: bytes | None = None,
    algorithm: bytes = ECDSA_SHA256, unused: int = 0,
) -> bytes:  # fmt: skip
    """A request with a good signature, of these parts."""
    known = KEY.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )  # fmt: skip
    information = der.encoded(
        0x30, version, subject, known if spki is None else spki, der.encoded(0xA0, *sorted(attributes))
    )
    signature = KEY.sign(information, ec.ECDSA(hashes.SHA256()))
    while unused and signature[-1] & ((1 << unused) - 1):  # bits that say nothing must be zero
        signature = KEY.sign(information, ec.ECDSA(hashes.SHA256()))
    return der.encoded(0x30, information, algorithm, der.encoded(0x03, bytes([unused]), signature))


def rsa_spki(modulus: int, exponent: int) -> bytes:
    def number(value: int) -> bytes:
        return der.encoded(0x02, value.to_bytes(value.bit_length() // 8 + 1, "big"))

    algorithm = bytes.fromhex("300d06092a864886f70d0101010500")
    return der.encoded(0x30, algorithm, der.encoded(0x03, b"\0", der.encoded(0x30, number(modulus), number(exponent))))


def rsa_request(exponent: int) -> bytes:
    """A request that an RSA key with that exponent has signed."""
    while True:
        made = rsa.generate_private_key(65537, 2048).private_numbers()
        phi = (made.p - 1) * (made.q - 1)
        if math.gcd(exponent, phi) == 1:
            break
    d = pow(exponent, -1, phi)
    numbers = rsa.RSAPrivateNumbers(
        made.p, made.q, d, rsa.rsa_crt_dmp1(d, made.p), rsa.rsa_crt_dmq1(d, made.q), made.iqmp,
        rsa.RSAPublicNumbers(exponent, made.public_numbers.n),
    )  # fmt: skip
    return request(key=numbers.private_key(unsafe_skip_rsa_key_validation=True))


def long_form(data: bytes) -> bytes:
    """The same with the length of the whole in more octets than it takes."""
    start = 2 + (data[1] & 0x7F if data[1] & 0x80 else 0)
    return bytes([data[0], 0x84]) + (len(data) - start).to_bytes(4, "big") + data[start:]


def indefinite(data: bytes) -> bytes:
    """The same in BER, with an end in the place of a length."""
    start = 2 + (data[1] & 0x7F if data[1] & 0x80 else 0)
    return bytes([data[0], 0x80]) + data[start:] + b"\0\0"


def test_a_request_by_hand_is_as_good_as_another(acme: CertificateAuthority) -> None:
    wanted = x509.SubjectAlternativeName([x509.DNSName("a.example")])
    for data in (crafted(), crafted(attribute(extension(wanted))), crafted(attribute(oid="1.2.3"))):
        assert leaf(acme, data).public_key() == KEY.public_key()
    assert list(map(str, read_sans(leaf(acme, crafted(attribute(extension(wanted))))))) == ["dns:a.example"]


CA = x509.BasicConstraints(ca=True, path_length=None)
NO_CA = x509.BasicConstraints(ca=False, path_length=None)
SAN = x509.SubjectAlternativeName([x509.DNSName("a.example")])
OTHER = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00")

HOSTILE = {
    "an extension twice": (lambda: crafted(attribute(extension(SAN), extension(SAN))), "extensions"),
    "an extension twice, in two attributes": (
        lambda: crafted(attribute(extension(SAN)), attribute(extension(SAN))),
        "extensions",
    ),
    "cA=TRUE in a second attribute": (
        lambda: crafted(attribute(extension(SAN)), attribute(extension(CA))),
        "extensions",
    ),
    "cA=TRUE in an attribute of old Windows": (
        lambda: crafted(attribute(extension(SAN)), attribute(extension(CA), oid=MICROSOFT_S)),
        "extensions",
    ),
    "cA=TRUE before an unknown one": (lambda: crafted(attribute(extension(CA), extension(OTHER))), "basic_constraints"),
    "an unknown critical one, by hand": (
        lambda: crafted(attribute(extension(OTHER, critical=b"\x01\x01\xff"))),
        "extensions",
    ),
    "two lists of extensions in one attribute": (
        lambda: crafted(
            der.encoded(
                0x30,
                object_identifier(x509.ObjectIdentifier(EXTENSION_REQUEST)),
                der.encoded(0x31, der.encoded(0x30, extension(NO_CA)), der.encoded(0x30, extension(CA))),
            )
        ),
        "extensions",
    ),
    "an extension that cannot be read": (lambda: crafted(attribute(extension(SAN, content=b"\x30\x05"))), "extensions"),
    "no names in the SAN": (
        lambda: crafted(attribute(extension(SAN, content=b"\x30\x00")), subject=b"\x30\x00"),
        "subject",
    ),
    "an address of five octets": (
        lambda: crafted(attribute(extension(SAN, content=der.encoded(0x30, der.encoded(0x87, bytes(5)))))),
        "extensions",
    ),
    "a name that is no ASCII": (
        lambda: crafted(attribute(extension(SAN, content=der.encoded(0x30, der.encoded(0x82, b"\xff.example"))))),
        "extensions",
    ),
    "an underscore wildcard": (lambda: request(extensions=[sans(x509.DNSName("*"))]), "dns"),
    "a wildcard inside": (lambda: request(extensions=[sans(x509.DNSName("a.*.example"))]), "dns"),
    "a URI without a scheme": (lambda: request(extensions=[sans(x509.UniformResourceIdentifier("//x"))]), "uri"),
    "an address with NUL": (lambda: request(extensions=[sans(x509.RFC822Name("a\0@b.example"))]), "email"),
    "version 2": (lambda: crafted(version=b"\x02\x01\x01"), "request"),
    "a length in more octets than it takes": (lambda: long_form(crafted()), "request"),
    "BER with an end in the place of a length": (lambda: indefinite(crafted()), "request"),
    "a version with a needless octet": (lambda: crafted(version=b"\x02\x02\x00\x00"), "request"),
    "a cA that is TRUE in BER": (
        lambda: crafted(attribute(extension(NO_CA, content=bytes.fromhex("3003010101")))),
        "extensions",
    ),
    "a FALSE that is written out": (
        lambda: crafted(attribute(extension(OTHER, critical=b"\x01\x01\x00"))),
        "extensions",
    ),
    "a criticality that is TRUE in BER": (
        lambda: crafted(attribute(extension(OTHER, critical=b"\x01\x01\x01"))),
        "extensions",
    ),
    "a signature with unused bits": (lambda: crafted(unused=1), "request"),
    "an algorithm with parameters that it has not": (
        lambda: crafted(algorithm=bytes.fromhex("300c06082a8648ce3d0403020500")),
        "request",
    ),
    "the algorithm of another kind of key": (
        lambda: crafted(algorithm=bytes.fromhex("300d06092a864886f70d01010b0500")),
        "signature",
    ),
    "an algorithm that is none": (lambda: crafted(algorithm=b"\x30\x00"), "request"),
    "a key on no curve": (lambda: crafted(spki=request_spki()[:-1] + bytes([request_spki()[-1] ^ 1])), "public_key"),
    "a key that is none": (lambda: crafted(spki=b"\x30\x00"), "request"),
    "RSA with an exponent of 2,000 bits": (lambda: rsa_request((1 << 1_999) + 981), "public_key"),
    "RSA with an exponent of 65 bits": (lambda: rsa_request((1 << 64) + 13), "public_key"),
    "RSA with the exponent 1": (lambda: crafted(spki=rsa_spki((1 << 2047) + 1, 1)), "public_key"),
    "RSA with an even exponent": (lambda: crafted(spki=rsa_spki((1 << 2047) + 1, 4)), "public_key"),
    "RSA with an even modulus": (lambda: crafted(spki=rsa_spki(1 << 2047, 65537)), "public_key"),
    "RSA of 16,384 bits": (lambda: crafted(spki=rsa_spki((1 << 16_383) + 1, 65537)), "public_key"),
    "a DSA key": (lambda: request(key=dsa.generate_private_key(2048)), "public_key"),
    "60 kB of names": (
        lambda: request(extensions=[sans(*(x509.DNSName(f"{number:0>40}.example") for number in range(1_200)))]),
        "request",
    ),
    "60 kB of something": (
        lambda: crafted(der.encoded(0x30, bytes.fromhex("06032a0304"), der.encoded(0x31, bytes(60_000)))),
        "request",
    ),
    "600 names that are none": (
        lambda: request(extensions=[sans(*(x509.DNSName(f"{number} x") for number in range(600)))]),
        "subject_alternative_name",
    ),
    "30 kB of names": (
        lambda: request(extensions=[sans(*(x509.DNSName(f"{number:0>40}.example") for number in range(600)))]),
        "subject_alternative_name",
    ),
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
    "SHA-1": (lambda: crafted(algorithm=bytes.fromhex("300906072a8648ce3d0401")), "signature"),
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


def request_spki() -> bytes:
    return KEY.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


@pytest.mark.filterwarnings("ignore:Attribute's length")
@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_request_is_refused_by_its_field(acme: CertificateAuthority, name: str) -> None:
    make, field = HOSTILE[name]
    with pytest.raises(IssuanceError, match=rf"^{field}: expected"):
        acme.sign_request(make())
    assert acme.pending() == ()


def test_a_hundred_names_and_a_large_key_are_no_attack(acme: CertificateAuthority) -> None:
    long = [".".join(["a" * 60, "b" * 60, "c" * 60, "d" * 50, f"{number:0>10}", "example"]) for number in range(100)]
    data = request(key=rsa.generate_private_key(65537, 4096), extensions=[sans(*map(x509.DNSName, long))])
    pem = x509.load_der_x509_csr(data).public_bytes(serialization.Encoding.PEM)
    assert len(pem) > 30_000
    assert len(read_sans(leaf(acme, pem))) == 100


BUSINESS = replace(profiles.CLIENT, name="business", san_rules=(SanRule(SanType.DNS, "acme.example"),))


@pytest.mark.parametrize(
    "name", ["umbrella.example", "acme.example.umbrella.example", "notacme.example", "*.umbrella.example"]
)
def test_another_customer_s_name_is_refused_by_the_profile(acme: CertificateAuthority, name: str) -> None:
    data = request(extensions=[sans(x509.DNSName("pay.acme.example"), x509.DNSName(name))])
    with pytest.raises(IssuanceError, match=r"^dns: expected one inside of acme\.example for the profile 'business'"):
        acme.sign_request(data, profile=BUSINESS)
    leaf(acme, request(extensions=[sans(x509.DNSName("pay.acme.example"))]), profile=BUSINESS)
    assert acme.pending() == ()


@pytest.mark.parametrize("common", ["device", "pay.umbrella.example"])
@pytest.mark.parametrize("name", [None, "umbrella.example", "acme.example.umbrella.example"])
def test_another_customer_s_name_is_refused_by_the_issuer(common: str, name: str | None) -> None:
    constraints = profiles.AuthorityConstraints.for_clients_of("acme.example")
    own = CertificateAuthority.create("Own", store=open_store("memory://"), constraints=constraints)
    data = request(cn(common), extensions=[] if name is None else [sans(x509.DNSName(name))])
    if (common, name) == ("device", None):
        leaf(own, data)
        return
    with pytest.raises(IssuanceError, match=r"^name_constraints: "):
        own.sign_request(data)
    assert own.pending() == ()


def test_an_exponent_of_64_bits_is_the_longest(acme: CertificateAuthority) -> None:
    assert leaf(acme, rsa_request((1 << 63) + 29))


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
