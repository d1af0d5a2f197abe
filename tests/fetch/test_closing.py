"""Closing an environment while calls run: they end in peace.

Each call asks for a path of its own and the answer tells it, with the client that the server saw: whatever else fails,
no call ever gets the answer of another one, and what comes after works as if nothing had been.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest

from fetch.awkward import Awkward, awkward
from fetch.loads import KINDS, Call, Load, faults, open_sockets, plans, wait_until
from fetch.servers import context_of
from mtlskit.fetch import AsyncEnvironment, Environment
from mtlskit.testing.certificates import SERVER_AUTH, Authority

SERVERS, CLIENTS = Authority.root("Server root"), Authority.root("Client root")
SERVER = SERVERS.leaf("server", sans=("dns:localhost",), usages=(SERVER_AUTH,))
BINDINGS = {name: CLIENTS.leaf(name.lower()) for name in ("ALICE", "BOB", "CAROL")}
NAMES = list(BINDINGS)
TRUST = {"trust": [SERVERS.certificate]}
WORKERS = 20


@pytest.fixture
def server() -> Iterator[Awkward]:
    with awkward(context_of(SERVER, CLIENTS.certificate)) as running:
        yield running


def own(call: Call) -> str:
    return f"{call.name.lower()} {call.path}"


def check_no_mixing(calls: list[Call]) -> list[Call]:
    """Each answer is to its own request; gives the calls that have one."""
    answered = [call for call in calls if not isinstance(call.outcome, BaseException)]
    assert [call.outcome.text() for call in answered] == [own(call) for call in answered]
    return answered


def flat(*work: list[list[Call]]) -> list[Call]:
    return [call for piece in work for calls in piece for call in calls]


def closed_by_threads(load: Load, backend: str, work: list[list[Call]], after: list[list[Call]]) -> None:
    with Environment(BINDINGS, backend=backend, **TRUST) as env:
        calling = threading.Thread(target=load.by_threads, args=(env, work))
        calling.start()
        while calling.is_alive():
            env.close()
            time.sleep(0.03)
        load.by_threads(env, after)


async def closed_by_tasks(load: Load, backend: str, work: list[list[Call]], after: list[list[Call]]) -> None:
    async with AsyncEnvironment(BINDINGS, backend=backend, **TRUST) as env:
        calling = asyncio.create_task(load.by_tasks(env, work))
        while not calling.done():
            await env.aclose()
            await asyncio.sleep(0.03)
        await load.by_tasks(env, after)


@pytest.mark.parametrize("kind", KINDS)
def test_an_environment_closed_while_calls_run_mixes_nothing_up_and_works_after(
    backend: str, server: Awkward, kind: str
) -> None:
    load = Load()
    work = plans(NAMES, server.url("/slow"), workers=WORKERS, each=5, timeout=5)
    after = plans(NAMES, server.url("/well/after"), workers=WORKERS, each=3)
    if kind == "threads":
        closed_by_threads(load, backend, work, after)
    else:
        asyncio.run(closed_by_tasks(load, backend, work, after))

    check_no_mixing(flat(work, after))
    assert faults(flat(work, after)) == []
    wait_until(lambda: open_sockets(server.port) == 0)


def test_a_call_that_enters_a_lane_while_it_is_closed_keeps_its_connection(backend: str, server: Awkward) -> None:
    """Whoever has entered when the last one leaves is not left with a closed connection."""
    with Environment(BINDINGS, backend=backend, **TRUST) as env:
        with env.ALICE.stream(server.url("/well/1")) as response:
            env.close()
            assert env.ALICE.fetch(server.url("/well/2")).ok
            assert response.read().text() == "alice /well/1"
        wait_until(lambda: open_sockets(server.port) == 1)
    wait_until(lambda: open_sockets(server.port) == 0)


def test_the_engine_is_there_before_anybody_can_fork() -> None:
    """A process that is forked while a thread imports it waits for ever for the lock of the import."""
    code = (
        "import sys; from mtlskit.fetch import Environment; "
        "assert 'mtlskit.fetch.engine' not in sys.modules; Environment({}); assert 'mtlskit.fetch.engine' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
