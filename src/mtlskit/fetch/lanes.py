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
from contextlib import suppress
from types import ModuleType
from typing import TYPE_CHECKING

from cryptography import x509

from mtlskit.core.certificates import SigningChain
from mtlskit.errors import ConfigurationError
from mtlskit.fetch.exchange import Step
from mtlskit.fetch.messages import Answer
from mtlskit.locks import ForkSafeLock
from mtlskit.ports import Backend, ClientConfiguration, ServerTrust

if TYPE_CHECKING:
    from mtlskit.fetch.engine import AsyncPool, Pool


class Connector:
    """What connections are made with: the backend and which servers are trusted."""

    __slots__ = ("_backend", "_trust")

    def __init__(self, backend: Backend, trust: ServerTrust | tuple[x509.Certificate, ...]) -> None:
        self._backend = backend
        self._trust = trust

    def context(self, chain: SigningChain | None) -> ssl.SSLContext:
        """A new context that verifies the server and offers `chain`, or nothing."""
        configuration = ClientConfiguration(chain=chain, trust=self._trust, alpn=("http/1.1",))
        return self._backend.client_context(configuration)


class _Lane:
    """The context of one certificate content, or of none."""

    def __init__(self, connector: Connector, chain: SigningChain | None) -> None:
        self._connector = connector
        self.chain = chain
        self._contexts: dict[str, ssl.SSLContext] = {}
        self._is_retired = False
        self._lock = ForkSafeLock()

    @property
    def certificate(self) -> x509.Certificate | None:
        return None if self.chain is None else self.chain.certificate

    def context(self) -> ssl.SSLContext:
        found = self._contexts.get("")
        # Of two that are made at the same time, one is kept and the other never used.
        return found or self._contexts.setdefault("", self._connector.context(self.chain))


class Lane(_Lane):
    """Connections for threads."""

    def __init__(self, connector: Connector, chain: SigningChain | None) -> None:
        super().__init__(connector, chain)
        self._pools: dict[int, Pool] = {}
        self._running: Counter[int] = Counter()  # requests, by process

    def send(self, step: Step, timeout: float | None) -> Answer:
        """Sends over a connection of this lane; raises MTLSError."""
        process = os.getpid()
        with self._lock:
            self._running[process] += 1
        try:
            pool = self._pools.get(process)
            if pool is None:
                pool = self._pools.setdefault(process, engine().Pool(self.context(), self.certificate))
            return pool.send(step, timeout)
        finally:
            with self._lock:
                self._running[process] -= 1
                is_over = self._is_retired and not self._running[process]
            if is_over:
                self.close()

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

    async def send(self, step: Step, timeout: float | None) -> Answer:  # noqa: ASYNC109  passed on
        """Sends over a connection of this lane; raises MTLSError."""
        loop = asyncio.get_running_loop()
        place = _place(loop)
        self._running[place] += 1
        try:
            pool = self._pool_of(loop)
            if pool is None:
                pool = engine().AsyncPool(self.context(), self.certificate)
                self._pools[place] = (weakref.ref(loop), pool)
            return await pool.send(step, timeout)
        finally:
            self._running[place] -= 1
            if not self._running[place]:
                del self._running[place]
                if self._is_retired:
                    await self.close()

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
        if error.name != "httpx2":
            raise
        raise ConfigurationError(
            "expected the extra 'fetch' for requests through bindings, httpx2 is not installed"
        ) from None
    return found
