"""What a password costs is read before it is paid: nothing is opened that asks for more than some seconds."""

import base64
import time
import warnings

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.serialization import pkcs12
from hypothesis import given
from hypothesis import strategies as st

from mtlskit.core.certificates import SigningChain, read_private_key
from mtlskit.core.key_derivation import MOST_ITERATIONS, Demand, of_pem, of_pkcs12
from mtlskit.errors import CertificateError
from mtlskit.testing.certificates import Authority
from support.der import content, elements, encode, integer, oid, seq
from support.exposure import exposed

LEAF = Authority.root().intermediate().leaf("device")
PASSWORD = b"correct horse"
ABSURD = 2**31 - 1
TOO_MANY = MOST_ITERATIONS + 1

_DATA = "1.2.840.113549.1.7.1"
_SHROUDED = "1.2.840.113549.1.12.10.1.2"
_LONGER = b"\x06\x81" + oid(_DATA)[1:]  # as BER may write it
_SALT = encode(4, b"saltsalt")


def pbkdf2(iterations, *more, salt=_SALT):
    return seq(oid("1.2.840.113549.1.5.12"), seq(salt, integer(iterations), *more))


def scrypt(n, r, p):
    return seq(oid("1.3.6.1.4.1.11591.4.11"), seq(_SALT, integer(n), integer(r), integer(p)))


def pbes2(derivation):
    cipher = seq(oid("2.16.840.1.101.3.4.1.42"), encode(4, b"\0" * 16))
    return seq(oid("1.2.840.113549.1.5.13"), seq(derivation, cipher))


def pbe(iterations):
    """As RFC 7292 has it: SHA-1 and Triple DES."""
    return seq(oid("1.2.840.113549.1.12.1.3"), seq(_SALT, integer(iterations)))


def encrypted_key(algorithm):
    return seq(algorithm, encode(4, b"x" * 48))


def pem(algorithm):
    body = base64.encodebytes(encrypted_key(algorithm))
    return b"-----BEGIN ENCRYPTED PRIVATE KEY-----\n" + body + b"-----END ENCRYPTED PRIVATE KEY-----\n"


def key_bag(algorithm):
    return seq(oid(_SHROUDED), encode(0xA0, encrypted_key(algorithm)))


def data(*parts, name=oid(_DATA)):  # noqa: B008  octets
    return seq(name, encode(0xA0, encode(4, *parts)))


def hidden(algorithm):
    """Encrypted certificates."""
    inner = seq(oid(_DATA), algorithm, encode(0x80, b"x" * 48))
    return seq(oid("1.2.840.113549.1.7.6"), encode(0xA0, seq(integer(0), inner)))


def mac(iterations, algorithm=seq(oid("2.16.840.1.101.3.4.2.1"), encode(5))):  # noqa: B008  octets
    return seq(seq(algorithm, encode(4, b"x" * 32)), _SALT, integer(iterations))


def pfx(*contents, mac=mac(1), name=oid(_DATA)):  # noqa: B008  octets
    return seq(integer(3), data(seq(*contents), name=name), mac)


def indefinite(tag, *parts):
    return bytes((tag, 0x80)) + b"".join(parts) + b"\0\0"


def in_pieces(octets, size=7):
    pieces = [encode(4, octets[place : place + size]) for place in range(0, len(octets), size)]
    return indefinite(0x24, *pieces)


def in_ber(der):
    """The same PKCS #12 as some browsers write it: ends instead of lengths, and octet strings in pieces."""
    version, contents, *rest = elements(content(der))
    name, wrapped = elements(content(contents))
    octets = content(content(wrapped))
    return indefinite(0x30, version, indefinite(0x30, name, indefinite(0xA0, in_pieces(octets))), *rest)


def written(algorithm, rounds):
    encryption = (
        serialization.PrivateFormat.PKCS12.encryption_builder()
        .kdf_rounds(rounds)
        .key_cert_algorithm(algorithm)
        .hmac_hash(hashes.SHA256())
        .build(PASSWORD)
    )
    return pkcs12.serialize_key_and_certificates(
        b"device", LEAF.private_key, LEAF.certificate, LEAF.certificates[1:], encryption
    )


# --- what is read ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("algorithm", [pkcs12.PBES.PBESv1SHA1And3KeyTripleDESCBC, pkcs12.PBES.PBESv2SHA256AndAES256CBC])
def test_what_writers_write_is_added_up(algorithm):
    file = written(algorithm, 4_321)
    # For the certificates, for the key, and to look whether all is as it was.
    assert of_pkcs12(file) == Demand(4_321 + 4_321 + 2_048, 1)
    assert SigningChain.from_pkcs12(file, password=PASSWORD).certificates == LEAF.certificates


PLACES = {
    "the key": lambda n: pfx(data(seq(key_bag(pbe(n))))),
    "the key, newer": lambda n: pfx(data(seq(key_bag(pbes2(pbkdf2(n)))))),
    "the key, with its length": lambda n: pfx(data(seq(key_bag(pbes2(pbkdf2(n, integer(32))))))),
    "the certificates": lambda n: pfx(hidden(pbe(n))),
    "the certificates, newer": lambda n: pfx(hidden(pbes2(pbkdf2(n)))),
    "the seal": lambda n: pfx(mac=mac(n)),
    "the seal, newer": lambda n: pfx(mac=mac(1, seq(oid("1.2.840.113549.1.5.14"), seq(pbkdf2(n), pbe(1))))),
    "bags in bags": lambda n: pfx(data(seq(seq(oid(_SHROUDED[:-1] + "6"), encode(0xA0, seq(key_bag(pbe(n)))))))),
    "after other contents": lambda n: pfx(hidden(pbe(1)), data(seq()), data(seq(key_bag(pbe(n))))),
    "a salt in pieces": lambda n: pfx(data(seq(key_bag(pbes2(pbkdf2(n, salt=in_pieces(b"saltsalt"))))))),
    "a name with its length in two octets": lambda n: pfx(data(seq(key_bag(pbe(n))), name=_LONGER), name=_LONGER),
}


@pytest.mark.parametrize("form", [bytes, in_ber], ids=["DER", "BER"])
@pytest.mark.parametrize("place", PLACES)
def test_nothing_is_opened_that_asks_for_too_much(place, form):
    few, most, file = (form(PLACES[place](number)) for number in (100, MOST_ITERATIONS - 2, TOO_MANY))

    assert of_pkcs12(few).iterations in (100, 101, 102)
    assert of_pkcs12(most).iterations <= MOST_ITERATIONS
    with pytest.raises(CertificateError, match=r"opens with at most 5000000 iterations, got 50000\d\d$") as caught:
        SigningChain.from_pkcs12(file, password=PASSWORD)
    assert exposed(caught.value, PASSWORD, file) == []


@pytest.mark.parametrize("number", [ABSURD, 2**63, 2**70, 2**8_000])
def test_hours_are_refused_at_once(number):
    started = time.monotonic()
    for file in (pfx(data(seq(key_bag(pbe(number))))), pfx(mac=mac(number))):
        with pytest.raises(CertificateError, match="at most 5000000 iterations"):
            SigningChain.from_pkcs12(file, password=PASSWORD)
    for algorithm in (pbe(number), pbes2(pbkdf2(number)), pbes2(scrypt(2**14, 8, number))):
        with pytest.raises(CertificateError, match="expected an encrypted private key that opens with at most"):
            read_private_key(pem(algorithm), password=PASSWORD)
    assert time.monotonic() - started < 1


def test_all_that_a_file_derives_counts_together():
    many = [hidden(pbe(MOST_ITERATIONS // 4)) for _ in range(5)]
    assert of_pkcs12(pfx(*many[:3])).iterations < MOST_ITERATIONS
    with pytest.raises(CertificateError, match="at most 5000000 iterations, got 6250001$"):
        SigningChain.from_pkcs12(pfx(*many), password=PASSWORD)


def test_of_scrypt_memory_is_bounded_too():
    assert of_pem(pem(pbes2(scrypt(2**14, 8, 1)))) == Demand(2 * 2**17, 0)
    for n, r, p in ((2**30, 8, 1), (2**14, 2**20, 1), (2**14, 8, 2**20), (2**22, 1, 1)):
        with pytest.raises(CertificateError, match=f"got {2 * n * r * p}$"):
            read_private_key(pem(pbes2(scrypt(n, r, p))), password=PASSWORD)


def test_a_number_that_is_none_is_the_openers_to_refuse():
    for number in (-1, -(2**63), 0):
        assert of_pkcs12(pfx(data(seq(key_bag(pbe(number)))))) == Demand(1, 1)


@pytest.mark.parametrize("form", [bytes, in_ber], ids=["DER", "BER"])
def test_every_key_that_is_not_hidden_is_counted(form):
    bags = [key_bag(pbe(1)), seq(oid(_SHROUDED[:-1] + "1"), encode(0xA0, LEAF.private_key_der())), key_bag(pbe(1))]
    assert of_pkcs12(form(pfx(hidden(pbe(1)), data(seq(*bags[:2])), data(seq(bags[2]))))).keys == 3


def test_what_stands_behind_hides_nothing():
    assert of_pkcs12(pfx(data(seq(key_bag(pbe(100))))) + b"behind") == Demand(101, 1)


def test_ber_still_opens():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # what opens it would rather have DER
        chain = SigningChain.from_pkcs12(in_ber(LEAF.to_pkcs12(password=PASSWORD)), password=PASSWORD)
    assert chain.private_key_der() == LEAF.private_key_der()


def test_encrypted_keys_in_pem_still_open_and_each_of_them_counts():
    text = LEAF.to_pem(password=PASSWORD)
    block = text.partition(b"-----BEGIN CERT")[0]
    for each in (text, text.replace(b"\n", b"\r\n"), text.replace(b"KEY-----\n", b"KEY-----\nName: x\n\n", 1)):
        assert read_private_key(each, password=PASSWORD).private_numbers() == LEAF.private_key.private_numbers()
    assert of_pem(text + block).iterations == 2 * of_pem(text).iterations > 0
    with pytest.raises(CertificateError, match="at most 5000000 iterations"):
        read_private_key(text + pem(pbe(ABSURD)), password=PASSWORD)


@pytest.mark.parametrize("body", [b"", b"====", b"MII", b"garbage!", b"MIIB", base64.b64encode(b"\x30\x05\x04")])
def test_a_locked_key_that_cannot_be_read_is_not_opened(body):
    text = b"-----BEGIN ENCRYPTED PRIVATE KEY-----\n" + body + b"\n-----END ENCRYPTED PRIVATE KEY-----\n"
    with pytest.raises(
        CertificateError, match=r"expected a private key in PEM \(and its password\), got none that opens"
    ):
        read_private_key(text + LEAF.to_pem() if body else text, password=PASSWORD if body else None)


# --- what is no such file -------------------------------------------------------------------------------------------

HOSTILE = {
    "nothing that ends": b"\x30\x80" * 500_000,
    "many in few": b"\x30\x80" * 30 + b"\x05\0" * 500_000,
    "many in one": encode(0x30, b"\x05\0" * 500_000),
    "deep": b"\x30\x83\x0f\xff\xff" * 200_000,
    "pieces in pieces": indefinite(0x30, indefinite(0x30, oid(_DATA), indefinite(0xA0, b"\x24\x80" * 500_000))),
    "a length of many octets": b"\x30\xff" + b"\xff" * 500_000,
    "an end without a beginning": b"\0\0" * 500_000,
    "a tag of several octets": b"\x1f\xff" * 500_000,
}


@pytest.mark.parametrize("case", HOSTILE)
def test_reading_is_bounded(case):
    started = time.process_time()
    found = of_pkcs12(HOSTILE[case])
    of_pem(b"-----BEGIN ENCRYPTED PRIVATE KEY-----" + base64.b64encode(HOSTILE[case]) + b"-----END")
    of_pem(b"-----BEGIN ENCRYPTED PRIVATE KEY-----" * 30_000)
    assert time.process_time() - started < 3
    assert found is None or found.iterations == 0


@given(st.binary(max_size=200))
def test_any_octets_are_read_or_not(octets):
    for found in (of_pkcs12(octets), of_pem(octets)):
        assert found is None or found.iterations >= 0


@given(st.integers(0, 400), st.integers(0, 255))
def test_a_damaged_file_is_read_or_not(place, octet):
    file = bytearray(pfx(hidden(pbes2(pbkdf2(10))), data(seq(key_bag(pbe(10))))))
    file[place % len(file)] = octet
    for whole in (bytes(file), bytes(file[: place % len(file)])):
        assert of_pkcs12(whole) is None or of_pkcs12(whole).iterations >= 0
