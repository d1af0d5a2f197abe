"""Threads that change at every turn, forks while calls run, and servers that go at awkward times.

Each call asks for a path of its own and the answer tells it, with the client that the server saw: whatever else fails,
no call ever gets the answer of another one, and what comes after works as if nothing had been.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from fetch.awkward import Awkward, awkward
from fetch.loads import KINDS, Call, Load, faults, plans, wait_until
from fetch.servers import context_of
from mtlskit.errors import ClientCertificateRefused, FetchError
from mtlskit.fetch import Environment
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


@pytest.fixture
def hasty_threads() -> Iterator[None]:
    """Threads that are interrupted as often as can be."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def own(call: Call) -> str:
    return f"{call.name.lower()} {call.path}"


def check_no_mixing(calls: list[Call]) -> list[Call]:
    """Each answer is to its own request; gives the calls that have one."""
    answered = [call for call in calls if not isinstance(call.outcome, BaseException)]
    assert [call.outcome.text() for call in answered] == [own(call) for call in answered]
    return answered


@pytest.mark.parametrize("each", EACH)
def test_threads_that_change_at_every_turn_get_their_own_answers(
    backend: str, server: Awkward, hasty_threads: None, each: int
) -> None:
    work = plans(NAMES, server.url("/well"), workers=50, each=each)
    calls = Load().send("threads", BINDINGS, work, backend=backend, **TRUST)

    assert faults(calls) == []
    check_no_mixing(calls)
    assert sorted(server.seen) == sorted(map(own, calls))


# --- forks ---------------------------------------------------------------------------------------------------------


def in_child(env: Environment, work: list[Call]) -> bool:
    for call in work:
        call.outcome = env[call.name].fetch(call.url)
    return len(check_no_mixing(work)) == len(work)


def forked(env: Environment, work: list[Call]) -> int:
    """A child of this process, with only the thread that forks, which calls and says how it went."""
    child = os.fork()
    if child:
        return child
    signal.alarm(60)  # it ends rather than hangs
    try:
        os._exit(0 if in_child(env, work) else 1)
    finally:
        os._exit(2)


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
@pytest.mark.parametrize("each", EACH)
def test_processes_forked_while_threads_call_have_connections_of_their_own(
    backend: str, server: Awkward, each: int
) -> None:
    load = Load()
    work = plans(NAMES, server.url("/well"), workers=WORKERS, each=each)
    children = plans(NAMES, server.url("/well/child"), workers=8, each=6)
    with Environment(BINDINGS, backend=backend, **TRUST) as env:
        env.ALICE.fetch(server.url("/well/first"))  # a module that is imported while a process forks is locked in it
        calling = threading.Thread(target=load.by_threads, args=(env, work))
        calling.start()
        pids = []
        for number, calls in enumerate(children):
            wait_until(lambda due=number: load.over >= due * WORKERS * each / 10)  # type: ignore[misc]
            pids.append(forked(env, calls))
        ended = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]
        calling.join()

    calls = [call for calls in work for call in calls]
    assert ended == [0] * len(children)
    assert faults(calls) == []
    check_no_mixing(calls)
    assert sorted(server.seen[1:]) == sorted(own(call) for calls in (*work, *children) for call in calls)


# --- servers -------------------------------------------------------------------------------------------------------


def flat(*work: list[list[Call]]) -> list[Call]:
    return [call for piece in work for calls in piece for call in calls]


ALWAYS_ANSWERED = ("well", "slow", "bye", "soon")
NEVER_ANSWERED = ("half", "none", "reset")


@pytest.mark.parametrize("each", EACH)
@pytest.mark.parametrize("kind", KINDS)
def test_connections_that_end_at_awkward_times_cost_no_other_call_its_answer(
    backend: str, server: Awkward, kind: str, each: int
) -> None:
    modes = (*ALWAYS_ANSWERED, *NEVER_ANSWERED)
    work = plans(NAMES, server.url("/mode"), workers=WORKERS, each=each)
    for number, call in enumerate(flat(work)):
        call.url = call.url.replace("/mode/", f"/{modes[number % len(modes)]}/")
    after = plans(NAMES, server.url("/well/after"), workers=WORKERS, each=3)
    calls = Load().send(kind, BINDINGS, work, backend=backend, **TRUST)
    calls += Load().send(kind, BINDINGS, after, backend=backend, **TRUST)

    answered = check_no_mixing(calls)
    assert not [call for call in answered if call.path.split("/")[1] in NEVER_ANSWERED]
    for call in flat(work):
        if isinstance(call.outcome, Exception):
            assert isinstance(call.outcome, FetchError | ClientCertificateRefused)
        # A certificate was refused only where a fresh connection was ended before anything was answered.
        assert not isinstance(call.outcome, ClientCertificateRefused) or call.path.split("/")[1] in NEVER_ANSWERED
    assert len(set(server.seen)) == len(server.seen), "something was sent twice"
    assert faults(flat(after)) == []


@pytest.mark.parametrize("kind", KINDS)
def test_an_answer_that_nobody_asked_for_is_not_taken_for_the_next_ones(
    backend: str, server: Awkward, kind: str
) -> None:
    # RFC 9112, 9.2: a client must not take it for a valid response.
    steps: list[Any] = []
    for turn in range(3):
        steps += [plans(NAMES, server.url(f"/idle/{turn}"), workers=1, each=3), lambda: time.sleep(0.1)]
    calls = Load().send(kind, BINDINGS, *steps, backend=backend, **TRUST)

    assert faults(calls) == []
    check_no_mixing(calls)
