"""HTTP/2 where the server ends a connection, or refuses a stream: what it has taken is answered, the rest asked again."""

import itertools
import struct
from collections import Counter
from types import SimpleNamespace

import h2.config
import h2.connection
import h2.events
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fetch.http2 import Ends, serving
from fetch.loads import KINDS, Load, faults, plans
from fetch.programs import nginx
from fetch.servers import context_of
from mtlskit.errors import FetchError
from mtlskit.fetch.engine.connections import STAGES, AsyncConnection, Connection
from mtlskit.fetch.engine.goaway import Frames
from mtlskit.fetch.engine.networks import AsyncHTTP2Stream, HTTP2Stream
from mtlskit.testing.certificates import SERVER_AUTH, Authority

SERVERS, CLIENTS = Authority.root("Server root"), Authority.root("Client root")
SERVER = SERVERS.leaf("server", sans=("dns:localhost",), usages=(SERVER_AUTH,))
BINDINGS = {"ALICE": CLIENTS.leaf("alice")}
TRUST = {"trust": [SERVERS.certificate]}
NONE_YET = 2**31 - 1
REFUSED = 7


# --- frames --------------------------------------------------------------------------------------------------------


def frame(kind, stream, payload=b"", flags=0):
    size = len(payload)
    return struct.pack(">HBBBI", size >> 8, size & 255, kind, flags, stream) + payload


def goaway(last, code=0, debug=b""):
    return frame(7, 0, struct.pack(">II", last, code) + debug)


def reset(stream, code=REFUSED):
    return frame(3, stream, struct.pack(">I", code))


def passed(*parts, opened=()):
    frames = Frames()
    for stream in opened:
        frames.open(stream)
    return b"".join(map(frames.received, parts)), frames


@pytest.mark.parametrize("last", [0, 1, 3, 4, 5, NONE_YET])
@pytest.mark.parametrize("debug", [b"", b"why" * 1000])
def test_a_goaway_becomes_resets_of_what_was_not_taken(last, debug):
    data, frames = passed(goaway(last, 2, debug) + frame(0, 1, b"x"), opened=(1, 3, 5))

    refused = [each for each in (1, 3, 5) if each > last]
    assert data == b"".join(map(reset, refused)) + frame(0, 1, b"x")
    assert frames.refused == set(refused)
    assert frames.has_gone_away


def test_the_last_stream_may_become_less():
    data, frames = passed(goaway(NONE_YET), goaway(3), goaway(5), goaway(1), opened=(1, 3, 5))

    assert data == reset(5) + reset(3)
    assert frames.refused == {3, 5}


def test_what_was_answered_is_not_refused_any_more():
    answered = frame(1, 3, b"head", flags=4) + frame(0, 3, b"body", flags=1) + frame(1, 5, flags=5)
    data, frames = passed(answered + reset(7, 2) + goaway(0), opened=(1, 3, 5, 7))

    assert data == answered + reset(7, 2) + reset(1)
    assert frames.refused == {1}


@pytest.mark.parametrize(("code", "refused"), [(REFUSED, {1}), (0, set()), (2, set()), (8, set())])
def test_a_server_may_refuse_a_stream_by_itself(code, refused):
    data, frames = passed(reset(1, code) + reset(99), opened=(1, 3))

    assert data == reset(1, code) + reset(99)
    assert frames.refused == refused
    assert not frames.has_gone_away


def test_it_is_over_when_what_was_taken_has_ended_to_its_last_octet():
    last = frame(1, 1, b"head", flags=1) + frame(9, 1, b"more", flags=4) + frame(0, 1, b"body", flags=1)
    data, frames = passed(goaway(1), opened=(1, 3))
    for octet in last:
        assert not frames.is_over
        data += frames.received(bytes([octet]))

    assert data == reset(3) + last
    assert frames.is_over
    assert not passed(last, opened=(1,))[1].is_over, "nothing was refused"


def test_who_was_refused_behind_others_is_told_from_who_was_not():
    _, frames = passed(goaway(NONE_YET), opened=(1, 3))
    assert not frames.is_behind_others(1)
    frames.received(goaway(1))
    assert frames.is_behind_others(3)
    frames.received(goaway(0))
    assert not frames.is_behind_others(1)


@pytest.mark.parametrize(
    "wrong", [frame(7, 1, bytes(8)), frame(7, 0, bytes(7)), frame(3, 1, bytes(5)), frame(3, 1, b""), b"HTTP/1.1 400 No"]
)
def test_what_is_wrong_passes_for_the_parser_to_refuse(wrong):
    data, frames = passed(wrong, opened=(1, 3))

    assert wrong.startswith(data)
    assert len(wrong) - len(data) < 9, "a frame that does not begin waits"
    assert not frames.has_gone_away
    assert frames.refused == set()


def test_payloads_are_never_gathered():
    frames = Frames()
    assert frames.received(frame(0, 1, bytes(100))[:50]) == frame(0, 1, bytes(100))[:50]
    assert frames.received(b"") == b""
    assert frames.received(bytes(59)) == bytes(59)
    assert frames.received(goaway(NONE_YET, debug=bytes(100))[:50]) == b""
    assert frames.received(bytes(67) + frame(6, 0, bytes(8))) == frame(6, 0, bytes(8))


any_frame = st.one_of(
    st.builds(goaway, st.integers(0, 12) | st.just(NONE_YET), st.integers(0, 13), st.binary(max_size=20)),
    st.builds(reset, st.integers(0, 12), st.integers(0, 13)),
    st.builds(frame, st.integers(0, 12), st.integers(0, 12), st.binary(max_size=20), st.integers(0, 255)),
)


def split(data, cuts):
    places = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    return [data[begin:end] for begin, end in itertools.pairwise(places)]


@given(st.lists(any_frame, max_size=8), st.lists(st.integers(0, 10_000), max_size=30), st.sets(st.integers(1, 12)))
def test_where_frames_are_split_makes_no_difference(frames, cuts, opened):
    data = b"".join(frames)
    given_whole, whole = passed(data, opened=opened)
    given_split, in_parts = passed(*split(data, cuts), opened=opened)

    assert given_split == given_whole
    assert (in_parts.refused, in_parts.has_gone_away) == (whole.refused, whole.has_gone_away)


@given(st.binary(max_size=300), st.lists(st.integers(0, 300), max_size=10))
def test_octets_that_are_no_frames_come_through_in_order(data, cuts):
    given, frames = passed(*split(data, cuts), opened=(1,))

    if not frames.has_gone_away:
        assert data.startswith(given)
        assert len(data) - len(given) < 13


@given(st.sets(st.sampled_from([1, 3, 5, 7]), min_size=1), st.sampled_from([0, 1, 3, 5, 7]), st.integers(1, 40))
def test_the_parser_goes_on_after_it(answered, last, size):
    """h2 itself: what the server has taken comes through after a GOAWAY, and the rest is a stream that was reset."""
    client = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
    server = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
    frames = Frames()
    client.initiate_connection()
    server.initiate_connection()
    head = [(":method", "GET"), (":path", "/"), (":scheme", "https"), (":authority", "a")]
    for stream in (1, 3, 5, 7):
        frames.open(stream)
        client.send_headers(stream, head, end_stream=True)
    server.receive_data(client.data_to_send())
    data = server.data_to_send() + goaway(last, 0, b"debug")
    for stream in sorted(answered & set(range(last + 1))):
        server.send_headers(stream, [(":status", "200")])
        server.send_data(stream, b"answer", end_stream=True)
    data += server.data_to_send()

    events = []
    for at in range(0, len(data), size):
        if part := frames.received(data[at : at + size]):
            events += client.receive_data(part)

    ended = {each.stream_id for each in events if isinstance(each, h2.events.StreamEnded)}
    were_reset = {each.stream_id for each in events if isinstance(each, h2.events.StreamReset)}
    assert ended == {stream for stream in answered if stream <= last}
    assert were_reset == {stream for stream in (1, 3, 5, 7) if stream > last} == frames.refused


# --- connections ---------------------------------------------------------------------------------------------------


def speaking():
    return context_of(SERVER, CLIENTS.certificate, alpn=("h2",))


POST = {"method": "POST", "body": b"once"}


@pytest.mark.parametrize("code", [0, 2])
@pytest.mark.parametrize("in_two_steps", [False, True], ids=["at once", "in two steps"])
def test_what_was_taken_is_answered_after_a_goaway_and_the_rest_asked_elsewhere(fetch_all, in_two_steps, code):
    with serving(speaking(), ends=Ends(1, 1, code=code, in_two_steps=in_two_steps)) as server:
        calls = [("ALICE", server.url(f"/{number}"), POST) for number in range(3)]
        assert [each.json()["connection"] for each in fetch_all(BINDINGS, *calls, **TRUST)] == [1, 2, 2]

    assert [path for _, _, path, _ in server.seen] == ["/0", "/1", "/2"]


def test_what_was_taken_and_never_answered_is_told_and_no_refusal_of_the_certificate(fetch_one):
    with serving(speaking(), ends=Ends(1, 1, answers=False)) as server, pytest.raises(FetchError) as caught:
        fetch_one(BINDINGS, "ALICE", server.url(), TRUST, **POST)

    assert type(caught.value) is FetchError
    assert "got the end of the connection" in str(caught.value)
    assert server.connections == 1


@pytest.mark.parametrize("last", [1, NONE_YET])
def test_a_connection_that_takes_no_more_gets_nothing_and_is_closed_when_it_is_idle(last):
    """What the pool asks of a connection: whether it may be given to a request, or has to be closed."""
    idle = {"is_idle": lambda: True, "is_available": lambda: True, "has_expired": lambda: False}
    idle |= dict.fromkeys(("can_handle_request", "is_connected", "is_closed", "info"))
    network = SimpleNamespace(read=None, write=None, close=None, aclose=None, get_extra_info=lambda _: False)
    for kind, stream in ((Connection, HTTP2Stream(network)), (AsyncConnection, AsyncHTTP2Stream(network))):
        connection = kind(SimpleNamespace(**idle), STAGES)
        connection.note("connection.start_tls.complete", {"return_value": stream})
        assert (connection.is_available(), connection.has_expired()) == (True, False)
        stream.frames.received(goaway(last))
        assert (connection.is_available(), connection.has_expired()) == (False, True)


@pytest.mark.parametrize("body", [b"", b"once", bytes(300_000)], ids=["none", "short", "more than is taken"])
def test_a_refused_stream_is_asked_elsewhere(fetch_one, body):
    with serving(speaking(), refusing=2) as server:
        answer = fetch_one(BINDINGS, "ALICE", server.url("/refused"), TRUST, method="POST", body=body, timeout=5.0)

    assert answer.json()["connection"] == 3
    assert server.seen == [(3, "POST", "/refused", body)]


def test_a_body_that_was_being_sent_when_a_goaway_came_is_sent_elsewhere(fetch_one):
    with serving(speaking(), ends=Ends(1, 0)) as server:
        body = bytes(300_000)
        answer = fetch_one(BINDINGS, "ALICE", server.url("/big"), TRUST, method="POST", body=body)

    assert answer.json()["connection"] == 2
    assert server.seen == [(2, "POST", "/big", body)]


def test_a_stream_that_was_refused_is_not_read_a_second_time(fetch_one):
    with serving(speaking(), refusing=1) as server, pytest.raises(FetchError, match="that can be sent again"):
        fetch_one(BINDINGS, "ALICE", server.url("/refused"), TRUST, method="POST", body=iter([b"once"]))

    assert server.seen == []


@pytest.mark.parametrize("body", [b"", bytes(300_000)], ids=["none", "more than is taken"])
@pytest.mark.parametrize("how", [{"refusing": 100}, {"ends": Ends(1, 0, connections=100)}], ids=["resets", "goaways"])
def test_what_is_refused_for_ever_fails(fetch_one, how, body):
    with serving(speaking(), **how) as server, pytest.raises(FetchError) as caught:
        fetch_one(BINDINGS, "ALICE", server.url("/refused"), TRUST, method="POST", body=body)

    assert type(caught.value) is FetchError, "it is no refusal of the certificate"

    assert server.connections == 4
    assert server.seen == []


@pytest.mark.parametrize("kind", KINDS)
def test_no_call_to_nginx_is_lost_where_it_ends_connections_after_a_few(backend, tmp_path, kind):
    with nginx(tmp_path, SERVER, CLIENTS, http2="http2", requests="17") as url:
        calls = Load().send(kind, BINDINGS, plans(["ALICE"], url, workers=10, each=40), backend=backend, **TRUST)

    assert faults(calls) == []
    assert [call.outcome.text().split(" ")[2] for call in calls] == [call.path for call in calls]
    used = Counter(call.outcome.text().split(" ")[1] for call in calls)
    assert max(used.values()) == 17
