"""A binding: one client certificate, the origins it may go to, and `fetch`. Blocking and async, one set of decisions.

The decisions are in `exchange` and `preflight`; `Binding` and `AsyncBinding` only carry steps to connections.
"""

from __future__ import annotations

import logging
import ssl
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeAlias, TypeVar, assert_never

from cryptography import x509

from mtlskit.core.certificates import SigningChain
from mtlskit.errors import ConfigurationError
from mtlskit.fetch import preflight
from mtlskit.fetch.bodies import BodyLike, FormLike, StreamedBody
from mtlskit.fetch.exchange import Exchange, Route, Step
from mtlskit.fetch.lanes import AsyncLane, Lane
from mtlskit.fetch.messages import DEFAULT_TIMEOUT, HeadersLike, Request, redirect_of, timeout_of
from mtlskit.fetch.responses import AsyncStreamedResponse, Response, ResponseHead, StreamedResponse
from mtlskit.fetch.sources import CertificateSource
from mtlskit.fetch.targets import BoundOrigins, Target
from mtlskit.fetch.watch import Watch
from mtlskit.locks import ForkSafeLock

if TYPE_CHECKING:
    from mtlskit.fetch.engine import AsyncOpened, Opened

_log = logging.getLogger("mtlskit.fetch")

RedirectMode: TypeAlias = Literal["follow", "bound", "manual", "error"]
_Lane = TypeVar("_Lane", Lane, AsyncLane)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """What a binding stands for: a name, where its certificate is from, and its origins (none: each call's own)."""

    name: str
    source: CertificateSource
    origins: BoundOrigins


class _Binding(Generic[_Lane]):
    """What the two kinds of binding share: everything but the sending."""

    def __init__(
        self, bound: Bound, make_lane: Callable[[SigningChain], _Lane], plain: _Lane, clock: Callable[[], datetime]
    ) -> None:
        self._bound = bound
        self._make_lane: Callable[[SigningChain], _Lane] = make_lane
        self._certified: _Lane = make_lane(bound.source.current())
        self._plain: _Lane = plain
        self._clock = clock
        self._lock = ForkSafeLock()
        self._watch = Watch(bound.name)

    @property
    def name(self) -> str:
        """The name it is bound to."""
        return self._bound.name

    @property
    def certificate(self) -> x509.Certificate:
        """The client certificate that the next call goes out with. Raises MTLSError where its source has none."""
        return self._chain_of(self._lane_now()).certificate

    @property
    def origins(self) -> BoundOrigins:
        """The origins that it may go to; none: each call's own."""
        return self._bound.origins

    def ssl_context(self, *, alpn: Sequence[str] = ()) -> ssl.SSLContext:
        """A context with this binding's present certificate, for whatever takes an `ssl.SSLContext`.

        Nothing that is done to it changes it. The server is verified, its name too; where the binding has origins, it
        must be the host of one of them. `alpn` says which application protocols are offered. When the certificate is
        renewed or replaced, a context that was given before keeps the one it had.

        Raises CertificateError for a certificate that is not usable now. What connects with it gets OriginNotAllowed
        for another server, and ConfigurationError for one without a name.
        """
        lane = self._lane_now()
        preflight.check_usable(self._chain_of(lane), self._clock())
        return lane.sealed(tuple(alpn), self.origins.admits if self.origins else None)

    def _start(self, url: str, request: Request, redirect: str) -> tuple[Exchange, _Lane]:
        """The exchange, and the lane that all of it goes over where it takes the certificate along."""
        exchange = Exchange.start(Target.parse(url), request, bound=self._bound.origins, redirect=redirect_of(redirect))
        lane = self._lane_now()
        chain, now = self._chain_of(lane), self._clock()
        self._watch.look(chain.certificate, now)
        preflight.check_usable(chain, now)
        return exchange, lane

    def _lane_now(self) -> _Lane:
        """The lane of the source's present certificate; one of another content is retired."""
        chain, lane = self._bound.source.current(), self._certified
        return lane if lane.chain is chain else self._changed_to(chain)

    def _changed_to(self, chain: SigningChain) -> _Lane:
        with self._lock:
            old = self._certified
            if self._chain_of(old).fingerprint() == chain.fingerprint():
                old.chain = chain
                return old
            new = self._certified = self._make_lane(chain)
        old.retire()
        _log.info("%s goes on with the certificate %x", self.name, chain.serial_number)
        return new

    @staticmethod
    def _chain_of(lane: _Lane) -> SigningChain:
        assert lane.chain is not None
        return lane.chain

    def _lane(self, step: Step, certified: _Lane) -> _Lane:
        match step.route:
            case Route.CERTIFICATE:
                return certified
            case Route.PLAIN:
                _log.info("following a redirect to %s without the certificate of %s", step.target.origin, self.name)
                return self._plain
            case _:
                assert_never(step.route)

    def __repr__(self) -> str:
        subject = preflight.subject_of(self._chain_of(self._certified).certificate)
        return f"<{type(self).__name__} {self.name} {subject!r} origins=[{self._bound.origins}]>"


class Binding(_Binding[Lane]):
    """A client certificate that calls go out with. From `Environment`; may be shared between threads."""

    def fetch(
        self,
        url: str,
        *,
        method: str = "GET",
        headers: HeadersLike | None = None,
        body: BodyLike | None = None,
        json: Any = None,
        form: FormLike | None = None,
        timeout: float | None = DEFAULT_TIMEOUT,
        redirect: RedirectMode = "follow",
    ) -> Response:
        """Sends a request to an `https` URL, offering this binding's certificate to its origins only.

        `body` is bytes; text sent as UTF-8; an open binary file or an iterable of bytes, sent as they are read, once;
        `json` a value to send as JSON, `form` names and values to send URL-encoded. `timeout` is in seconds for each of
        connecting, sending and waiting for more; None waits for ever. A redirect to an origin that is not this
        binding's is followed without the certificate and without Authorization and Cookie; with `redirect="bound"` it
        is an error, with "error" every one is, and with "manual" it is the response. Nothing is sent twice.

        Raises OriginNotAllowed, ConfigurationError (what is asked for), CertificateError (our certificate, before a
        byte is sent), HandshakeError (the server's), ClientCertificateRefused, FetchError; and what `body` raises.
        """
        request = Request.of(method, headers, body, json, form)
        with self._opened(url, request, timeout, redirect) as (head, opened):
            return Response.of(head, b"".join(opened))

    @contextmanager
    def stream(
        self,
        url: str,
        *,
        method: str = "GET",
        headers: HeadersLike | None = None,
        body: BodyLike | None = None,
        json: Any = None,
        form: FormLike | None = None,
        timeout: float | None = DEFAULT_TIMEOUT,
        redirect: RedirectMode = "follow",
    ) -> Iterator[StreamedResponse]:
        """As `fetch`, for a body that is read as it comes: `with binding.stream(url) as response: ...`.

        At the end of the block the connection is given back, or closed where the body was not read to its end.
        """
        request = Request.of(method, headers, body, json, form)
        with self._opened(url, request, timeout, redirect) as (head, opened):
            yield StreamedResponse.of(head, opened)

    @contextmanager
    def _opened(
        self, url: str, request: Request, timeout: float | None, redirect: str
    ) -> Iterator[tuple[ResponseHead, Opened]]:
        seconds = timeout_of(timeout)
        exchange, certified = self._start(url, request, redirect)
        if isinstance(request.body, StreamedBody) and request.body.needs_loop:
            raise ConfigurationError("expected a body that can be read without an event loop, got one that needs it")
        step = exchange.first
        while True:
            with self._lane(step, certified).opened(step, seconds) as opened:
                following = exchange.after(step, opened.answer)
                if isinstance(following, ResponseHead):
                    yield following, opened
                    return
                opened.drain()
            step = following


class AsyncBinding(_Binding[AsyncLane]):
    """As `Binding`, for tasks. From `AsyncEnvironment`."""

    async def fetch(
        self,
        url: str,
        *,
        method: str = "GET",
        headers: HeadersLike | None = None,
        body: BodyLike | None = None,
        json: Any = None,
        form: FormLike | None = None,
        timeout: float | None = DEFAULT_TIMEOUT,  # noqa: ASYNC109  per operation, as in `Binding.fetch`
        redirect: RedirectMode = "follow",
    ) -> Response:
        """As `Binding.fetch`. `body` may also be an async iterable; a file is read in the event loop."""
        request = Request.of(method, headers, body, json, form)
        async with self._opened(url, request, timeout, redirect) as (head, opened):
            return Response.of(head, b"".join([part async for part in opened]))

    @asynccontextmanager
    async def stream(
        self,
        url: str,
        *,
        method: str = "GET",
        headers: HeadersLike | None = None,
        body: BodyLike | None = None,
        json: Any = None,
        form: FormLike | None = None,
        timeout: float | None = DEFAULT_TIMEOUT,  # noqa: ASYNC109  per operation, as in `Binding.fetch`
        redirect: RedirectMode = "follow",
    ) -> AsyncIterator[AsyncStreamedResponse]:
        """As `Binding.stream`: `async with binding.stream(url) as response: ...`."""
        request = Request.of(method, headers, body, json, form)
        async with self._opened(url, request, timeout, redirect) as (head, opened):
            yield AsyncStreamedResponse.of(head, opened)

    @asynccontextmanager
    async def _opened(
        self,
        url: str,
        request: Request,
        timeout: float | None,  # noqa: ASYNC109
        redirect: str,
    ) -> AsyncIterator[tuple[ResponseHead, AsyncOpened]]:
        seconds = timeout_of(timeout)
        exchange, certified = self._start(url, request, redirect)
        step = exchange.first
        while True:
            async with self._lane(step, certified).opened(step, seconds) as opened:
                following = exchange.after(step, opened.answer)
                if isinstance(following, ResponseHead):
                    yield following, opened
                    return
                await opened.drain()
            step = following
