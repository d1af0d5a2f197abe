"""The service behind WSGI and ASGI: the same answers, and no more of a body is read than would be taken."""

from __future__ import annotations

import asyncio
import http.client
import io
import threading
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit
from wsgiref.validate import validator

import pytest

from mtlskit.authority import CertificateAuthority
from mtlskit.authority.publishing import Answer, ASGIApp, StatusService, WSGIApp
from mtlskit.authority.publishing.service import LARGEST_BODY
from mtlskit.ports import Store

from .test_ocsp_responder import about, read, serving

TYPE = "application/ocsp-request"


@pytest.fixture
def service(acme: CertificateAuthority, store: Store) -> StatusService:
    """Of an authority whose clock stands still: what is answered twice is the same."""
    moment = datetime.now(UTC)
    return StatusService(CertificateAuthority.open(acme.name, store=store, clock=lambda: moment))


class Body(io.BytesIO):
    """A body that says how much of it was read."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.taken = 0

    def read(self, size: int | None = -1, /) -> bytes:
        found = super().read(size)
        self.taken += len(found)
        return found


def by_wsgi(service: StatusService, method: str, path: str, body: bytes = b"", **environ: Any) -> Answer:
    """One request through the application, which the standard library's validator watches."""
    given: dict[str, Any] = {
        "REQUEST_METHOD": method, "SCRIPT_NAME": "", "PATH_INFO": path, "QUERY_STRING": "", "SERVER_NAME": "localhost",
        "SERVER_PORT": "80", "SERVER_PROTOCOL": "HTTP/1.1", "wsgi.version": (1, 0), "wsgi.url_scheme": "http",
        "wsgi.input": Body(body), "wsgi.errors": io.StringIO(), "wsgi.multithread": True, "wsgi.multiprocess": False,
        "wsgi.run_once": False, "CONTENT_TYPE": TYPE, "CONTENT_LENGTH": str(len(body)),
    }  # fmt: skip
    started: list[tuple[str, list[tuple[str, str]]]] = []

    def start(status: str, headers: list[tuple[str, str]], *_: object) -> object:
        started.append((status, headers))
        return lambda data: None

    result: Iterable[bytes] = validator(WSGIApp(service))({**given, **environ}, start)
    data = b"".join(result)
    result.close()  # type: ignore[attr-defined]
    ((status, headers),) = started
    assert status.split(" ", 1)[1]
    return Answer(int(status[:3]), tuple(headers), data)


def by_asgi(
    service: StatusService,
    method: str,
    path: str,
    *chunks: bytes,
    headers: Iterable[tuple[bytes, bytes]] = (),
    **scope: Any,
) -> Answer | None:
    """One request through the application; None where it answered nothing."""
    messages: list[dict[str, Any]] = [
        {"type": "http.request", "body": chunk, "more_body": number < len(chunks) - 1}
        for number, chunk in enumerate(chunks or (b"",))
    ]
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return messages.pop(0) if messages else {"type": "http.disconnect"}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    given = {
        "type": "http", "method": method, "path": path, "root_path": "",
        "headers": [(b"content-type", TYPE.encode()), *headers],
    }  # fmt: skip
    asyncio.run(ASGIApp(service)({**given, **scope}, receive, send))
    if not sent:
        return None
    start, body = sent
    names = tuple((name.decode(), value.decode()) for name, value in start["headers"])
    return Answer(start["status"], names, body["body"])


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/1.crl"), ("HEAD", "/1.crl"), ("GET", "/"), ("PUT", "/1.crl"), ("POST", "/ocsp")]
)
def test_both_give_the_service_s_answer(service: StatusService, method: str, path: str) -> None:
    wanted = service.answer(method, path, {"content-type": TYPE}, b"\x30\x00")
    assert by_wsgi(service, method, path, b"\x30\x00") == wanted
    assert by_asgi(service, method, path, b"\x30\x00") == wanted
    assert by_asgi(service, method, path, b"\x30", b"", b"\x00") == wanted


def test_both_ask_ocsp(service: StatusService, acme: CertificateAuthority) -> None:
    device = acme.issue_client("device")
    request = about(acme, device)
    for answer in (
        by_wsgi(service, "POST", "/ocsp", request),
        by_asgi(service, "POST", "/ocsp", *(bytes((each,)) for each in request)),
    ):
        assert answer is not None
        assert read(answer.body).serial_number == device.serial_number


def test_both_pass_the_conditions_on(service: StatusService) -> None:
    first = service.answer("GET", "/1.crl", {})
    etag = dict(first.headers)["etag"]
    assert by_wsgi(service, "GET", "/1.crl", HTTP_IF_NONE_MATCH=etag).status == 304
    for name in (b"If-None-Match", b"if-none-match"):
        answer = by_asgi(service, "GET", "/1.crl", headers=[(name, etag.encode())])
        assert answer is not None
        assert answer.status == 304


def test_both_can_be_mounted_below_a_path(service: StatusService) -> None:
    assert by_wsgi(service, "GET", "/1.crl", SCRIPT_NAME="/pki").status == 200
    for path, root, wanted in (
        ("/pki/1.crl", "/pki", 200),
        ("/1.crl", "/pki", 200),
        ("/pki1.crl", "/pki", 404),
        ("/pki", "/pki", 404),
    ):
        answer = by_asgi(service, "GET", path, root_path=root)
        assert answer is not None
        assert answer.status == wanted


@pytest.mark.invariant("I12")
def test_a_long_body_is_not_read_by_wsgi(service: StatusService) -> None:
    body = Body(bytes(LARGEST_BODY + 1))
    for length in (str(LARGEST_BODY + 1), "9" * 30):
        answer = by_wsgi(service, "POST", "/ocsp", CONTENT_LENGTH=length, **{"wsgi.input": body})
        assert (answer.status, body.taken) == (413, 0)
    body = Body(bytes(3 * LARGEST_BODY))  # longer than it says
    assert by_wsgi(service, "POST", "/ocsp", CONTENT_LENGTH=str(LARGEST_BODY), **{"wsgi.input": body}).status == 200
    assert body.taken == LARGEST_BODY


@pytest.mark.invariant("I12")
def test_a_long_body_is_not_read_by_asgi(service: StatusService) -> None:
    taken = []

    async def run() -> int:
        sent: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            taken.append(1)
            return {"type": "http.request", "body": bytes(1_000), "more_body": True}

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        scope = {"type": "http", "method": "POST", "path": "/ocsp", "headers": [(b"content-type", TYPE.encode())]}
        await ASGIApp(service)(scope, receive, send)
        return int(sent[0]["status"])

    assert asyncio.run(run()) == 413
    assert len(taken) == LARGEST_BODY // 1_000 + 1


@pytest.mark.parametrize("length", ["-1", "1.0", "x", "\u0661", "1 "])
def test_a_length_that_is_none_is_refused(service: StatusService, length: str) -> None:
    answers: list[str] = []
    environ = {"REQUEST_METHOD": "POST", "PATH_INFO": "/ocsp", "CONTENT_LENGTH": length, "wsgi.input": Body(b"")}
    WSGIApp(service)(environ, lambda status, headers: answers.append(status))
    assert answers == ["400 Bad Request"]


def test_who_goes_away_gets_no_answer(service: StatusService) -> None:
    sent: list[object] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    async def send(message: object) -> None:
        sent.append(message)

    asyncio.run(ASGIApp(service)({"type": "http", "method": "GET", "path": "/1.crl", "headers": []}, receive, send))
    assert sent == []


def test_the_event_loop_goes_on_while_a_list_is_signed(service: StatusService, monkeypatch: pytest.MonkeyPatch) -> None:
    turned, original = threading.Event(), service.answer

    def slow(*arguments: Any) -> Answer:
        assert turned.wait(10), "the loop stood still"
        return original(*arguments)

    monkeypatch.setattr(service, "answer", slow)

    async def run() -> None:
        async def receive() -> dict[str, Any]:
            return {"type": "http.request"}

        async def send(message: object) -> None:
            pass

        scope = {"type": "http", "method": "GET", "path": "/1.crl", "headers": []}
        request = asyncio.ensure_future(ASGIApp(service)(scope, receive, send))
        await asyncio.sleep(0.01)
        turned.set()
        await request

    asyncio.run(run())


def test_the_lifespan_is_answered(service: StatusService) -> None:
    messages, sent = [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}], []

    async def receive() -> dict[str, str]:
        return messages.pop(0)

    async def send(message: dict[str, str]) -> None:
        sent.append(message["type"])

    asyncio.run(ASGIApp(service)({"type": "lifespan"}, receive, send))
    assert sent == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
    sent.clear()
    asyncio.run(ASGIApp(service)({"type": "websocket"}, receive, send))
    assert sent == ["websocket.close"]


def test_a_real_server_serves_both(store: Store, acme: CertificateAuthority) -> None:
    service = StatusService(acme)
    with serving(service) as url:
        connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=10)
        for method, path, status in (
            ("GET", "/1.crl", 200),
            ("HEAD", "/1.crl", 200),
            ("GET", "/x", 404),
            ("DELETE", "/1.crl", 405),
        ):
            connection.request(method, path)
            response = connection.getresponse()
            body = response.read()
            assert (response.status, body) == (status, service.answer(method, path, {}).body)
            connection.close()
        connection.request(
            "POST", "/ocsp", body=about(acme, acme.issue_client("device")), headers={"Content-Type": TYPE}
        )
        response = connection.getresponse()
        assert read(response.read()).response_status.name == "SUCCESSFUL"
        assert response.headers["Cache-Control"] == "no-store"
        connection.close()
