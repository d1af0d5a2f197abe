"""Which request goes where, and with or without the certificate. Pure: no I/O, no clock. Owns I14's decisions.

    exchange = Exchange(...)
    step = exchange.first
    while True:
        answer = <send step.request to step.target by step.route>
        following = exchange.after(step, answer)      # the head of the response, or the next Step

The certificate goes to the binding's origins only: the configured ones, else the origin of the call's URL. Once a
redirect has left them, it is followed without the certificate to its end, also where it comes back.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import assert_never

from mtlskit.errors import ConfigurationError, FetchError, OriginNotAllowed
from mtlskit.fetch.bodies import StreamedBody
from mtlskit.fetch.messages import Redirect, Request
from mtlskit.fetch.responses import Answer, CertificateUse, ResponseHead
from mtlskit.fetch.targets import BoundOrigins, Origin, Target

LONGEST_REDIRECTION = 20  # as in the web's fetch
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_CREDENTIALS = frozenset({"authorization", "proxy-authorization", "cookie"})
_OF_THE_BODY = frozenset(
    {"content-type", "content-encoding", "content-language", "content-location", "content-disposition"}
)


class Route(StrEnum):
    """Over which connections a request goes."""

    CERTIFICATE = "certificate"  # the binding's own, which offer its certificate
    PLAIN = "plain"  # others, which have none


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One request to send."""

    request: Request
    target: Target
    route: Route
    redirects: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """One call of `fetch`: its first request, and what follows from each answer."""

    first: Step
    bound: BoundOrigins
    redirect: Redirect

    @classmethod
    def start(cls, target: Target, request: Request, *, bound: BoundOrigins, redirect: Redirect) -> Exchange:
        """The exchange that begins at `target`; raises OriginNotAllowed if that is not one of `bound`.

        With no `bound` origins, the target's is the only one.
        """
        if bound and target.origin not in bound:
            raise OriginNotAllowed(f"expected an origin of this binding ({bound}), got '{target.origin}'")
        step = Step(request=request, target=target, route=Route.CERTIFICATE)
        return cls(first=step, bound=bound, redirect=redirect)

    def after(self, step: Step, answer: Answer) -> Step | ResponseHead:
        """The head of the response, or the request that the answer asks for next.

        Raises FetchError for a redirect that must not or cannot be followed, OriginNotAllowed for one away from https,
        or from the binding's origins where that is not to be.
        """
        location = answer.headers.get("location")
        if answer.status not in _REDIRECTS or location is None:
            return _head(step, answer)
        match self.redirect:
            case Redirect.FOLLOW | Redirect.BOUND:
                return self._follow(step, answer.status, location)
            case Redirect.MANUAL:
                return _head(step, answer)
            case Redirect.ERROR:
                raise FetchError(f"expected an answer from {step.target}, got a redirect ({answer.status})")
            case _:
                assert_never(self.redirect)

    def _follow(self, step: Step, status: int, location: str) -> Step:
        if step.redirects >= LONGEST_REDIRECTION:
            raise FetchError(f"expected at most {LONGEST_REDIRECTION} redirects, got another at {step.target}")
        target = _joined(step.target, location)
        route = self._route(step.route, target.origin)
        if route is Route.PLAIN and self.redirect is Redirect.BOUND:
            raise OriginNotAllowed(f"expected a redirect to an origin of this binding, got one to '{target.origin}'")
        request = _redirected(step.request, status, crosses=target.origin != step.target.origin)
        if isinstance(request.body, StreamedBody):
            raise FetchError(f"expected a body that can be sent again, which {step.target} asks for, got a stream")
        return Step(
            request=request,
            target=target,
            route=route,
            redirects=step.redirects + 1,
        )

    def _route(self, route: Route, origin: Origin) -> Route:
        is_ours = origin in self.bound if self.bound else origin == self.first.target.origin
        return Route.CERTIFICATE if is_ours and route is Route.CERTIFICATE else Route.PLAIN


def _joined(target: Target, location: str) -> Target:
    try:
        return target.join(location)
    except ConfigurationError as error:
        raise FetchError(f"expected a URL to follow from {target}, {error}") from error


def _redirected(request: Request, status: int, *, crosses: bool) -> Request:
    dropped: frozenset[str] = _CREDENTIALS if crosses else frozenset()
    if _becomes_get(request.method, status):
        request = replace(request, method="GET", body=b"")
        dropped |= _OF_THE_BODY
    return replace(request, headers=tuple(field for field in request.headers if field[0].lower() not in dropped))


def _becomes_get(method: str, status: int) -> bool:
    """RFC 9110, 15.4.2 to 15.4.4, as browsers and the web's fetch have it."""
    if status == 303:
        return method not in ("GET", "HEAD")
    return status in (301, 302) and method == "POST"


def _head(step: Step, answer: Answer) -> ResponseHead:
    return ResponseHead(
        status=answer.status,
        headers=answer.headers,
        url=str(step.target),
        redirected=step.redirects > 0,
        client_certificate=_use(step.route, answer.asked_for_certificate),
    )


def _use(route: Route, is_asked: bool | None) -> CertificateUse:
    if route is Route.PLAIN:
        return CertificateUse.WITHHELD
    if is_asked is None:
        return CertificateUse.UNKNOWN
    return CertificateUse.REQUESTED if is_asked else CertificateUse.NOT_REQUESTED
