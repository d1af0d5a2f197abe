"""CA certificates are kept without a key, and servers are trusted by them."""

from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa

from mtlskit.core.certificates import to_der, to_pem
from mtlskit.errors import CertificateError, ConfigurationError, Conflict, NotFound
from mtlskit.fetch import CertificateUploads, Environment, upload_authorities
from mtlskit.fetch.upload_authorities import AuthorityUploads
from mtlskit.stores import open_store
from mtlskit.testing.certificates import Authority
from support.exposure import exposed

NOW = datetime.now(UTC)
ROOT = Authority.root("Server root")
MIDDLE = ROOT.intermediate("Server intermediate")
LEAF = MIDDLE.leaf("device")
PEM = to_pem([MIDDLE.certificate, ROOT.certificate])
OTHER = Authority.root("Other root", not_after=NOW + timedelta(days=99))


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


def test_others_take_its_place_under_the_same_id(authorities, store):
    before = authorities.upload(PEM, name="partner")
    topics = set()
    store.subscribe(topics.update)

    after = authorities.replace(before.id, to_pem([OTHER.certificate]), requester="alice")

    assert (after.id, after.name, after.ca) == (before.id, "partner", True)
    assert (after.serial_number, after.expires_on) == (
        OTHER.certificate.serial_number, OTHER.certificate.not_valid_after_utc,
    )  # fmt: skip
    assert after.uploaded_on > before.uploaded_on
    assert authorities.list() == authorities.list("partner") == (after,)
    assert authorities.certificates(before.id) == (OTHER.certificate,)
    assert topics == {f"ca-certificate:{before.id}"}
    with store.snapshot() as snapshot:
        *_, row = snapshot.scan_audit()
    assert (row.event, row.details["id"], row.details["requester"]) == ("ca_certificate.replaced", before.id, "alice")
    assert row.details["serial"] == f"{OTHER.certificate.serial_number:x}"
    assert authorities.replace(before.id, PEM, name="renamed").name == "renamed"
    assert (authorities.list("partner"), len(authorities.list("renamed"))) == ((), 1)


@pytest.mark.parametrize("certificate_id", ["", "no-such", "\0", None])
def test_what_is_not_there_is_not_replaced(authorities, store, certificate_id):
    client = CertificateUploads(store).upload(LEAF.to_pem())
    for each in (certificate_id, client.id):
        with pytest.raises(NotFound, match="expected the id of an uploaded certificate"):
            authorities.replace(each, PEM)


def test_who_comes_second_is_told_and_changes_nothing(authorities, store, monkeypatch):
    uploaded = authorities.upload(PEM, name="partner")
    check = upload_authorities.upload_checks.check_authorities

    def meddle(*given):
        """Somebody else is quicker, between the reading and the writing."""
        monkeypatch.setattr(upload_authorities.upload_checks, "check_authorities", check)
        AuthorityUploads(store).replace(uploaded.id, to_pem([OTHER.certificate]), name="first")

    monkeypatch.setattr(upload_authorities.upload_checks, "check_authorities", meddle)
    with pytest.raises(Conflict, match="got one changed meanwhile"):
        authorities.replace(uploaded.id, PEM, name="second")

    assert authorities.certificates(uploaded.id) == (OTHER.certificate,)
    assert (len(authorities.list("first")), authorities.list("second")) == (1, ())


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
    uploaded = authorities.upload(PEM)
    with pytest.raises(CertificateError, match=f"expected .*{said}"):
        authorities.replace(uploaded.id, WRONG[said])
    assert authorities.list() == (uploaded,)


@pytest.mark.invariant("I11")
def test_a_key_is_refused_unseen(authorities):
    given = LEAF.to_pem() + PEM
    with pytest.raises(CertificateError, match="got PEM that holds a private key") as caught:
        authorities.upload(given)
    assert exposed(caught.value, given.splitlines()[1]) == []
    assert authorities.list() == ()
    uploaded = authorities.upload(PEM)
    with pytest.raises(CertificateError, match="got PEM that holds a private key") as caught:
        authorities.replace(uploaded.id, given)
    assert exposed(caught.value, given.splitlines()[1]) == []


def test_a_name_is_printable_text(authorities):
    with pytest.raises(ConfigurationError, match="expected a name"):
        authorities.upload(PEM, name="a\x1bb")
    uploaded = authorities.upload(PEM)
    with pytest.raises(ConfigurationError, match="expected a name"):
        authorities.replace(uploaded.id, PEM, name="a\x1bb")
