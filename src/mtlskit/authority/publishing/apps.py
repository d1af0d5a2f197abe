"""A `StatusService` as a WSGI and as an ASGI application: each reads no more of a body than it would take."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from http import HTTPStatus
from typing import Any, Final, TypeAlias

from mtlskit.authority.publishing.http import Answer, told
from mtlskit.authority.publishing.service import LARGEST_BODY, StatusService

Environ: TypeAlias = dict[str, Any]
StartResponse: TypeAlias = Callable[..., Any]
Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Any]]
Send: TypeAlias = Callable[[Any], Awaitable[None]]

_TOO_LARGE: Final = b"\0" * (LARGEST_BODY + 1)
_HEADERS: Final = {
    "HTTP_IF_NONE_MATCH": "if-none-match",
    "CONTENT_TYPE": "content-type",
}


class WSGIApp:
    """A WSGI application (PEP 3333) for any server: `WSGIApp(StatusService(authority))`."""

    def __init__(self, service: StatusService) -> None:
        self._service = service

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """One request."""
        answer = self._answer(environ)
        start_response(f"{answer.status} {HTTPStatus(answer.status).phrase}", list(answer.headers))
        return [answer.body]

    def _answer(self, environ: Environ) -> Answer:
        try:
            body = _body(environ)
        except ValueError:
            return told(400, "expected a Content-Length in digits")
        # What a server decoded as ISO-8859-1 (PEP 3333) stays so: a path of ours is ASCII.
        path = environ.get("PATH_INFO") or "/"
        headers = {name: environ[key] for key, name in _HEADERS.items() if environ.get(key)}
        return self._service.answer(environ["REQUEST_METHOD"], path, headers, body)


class ASGIApp:
    """An ASGI application for any server: `ASGIApp(StatusService(authority))`. It answers in threads."""

    def __init__(self, service: StatusService) -> None:
        self._service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One connection of the ASGI server; anything but HTTP and its lifespan is closed."""
        match scope["type"]:
            case "http":
                await self._respond(scope, receive, send)
            case "lifespan":
                await _live(receive, send)
            case _:
                await send({"type": "websocket.close", "code": 1000})

    async def _respond(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = await _received(receive)
        if body is None:
            return
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        answer = await asyncio.to_thread(self._service.answer, scope["method"], _path(scope), headers, body)
        raw = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in answer.headers]
        await send({"type": "http.response.start", "status": answer.status, "headers": raw})
        await send({"type": "http.response.body", "body": answer.body})


def _body(environ: Environ) -> bytes:
    text = environ.get("CONTENT_LENGTH") or "0"
    if not (text.isascii() and text.isdigit()):
        raise ValueError("expected a Content-Length in digits, got another text")
    if len(text) > 9 or int(text) > LARGEST_BODY:
        return _TOO_LARGE
    body: bytes = environ["wsgi.input"].read(int(text)) if int(text) else b""
    return body


# None where the client went away. What comes after too much is left to the server to throw away.
async def _received(receive: Receive) -> bytes | None:
    body: bytes = b""
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return None
        body += message.get("body", b"")
        if len(body) > LARGEST_BODY:
            return _TOO_LARGE
        if not message.get("more_body", False):
            return body


def _path(scope: Scope) -> str:
    path, root = str(scope["path"]), str(scope.get("root_path") or "")
    return path.removeprefix(root) if root and path.startswith(f"{root}/") else path


async def _live(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        if message["type"] == "lifespan.startup":
            await send({"type": "lifespan.startup.complete"})
        elif message["type"] == "lifespan.shutdown":
            await send({"type": "lifespan.shutdown.complete"})
            return
