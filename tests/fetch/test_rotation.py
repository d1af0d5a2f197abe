"""A binding whose certificate is replaced while calls run: none is lost, and none goes out with another's connection."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from fetch.servers import Server, context_of, serving
from mtlskit.core.certificates import SigningChain
from mtlskit.fetch import AsyncEnvironment, ClientCertificate, Environment
from mtlskit.testing.certificates import SERVER_AUTH, Authority

SERVERS, CLIENTS = Authority.root("Server root"), Authority.root("Client root")
SERVER = SERVERS.leaf("server", sans=("dns:localhost", "ip:127.0.0.1"), usages=(SERVER_AUTH,))
CHAINS = [CLIENTS.leaf(f"version-{number}") for number in range(4)]
TRUST = {"trust": [SERVERS.certificate]}


class Switch:
    """A source that is told what it has."""

    def __init__(self, chain: SigningChain) -> None:
        self.chain = chain

    def current(self) -> SigningChain:
        return self.chain


@pytest.fixture
def server() -> Iterator[Server]:
    with serving(context_of(SERVER, CLIENTS.certificate)) as running:
        yield running


def open_sockets(server: Server) -> int:
    """How many of the process's sockets are connected to the server."""
    with open("/proc/net/tcp", encoding="ascii") as table:
        rows = [line.split() for line in table.readlines()[1:]]
    return sum(row[2].endswith(f":{server.port:04X}") and row[3] == "01" for row in rows)


def wait_until(is_so: Any) -> None:
    deadline = time.monotonic() + 5
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.invariant(14)
def test_i14_the_next_call_goes_out_with_the_new_certificate_on_a_new_connection(backend: str, server: Server) -> None:
    source = Switch(CHAINS[0])
    with Environment({"A": source}, backend=backend, **TRUST) as env:
        context, seen = env.A.ssl_context(), []
        for chain in (CHAINS[0], CHAINS[0], CHAINS[1], CHAINS[1], CHAINS[0]):
            source.chain = chain
            seen.append((env.A.fetch(server.url()).json()["client"], env.A.certificate == chain.certificate))
        assert seen == [(f"version-{number}", True) for number in (0, 0, 1, 1, 0)]
        assert env.A.ssl_context() is not context
    assert server.handshakes == 3
    wait_until(lambda: open_sockets(server) == 0)


def test_an_equal_certificate_read_anew_keeps_its_connections(backend: str, server: Server) -> None:
    source = Switch(CHAINS[0])
    with Environment({"A": source}, backend=backend, **TRUST) as env:
        context = env.A.ssl_context()
        for _ in range(3):
            source.chain = SigningChain(CHAINS[0].private_key, CHAINS[0].certificates)
            env.A.fetch(server.url())
        assert env.A.ssl_context() is context
    assert server.handshakes == 1


def test_an_idle_connection_of_the_old_certificate_is_closed(backend: str, server: Server) -> None:
    source = Switch(CHAINS[0])
    with Environment({"A": source}, backend=backend, **TRUST) as env:
        env.A.fetch(server.url())
        source.chain = CHAINS[1]
        env.A.fetch(server.url())
        wait_until(lambda: open_sockets(server) == 1)


def test_a_call_that_runs_ends_in_peace_and_its_connection_after_it(backend: str, server: Server) -> None:
    source, told = Switch(CHAINS[0]), []
    with Environment({"A": source}, backend=backend, **TRUST) as env:
        slow = threading.Thread(target=lambda: told.append(env.A.fetch(server.url("/slow")).json()["client"]))
        slow.start()
        wait_until(lambda: server.seen)
        source.chain = CHAINS[1]
        assert env.A.fetch(server.url()).json()["client"] == "version-1"
        assert not told
        slow.join()
        assert told == ["version-0"]
        wait_until(lambda: open_sockets(server) == 1)


def test_rotation_under_load_loses_no_request_of_threads(backend: str, server: Server) -> None:
    source = Switch(CHAINS[0])
    seen: Counter[str] = Counter()
    faults: list[Exception] = []

    def call(env: Environment) -> None:
        for _ in range(40):
            try:
                seen[env.A.fetch(server.url()).json()["client"]] += 1
            except Exception as error:
                faults.append(error)

    with Environment({"A": ClientCertificate(certificate=source)}, backend=backend, **TRUST) as env:
        threads = [threading.Thread(target=call, args=(env,)) for _ in range(8)]
        for thread in threads:
            thread.start()
        for number in range(1, 40):
            source.chain = CHAINS[number % len(CHAINS)]
            time.sleep(0.01)
        for thread in threads:
            thread.join()
        assert not faults
        assert sum(seen.values()) == 8 * 40
        assert len(seen) > 1
        assert all(each.client in seen for each in server.seen)


def test_rotation_under_load_loses_no_request_of_tasks(backend: str, server: Server) -> None:
    source = Switch(CHAINS[0])

    async def main() -> Counter[str]:
        seen: Counter[str] = Counter()

        async def call(env: AsyncEnvironment) -> None:
            for _ in range(20):
                seen[(await env.A.fetch(server.url())).json()["client"]] += 1

        async def rotate() -> None:
            for number in range(1, 20):
                source.chain = CHAINS[number % len(CHAINS)]
                await asyncio.sleep(0.01)

        async with AsyncEnvironment({"A": source}, backend=backend, **TRUST) as env:
            await asyncio.gather(rotate(), *(call(env) for _ in range(8)))
            source.chain = CHAINS[0]
            await env.A.fetch(server.url())
            await asyncio.sleep(0.2)
            assert open_sockets(server) <= 1
        return seen

    seen = asyncio.run(main())
    assert sum(seen.values()) == 8 * 20
    assert len(seen) > 1


def test_the_connections_of_another_loop_are_closed_in_it(backend: str, server: Server) -> None:
    source = Switch(CHAINS[0])
    env = AsyncEnvironment({"A": source}, backend=backend, **TRUST)
    is_called, may_end = threading.Event(), threading.Event()

    async def elsewhere() -> None:
        await env.A.fetch(server.url())
        is_called.set()
        await asyncio.to_thread(may_end.wait, 10)
        await env.aclose()

    async def here() -> None:
        source.chain = CHAINS[1]
        await env.A.fetch(server.url())
        await asyncio.to_thread(wait_until, lambda: open_sockets(server) == 1)
        await env.aclose()

    thread = threading.Thread(target=lambda: asyncio.run(elsewhere()))
    thread.start()
    assert is_called.wait(10)
    try:
        asyncio.run(here())
    finally:
        may_end.set()
        thread.join()
