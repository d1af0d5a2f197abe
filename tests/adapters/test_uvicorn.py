"""The gate under uvicorn, on real loopback sockets: asyncio and uvloop, h11 and httptools, both backends."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import websockets

from adapters.conftest import Listener, app, listening, request
from mtlskit.core import rules
from mtlskit.core.policy import AccessPolicy
from mtlskit.errors import ConfigurationError
from mtlskit.gate.servers import uvicorn as adapter
from mtlskit.testing.certificates import Authority
from support.world import ACME, BACKENDS, PUBLIC, UMBRELLA, VERSIONS, certificates, world

every_version = pytest.mark.parametrize("version", VERSIONS, ids=lambda version: version.name)
every_client = pytest.mark.parametrize("client", BACKENDS, ids=lambda client: f"{client}-client")


@every_version
@every_client
def test_the_right_device_is_served_and_shown(listener: Listener, client: str, version: ssl.TLSVersion) -> None:
    for name, hostname, shown in (("acme", ACME, "device-17"), ("acme-deep", ACME, "device-18"), (None, PUBLIC, None)):
        context = listener.saas.client(name, backend=client, version=version)
        with listener.connect(context, hostname) as tls:
            for _ in range(3):
                status, told = request(tls, hostname)
                assert (status, told["name"]) == (200, shown)


@every_version
@every_client
@pytest.mark.parametrize("name", [None, "stranger", "umbrella", "impostor"])
def test_the_alert_reaches_a_refused_client(
    listener: Listener, client: str, version: ssl.TLSVersion, name: str | None
) -> None:
    """asyncio and uvloop alone drop it; a TLS 1.3 client would see the connection just end."""
    context = listener.saas.client(name, backend=client, version=version)
    with pytest.raises(ssl.SSLError) as caught, listener.connect(context, ACME) as tls:
        request(tls, ACME)
    assert "ALERT" in (caught.value.reason or ""), caught.value
    expected = {None: "no_certificate", "umbrella": "wrong_tenant_issuer"}.get(name, "unknown_issuer")
    if listener.saas.gate.backend.name == "ssl" and name:
        assert listener.wait_for_event()[0] in {"unknown_issuer", "bad_signature"}
    else:
        assert listener.wait_for_event() == [expected]


@every_version
def test_an_unknown_server_name_gets_an_alert(listener: Listener, version: ssl.TLSVersion) -> None:
    with pytest.raises(ssl.SSLError) as caught:
        listener.connect(listener.saas.client("acme", version=version), "pay.unknown.example")
    assert "UNRECOGNIZED_NAME" in (caught.value.reason or "")
    assert listener.wait_for_event() == ["server_name_unknown"]


@pytest.mark.invariant(2)
def test_i2_another_authority_is_answered_421_and_the_connection_goes_on(listener: Listener) -> None:
    with listener.connect(listener.saas.client("acme"), ACME) as tls:
        for host in (UMBRELLA, PUBLIC, f"{ACME}.evil.example"):
            status, problem = request(tls, host)
            assert (status, problem["reason"]) == (421, "authority_mismatch")
        assert request(tls, f"{ACME.upper()}.:443")[0] == 200


@pytest.mark.invariant(8)
def test_i8_a_client_cannot_write_its_identity(listener: Listener) -> None:
    forged = "".join(
        f"{name}: CN=admin\r\n" for name in ("Client-Cert", "X_Forwarded_Client_Cert", "SSL-CLIENT-S-DN", "X-Other")
    )
    with listener.connect(listener.saas.client("acme"), ACME) as tls:
        status, told = request(tls, ACME, headers=forged)
    assert (status, told["name"], told["headers"]) == (200, "device-17", ["host", "x-other"])


@every_version
@pytest.mark.invariant(5)
def test_i5_a_session_does_not_cross_on_real_sockets(listener: Listener, version: ssl.TLSVersion) -> None:
    made = certificates()
    acme = {"trust": [made.acme.certificate], "server": made.servers[ACME]}
    listener.saas.gate.hostnames.replace(ACME, resumption="tickets", **acme)
    try:
        context = listener.saas.client("acme", version=version)
        with listener.connect(context, ACME) as tls:
            assert request(tls, ACME)[0] == 200
            session = tls.session
        with context.wrap_socket(listener.raw(), server_hostname=ACME, session=session) as tls:
            assert tls.session_reused
            assert request(tls, ACME)[0] == 200
        with (
            pytest.raises(ssl.SSLError),
            context.wrap_socket(listener.raw(), server_hostname=UMBRELLA, session=session) as tls,
        ):
            request(tls, UMBRELLA)
        with context.wrap_socket(listener.raw(), server_hostname=PUBLIC, session=session) as tls:
            assert not tls.session_reused
            assert request(tls, PUBLIC)[1]["name"] is None
    finally:
        listener.saas.gate.hostnames.replace(ACME, **acme)


def test_a_change_holds_from_the_next_request_of_an_open_connection(listener: Listener) -> None:
    """I6: keep-alive; the new anchors are the ones of a CA that never issued this client."""
    made = certificates()
    with listener.connect(listener.saas.client("acme"), ACME) as tls:
        assert request(tls, ACME)[0] == 200
        other = Authority.root("Other root").certificate
        listener.saas.gate.hostnames.replace(ACME, trust=[other], server=made.servers[ACME])
        try:
            status, problem = request(tls, ACME)
            assert (status, problem["reason"]) == (403, "unknown_issuer")
            assert tls.recv(1) == b"", "the refused connection is closed"
        finally:
            listener.saas.gate.hostnames.replace(ACME, trust=[made.acme.certificate], server=made.servers[ACME])


def test_a_websocket_echoes_and_is_ended_by_a_change(listener: Listener) -> None:
    made = certificates()
    acme = {"trust": [made.acme.certificate], "server": made.servers[ACME]}

    async def talk() -> None:
        url = f"wss://{ACME}:{listener.port}/"
        context = listener.saas.client("acme")
        async with websockets.connect(url, ssl=context, host="127.0.0.1", port=listener.port) as socket_:
            await socket_.send("hello")
            assert await socket_.recv() == "hello"
            listener.saas.gate.hostnames.replace(ACME, **{**acme, "trust": [made.umbrella.certificate]})
            with pytest.raises(websockets.ConnectionClosed):
                await asyncio.wait_for(socket_.recv(), 3)
        with pytest.raises((websockets.WebSocketException, OSError)):
            await websockets.connect(url, ssl=context, host="127.0.0.1", port=listener.port)

    try:
        asyncio.run(talk())
    finally:
        listener.saas.gate.hostnames.replace(ACME, **acme)


def test_plain_http_garbage_and_cut_hellos_do_not_disturb_others(listener: Listener) -> None:
    hello = client_hello(ACME)
    for sent in (b"GET / HTTP/1.1\r\nHost: pay.acme.example\r\n\r\n", b"\0" * 500, b"\x16\x03\x01" * 99, hello[:50]):
        with listener.raw() as raw:
            raw.sendall(sent)
            raw.shutdown(socket.SHUT_WR)
            while raw.recv(4096):
                pass
    with listener.connect(listener.saas.client("acme"), ACME) as tls:
        assert request(tls, ACME)[0] == 200


def test_a_hello_in_single_bytes_is_read(listener: Listener) -> None:
    context = listener.saas.client("acme", backend="pyopenssl")
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(incoming, outgoing, server_hostname=ACME)
    with listener.raw() as raw:
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while True:
            try:
                tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                for byte in outgoing.read():
                    raw.sendall(bytes([byte]))
                incoming.write(raw.recv(65536))
        tls.write(f"GET / HTTP/1.1\r\nHost: {ACME}\r\n\r\n".encode())
        raw.sendall(outgoing.read())
        answer = b""
        while b"\r\n\r\n" not in answer:
            try:
                answer += tls.read(65536)
            except ssl.SSLWantReadError:
                incoming.write(raw.recv(65536))
        assert answer.startswith(b"HTTP/1.1 200")


@pytest.mark.invariant(12)
@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_i12_the_silent_are_dropped_and_others_are_served_meanwhile(loop: str) -> None:
    """200 connections that say nothing, and 20 that stop in the middle of the hello or after an alert."""
    with listening("pyopenssl", loop=loop, http="httptools") as listener:
        started = time.monotonic()
        silent = [listener.raw(timeout=10) for _ in range(200)]
        cut = [listener.raw(timeout=10) for _ in range(20)]
        for index, raw in enumerate(cut):
            raw.sendall(client_hello(ACME)[:40] if index % 2 else client_hello("unknown.example"))
        with listener.connect(listener.saas.client("acme"), ACME) as tls:
            assert request(tls, ACME)[0] == 200
        for raw in (*silent, *cut):
            while raw.recv(4096):
                pass
            raw.close()
        assert time.monotonic() - started < 10


@pytest.mark.invariant(12)
@pytest.mark.parametrize("http", ["h11", "httptools"])
@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_i12_a_request_that_does_not_come_to_its_end_is_given_up(
    loop: str, http: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the handshake, in the first head, and in a later one; a slow upload and a WebSocket are left alone."""
    monkeypatch.setattr(adapter, "REQUEST_SECONDS", 0.6)
    with listening("pyopenssl", loop=loop, http=http) as listener:
        context = listener.saas.client("acme")
        head = f"POST / HTTP/1.1\r\nHost: {ACME}\r\nContent-Length: 8\r\n".encode()
        silent, half, later, slow = (listener.connect(context, ACME) for _ in range(4))
        half.sendall(head)
        assert request(later, ACME)[0] == 200
        later.sendall(head)
        slow.sendall(head + b"\r\n")
        for _ in range(8):
            time.sleep(0.2)
            slow.sendall(b"x")
        assert slow.recv(4096).startswith(b"HTTP/1.1 200")
        started = time.monotonic()
        for tls in (silent, half, later):
            with contextlib.suppress(ConnectionError, ssl.SSLError):
                assert tls.recv(1) == b""
            tls.close()
        slow.close()
        assert time.monotonic() - started < 1


@pytest.mark.invariant(2)
def test_i2_a_target_in_absolute_form_names_the_same_authority(listener: Listener) -> None:
    context = listener.saas.client("acme")
    for line, statuses in (
        (f"GET https://{ACME}/ HTTP/1.1", {200}),
        (f"GET https://{UMBRELLA}/ HTTP/1.1", {421}),
        (f"CONNECT {UMBRELLA}:443 HTTP/1.1", {421, 400}),
    ):
        with listener.connect(context, ACME) as tls:
            tls.sendall(f"{line}\r\nHost: {ACME}\r\n\r\n".encode())
            assert int(tls.recv(4096).split()[1]) in statuses, line


def test_many_clients_at_once_get_their_own_identity() -> None:
    with listening("pyopenssl", loop="uvloop", http="httptools") as listener:
        made = certificates()
        contexts = {
            (hostname, f"device-{number}"): listener.saas.client_with(authority.leaf(f"device-{number}"))
            for authority, hostname in ((made.acme, ACME), (made.umbrella, UMBRELLA))
            for number in range(8)
        }

        def visit(key: tuple[str, str]) -> bool:
            hostname, name = key
            with listener.connect(contexts[key], hostname) as tls:
                return all(request(tls, hostname)[1]["name"] == name for _ in range(5))

        with ThreadPoolExecutor(8) as pool:
            assert all(pool.map(visit, list(contexts) * 3))


def test_a_port_in_use_is_one_clear_error() -> None:
    with adapter.bind("127.0.0.1", 0) as taken, world("ssl") as saas:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigurationError, match=f"127.0.0.1:{port}, which is in use"):
            adapter.run(app, saas.gate, port=port)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"ssl_certfile": "x.pem"}, "ssl_certfile"),
        ({"ssl_keyfile": "x.pem", "ssl_ca_certs": "y.pem"}, "ssl_ca_certs"),
        ({"workers": 2}, "one worker"),
        ({"reload": True}, "no reload"),
    ],
)
def test_options_that_would_go_round_the_gate_are_refused(options: dict[str, Any], told: str) -> None:
    with world("ssl") as saas, pytest.raises(ConfigurationError, match=told):
        adapter.config(app, saas.gate, **options)


def client_hello(server_name: str) -> bytes:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    outgoing = ssl.MemoryBIO()
    tls = context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname=server_name)
    with pytest.raises(ssl.SSLWantReadError):
        tls.do_handshake()
    return outgoing.read()


@pytest.mark.invariant(2)
def test_i2_a_target_is_its_own_requests_in_a_pipeline_too(listener: Listener) -> None:
    with listener.connect(listener.saas.client("acme"), ACME) as tls:
        head = f"GET https://{UMBRELLA}/x HTTP/1.1\r\nHost: {ACME}\r\n\r\n"
        tls.sendall(head.encode() + f"GET / HTTP/1.1\r\nHost: {ACME}\r\n\r\n".encode())
        assert tls.recv(65536).startswith(b"HTTP/1.1 421 ")


@pytest.mark.parametrize("method", ["delete", "Put"])
def test_a_method_in_lower_case_passes_no_policy_about_methods(listener: Listener, method: str) -> None:
    denying = AccessPolicy(decision="deny", include=[rules.method(one_of=["DELETE", "PUT"])])
    passing = AccessPolicy(decision="allow", include=[rules.any_valid_certificate()])
    listener.saas.gate.hostnames.set_policies(ACME, [denying, passing])
    try:
        with listener.connect(listener.saas.client("acme"), ACME) as tls:
            tls.sendall(f"{method} / HTTP/1.1\r\nHost: {ACME}\r\n\r\n".encode())
            assert tls.recv(65536).split()[1] in (b"403", b"400")
    finally:
        listener.saas.gate.hostnames.set_policies(ACME, [])


def test_a_request_is_judged_by_its_path_method_and_address(listener: Listener) -> None:
    hostnames = listener.saas.gate.hostnames
    wanted = [rules.path(prefix="/pay"), rules.method("GET"), rules.client_address("127.0.0.0/8")]
    policy = AccessPolicy(decision="allow", include=[rules.any_valid_certificate()], require=wanted)
    hostnames.set_policies(ACME, [policy])
    try:
        for path, status in (
            ("/pay", 200), ("/pay/%C3%A4?next=/admin", 200), ("/admin", 403), ("/pay/../admin", 403),
            ("/pay/%2e%2e/admin", 403), ("/pay%2fx", 403), ("//pay", 403), ("/payroll", 403),
        ):  # fmt: skip
            with listener.connect(listener.saas.client("acme"), ACME) as tls:
                assert request(tls, ACME, path, headers="X-Forwarded-For: 10.0.0.1\r\n")[0] == status, path
        with listener.connect(listener.saas.client("acme"), ACME) as tls:
            statuses = [request(tls, ACME, path)[0] for path in ("/pay", "/pay/1", "/admin")]
            assert statuses == [200, 200, 403]
    finally:
        hostnames.set_policies(ACME, [])
