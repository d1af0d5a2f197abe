"""What does `fetch` cost a client beside bare httpx2 on the same kind of context, warm (kept alive) and cold?

CPU time of this process; the server runs in another. All variants take turns in one run, the ratios are of medians.
Warm aim: at most 1.1 x bare httpx2. Cold aim: the pyOpenSSL backend not slower than bare httpx2 on stdlib `ssl`.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import socket
import statistics
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import httpx2

from mtlskit.backends import get_backend
from mtlskit.fetch import AsyncEnvironment, Environment
from mtlskit.ports import ClientConfiguration, ServerConfiguration, Verification
from mtlskit.testing.certificates import SERVER_AUTH, Authority

ROUNDS, WARM, COLD = 15, 200, 15
ROOT, CLIENTS = Authority.root("Server root"), Authority.root("Client root")
SERVER = ROOT.leaf("server", sans=("dns:localhost",), usages=(SERVER_AUTH,))
CLIENT = CLIENTS.leaf("client")
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Type: text/plain\r\n\r\nok"


def serve(listener: socket.socket) -> None:
    """Answers on every connection that brings a certificate, until the process is ended."""
    configuration = ServerConfiguration(
        chain=SERVER, verification=Verification.REQUIRED, anchors=(CLIENTS.certificate,)
    )
    context = get_backend("ssl").server_context(configuration)
    while True:
        raw, _ = listener.accept()
        threading.Thread(target=converse, args=(context, raw), daemon=True).start()


def converse(context: Any, raw: socket.socket) -> None:
    """One connection: an answer for every end of a request's head."""
    raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    with suppress(OSError), context.wrap_socket(raw, server_side=True) as tls:
        while data := tls.recv(65536):
            if data.endswith(b"\r\n\r\n"):
                tls.sendall(ANSWER)


def microseconds(variants: dict[str, Callable[[], object]], times: int) -> dict[str, float]:
    """The median CPU microseconds per call of each, by turns."""
    found: dict[str, list[float]] = {name: [] for name in variants}
    for _ in range(ROUNDS):
        for name, call in variants.items():
            before = time.process_time_ns()
            for _ in range(times):
                call()
            found[name].append((time.process_time_ns() - before) / times / 1000)
    return {name: statistics.median(values) for name, values in found.items()}


def show(title: str, found: dict[str, float], pairs: dict[str, str]) -> None:
    """Prints the times, each with its ratio to the one it is to be compared with."""
    print(title)
    for name, value in found.items():
        print(f"  {name:28} {value:8.0f} us   {value / found[pairs[name]]:5.2f} x {pairs[name]}")


def context(backend: str) -> Any:
    """A bare context like the one that a binding makes."""
    configuration = ClientConfiguration(chain=CLIENT, trust=(ROOT.certificate,))
    return get_backend(backend).client_context(configuration)


def environment(backend: str) -> Environment:
    """One binding on that backend."""
    return Environment({"A": CLIENT}, backend=backend, trust=[ROOT.certificate])


def warm(url: str) -> None:
    """Calls over kept connections, blocking."""
    variants: dict[str, Callable[[], object]] = {}
    pairs: dict[str, str] = {}
    for backend in ("ssl", "pyopenssl"):
        client = httpx2.Client(verify=context(backend), trust_env=False)
        binding = environment(backend).A
        variants[f"httpx2 on {backend}"] = lambda client=client: client.get(url).content  # type: ignore[misc]
        variants[f"fetch on {backend}"] = lambda binding=binding: binding.fetch(url).content  # type: ignore[misc]
        pairs[f"httpx2 on {backend}"] = pairs[f"fetch on {backend}"] = f"httpx2 on {backend}"
    for call in variants.values():
        call()
    show("warm, blocking", microseconds(variants, WARM), pairs)


async def warm_async(url: str) -> None:
    """Calls over kept connections, async, one after the other."""
    found: dict[str, list[float]] = {}
    async with (
        httpx2.AsyncClient(verify=context("ssl"), trust_env=False) as client,
        AsyncEnvironment({"A": CLIENT}, backend="ssl", trust=[ROOT.certificate]) as env,
    ):
        variants = {"httpx2 on ssl": client.get, "fetch on ssl": env.A.fetch}
        for _ in range(ROUNDS):
            for name, call in variants.items():
                await call(url)
                before = time.process_time_ns()
                for _ in range(WARM):
                    await call(url)
                found.setdefault(name, []).append((time.process_time_ns() - before) / WARM / 1000)
    medians = {name: statistics.median(values) for name, values in found.items()}
    show("warm, async", medians, dict.fromkeys(medians, "httpx2 on ssl"))


def cold(url: str) -> None:
    """Calls over a new connection each, the context kept."""
    bare = {backend: context(backend) for backend in ("ssl", "pyopenssl")}
    kept = {backend: environment(backend) for backend in ("ssl", "pyopenssl")}

    def by_httpx2(backend: str) -> None:
        with httpx2.Client(verify=bare[backend], trust_env=False) as client:
            client.get(url)

    def by_fetch(backend: str) -> None:
        with kept[backend] as env:
            env.A.fetch(url)

    variants: dict[str, Callable[[], object]] = {}
    for backend in ("ssl", "pyopenssl"):
        variants[f"httpx2 on {backend}"] = lambda backend=backend: by_httpx2(backend)  # type: ignore[misc]
        variants[f"fetch on {backend}"] = lambda backend=backend: by_fetch(backend)  # type: ignore[misc]
    show("cold (full mutual handshake)", microseconds(variants, COLD), dict.fromkeys(variants, "httpx2 on ssl"))


def main() -> None:
    """Prints the tables."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=128)
    server = multiprocessing.get_context("fork").Process(target=serve, args=(listener,), daemon=True)
    server.start()
    url = f"https://localhost:{listener.getsockname()[1]}/"
    try:
        warm(url)
        asyncio.run(warm_async(url))
        cold(url)
    finally:
        server.terminate()
        server.join()
        listener.close()


if __name__ == "__main__":
    main()
