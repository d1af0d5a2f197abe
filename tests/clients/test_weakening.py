"""What a library offers to switch verification off, or to send another certificate, does not work through a mount."""

from __future__ import annotations

import importlib
import socket
import ssl
import sys
from contextlib import closing

import pytest

from clients.certificates import ALICE, STRANGE_SERVER, STRANGERS, optional
from clients.libraries import CLIENTS, mount_module
from clients.proxies import proxying
from fetch.servers import serving
from mtlskit.core.certificates import to_pem
from mtlskit.errors import ConfigurationError, OriginNotAllowed

pytestmark = pytest.mark.invariant(14)
UNVERIFIED = r"(?i)certificate.verify.failed|unable to get local issuer"
PEM = "<pem>"  # stands for the path of a file with the strange server's root, and a certificate with its key


@pytest.fixture
def strange():
    """A server of another root."""
    with serving(optional(STRANGE_SERVER)) as running:
        yield running


@pytest.fixture
def pem(tmp_path):
    path = tmp_path / "strange.pem"
    path.write_bytes(to_pem([STRANGERS.certificate]) + STRANGE_SERVER.to_pem())
    return str(path)


def call(name, binding, url, pem, client, request, **mount):
    given = {key: pem if value == PEM else value for key, value in client.items()}
    with closing(CLIENTS[name](binding, client=given, **mount)) as opened:
        return opened.get(url, **{key: pem if value == PEM else value for key, value in request.items()})


@pytest.mark.parametrize(
    ("name", "client", "request_", "error", "match"),
    [
        ("httpx", {"verify": False}, {}, None, UNVERIFIED),
        ("httpx-async", {"verify": False}, {}, None, UNVERIFIED),
        ("httpx2", {"verify": False}, {}, None, UNVERIFIED),
        ("httpx2-async", {"verify": False}, {}, None, UNVERIFIED),
        ("requests", {"verify": False}, {}, ConfigurationError, "verify=False"),
        ("requests", {}, {"verify": False}, ConfigurationError, "verify=False"),
        ("requests", {}, {"verify": PEM}, None, UNVERIFIED),
        ("requests", {}, {"cert": PEM}, ConfigurationError, "a certificate of its own"),
        ("requests", {"cert": PEM}, {}, ConfigurationError, "a certificate of its own"),
        ("niquests", {"verify": False}, {}, ConfigurationError, "verify=False"),
        ("niquests", {}, {"verify": False}, ConfigurationError, "verify=False"),
        ("niquests", {}, {"verify": PEM}, ConfigurationError, "verify="),
        ("niquests", {}, {"verify": "sha256_" + "00" * 32}, ConfigurationError, "verify='sha256"),
        ("niquests", {}, {"cert": PEM}, ConfigurationError, "a certificate of its own"),
        ("niquests", {"cert": PEM}, {}, ConfigurationError, "a certificate of its own"),
        ("niquests-async", {"verify": False}, {}, ConfigurationError, "verify=False"),
        ("niquests-async", {}, {"cert": PEM}, ConfigurationError, "a certificate of its own"),
        ("urllib3", {"cert_reqs": "CERT_NONE"}, {}, ConfigurationError, "verify_mode"),
        ("urllib3", {"assert_hostname": False}, {}, ConfigurationError, "check_hostname"),
        ("urllib3", {"assert_hostname": "elsewhere.example"}, {}, ConfigurationError, "check_hostname"),
        ("urllib3", {"assert_fingerprint": "00" * 32}, {}, ConfigurationError, "check_hostname"),
        ("urllib3", {"ca_certs": PEM}, {}, ConfigurationError, "roots"),
        ("urllib3", {"ca_cert_data": "x"}, {}, ConfigurationError, "roots"),
        ("urllib3", {"cert_file": PEM}, {}, ConfigurationError, "a certificate"),
        ("urllib3", {"server_hostname": "elsewhere.example"}, {}, OriginNotAllowed, "elsewhere"),
        ("aiohttp", {}, {"ssl": False}, ConfigurationError, "ssl=False"),
        ("aiohttp", {}, {"ssl": ssl.create_default_context()}, ConfigurationError, "ssl="),
        ("aiohttp", {}, {"server_hostname": "elsewhere.example"}, OriginNotAllowed, "elsewhere"),
        ("aiohttp", {}, {"server_hostname": ""}, ConfigurationError, "the name of the server"),
        ("httpx", {}, {"extensions": {"sni_hostname": "elsewhere.example"}}, OriginNotAllowed, "elsewhere"),
        ("httpx2", {}, {"extensions": {"sni_hostname": "elsewhere.example"}}, OriginNotAllowed, "elsewhere"),
        ("httpx-async", {}, {"extensions": {"sni_hostname": "elsewhere.example"}}, OriginNotAllowed, "elsewhere"),
    ],
)
def test_switching_verification_off_ends_without_a_connection(bind, strange, pem, name, client, request_, error, match):
    binding = bind(ALICE, f"https://localhost:{strange.port}")
    with pytest.raises(error or Exception, match=match):
        call(name, binding, strange.url(), pem, client, request_)
    assert not strange.seen


@pytest.mark.parametrize(
    ("name", "options", "error"),
    [
        ("httpx", {"cert": "<none>"}, ConfigurationError), ("httpx2", {"cert": "<none>"}, ConfigurationError),
        ("aiohttp", {"verify_ssl": False}, ValueError), ("aiohttp", {"fingerprint": b"0" * 32}, ValueError),
        ("aiohttp", {"ssl_context": ssl.create_default_context()}, ValueError),
    ],
)  # fmt: skip
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_nor_does_it_take_those_that_the_library_has_under_another_name(bind, name, options, error):
    with pytest.raises(error):
        CLIENTS[name](bind(ALICE, "https://localhost:9"), **options)


@pytest.mark.parametrize("name", sorted(CLIENTS))
def test_a_mount_takes_no_tls_settings(bind, name):
    options = {
        "requests": {"ssl_context": None}, "niquests": {"tls_configuration": None}, "niquests-async": {"disable_http3": False},
        "urllib3": {"use_forwarding_for_https": True, "proxy": "http://x:1"},
    }  # fmt: skip
    given = options.get(name, {"ssl" if name == "aiohttp" else "verify": False})
    with pytest.raises(TypeError):
        CLIENTS[name](bind(ALICE, "https://localhost:9"), **given)


def test_a_context_given_to_urllib3_is_not_the_one_that_is_used(bind, strange):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with pytest.raises(Exception, match=UNVERIFIED):
        call("urllib3", bind(ALICE, strange.url().rstrip("/")), strange.url(), "", {"ssl_context": context}, {})


@pytest.mark.parametrize("option", ["proxy_assert_hostname", "proxy_assert_fingerprint"])
def test_urllib3_is_not_told_to_take_another_proxy(bind, server, option):
    with proxying(optional(STRANGE_SERVER)) as proxy, pytest.raises(ConfigurationError, match="check_hostname"):
        client = {"proxy": proxy.url, option: "00" * 32}
        with closing(CLIENTS["urllib3"](bind(ALICE, server.url().rstrip("/")), **client)) as opened:
            opened.get(server.url())
    assert not proxy.asked


def test_a_context_put_into_the_innards_of_urllib3_is_not_used(bind, strange):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with closing(CLIENTS["urllib3"](bind(ALICE, strange.url().rstrip("/")))) as client:
        host = {"scheme": "https", "host": "localhost", "port": strange.port}
        for pool in (
            client.inner.connection_from_context({**host, "ssl_context": context}),
            client.inner.connection_from_host(**host, pool_kwargs={"ssl_context": context}),
        ):
            with pytest.raises(Exception, match=UNVERIFIED):
                pool.request("GET", "/", retries=False)


def test_a_version_of_requests_that_asks_for_no_context_is_refused(monkeypatch):
    pytest.importorskip("requests")
    adapters = importlib.import_module("requests.adapters")
    monkeypatch.delattr(adapters.HTTPAdapter, "build_connection_pool_key_attributes")
    monkeypatch.delitem(sys.modules, "mtlskit.fetch.clients.requests", raising=False)
    with pytest.raises(ConfigurationError, match=r"requests 2\.32\.2"):
        importlib.import_module("mtlskit.fetch.clients.requests")


def test_urllib3_patched_for_the_whole_process_is_refused(bind, strange):
    mount_module("urllib3")
    patched = importlib.import_module("urllib3.contrib.pyopenssl")
    patched.inject_into_urllib3()
    try:
        with pytest.raises(ConfigurationError, match="check_hostname"):
            call("urllib3", bind(ALICE, strange.url().rstrip("/")), strange.url(), "", {}, {})
    finally:
        patched.extract_from_urllib3()


@pytest.mark.parametrize("name", ["urllib3", "requests"])
def test_what_niquests_puts_in_the_place_of_urllib3_is_refused(name, monkeypatch):
    pytest.importorskip(name)
    monkeypatch.setattr(importlib.import_module("urllib3"), "HttpVersion", object, raising=False)
    monkeypatch.delitem(sys.modules, f"mtlskit.fetch.clients.{name}", raising=False)
    with pytest.raises(ConfigurationError, match="urllib3.future"):
        importlib.import_module(f"mtlskit.fetch.clients.{name}")


# --- niquests ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["niquests", "niquests-async"])
@pytest.mark.parametrize("is_known", [False, True], ids=["told", "remembered"])
def test_niquests_stays_at_the_origin_and_off_quic_whose_tls_is_another(bind, server, other, name, is_known):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
        datagrams.bind(("127.0.0.1", 0))
        port = datagrams.getsockname()[1]
        server.routes["/"] = (200, {"Alt-Svc": f'h3=":{port}"; ma=60, h2=":{other.port}"; ma=60'}, b'{"client": null}')
        remembered = {("localhost", server.port): ("localhost", port)} if is_known else {}
        binding = bind(ALICE, server.url().rstrip("/"))
        with closing(CLIENTS[name](binding, quic_cache_layer=remembered)) as client:
            assert [client.get(server.url(path)).status for path in ("/", "/", "/after")] == [200] * 3

        datagrams.setblocking(False)
        with pytest.raises(BlockingIOError):
            datagrams.recv(65536)
    assert [seen.client for seen in server.seen] == ["alice"] * 3
    assert other.handshakes == 0


def test_niquests_with_another_tls_is_refused(bind, monkeypatch):
    mount_module("niquests")
    connection = importlib.import_module("niquests.packages.urllib3.connection")
    monkeypatch.setattr(connection, "convert_ssl_ctx_nonstdlib", lambda _: ssl.create_default_context())
    with pytest.raises(ConfigurationError, match="another TLS"):
        CLIENTS["niquests"](bind(ALICE, "https://localhost:9"))


class _ClosedResolver:
    """What a session of niquests with a resolver of its own has once it is closed."""

    def is_available(self):
        return False

    def recycle(self):
        return importlib.import_module("niquests").Session().resolver

    def close(self):
        pass


def test_a_session_of_niquests_that_is_used_after_it_was_closed_keeps_its_binding(bind, strange):
    binding = bind(ALICE, strange.url().rstrip("/"))
    with closing(CLIENTS["niquests"](binding)) as client:
        bound = client.inner.get_adapter("https://localhost")
        client.inner.resolver = _ClosedResolver()
        with pytest.raises(ConfigurationError, match="keeps its binding"):
            client.get(strange.url())
        with pytest.raises(Exception, match=UNVERIFIED):
            client.get(strange.url())
        assert {client.inner.get_adapter(f"{scheme}://localhost") for scheme in ("https", "http", "http+unix")} == {
            bound
        }

        longer = importlib.import_module("niquests").adapters.HTTPAdapter()
        client.inner.mount("https://elsewhere.example/", longer)
        assert client.inner.get_adapter("https://elsewhere.example/") is longer


@pytest.mark.parametrize("url", ["http+unix://%2Ftmp%2Fnone/", "ws://localhost:9/", "sse://localhost:9/"])
def test_niquests_speaks_https_only(bind, server, url):
    server.routes["/away"] = (302, {"Location": url}, b"")
    with closing(CLIENTS["niquests"](bind(ALICE, server.url().rstrip("/")))) as client:
        for asked in (url, server.url("/away")):
            with pytest.raises(OriginNotAllowed):
                client.get(asked)


# --- the context that they get ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("verify_mode", ssl.CERT_NONE), ("check_hostname", False), ("keylog_filename", "/dev/null"),
        ("options", 0), ("verify_flags", ssl.VerifyFlags(0)), ("minimum_version", ssl.TLSVersion.TLSv1),
        ("sni_callback", print), ("anything", 1), ("_context", None), ("_admits", None),
    ],
)  # fmt: skip
def test_a_sealed_context_has_no_settings(bind, name, value):
    context = bind(ALICE, "https://db.partner.example").ssl_context()
    with pytest.raises(ConfigurationError, match=f"got {name} = "):
        setattr(context, name, value)
    context.verify_mode, context.check_hostname = ssl.CERT_REQUIRED, True  # as it is: passed over


@pytest.mark.parametrize(
    "method",
    [
        "load_cert_chain", "load_verify_locations", "load_default_certs", "set_default_verify_paths", "set_ciphers",
        "load_dh_params", "set_ecdh_curve", "set_servername_callback",
    ],
)  # fmt: skip
def test_a_sealed_context_loads_nothing(bind, method):
    with pytest.raises(ConfigurationError, match="left as it is"):
        getattr(bind(ALICE).ssl_context(), method)("x")


def test_every_method_of_a_context_is_either_harmless_or_refused():
    from mtlskit.fetch.contexts import SealedContext

    harmless = {
        "cert_store_stats", "get_ca_certs", "get_ciphers", "get_groups", "session_stats", "set_alpn_protocols", "wrap_bio",
        "wrap_socket",
    }  # fmt: skip
    methods = {
        name for name in dir(ssl.SSLContext) if not name.startswith("_") and callable(getattr(ssl.SSLContext, name))
    }
    methods -= {"sslobject_class", "sslsocket_class"}
    refused = {name for name in methods if getattr(SealedContext, name) is SealedContext._refuse}
    assert methods - refused <= harmless


def test_a_context_for_origins_connects_to_no_other_host(bind):
    context = bind(ALICE, "https://db.partner.example:5432").ssl_context()
    context.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server_hostname="db.partner.example")
    context.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), False, b"DB.partner.example")
    for other in ("partner.example", b"elsewhere.example"):
        with pytest.raises(OriginNotAllowed):
            context.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server_hostname=other)
    with socket.socket() as raw, pytest.raises(OriginNotAllowed):
        context.wrap_socket(raw, server_hostname="elsewhere.example")


def test_a_server_without_a_name_is_refused_for_its_certificate_could_have_any(bind):
    for context in (bind(ALICE).ssl_context(), bind(ALICE, "https://db.partner.example").ssl_context()):
        for name in (None, "", b""):
            with pytest.raises(ConfigurationError, match="the name of the server"):
                context.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server_hostname=name)
            with socket.socket() as raw, pytest.raises(ConfigurationError, match="the name of the server"):
                context.wrap_socket(raw, server_hostname=name)


def test_tls_is_not_taken_off_a_socket_by_more_tls(bind, server):
    context = bind(ALICE).ssl_context()
    raw = socket.create_connection(("localhost", server.port))
    with raw, context.wrap_socket(raw, server_hostname="localhost") as outer:
        for arguments, options in (((outer,), {}), ((), {"sock": outer})):
            with pytest.raises(ConfigurationError, match="without TLS"):
                context.wrap_socket(*arguments, server_hostname="localhost", **options)
