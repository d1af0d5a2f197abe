"""Answers that are not what they should be: one error of ours, or the right answer, and the next call works."""

import gzip
import pickle
import zlib
from contextlib import suppress

import pytest

from fetch.servers import context_of, serving
from mtlskit.core.reasons import Reason
from mtlskit.errors import FetchError, HandshakeError, PathError
from mtlskit.fetch import CertificateUse, Environment
from mtlskit.fetch.messages import Headers
from mtlskit.fetch.responses import Response
from mtlskit.ports import Verification
from mtlskit.testing.certificates import SERVER_AUTH, Authority

SERVERS, CLIENTS = Authority.root("Server root"), Authority.root("Client root")
SERVER = SERVERS.leaf("server", sans=("dns:localhost",), usages=(SERVER_AUTH,))
BINDINGS = {"ALICE": CLIENTS.leaf("alice")}
TRUST = {"trust": [SERVERS.certificate]}
TEXT = b"text " * 1000
TWICE = gzip.compress(gzip.compress(TEXT))


def demanding():
    return context_of(SERVER, CLIENTS.certificate)


def raw(octets, goes_on=True):
    def answer(tls, _seen):
        tls.sendall(octets)
        return goes_on

    return answer


def encoded(coding, content):
    return (200, {"Content-Encoding": coding}, content)


# --- how a body is encoded -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("coding", "content", "body"),
    [
        ("gzip", gzip.compress(TEXT), TEXT),
        ("GZip ", gzip.compress(TEXT), TEXT),
        ("x-gzip", gzip.compress(TEXT), TEXT),
        ("gzip", gzip.compress(b"first") + gzip.compress(b"second"), b"firstsecond"),
        ("deflate", zlib.compress(TEXT), TEXT),
        ("deflate", zlib.compress(TEXT)[2:-4], TEXT),  # without the frame of zlib
        ("gzip", b"", b""),
        ("identity", TEXT, TEXT),
        ("br", TEXT, TEXT),
        ("g\xe4ip", TEXT, TEXT),
        ("gzip, gzip", TWICE, TWICE),
    ],
    ids=range(11),  # what is compressed has the time in it
)
def test_one_coding_is_decoded_and_what_we_do_not_ask_for_left_as_it_is(fetch_one, coding, content, body):
    with serving(demanding(), **{"/": encoded(coding, content)}) as server:
        assert fetch_one(BINDINGS, "ALICE", server.url(), TRUST).content == body


@pytest.mark.parametrize(
    ("coding", "content"),
    [
        ("gzip", gzip.compress(TEXT)[:-1]),
        ("gzip", gzip.compress(TEXT)[:20]),
        ("gzip", gzip.compress(TEXT) + b"garbage"),
        ("gzip", b"garbage"),
        ("deflate", zlib.compress(TEXT)[:-1]),
        ("deflate", zlib.compress(TEXT) + b"more"),
        ("deflate", b"\xff" * 20),
    ],
    ids=range(7),
)
def test_a_body_that_is_not_whole_is_told(fetch_all, coding, content):
    with serving(demanding(), **{"/": encoded(coding, content)}) as server:
        error, after = fetch_all(BINDINGS, ("ALICE", server.url(), {}), ("ALICE", server.url("/x"), {}), **TRUST)

    assert isinstance(error, FetchError)
    assert "expected a whole HTTP answer" in str(error)
    assert after.json()["client"] == "alice"


def test_a_little_that_stands_for_very_much_comes_in_parts(backend):
    bomb = gzip.compress(bytes(20_000_000))
    with (
        serving(demanding(), **{"/": encoded("gzip", bomb)}) as server,
        Environment(BINDINGS, backend=backend, **TRUST) as env,
        env.ALICE.stream(server.url()) as response,
    ):
        sizes = list(map(len, response.body))

    assert (sum(sizes), max(sizes) <= 256 * 1024) == (20_000_000, True)


# --- heads and ends ------------------------------------------------------------------------------------------------


def test_a_server_that_never_asked_has_refused_no_certificate(fetch_one):
    context = context_of(SERVER, verify=Verification.NONE)
    with serving(context, **{"/": raw(b"", goes_on=False)}) as server, pytest.raises(FetchError) as caught:
        fetch_one(BINDINGS, "ALICE", server.url(), TRUST)

    assert "got the end of the connection" in str(caught.value)


@pytest.mark.parametrize("version", ["1.2", "1.3"])
@pytest.mark.parametrize("says_so", [True, False])
def test_a_body_that_ends_with_its_connection_is_whole_only_where_tls_says_so(fetch_one, version, says_so):
    def answer(tls, _seen):
        tls.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nall, or the beginning")
        if says_so:
            with suppress(OSError):
                tls.settimeout(0.2)
                tls.unwrap()
        return False

    context = context_of(SERVER, CLIENTS.certificate, version=version)
    with serving(context, **{"/": answer}) as server:
        if says_so:
            assert fetch_one(BINDINGS, "ALICE", server.url(), TRUST).text() == "all, or the beginning"
        else:
            with pytest.raises(FetchError, match="got the end of the connection"):
                fetch_one(BINDINGS, "ALICE", server.url(), TRUST)


def test_a_body_is_not_read_after_its_block(backend):
    body = (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        + b"4000\r\n"
        + bytes(0x4000)
        + b"\r\n"
        + b"1\r\nx\r\n0\r\n\r\n"
    )
    with serving(demanding(), **{"/": raw(body)}) as server, Environment(BINDINGS, backend=backend, **TRUST) as env:
        with env.ALICE.stream(server.url()) as response:
            parts = response.body
            next(parts)
        with pytest.raises(FetchError, match="within the block of its response"):
            next(parts)
        with pytest.raises(FetchError, match="within the block of its response"):
            next(response.body)


@pytest.mark.parametrize(
    "content_type",
    [f"text/plain; charset={name}" for name in ("hex", "base64", "rot13", "zlib", "undefined", "x\0y", "")]
    + ["text/plain; charset*" + "9" * 5000 + "=x", "text/plain; charset*0*=x; charset*1=y", 'text/plain; charset="'],
)
def test_text_is_text_whatever_charset_a_server_names(content_type):
    response = Response(
        status=200, headers=Headers([("Content-Type", content_type)]), url="https://a.example/", redirected=False,
        client_certificate=CertificateUse.REQUESTED, content=b"abc",
    )  # fmt: skip

    assert response.text() == "abc"


@pytest.mark.parametrize("content", [b"NaN", b"[Infinity]", b"[" * 100_000, b"\xff", b"1" * 5000])
def test_what_is_no_json_is_told(content):
    response = Response(
        status=200, headers=Headers(), url="https://a.example/", redirected=False,
        client_certificate=CertificateUse.REQUESTED, content=content,
    )  # fmt: skip

    with pytest.raises(FetchError, match="expected JSON"):
        response.json()


@pytest.mark.parametrize(
    "error", [HandshakeError(Reason.NAME_MISMATCH, 42, "detail"), PathError(Reason.EXPIRED, None, "detail", {"a": 1})]
)
def test_errors_travel_between_processes(error):
    found = pickle.loads(pickle.dumps(error))

    assert (type(found), str(found), vars(found)) == (type(error), str(error), vars(error))
