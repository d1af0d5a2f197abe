"""What is known of a connection of the engine's: how far it came, what its server asked for, and when it is spent."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Protocol

import httpcore2

from mtlskit.backends.certificate_requests import Hearing
from mtlskit.fetch.engine.leftovers import leftovers_of
from mtlskit.fetch.engine.networks import AsyncHTTP2Stream, HTTP2Stream
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
SENDING: Final = "mtlskit"
_MOST_REFUSALS: Final = 3
_AS_THEY_ARE: Final = ("can_handle_request", "is_connected", "is_idle", "is_closed", "info")
_HTTP_ERRORS: Final = (httpcore2.RemoteProtocolError, httpcore2.LocalProtocolError)


class Sending:
    """One request on its way, and the connection and the stream of HTTP/2 that it goes over once it has them."""

    __slots__ = ("connection", "refusals", "stream")

    def __init__(self) -> None:
        self.connection: Known | None = None
        self.stream: int | None = None
        self.refusals = 0

    @property
    def extensions(self) -> dict[str, Any]:
        """What the engine's request takes along."""
        return {SENDING: self}


class _Inner(Protocol):
    """What is common to the engine's two kinds of connection."""

    def is_idle(self) -> bool: ...

    def is_available(self) -> bool: ...

    def has_expired(self) -> bool: ...


class Known:
    """What is known of one connection, and the methods of the engine's that stay as they are."""

    def __init__(self, inner: _Inner, stages: dict[str, Stage]) -> None:
        self.inner: Any = inner
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
        return not self._is_ending() and bool(self.inner.is_available())

    def has_expired(self) -> bool:
        """Also an idle connection of HTTP/2 that takes no more, or where something came: most likely its end.

        The engine would not look.
        """
        if self.inner.has_expired():
            return True
        if self._http2 is None or not self.inner.is_idle():
            return False
        return self._is_ending() or bool(self._http2.get_extra_info("is_readable"))

    def _is_ending(self) -> bool:
        """Whether its server said that it takes no more streams, or refused one."""
        return self._http2 is not None and (self._http2.frames.has_gone_away or bool(self._http2.frames.refused))

    def begin(self, request: httpcore2.Request, note: Callable[[str, dict[str, Any]], object]) -> None:
        if self._is_ending():
            raise httpcore2.ConnectionNotAvailable
        sending = request.extensions[SENDING]
        sending.connection, sending.stream = self, None
        is_noted = self._http2 is not None or self.stage is not Stage.REUSED
        request.extensions["trace"] = note if is_noted else None  # it may have been on another connection

    def is_spent(self, is_whole: bool) -> bool:
        """Whether it is to be closed after a request: the engine would keep what never came to TLS, or behind a proxy
        never will; and in HTTP/2 the rest of an answer would still come, and count for those after it.
        """
        if not is_whole and (self._http2 is not None or self.stage in (Stage.CONNECTING, Stage.HANDSHAKE)):
            return True
        return self._has_leftovers is not None and self._has_leftovers()

    def answered(self) -> None:
        self.stage = Stage.REUSED
        if self._http2 is None:
            self._has_leftovers = leftovers_of(self.inner, self._stream)

    def note_refusal(self, request: httpcore2.Request, error: BaseException) -> bool:
        """Notes a failure, and says whether the server had not begun with the request (RFC 9113, 8.7): then it goes to
        another connection.
        """
        if self._http2 is None:
            return False
        frames, sending = self._http2.frames, request.extensions[SENDING]
        if self._is_ending():
            self.stage = Stage.REUSED  # it spoke HTTP with us: its end is no refusal of a certificate
        if sending.stream not in frames.refused or not isinstance(error, _HTTP_ERRORS):
            return False
        # A server may end its connections after a few requests: who comes behind others gets nearer every time.
        sending.refusals += not frames.is_behind_others(sending.stream)
        return bool(sending.refusals <= _MOST_REFUSALS)

    def note(self, event: str, info: dict[str, Any]) -> None:
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
            request.extensions[SENDING].stream = stream

    async def note_async(self, event: str, info: dict[str, Any]) -> None:
        self.note(event, info)
