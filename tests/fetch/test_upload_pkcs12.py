"""PKCS #12 has one key and its chain, in whatever order; what has not is one error that shows nothing."""

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.serialization import pkcs12

from mtlskit.core.certificates import to_der
from mtlskit.errors import CertificateError
from mtlskit.fetch import CertificateUploads
from mtlskit.stores import open_store
from mtlskit.testing.certificates import Authority
from support.der import encode, integer, oid, seq
from support.exposure import exposed

ROOT = Authority.root("Test root")
LEAF = ROOT.intermediate("Upper").intermediate("Lower").leaf("device")
OTHER = ROOT.leaf("other")
PASSWORD = b"correct horse"
_DATA = "1.2.840.113549.1.7.1"
_BAG = "1.2.840.113549.1.12.10.1"


@pytest.fixture
def uploads():
    return CertificateUploads(open_store("memory://"))


def packed(leaf, more, key=LEAF.private_key):
    return pkcs12.serialize_key_and_certificates(
        b"device", key, leaf, more, serialization.BestAvailableEncryption(PASSWORD)
    )


def bare(*chains, seal=b""):
    """A PKCS #12 without encryption, and without MAC if none is given, with the key and the leaf of each chain."""
    keys = [seq(oid(f"{_BAG}.1"), encode(0xA0, chain.private_key_der())) for chain in chains]
    kept = (seq(oid("1.2.840.113549.1.9.22.1"), encode(0xA0, encode(4, to_der(each.certificate)))) for each in chains)
    bags = [*keys, *(seq(oid(f"{_BAG}.3"), encode(0xA0, each)) for each in kept)]
    safe = seq(oid(_DATA), encode(0xA0, encode(4, seq(*bags))))
    return seq(integer(3), seq(oid(_DATA), encode(0xA0, encode(4, seq(safe)))), seal)


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
@pytest.mark.parametrize("password", [PASSWORD, PASSWORD.decode()])
def test_the_chain_comes_out_in_order(uploads, order, password):
    leaf, *above = LEAF.certificates
    uploaded = uploads.upload_pkcs12(packed(leaf, [above[place] for place in order]), password=password, name="p12")

    chain = uploads.signing_chain(uploaded.id)
    assert uploaded.name == "p12"
    assert (chain.certificates, chain.private_key_der()) == (LEAF.certificates, LEAF.private_key_der())


def test_it_may_have_no_password(uploads):
    uploaded = uploads.upload_pkcs12(bare(OTHER), requester="alice")
    assert uploads.certificates(uploaded.id) == OTHER.certificates


# MacData (RFC 7292, 4): two milliards of iterations, in 60 octets.
HOURS = seq(seq(seq(oid("1.3.14.3.2.26"), encode(5)), encode(4, bytes(20))), encode(4, b"saltsalt"), integer(2**31 - 1))

WRONG = {
    "hours": (bare(OTHER, seal=HOURS), "PKCS#12 that opens with at most 5000000 iterations, got 2147483647"),
    "several keys": (bare(OTHER, LEAF), "one private key, got 2"),
    "no key": (pkcs12.serialize_java_truststore(
        [pkcs12.PKCS12Certificate(ROOT.certificate, b"root")], serialization.BestAvailableEncryption(PASSWORD)
    ), "with a key and its certificate"),
    "a stranger's certificate": (packed(LEAF.certificate, [OTHER.certificate]), "not part of it: 'CN=other'"),
    "a gap": (packed(LEAF.certificate, [LEAF.certificates[2]]), "not part of it: 'CN=Upper'"),
    "PEM": (LEAF.to_pem(), "PKCS#12 and its password"),
    "one certificate": (to_der(LEAF.certificate), "PKCS#12 and its password"),
    "nothing": (b"", "PKCS#12 and its password"),
    "a part": (packed(LEAF.certificate, [])[:-20], "PKCS#12 and its password"),
    "ten megabytes": (b"\x30" * 10_485_760, "at most 1048576 bytes"),
    "a number": (7, "bytes or str, got int"),
}  # fmt: skip


@pytest.mark.invariant("I11")
@pytest.mark.parametrize("case", WRONG)
def test_anything_else_is_one_error_and_nothing_is_kept_or_shown(uploads, case):
    data, said = WRONG[case]
    with pytest.raises(CertificateError, match=f"expected .*{said}") as caught:
        uploads.upload_pkcs12(data, password=PASSWORD)
    assert exposed(caught.value, PASSWORD, LEAF.private_key_der(), *([data] if data and data != 7 else [])) == []
    assert uploads.list() == ()


@pytest.mark.invariant("I11")
@pytest.mark.parametrize("password", [None, "", "wrong horse"])
def test_a_wrong_password_is_one_error_that_shows_nothing(uploads, password):
    data = packed(LEAF.certificate, LEAF.certificates[1:])
    with pytest.raises(CertificateError, match="expected PKCS#12 and its password") as caught:
        uploads.upload_pkcs12(data, password=password)
    assert exposed(caught.value, data, "wrong horse") == []


@pytest.mark.invariant("I11")
@pytest.mark.parametrize("case", ["hours", "several keys", "a part"])
def test_no_local_variable_of_a_failed_replacement_has_the_key(uploads, case):
    uploaded, data = uploads.upload(OTHER.to_pem()), WRONG[case][0]
    with pytest.raises(CertificateError) as caught:
        uploads.replace_pkcs12(uploaded.id, data, password=PASSWORD)
    assert exposed(caught.value, PASSWORD, data) == []
    assert uploads.certificates(uploaded.id) == OTHER.certificates
