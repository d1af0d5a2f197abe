"""Contexts and pools: one immutable context for one content of certificate, one pool on it per process (or event loop).

Made on first use. A pool that was opened before a fork is never used, nor closed, by the child. When another
certificate takes the place of a lane's, the lane is retired: what runs on it ends in peace, and then it is closed.
"""

from __future__ import annotations

import asyncio
import os
import ssl
import weakref
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING, Generic, TypeVar

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


_Pool = TypeVar("_Pool")


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


class _Place(Generic[_Pool]):
    """A pool where it may be used, a process or an event loop, and how many calls are on it."""

    def __init__(self, pool: _Pool) -> None:
        self.pool = pool
        self.calls = 0
        self.is_left = False  # nobody enters it any more; it is closed after the last call


class Lane(_Lane):
    """Connections for threads."""

    def __init__(self, connector: Connector, chain: SigningChain | None) -> None:
        super().__init__(connector, chain)
        self._places: dict[int, _Place[Pool]] = {}  # by process

    @contextmanager
    def opened(self, step: Step, timeout: float | None) -> Iterator[Opened]:
        """Sends over a connection of this lane; raises MTLSError. The answer is closed at the end of the block."""
        place = self._entered()
        try:
            opened = place.pool.open(step, timeout)
            try:
                yield opened
            finally:
                opened.close()
        finally:
            self._exited(place)

    def _entered(self) -> _Place[Pool]:
        process = os.getpid()
        settings = self._pool_settings()
        with self._lock:
            place = self._places.get(process)
            if place is None:
                place = self._places[process] = _Place(engine().Pool(settings))
            place.calls += 1
        return place

    def _exited(self, place: _Place[Pool]) -> None:
        with self._lock:
            place.calls -= 1
            if self._is_retired and not place.calls:  # whoever came late to a retired lane
                self._leave(place)
            is_over = place.is_left and not place.calls
        if is_over:
            place.pool.close()

    def _leave(self, place: _Place[Pool]) -> None:
        place.is_left = True
        if self._places.get(os.getpid()) is place:
            del self._places[os.getpid()]

    def retire(self) -> None:
        """Closes this process's connections when the last call on them is over; those that still come, too."""
        with self._lock:
            self._is_retired = True
        self.close()

    def close(self) -> None:
        """Closes this process's connections when the last call on them is over: at once where none runs."""
        with self._lock:
            place = self._places.get(os.getpid())
            if place is None:
                return
            self._leave(place)
            is_over = not place.calls
        if is_over:
            place.pool.close()


class AsyncLane(_Lane):
    """Connections for tasks; each event loop has its own."""

    def __init__(self, connector: Connector, chain: SigningChain | None) -> None:
        super().__init__(connector, chain)
        self._places: dict[tuple[int, int], tuple[weakref.ref[asyncio.AbstractEventLoop], _Place[AsyncPool]]] = {}
        self._closing: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def opened(self, step: Step, timeout: float | None) -> AsyncIterator[AsyncOpened]:  # noqa: ASYNC109  passed on
        """As `Lane.opened`."""
        place = self._entered(asyncio.get_running_loop())
        try:
            opened = await place.pool.open(step, timeout)
            try:
                yield opened
            finally:
                await opened.close()
        finally:
            await self._exited(place)

    def _entered(self, loop: asyncio.AbstractEventLoop) -> _Place[AsyncPool]:
        place = self._place_of(loop)
        if place is None:
            self._forget_ended_loops()
            place = _Place(engine().AsyncPool(self._pool_settings()))
            self._places[_key(loop)] = (weakref.ref(loop), place)
        place.calls += 1
        return place

    async def _exited(self, place: _Place[AsyncPool]) -> None:
        place.calls -= 1
        if self._is_retired and not place.calls:
            self._leave(place)
        if place.is_left and not place.calls:
            await place.pool.close()

    def _leave(self, place: _Place[AsyncPool]) -> None:
        place.is_left = True
        loop = asyncio.get_running_loop()
        if self._place_of(loop) is place:
            del self._places[_key(loop)]

    def retire(self) -> None:
        """Closes the connections of each event loop when the last call on them is over; those that still come, too."""
        self._is_retired = True
        self._forget_ended_loops()
        for reference, _ in list(self._places.values()):
            loop = reference()
            with suppress(RuntimeError):  # it was closed meanwhile
                if loop is not None:
                    loop.call_soon_threadsafe(self._close_soon, loop)

    def _close_soon(self, loop: asyncio.AbstractEventLoop) -> None:
        task = loop.create_task(self.close())
        self._closing.add(task)  # or it could be thrown away before it has run
        task.add_done_callback(self._closing.discard)

    async def close(self) -> None:
        """Closes the connections of the running event loop when the last call on them is over."""
        place = self._place_of(asyncio.get_running_loop())
        if place is None:
            return
        self._leave(place)
        if not place.calls:
            await place.pool.close()

    def _place_of(self, loop: asyncio.AbstractEventLoop) -> _Place[AsyncPool] | None:
        found = self._places.get(_key(loop))
        # An id comes again when its loop is gone.
        return found[1] if found is not None and found[0]() is loop else None

    def _forget_ended_loops(self) -> None:
        for key, (reference, _) in list(self._places.items()):
            loop = reference()
            if key[0] != os.getpid() or loop is None or loop.is_closed():
                self._places.pop(key, None)


def _key(loop: asyncio.AbstractEventLoop) -> tuple[int, int]:
    return os.getpid(), id(loop)


def engine() -> ModuleType:
    """The HTTP engine; raises ConfigurationError where the extra `fetch` is not installed."""
    try:
        from mtlskit.fetch import engine as found
    except ModuleNotFoundError as error:
        if error.name not in ("httpcore2", "h11"):
            raise
        raise ConfigurationError(
            "expected the extra 'fetch' for requests through bindings, httpx2 is not installed"
        ) from None
    return found
