"""What a library offers to switch verification off, or to send another certificate, does not work through a mount."""

from __future__ import annotations

import importlib
import socket
import ssl
from contextlib import closing

import pytest

from clients.certificates import ALICE, STRANGE_SERVER, STRANGERS, optional
from clients.libraries import CLIENTS, mount_module
from fetch.servers import serving
from mtlskit.core.certificates import to_pem
from mtlskit.errors import ConfigurationError, OriginNotAllowed
from mtlskit.fetch.clients.contexts import ssl_context

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


@pytest.mark.parametrize("name", sorted(CLIENTS))
def test_a_mount_takes_no_tls_settings(bind, name):
    options = {"requests": {"ssl_context": None}, "urllib3": {"use_forwarding_for_https": True, "proxy": "http://x:1"}}
    given = options.get(name, {"ssl" if name == "aiohttp" else "verify": False})
    with pytest.raises(TypeError):
        CLIENTS[name](bind(ALICE, "https://localhost:9"), **given)


def test_a_context_given_to_urllib3_is_not_the_one_that_is_used(bind, strange):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with pytest.raises(Exception, match=UNVERIFIED):
        call("urllib3", bind(ALICE, strange.url().rstrip("/")), strange.url(), "", {"ssl_context": context}, {})


def test_urllib3_patched_for_the_whole_process_is_refused(bind, strange):
    mount_module("urllib3")
    patched = importlib.import_module("urllib3.contrib.pyopenssl")
    patched.inject_into_urllib3()
    try:
        with pytest.raises(ConfigurationError, match="check_hostname"):
            call("urllib3", bind(ALICE, strange.url().rstrip("/")), strange.url(), "", {}, {})
    finally:
        patched.extract_from_urllib3()


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
    context = ssl_context(bind(ALICE, "https://db.partner.example"))
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
        getattr(ssl_context(bind(ALICE)), method)("x")


def test_every_method_of_a_context_is_either_harmless_or_refused():
    from mtlskit.fetch.clients.sealed import SealedContext

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
    context = ssl_context(bind(ALICE, "https://db.partner.example:5432"))
    context.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server_hostname="db.partner.example")
    context.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), False, b"DB.partner.example")
    for other in ("partner.example", b"elsewhere.example"):
        with pytest.raises(OriginNotAllowed):
            context.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server_hostname=other)
    with socket.socket() as raw, pytest.raises(OriginNotAllowed):
        context.wrap_socket(raw, server_hostname="elsewhere.example")


def test_tls_is_not_taken_off_a_socket_by_more_tls(bind, server):
    context = ssl_context(bind(ALICE))
    raw = socket.create_connection(("localhost", server.port))
    with raw, context.wrap_socket(raw, server_hostname="localhost") as outer:
        for arguments, options in (((outer,), {}), ((), {"sock": outer})):
            with pytest.raises(ConfigurationError, match="without TLS"):
                context.wrap_socket(*arguments, server_hostname="localhost", **options)
