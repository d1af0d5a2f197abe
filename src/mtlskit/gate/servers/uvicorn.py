"""The gate under uvicorn (extra `uvicorn`): `run(app, gate, ...)`, or `config()` and `Server` to start it yourself."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import functools
import socket
import ssl
from collections.abc import Callable, Iterator
from typing import Any

from mtlskit.errors import ConfigurationError
from mtlskit.gate.asgi import MTLSMiddleware
from mtlskit.gate.connection import SCOPE_KEY, TARGET_KEY, Connection
from mtlskit.gate.gate import Gate

try:
    import uvicorn
    from uvicorn.config import HTTP_PROTOCOLS, WS_PROTOCOLS
    from uvicorn.importer import import_from_string
except ImportError as error:
    raise ConfigurationError("expected the extra 'uvicorn' (pip install 'mtlskit[uvicorn]'), got none") from error

HANDSHAKE_SECONDS = 5.0
"""How long a connection may take to finish its handshake; the silent are dropped then (I12)."""

REQUEST_SECONDS = 10.0
"""How long the head of a request may take, the first one counted from the end of the handshake."""


def run(app: Any, gate: Gate, *, host: str = "127.0.0.1", port: int = 8443, **options: Any) -> None:
    """Serves `app` behind `gate` until it is stopped. `options` are those of `uvicorn.Config`.

    The app need not be wrapped in `MTLSMiddleware`. Raises ConfigurationError if the port cannot be had.
    """
    settings = config(app, gate, host=host, port=port, **options)
    listener = bind(host, port, backlog=settings.backlog)
    try:
        Server(settings).run(sockets=[listener])
    finally:
        listener.close()


def bind(host: str, port: int, *, backlog: int = 2048) -> socket.socket:
    """A listening socket; raises ConfigurationError where uvicorn would end the process."""
    # With the protocol named: asyncio turns Nagle's algorithm off only where it is (40 ms a keep-alive answer).
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(backlog)
    except OSError as error:
        listener.close()
        told = "is in use" if error.errno == errno.EADDRINUSE else "cannot be had"
        raise ConfigurationError(f"expected a free address to listen on, got {host}:{port}, which {told}") from error
    return listener


def config(app: Any, gate: Gate, **options: Any) -> uvicorn.Config:
    """A `uvicorn.Config` that serves `app` behind `gate`; start it with `Server` of this module.

    uvicorn's own `Server` works too, but waits asyncio's 60 s for a silent client instead of `HANDSHAKE_SECONDS`.
    `options` are those of `uvicorn.Config`, without its `ssl_*`. Proxy headers are off unless asked for: behind the
    gate the peer is the client. Raises ConfigurationError for options that would replace the gate's TLS.
    """
    taken = sorted(name for name in options if name.startswith("ssl_"))
    if taken:
        raise ConfigurationError(f"expected the TLS settings on the gate's hostnames, got {taken!r}")
    if options.get("workers", 1) != 1 or options.get("reload"):
        raise ConfigurationError("expected one worker and no reload, got more: start one process each yourself")
    if not isinstance(app, MTLSMiddleware):
        app = MTLSMiddleware(app, gate)
    options = {"proxy_headers": False, "http": "auto", "ws": "auto", "interface": "asgi3", **options}
    options["http"] = _evident(_resolved(options["http"], HTTP_PROTOCOLS))
    if (websocket := _resolved(options["ws"], WS_PROTOCOLS)) is not None:
        options["ws"] = _evident(websocket)

    def context(_config: uvicorn.Config, _default: Callable[[], ssl.SSLContext]) -> ssl.SSLContext:
        gate.alpn = tuple(getattr(options["http"], "alpn_protocols", None) or ("http/1.1",))
        return gate.ssl_context()

    return uvicorn.Config(app, ssl_context_factory=context, **options)


class Server(uvicorn.Server):
    """`uvicorn.Server` that drops a client whose handshake takes longer than `HANDSHAKE_SECONDS`."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """As `uvicorn.Server.startup`."""
        with _handshake_deadline(asyncio.get_running_loop(), self.config.ssl):
            await super().startup(sockets=sockets)


@contextlib.contextmanager
def _handshake_deadline(loop: Any, context: ssl.SSLContext | None) -> Iterator[None]:
    """Lets the listeners that are made with `context` meanwhile have our deadline: uvicorn has no setting for it."""
    original = loop.create_server

    @functools.wraps(original)
    async def create_server(*arguments: Any, **options: Any) -> Any:
        if options.get("ssl") is context and context is not None:
            options.setdefault("ssl_handshake_timeout", HANDSHAKE_SECONDS)
        return await original(*arguments, **options)

    loop.create_server = create_server
    try:
        yield
    finally:
        del loop.create_server


def _resolved(protocol: Any, known: dict[Any, Any]) -> Any:
    """The protocol class behind uvicorn's name for it; None for no WebSockets."""
    while isinstance(protocol, str):
        target = known.get(protocol, protocol)
        protocol = import_from_string(target) if isinstance(target, str) else target
    return protocol


@functools.cache
def _evident(protocol: type[Any]) -> type[Any]:
    """A subclass of uvicorn's protocol class whose app finds the connection's evidence in every scope."""

    def connection_made(self: Any, transport: Any) -> None:
        protocol.connection_made(self, transport)
        self.head = _RequestHead(self, transport)
        self.app = _with_connection(self.app, self, transport)

    def connection_lost(self: Any, error: Exception | None) -> None:
        self.head.forget()
        protocol.connection_lost(self, error)

    def data_received(self: Any, data: bytes) -> None:
        cycle = getattr(self, "cycle", _BUSY)
        if cycle is None or (cycle is not _BUSY and cycle.response_complete):
            self.head.begins()
        protocol.data_received(self, data)

    def on_headers_complete(self: Any) -> None:
        target = self.url  # httptools keeps it, of the request that is read now; h11 leaves it in the path
        if target[:1] not in (b"/", b""):
            self.scope[TARGET_KEY] = target.decode("latin-1")
        protocol.on_headers_complete(self)

    methods = {
        "connection_made": connection_made,
        "connection_lost": connection_lost,
        "data_received": data_received,
    }
    if hasattr(protocol, "on_headers_complete"):
        methods["on_headers_complete"] = on_headers_complete
    return type(f"Evident{protocol.__name__}", (protocol,), methods)


_BUSY: Any = object()  # a protocol without uvicorn's request cycle


class _RequestHead:
    """Ends a connection on which a request was begun, or not even that, and never came to its end (I12).

    Begin and end only note the moment: one timer per connection looks now and then, for requests are many.
    """

    __slots__ = ("_loop", "_protocol", "_since", "_timer", "_transport")

    def __init__(self, protocol: Any, transport: Any) -> None:
        self._protocol, self._transport = protocol, transport
        self._loop = asyncio.get_running_loop()
        self._since: float | None = self._loop.time()
        self._timer = self._loop.call_later(REQUEST_SECONDS, self._look)

    def begins(self) -> None:
        if self._since is None:
            self._since = self._loop.time()

    def has_come(self) -> None:
        self._since = None

    def forget(self) -> None:
        self._timer.cancel()

    def _look(self) -> None:
        # A WebSocket has a protocol of its own, and its request has come.
        if self._transport.is_closing() or self._transport.get_protocol() is not self._protocol:
            return
        now = self._loop.time()
        since = now if self._since is None else self._since
        if now - since >= REQUEST_SECONDS:
            self._transport.abort()
        else:
            self._timer = self._loop.call_at(since + REQUEST_SECONDS, self._look)


def _with_connection(app: Any, protocol: Any, transport: Any) -> Any:
    tls = transport.get_extra_info("ssl_object")
    if tls is None:
        return app
    connection = Connection(tls, transport.abort)

    def with_connection(scope: Any, receive: Any, send: Any) -> Any:
        protocol.head.has_come()
        scope[SCOPE_KEY] = connection
        return app(scope, receive, send)

    return with_connection
