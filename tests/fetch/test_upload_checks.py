"""What no server would accept of a client is told when it is uploaded, in one line, and nothing is kept."""

import re
import time
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID

from mtlskit.core.certificates import SigningChain, to_der, to_pem
from mtlskit.core.pem import Secret
from mtlskit.errors import CertificateError, ConfigurationError
from mtlskit.fetch import CertificateUploads
from mtlskit.stores import open_store
from mtlskit.testing.certificates import SERVER_AUTH, Authority, new_key

NOW = datetime.now(UTC)
ROOT = Authority.root("Test root")
MIDDLE = ROOT.intermediate("Test intermediate")
LEAF = MIDDLE.leaf("device")
WITH_ROOT = SigningChain(LEAF.private_key, (*LEAF.certificates, ROOT.certificate))


@pytest.fixture
def uploads():
    return CertificateUploads(open_store("memory://"))


def usage(**given):
    names = ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
             "key_cert_sign", "crl_sign", "encipher_only", "decipher_only")  # fmt: skip
    return [(x509.KeyUsage(**{name: given.get(name, False) for name in names}), True)]


def of(*certificates, key=LEAF.private_key):
    return to_pem(certificates) + SigningChain(key, certificates[:1]).to_pem().partition(b"-----BEGIN CERT")[0]


def weak():
    return ROOT.leaf("weak", key=rsa.generate_private_key(65537, 1024)).to_pem()


def chains():
    """What is refused, and what the error says."""
    leaf, middle = LEAF.certificates
    other_key = new_key()
    limited = ROOT.intermediate("Limited", path_length=0)
    servers = ROOT.intermediate("Servers", extensions=[(x509.ExtendedKeyUsage([SERVER_AUTH]), False)])
    no_signer = ROOT.intermediate("No signer", extensions=usage(digital_signature=True))
    expired = ROOT.intermediate("Expired", not_before=NOW - timedelta(days=9), not_after=NOW - timedelta(days=1))
    unknown = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00")
    strange = x509.AuthorityKeyIdentifier(b"x" * 20, None, None)
    forbidding = x509.NameConstraints(None, [x509.DNSName("acme.example")])
    constrained = ROOT.intermediate("Constrained", extensions=[(forbidding, True)])
    below_leaf = Authority(leaf, LEAF.private_key).leaf("below", key=other_key)
    return {
        "a certificate twice": (of(leaf, middle, middle), "each certificate once, got 'CN=Test intermediate'"),
        "the root twice": (of(leaf, middle, ROOT.certificate, ROOT.certificate), "each certificate once"),
        "one that issued nothing": (of(leaf, middle, ROOT.leaf().certificate), "to be its issuer"),
        "an intermediate left out": (of(leaf, ROOT.certificate), "after 'CN=device' to be its issuer"),
        "upside down": (of(ROOT.certificate, middle, leaf, key=ROOT.key), "to be its issuer"),
        "a CA": (of(ROOT.certificate, key=ROOT.key), "key usage digitalSignature"),
        "a CA that signs": (
            Authority.root("Both", extensions=usage(digital_signature=True, key_cert_sign=True)), "end-entity"
        ),
        "a key that signs nothing": (ROOT.leaf(extensions=usage(key_encipherment=True)).to_pem(), "digitalSignature"),
        "no purpose of a client": (ROOT.leaf(usages=[ExtendedKeyUsageOID.CODE_SIGNING]).to_pem(), "clientAuth"),
        "any purpose": (ROOT.leaf(usages=[ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE]).to_pem(), "clientAuth"),
        "a weak key": (weak(), "weak_key"),
        "an extension nobody knows": (ROOT.leaf(extensions=[(unknown, True)]).to_pem(), "unsupported_critical"),
        "a leaf as issuer": (of(below_leaf.certificate, leaf, middle, key=other_key), "not_a_ca"),
        "an issuer that may not sign": (no_signer.leaf().to_pem(), "not_a_ca"),
        "an issuer for servers": (servers.leaf().to_pem(), "wrong_purpose"),
        "an issuer past its end": (expired.leaf().to_pem(), "that expired at"),
        "too many CAs": (limited.intermediate("Below").leaf().to_pem(), "path_too_long"),
        "a name that is excluded": (constrained.leaf(sans=["dns:a.acme.example"]).to_pem(), "name_not_permitted"),
        "another issuer's identifier": (
            of(*(chain := MIDDLE.leaf(extensions=[(strange, False)])).certificates, key=chain.private_key),
            "got another as authority key identifier of 'CN=device'",
        ),
        "DER": (to_der(leaf), "in PEM, got DER or PKCS#12"),
        "seventeen certificates": (to_pem([leaf] * 17) + LEAF.to_pem(), "at most 16 certificates, got"),
        "a thousand certificates": (LEAF.to_pem() * 500, "at most 16 certificates, got 1000"),
        "ten megabytes": (b"garbage " * 1_310_720, "at most 1048576 bytes"),
    }  # fmt: skip


WRONG = {
    case: (SigningChain(given.key, (given.certificate,)).to_pem() if isinstance(given, Authority) else given, said)
    for case, (given, said) in chains().items()
}


@pytest.mark.parametrize("case", WRONG)
def test_what_no_server_would_accept_is_refused_in_one_line(uploads, case):
    given, said = WRONG[case]

    with pytest.raises(CertificateError, match=f"^expected .*{re.escape(said)}") as caught:
        uploads.upload(given)

    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400
    assert uploads.list() == ()


def test_blocks_without_an_end_cost_no_time(uploads):
    started = time.monotonic()
    with pytest.raises(CertificateError, match="at most 16 certificates"):
        uploads.upload(b"-----BEGIN CERTIFICATE-----\n" * 30_000)
    assert time.monotonic() - started < 1


@pytest.mark.parametrize(
    "chain", [LEAF, WITH_ROOT, ROOT.leaf("no extensions", usages=())], ids=["leaf", "with root", "without extensions"]
)
def test_a_chain_is_kept_as_it_came_with_its_root_or_without(uploads, chain):
    uploaded = uploads.upload(chain.to_pem())
    assert uploads.certificates(uploaded.id) == uploads.signing_chain(uploaded.id).certificates == chain.certificates


def test_a_self_signed_certificate_is_a_chain_of_its_own(uploads):
    key = new_key()
    itself = Authority(ROOT.certificate, key).leaf("Test root", key=key)
    assert uploads.upload(itself.to_pem()).issuer == "CN=Test root"


def test_what_is_missing_above_shows_where_the_roots_are_known(uploads):
    alone = SigningChain(LEAF.private_key, LEAF.certificates[:1])

    with pytest.raises(CertificateError, match=r"unknown_issuer .*'CN=device'"):
        uploads.upload(alone.to_pem(), trust=[ROOT.certificate])
    with pytest.raises(CertificateError, match="unknown_issuer"):
        uploads.upload(LEAF.to_pem(), trust=[Authority.root("Test root").certificate])

    assert uploads.list() == ()
    for chain, trust in ((LEAF, ROOT), (WITH_ROOT, ROOT), (alone, MIDDLE)):
        uploads.upload(chain.to_pem(), trust=[trust.certificate])
    uploads.upload(alone.to_pem())  # who does not say what the server trusts is not told


@pytest.mark.parametrize("trust", [["root.pem"], [None]])
def test_roots_are_certificates(uploads, trust):
    with pytest.raises(ConfigurationError, match="expected a certificate"):
        uploads.upload(LEAF.to_pem(), trust=trust)


def test_a_name_has_an_end(uploads):
    with pytest.raises(ConfigurationError, match="at most 256 characters, got 257"):
        uploads.upload(LEAF.to_pem(), name="n" * 257)
    assert uploads.upload(LEAF.to_pem(), name="n" * 256).name == "n" * 256


def test_secrets_may_come_wrapped(uploads):
    locked = LEAF.to_pem(password=b"correct horse")
    uploads.upload(Secret(locked), Secret(locked), password=Secret("correct horse"))
