"""Which servers are trusted: in code, in `mtlskit.toml`, by an upload of CA certificates."""

import json
import uuid

import pytest

from fetch.servers import context_of, serving
from mtlskit.core.certificates import to_pem
from mtlskit.errors import ConfigurationError, HandshakeError, StoreError
from mtlskit.fetch import AsyncEnvironment, AuthorityUploads, CertificateUploads, Environment
from mtlskit.ports import ServerTrust
from mtlskit.stores import open_store
from mtlskit.testing.certificates import SERVER_AUTH, Authority

SERVERS, OTHERS, CLIENTS = (Authority.root(name) for name in ("Server root", "Other root", "Client root"))
SERVER = SERVERS.leaf("server", sans=("dns:localhost",), usages=(SERVER_AUTH,))
ALICE = CLIENTS.leaf("alice")
KINDS = pytest.mark.parametrize("kind", [Environment, AsyncEnvironment])


@pytest.fixture
def store():
    opened = open_store("memory://")
    yield opened
    opened.close()


@pytest.fixture
def authorities(store):
    return AuthorityUploads(store)


@pytest.fixture
def server():
    with serving(context_of(SERVER, CLIENTS.certificate)) as running:
        yield running


def of(root):
    return to_pem([root.certificate])


def test_servers_are_trusted_by_an_upload_and_no_others_are(fetch_one, server, store, authorities):
    ours = authorities.upload(of(OTHERS) + of(SERVERS), name="partner")
    theirs = authorities.upload(of(OTHERS), name="stranger")

    seen = fetch_one({"A": ALICE}, "A", server.url(), environment={"trust": ours.id, "store": store})
    assert seen.json()["client"] == "alice"
    with pytest.raises(HandshakeError):
        fetch_one({"A": ALICE}, "A", server.url(), environment={"trust": theirs.id, "store": store})


def test_what_replaces_an_upload_is_trusted_by_environments_made_after(fetch_one, server, store, authorities):
    uploaded = authorities.upload(of(OTHERS))
    authorities.replace(uploaded.id, of(SERVERS))
    assert fetch_one({"A": ALICE}, "A", server.url(), environment={"trust": uploaded.id, "store": store}).ok


def test_an_id_is_never_a_word_for_something_else(authorities):
    assert uuid.UUID(authorities.upload(of(SERVERS)).id).version == 7
    assert {each.value for each in ServerTrust} == {"certifi", "system"}


@KINDS
@pytest.mark.parametrize("trust", ["no-such", "", "sytem", "a\0b", "x" * 1_000])
def test_an_id_that_is_not_there_is_one_clear_error(store, kind, trust):
    with pytest.raises(ConfigurationError, match="^expected 'certifi', 'system', root certificates or the id of ") as e:
        kind({"A": ALICE}, store=store, trust=trust)
    assert "\n" not in str(e.value)
    assert len(str(e.value)) < 250


@KINDS
def test_a_client_certificate_is_no_root(store, kind):
    client = CertificateUploads(store).upload(ALICE.to_pem())
    with pytest.raises(ConfigurationError, match=f"the id of uploaded CA certificates as trust, got '{client.id}'$"):
        kind({"A": ALICE}, store=store, trust=client.id)


@KINDS
def test_without_a_store_no_id_is_good(authorities, kind):
    uploaded = authorities.upload(of(SERVERS))
    with pytest.raises(ConfigurationError, match=f"got '{uploaded.id}' and no store$"):
        kind({"A": ALICE}, trust=uploaded.id)


def test_an_upload_that_cannot_be_read_is_not_trusted(store, authorities):
    uploaded = authorities.upload(of(SERVERS))
    with store.transaction() as transaction:
        transaction.replace("ca-certificate", "", uploaded.id, json.dumps({"chain": "garbage"}).encode())
    with pytest.raises(StoreError, match=uploaded.id):
        Environment({"A": ALICE}, store=store, trust=uploaded.id)


# --- mtlskit.toml ---------------------------------------------------------------------------------------------------


@pytest.fixture
def load(tmp_path, store, authorities):
    uploaded = authorities.upload(of(SERVERS))
    certificate = CertificateUploads(store).upload(ALICE.to_pem())
    (tmp_path / "partner-root.pem").write_bytes(of(SERVERS))
    (tmp_path / "others.pem").write_bytes(of(OTHERS))
    (tmp_path / "key.pem").write_bytes(ALICE.to_pem())

    def loaded(text, kind=Environment, **options):
        text = text.replace("<CA>", uploaded.id).replace("<CERTIFICATE>", certificate.id)
        (tmp_path / "mtlskit.toml").write_text(text)
        return kind.from_file(tmp_path / "mtlskit.toml", store=store, **options)

    return loaded


BINDING = 'bindings.A.certificate_id = "<CERTIFICATE>"\n'
SAID = {
    'trust = { certificate_id = "<CA>" }': True,
    'trust = { file = "partner-root.pem" }': True,
    '[trust]\nfile = "partner-root.pem"': True,
    'trust = { file = "others.pem" }': False,
    'trust = "certifi"': False,
    'trust = "system"': False,
    "": False,
}


@pytest.mark.parametrize("text", SAID)
def test_a_file_says_which_servers_are_trusted(load, server, text):
    with load(BINDING + text) as env:
        if SAID[text]:
            assert env.A.fetch(server.url()).ok
        else:
            with pytest.raises(HandshakeError):
                env.A.fetch(server.url())


def test_code_has_the_last_word(load, server):
    with load(f'{BINDING}trust = {{ file = "missing.pem" }}', trust=[SERVERS.certificate]) as env:
        assert env.A.fetch(server.url()).ok
    with (
        load(f'{BINDING}trust = {{ certificate_id = "<CA>" }}', trust=[OTHERS.certificate]) as env,
        pytest.raises(HandshakeError),
    ):
        env.A.fetch(server.url())


def test_a_named_environment_does_not_inherit_it(load, server):
    text = f"""
        trust = {{ certificate_id = "<CA>" }}
        environments.own.{BINDING}
        environments.own.trust.file = "partner-root.pem"
        environments.none.{BINDING}
        """
    with load(text, environment="own") as env:
        assert env.A.fetch(server.url()).ok
    with load(text, environment="none") as env, pytest.raises(HandshakeError):
        env.A.fetch(server.url())


@KINDS
@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('trust = "partner-root.pem"', "{ file = ... } at trust, got 'partner-root.pem'"),
        ('trust = ""', "at trust, got ''"),
        ("trust = []", "at trust, got []"),
        ("trust = true", "at trust, got True"),
        ("trust = {}", "at trust, got {}"),
        ('trust = { file = "" }', "at trust, got {'file': ''}"),
        ("trust = { certificate_id = 7 }", "at trust, got {'certificate_id': 7}"),
        ('trust = { file = "partner-root.pem", certificate_id = "<CA>" }', "at trust, got {"),
        ('trust = { certificate_id = "certifi" }', "the id of uploaded CA certificates as trust, got 'certifi'"),
        ('trust = { certificate_id = "<CERTIFICATE>" }', "the id of uploaded CA certificates as trust, got '"),
        ('trust = { file = "missing.pem" }', "missing.pem"),
        ('trust = { file = "key.pem" }', "got PEM that holds a private key"),
        ('trust = { file = "mtlskit.toml" }', "expected root certificates to trust in PEM, got no certificate"),
        ('environments.staging.trust = "everything"', "at environments.staging.trust, got 'everything'"),
    ],
)
def test_what_is_wrong_is_told_with_file_and_place(load, tmp_path, kind, text, told):
    with pytest.raises(ConfigurationError) as caught:
        load(text, kind, environment="staging" if "staging" in text else None)
    assert str(caught.value).startswith(f"{tmp_path / 'mtlskit.toml'}: ")
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)
