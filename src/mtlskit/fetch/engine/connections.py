"""The engine's connections, and what is known of each: how far it came, and what its server asked for.

Each takes one request at a time, also in HTTP/2. Of several threads the engine would mix up the frames, and so the
answers; of several tasks, the one that is cancelled, or gives up, would take the others' answers with it, and one's
timeout would count for all.
"""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, Final, Protocol

import anyio  # under the async engine
import httpcore2

from mtlskit.backends.certificate_requests import Hearing
from mtlskit.fetch.engine.leftovers import leftovers_of
from mtlskit.fetch.engine.networks import AsyncHTTP2Stream, AsyncNetwork, HTTP2Stream, Network
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
_OPENS_STREAM: Final = "http2.send_request_headers.started"
_SENDING: Final = "mtlskit"
_MOST_REFUSALS: Final = 3
_AS_THEY_ARE: Final = ("can_handle_request", "is_connected", "is_idle", "is_closed", "info")
_HTTP_ERRORS: Final = (httpcore2.RemoteProtocolError, httpcore2.LocalProtocolError)


class Sending:
    """One request on its way, and the connection and the stream of HTTP/2 that it goes over once it has them."""

    __slots__ = ("connection", "refusals", "stream")

    def __init__(self) -> None:
        self.connection: _Known | None = None
        self.stream: int | None = None
        self.refusals = 0

    @property
    def extensions(self) -> dict[str, Any]:
        """What the engine's request takes along."""
        return {_SENDING: self}


class _Inner(Protocol):
    """What is common to the engine's two kinds of connection."""

    def is_idle(self) -> bool: ...

    def is_available(self) -> bool: ...

    def has_expired(self) -> bool: ...


class _Known:
    """What is known of one connection, and the methods of the engine's that stay as they are."""

    def __init__(self, inner: _Inner, stages: dict[str, Stage]) -> None:
        self._inner: Any = inner
        self._stages = stages
        self._stream: Any = None  # of TLS with the origin
        self._http2: HTTP2Stream | AsyncHTTP2Stream | None = None  # the same, where that is spoken
        self._has_leftovers: Callable[[], bool] | None = None
        self._is_begun = False
        self.stage = Stage.CONNECTING
        self.hearing = Hearing()
        for name in _AS_THEY_ARE:
            setattr(self, name, getattr(inner, name))

    def is_available(self) -> bool:
        """Whether it could take a request now."""
        return not self._is_ending() and bool(self._inner.is_available())

    def has_expired(self) -> bool:
        """Also an idle connection of HTTP/2 that takes no more, or where something came: most likely its end.

        The engine would not look.
        """
        if self._inner.has_expired():
            return True
        if self._http2 is None or not self._inner.is_idle():
            return False
        return self._is_ending() or bool(self._http2.get_extra_info("is_readable"))

    def _is_ending(self) -> bool:
        """Whether its server said that it takes no more streams, or refused one."""
        return self._http2 is not None and (self._http2.frames.has_gone_away or bool(self._http2.frames.refused))

    def _begin(self, request: httpcore2.Request, note: Callable[[str, dict[str, Any]], object]) -> None:
        if self._is_ending():
            raise httpcore2.ConnectionNotAvailable
        sending = request.extensions[_SENDING]
        sending.connection, sending.stream = self, None
        is_noted = self._http2 is not None or self.stage is not Stage.REUSED
        request.extensions["trace"] = note if is_noted else None  # it may have been on another connection

    def _is_spent(self, is_whole: bool) -> bool:
        """Whether it is to be closed after a request: the engine would keep what never came to TLS, or behind a proxy
        never will; and in HTTP/2 the rest of an answer would still come, and count for those after it.
        """
        if not is_whole and (self._http2 is not None or self.stage in (Stage.CONNECTING, Stage.HANDSHAKE)):
            return True
        return self._has_leftovers is not None and self._has_leftovers()

    def _answered(self) -> None:
        self.stage = Stage.REUSED
        if self._http2 is None:
            self._has_leftovers = leftovers_of(self._inner, self._stream)

    def _is_refused(self, request: httpcore2.Request, error: BaseException) -> bool:
        """Whether the server has not begun with a request (RFC 9113, 8.7), which goes to another connection then."""
        if self._http2 is None:
            return False
        frames, sending = self._http2.frames, request.extensions[_SENDING]
        if self._is_ending():
            self.stage = Stage.REUSED  # it spoke HTTP with us: its end is no refusal of a certificate
        if sending.stream not in frames.refused or not isinstance(error, _HTTP_ERRORS):
            return False
        # A server may end its connections after a few requests: who comes behind others gets nearer every time.
        sending.refusals += not frames.is_behind_others(sending.stream)
        return bool(sending.refusals <= _MOST_REFUSALS)

    def _note(self, event: str, info: dict[str, Any]) -> None:
        if event == _OPENS_STREAM:
            self._open(info["request"], info["stream_id"])
            return
        stage = self._stages.get(event)
        if stage is None:
            return
        if stage is Stage.CONNECTING:
            self._connect_once()
        self.stage = stage
        if stage is Stage.HANDSHAKE:
            self.hearing.request = None  # what a proxy asked for is not the origin's
        elif stage is Stage.FRESH:
            self._stream = info["return_value"]
            if isinstance(self._stream, HTTP2Stream | AsyncHTTP2Stream):
                self._http2 = self._stream

    def _connect_once(self) -> None:
        """Not a second time: who was given a connection that failed would make one that the pool has forgotten."""
        if self._is_begun:
            raise httpcore2.ConnectionNotAvailable
        self._is_begun = True

    def _open(self, request: httpcore2.Request, stream: int) -> None:
        """Just before the engine opens a stream."""
        if self._http2 is not None:
            self._http2.frames.open(stream)
            request.extensions[_SENDING].stream = stream

    async def _note_async(self, event: str, info: dict[str, Any]) -> None:
        self._note(event, info)


class Connection(_Known, httpcore2.ConnectionInterface):
    """For threads."""

    def __init__(self, inner: httpcore2.ConnectionInterface, stages: dict[str, Stage]) -> None:
        super().__init__(inner, stages)
        self._turn = threading.Lock()

    def handle_request(self, request: httpcore2.Request) -> httpcore2.Response:
        """Sends the request; raises what the engine raises."""
        if not self._turn.acquire(blocking=False):
            raise httpcore2.ConnectionNotAvailable
        try:
            response = self._sent(request)
        except BaseException as error:
            is_refused = self._is_refused(request, error)
            self.end_turn(is_whole=False)
            if is_refused:
                raise httpcore2.ConnectionNotAvailable from error
            raise
        response.stream = _Turn(response.stream, self)
        return response

    def _sent(self, request: httpcore2.Request) -> httpcore2.Response:
        self._begin(request, self._note)
        if self.stage is Stage.REUSED:
            return self._inner.handle_request(request)  # type: ignore[no-any-return]
        with self.hearing.listening():
            response: httpcore2.Response = self._inner.handle_request(request)
        self._answered()
        return response

    def end_turn(self, *, is_whole: bool) -> None:
        """The answer was read to its end, or not."""
        try:
            if self._is_spent(is_whole):
                self._inner.close()
        finally:
            self._turn.release()

    def is_available(self) -> bool:
        """Whether it could take a request now."""
        return not self._turn.locked() and super().is_available()

    def can_multiplex(self) -> bool:
        """It takes one request at a time."""
        return False

    def close(self) -> None:
        """Closes it."""
        self._inner.close()


class _Turn:
    """A body whose end ends the turn."""

    def __init__(self, stream: Any, connection: Connection) -> None:
        self._stream = stream
        self._connection: Connection | None = connection
        self._is_whole = False

    def __iter__(self) -> Iterator[bytes]:
        yield from self._stream
        self._is_whole = True

    def close(self) -> None:
        connection, self._connection = self._connection, None
        try:
            self._stream.close()
        finally:
            if connection is not None:
                connection.end_turn(is_whole=self._is_whole)


class AsyncConnection(_Known, httpcore2.AsyncConnectionInterface):
    """For tasks."""

    def __init__(self, inner: httpcore2.AsyncConnectionInterface, stages: dict[str, Stage]) -> None:
        super().__init__(inner, stages)
        self._is_taken = False

    async def handle_async_request(self, request: httpcore2.Request) -> httpcore2.Response:
        """As `Connection.handle_request`."""
        if self._is_taken:
            raise httpcore2.ConnectionNotAvailable
        self._is_taken = True
        try:
            response = await self._sent(request)
        except BaseException as error:
            is_refused = self._is_refused(request, error)
            await self.end_turn(is_whole=False)
            if is_refused:
                raise httpcore2.ConnectionNotAvailable from error
            raise
        response.stream = _AsyncTurn(response.stream, self)
        return response

    async def _sent(self, request: httpcore2.Request) -> httpcore2.Response:
        self._begin(request, self._note_async)
        if self.stage is Stage.REUSED:
            return await self._inner.handle_async_request(request)  # type: ignore[no-any-return]
        with self.hearing.listening():
            response: httpcore2.Response = await self._inner.handle_async_request(request)
        self._answered()
        return response

    async def end_turn(self, *, is_whole: bool) -> None:
        """As `Connection.end_turn`."""
        try:
            if self._is_spent(is_whole):
                with anyio.CancelScope(shield=True):
                    await self._inner.aclose()
        finally:
            self._is_taken = False

    def is_available(self) -> bool:
        """Whether it could take a request now."""
        return not self._is_taken and super().is_available()

    def can_multiplex(self) -> bool:
        """It takes one request at a time."""
        return False

    async def aclose(self) -> None:
        """Closes it."""
        await self._inner.aclose()


class _AsyncTurn:
    """As `_Turn`."""

    def __init__(self, stream: Any, connection: AsyncConnection) -> None:
        self._stream = stream
        self._connection: AsyncConnection | None = connection
        self._is_whole = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for part in self._stream:
            yield part
        self._is_whole = True

    async def aclose(self) -> None:
        connection, self._connection = self._connection, None
        try:
            await self._stream.aclose()
        finally:
            if connection is not None:
                await connection.end_turn(is_whole=self._is_whole)


class ConnectionPool(httpcore2.ConnectionPool):
    """The engine's, of connections of ours."""

    def __init__(self, *, proxy: httpcore2.Proxy | None, **options: Any) -> None:
        super().__init__(proxy=proxy, network_backend=Network(), **options)
        self._stages = STAGES if proxy is None else STAGES_BEHIND_PROXY

    def create_connection(self, origin: httpcore2.Origin) -> httpcore2.ConnectionInterface:
        """A connection to be made."""
        return Connection(super().create_connection(origin), self._stages)


class AsyncConnectionPool(httpcore2.AsyncConnectionPool):
    """As `ConnectionPool`, for tasks."""

    def __init__(self, *, proxy: httpcore2.Proxy | None, **options: Any) -> None:
        super().__init__(proxy=proxy, network_backend=AsyncNetwork(), **options)
        self._stages = STAGES if proxy is None else STAGES_BEHIND_PROXY

    def create_connection(self, origin: httpcore2.Origin) -> httpcore2.AsyncConnectionInterface:
        """A connection to be made."""
        return AsyncConnection(super().create_connection(origin), self._stages)
