"""Pools of connections, blocking and async: what is sent over them, and what comes back or fails."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from typing import Any, Final

import h11  # the parser of the engine
import httpcore2
import httpx2
from cryptography import x509

from mtlskit.errors import FetchError
from mtlskit.fetch.bodies import StreamedBody
from mtlskit.fetch.engine.connections import AsyncConnectionPool, ConnectionPool, Sending
from mtlskit.fetch.engine.decoding import decoded, decoded_async
from mtlskit.fetch.engine.requests import request_of
from mtlskit.fetch.exchange import Step
from mtlskit.fetch.failures import Circumstances, Failure, Stage, explain
from mtlskit.fetch.messages import Headers
from mtlskit.fetch.proxies import Proxy
from mtlskit.fetch.responses import Answer

HTTP2: Final = find_spec("h2") is not None
ALPN: Final = ("h2", "http/1.1") if HTTP2 else ("http/1.1",)
_LIMITS: Final = {"max_connections": 1000, "max_keepalive_connections": 100, "keepalive_expiry": 5.0}  # seconds
_MOST_DRAINED: Final = 64 * 1024  # octets
# What the engine raises; the first that fits counts.
_FAILURES: tuple[tuple[type[Exception], Failure], ...] = (
    (httpcore2.TimeoutException, Failure.TIMEOUT),
    (httpcore2.LocalProtocolError, Failure.UNSENDABLE),
    (httpcore2.RemoteProtocolError, Failure.GARBLED),
    (httpx2.DecodingError, Failure.GARBLED),
    (httpcore2.ProxyError, Failure.PROXY),
    (httpcore2.NetworkError, Failure.NETWORK),
    (OSError, Failure.NETWORK),  # the async engine lets TLS errors of reading through as they are
)
_KNOWN: Final = tuple(kind for kind, _ in _FAILURES)


@dataclass(frozen=True, kw_only=True)
class PoolSettings:
    """What the connections of a pool are made with; the certificate that they carry, for errors only."""

    context: ssl.SSLContext
    certificate: x509.Certificate | None
    sees_requests: bool
    proxy: Proxy | None
    proxy_context: ssl.SSLContext | None

    @cached_property
    def options(self) -> dict[str, Any]:
        """As the engine's pools take them."""
        return {**_LIMITS, "ssl_context": self.context, "http2": HTTP2, "proxy": self._proxy()}

    def _proxy(self) -> httpcore2.Proxy | None:
        if self.proxy is None:
            return None
        return httpcore2.Proxy(self.proxy.url, auth=self.proxy.credentials, ssl_context=self.proxy_context)


class _Passage:
    """One request on its way, and what its failures are told as."""

    def __init__(self, settings: PoolSettings, step: Step, timeout: float | None) -> None:
        self._settings = settings
        self._step = step
        self._timeout = timeout
        self._sending = Sending()
        self._is_answered = False
        self.request = request_of(step, timeout, self._sending.extensions)

    def answer(self, response: httpcore2.Response) -> Answer:
        """What came back before the body."""
        self._is_answered = True
        headers = Headers((name.decode("ascii"), value.decode("latin-1")) for name, value in response.headers)
        return Answer(response.status, headers, self._is_asked())

    def _is_asked(self) -> bool | None:
        connection = self._sending.connection
        if connection is None or not self._settings.sees_requests:
            return None
        return connection.hearing.request is not None

    def explained(self, error: Exception) -> Exception:
        """The error of ours; or `error`, if it is one of the caller's own."""
        body, connection = self._step.request.body, self._sending.connection
        if isinstance(body, StreamedBody) and error is body.failure:
            return error
        circumstances = Circumstances(
            target=self._step.target,
            stage=self._stage(),
            failure=_failure(error),
            certificate=self._settings.certificate,
            request=None if connection is None else connection.hearing.request,
            timeout=self._timeout,
        )
        return explain(error, circumstances)

    def _stage(self) -> Stage:
        if self._is_answered:
            return Stage.ANSWERED
        connection = self._sending.connection
        return Stage.CONNECTING if connection is None else connection.stage


class Opened:
    """An answer whose body is still to come. To be closed."""

    def __init__(self, passage: _Passage, response: httpcore2.Response) -> None:
        self.answer = passage.answer(response)
        self._passage = passage
        self._response = response
        self._is_begun = False

    def __iter__(self) -> Iterator[bytes]:
        """The body, decoded; raises MTLSError."""
        _begin(self)
        try:
            yield from decoded(self.answer.headers, self._response.stream)
        except _KNOWN as error:
            raise self._passage.explained(error) from error

    def drain(self) -> None:
        """Reads it for its connection's sake, which can serve again then; not more than a little."""
        left = _MOST_DRAINED
        for part in self:
            left -= len(part)
            if left < 0:
                return

    def close(self) -> None:
        """Gives the connection back, or closes it where the body was not read to its end."""
        self._response.close()


class AsyncOpened:
    """As `Opened`, for tasks."""

    def __init__(self, passage: _Passage, response: httpcore2.Response) -> None:
        self.answer = passage.answer(response)
        self._passage = passage
        self._response = response
        self._is_begun = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """As `Opened.__iter__`."""
        _begin(self)
        try:
            async for part in decoded_async(self.answer.headers, self._response.stream):
                yield part
        except _KNOWN as error:
            raise self._passage.explained(error) from error

    async def drain(self) -> None:
        """As `Opened.drain`."""
        left = _MOST_DRAINED
        async for part in self:
            left -= len(part)
            if left < 0:
                return

    async def close(self) -> None:
        """As `Opened.close`."""
        await self._response.aclose()


class Pool:
    """Connections of one context, for threads."""

    def __init__(self, settings: PoolSettings) -> None:
        self._settings = settings
        self._pool = ConnectionPool(**settings.options)

    def open(self, step: Step, timeout: float | None) -> Opened:
        """Sends one request, once, and gives its answer when that begins; raises MTLSError."""
        passage = _Passage(self._settings, step, timeout)
        try:
            response = self._pool.handle_request(passage.request)
        except _KNOWN as error:
            raise passage.explained(error) from error
        return Opened(passage, response)

    def close(self) -> None:
        """Closes its connections."""
        self._pool.close()


class AsyncPool:
    """Connections of one context, for the tasks of one event loop."""

    def __init__(self, settings: PoolSettings) -> None:
        self._settings = settings
        self._pool = AsyncConnectionPool(**settings.options)

    async def open(self, step: Step, timeout: float | None) -> AsyncOpened:  # noqa: ASYNC109  the engine's, per operation
        """As `Pool.open`."""
        passage = _Passage(self._settings, step, timeout)
        try:
            response = await self._pool.handle_async_request(passage.request)
        except _KNOWN as error:
            raise passage.explained(error) from error
        return AsyncOpened(passage, response)

    async def close(self) -> None:
        """Closes its connections."""
        await self._pool.aclose()


def _begin(opened: Opened | AsyncOpened) -> None:
    if opened._is_begun:
        raise FetchError("expected the body of a response to be read once, got another reader")
    opened._is_begun = True


def _failure(error: Exception) -> Failure:
    if isinstance(error, httpcore2.RemoteProtocolError) and _is_own_finding(error):
        return Failure.DISCONNECTED
    if isinstance(error, httpcore2.LocalProtocolError) and not isinstance(error.args[0], h11.ProtocolError):
        return Failure.GARBLED  # of HTTP/2, where the engine takes wrong frames of the server's for the caller's
    return next(failure for kind, failure in _FAILURES if isinstance(error, kind))


def _is_own_finding(error: httpcore2.RemoteProtocolError) -> bool:
    """The engine's own finding, and not its parsers', is that the connection ended where an answer should begin."""
    return all(isinstance(argument, str) for argument in error.args)
