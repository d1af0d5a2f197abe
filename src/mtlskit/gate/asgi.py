"""The gate as ASGI middleware: strip, decide, put the identity in place, or answer with a refusal.

Put it outermost. It needs the evidence that a server adapter (`mtlskit.gate.servers`) leaves in the scope, which no
client can write; without it every request is refused.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from datetime import datetime
from functools import lru_cache, partial
from ipaddress import ip_address
from typing import Any, TypeAlias
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from mtlskit.core.certificates import ClientIdentity, PresentedChain
from mtlskit.core.evidence import PeerEvidence
from mtlskit.core.reasons import Reason
from mtlskit.core.request import ClientAddress, RequestFacts, plain_path, readable_path
from mtlskit.core.verdict import Allow, Deny
from mtlskit.errors import ConfigurationError
from mtlskit.gate.connection import SCOPE_KEY, TARGET_KEY, Connection
from mtlskit.gate.forwarded import is_forwarded_certificate
from mtlskit.gate.gate import Gate
from mtlskit.gate.live import LiveRequests
from mtlskit.gate.problem import problem_body

Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Any]]
Send: TypeAlias = Callable[[Any], Awaitable[None]]
App: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

_VERDICT_KEY = "mtlskit.verdict"
_NO_EVIDENCE = PeerEvidence(server_name=None)
_TLS_VERSIONS = {"TLSv1.2": 0x0303, "TLSv1.3": 0x0304}


class MTLSMiddleware:
    """Calls `app` only for requests that `gate` allows."""

    def __init__(self, app: App, gate: Gate) -> None:
        self.app = app
        self.gate = gate
        self._live = LiveRequests(gate)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One connection of the ASGI server; `lifespan` passes, what is neither HTTP nor WebSocket does not."""
        kind = scope["type"]
        if kind == "lifespan":
            await self.app(scope, receive, send)
            return
        if kind not in ("http", "websocket"):
            raise ConfigurationError(f"expected an ASGI scope of type 'http' or 'websocket', got {kind!r}")
        connection: Connection | None = scope.get(SCOPE_KEY)
        if connection is None:
            await self._refuse(scope, send, _NO_EVIDENCE, Deny(reason=Reason.UNTRUSTED_SOURCE, detail=_HOW))
            return
        authority = _strip_and_find_authority(scope)
        get = scope.get
        facts = partial(_facts, get("method"), get("path"), get("raw_path"), get("client"), get("root_path"))
        verdict = self.gate.decide_on(connection, authority, facts)
        if isinstance(verdict, Deny):
            await self._refuse(scope, send, connection.evidence, verdict)
            return
        if verdict.again is not None and not verdict.enforced:
            self.gate.report_unenforced(connection.evidence, verdict)
        _put_in_place(scope, connection, verdict)
        end = self._live.begin(connection, authority, facts)
        try:
            await self.app(scope, receive, send)
        finally:
            end()

    async def _refuse(self, scope: Scope, send: Send, evidence: PeerEvidence, verdict: Deny) -> None:
        event = self.gate.report(evidence, verdict)
        start, body = _refusal(scope, verdict, problem_body(verdict, event.request_id))
        if scope["type"] == "http":
            await send({"type": "http.response.start", **start})
            await send({"type": "http.response.body", "body": body})
        elif "websocket.http.response" in (scope.get("extensions") or {}):
            await send({"type": "websocket.http.response.start", **start})
            await send({"type": "websocket.http.response.body", "body": body})
        else:
            await send({"type": "websocket.close", "code": 1008, "reason": verdict.reason.value})


_HOW = "the server gave no TLS evidence; run the app with a server of mtlskit.gate.servers"


def client_identity(scope: Scope) -> ClientIdentity | None:
    """The verified client of this request; None where the hostname wants, or this client showed, no certificate.

    Raises ConfigurationError if the request did not pass through `MTLSMiddleware`.
    """
    return verdict(scope).identity


def verdict(scope: Scope) -> Allow:
    """Why this request passed: its client, the policy that let it in, and whether the policies were `enforced`.

    Raises ConfigurationError if the request did not pass through `MTLSMiddleware`.
    """
    if _VERDICT_KEY not in scope:
        raise ConfigurationError("expected a request that passed MTLSMiddleware, got one that did not")
    found: Allow = scope[_VERDICT_KEY]
    return found


def _facts(
    method: str | None,
    path: str | None,
    raw_path: bytes | None,
    client: Sequence[Any] | None,
    root_path: str | None,
    hostname: str | None,
    at: datetime,
) -> RequestFacts:
    """What the server knows of a request. A path that it reads in another way than we do is unreadable."""
    raw = None if raw_path is None else raw_path.partition(b"?")[0].decode("latin-1")
    readable = plain_path(path or "") if raw is None else readable_path(raw)
    if root_path and readable is not None:
        # The server put it before what the client sent, and apps take it off again before they route.
        is_below = readable.startswith(f"{root_path.rstrip('/')}/") and readable == path
        readable = path = readable.removeprefix(root_path.rstrip("/")) if is_below else ""
    return RequestFacts(
        # A WebSocket's handshake is a GET (RFC 6455, 4.1). Frameworks take "delete" for "DELETE", which it is not.
        method="GET" if method is None else method if method == method.upper() else None,
        path=readable if readable and readable == path else None,
        client_address=_address(client[0]) if client else None,
        hostname=hostname,
        at=at,
    )


@lru_cache(maxsize=1024)
def _address(text: str) -> ClientAddress | None:
    try:
        return ip_address(text)
    except ValueError:
        return None  # a UNIX socket's path


def _strip_and_find_authority(scope: Scope) -> str | None:
    """Takes forwarded-certificate headers out of the scope (I8); gives the one Host, or None if there is not one."""
    headers = scope["headers"]
    authority: str | None = None
    hosts = stripped = 0
    for name, value in headers:
        if name == b"host":
            hosts += 1
            authority = value.decode("latin-1")
        elif is_forwarded_certificate(name):
            stripped += 1
    if stripped:
        scope["headers"] = [(name, value) for name, value in headers if not is_forwarded_certificate(name)]
    return authority if hosts == 1 and _is_own_target(scope, authority) else None


def _is_own_target(scope: Scope, host: str | None) -> bool:
    """Whether the request target names no other authority than Host (RFC 9112, 3.2.2), and is no tunnel's."""
    target = scope.get(TARGET_KEY) or scope.get("path") or "/"
    if scope.get("method") == "CONNECT":
        return False
    if target[0] == "/" or target == "*":
        return True
    try:
        return urlsplit(target).netloc == host
    except ValueError:
        return False


def _put_in_place(scope: Scope, connection: Connection, verdict: Allow) -> None:
    scope[_VERDICT_KEY] = verdict
    tls = connection.tls_scope
    if tls is None:
        tls = connection.tls_scope = _tls_extension(connection.evidence.presented, connection.evidence.tls_version)
    # A verdict without an identity shows the app no certificate: nobody has verified it.
    shown = tls if verdict.identity is not None else {**tls, "client_cert_chain": (), "client_cert_name": None}
    scope["extensions"] = {**(scope.get("extensions") or {}), "tls": dict(shown)}


@lru_cache(maxsize=256)
def _tls_extension(presented: PresentedChain | None, tls_version: str | None) -> dict[str, Any]:
    """The ASGI TLS extension 0.2. `server_cert` and `cipher_suite` are not known on every backend: None.

    Remembered, since devices come back; nobody changes what is remembered: each scope gets a copy.
    """
    certificates = presented.certificates() if presented else ()
    return {
        "server_cert": None,
        "client_cert_chain": tuple(map(_pem, certificates)),
        "client_cert_name": certificates[0].subject.rfc4514_string() if certificates else None,
        "client_cert_error": None,
        "tls_version": _TLS_VERSIONS.get(tls_version or ""),
        "cipher_suite": None,
    }


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode("ascii")


def _refusal(scope: Scope, verdict: Deny, body: bytes) -> tuple[dict[str, Any], bytes]:
    headers = [
        (b"content-type", b"application/problem+json"),
        (b"content-length", b"%d" % len(body)),
        (b"cache-control", b"no-store"),
    ]
    if verdict.status == 403 and scope.get("http_version", "1.1") in ("1.0", "1.1"):
        headers.append((b"connection", b"close"))
    return {"status": verdict.status, "headers": headers}, b"" if scope.get("method") == "HEAD" else body
