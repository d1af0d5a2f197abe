"""The HTTP engine: httpx2's transports, blocking and async. The only module that knows httpx2, and the thinnest.

The transports and not the clients, because a client keeps cookies between calls and reads the environment. A pool
is made from one context that is never changed for another; `cert=` is not used.
"""

from __future__ import annotations

import ssl
from typing import Any

import h11  # the parser of the engine
import httpx2
from cryptography import x509

from mtlskit.errors import MTLSError
from mtlskit.fetch.exchange import Step
from mtlskit.fetch.failures import Circumstances, Failure, Stage, causes, explain
from mtlskit.fetch.messages import Answer, Headers
from mtlskit.fetch.targets import Target

_OWN_HEADERS = {"Accept": "*/*", "Accept-Encoding": "gzip, deflate", "User-Agent": "mtlskit"}
_STAGES = {
    "connection.connect_tcp.started": Stage.CONNECTING,
    "connection.start_tls.started": Stage.HANDSHAKE,
    "connection.start_tls.complete": Stage.FRESH,
    "http11.receive_response_headers.complete": Stage.ANSWERED,
}
# What a transport raises; the first that fits counts.
_FAILURES: tuple[tuple[type[Exception], Failure], ...] = (
    (httpx2.TimeoutException, Failure.TIMEOUT),
    (httpx2.LocalProtocolError, Failure.UNSENDABLE),
    (httpx2.RemoteProtocolError, Failure.GARBLED),
    (httpx2.DecodingError, Failure.GARBLED),
    (httpx2.TransportError, Failure.NETWORK),
    (OSError, Failure.NETWORK),  # the async engine lets TLS errors of reading through as they are
)
_KNOWN = (httpx2.TransportError, httpx2.DecodingError, OSError)


class _Progress:
    """Notes how far the connection of one request is, from the engine's trace."""

    __slots__ = ("stage",)

    def __init__(self) -> None:
        self.stage = Stage.REUSED

    def note(self, event: str, _info: dict[str, Any]) -> None:
        stage = _STAGES.get(event)
        if stage is not None:
            self.stage = stage

    async def note_async(self, event: str, _info: dict[str, Any]) -> None:
        stage = _STAGES.get(event)
        if stage is not None:
            self.stage = stage


class Pool:
    """Connections of one context, for threads. `certificate` is what they carry, for errors only."""

    def __init__(self, context: ssl.SSLContext, certificate: x509.Certificate | None) -> None:
        self._transport = httpx2.HTTPTransport(verify=context, trust_env=False)
        self._certificate = certificate

    def send(self, step: Step, timeout: float | None) -> Answer:
        """Sends one request, once, and reads its answer; raises MTLSError."""
        progress = _Progress()
        request = _request(step, timeout, progress.note)
        try:
            response = self._transport.handle_request(request)
            try:
                return _answer(response, response.read())
            finally:
                response.close()
        except _KNOWN as error:
            raise _explained(error, step.target, progress, self._certificate, timeout) from error

    def close(self) -> None:
        """Closes its connections."""
        self._transport.close()


class AsyncPool:
    """Connections of one context, for the tasks of one event loop."""

    def __init__(self, context: ssl.SSLContext, certificate: x509.Certificate | None) -> None:
        self._transport = httpx2.AsyncHTTPTransport(verify=context, trust_env=False)
        self._certificate = certificate

    async def send(self, step: Step, timeout: float | None) -> Answer:  # noqa: ASYNC109  it is the engine's, per operation
        """As `Pool.send`."""
        progress = _Progress()
        request = _request(step, timeout, progress.note_async)
        try:
            response = await self._transport.handle_async_request(request)
            try:
                return _answer(response, await response.aread())
            finally:
                await response.aclose()
        except _KNOWN as error:
            raise _explained(error, step.target, progress, self._certificate, timeout) from error

    async def close(self) -> None:
        """Closes its connections."""
        await self._transport.aclose()


def _request(step: Step, timeout: float | None, trace: Any) -> httpx2.Request:
    given = {name.lower() for name, _ in step.request.headers}
    own = [(name, value) for name, value in _OWN_HEADERS.items() if name.lower() not in given]
    limits = dict.fromkeys(("connect", "read", "write", "pool"), timeout)
    return httpx2.Request(
        step.request.method,
        str(step.target),
        headers=[(name, value.encode("latin-1")) for name, value in (*own, *step.request.headers)],  # type: ignore[arg-type]
        content=step.request.body or None,
        extensions={"timeout": limits, "trace": trace},
    )


def _answer(response: httpx2.Response, content: bytes) -> Answer:
    return Answer(response.status_code, Headers(response.headers.multi_items()), content)


def _explained(
    error: Exception, target: Target, progress: _Progress, certificate: x509.Certificate | None, timeout: float | None
) -> MTLSError:
    return explain(
        error,
        Circumstances(
            target=target, stage=progress.stage, failure=_failure(error), certificate=certificate, timeout=timeout
        ),
    )


def _failure(error: Exception) -> Failure:
    if isinstance(error, httpx2.RemoteProtocolError) and _is_bare_end(error):
        return Failure.DISCONNECTED
    return next(failure for kind, failure in _FAILURES if isinstance(error, kind))


def _is_bare_end(error: httpx2.RemoteProtocolError) -> bool:
    """Whether the connection ended where an answer should begin: the engine's own finding, not its parser's."""
    return not any(isinstance(each, h11.ProtocolError) for each in causes(error))
