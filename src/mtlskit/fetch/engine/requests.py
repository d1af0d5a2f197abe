"""A step of ours as a request of the engine's. Owns the headers that are not the caller's."""

from __future__ import annotations

from typing import Any, Final

import httpcore2

from mtlskit.fetch.bodies import StreamedBody
from mtlskit.fetch.exchange import Step
from mtlskit.fetch.messages import Request
from mtlskit.fetch.targets import Origin

_OWN_HEADERS: Final = {b"Accept": b"*/*", b"Accept-Encoding": b"gzip, deflate", b"User-Agent": b"mtlskit"}
_WITH_LENGTH: Final = frozenset({"POST", "PUT", "PATCH"})  # these say so also where there is no body (RFC 9110, 8.6)


def request_of(step: Step, timeout: float | None, extensions: dict[str, Any]) -> httpcore2.Request:
    """The request, with `timeout` in seconds for each operation."""
    origin, request = step.target.origin, step.request
    extensions["timeout"] = dict.fromkeys(("connect", "read", "write", "pool"), timeout)
    target = step.target.path.encode("ascii")
    url = httpcore2.URL(scheme=b"https", host=origin.host.encode("ascii"), port=origin.port, target=target)
    return httpcore2.Request(
        request.method,
        url,
        headers=_headers(origin, request),
        content=request.body or None,
        extensions=extensions,
    )


def _headers(origin: Origin, request: Request) -> list[tuple[bytes, bytes]]:
    given = [(name.encode("ascii"), value.encode("latin-1")) for name, value in request.headers]
    names = {name.lower() for name, _ in given}
    own = [(name, value) for name, value in _OWN_HEADERS.items() if name.lower() not in names]
    return [(b"Host", origin.netloc.encode("ascii")), *own, *given, *_framing(request)]


def _framing(request: Request) -> list[tuple[bytes, bytes]]:
    body = request.body
    length = body.length if isinstance(body, StreamedBody) else len(body)
    if length is None:
        return [(b"Transfer-Encoding", b"chunked")]
    return [(b"Content-Length", b"%d" % length)] if length or request.method in _WITH_LENGTH else []
