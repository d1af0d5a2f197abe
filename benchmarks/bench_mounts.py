"""What does a mounted binding cost a client of another library beside the bare library, warm (kept alive)?

CPU time of this process; the server runs in another. Mount and bare library take turns in small batches, on contexts of
one kind, and the ratio is the median of the rounds' own, so that drift of the machine cancels. A second pair, of the
bare library with itself, says what the method cannot see. Aim: at most 1.03 x. A library that is missing is left out.
"""

from __future__ import annotations

import asyncio
import importlib
import multiprocessing
import socket
import statistics
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

from benchmarks.bench_fetch import CLIENT, context, serve
from benchmarks.bench_fetch import ROOT as SERVERS
from mtlskit.fetch import ClientCertificate, Environment

ROUNDS, BATCH = 400, 10
Call = Callable[[str], Awaitable[int]]


def httpx(library: Any, module: Any, binding: Any, bare: Any) -> list[Call]:
    """Blocking clients of httpx and httpx2."""
    clients = [library.Client(verify=bare, trust_env=False), library.Client(verify=bare, trust_env=False)]
    return [
        blocking(lambda url, client=client: client.get(url).content)
        for client in (*clients, library.Client(transport=module.transport(binding)))
    ]


def httpx_async(library: Any, module: Any, binding: Any, bare: Any) -> list[Call]:
    """Clients of httpx and httpx2 for tasks."""

    def call(client: Any) -> Call:
        async def get(url: str) -> int:
            return len((await client.get(url)).content)

        return get

    clients = [library.AsyncClient(verify=bare, trust_env=False) for _ in range(2)]
    return [*map(call, clients), call(library.AsyncClient(transport=module.async_transport(binding)))]


def requests(library: Any, module: Any, binding: Any, bare: Any) -> list[Call]:
    """Sessions of requests: the bare ones get their context in the way that it documents."""
    base = importlib.import_module("requests.adapters").HTTPAdapter

    class Adapter(base):  # type: ignore[misc,valid-type]
        def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
            super().init_poolmanager(*arguments, **options, ssl_context=bare)

        def cert_verify(self, *_arguments: Any) -> None:
            pass

        def build_connection_pool_key_attributes(self, request: Any, verify: Any, cert: Any = None) -> Any:
            host, tls = super().build_connection_pool_key_attributes(request, verify, cert)
            return host, {**tls, "ca_certs": None}

    sessions = [library.Session() for _ in range(3)]
    for session in sessions[:2]:
        session.trust_env = False
        session.mount("https://", Adapter())
    module.mount(sessions[2], binding)
    return [blocking(lambda url, session=session: session.get(url).content) for session in sessions]


def niquests(library: Any, module: Any, binding: Any, bare: Any) -> list[Call]:
    """Sessions of niquests, all without HTTP/2 and 3."""
    base = importlib.import_module("niquests.adapters").HTTPAdapter

    class Adapter(base):  # type: ignore[misc,valid-type]
        def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
            super().init_poolmanager(*arguments, **options, ssl_context=bare)

        def cert_verify(self, *_arguments: Any) -> None:
            pass

    sessions = [library.Session() for _ in range(3)]
    for session in sessions[:2]:
        session.trust_env = False
        session.mount("https://", Adapter(disable_http2=True, disable_http3=True))
    module.mount(sessions[2], binding)
    return [blocking(lambda url, session=session: session.get(url).content) for session in sessions]


def urllib3(library: Any, module: Any, binding: Any, bare: Any) -> list[Call]:
    """Pool managers."""
    managers = [library.PoolManager(ssl_context=bare), library.PoolManager(ssl_context=bare)]
    return [
        blocking(lambda url, manager=manager: manager.request("GET", url).data)
        for manager in (*managers, module.pool_manager(binding))
    ]


def aiohttp(library: Any, module: Any, binding: Any, bare: Any) -> list[Call]:
    """Sessions of aiohttp."""

    def call(session: Any) -> Call:
        async def get(url: str) -> int:
            async with session.get(url) as response:
                return len(await response.read())

        return get

    connectors = [library.TCPConnector(ssl=bare), library.TCPConnector(ssl=bare), module.connector(binding)]
    return [call(library.ClientSession(connector=connector)) for connector in connectors]


def blocking(get: Callable[[str], bytes]) -> Call:
    """A call in the form of the others."""

    async def call(url: str) -> int:
        return len(get(url))

    return call


LIBRARIES: dict[str, Callable[..., list[Call]]] = {
    "httpx": httpx, "httpx async": httpx_async, "httpx2": httpx, "httpx2 async": httpx_async, "requests": requests,
    "niquests": niquests, "urllib3": urllib3, "aiohttp": aiohttp,
}  # fmt: skip


async def measured(calls: list[Call], url: str) -> list[list[float]]:
    """The CPU microseconds per call of each, by round."""
    found: list[list[float]] = [[] for _ in calls]
    for number in range(ROUNDS + 1):
        for index in sorted(range(len(calls)), key=lambda index: (index + number) % len(calls)):
            before = time.process_time_ns()
            for _ in range(BATCH):
                await calls[index](url)
            if number:  # the first round opens the connections
                found[index].append((time.process_time_ns() - before) / BATCH / 1000)
    return found


async def compare(name: str, url: str, binding: Any) -> None:
    """Prints a line for the library, if it is here."""
    library_name = name.partition(" ")[0]
    try:
        library = importlib.import_module(library_name)
    except ImportError:
        print(f"  {name:14} is not installed")
        return
    module = importlib.import_module(f"mtlskit.fetch.clients.{library_name}")
    # Clients are never closed, for the process ends; of that, aiohttp need not tell.
    asyncio.get_running_loop().set_exception_handler(lambda *_: None)
    bare, again, mounted = await measured(LIBRARIES[name](library, module, binding, context("ssl")), url)
    ratio, noise = (
        statistics.median(one / other for one, other in zip(each, bare, strict=True)) for each in (mounted, again)
    )
    print(
        f"  {name:14} {statistics.median(bare):7.0f} us bare {statistics.median(mounted):7.0f} us mounted"
        f"   {ratio:5.3f} x   (bare with itself {noise:5.3f} x)"
    )


def main() -> None:
    """Prints a line for each library, or for those that are named as arguments."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=128)
    server = multiprocessing.get_context("fork").Process(target=serve, args=(listener,), daemon=True)
    server.start()
    url = f"https://localhost:{listener.getsockname()[1]}/"
    bound = ClientCertificate(certificate=CLIENT, origins=[url.rstrip("/")])
    environment = Environment({"A": bound}, backend="ssl", trust=[SERVERS.certificate])
    print("warm GET through a mount")
    try:
        for name in sys.argv[1:] or LIBRARIES:
            asyncio.run(compare(name, url, environment.A))
    finally:
        server.terminate()
        server.join()
        listener.close()


if __name__ == "__main__":
    main()
