"""Tasks that are cancelled while they connect, shake hands, wait or read: nothing of them stays behind.

Each call asks for a path of its own and the answer tells it, with the client that the server saw: no call gets the
answer of another one, and what comes after works as if nothing had been.
"""

from __future__ import annotations

import asyncio
import random
import socket
from collections.abc import Iterator

import httpcore2
import pytest

from fetch.awkward import Awkward, awkward
from fetch.loads import Call, Load, faults, open_sockets, plans, wait_until
from fetch.servers import context_of
from mtlskit.backends import get_backend
from mtlskit.fetch import AsyncEnvironment
from mtlskit.fetch.engine.connections import AsyncConnectionPool, ConnectionPool
from mtlskit.fetch.engine.known import Sending
from mtlskit.ports import ClientConfiguration
from mtlskit.testing.certificates import SERVER_AUTH, Authority

SERVERS, CLIENTS = Authority.root("Server root"), Authority.root("Client root")
SERVER = SERVERS.leaf("server", sans=("dns:localhost",), usages=(SERVER_AUTH,))
BINDINGS = {name: CLIENTS.leaf(name.lower()) for name in ("ALICE", "BOB", "CAROL")}
NAMES = list(BINDINGS)
TRUST = {"trust": [SERVERS.certificate]}
WORKERS = 20
EACH = [pytest.param(5, id="few"), pytest.param(200, id="many", marks=pytest.mark.slow)]


@pytest.fixture
def server() -> Iterator[Awkward]:
    with awkward(context_of(SERVER, CLIENTS.certificate)) as running:
        yield running


def flat(*work: list[list[Call]]) -> list[Call]:
    return [call for piece in work for calls in piece for call in calls]


@pytest.mark.parametrize("each", EACH)
def test_cancelled_tasks_leave_no_connection_and_no_answer_behind(backend: str, server: Awkward, each: int) -> None:
    dice = random.Random(each)
    work = plans(NAMES, server.url("/slow"), workers=WORKERS, each=each)
    for call in flat(work):
        call.limit = dice.uniform(0, 0.1)  # some in the handshake, some while they wait, some not at all
    after = plans(NAMES, server.url("/well/after"), workers=WORKERS, each=6)
    load, left = Load(), []
    calls = load.send(
        "tasks", BINDINGS, work, after, lambda: left.append(open_sockets(server.port)), backend=backend, **TRUST
    )

    answered = [call for call in calls if not isinstance(call.outcome, BaseException)]
    assert [call.outcome.text() for call in answered] == [f"{call.name.lower()} {call.path}" for call in answered]
    assert {type(each) for each in faults(flat(work))} == {TimeoutError}
    assert faults(flat(after)) == []
    assert left[0] <= load.most.total()
    wait_until(lambda: open_sockets(server.port) == server.living == 0)


def test_a_task_that_is_cancelled_in_its_handshake_closes_its_socket(backend: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

        async def run() -> int:
            async with AsyncEnvironment(BINDINGS, backend=backend, **TRUST) as env:
                task = asyncio.create_task(env.ALICE.fetch(f"https://localhost:{port}/"))
                accepted, _ = await asyncio.to_thread(listener.accept)
                with accepted:
                    assert await asyncio.to_thread(accepted.recv, 5), "the handshake has begun"
                    task.cancel()
                    with pytest.raises(asyncio.CancelledError):
                        await task
                    accepted.settimeout(5)
                    while await asyncio.to_thread(accepted.recv, 65536):  # to the end, which comes
                        pass
                    return open_sockets(port)

        assert asyncio.run(run()) == 0


def test_a_connection_that_failed_is_not_made_again(backend: str) -> None:
    # The pool has forgotten it by then, and would never close it.
    context = get_backend(backend).client_context(ClientConfiguration(trust=(SERVERS.certificate,)))
    with socket.create_server(("127.0.0.1", 0)) as unused:
        origin = httpcore2.Origin(b"https", b"localhost", unused.getsockname()[1])
    url = httpcore2.URL(scheme=b"https", host=b"localhost", port=origin.port, target=b"/")

    def request() -> httpcore2.Request:
        return httpcore2.Request("GET", url, extensions=Sending().extensions)

    blocking = ConnectionPool(proxy=None, ssl_context=context).create_connection(origin)
    for expected in (httpcore2.ConnectError, httpcore2.ConnectionNotAvailable):
        with pytest.raises(expected):
            blocking.handle_request(request())

    async def by_tasks() -> None:
        connection = AsyncConnectionPool(proxy=None, ssl_context=context).create_connection(origin)
        for expected in (httpcore2.ConnectError, httpcore2.ConnectionNotAvailable):
            with pytest.raises(expected):
                await connection.handle_async_request(request())

    asyncio.run(by_tasks())
