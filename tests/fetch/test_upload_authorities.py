"""CA certificates are kept without a key, and servers are trusted by them."""

from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa

from mtlskit.core.certificates import to_der, to_pem
from mtlskit.errors import CertificateError, ConfigurationError, NotFound
from mtlskit.fetch import CertificateUploads, Environment
from mtlskit.fetch.upload_authorities import AuthorityUploads
from mtlskit.stores import open_store
from mtlskit.testing.certificates import Authority
from support.exposure import exposed

NOW = datetime.now(UTC)
ROOT = Authority.root("Server root")
MIDDLE = ROOT.intermediate("Server intermediate")
LEAF = MIDDLE.leaf("device")
PEM = to_pem([MIDDLE.certificate, ROOT.certificate])


@pytest.fixture(params=["memory://", "sqlite"])
def store(request, tmp_path):
    opened = open_store(request.param if "://" in request.param else f"sqlite:///{tmp_path}/uploads.db")
    yield opened
    opened.close()


@pytest.fixture
def authorities(store):
    return AuthorityUploads(store)


@pytest.mark.parametrize("given", [PEM, PEM.decode()])
def test_certificates_are_told_of_listed_and_trusted_by(authorities, store, given):
    uploaded = authorities.upload(given, name="partner", requester="alice")

    assert (uploaded.name, uploaded.ca, uploaded.issuer) == ("partner", True, "CN=Server root")
    assert uploaded.serial_number == MIDDLE.certificate.serial_number
    assert authorities.list() == authorities.list("partner") == tuple(authorities) == (uploaded,)
    assert authorities.get(uploaded.id) == uploaded
    trust = authorities.certificates(uploaded.id)
    assert trust == (MIDDLE.certificate, ROOT.certificate)
    with Environment({"MY_CERT": LEAF}, trust=trust):
        pass


def test_the_two_kinds_are_apart(authorities, store):
    clients = CertificateUploads(store)
    authority, client = authorities.upload(PEM, name="one"), clients.upload(LEAF.to_pem(), name="one")

    assert (authorities.list("one"), clients.list("one")) == ((authority,), (client,))
    for ask in (clients.get, clients.signing_chain, clients.certificates, clients.delete):
        with pytest.raises(NotFound):
            ask(authority.id)
    for ask in (authorities.get, authorities.certificates, authorities.delete):
        with pytest.raises(NotFound):
            ask(client.id)


def test_a_deleted_one_is_gone(authorities, store):
    uploaded = authorities.upload(PEM, name="partner")
    topics = set()
    store.subscribe(topics.update)

    authorities.delete(uploaded.id, requester="bob")

    assert authorities.list() == authorities.list("partner") == ()
    assert topics == {f"ca-certificate:{uploaded.id}"}
    with store.snapshot() as snapshot:
        rows = [(row.event, row.details["requester"]) for row in snapshot.scan_audit()]
    assert rows == [("ca_certificate.uploaded", ""), ("ca_certificate.deleted", "bob")]


def wrong():
    past = {"not_before": NOW - timedelta(days=9), "not_after": NOW - timedelta(days=1)}
    early = {"not_before": NOW + timedelta(days=1), "not_after": NOW + timedelta(days=9)}
    unknown = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00")
    roots = {
        "one that expired": Authority.root(**past),
        "not valid before": Authority.root(**early),
        "weak_key": Authority.root(key=rsa.generate_private_key(65537, 1024)),
        "not_a_ca": Authority.root(without=[x509.BasicConstraints]),
        "unsupported_critical_extension": Authority.root(extensions=[(unknown, True)]),
    }
    return {
        **{said: to_pem([root.certificate]) for said, root in roots.items()},
        "not_a_ca .*: 'CN=device'": to_pem([ROOT.certificate, LEAF.certificate]),
        "got DER": to_der(ROOT.certificate),
        "no certificate": b"garbage",
        "each certificate once": PEM + PEM,
        "at most 16 certificates": PEM * 9,
        "at most 1048576 bytes": b"\0" * 2_000_000,
        "bytes or str": None,
        "does not parse": PEM.replace(b"MII", b"MIJ", 1),
    }


WRONG = wrong()


@pytest.mark.parametrize("said", WRONG)
def test_what_nobody_is_to_be_trusted_by_is_refused(authorities, said):
    with pytest.raises(CertificateError, match=f"expected .*{said}"):
        authorities.upload(WRONG[said])
    assert authorities.list() == ()


@pytest.mark.invariant("I11")
def test_a_key_is_refused_unseen(authorities):
    given = LEAF.to_pem() + PEM
    with pytest.raises(CertificateError, match="got PEM that holds a private key") as caught:
        authorities.upload(given)
    assert exposed(caught.value, given.splitlines()[1]) == []
    assert authorities.list() == ()


def test_a_name_is_printable_text(authorities):
    with pytest.raises(ConfigurationError, match="expected a name"):
        authorities.upload(PEM, name="a\x1bb")
