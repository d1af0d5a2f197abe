from __future__ import annotations

import json
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from mtlskit.gate.asgi import client_identity
from mtlskit.gate.servers import uvicorn as adapter
from support.world import World, world


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Tells who is calling; `/wait` waits for the peer to go; WebSockets echo."""
    if scope["type"] == "websocket":
        await send({"type": "websocket.accept"})
        while (message := await receive())["type"] != "websocket.disconnect":
            if message["type"] == "websocket.receive":
                await send({"type": "websocket.send", "text": message["text"]})
        return
    while scope["method"] == "POST" and (await receive()).get("more_body"):
        continue
    identity = client_identity(scope)
    headers = {name.decode(): value.decode() for name, value in scope["headers"]}
    told = {"name": identity.common_name if identity else None, "host": headers["host"], "headers": sorted(headers)}
    body = json.dumps(told).encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
    await send({"type": "http.response.body", "body": body})


class Listener:
    """A running server with its world."""

    def __init__(self, saas: World, port: int) -> None:
        self.saas = saas
        self.port = port

    def raw(self, timeout: float = 10) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=timeout)

    def connect(self, context: ssl.SSLContext, server_name: str) -> Any:
        raw = self.raw()
        try:
            return context.wrap_socket(raw, server_hostname=server_name)
        except BaseException:
            raw.close()
            raise

    def wait_for_event(self, count: int = 1) -> list[str]:
        deadline = time.monotonic() + 5
        while len(self.saas.events) < count and time.monotonic() < deadline:
            time.sleep(0.01)
        return self.saas.reasons


def request(tls: Any, host: str, path: str = "/", headers: str = "") -> tuple[int, dict[str, Any]]:
    """One HTTP/1.1 request on an open connection: the status and the JSON body."""
    tls.sendall(f"GET {path} HTTP/1.1\r\nHost: {host}\r\n{headers}\r\n".encode())
    data = b""
    while b"\r\n\r\n" not in data:
        piece = tls.recv(65536)
        if not piece:
            raise ConnectionResetError("the connection ended before a response came")
        data += piece
    head, _, body = data.partition(b"\r\n\r\n")
    fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
    while len(body) < int(fields[b"content-length"]):
        body += tls.recv(65536)
    return int(head.split()[1]), json.loads(body)


@contextmanager
def listening(backend: str, *, loop: str = "asyncio", http: str = "h11", **settings: Any) -> Iterator[Listener]:
    """The world's gate under uvicorn in a thread, on a free port."""
    with world(backend, **settings) as saas:
        sock = adapter.bind("127.0.0.1", 0)
        options = {"loop": loop, "http": http, "log_level": "critical", "lifespan": "off"}
        server = adapter.Server(adapter.config(app, saas.gate, **options))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [sock]})
        thread.start()
        try:
            deadline = time.monotonic() + 10
            while not server.started and time.monotonic() < deadline:
                time.sleep(0.01)
            yield Listener(saas, sock.getsockname()[1])
        finally:
            server.should_exit = server.force_exit = True
            thread.join(10)
            sock.close()


KINDS = [
    (backend, loop, http)
    for backend in ("ssl", "pyopenssl")
    for loop in ("asyncio", "uvloop")
    for http in ("h11", "httptools")
]


@pytest.fixture(scope="module", params=KINDS, ids="-".join)
def listener(request: pytest.FixtureRequest) -> Iterator[Listener]:
    backend, loop, http = request.param
    with listening(backend, loop=loop, http=http) as running:
        yield running


@pytest.fixture(autouse=True)
def _forget_events(request: pytest.FixtureRequest) -> None:
    if "listener" in request.fixturenames:
        request.getfixturevalue("listener").saas.events.clear()
