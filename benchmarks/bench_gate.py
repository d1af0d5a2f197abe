"""What does the gate cost a server? Server CPU per full mutual handshake and request, per keep-alive request, per MiB.

Every figure is a ratio in one run: to the same app on plain uvicorn with one static `ssl.SSLContext` without tickets,
and to nginx without tickets where nginx is installed. One client at a time, kinds interleaved, medians.
Run: `python -m benchmarks.bench_gate [rounds]`.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import mtlskit
from benchmarks.serving import BIG, HOSTNAME, KINDS, NGINX, Material, Served, served
from mtlskit.core.evidence import PeerEvidence
from mtlskit.gate.asgi import MTLSMiddleware
from mtlskit.gate.connection import SCOPE_KEY, Connection

HANDSHAKES, KEEP_ALIVE, BULK_ROUNDS = 100, 1000, 3
_REQUEST = f"GET / HTTP/1.1\r\nHost: {HOSTNAME}\r\n\r\n".encode()
_BIG_REQUEST = f"GET /big HTTP/1.1\r\nHost: {HOSTNAME}\r\n\r\n".encode()


def connect(server: Served, context: ssl.SSLContext) -> ssl.SSLSocket:
    raw = socket.create_connection(("127.0.0.1", server.port), timeout=30)
    raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return context.wrap_socket(raw, server_hostname=HOSTNAME)


def get(tls: ssl.SSLSocket) -> None:
    tls.sendall(_REQUEST)
    answer = b""
    while not answer.endswith(b"ok"):
        piece = tls.recv(4096)
        assert piece, answer
        answer += piece
    assert answer.startswith(b"HTTP/1.1 200"), answer


def handshakes(server: Served) -> float:
    context = server.client_context()
    before = server.cpu()
    for _ in range(HANDSHAKES):
        with connect(server, context) as tls:
            get(tls)
    return (server.cpu() - before) / HANDSHAKES


def keep_alive(server: Served) -> float:
    with connect(server, server.client_context()) as tls:
        get(tls)
        before = server.cpu()
        for _ in range(KEEP_ALIVE):
            get(tls)
        return (server.cpu() - before) / KEEP_ALIVE


def bulk(server: Served) -> float:
    buffer = bytearray(256 * 1024)
    with connect(server, server.client_context()) as tls:
        before = server.cpu()
        tls.sendall(_BIG_REQUEST)
        received = 0
        while received < BIG:
            count = tls.recv_into(buffer)
            assert count
            received += count
        return (server.cpu() - before) / (BIG / 2**20)


def medians(servers: dict[str, Served], measure: Callable[[Served], float], rounds: int) -> dict[str, float]:
    found: dict[str, list[float]] = {kind: [] for kind in servers}
    for _ in range(rounds):
        for kind, server in servers.items():
            found[kind].append(measure(server))
    return {kind: statistics.median(values) for kind, values in found.items()}


def show(title: str, unit: str, found: dict[str, float]) -> None:
    print(f"\n{title}")
    floors = [kind for kind in ("plain", "nginx") if kind in found]
    for kind, value in found.items():
        ratios = "".join(f"   {value / found[floor]:5.2f} x {floor}" for floor in floors)
        print(f"  {kind:16} {value * 1e6:9.1f} us {unit}{ratios}")


class _Peer:
    """Stands for a TLS object after its handshake."""

    def __init__(self, evidence: PeerEvidence) -> None:
        self._evidence = evidence

    def evidence(self) -> PeerEvidence:
        return self._evidence


def middleware(requests: int = 20_000) -> tuple[float, float]:
    """Seconds a request through an app that does nothing, bare and behind `MTLSMiddleware`, on one connection."""
    store = mtlskit.open_store("memory://")
    devices = mtlskit.CertificateAuthority.create("Acme devices", store=store)
    servers = mtlskit.CertificateAuthority.create("Servers", store=store)
    gate = mtlskit.Gate(store)
    policy = mtlskit.AccessPolicy(decision="allow", include=[mtlskit.rules.common_name("device-17")])
    server = servers.issue_server(HOSTNAME)
    gate.hostnames.add(HOSTNAME, trust=[devices.certificate], server=server, policies=[policy])
    presented = devices.issue_client("device-17").presented()
    connection = Connection(_Peer(PeerEvidence(server_name=HOSTNAME, presented=presented)), lambda: None)
    names = (b"user-agent", b"accept", b"accept-encoding", b"cookie")
    headers = [(b"host", HOSTNAME.encode()), *((name, b"something") for name in names)]

    async def nothing(_scope: Any, _receive: Any, _send: Any) -> None:
        return

    async def timed(called: Any) -> float:
        started = time.perf_counter()
        for _ in range(requests):
            await called({"type": "http", "method": "GET", "headers": headers, SCOPE_KEY: connection}, None, None)
        return (time.perf_counter() - started) / requests

    async def both() -> tuple[float, float]:
        return await timed(nothing), await timed(MTLSMiddleware(nothing, gate))

    return asyncio.run(both())


def main(rounds: int) -> None:
    material = Material.make()
    kinds = [*KINDS, *(["nginx"] if NGINX else [])]
    with contextlib.ExitStack() as stack:
        servers = {kind: stack.enter_context(served(kind, material)) for kind in kinds}
        for server in servers.values():
            handshakes(server)
        show("full mutual handshake + GET, TLS 1.3", "a connection", medians(servers, handshakes, rounds))
        alive = medians(servers, keep_alive, rounds)
        show("keep-alive GET", "a request", alive)
        for kind in KINDS[1:]:
            print(f"  {kind}: {1e6 * (alive[kind] - alive['plain']):.1f} us more than plain, backend and gate together")
        bare, behind = middleware()
        print(f"  the middleware alone, in a loop: {1e6 * (behind - bare):.1f} us a request")
        big = {kind: server for kind, server in servers.items() if kind != "nginx"}
        show("100 MiB response", "a MiB", medians(big, bulk, BULK_ROUNDS))
        if not NGINX:
            print("\nnginx is not installed: not measured")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
