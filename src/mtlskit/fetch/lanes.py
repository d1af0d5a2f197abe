"""Contexts and pools: one immutable context for one content of certificate, one pool on it per process (or event loop).

Made on first use, without a lock, so that a fork in the middle leaves nothing held. A pool that was opened before a
fork is never used, nor closed, by the child.
"""

from __future__ import annotations

import asyncio
import os
import ssl
import weakref
from types import ModuleType
from typing import TYPE_CHECKING

from cryptography import x509

from mtlskit.core.certificates import SigningChain
from mtlskit.errors import ConfigurationError
from mtlskit.fetch.exchange import Step
from mtlskit.fetch.messages import Answer
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
        self._chain = chain
        self._contexts: dict[str, ssl.SSLContext] = {}

    @property
    def certificate(self) -> x509.Certificate | None:
        return None if self._chain is None else self._chain.certificate

    def context(self) -> ssl.SSLContext:
        found = self._contexts.get("")
        # Of two that are made at the same time, one is kept and the other never used.
        return found or self._contexts.setdefault("", self._connector.context(self._chain))


class Lane(_Lane):
    """Connections for threads."""

    def __init__(self, connector: Connector, chain: SigningChain | None) -> None:
        super().__init__(connector, chain)
        self._pools: dict[int, Pool] = {}

    def send(self, step: Step, timeout: float | None) -> Answer:
        """Sends over a connection of this lane; raises MTLSError."""
        process = os.getpid()
        pool = self._pools.get(process)
        if pool is None:
            pool = self._pools.setdefault(process, engine().Pool(self.context(), self.certificate))
        return pool.send(step, timeout)

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

    async def send(self, step: Step, timeout: float | None) -> Answer:  # noqa: ASYNC109  passed on
        """Sends over a connection of this lane; raises MTLSError."""
        loop = asyncio.get_running_loop()
        pool = self._pool_of(loop)
        if pool is None:
            pool = engine().AsyncPool(self.context(), self.certificate)
            self._pools[_place(loop)] = (weakref.ref(loop), pool)
        return await pool.send(step, timeout)

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
