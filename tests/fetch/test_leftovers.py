"""What comes behind an answer of HTTP/1.1 is never taken for the next one (RFC 9112, 9.2); what does not, costs nothing."""

import asyncio
import contextlib
import socket
import ssl
from collections import deque

import h11
import httpcore2
import pytest

from fetch.awkward import awkward
from fetch.servers import context_of, serving
from mtlskit.backends import get_backend
from mtlskit.fetch.engine.connections import AsyncConnectionPool, ConnectionPool
from mtlskit.fetch.engine.known import Sending
from mtlskit.fetch.engine.leftovers import buffer_of, layers_of, leftovers_of, parser_of, queue_of
from mtlskit.ports import ClientConfiguration
from mtlskit.testing.certificates import SERVER_AUTH, Authority

SERVERS, CLIENTS = Authority.root("Server root"), Authority.root("Client root")
SERVER = SERVERS.leaf("server", sans=("dns:localhost",), usages=(SERVER_AUTH,))
ALICE = CLIENTS.leaf("alice")
BINDINGS = {"ALICE": ALICE}
TRUST = {"trust": [SERVERS.certificate]}
FOREIGN = b"HTTP/1.1 200 OK\r\nContent-Length: 15\r\n\r\nnobody's answer"
VERSIONS = ["1.2", "1.3"]


def demanding(version=None):
    return context_of(SERVER, CLIENTS.certificate, version=version)


def followed(body, *more):
    """Answers, and sends more in records of their own that arrive together with it."""

    def answer(tls, _seen):
        tls.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 1)
        tls.sendall(f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
        for each in more:
            tls.sendall(each)
        tls.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 0)
        return True

    return answer


def paths(found):
    return [each.json()["path"] for each in found]


@pytest.mark.parametrize("version", VERSIONS)
def test_it_may_come_in_one_piece_with_the_answer(fetch_all, version):
    with awkward(demanding(version)) as server:
        calls = [("ALICE", server.url(path), {}) for path in ("/twice/1", "/well/2", "/twice/3", "/well/4")]
        found = fetch_all(BINDINGS, *calls, **TRUST)

    assert [each.text() for each in found] == ["alice /twice/1", "alice /well/2", "alice /twice/3", "alice /well/4"]


@pytest.mark.parametrize("more", [(FOREIGN,), (b"\r\n",), (FOREIGN[:5],), (b"x" * 100_000,)], ids=len)
@pytest.mark.parametrize("size", [2, 15_000, 70_000, 300_000])
def test_it_may_come_behind_it(fetch_all, size, more):
    with serving(demanding(), **{"/": followed(b"x" * size, *more)}) as server:
        first, second = fetch_all(BINDINGS, ("ALICE", server.url("/"), {}), ("ALICE", server.url("/next"), {}), **TRUST)

    assert first.content == b"x" * size
    assert second.json() == {"client": "alice", "connection": 2, "method": "GET", "path": "/next"}


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("size", [0, 2, 15_000, 300_000])
def test_a_connection_serves_again_where_nothing_comes(fetch_all, version, size):
    with serving(demanding(version), **{"/": (200, {}, b"x" * size)}) as server:
        calls = [("ALICE", server.url("/"), {}), ("ALICE", server.url("/"), {"method": "HEAD"})] * 5
        assert all(each.ok for each in fetch_all(BINDINGS, *calls, **TRUST))

    assert {each.connection for each in server.seen} == {1}


# --- the places ----------------------------------------------------------------------------------------------------


def pooled(pool_class, url, backend):
    """A connection of the engine's that has had an answer, and its stream."""
    context = get_backend(backend).client_context(ClientConfiguration(chain=ALICE, trust=(SERVERS.certificate,)))
    pool = pool_class(proxy=None, ssl_context=context, http2=True)
    request = httpcore2.Request("GET", url, headers=[("Host", "localhost")], extensions=Sending().extensions)

    async def by_task():
        response = await pool.handle_async_request(request)
        await response.aread()
        await response.aclose()
        return await looked_into()

    async def looked_into():
        (connection,) = pool.connections
        found = connection.inner, connection._stream
        places = [parser_of(found[0]), [type(each).__name__ for each in layers_of(found[1])]]
        places += [[f(each) for each in layers_of(found[1])] for f in (buffer_of, queue_of)]
        await pool.aclose()
        return places

    if pool_class is AsyncConnectionPool:
        return asyncio.run(by_task())
    response = pool.handle_request(request)
    response.read()
    response.close()
    (connection,) = pool.connections
    found = parser_of(connection.inner), connection._stream.get_extra_info("ssl_object")
    try:
        return *found, leftovers_of(connection.inner, connection._stream)()
    finally:
        pool.close()


def test_the_engine_still_has_the_places(backend):
    """Fails where a new version of it has them elsewhere: `leftovers_of` would not look there any more."""
    with serving(demanding()) as server:
        parser, tls, has_leftovers = pooled(ConnectionPool, server.url(), backend)
        assert isinstance(parser, h11.Connection)
        assert parser.trailing_data == (b"", False)
        assert hasattr(tls, "pending")
        assert not has_leftovers

        parser, layers, buffers, queues = pooled(AsyncConnectionPool, server.url(), backend)

    assert isinstance(parser, h11.Connection)
    assert layers == ["TLSStream", "SocketStream"]
    assert isinstance(buffers[0], ssl.MemoryBIO)
    assert isinstance(queues[-1], deque)


class Parser:
    trailing_data = (b"", False)


class Layer:
    def __init__(self, **more):
        self.__dict__.update(more)


def stream_of(tls=None, raw=None, layer=None):
    """A stream as the async engine has it."""
    from mtlskit.fetch.engine.networks import AsyncStream

    info = {"ssl_object": tls, "socket": raw}
    inner = Layer(read=None, write=None, aclose=None, get_extra_info=info.get, _stream=layer)
    return AsyncStream(inner)


def shaken():
    """A client's TLS object with its buffer, and a function by which the server says something."""
    context = get_backend("ssl").client_context(ClientConfiguration(chain=ALICE, trust=(SERVERS.certificate,)))
    buffers = [ssl.MemoryBIO() for _ in range(4)]
    client = context.wrap_bio(*buffers[:2], server_hostname="localhost")
    servers = demanding("1.3")
    servers.num_tickets = 2
    server = servers.wrap_bio(*buffers[2:], server_side=True)
    for each in (client, server, client, server, client, server):
        with contextlib.suppress(ssl.SSLWantReadError):
            each.do_handshake()
        buffers[2].write(buffers[1].read())
        buffers[0].write(buffers[3].read())

    def say(data):
        server.write(data)
        buffers[0].write(buffers[3].read())

    return client, buffers[0], say


@pytest.mark.parametrize("is_shown", [True, False], ids=["buffer shown", "buffer not shown"])
def test_session_tickets_are_nothing_and_octets_are(is_shown):
    client, buffer, say = shaken()
    layer = Layer(_read_bio=buffer) if is_shown else None
    found = leftovers_of(Layer(_h11_state=Parser()), stream_of(client, layer=layer))

    assert buffer.pending, "two session tickets"
    assert not found()
    assert not found()
    say(b"nobody's")
    assert found()


def test_what_is_decrypted_and_not_read_is_found():
    client, _, say = shaken()
    found = leftovers_of(Layer(), stream_of(client))
    say(b"nobody's")
    client.read(1)

    assert found()


def test_each_other_place_is_looked_into():
    parser, queue, outer, raw = Parser(), deque(), ssl.MemoryBIO(), Layer(pending=lambda: 0)
    socket_layer = Layer(_protocol=Layer(read_queue=queue))
    layer = Layer(_read_bio=ssl.MemoryBIO(), transport_stream=Layer(_read_bio=outer, transport_stream=socket_layer))
    found = leftovers_of(Layer(_connection=Layer(_h11_state=parser)), stream_of(raw=raw, layer=layer))

    assert not found()
    queue.append(b"x")
    assert found()
    queue.clear()
    outer.write(b"x")
    assert found()
    outer.read()
    raw.pending = lambda: 1
    found = leftovers_of(Layer(_connection=Layer(_h11_state=parser)), stream_of(raw=raw, layer=layer))
    assert found()
    raw.pending = lambda: 0
    parser.trailing_data = (b"x", False)
    assert found()


def test_an_engine_that_shows_nothing_goes_on():
    assert not leftovers_of(Layer(), stream_of())()
