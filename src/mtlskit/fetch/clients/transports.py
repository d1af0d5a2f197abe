"""What `httpx` and `httpx2` have in common: a transport before one for each content of certificate and a plain one.

Knows neither: the modules of these names give it the library that they import.
"""

from __future__ import annotations

import operator
import weakref
from collections.abc import Callable, Mapping
from typing import Any

from mtlskit.fetch.clients.routes import AnyBinding, Routes
from mtlskit.fetch.contexts import SealedContext
from mtlskit.locks import ForkSafeLock


class _Lane:
    """A transport with one context, and what is under way on it."""

    __slots__ = ("answers", "context", "is_retired", "requests", "transport")

    def __init__(self, context: SealedContext, transport: Any) -> None:
        self.context = context
        self.transport = transport
        self.is_retired = False
        self.requests: set[Any] = set()
        self.answers: set[weakref.ref[Any]] = set()  # a WeakSet costs ten times as much

    def enter(self, request: Any) -> bool:
        """Whether the request is under way from now on: not if the lane was retired meanwhile, and is perhaps closed.

        Without a lock: either we see here that it is retired, or who retired it sees the request.
        """
        self.requests.add(request)
        if not self.is_retired:
            return True
        self.requests.discard(request)
        return False

    def leave(self, request: Any, answer: Any) -> None:
        """The request has its answer, whose body is perhaps still to be read, or none."""
        if answer is not None:
            self.answers.add(weakref.ref(answer, self.answers.discard))
        self.requests.discard(request)

    def is_idle(self) -> bool:
        answers = map(operator.call, list(self.answers))
        return not self.requests and all(answer is None or answer.is_closed for answer in answers)


class Lanes:
    """Chooses the transport of a request. One whose certificate was replaced is let go when its last answer is read."""

    def __init__(self, routes: Routes, make: Callable[[SealedContext], Any]) -> None:
        self._routes = routes
        self._make = make
        self._lock = ForkSafeLock()
        self._plain = _Lane(routes.plain, make(routes.plain))
        self._certified: _Lane | None = None
        self._retired: list[_Lane] = []

    def enter(self, request: Any) -> _Lane:
        """The lane for the request, which is under way on it from now on; raises as `Routes.context`."""
        url = request.url
        while True:
            context = self._routes.context(url.scheme, url.raw_host.decode("ascii"), url.port)
            lane = self._plain if context is self._plain.context else self._certified
            if lane is None or lane.context is not context:
                lane = self._changed_to(context)
            if lane.enter(request):
                return lane

    def idle(self) -> list[Any]:
        """Transports that nothing will go over any more, to be closed."""
        if not self._retired:
            return []
        with self._lock:
            found = [lane for lane in self._retired if lane.is_idle()]
            self._retired = [lane for lane in self._retired if lane not in found]
        return [lane.transport for lane in found]

    def all(self) -> list[Any]:
        """Every transport, to be closed."""
        with self._lock:
            lanes = [self._plain, *self._retired, *([self._certified] if self._certified else [])]
            self._retired, self._certified = [], None
        return [lane.transport for lane in lanes]

    def _changed_to(self, context: SealedContext) -> _Lane:
        with self._lock:
            found = self._certified
            if found is None or found.context is not context:
                if found is not None:
                    found.is_retired = True
                    self._retired.append(found)
                found = self._certified = _Lane(context, self._make(context))
        return found


class Transport:
    """For blocking clients."""

    def __init__(self, lanes: Lanes) -> None:
        self._lanes = lanes

    def handle_request(self, request: Any) -> Any:
        """Sends the request over the connections for its origin."""
        for transport in self._lanes.idle():
            transport.close()
        lane, answer = self._lanes.enter(request), None
        try:
            answer = lane.transport.handle_request(request)
        finally:
            lane.leave(request, answer)
        return answer

    def close(self) -> None:
        """Closes all connections."""
        for transport in self._lanes.all():
            transport.close()


class AsyncTransport:
    """For clients of tasks."""

    def __init__(self, lanes: Lanes) -> None:
        self._lanes = lanes

    async def handle_async_request(self, request: Any) -> Any:
        """Sends the request over the connections for its origin."""
        for transport in self._lanes.idle():
            await transport.aclose()
        lane, answer = self._lanes.enter(request), None
        try:
            answer = await lane.transport.handle_async_request(request)
        finally:
            lane.leave(request, answer)
        return answer

    async def aclose(self) -> None:
        """Closes all connections."""
        for transport in self._lanes.all():
            await transport.aclose()


def blocking(library: Any, binding: AnyBinding, proxy: str | None, options: Mapping[str, Any]) -> Any:
    """The transport of `httpx` or `httpx2` for blocking clients; raises as `Routes`."""
    kind = type("BindingTransport", (Transport, library.BaseTransport), {})
    return kind(_lanes(library, library.HTTPTransport, binding, proxy, options))


def of_tasks(library: Any, binding: AnyBinding, proxy: str | None, options: Mapping[str, Any]) -> Any:
    """As `blocking`, for clients of tasks."""
    kind = type("AsyncBindingTransport", (AsyncTransport, library.AsyncBaseTransport), {})
    return kind(_lanes(library, library.AsyncHTTPTransport, binding, proxy, options))


def _lanes(library: Any, kind: Any, binding: AnyBinding, proxy: str | None, options: Mapping[str, Any]) -> Lanes:
    routes, through = Routes(binding), None
    if proxy is not None:
        is_tls = library.URL(proxy).scheme == "https"
        through = library.Proxy(proxy, ssl_context=routes.proxy if is_tls else None)
    settings = {"trust_env": False, "proxy": through, "http1": True, "http2": False}
    return Lanes(routes, lambda context: kind(verify=context, **settings, **options))
