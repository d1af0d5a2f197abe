"""Contexts and pools: one immutable context for one content of certificate, one pool on it per process (or event loop).

Made on first use. A pool that was opened before a fork is never used, nor closed, by the child. When another
certificate takes the place of a lane's, the lane is retired: what runs on it ends in peace, and then it is closed.
"""

from __future__ import annotations

import asyncio
import os
import ssl
import weakref
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING

from cryptography import x509

from mtlskit.backends.stdlib import StdlibBackend
from mtlskit.core.certificates import SigningChain
from mtlskit.errors import ConfigurationError
from mtlskit.fetch.contexts import SealedContext
from mtlskit.fetch.exchange import Step
from mtlskit.fetch.proxies import Proxy
from mtlskit.locks import ForkSafeLock
from mtlskit.ports import Backend, ClientConfiguration, ServerTrust

if TYPE_CHECKING:
    from mtlskit.fetch.engine import AsyncOpened, AsyncPool, Opened, Pool, PoolSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Connector:
    """What connections are made with: the backend, which servers are trusted, and the proxy that they go through."""

    backend: Backend
    trust: ServerTrust | tuple[x509.Certificate, ...]
    proxy: Proxy | None = None

    def context(self, chain: SigningChain | None, alpn: tuple[str, ...]) -> ssl.SSLContext:
        """A new context that verifies the server and offers `chain`, or nothing."""
        return self.backend.client_context(ClientConfiguration(chain=chain, trust=self.trust, alpn=alpn))

    def proxy_context(self) -> ssl.SSLContext:
        """For TLS to a proxy, without a certificate. Always of `ssl`: within other sockets the engine puts no TLS."""
        return StdlibBackend().client_context(ClientConfiguration(trust=self.trust, alpn=("http/1.1",)))


class _Lane:
    """The context of one certificate content, or of none."""

    def __init__(self, connector: Connector, chain: SigningChain | None) -> None:
        self._connector = connector
        self.chain = chain
        self._sealed: dict[tuple[str, ...], SealedContext] = {}
        self._settings: PoolSettings | None = None
        self._is_retired = False
        self._lock = ForkSafeLock()

    def sealed(self, alpn: tuple[str, ...], admits: Callable[[str], bool] | None = None) -> SealedContext:
        """A context for other libraries, always the same. Who asks for a lane's says always the same of `admits`."""
        found = self._sealed.get(alpn)
        # Of two that are made at the same time, one is kept and the other never used.
        return found or self._sealed.setdefault(alpn, SealedContext(self._connector.context(self.chain, alpn), admits))

    def _pool_settings(self) -> PoolSettings:
        """The engine has a context of its own, since it sets what protocols are offered."""
        if self._settings is None:
            connector, found = self._connector, engine()
            is_tls = connector.proxy is not None and connector.proxy.is_tls
            self._settings = found.PoolSettings(
                context=connector.context(self.chain, found.ALPN),
                certificate=None if self.chain is None else self.chain.certificate,
                sees_requests=connector.backend.capabilities.sees_certificate_requests,
                proxy=connector.proxy,
                proxy_context=connector.proxy_context() if is_tls else None,
            )
        return self._settings


class Lane(_Lane):
    """Connections for threads."""

    def __init__(self, connector: Connector, chain: SigningChain | None) -> None:
        super().__init__(connector, chain)
        self._pools: dict[int, Pool] = {}
        self._running: Counter[int] = Counter()  # requests, by process

    @contextmanager
    def opened(self, step: Step, timeout: float | None) -> Iterator[Opened]:
        """Sends over a connection of this lane; raises MTLSError. The answer is closed at the end of the block."""
        process = os.getpid()
        with self._lock:
            self._running[process] += 1
        try:
            opened = self._pool(process).open(step, timeout)
            try:
                yield opened
            finally:
                opened.close()
        finally:
            with self._lock:
                self._running[process] -= 1
                is_over = self._is_retired and not self._running[process]
            if is_over:
                self.close()

    def _pool(self, process: int) -> Pool:
        return self._pools.get(process) or self._pools.setdefault(process, engine().Pool(self._pool_settings()))

    def retire(self) -> None:
        """Closes this process's connections when the last request on them is over."""
        with self._lock:
            self._is_retired = True
            is_over = not self._running[os.getpid()]
        if is_over:
            self.close()

    def close(self) -> None:
        """Closes this process's connections."""
        pool = self._pools.pop(os.getpid(), None)
        if pool is not None:
            pool.close()


class AsyncLane(_Lane):
    """Connections for tasks; each event loop has its own."""

    def __init__(self, connector: Connector, chain: SigningChain | None) -> None:
        super().__init__(connector, chain)
        self._pools: dict[tuple[int, int], tuple[weakref.ref[asyncio.AbstractEventLoop], AsyncPool]] = {}
        self._running: Counter[tuple[int, int]] = Counter()  # requests, by event loop
        self._closing: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def opened(self, step: Step, timeout: float | None) -> AsyncIterator[AsyncOpened]:  # noqa: ASYNC109  passed on
        """As `Lane.opened`."""
        loop = asyncio.get_running_loop()
        place = _place(loop)
        self._running[place] += 1
        try:
            opened = await self._pool(loop).open(step, timeout)
            try:
                yield opened
            finally:
                await opened.close()
        finally:
            self._running[place] -= 1
            if not self._running[place]:
                del self._running[place]
                if self._is_retired:
                    await self.close()

    def _pool(self, loop: asyncio.AbstractEventLoop) -> AsyncPool:
        pool = self._pool_of(loop)
        if pool is None:
            pool = engine().AsyncPool(self._pool_settings())
            self._pools[_place(loop)] = (weakref.ref(loop), pool)
        return pool

    def retire(self) -> None:
        """Closes the connections of each event loop when the last request on them is over."""
        self._is_retired = True
        for place, (reference, _) in list(self._pools.items()):
            loop = reference()
            if place[0] != os.getpid() or loop is None or loop.is_closed():
                self._pools.pop(place, None)
                continue
            with suppress(RuntimeError):  # it was closed meanwhile
                loop.call_soon_threadsafe(self._close_if_idle, loop)

    def _close_if_idle(self, loop: asyncio.AbstractEventLoop) -> None:
        if not self._running[_place(loop)]:
            task = loop.create_task(self.close())
            self._closing.add(task)  # or it could be thrown away before it has run
            task.add_done_callback(self._closing.discard)

    async def close(self) -> None:
        """Closes the connections of the running event loop."""
        loop = asyncio.get_running_loop()
        pool = self._pool_of(loop)
        self._pools.pop(_place(loop), None)
        if pool is not None:
            await pool.close()

    def _pool_of(self, loop: asyncio.AbstractEventLoop) -> AsyncPool | None:
        found = self._pools.get(_place(loop))
        # An id comes again when its loop is gone.
        return found[1] if found is not None and found[0]() is loop else None


def _place(loop: asyncio.AbstractEventLoop) -> tuple[int, int]:
    return os.getpid(), id(loop)


def engine() -> ModuleType:
    """The HTTP engine; raises ConfigurationError where the extra `fetch` is not installed."""
    try:
        from mtlskit.fetch import engine as found
    except ModuleNotFoundError as error:
        if error.name not in ("httpcore2", "httpx2", "h11"):
            raise
        raise ConfigurationError(
            "expected the extra 'fetch' for requests through bindings, httpx2 is not installed"
        ) from None
    return found
