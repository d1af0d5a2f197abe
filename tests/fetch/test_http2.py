"""`fetch` where the origin speaks HTTP/2, blocking and async, on both backends."""

import asyncio
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from fetch.http2 import WRONG_HEADS, serving
from fetch.servers import context_of
from mtlskit.errors import ClientCertificateRefused, FetchError
from mtlskit.fetch import AsyncEnvironment, CertificateUse, Environment
from mtlskit.testing.certificates import SERVER_AUTH, Authority

SERVERS, CLIENTS = Authority.root("Server root"), Authority.root("Client root")
SERVER = SERVERS.leaf("server", sans=("dns:localhost",), usages=(SERVER_AUTH,))
ALICE, BOB = CLIENTS.leaf("alice"), CLIENTS.leaf("bob")
MALLORY = Authority.root("Client root").leaf("mallory")
BINDINGS = {"ALICE": ALICE, "BOB": BOB, "MALLORY": MALLORY}
TRUST = {"trust": [SERVERS.certificate]}


def speaking(*alpn, version=None):
    return context_of(SERVER, CLIENTS.certificate, version=version, alpn=alpn or ("h2",))


def gathered(backend, name, urls, **options):
    """The answers to calls that run at the same time, or the errors in their place."""

    async def run():
        async with AsyncEnvironment(BINDINGS, backend=backend, **TRUST) as env:
            return await asyncio.gather(*(env[name].fetch(url, **options) for url in urls), return_exceptions=True)

    return asyncio.run(run())


@pytest.mark.parametrize("version", ["1.2", "1.3"])
@pytest.mark.parametrize("alpn", [("h2",), ("h2", "http/1.1")])
def test_it_is_spoken_where_the_origin_does(fetch_all, version, alpn):
    with serving(speaking(*alpn, version=version)) as server:
        calls = [(name, server.url("/x?y"), {}) for name in ("ALICE", "BOB", "ALICE")]
        responses = fetch_all(BINDINGS, *calls, **TRUST)

    assert server.versions == ["h2", "h2"]
    assert [each.json()["client"] for each in responses] == ["alice", "bob", "alice"]
    assert [each.json()["connection"] for each in responses] == [1, 2, 1]  # kept, and never another's
    assert {each.client_certificate for each in responses} == {CertificateUse.REQUESTED}


@pytest.mark.parametrize("body", [b"data" * 50_000, [b"da", b"ta"] * 500, "text"])
def test_bodies_arrive(fetch_one, body):
    with serving(speaking()) as server:
        fetch_one(BINDINGS, "ALICE", server.url(), TRUST, method="POST", body=body)

    expected = body.encode() if isinstance(body, str) else b"".join(body) if isinstance(body, list) else body
    assert [each[3] for each in server.seen] == [expected]


def test_tasks_never_share_one_and_use_each_again(backend):
    with serving(speaking()) as server:
        many = gathered(backend, "BOB", [server.url(f"/{number}") for number in range(60)])

    assert [each.json()["path"] for each in many] == [f"/{number}" for number in range(60)]
    assert server.most_at_once == 1


def test_a_task_that_is_cancelled_or_gives_up_takes_no_other_with_it(backend):
    async def run(url):
        async with AsyncEnvironment(BINDINGS, backend=backend, **TRUST) as env:
            assert (await env.ALICE.fetch(url("/"))).ok
            waiting = asyncio.create_task(env.ALICE.fetch(url("/together")))  # which is never answered
            other = asyncio.create_task(env.ALICE.fetch(url("/together"), timeout=0.3))
            await asyncio.sleep(0.1)
            waiting.cancel()
            answers = [await env.ALICE.fetch(url(f"/{number}"), timeout=5) for number in range(3)]
            with pytest.raises(FetchError, match="within 0.3 s"):
                await other
            return [each.json()["path"] for each in answers]

    with serving(speaking()) as server:
        assert asyncio.run(run(server.url)) == ["/0", "/1", "/2"]


def test_the_rest_of_an_answer_that_was_left_does_not_count_for_those_after_it(backend):
    """Its connection is closed: what still came would use up what the server may send to others."""
    with serving(speaking()) as server, Environment(BINDINGS, backend=backend, **TRUST) as env:
        for expected in (1, 2):
            with env.ALICE.stream(server.url()) as response:
                assert response.ok
            assert server.connections == expected
        assert env.ALICE.fetch(server.url()).json()["connection"] == 3
        assert env.ALICE.fetch(server.url()).json()["connection"] == 3


def test_threads_never_share_one_and_get_their_own_answers(backend):
    """The engine's connection is not for several threads: it mixes up their frames, and gives one the other's answer."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with serving(speaking()) as server, Environment(BINDINGS, backend=backend, **TRUST) as env:

            def call(number):
                name = ("ALICE", "BOB")[number % 2]
                return name, number, env[name].fetch(server.url(f"/{number}")).json()

            with ThreadPoolExecutor(8) as pool:
                answers = list(pool.map(call, range(160)))
    finally:
        sys.setswitchinterval(interval)

    assert server.most_at_once == 1
    assert all(told["path"] == f"/{number}" and told["client"] == name.lower() for name, number, told in answers)
    assert server.connections <= 16


def test_threads_use_each_connection_again(backend):
    with serving(speaking()) as server, Environment(BINDINGS, backend=backend, **TRUST) as env:
        together = threading.Barrier(4)

        def call(_):
            together.wait(10)
            return [env.ALICE.fetch(server.url()).json()["client"] for _ in range(5)]

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(call, range(4)))

    assert server.connections <= 4


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_a_refused_certificate_is_told(fetch_one, version):
    with serving(speaking(version=version)) as server, pytest.raises(ClientCertificateRefused) as caught:
        fetch_one(BINDINGS, "MALLORY", server.url(), TRUST)

    assert caught.value.alert in ("unknown_ca", "decrypt_error", "bad_certificate")
    assert server.seen == []


def test_all_who_wait_for_a_connection_that_is_refused_are_told(backend):
    with serving(speaking()) as server:
        found = gathered(backend, "MALLORY", [server.url()] * 10)

    assert {type(each) for each in found} == {ClientCertificateRefused}


def test_a_connection_that_the_origin_ended_meanwhile_is_not_used(fetch_all, backend):
    with serving(speaking()) as server, Environment(BINDINGS, backend=backend, **TRUST) as env:
        assert env.ALICE.fetch(server.url("/last")).ok
        time.sleep(0.05)  # the end has come by then
        assert env.ALICE.fetch(server.url(), method="POST", body=b"x").json()["connection"] == 2


def test_what_the_origin_has_not_begun_is_asked_on_another_connection(fetch_all):
    with serving(speaking()) as server:
        options = {"method": "POST", "body": b"once"}
        _, response = fetch_all(
            BINDINGS, ("ALICE", server.url(), {}), ("ALICE", server.url("/later"), options), **TRUST
        )

    assert response.json()["connection"] == 2
    assert server.seen[1:] == [(2, "POST", "/later", b"once")]


def test_a_stream_is_not_sent_a_second_time(fetch_all):
    with serving(speaking()) as server:
        options = {"method": "POST", "body": iter([b"once"])}
        _, error = fetch_all(BINDINGS, ("ALICE", server.url(), {}), ("ALICE", server.url("/later"), options), **TRUST)

    assert isinstance(error, FetchError)
    assert "expected a body that can be sent again" in str(error)
    assert [each[2] for each in server.seen] == ["/"]


@pytest.mark.parametrize("path", ["/reset", "/garbage"])
def test_an_answer_that_is_none_is_told_and_no_refusal(fetch_one, path):
    with serving(speaking()) as server, pytest.raises(FetchError) as caught:
        fetch_one(BINDINGS, "ALICE", server.url(path), TRUST, method="POST", body=b"x")

    assert "expected a whole HTTP answer" in str(caught.value)
    assert len(server.seen) == 1


@pytest.mark.parametrize("path", WRONG_HEADS)
def test_a_head_that_is_none_is_told_and_its_connection_given_back(fetch_all, path):
    with serving(speaking()) as server:
        wrong, after = fetch_all(BINDINGS, ("ALICE", server.url(path), {}), ("ALICE", server.url(), {}), **TRUST)

    assert type(wrong) is FetchError
    assert "expected a whole HTTP answer" in str(wrong)
    assert after.ok
