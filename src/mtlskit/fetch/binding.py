"""A binding: one client certificate, the origins it may go to, and `fetch`. Blocking and async, one set of decisions.

The decisions are in `exchange` and `preflight`; `Binding` and `AsyncBinding` only carry steps to connections.
"""

from __future__ import annotations

import logging
import ssl
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, Literal, TypeAlias, TypeVar, assert_never

from mtlskit.core.certificates import SigningChain
from mtlskit.fetch import preflight
from mtlskit.fetch.exchange import Exchange, Route, Step
from mtlskit.fetch.lanes import AsyncLane, Lane
from mtlskit.fetch.messages import DEFAULT_TIMEOUT, Request, Response, redirect_of, timeout_of
from mtlskit.fetch.targets import BoundOrigins, Target

_log = logging.getLogger("mtlskit.fetch")

HeadersLike: TypeAlias = Mapping[str, str] | Iterable[tuple[str, str]]
RedirectMode: TypeAlias = Literal["follow", "manual", "error"]
_Lane = TypeVar("_Lane", Lane, AsyncLane)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """What a binding stands for: a name, the chain to authenticate with, and its origins (none: each call's own)."""

    name: str
    chain: SigningChain
    origins: BoundOrigins


class _Binding(Generic[_Lane]):
    """What the two kinds of binding share: everything but the sending."""

    def __init__(self, bound: Bound, lane: _Lane, plain: _Lane, clock: Callable[[], datetime]) -> None:
        self._bound = bound
        self._certified: _Lane = lane
        self._plain: _Lane = plain
        self._clock = clock

    @property
    def name(self) -> str:
        """The name it is bound to."""
        return self._bound.name

    def ssl_context(self) -> ssl.SSLContext:
        """The context with this binding's certificate, for other libraries that take one. Never change it."""
        return self._certified.context()

    def _start(self, url: str, request: Request, redirect: str) -> Exchange:
        exchange = Exchange.start(Target.parse(url), request, bound=self._bound.origins, redirect=redirect_of(redirect))
        preflight.check_usable(self._bound.chain, self._clock())
        return exchange

    def _lane(self, step: Step) -> _Lane:
        match step.route:
            case Route.CERTIFICATE:
                return self._certified
            case Route.PLAIN:
                _log.info("following a redirect to %s without the certificate of %s", step.target.origin, self.name)
                return self._plain
            case _:
                assert_never(step.route)

    def __repr__(self) -> str:
        subject = preflight.subject_of(self._bound.chain.certificate)
        return f"<{type(self).__name__} {self.name} {subject!r} origins=[{self._bound.origins}]>"


class Binding(_Binding[Lane]):
    """A client certificate that calls go out with. From `Environment`; may be shared between threads."""

    def fetch(
        self,
        url: str,
        *,
        method: str = "GET",
        headers: HeadersLike | None = None,
        body: bytes | str | None = None,
        json: Any = None,
        timeout: float | None = DEFAULT_TIMEOUT,
        redirect: RedirectMode = "follow",
    ) -> Response:
        """Sends a request to an `https` URL, offering this binding's certificate to its origins only.

        `body` is bytes, or text sent as UTF-8; `json` a value to send as JSON. `timeout` is in seconds for each of
        connecting, sending and waiting for more; None waits for ever. A redirect to an origin that is not this
        binding's is followed without the certificate and without Authorization and Cookie. Nothing is sent twice.

        Raises OriginNotAllowed, ConfigurationError (what is asked for), CertificateError (our certificate, before a
        byte is sent), HandshakeError (the server's), ClientCertificateRefused, FetchError.
        """
        seconds = timeout_of(timeout)
        exchange = self._start(url, Request.of(method, headers, body, json), redirect)
        step = exchange.first
        while True:
            following = exchange.after(step, self._lane(step).send(step, seconds))
            if isinstance(following, Response):
                return following
            step = following


class AsyncBinding(_Binding[AsyncLane]):
    """As `Binding`, for tasks. From `AsyncEnvironment`."""

    async def fetch(
        self,
        url: str,
        *,
        method: str = "GET",
        headers: HeadersLike | None = None,
        body: bytes | str | None = None,
        json: Any = None,
        timeout: float | None = DEFAULT_TIMEOUT,  # noqa: ASYNC109  per operation, as in `Binding.fetch`
        redirect: RedirectMode = "follow",
    ) -> Response:
        """As `Binding.fetch`."""
        seconds = timeout_of(timeout)
        exchange = self._start(url, Request.of(method, headers, body, json), redirect)
        step = exchange.first
        while True:
            following = exchange.after(step, await self._lane(step).send(step, seconds))
            if isinstance(following, Response):
                return following
            step = following
