"""What came over a connection of HTTP/1.1 behind an answer, which nobody has asked for (RFC 9112, 9.2).

It may be in the engine's parser, decrypted or not in TLS, or in a queue of the async engine; what is still in the
socket, the engine sees by itself. Not all of these places are shown by whom they belong to: one that is not there any
more is left out.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator
from typing import Any

from mtlskit.fetch.engine.networks import AsyncStream, Stream


def leftovers_of(connection: object, stream: Stream | AsyncStream) -> Callable[[], bool]:
    """Says whether there is something; asked between two requests. Where it is so, the connection is to be closed.

    `connection` is one of the engine's that has had an answer.
    """
    places = (*_in_parser(connection), *_in_tls(stream))

    def found() -> bool:
        for place in places:  # noqa: SIM110  a generator would cost more than the places
            if place():
                return True
        return False

    return found


def parser_of(connection: object) -> Any:
    """The engine's parser, within a connection that may be within others; None where there is none."""
    while (inner := getattr(connection, "_connection", None)) is not None:
        connection = inner
    return getattr(connection, "_h11_state", None)


def layers_of(stream: AsyncStream) -> Iterator[object]:
    """The async engine's own streams, from the outermost TLS to the socket."""
    layer = getattr(stream.inner, "_stream", None)
    while layer is not None:
        yield layer
        layer = getattr(layer, "transport_stream", None)


def buffer_of(layer: object) -> ssl.MemoryBIO | None:
    """Where a layer of TLS has what it did not decrypt yet."""
    return getattr(layer, "_read_bio", None)


def queue_of(layer: object) -> Any:
    """Where the layer of the socket has what nobody has read yet."""
    return getattr(getattr(layer, "_protocol", None), "read_queue", None)


def _in_parser(connection: object) -> Iterator[Callable[[], object]]:
    parser = parser_of(connection)
    if hasattr(parser, "trailing_data"):
        yield lambda: parser.trailing_data[0]


def _in_tls(stream: Stream | AsyncStream) -> Iterator[Callable[[], object]]:
    tls, raw = stream.get_extra_info("ssl_object"), stream.get_extra_info("socket")
    layers = list(layers_of(stream)) if isinstance(stream, AsyncStream) else []
    buffers = [buffer for buffer in map(buffer_of, layers) if buffer is not None]
    if isinstance(tls, ssl.SSLObject):
        yield _reading(tls, buffers[0] if buffers else None)
    elif hasattr(tls, "pending"):
        yield tls.pending
    if raw is not tls and hasattr(raw, "pending"):  # TLS to a proxy, around that to the origin
        yield raw.pending
    for buffer in buffers[1:]:
        yield lambda buffer=buffer: buffer.pending  # type: ignore[misc]
    for queue in map(queue_of, layers):
        if queue is not None:
            yield queue.__len__


def _reading(tls: ssl.SSLObject, buffer: ssl.MemoryBIO | None) -> Callable[[], bool]:
    def finds() -> bool:
        if buffer is not None and not buffer.pending and not tls.pending():
            return False
        try:
            tls.read(1)
        except ssl.SSLWantReadError:
            return False  # TLS's own, as a session ticket
        except ssl.SSLError:
            return True
        return True

    return finds
