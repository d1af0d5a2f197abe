"""Uploads are checked whole, kept encrypted, and told of without their keys."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives import serialization

from mtlskit.errors import CertificateError, ConfigurationError, NotFound, StoreError
from mtlskit.fetch import CertificateUploads
from mtlskit.stores import open_store
from mtlskit.testing.certificates import SERVER_AUTH, Authority, new_key
from support.exposure import exposed

NOW = datetime.now(UTC)
ROOT = Authority.root("Test root")
INTERMEDIATE = ROOT.intermediate("Test intermediate")
LEAF = INTERMEDIATE.leaf("device")


@pytest.fixture(params=["memory://", "sqlite"])
def store(request, tmp_path):
    url = request.param if "://" in request.param else f"sqlite:///{tmp_path}/uploads.db"
    opened = open_store(url)
    yield opened
    opened.close()


@pytest.fixture
def uploads(store):
    return CertificateUploads(store)


def key_of(chain, password=None):
    encryption = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    return chain.private_key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)


def test_an_upload_is_told_of_listed_and_usable(uploads):
    uploaded = uploads.upload(LEAF.chain_pem(), key_of(LEAF), name="device")

    assert (uploaded.name, uploaded.issuer) == ("device", "CN=Test intermediate")
    assert uploaded.serial_number == LEAF.serial_number
    assert uploaded.expires_on == LEAF.certificate.not_valid_after_utc
    assert uploads.list() == uploads.list("device") == (uploaded,)
    assert uploads.get(uploaded.id) == uploaded
    chain = uploads.signing_chain(uploaded.id)
    assert (chain.certificates, chain.private_key_der()) == (LEAF.certificates, LEAF.private_key_der())


def test_key_and_chain_may_come_in_one_text_and_the_key_encrypted(uploads):
    one = uploads.upload(LEAF.to_pem())
    other = uploads.upload(LEAF.chain_pem().decode(), key_of(LEAF, b"secret"), password="secret")

    assert one.id != other.id
    assert one.name is None
    assert {each.id for each in uploads.list()} == {one.id, other.id}


@pytest.mark.invariant("I11")
@pytest.mark.parametrize(
    "upload",
    [
        {"chain_pem": LEAF.to_pem(), "name": ""},
        {"chain_pem": LEAF.chain_pem(), "private_key_pem": key_of(LEAF), "password": "correct horse"},
        {"chain_pem": LEAF.chain_pem()[:500] + LEAF.to_pem()},
        {"chain_pem": ROOT.leaf("another").chain_pem(), "private_key_pem": key_of(LEAF).decode()},
    ],
)
def test_no_key_is_in_a_local_variable_of_an_upload_that_failed(uploads, upload):
    with pytest.raises((CertificateError, ConfigurationError)) as caught:
        uploads.upload(**upload)
    assert exposed(caught.value, key_of(LEAF).splitlines()[1], "correct horse") == []


def test_a_deleted_one_is_gone(uploads):
    uploaded = uploads.upload(LEAF.to_pem())

    uploads.delete(uploaded.id)

    assert uploads.list() == ()
    for ask in (uploads.get, uploads.signing_chain, uploads.delete):
        with pytest.raises(NotFound):
            ask(uploaded.id)


@pytest.mark.parametrize("certificate_id", ["", "no-such", "\0", "\ud800", None, 7])
def test_what_is_no_id_is_not_found(uploads, certificate_id):
    for ask in (uploads.get, uploads.signing_chain, uploads.delete):
        with pytest.raises(NotFound):
            ask(certificate_id)


def wrong_uploads():
    expired = ROOT.leaf(not_before=NOW - timedelta(days=9), not_after=NOW - timedelta(days=1))
    early = ROOT.leaf(not_before=NOW + timedelta(days=1), not_after=NOW + timedelta(days=9))
    server = ROOT.leaf(usages=(SERVER_AUTH,))
    stranger = Authority.root("Stranger")
    namesake = Authority.root("Test intermediate")
    shuffled = LEAF.chain_pem() + ROOT.leaf("other").chain_pem()
    return {
        "no certificate": (b"", key_of(LEAF)),
        "no key": (LEAF.chain_pem(), None),
        "another key": (LEAF.chain_pem(), key_of(ROOT.leaf())),
        "the key as certificate": (key_of(LEAF), key_of(LEAF)),
        "a broken certificate": (LEAF.chain_pem().replace(b"MII", b"MIJ", 1), key_of(LEAF)),
        "a broken key": (LEAF.chain_pem(), key_of(LEAF)[:-60]),
        "an encrypted key": (LEAF.chain_pem(), key_of(LEAF, b"x")),
        "not bytes": (7, key_of(LEAF)),
        "expired": (expired.chain_pem(), key_of(expired)),
        "not yet valid": (early.chain_pem(), key_of(early)),
        "for servers": (server.chain_pem(), key_of(server)),
        "a stranger behind": (LEAF.chain_pem() + stranger.leaf().chain_pem(), key_of(LEAF)),
        "an issuer of the same name": (
            LEAF.certificate.public_bytes(serialization.Encoding.PEM)
            + namesake.certificate.public_bytes(serialization.Encoding.PEM),
            key_of(LEAF),
        ),
        "out of order": (shuffled, key_of(LEAF)),
    }


WRONG = wrong_uploads()


@pytest.mark.parametrize("case", WRONG)
def test_what_cannot_authenticate_a_client_is_refused_and_nothing_kept(uploads, case):
    with pytest.raises(CertificateError, match="expected ") as caught:
        uploads.upload(*WRONG[case])

    assert "PRIVATE KEY" not in str(caught.value)
    assert uploads.list() == ()


@pytest.mark.parametrize("name", ["", "  ", "a\nb", "\x1b[31m", 7])
def test_a_name_is_printable_text(uploads, name):
    with pytest.raises(ConfigurationError, match="expected a name"):
        uploads.upload(LEAF.to_pem(), name=name)


@pytest.mark.invariant(11)
def test_no_key_is_in_the_clear_in_the_file_nor_in_a_repr(tmp_path, caplog):
    store = open_store(f"sqlite:///{tmp_path}/uploads.db")
    uploads = CertificateUploads(store)
    key = new_key()
    leaf = ROOT.leaf(key=key)

    uploaded = uploads.upload(leaf.to_pem(), name="device")

    scalar = key.private_numbers().private_value.to_bytes(32, "big")
    body = b"".join(key_of(leaf).splitlines()[1:-1])
    for file in tmp_path.iterdir():
        content = file.read_bytes()
        assert scalar not in content
        assert body[40:80] not in content
    shown = repr(uploaded) + repr(uploads.signing_chain(uploaded.id)) + caplog.text
    assert body[40:60].decode() not in shown
    store.close()


@pytest.mark.invariant(11)
def test_a_sealed_key_opens_for_its_own_record_only(uploads, store):
    one, other = uploads.upload(LEAF.to_pem()), uploads.upload(ROOT.leaf("other").to_pem())
    with store.transaction() as transaction:
        record = transaction.get("client-certificate", "", one.id)
        transaction.replace("client-certificate", "", other.id, record.value)

    with pytest.raises(StoreError):
        uploads.signing_chain(other.id)


@pytest.mark.parametrize("value", [b"\xff", b"[]", b"{}", json.dumps({"name": None, "chain": ""}).encode()])
def test_a_record_that_is_not_ours_is_one_clear_error(uploads, store, value):
    with store.transaction() as transaction:
        transaction.insert("client-certificate", "", "x", value)

    with pytest.raises(StoreError, match="'x'"):
        uploads.get("x")
    with pytest.raises(StoreError, match="'x'"):
        uploads.signing_chain("x")
