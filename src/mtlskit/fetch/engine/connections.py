"""The engine's connections, and what is known of each: how far it came, and what its server asked for.

Several requests may share one (HTTP/2), so what one of them saw counts for all.
"""

from __future__ import annotations

import ssl
import threading
from collections.abc import Iterator
from typing import Any, Final, Protocol

import httpcore2

from mtlskit.backends.certificate_requests import Hearing
from mtlskit.backends.sockets import TLSSocket
from mtlskit.fetch.failures import Stage

STAGES: Final = {
    "connection.connect_tcp.started": Stage.CONNECTING,
    "connection.start_tls.started": Stage.HANDSHAKE,
    "connection.start_tls.complete": Stage.FRESH,
}
STAGES_BEHIND_PROXY: Final = {
    "connection.connect_tcp.started": Stage.CONNECTING,
    "proxy.start_tls.started": Stage.HANDSHAKE,  # within the tunnel; the proxy's own TLS is a part of connecting
    "proxy.start_tls.complete": Stage.FRESH,
}
_SENDING: Final = "mtlskit"
_AS_THEY_ARE: Final = ("can_handle_request", "is_connected", "is_idle", "is_closed", "info")


class Sending:
    """One request on its way, and the connection that it goes over once it has one."""

    __slots__ = ("connection",)

    def __init__(self) -> None:
        self.connection: _Known | None = None

    @property
    def extensions(self) -> dict[str, Any]:
        """What the engine's request takes along."""
        return {_SENDING: self}


class _Inner(Protocol):
    """What is common to the engine's two kinds of connection."""

    def is_idle(self) -> bool: ...

    def has_expired(self) -> bool: ...


class _Known:
    """What is known of one connection, and the methods of the engine's that stay as they are."""

    def __init__(self, inner: _Inner, stages: dict[str, Stage]) -> None:
        self._inner: Any = inner
        self._stages = stages
        self._http2_stream: Any = None
        self.stage = Stage.CONNECTING
        self.hearing = Hearing()
        for name in _AS_THEY_ARE:
            setattr(self, name, getattr(inner, name))

    def has_expired(self) -> bool:
        """Also an idle connection of HTTP/2 where something came: most likely its end. The engine would not look."""
        if self._inner.has_expired():
            return True
        stream = self._http2_stream
        return stream is not None and self._inner.is_idle() and bool(stream.get_extra_info("is_readable"))

    def _note(self, event: str, info: dict[str, Any]) -> None:
        stage = self._stages.get(event)
        if stage is None:
            return
        self.stage = stage
        if stage is Stage.HANDSHAKE:
            self.hearing.request = None  # what a proxy asked for is not the origin's
        elif stage is Stage.FRESH:
            stream = info["return_value"]
            tls = stream.get_extra_info("ssl_object")
            if tls is not None and tls.selected_alpn_protocol() == "h2":
                self._http2_stream = stream

    async def _note_async(self, event: str, info: dict[str, Any]) -> None:
        self._note(event, info)


class Connection(_Known, httpcore2.ConnectionInterface):
    """For threads: it takes one request at a time, also in HTTP/2.

    Of several threads on one HTTP/2 connection the engine would mix up the frames, and so the answers.
    """

    def __init__(self, inner: httpcore2.ConnectionInterface, stages: dict[str, Stage]) -> None:
        super().__init__(inner, stages)
        self._turn = threading.Lock()

    def handle_request(self, request: httpcore2.Request) -> httpcore2.Response:
        """Sends the request; raises what the engine raises."""
        if not self._turn.acquire(blocking=False):
            raise httpcore2.ConnectionNotAvailable
        try:
            response = self._sent(request)
        except BaseException:
            self._turn.release()
            raise
        response.stream = _Turn(response.stream, self._turn)
        return response

    def _sent(self, request: httpcore2.Request) -> httpcore2.Response:
        request.extensions[_SENDING].connection = self
        if self.stage is Stage.REUSED:
            return self._inner.handle_request(request)  # type: ignore[no-any-return]
        request.extensions["trace"] = self._note
        with self.hearing.listening():
            response: httpcore2.Response = self._inner.handle_request(request)
        self.stage = Stage.REUSED
        return response

    def is_available(self) -> bool:
        """Whether it could take a request now."""
        return not self._turn.locked() and bool(self._inner.is_available())

    def can_multiplex(self) -> bool:
        """It takes one request at a time."""
        return False

    def close(self) -> None:
        """Closes it."""
        self._inner.close()


class _Turn:
    """A body whose end ends the turn."""

    def __init__(self, stream: Any, turn: threading.Lock) -> None:
        self._stream = stream
        self._turn: threading.Lock | None = turn

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._stream)

    def close(self) -> None:
        turn, self._turn = self._turn, None
        try:
            self._stream.close()
        finally:
            if turn is not None:
                turn.release()


class AsyncConnection(_Known, httpcore2.AsyncConnectionInterface):
    """For tasks. Over HTTP/2 many share one."""

    def __init__(self, inner: httpcore2.AsyncConnectionInterface, stages: dict[str, Stage]) -> None:
        super().__init__(inner, stages)
        self.is_available = inner.is_available  # type: ignore[method-assign]
        self.can_multiplex = inner.can_multiplex  # type: ignore[method-assign]

    async def handle_async_request(self, request: httpcore2.Request) -> httpcore2.Response:
        """As `Connection.handle_request`."""
        request.extensions[_SENDING].connection = self
        if self.stage is Stage.REUSED:
            return await self._inner.handle_async_request(request)  # type: ignore[no-any-return]
        request.extensions["trace"] = self._note_async
        with self.hearing.listening():
            response: httpcore2.Response = await self._inner.handle_async_request(request)
        self.stage = Stage.REUSED
        return response

    async def aclose(self) -> None:
        """Closes it."""
        await self._inner.aclose()


class _Stream(httpcore2.NetworkStream):
    """Tells of its TLS also where that is not `ssl`'s own: the engine sees from it which version of HTTP is spoken."""

    def __init__(self, inner: httpcore2.NetworkStream) -> None:
        self._inner = inner
        self.read = inner.read  # type: ignore[method-assign]
        self.write = inner.write  # type: ignore[method-assign]
        self.close = inner.close  # type: ignore[method-assign]

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore2.NetworkStream:
        return _Stream(self._inner.start_tls(ssl_context, server_hostname, timeout))

    def get_extra_info(self, info: str) -> Any:
        found = self._inner.get_extra_info(info)
        if found is None and info == "ssl_object":
            raw = self._inner.get_extra_info("socket")
            return raw if isinstance(raw, TLSSocket) else None
        return found


class _Network(httpcore2.SyncBackend):
    def connect_tcp(self, *arguments: Any, **options: Any) -> httpcore2.NetworkStream:
        return _Stream(super().connect_tcp(*arguments, **options))


class ConnectionPool(httpcore2.ConnectionPool):
    """The engine's, of connections of ours."""

    def __init__(self, *, proxy: httpcore2.Proxy | None, **options: Any) -> None:
        super().__init__(proxy=proxy, network_backend=_Network(), **options)
        self._stages = STAGES if proxy is None else STAGES_BEHIND_PROXY

    def create_connection(self, origin: httpcore2.Origin) -> httpcore2.ConnectionInterface:
        """A connection to be made."""
        return Connection(super().create_connection(origin), self._stages)


class AsyncConnectionPool(httpcore2.AsyncConnectionPool):
    """As `ConnectionPool`, for tasks."""

    def __init__(self, *, proxy: httpcore2.Proxy | None, **options: Any) -> None:
        super().__init__(proxy=proxy, **options)
        self._stages = STAGES if proxy is None else STAGES_BEHIND_PROXY

    def create_connection(self, origin: httpcore2.Origin) -> httpcore2.AsyncConnectionInterface:
        """A connection to be made."""
        return AsyncConnection(super().create_connection(origin), self._stages)
