"""Bodies that are sent as they are read, and read as they come; blocking and async, on both backends."""

import asyncio
import gzip
import io
import os
import threading
from contextlib import asynccontextmanager, contextmanager

import pytest

from fetch.servers import context_of, serving
from mtlskit.errors import ConfigurationError, FetchError
from mtlskit.fetch import AsyncEnvironment, Environment
from mtlskit.testing.certificates import SERVER_AUTH, Authority

SERVERS, CLIENTS = Authority.root("Server root"), Authority.root("Client root")
SERVER = SERVERS.leaf("server", sans=("dns:localhost",), usages=(SERVER_AUTH,))
ALICE, RENEWED = CLIENTS.leaf("alice"), CLIENTS.leaf("alice renewed")
BINDINGS = {"ALICE": ALICE}
TRUST = {"trust": [SERVERS.certificate]}
PARTS = [b"first", b"", b"second" * 1000, b"third"]
WHOLE = b"".join(PARTS)


def demanding():
    return context_of(SERVER, CLIENTS.certificate)


def in_chunks(*parts, end=True, headers=""):
    """Answers in chunks, the last of which is left away where it is not to `end`."""

    def answer(tls, _seen):
        tls.sendall(f"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n{headers}\r\n".encode())
        for part in parts:
            tls.sendall(b"%x\r\n%b\r\n" % (len(part), part))
        if end:
            tls.sendall(b"0\r\n\r\n")
        return end

    return answer


async def agen(parts):
    for part in parts:
        await asyncio.sleep(0)
        yield part


# --- requests ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [lambda: iter(PARTS), lambda: list(PARTS), lambda: (each for each in PARTS)])
def test_an_iterable_is_sent_in_chunks(fetch_one, make):
    with serving(demanding()) as server:
        fetch_one(BINDINGS, "ALICE", server.url(), TRUST, method="POST", body=make())

    (seen,) = server.seen
    assert (seen.body, seen.headers["transfer-encoding"]) == (WHOLE, "chunked")
    assert "content-length" not in seen.headers


def test_an_async_iterable_is_sent_in_chunks(backend):
    async def call(url):
        async with AsyncEnvironment(BINDINGS, backend=backend, **TRUST) as env:
            return await env.ALICE.fetch(url, method="POST", body=agen(PARTS))

    with serving(demanding()) as server:
        assert asyncio.run(call(server.url())).ok

    assert server.seen[0].body == WHOLE


def test_an_async_iterable_needs_an_event_loop(backend):
    with Environment(BINDINGS, backend=backend, **TRUST) as env, pytest.raises(ConfigurationError, match="event loop"):
        env.ALICE.fetch("https://localhost:1/", method="POST", body=agen(PARTS))


def test_a_file_is_sent_with_its_length_from_where_it_stands(fetch_one, tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"before" + WHOLE * 20)
    with serving(demanding()) as server, path.open("rb") as file:
        file.read(len(b"before"))
        fetch_one(BINDINGS, "ALICE", server.url(), TRUST, method="PUT", body=file)

    (seen,) = server.seen
    assert (seen.body, seen.headers["content-length"]) == (WHOLE * 20, str(len(WHOLE) * 20))


@pytest.mark.parametrize("text", ["", "text"])
def test_a_file_of_text_is_refused(fetch_one, text):
    with pytest.raises(ConfigurationError, match="open in binary mode"):
        fetch_one(BINDINGS, "ALICE", "https://localhost:1/", TRUST, method="POST", body=io.StringIO(text))


def test_a_pipe_is_sent_in_chunks(fetch_one):
    reading, writing = os.pipe()
    with os.fdopen(writing, "wb") as file:
        file.write(WHOLE)
    with serving(demanding()) as server, os.fdopen(reading, "rb") as file:
        fetch_one(BINDINGS, "ALICE", server.url(), TRUST, method="POST", body=file)

    assert (server.seen[0].body, server.seen[0].headers["transfer-encoding"]) == (WHOLE, "chunked")


@pytest.mark.parametrize("body", [["text"], [1], [b"first", None]])
def test_a_part_that_is_not_bytes_is_told_and_its_connection_is_not_used_again(fetch_all, body):
    with serving(demanding()) as server:
        wrong, right = fetch_all(
            BINDINGS, ("ALICE", server.url(), {"method": "POST", "body": body}), ("ALICE", server.url(), {}), **TRUST
        )

    assert isinstance(wrong, ConfigurationError)
    assert "expected bytes from a streamed body" in str(wrong)
    assert right.json()["client"] == "alice"
    assert [each.method for each in server.seen] == ["GET"]


@pytest.mark.parametrize("kind", [OSError, ValueError, TimeoutError, ConnectionResetError])
def test_what_a_body_raises_comes_out_as_it_is(fetch_one, kind):
    def parts():
        yield b"first"
        raise kind("the caller's own")

    with serving(demanding()) as server, pytest.raises(kind, match="the caller's own"):
        fetch_one(BINDINGS, "ALICE", server.url(), TRUST, method="POST", body=parts())

    assert server.seen == []


def test_a_form_is_sent_url_encoded(fetch_one):
    with serving(demanding()) as server:
        fetch_one(BINDINGS, "ALICE", server.url(), TRUST, method="POST", form={"a": "b c", "ä": "1&2"})
        fetch_one(BINDINGS, "ALICE", server.url(), TRUST, method="POST", form=[("a", "1"), ("a", "2")])

    assert [each.body for each in server.seen] == [b"a=b+c&%C3%A4=1%262", b"a=1&a=2"]
    assert {each.headers["content-type"] for each in server.seen} == {"application/x-www-form-urlencoded"}


def test_a_post_without_a_body_says_so(fetch_one):
    with serving(demanding()) as server:
        fetch_one(BINDINGS, "ALICE", server.url(), TRUST, method="POST")
        fetch_one(BINDINGS, "ALICE", server.url(), TRUST)

    assert [each.headers.get("content-length") for each in server.seen] == ["0", None]


# --- responses -----------------------------------------------------------------------------------------------------


@contextmanager
def blocking_stream(backend, url, bindings=BINDINGS, **options):
    with Environment(bindings, backend=backend, **TRUST) as env, env.ALICE.stream(url, **options) as response:
        yield response


@asynccontextmanager
async def async_stream(backend, url, bindings=BINDINGS, **options):
    async with AsyncEnvironment(bindings, backend=backend, **TRUST) as env, env.ALICE.stream(url, **options) as found:
        yield found


@pytest.fixture(params=["blocking", "async"])
def stream_one(request, backend):
    """`stream_one(url)`: the response, and its body in the parts that came."""

    def blocking(url, **options):
        with blocking_stream(backend, url, **options) as response:
            return response, list(response.body)

    async def of_tasks(url, options):
        async with async_stream(backend, url, **options) as response:
            return response, [part async for part in response.body]

    return blocking if request.param == "blocking" else lambda url, **options: asyncio.run(of_tasks(url, options))


def test_a_body_is_read_as_it_comes(stream_one):
    with serving(demanding(), **{"/": in_chunks(b"first", b"second")}) as server:
        response, parts = stream_one(server.url())

    assert (response.status, response.ok, response.url) == (200, True, server.url())
    assert b"".join(parts) == b"firstsecond"


def test_a_part_is_there_before_the_next_is_sent(backend):
    read = threading.Event()

    def answer(tls, _seen):
        tls.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n")
        assert read.wait(10)
        tls.sendall(b"6\r\nsecond\r\n0\r\n\r\n")
        return True

    with serving(demanding(), **{"/": answer}) as server, blocking_stream(backend, server.url()) as response:
        body = response.body
        assert next(body) == b"first"
        read.set()
        assert list(body) == [b"second"]


def test_a_body_is_decoded_as_it_comes(stream_one):
    packed = gzip.compress(WHOLE)
    route = in_chunks(packed[:10], packed[10:], headers="Content-Encoding: gzip\r\n")
    with serving(demanding(), **{"/": route}) as server:
        _, parts = stream_one(server.url())

    assert b"".join(parts) == WHOLE


@pytest.mark.parametrize("headers", ["", "Content-Encoding: gzip\r\n"])
def test_a_body_that_breaks_off_is_told(stream_one, headers):
    with (
        serving(demanding(), **{"/": in_chunks(gzip.compress(WHOLE)[:40], end=False, headers=headers)}) as server,
        pytest.raises(FetchError, match="expected a whole HTTP answer|expected an answer"),
    ):
        stream_one(server.url())


def test_tls_that_breaks_within_a_body_is_no_failed_handshake(stream_one):
    def answer(tls, _seen):
        tls.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nfirst")
        os.write(tls.fileno(), b"\x17\x03\x03\x00\x20" + bytes(32))  # no record of this connection
        return False

    with serving(demanding(), **{"/": answer}) as server, pytest.raises(FetchError, match="expected an answer"):
        stream_one(server.url())


def test_a_redirect_is_followed_to_the_body_that_is_streamed(stream_one):
    routes = {"/": (302, {"Location": "/there"}, b"moved"), "/there": in_chunks(b"here")}
    with serving(demanding(), **routes) as server:
        response, parts = stream_one(server.url())

    assert (response.redirected, response.url, b"".join(parts)) == (True, server.url("/there"), b"here")
    assert server.handshakes == 1  # the redirect's connection served again


def test_a_redirect_with_an_endless_body_is_not_read_to_its_end(stream_one):
    def endless(tls, _seen):
        tls.sendall(b"HTTP/1.1 302 Found\r\nLocation: /there\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:  # until the client ends the connection
            tls.sendall(b"%x\r\n%b\r\n" % (16384, b"x" * 16384))

    with serving(demanding(), **{"/": endless, "/there": in_chunks(b"here")}) as server:
        _, parts = stream_one(server.url())

    assert (b"".join(parts), server.handshakes) == (b"here", 2)


def test_the_whole_of_a_streamed_response_can_be_had_after_all(backend):
    with serving(demanding()) as server, blocking_stream(backend, server.url()) as response:
        assert response.read().json()["client"] == "alice"

    async def call(url):
        async with async_stream(backend, url) as response:
            return await response.read()

    with serving(demanding()) as server:
        assert asyncio.run(call(server.url())).json()["client"] == "alice"


def test_a_body_is_read_once(backend):
    with serving(demanding()) as server, blocking_stream(backend, server.url()) as response:
        response.read()
        with pytest.raises(FetchError, match="to be read once"):
            next(response.body)


def test_a_body_that_is_left_unread_ends_its_connection_and_no_other(backend):
    routes = {"/long": in_chunks(*[b"x" * 16384] * 10)}
    with serving(demanding(), **routes) as server, Environment(BINDINGS, backend=backend, **TRUST) as env:
        with env.ALICE.stream(server.url("/long")) as response:
            assert next(response.body)
        assert env.ALICE.fetch(server.url()).json()["connection"] == 2
        with env.ALICE.stream(server.url()) as response:
            list(response.body)
        assert env.ALICE.fetch(server.url()).json()["connection"] == 2


def test_a_body_outlives_the_rotation_of_its_certificate(backend):
    chains = [ALICE]

    class Source:
        def current(self):
            return chains[-1]

    go_on = threading.Event()

    def answer(tls, _seen):
        tls.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n")
        assert go_on.wait(10)
        tls.sendall(b"6\r\nsecond\r\n0\r\n\r\n")
        return True

    with (
        serving(demanding(), **{"/slow": answer}) as server,
        Environment({"ALICE": Source()}, backend=backend, **TRUST) as env,
        env.ALICE.stream(server.url("/slow")) as response,
    ):
        body = response.body
        assert next(body) == b"first"
        chains.append(RENEWED)
        assert env.ALICE.fetch(server.url()).json()["client"] == "alice renewed"
        go_on.set()
        assert list(body) == [b"second"]


def test_a_task_that_is_cancelled_gives_its_connection_back(backend):
    release = threading.Event()

    def slow(_tls, _seen):
        release.wait(10)
        return False

    async def call(url):
        async with AsyncEnvironment(BINDINGS, backend=backend, **TRUST) as env:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.2):
                    await env.ALICE.fetch(url + "slow")
            return await env.ALICE.fetch(url)

    with serving(demanding(), **{"/slow": slow}) as server:
        answer = asyncio.run(call(server.url()))
        release.set()

    assert answer.json() == {"client": "alice", "connection": 2, "method": "GET", "path": "/"}
