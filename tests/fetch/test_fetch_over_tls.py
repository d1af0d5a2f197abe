"""`fetch` against real TLS servers that demand client certificates, blocking and async, on both backends."""

import asyncio
import gzip
import json
import multiprocessing
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest

from fetch.servers import context_of, serving
from mtlskit.core.reasons import Reason
from mtlskit.errors import (
    CertificateError,
    ClientCertificateRefused,
    ConfigurationError,
    FetchError,
    HandshakeError,
    OriginNotAllowed,
)
from mtlskit.fetch import AsyncEnvironment, CertificateUse, ClientCertificate, Environment
from mtlskit.ports import Verification
from mtlskit.testing.certificates import SERVER_AUTH, Authority

NOW = datetime.now(UTC)
SERVERS, CLIENTS = Authority.root("Server root"), Authority.root("Client root")
SERVER = SERVERS.leaf("server", sans=("dns:localhost", "ip:127.0.0.1"), usages=(SERVER_AUTH,))
ALICE, BOB = CLIENTS.leaf("alice"), CLIENTS.intermediate().leaf("bob")
MALLORY = Authority.root("Client root").leaf("mallory")
BINDINGS = {"ALICE": ALICE, "BOB": BOB, "MALLORY": MALLORY}
TRUST = {"trust": [SERVERS.certificate]}


def demanding(version=None):
    return context_of(SERVER, CLIENTS.certificate, version=version)


@pytest.fixture
def server():
    with serving(demanding()) as running:
        yield running


@pytest.fixture
def other():
    """Another origin, which asks for a certificate and takes it if one comes."""
    with serving(context_of(SERVER, CLIENTS.certificate, verify=Verification.OPTIONAL)) as running:
        yield running


@pytest.mark.invariant(14)
@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_two_bindings_side_by_side_are_each_seen_with_their_own_certificate(fetch_all, version):
    with serving(demanding(version)) as server:
        calls = [(name, server.url("/x"), {}) for name in ("ALICE", "BOB", "ALICE", "BOB", "BOB")]
        responses = fetch_all(BINDINGS, *calls, **TRUST)

    assert [each.json()["client"] for each in responses] == ["alice", "bob", "alice", "bob", "bob"]
    assert [each.json()["connection"] for each in responses] == [1, 2, 1, 2, 2]  # kept alive, never shared
    assert all(each.ok and not each.redirected for each in responses)
    assert {each.client_certificate for each in responses} == {CertificateUse.REQUESTED}


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "LOCALHOST."])
def test_names_and_addresses_are_called(fetch_one, server, host):
    assert fetch_one(BINDINGS, "ALICE", server.url(host=host), TRUST).json()["client"] == "alice"


def test_what_is_asked_for_arrives(fetch_one, server):
    fetch_one(
        BINDINGS, "ALICE", server.url("/a?b=c"), TRUST, method="put", json={"ä": 1},
        headers={"X-Own": "v", "User-Agent": "mine"},
    )  # fmt: skip

    (seen,) = server.seen
    assert (seen.method, seen.path, seen.body) == ("PUT", "/a?b=c", '{"ä":1}'.encode())
    assert seen.headers["host"] == f"localhost:{server.port}"
    assert (seen.headers["x-own"], seen.headers["user-agent"]) == ("v", "mine")
    assert seen.headers["content-type"] == "application/json"


def test_the_body_comes_decoded_and_headers_as_sent(fetch_one):
    routes = {"/z": (201, {"Content-Encoding": "gzip", "Set-Cookie": "a=1\r\nSet-Cookie: b=2"}, gzip.compress(b"hi"))}
    with serving(demanding(), **routes) as server:
        response = fetch_one(BINDINGS, "ALICE", server.url("/z"), TRUST)

    assert (response.status, response.text()) == (201, "hi")
    assert response.headers.get_all("set-cookie") == ["a=1", "b=2"]


def test_cookies_are_not_kept_between_calls(fetch_all):
    with serving(demanding(), **{"/": (200, {"Set-Cookie": "a=1"}, b"")}) as server:
        fetch_all(BINDINGS, *[("ALICE", server.url(), {})] * 2, **TRUST)

    assert [seen.headers.get("cookie") for seen in server.seen] == [None, None]


# --- I14: where the certificate goes ---------------------------------------------------------------


@pytest.mark.invariant(14)
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_to_another_origin_does_not_carry_the_certificate(fetch_one, server, other, status):
    server.routes["/away"] = (status, {"Location": other.url("/there")}, b"")

    response = fetch_one(
        BINDINGS, "ALICE", server.url("/away"), TRUST, headers={"Authorization": "secret", "Cookie": "a", "X-Own": "v"}
    )

    (seen,) = other.seen
    assert (seen.client, seen.path, seen.headers.get("x-own")) == (None, "/there", "v")
    assert not {"authorization", "cookie"} & seen.headers.keys()
    assert [each.client for each in server.seen] == ["alice"]
    assert (response.url, response.redirected) == (other.url("/there"), True)
    assert response.client_certificate is CertificateUse.WITHHELD


@pytest.mark.invariant(14)
def test_the_way_back_is_without_the_certificate_too(fetch_one, other):
    with serving(context_of(SERVER, CLIENTS.certificate, verify=Verification.OPTIONAL)) as first:
        first.routes["/away"] = (302, {"Location": other.url("/back")}, b"")
        other.routes["/back"] = (302, {"Location": first.url("/end")}, b"")

        response = fetch_one(BINDINGS, "ALICE", first.url("/away"), TRUST)

    assert [(seen.path, seen.client) for seen in first.seen] == [("/away", "alice"), ("/end", None)]
    assert response.client_certificate is CertificateUse.WITHHELD


@pytest.mark.invariant(14)
def test_a_connection_with_the_certificate_is_not_used_without_it_nor_the_other_way(fetch_all, server, other):
    server.routes["/away"] = (302, {"Location": other.url("/")}, b"")
    calls = [("ALICE", url, {}) for url in (other.url("/"), server.url("/away"), other.url("/"), server.url("/away"))]

    fetch_all({"ALICE": ALICE}, *calls, **TRUST)

    assert [(seen.client, seen.connection) for seen in other.seen] == [
        ("alice", 1), (None, 2), ("alice", 1), (None, 2),
    ]  # fmt: skip


@pytest.mark.invariant(14)
def test_a_redirect_within_the_origin_carries_it(fetch_one, server):
    server.routes["/one"] = (307, {"Location": "/two"}, b"")

    response = fetch_one(BINDINGS, "ALICE", server.url("/one"), TRUST, method="POST", body=b"data")

    assert [(seen.client, seen.method, seen.body) for seen in server.seen] == [("alice", "POST", b"data")] * 2
    assert (response.redirected, response.client_certificate) == (True, CertificateUse.REQUESTED)


@pytest.mark.invariant(14)
def test_a_configured_origin_is_the_only_one_called(fetch_all, server, other):
    bound = {"ALICE": ClientCertificate(certificate=ALICE, origins=[server.url("")])}

    good, bad = fetch_all(bound, ("ALICE", server.url(), {}), ("ALICE", other.url(), {}), **TRUST)

    assert good.ok
    assert isinstance(bad, OriginNotAllowed)
    assert (other.seen, other.handshakes) == ([], 0)


@pytest.mark.invariant(14)
@pytest.mark.parametrize("url", ["http://localhost:{}/", "ws://localhost:{}/", "//localhost:{}/"])
def test_only_https_is_called(fetch_one, server, url):
    with pytest.raises(OriginNotAllowed, match="'https' URL"):
        fetch_one(BINDINGS, "ALICE", url.format(server.port), TRUST)


@pytest.mark.parametrize(("redirect", "expected"), [("manual", 302), ("error", FetchError)])
def test_a_redirect_that_is_not_to_be_followed_is_not(fetch_all, server, other, redirect, expected):
    server.routes["/away"] = (302, {"Location": other.url()}, b"")

    (found,) = fetch_all(BINDINGS, ("ALICE", server.url("/away"), {"redirect": redirect}), **TRUST)

    assert isinstance(found, FetchError) if expected is FetchError else found.status == expected
    assert other.seen == []


@pytest.mark.invariant(14)
def test_proxies_and_trust_of_the_process_environment_are_not_used(fetch_one, server, monkeypatch):
    for name in ("HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR", "SSLKEYLOGFILE"):
        monkeypatch.setenv(name, "no-such")

    assert fetch_one(BINDINGS, "ALICE", server.url(), TRUST).ok


# --- the server is verified ------------------------------------------------------------------------


def test_a_server_of_another_root_is_refused_and_sees_nothing(fetch_one, server):
    stranger = {"trust": [Authority.root("Server root").certificate]}

    with pytest.raises(HandshakeError, match="that is trusted here") as caught:
        fetch_one(BINDINGS, "ALICE", server.url(), stranger)

    assert caught.value.reason in (Reason.UNKNOWN_ISSUER, Reason.BAD_SIGNATURE)
    assert server.seen == []


def test_the_public_roots_are_trusted_by_default_and_no_others(fetch_one, server):
    with pytest.raises(HandshakeError):
        fetch_one(BINDINGS, "ALICE", server.url())


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_a_server_of_another_name_is_refused(fetch_one, host):
    # The common name is no name (RFC 9525), and neither is an address in a dNSName.
    elsewhere = SERVERS.leaf("localhost", sans=("dns:a.example", "ip:127.0.0.2"), usages=(SERVER_AUTH,))
    told = f"for '{host}', got one for other names"
    with (
        serving(context_of(elsewhere, CLIENTS.certificate)) as server,
        pytest.raises(HandshakeError, match=told) as caught,
    ):
        fetch_one(BINDINGS, "ALICE", server.url(host=host), TRUST)

    assert caught.value.reason is Reason.NAME_MISMATCH
    assert server.seen == []


def test_a_server_whose_certificate_expired_is_refused(fetch_one):
    old = SERVERS.leaf(
        "s", sans=("dns:localhost",), usages=(SERVER_AUTH,),
        not_before=NOW - timedelta(days=9), not_after=NOW - timedelta(days=1),
    )  # fmt: skip
    with serving(context_of(old, CLIENTS.certificate)) as server, pytest.raises(HandshakeError) as caught:
        fetch_one(BINDINGS, "ALICE", server.url(), TRUST)

    assert caught.value.reason is Reason.EXPIRED


# --- our certificate -------------------------------------------------------------------------------

PAST = {"not_before": NOW - timedelta(days=9), "not_after": NOW - timedelta(days=1)}
UNUSABLE = {
    "expired": (CLIENTS.leaf("old", **PAST), "one that expired at .*'CN=old'"),
    "not yet valid": (
        CLIENTS.leaf("new", not_before=NOW + timedelta(days=1), not_after=NOW + timedelta(days=2)),
        "one that is not valid before .*'CN=new'",
    ),
    "for servers": (CLIENTS.leaf("server", usages=(SERVER_AUTH,)), "key purpose clientAuth.*'CN=server'"),
    "intermediate expired": (CLIENTS.intermediate("Old", **PAST).leaf("x"), "one that expired at .*'CN=Old'"),
}


@pytest.mark.parametrize("case", UNUSABLE)
def test_a_certificate_that_cannot_work_is_told_before_a_byte_is_sent(fetch_one, server, case):
    chain, message = UNUSABLE[case]

    with pytest.raises(CertificateError, match=message):
        fetch_one({"A": chain}, "A", server.url(), TRUST)

    assert server.handshakes == 0


def test_the_moment_is_the_clocks(fetch_one, server):
    with pytest.raises(CertificateError, match="expired"):
        fetch_one(BINDINGS, "ALICE", server.url(), {**TRUST, "clock": lambda: NOW + timedelta(days=400)})


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_a_refused_certificate_is_told_with_its_subject_end_and_the_alert(fetch_one, version):
    with serving(demanding(version)) as server, pytest.raises(ClientCertificateRefused) as caught:
        fetch_one(BINDINGS, "MALLORY", server.url(), TRUST)

    assert caught.value.alert in ("unknown_ca", "decrypt_error", "bad_certificate")
    assert "'CN=mallory'" in str(caught.value)
    assert MALLORY.certificate.not_valid_after_utc.isoformat() in str(caught.value)
    assert server.seen == []


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_a_server_that_just_ends_the_connection_is_understood(fetch_one, version):
    with serving(demanding(version), mute=True) as server, pytest.raises(ClientCertificateRefused) as caught:
        fetch_one(BINDINGS, "MALLORY", server.url(), TRUST, method="POST", body=b"data")

    assert caught.value.alert is None
    assert "'CN=mallory'" in str(caught.value)


def test_a_server_that_asks_without_a_certificate_refuses_the_plain_connection_as_a_handshake(fetch_one, server):
    with serving(demanding()) as strict:
        server.routes["/away"] = (302, {"Location": strict.url()}, b"")

        with pytest.raises(HandshakeError) as caught:
            fetch_one(BINDINGS, "ALICE", server.url("/away"), TRUST)

    assert (caught.value.reason, caught.value.alert) == (Reason.HANDSHAKE_FAILED, 116)


def test_nothing_is_sent_twice(fetch_all, server):
    # The second call finds a connection that ends when it is used.
    calls = [("ALICE", server.url("/cut"), {"method": "POST", "body": b"data"})] * 2
    with_warm_up = [("ALICE", server.url("/"), {}), *calls]

    _, *errors = fetch_all(BINDINGS, *with_warm_up, **TRUST)

    assert [type(each) for each in errors] == [FetchError, ClientCertificateRefused]
    assert [seen.path for seen in server.seen] == ["/", "/cut", "/cut"]


# --- the network -----------------------------------------------------------------------------------


def test_a_port_that_is_closed_is_told(fetch_one):
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]

    with pytest.raises(FetchError, match=f"expected https://localhost:{port} to be reachable, got "):
        fetch_one(BINDINGS, "ALICE", f"https://localhost:{port}/", TRUST)


def test_a_silent_server_is_waited_for_no_longer_than_asked(fetch_one):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"https://localhost:{silent.getsockname()[1]}/"
        with pytest.raises(FetchError, match=r"to go on within 0\.2 s, got nothing \(handshake\)"):
            fetch_one(BINDINGS, "ALICE", url, TRUST, timeout=0.2)


def test_a_server_that_does_not_speak_tls_is_told(fetch_one):
    def answer(listener):
        connection, _ = listener.accept()
        with connection, suppress(OSError):
            connection.recv(65536)
            connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            connection.recv(65536)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=answer, args=(listener,))
        thread.start()
        with pytest.raises(HandshakeError, match="expected a TLS connection"):
            fetch_one(BINDINGS, "ALICE", f"https://localhost:{listener.getsockname()[1]}/", TRUST)
        thread.join()


def test_an_answer_that_is_not_http_is_told(fetch_one, server):
    server.routes["/x"] = (200, {"Content-Length": "9\r\nContent-Length: 3"}, b"")

    with pytest.raises(FetchError, match="expected a whole HTTP answer"):
        fetch_one(BINDINGS, "ALICE", server.url("/x"), TRUST)


def test_a_body_that_does_not_decode_is_told(fetch_one, server):
    server.routes["/x"] = (200, {"Content-Encoding": "gzip"}, b"not gzip")

    with pytest.raises(FetchError, match="expected a whole HTTP answer"):
        fetch_one(BINDINGS, "ALICE", server.url("/x"), TRUST)


def test_what_cannot_be_asked_for_is_told_before_a_byte_is_sent(fetch_all, server):
    wrong = [{"method": "A B"}, {"timeout": 0}, {"redirect": "x"}, {"headers": {"Host": "x"}}, {"body": b"x"}]

    found = fetch_all(BINDINGS, *[("ALICE", server.url(), each) for each in wrong], **TRUST)

    assert [type(each) for each in found] == [ConfigurationError] * len(wrong)
    assert server.handshakes == 0


@pytest.mark.invariant(11)
def test_no_error_shows_a_key(fetch_all, server):
    (error,) = fetch_all(BINDINGS, ("MALLORY", server.url(), {}), **TRUST)

    key = MALLORY.to_pem().splitlines()[2].decode()
    shown = []
    while error is not None:
        shown.append(repr(error))
        error = error.__cause__ or error.__context__
    assert key not in "".join(shown)
    assert "PRIVATE KEY" not in "".join(shown)


# --- threads, tasks, loops, processes --------------------------------------------------------------


@pytest.mark.invariant(14)
def test_threads_each_see_the_right_certificate(backend, server):
    names = ["ALICE", "BOB"] * 20
    with Environment(BINDINGS, backend=backend, **TRUST) as env, ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda name: env[name].fetch(server.url()).json()["client"], names))

    assert found == [name.lower() for name in names]


@pytest.mark.invariant(14)
def test_tasks_each_see_the_right_certificate_in_loop_after_loop(backend, server):
    env = AsyncEnvironment(BINDINGS, backend=backend, **TRUST)
    names = ["ALICE", "BOB"] * 10

    async def main():
        async with env:
            responses = await asyncio.gather(*(env[name].fetch(server.url()) for name in names))
            return [each.json()["client"] for each in responses]

    for _ in range(2):
        assert asyncio.run(main()) == [name.lower() for name in names]


def test_a_task_can_be_cancelled(backend, server):
    async def main():
        async with AsyncEnvironment(BINDINGS, backend=backend, **TRUST) as env:
            task = asyncio.create_task(env.ALICE.fetch(server.url("/slow")))
            while not server.seen:
                await asyncio.sleep(0.01)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            return await env.ALICE.fetch(server.url())

    assert asyncio.run(main()).ok


def _in_child(env, url, pipe):
    pipe.send(env.ALICE.fetch(url).json())


def test_a_forked_process_opens_its_own_connection(backend, server):
    context = multiprocessing.get_context("fork")
    with Environment(BINDINGS, backend=backend, **TRUST) as env:
        first = env.ALICE.fetch(server.url()).json()
        ours, theirs = context.Pipe()
        child = context.Process(target=_in_child, args=(env, server.url(), theirs))
        child.start()
        in_child = ours.recv()
        child.join()
        again = env.ALICE.fetch(server.url()).json()

    assert [each["connection"] for each in (first, in_child, again)] == [1, 2, 1]
    assert in_child["client"] == "alice"


def test_a_closed_environment_opens_new_connections(backend, server):
    env = Environment(BINDINGS, backend=backend, **TRUST)
    with env:
        first = env.ALICE.fetch(server.url()).json()
    with env:
        again = env.ALICE.fetch(server.url()).json()

    assert (first["connection"], again["connection"]) == (1, 2)


def test_the_context_is_one_and_serves_other_libraries(backend, server):
    with Environment(BINDINGS, backend=backend, **TRUST) as env:
        context = env.ALICE.ssl_context()
        assert context is env.ALICE.ssl_context()
        assert context is not env.BOB.ssl_context()
        raw = socket.create_connection(("127.0.0.1", server.port))
        with context.wrap_socket(raw, server_hostname="localhost") as tls:
            tls.sendall(b"GET / HTTP/1.1\r\n\r\n")
            tls.recv(4096)

    assert json.dumps([seen.client for seen in server.seen]) == '["alice"]'
