"""The engine's network, blocking and async: its streams, with what it does not see or do by itself."""

from __future__ import annotations

import ssl
from typing import Any

import anyio  # under the async engine
import httpcore2
from anyio.streams.tls import TLSStream

from mtlskit.backends.sockets import TLSSocket
from mtlskit.fetch.engine.goaway import Frames


class Stream(httpcore2.NetworkStream):
    """Tells of its TLS also where that is not `ssl`'s own: the engine sees from it which version of HTTP is spoken."""

    def __init__(self, inner: httpcore2.NetworkStream) -> None:
        self.inner = inner
        self.read = inner.read  # type: ignore[method-assign]
        self.write = inner.write  # type: ignore[method-assign]
        self.close = inner.close  # type: ignore[method-assign]

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore2.NetworkStream:
        stream = Stream(self.inner.start_tls(ssl_context, server_hostname, timeout))
        raw = stream.get_extra_info("socket")
        if hasattr(raw, "suppress_ragged_eofs"):
            # A body that ends with its connection is whole only where TLS says so (RFC 9112, 9.8).
            raw.suppress_ragged_eofs = False
        return HTTP2Stream(stream.inner) if _is_http2(stream) else stream

    def get_extra_info(self, info: str) -> Any:
        found = self.inner.get_extra_info(info)
        if found is None and info == "ssl_object":
            raw = self.inner.get_extra_info("socket")
            return raw if isinstance(raw, TLSSocket) else None
        return found


class HTTP2Stream(Stream):
    """One over which HTTP/2 is spoken."""

    def __init__(self, inner: httpcore2.NetworkStream) -> None:
        super().__init__(inner)
        self.frames = Frames()
        self.read = self._read  # type: ignore[method-assign]

    def _read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        _check_awaited(self.frames)
        while data := self.inner.read(max_bytes, timeout):
            if given := self.frames.received(data):
                return given
        return b""


class Network(httpcore2.SyncBackend):
    """The engine's own, of streams of ours."""

    def connect_tcp(self, *arguments: Any, **options: Any) -> httpcore2.NetworkStream:
        return Stream(super().connect_tcp(*arguments, **options))


class AsyncStream(httpcore2.AsyncNetworkStream):
    """Is closed also where a task is cancelled in its handshake: the engine would leave the socket open."""

    def __init__(self, inner: httpcore2.AsyncNetworkStream) -> None:
        self.inner = inner
        self.read = inner.read  # type: ignore[method-assign]
        self.write = inner.write  # type: ignore[method-assign]
        self.get_extra_info = inner.get_extra_info  # type: ignore[method-assign]

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109  the engine's
    ) -> httpcore2.AsyncNetworkStream:
        self.tell_cut(False)  # of TLS with a proxy: that with the origin, within it, has an end of its own
        try:
            stream = AsyncStream(await self.inner.start_tls(ssl_context, server_hostname, timeout))
        except BaseException:
            with anyio.CancelScope(shield=True):
                await self.aclose()
            raise
        stream.tell_cut(True)
        return AsyncHTTP2Stream(stream.inner) if _is_http2(stream) else stream

    def tell_cut(self, is_told: bool) -> None:
        """As `suppress_ragged_eofs` of a socket, the other way round."""
        tls = getattr(self.inner, "_stream", None)
        if isinstance(tls, TLSStream):
            tls.standard_compatible = is_told

    async def aclose(self) -> None:
        """Closes it, without to wait until the server says so too."""
        self.tell_cut(False)
        await self.inner.aclose()


class AsyncHTTP2Stream(AsyncStream):
    """As `HTTP2Stream`."""

    def __init__(self, inner: httpcore2.AsyncNetworkStream) -> None:
        super().__init__(inner)
        self.frames = Frames()
        self.read = self._read  # type: ignore[method-assign]

    async def _read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109  the engine's
        _check_awaited(self.frames)
        while data := await self.inner.read(max_bytes, timeout):
            if given := self.frames.received(data):
                return given
        return b""


class AsyncNetwork(httpcore2.AnyIOBackend):
    """As `Network`, for the tasks of asyncio."""

    async def connect_tcp(self, *arguments: Any, **options: Any) -> httpcore2.AsyncNetworkStream:
        return AsyncStream(await super().connect_tcp(*arguments, **options))


def _is_http2(stream: Stream | AsyncStream) -> bool:
    tls = stream.get_extra_info("ssl_object")
    return tls is not None and tls.selected_alpn_protocol() == "h2"


def _check_awaited(frames: Frames) -> None:
    # The engine does not look whether a stream was reset while it waits for leave to send more of a body over it.
    if frames.is_over:
        raise httpcore2.RemoteProtocolError("expected a stream that is open, got one that was refused")
