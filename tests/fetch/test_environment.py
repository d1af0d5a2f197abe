"""Environments are read whole or refused with the place that is wrong, in wrangler's words."""

import json
import sys
import threading
import time

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from mtlskit.core.certificates import SigningChain
from mtlskit.errors import ConfigurationError, MTLSError, UnknownBinding
from mtlskit.fetch import AsyncEnvironment, CertificateUploads, ClientCertificate, Environment
from mtlskit.stores import open_store
from mtlskit.testing.certificates import Authority

ROOT = Authority.root()
LEAF = ROOT.leaf("device")
TRUST = [ROOT.certificate]


@pytest.fixture
def store():
    opened = open_store("memory://")
    yield opened
    opened.close()


@pytest.fixture
def certificate_id(store):
    return CertificateUploads(store).upload(LEAF.to_pem()).id


@pytest.fixture
def file(tmp_path):
    def write(text, name="wrangler.toml"):
        path = tmp_path / name
        path.write_text(text)
        return path

    return write


@pytest.mark.parametrize("kind", [Environment, AsyncEnvironment])
def test_a_binding_is_an_attribute_and_an_item(file, store, certificate_id, kind):
    path = file(
        f"""
        name = "worker"
        main = "src/index.js"
        mtls_certificates = [{{ binding = "MY_CERT", certificate_id = "{certificate_id}" }}]
        """
    )

    env = kind.from_file(path, store=store, trust=TRUST)

    assert env.MY_CERT is env["MY_CERT"]
    assert (env.MY_CERT.name, list(env), len(env), "MY_CERT" in env) == ("MY_CERT", ["MY_CERT"], 1, True)
    assert "MY_CERT" in dir(env)


def test_tables_and_json_are_read_too(file, store, certificate_id):
    toml = file(f'[[mtls_certificates]]\nbinding = "A"\ncertificate_id = "{certificate_id}"\nremote = true\n')
    entries = {"mtls_certificates": [{"binding": "A", "certificate_id": certificate_id}]}
    as_json = file(json.dumps(entries), "wrangler.json")

    for path in (toml, as_json):
        assert list(Environment.from_file(str(path), store=store, trust=TRUST)) == ["A"]


@pytest.mark.parametrize("name", ["wrangler.json", "wrangler.jsonc"])
def test_json_has_comments_and_trailing_commas(file, store, certificate_id, name):
    path = file(
        f"""
        /* what the Worker binds */
        {{
            "name": "worker", // https://not-a-comment.example in a text: "//"
            "mtls_certificates": [
                {{ "binding": "A", "certificate_id": "{certificate_id}", "origins": ["https://a.example"], }},
            ],
            "env": {{ "staging": {{ "mtls_certificates": [] }} }},
        }}
        """,
        name,
    )

    assert list(Environment.from_file(path, store=store, trust=TRUST)) == ["A"]
    assert list(Environment.from_file(path, store=store, trust=TRUST, environment="staging")) == []


@pytest.mark.parametrize("text", ["{", '{"a": }', "[" * 100_000, "/*", "", "\x00", '{"a": 1} {"b": 2}'])
def test_broken_json_is_one_clear_error(file, store, text):
    path = file(text, "wrangler.jsonc")
    with pytest.raises(ConfigurationError, match="expected well-formed JSONC, got ") as caught:
        Environment.from_file(path, store=store, trust=TRUST)

    assert "\n" not in str(caught.value)


def test_a_named_environment_does_not_inherit(file, store, certificate_id, caplog):
    path = file(
        f"""
        mtls_certificates = [{{ binding = "TOP", certificate_id = "{certificate_id}" }}]
        [env.staging]
        mtls_certificates = [{{ binding = "STAGING", certificate_id = "{certificate_id}" }}]
        [env.production]
        """
    )

    assert list(Environment.from_file(path, store=store, trust=TRUST)) == ["TOP"]
    assert list(Environment.from_file(path, store=store, trust=TRUST, environment="staging")) == ["STAGING"]
    assert not caplog.records
    assert list(Environment.from_file(path, store=store, trust=TRUST, environment="production")) == []
    assert 'but not on "env.production"' in caplog.text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("mtls_certificates = 7", 'The field "mtls_certificates" should be an array but got 7'),
        ('mtls_certificates = ["x"]', '"mtls_certificates[0]" bindings should be objects, but got "x"'),
        (
            'mtls_certificates = [{ certificate_id = "x" }]',
            '"mtls_certificates[0]" bindings should have a string "binding" field but got {"certificate_id": "x"}',
        ),
        (
            'mtls_certificates = [{ binding = "A", certificate_id = 7 }]',
            '"mtls_certificates[0]" bindings should have a string "certificate_id" field but got',
        ),
        (
            'mtls_certificates = [{ binding = "A", certificate_id = "" }]',
            '"mtls_certificates[0]" bindings should have a string "certificate_id" field but got',
        ),
        (
            'mtls_certificates = [{ binding = "A", certificate_id = "x" }, { binding = "A", certificate_id = "x" }]',
            "A assigned to multiple mTLS Certificate bindings",
        ),
        (
            'mtls_certificates = [{ binding = "A", certificate_id = "x", origins = ["http://a.example"] }]',
            '"mtls_certificates[0].origins": expected an origin',
        ),
        (
            'mtls_certificates = [{ binding = "A", certificate_id = "x", origins = [] }]',
            '"mtls_certificates[0].origins": expected at least one origin',
        ),
        (
            'mtls_certificates = [{ binding = "A", certificate_id = "no-such" }]',
            "expected the id of an uploaded certificate for the binding 'A', got 'no-such'",
        ),
        ("mtls_certificates = [", "expected well-formed TOML"),
        ('mtls_certificates = [{ binding = "close", certificate_id = "x" }]', "expected a name that a binding can"),
    ],
)
def test_what_is_wrong_is_told_with_file_and_place(file, store, text, message):
    path = file(text)
    with pytest.raises(ConfigurationError) as caught:
        Environment.from_file(path, store=store, trust=TRUST)

    assert str(caught.value).startswith(f"{path}: ")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_place_in_a_named_environment_is_told(file, store):
    path = file('[env.production]\nmtls_certificates = ["x"]')
    with pytest.raises(ConfigurationError, match=r'"env\.production\.mtls_certificates\[0\]" bindings should be'):
        Environment.from_file(path, store=store, environment="production")
    with pytest.raises(ConfigurationError, match="expected the environment 'staging'"):
        Environment.from_file(path, store=store, environment="staging")


def test_a_file_that_is_not_there_or_of_another_kind_is_refused(file, store, tmp_path):
    with pytest.raises(ConfigurationError, match="Could not read file"):
        Environment.from_file(tmp_path / "wrangler.toml", store=store)
    with pytest.raises(ConfigurationError, match=r"'\.toml', '\.json' or '\.jsonc'"):
        Environment.from_file(file("", "wrangler.yaml"), store=store)
    with pytest.raises(ConfigurationError, match="expected an object"):
        Environment.from_file(file("[]", "wrangler.json"), store=store)
    latin = tmp_path / "latin.toml"
    latin.write_bytes(b'name = "\xe4"')
    with pytest.raises(ConfigurationError, match="Could not read file"):
        Environment.from_file(latin, store=store)


def test_unknown_fields_are_warned_about(file, store, certificate_id, caplog):
    path = file(f'mtls_certificates = [{{ binding = "A", certificate_id = "{certificate_id}", extra = 1 }}]')

    Environment.from_file(path, store=store, trust=TRUST)

    assert 'Unexpected fields found in mtls_certificates[0] field: "extra"' in caplog.text


@pytest.mark.parametrize("kind", [Environment, AsyncEnvironment])
def test_an_unknown_name_lists_the_known_ones(kind):
    env = kind({"A": LEAF, "B": LEAF}, trust=TRUST)

    for ask in (lambda: env.C, lambda: env["C"]):
        with pytest.raises(UnknownBinding, match=r"^expected the name of a binding \('A', 'B'\), got 'C'$") as caught:
            ask()
        assert isinstance(caught.value, AttributeError | MTLSError)
    assert not hasattr(env, "C")
    assert not hasattr(env, "_c")


@pytest.mark.parametrize(
    ("bindings", "options"),
    [
        ({"A": "some-id"}, {}),
        ({"A": 7}, {}),
        ({"": LEAF}, {}),
        ({"close": LEAF}, {}),
        ({"_A": LEAF}, {}),
        ({7: LEAF}, {}),
        ({"A": ClientCertificate(certificate=LEAF, origins=["a.example"])}, {}),
        ({"A": LEAF}, {"trust": "everything"}),
        ({"A": LEAF}, {"trust": []}),
        ({"A": LEAF}, {"trust": [b"x"]}),
        ({"A": LEAF}, {"trust": b"x"}),
        ({"A": LEAF}, {"trust": None}),
        ({"A": LEAF}, {"backend": "rustls"}),
    ],
)
def test_what_cannot_be_bound_in_code_is_refused(bindings, options):
    with pytest.raises(ConfigurationError, match="expected "):
        Environment(bindings, **{"trust": TRUST, **options})


@pytest.mark.invariant(11)
def test_an_environment_and_a_binding_show_no_key():
    env = Environment({"A": ClientCertificate(certificate=LEAF, origins=["https://a.example"])}, trust=TRUST)

    assert repr(env) == "<Environment A>"
    assert repr(env.A) == "<Binding A 'CN=device' origins=['https://a.example']>"


def test_without_the_extra_the_first_call_says_which_one(monkeypatch):
    monkeypatch.setitem(sys.modules, "httpcore2", None)
    for name in [name for name in sys.modules if name.startswith("mtlskit.fetch.engine")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delattr("mtlskit.fetch.engine", raising=False)

    with (
        Environment({"A": LEAF}, trust=TRUST) as env,
        pytest.raises(ConfigurationError, match=r"expected the extra 'fetch' .*, httpx2 is not installed"),
    ):
        env.A.fetch("https://localhost/")


def test_a_thousand_bindings_are_loaded_without_a_context_made(store, monkeypatch):
    uploads = CertificateUploads(store)
    certificate_id = uploads.upload(LEAF.to_pem()).id
    made = threading.Event()
    monkeypatch.setattr("mtlskit.fetch.lanes.Connector.context", lambda *_: made.set())

    env = Environment({f"B{number}": certificate_id for number in range(1000)}, store=store, trust=TRUST)

    assert len(env) == 1000
    assert not made.is_set()


def test_an_rsa_key_that_was_looked_at_is_not_looked_at_again(store):
    chain = ROOT.leaf("device", key=rsa.generate_private_key(65_537, 2_048))
    certificate_id, text = CertificateUploads(store).upload(chain.to_pem()).id, chain.to_pem()
    once = _processor_time(lambda: SigningChain.from_pem(text))
    ten = _processor_time(lambda: Environment({f"B{n}": certificate_id for n in range(10)}, store=store, trust=TRUST))
    assert ten < 3 * once


def _processor_time(work):
    before = time.process_time()
    work()
    return time.process_time() - before
