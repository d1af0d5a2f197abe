"""The same through every mount, on both backends: the certificate goes to the binding's origins and nowhere else."""

from __future__ import annotations

import socket
import types
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import timedelta

import pytest

from clients.certificates import ALICE, BOB, CLIENTS, SERVER, STRANGE_SERVER, STRANGERS, optional
from clients.libraries import CLIENTS as LIBRARIES
from clients.libraries import mount_module
from clients.proxies import proxying
from fetch.servers import serving
from mtlskit.core.certificates import to_pem
from mtlskit.errors import CertificateError, ConfigurationError, OriginNotAllowed
from mtlskit.fetch.clients.routes import Routes
from mtlskit.fetch.clients.transports import Lanes
from mtlskit.fetch.uploads import utc_now
from mtlskit.testing.certificates import SERVER_AUTH
from support.pages import ROOT, blocks


def origin_of(*servers, host="localhost"):
    return tuple(f"https://{host}:{server.port}" for server in servers)


@pytest.mark.invariant(14)
def test_the_identity_arrives_over_connections_that_are_kept(mounted, bind, server):
    client = mounted(bind(ALICE, *origin_of(server)))

    assert [client.get(server.url()).client for _ in range(3)] == ["alice"] * 3
    assert {seen.connection for seen in server.seen} == {1}


@pytest.mark.invariant(14)
def test_another_origin_gets_no_certificate(mounted, bind, server, other):
    client = mounted(bind(ALICE, *origin_of(server)))

    for _ in range(2):
        assert client.get(server.url()).client == "alice"
        assert client.get(other.url()).client is None
    assert {seen.connection for seen in (*server.seen, *other.seen)} == {1}  # kept, in turns too
    assert client.get(other.url(host="127.0.0.1")).client is None


@pytest.mark.invariant(14)
@pytest.mark.parametrize("status", [302, 307])
def test_a_redirect_to_another_origin_does_not_carry_the_certificate(mounted, bind, server, other, status):
    server.routes["/away"] = (status, {"Location": other.url("/there")}, b"")
    client = mounted(bind(ALICE, *origin_of(server)))

    assert client.get(server.url("/away")).client is None
    assert [(seen.client, seen.path) for seen in other.seen] == [(None, "/there")]
    assert [seen.client for seen in server.seen] == ["alice"]


@pytest.mark.invariant(14)
def test_a_redirect_within_the_origins_carries_it(mounted, bind, server, other):
    server.routes["/away"] = (302, {"Location": other.url("/there")}, b"")

    assert mounted(bind(ALICE, *origin_of(server, other))).get(server.url("/away")).client == "alice"


@pytest.mark.invariant(14)
def test_a_redirect_to_http_is_not_followed(mounted, bind, server):
    server.routes["/down"] = (302, {"Location": "http://localhost:9/"}, b"")
    client = mounted(bind(ALICE, *origin_of(server)))

    with pytest.raises(OriginNotAllowed):
        client.get(server.url("/down"))
    with pytest.raises(OriginNotAllowed):
        client.get("http://localhost:9/")


@pytest.mark.invariant(14)
def test_a_server_with_another_root_is_refused_whether_it_is_bound_or_not(mounted, bind):
    with serving(optional(STRANGE_SERVER)) as bound, serving(optional(STRANGE_SERVER)) as unbound:
        client = mounted(bind(ALICE, *origin_of(bound)))
        for running in (bound, unbound):
            with pytest.raises(Exception, match=r"(?i)certificate.verify.failed|unable to get local issuer"):
                client.get(running.url())

        assert not bound.seen
        assert not unbound.seen


@pytest.mark.invariant(14)
def test_a_server_with_another_name_is_refused(mounted, bind):
    chain = CLIENTS.leaf("server", sans=("dns:elsewhere.example",), usages=(SERVER_AUTH,))
    with serving(optional(chain)) as running:
        client = mounted(bind(ALICE, *origin_of(running), trust=[CLIENTS.certificate]))
        with pytest.raises(Exception, match=r"(?i)hostname|certificate.verify.failed"):
            client.get(running.url())


@pytest.mark.invariant(14)
def test_two_bindings_side_by_side_keep_their_identities(library, mounted, bind, server):
    alice, bob = (mounted(bind(chain, *origin_of(server))) for chain in (ALICE, BOB))

    def names(client):
        urls = [server.url()] * 12
        if hasattr(client, "get_all"):
            return {answer.client for answer in client.get_all(urls)}
        with ThreadPoolExecutor(4) as threads:
            return {answer.client for answer in threads.map(client.get, urls)}

    with ThreadPoolExecutor(2) as both:
        assert list(both.map(names, (alice, bob))) == [{"alice"}, {"bob"}]

    owners = {seen.connection: seen.client for seen in server.seen}
    assert all(owners[seen.connection] == seen.client for seen in server.seen)


@pytest.mark.invariant(14)
def test_the_origins_of_a_wildcard_are_those_with_one_label_more(mounted, bind, monkeypatch):
    resolve = socket.getaddrinfo

    def to_loopback(host, *arguments, **options):
        name = host.decode() if isinstance(host, bytes) else str(host)
        return resolve("127.0.0.1" if name.endswith("partner.example") else host, *arguments, **options)

    monkeypatch.setattr(socket, "getaddrinfo", to_loopback)
    with serving(optional(SERVER)) as running:
        client = mounted(bind(ALICE, f"https://*.partner.example:{running.port}"))
        hosts = ("pay.partner.example", "PAY.Partner.Example", "partner.example", "a.b.partner.example", "localhost")
        seen = [client.get(running.url(host=host)).client for host in hosts]

    assert seen == ["alice", "alice", None, None, None]


def _state(context):
    names = (
        "verify_mode", "check_hostname", "options", "verify_flags", "minimum_version", "maximum_version",
        "hostname_checks_common_name", "keylog_filename", "post_handshake_auth", "security_level",
    )  # fmt: skip
    own = {name: value for name, value in vars(context).items() if name != "_contexts"}
    ciphers = [each["name"] for each in context.get_ciphers()]
    return {name: getattr(context, name) for name in names}, context.get_ca_certs(True), ciphers, own


@pytest.mark.invariant(14)
def test_the_contexts_are_as_they_were(mounted, bind, server, other):
    binding = bind(ALICE, *origin_of(server))
    contexts = [lane.sealed(("http/1.1",))._context for lane in (binding._lane_now(), binding._plain)]
    before = [_state(context) for context in contexts]

    client = mounted(binding)
    assert (client.get(server.url()).client, client.get(other.url()).client) == ("alice", None)

    assert [_state(context) for context in contexts] == before


@pytest.mark.invariant(14)
def test_the_environment_changes_nothing(mounted, bind, server, monkeypatch, tmp_path):
    roots = tmp_path / "roots.pem"
    roots.write_bytes(to_pem([STRANGERS.certificate]))
    netrc = tmp_path / "netrc"
    netrc.write_text("machine localhost login somebody password secret\n")
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"):
        monkeypatch.setenv(name, str(roots))
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "HTTP_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path))
    monkeypatch.setenv("SSLKEYLOGFILE", str(tmp_path / "keys"))
    monkeypatch.setenv("NETRC", str(netrc))

    with serving(optional(STRANGE_SERVER)) as strange:
        client = mounted(bind(ALICE, *origin_of(server, strange)))
        assert client.get(server.url()).client == "alice"
        with pytest.raises(Exception, match=r"(?i)certificate.verify.failed|unable to get local issuer"):
            client.get(strange.url())

    assert "authorization" not in server.seen[0].headers
    assert not (tmp_path / "keys").exists()


@pytest.mark.invariant(14)
@pytest.mark.parametrize("is_tls", [False, True], ids=["clear", "tls"])
def test_a_proxy_sees_no_certificate_and_the_origin_behind_it_does(mounted, bind, server, other, is_tls):
    with proxying(optional(SERVER) if is_tls else None) as proxy:
        client = mounted(bind(ALICE, *origin_of(server)), proxy=proxy.url)
        assert [client.get(server.url()).client for _ in range(2)] == ["alice"] * 2
        assert client.get(other.url()).client is None

        assert set(proxy.seen) == {None}
        assert proxy.asked[0] == f"localhost:{server.port}"


@pytest.mark.invariant(14)
def test_a_proxy_sees_none_even_where_it_is_an_origin_too(mounted, bind, server):
    with proxying(optional(SERVER)) as proxy:
        client = mounted(bind(ALICE, *origin_of(server), proxy.url), proxy=proxy.url)
        assert client.get(server.url()).client == "alice"
        assert set(proxy.seen) == {None}


@pytest.mark.invariant(14)
def test_a_proxy_with_another_root_is_refused(mounted, bind, server):
    with proxying(optional(STRANGE_SERVER)) as proxy:
        client = mounted(bind(ALICE, *origin_of(server)), proxy=proxy.url)
        with pytest.raises(Exception, match=r"(?i)certificate.verify.failed|unable to get local issuer|proxy"):
            client.get(server.url())

    assert not proxy.asked
    assert not server.seen


class _Turning:
    """A source whose certificate is replaced."""

    def __init__(self, chain):
        self.chain = chain

    def current(self):
        return self.chain


@pytest.mark.invariant(14)
def test_another_certificate_is_taken_over_other_connections(mounted, bind, server):
    source = _Turning(ALICE)
    client = mounted(bind(source, *origin_of(server)))
    first = [client.get(server.url()).client for _ in range(2)]
    source.chain = BOB
    then = [client.get(server.url()).client for _ in range(2)]

    assert (first, then) == (["alice"] * 2, ["bob"] * 2)
    assert [seen.connection for seen in server.seen] == [1, 1, 2, 2]


def test_a_request_that_comes_while_its_lane_is_retired_goes_over_the_next_one():
    class Routes:
        plain, now = object(), object()

        def context(self, *_origin):
            return self.now

    class Request:
        url = types.SimpleNamespace(scheme="https", raw_host=b"localhost", port=None)

    class Overtaken(Request):
        def __hash__(self):  # asked for when it enters a lane that was chosen before
            if lanes._certified is first:
                routes.now = object()
                lanes.enter(Request())
                assert lanes.idle() == [first.transport]
            return 1

    routes = Routes()
    lanes = Lanes(routes, lambda _context: object())
    first = lanes.enter(Request())
    first.requests.clear()

    entered = lanes.enter(Overtaken())

    assert entered is not first
    assert entered.context is routes.now
    assert lanes.idle() == []


def test_an_answer_that_is_still_read_is_not_cut_off_by_another_certificate(library, mounted, bind, server):
    if "httpx" not in library:
        pytest.skip("closes connections where their pool is no longer used, and not before")
    server.routes["/long"] = (200, {}, b"x" * 4_000_000)
    source = _Turning(ALICE)
    client = mounted(bind(source, *origin_of(server)))

    length = client.read_meanwhile(server.url("/long"), lambda: setattr(source, "chain", BOB), server.url())

    assert length == 4_000_000
    assert len(client.inner._transport._lanes._retired) == 1
    assert client.get(server.url()).client == "bob"
    assert client.inner._transport._lanes._retired == []


def test_a_certificate_that_is_not_usable_is_told_before_a_byte_is_sent(library, bind, mounted, server):
    now = utc_now()
    clock = [now]
    client = mounted(bind(ALICE, *origin_of(server), clock=lambda: clock[0]))
    assert client.get(server.url()).client == "alice"

    clock[0] = now + timedelta(days=36500)
    with pytest.raises(CertificateError, match="expired"):
        client.get(server.url())
    assert len(server.seen) == 1

    servers_only = CLIENTS.leaf("server", usages=(SERVER_AUTH,))
    with pytest.raises(CertificateError, match="clientAuth"), closing(LIBRARIES[library](_bound(bind, servers_only))):
        pass


def _bound(bind, chain):
    return bind(chain, "https://localhost:9")


def test_a_binding_must_say_its_origins(library, bind):
    with pytest.raises(ConfigurationError, match="expected a binding with origins"):
        LIBRARIES[library](bind(ALICE))
    with pytest.raises(ConfigurationError, match="expected a binding of an environment, got str"):
        LIBRARIES[library]("MY_CERT")


@pytest.mark.invariant(14)
@pytest.mark.parametrize(
    ("host", "port", "expected"),
    [
        ("api.partner.example", None, True), ("API.partner.example.", 443, True), ("api.partner.example", 444, False),
        ("api.partner.example.evil.example", None, False), ("x.api.partner.example", None, False),
        ("api.partner.example@evil.example", None, False), ("api.partner.example/x", None, False),
        ("api.partner.example\\x", None, False), ("api.partner.example#x", None, False), ("", None, False),
        ("api.partner.example%00", None, False), ("api.partner.example x", None, False),
        ("аpi.partner.example", None, False), ("::1", 8443, True), ("[::1]", 8443, True), ("[::1", 8443, False),
        ("::1%eth0", 8443, False), ("127.0.0.1", None, True), ("127.1", None, False), ("0x7f.0.0.1", None, False),
        ("api_2.partner.example", None, False),
    ],
)  # fmt: skip
def test_which_hosts_are_the_bindings(bind, host, port, expected):
    routes = Routes(bind(ALICE, "https://api.partner.example", "https://[::1]:8443", "https://127.0.0.1"))

    assert routes.covers(host, port) is expected
    assert (routes.context("https", host, port) is not routes.plain) is expected


@pytest.mark.invariant(14)
def test_the_example_of_niquests(bind, server):
    mount_module("niquests")
    (block,) = (each for each in blocks(ROOT / "docs" / "how-to" / "mounts.md") if "import niquests" in each.code)
    env = types.SimpleNamespace(BILLING=bind(ALICE, *origin_of(server)))

    exec(block.code.replace("api.partner.example", f"localhost:{server.port}"), {"env": env})

    assert [seen.client for seen in server.seen] == ["alice"]


def test_without_the_library_the_error_names_its_distribution(library, monkeypatch):
    import importlib
    import sys

    name = library.removesuffix("-async")
    mount_module(name)
    monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.delitem(sys.modules, f"mtlskit.fetch.clients.{name}")
    with pytest.raises(ConfigurationError, match=rf"pip install {name}"):
        importlib.import_module(f"mtlskit.fetch.clients.{name}")
