"""`wrap_socket`: blocking sockets of both sides, and that nothing on them goes round TLS."""

from __future__ import annotations

import contextlib
import http.server
import io
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from mtlskit.backends import get_backend
from mtlskit.backends.sockets import TLSSocket
from mtlskit.ports import ClientConfiguration
from support.world import ACME, BACKENDS, UMBRELLA, World, certificates, world


class Secret(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"SECRET")

    def log_message(self, *_arguments: Any) -> None:
        """Quiet."""


@contextmanager
def blocking_server(saas: World, *, listener: bool) -> Iterator[int]:
    """`http.server` behind the gate: its listener wrapped, as its documentation shows, or each connection."""

    class Server(http.server.ThreadingHTTPServer):
        daemon_threads = True

        def get_request(self) -> Any:
            accepted, address = super().get_request()
            if listener:
                return accepted, address
            return saas.gate.ssl_context().wrap_socket(accepted, server_side=True), address

        def handle_error(self, *_arguments: Any) -> None:
            """Quiet."""

    server = Server(("127.0.0.1", 0), Secret)
    if listener:
        server.socket = saas.gate.ssl_context().wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        thread.join(10)
        server.server_close()


def fetch(port: int, context: ssl.SSLContext, name: str) -> bytes:
    with (
        socket.create_connection(("127.0.0.1", port), timeout=5) as raw,
        context.wrap_socket(raw, server_hostname=name) as tls,
    ):
        tls.sendall(f"GET / HTTP/1.0\r\nHost: {name}\r\n\r\n".encode())
        answer = b""
        while piece := tls.recv(4096):
            answer += piece
        return answer


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("listener", [True, False])
def test_a_blocking_server_speaks_tls_and_nothing_else(backend: str, listener: bool) -> None:
    with world(backend) as saas, blocking_server(saas, listener=listener) as port:
        for client in BACKENDS:
            assert fetch(port, saas.client("acme", backend=client), ACME).endswith(b"SECRET")
            for name, hostname in ((None, ACME), ("acme", UMBRELLA), ("acme", "unknown.example")):
                with pytest.raises(ssl.SSLError) as caught:
                    fetch(port, saas.client(name, backend=client), hostname)
                assert ("ALERT" in (caught.value.reason or "")) != ("UNRECOGNIZED_NAME" in (caught.value.reason or ""))
        with socket.create_connection(("127.0.0.1", port), timeout=5) as raw:
            raw.sendall(b"GET / HTTP/1.0\r\n\r\n")
            got = b""
            with contextlib.suppress(ConnectionError):
                got = raw.recv(4096)
            assert b"SECRET" not in got


@contextmanager
def connected(backend: str) -> Iterator[tuple[TLSSocket, Any]]:
    """Both ends of a handshake over a socket pair: the gate's `TLSSocket` and a client of the standard library."""
    with world(backend) as saas:
        ours, theirs = socket.socketpair()
        ours.settimeout(5)
        theirs.settimeout(5)
        found: list[Any] = []
        thread = threading.Thread(
            target=lambda: found.append(saas.client("acme").wrap_socket(theirs, server_hostname=ACME))
        )
        thread.start()
        server: Any = saas.gate.ssl_context().wrap_socket(ours, server_side=True)
        thread.join(5)
        with server, found[0] as client:
            yield server, client


# What a socket has that carries no bytes of the connection.
HARMLESS = {
    "accept", "bind", "close", "connect", "connect_ex", "detach", "fileno", "get_inheritable", "getblocking", "getpeername",
    "getsockname", "getsockopt", "gettimeout", "listen", "set_inheritable", "setblocking", "setsockopt", "settimeout",
    "shutdown", "makefile",
}  # fmt: skip


@pytest.mark.parametrize("backend", BACKENDS)
def test_no_method_of_a_socket_goes_round_tls(backend: str) -> None:
    carried = {name for name in dir(socket.socket) if not name.startswith("_")} - HARMLESS
    own = {name for name in carried if callable(getattr(socket.socket, name, None)) and name in vars(TLSSocket)}
    assert {name for name in carried if callable(getattr(socket.socket, name, None))} == own
    with connected(backend) as (server, client):
        for name, arguments in (
            ("sendmsg", ([b"clear"],)),
            ("recvmsg", (10,)),
            ("recvmsg_into", ([bytearray(10)],)),
            ("sendto", (b"clear", ("127.0.0.1", 9))),
            ("recvfrom", (10,)),
            ("recvfrom_into", (bytearray(10),)),
            ("dup", ()),
        ):
            with pytest.raises(NotImplementedError):
                getattr(server, name)(*arguments)
        server.sendfile(io.BytesIO(b"from a file"))
        assert client.recv(100) == b"from a file"
        client.sendall(b"and back")
        buffer = bytearray(100)
        assert bytes(buffer[: server.recv_into(buffer)]) == b"and back"
        with server.makefile("rb") as reader:
            client.sendall(b"one line\n")
            assert reader.readline() == b"one line\n"
        for flags in (socket.MSG_PEEK, socket.MSG_OOB):
            for act in (lambda f: server.recv(1, f), lambda f: server.send(b"x", f), lambda f: server.sendall(b"x", f)):
                with pytest.raises(ValueError, match="no flags"):
                    act(flags)
        assert server.evidence().server_name == ACME
        assert server.version() == "TLSv1.3"


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_large_body_arrives_whole(backend: str) -> None:
    with connected(backend) as (server, client):
        data = bytes(range(256)) * 20_000
        thread = threading.Thread(target=server.sendall, args=(data,))
        thread.start()
        received = b""
        while len(received) < len(data):
            received += client.recv(65536)
        thread.join(5)
        assert received == data


@pytest.mark.invariant(12)
@pytest.mark.parametrize("backend", BACKENDS)
def test_i12_a_handshake_that_dribbles_is_ended_in_time(backend: str) -> None:
    with world(backend) as saas:
        ours, theirs = socket.socketpair()
        ours.settimeout(0.5)
        stop = threading.Event()

        def dribble() -> None:
            while not stop.wait(0.1):
                try:
                    theirs.send(b"\x16")
                except OSError:
                    return

        thread = threading.Thread(target=dribble)
        thread.start()
        started = time.monotonic()
        with pytest.raises((TimeoutError, ssl.SSLError)):
            saas.gate.ssl_context().wrap_socket(ours, server_side=True)
        assert time.monotonic() - started < 3
        stop.set()
        thread.join(5)
        theirs.close()
        ours.close()


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_handshake_may_come_with_the_first_read_or_write(backend: str) -> None:
    with world(backend) as saas:
        ours, theirs = socket.socketpair()
        ours.settimeout(5)
        server: Any = saas.gate.ssl_context().wrap_socket(ours, server_side=True, do_handshake_on_connect=False)
        client_side: list[bytes] = []

        def visit() -> None:
            theirs.settimeout(5)
            with saas.client("acme").wrap_socket(theirs, server_hostname=ACME) as tls:
                tls.sendall(b"hello")
                client_side.append(tls.recv(10))

        thread = threading.Thread(target=visit)
        thread.start()
        with server:
            assert server.recv(10) == b"hello"
            server.sendall(b"bye")
            thread.join(5)
        assert client_side == [b"bye"]


@pytest.mark.parametrize("backend", BACKENDS)
def test_an_unconnected_client_socket_connects_with_tls(backend: str) -> None:
    with world("ssl") as saas, blocking_server(saas, listener=False) as port:
        chain = certificates().clients["acme"]
        trust = (certificates().web.certificate,)
        context = get_backend(backend).client_context(ClientConfiguration(chain=chain, trust=trust))
        with context.wrap_socket(socket.socket(), server_hostname=ACME) as tls:
            tls.settimeout(5)
            tls.connect(("127.0.0.1", port))
            tls.sendall(b"GET / HTTP/1.0\r\n\r\n")
            assert tls.recv(4096).startswith(b"HTTP/1.0 200")
