"""Pools of connections, blocking and async: what is sent over them, and what comes back or fails."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any, Final, NoReturn

import h11  # the parser of the engine
import httpcore2
from cryptography import x509

from mtlskit.errors import FetchError
from mtlskit.fetch.bodies import StreamedBody
from mtlskit.fetch.engine.connections import AsyncConnectionPool, ConnectionPool
from mtlskit.fetch.engine.decoding import DecodingError, decoded, decoded_async
from mtlskit.fetch.engine.heads import headers_of, status_of
from mtlskit.fetch.engine.http2 import HTTP2, HTTP2_ERRORS
from mtlskit.fetch.engine.known import Sending
from mtlskit.fetch.engine.requests import request_of
from mtlskit.fetch.exchange import Step
from mtlskit.fetch.failures import Circumstances, Failure, Stage, causes, explain
from mtlskit.fetch.proxies import Proxy
from mtlskit.fetch.responses import Answer

ALPN: Final = ("h2", "http/1.1") if HTTP2 else ("http/1.1",)
_LIMITS: Final = {"max_connections": 1000, "max_keepalive_connections": 100, "keepalive_expiry": 5.0}  # seconds
_MOST_DRAINED: Final = 64 * 1024  # octets
# What the engine raises; the first that fits counts.
_FAILURES: tuple[tuple[type[Exception], Failure], ...] = (
    (httpcore2.TimeoutException, Failure.TIMEOUT),
    (httpcore2.LocalProtocolError, Failure.UNSENDABLE),
    (httpcore2.RemoteProtocolError, Failure.GARBLED),
    (DecodingError, Failure.GARBLED),
    *((kind, Failure.GARBLED) for kind in HTTP2_ERRORS),
    (httpcore2.ProxyError, Failure.PROXY),
    (httpcore2.NetworkError, Failure.NETWORK),
    (OSError, Failure.NETWORK),  # the async engine lets TLS errors of reading through as they are
    (ValueError, Failure.GARBLED),  # and in HTTP/2 what a status or a header is not
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

    @property
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
        try:
            return Answer(status_of(response), headers_of(response), self._is_asked())
        except ValueError as error:
            raise self.explained(error) from None

    def _is_asked(self) -> bool | None:
        connection = self._sending.connection
        if connection is None or not self._settings.sees_requests:
            return None
        return connection.hearing.request is not None

    def fail(self, error: Exception) -> NoReturn:
        """Raises the error of ours; or `error`, if it is one of the caller's own."""
        found = self.explained(error)
        if found is error:
            raise error
        raise found from error

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
            sees_requests=self._settings.sees_requests,
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
        self.is_closed = False

    def __iter__(self) -> Iterator[bytes]:
        """The body, decoded; raises MTLSError."""
        _begin(self)
        try:
            for part in decoded(self.answer.headers, self._response.stream):
                yield part
                _check_open(self)
        except _KNOWN as error:
            self._passage.fail(error)

    def drain(self) -> None:
        """Reads it for its connection's sake, which can serve again then; not more than a little."""
        left = _MOST_DRAINED
        for part in self:
            left -= len(part)
            if left < 0:
                return

    def close(self) -> None:
        """Gives the connection back, or closes it where the body was not read to its end."""
        self.is_closed = True
        self._response.close()


class AsyncOpened:
    """As `Opened`, for tasks."""

    def __init__(self, passage: _Passage, response: httpcore2.Response) -> None:
        self.answer = passage.answer(response)
        self._passage = passage
        self._response = response
        self._is_begun = False
        self.is_closed = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """As `Opened.__iter__`."""
        _begin(self)
        try:
            async for part in decoded_async(self.answer.headers, self._response.stream):
                yield part
                _check_open(self)
        except _KNOWN as error:
            self._passage.fail(error)

    async def drain(self) -> None:
        """As `Opened.drain`."""
        left = _MOST_DRAINED
        async for part in self:
            left -= len(part)
            if left < 0:
                return

    async def close(self) -> None:
        """As `Opened.close`."""
        self.is_closed = True
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
            passage.fail(error)
        try:
            return Opened(passage, response)
        except FetchError:
            response.close()
            raise

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
            passage.fail(error)
        try:
            return AsyncOpened(passage, response)
        except FetchError:
            await response.aclose()
            raise

    async def close(self) -> None:
        """Closes its connections."""
        await self._pool.aclose()


def _check_open(opened: Opened | AsyncOpened) -> None:
    if opened.is_closed:
        raise FetchError("expected a body to be read within the block of its response, got a reader after it")


def _begin(opened: Opened | AsyncOpened) -> None:
    _check_open(opened)
    if opened._is_begun:
        raise FetchError("expected the body of a response to be read once, got another reader")
    opened._is_begun = True


def _failure(error: Exception) -> Failure:
    if isinstance(error, httpcore2.RemoteProtocolError) and _is_own_finding(error):
        return Failure.DISCONNECTED
    if any(isinstance(each, ssl.SSLEOFError) for each in causes(error)):
        return Failure.DISCONNECTED
    if isinstance(error, httpcore2.LocalProtocolError) and not isinstance(error.args[0], h11.ProtocolError):
        return Failure.GARBLED  # of HTTP/2, where the engine takes wrong frames of the server's for the caller's
    return next(failure for kind, failure in _FAILURES if isinstance(error, kind))


def _is_own_finding(error: httpcore2.RemoteProtocolError) -> bool:
    """The engine's own finding, and not its parsers', is that the connection ended where an answer should begin."""
    return all(isinstance(argument, str) for argument in error.args)
