"""The middleware alone, called as an ASGI server calls it."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtlskit.core.evidence import PeerEvidence
from mtlskit.errors import ConfigurationError, Unavailable
from mtlskit.gate.asgi import MTLSMiddleware, client_identity
from mtlskit.gate.connection import SCOPE_KEY, Connection
from mtlskit.gate.forwarded import is_forwarded_certificate
from support.world import ACME, PUBLIC, UMBRELLA, World, certificates, world


class Peer:
    """Stands for the server's TLS object."""

    def __init__(self, client: str | None, hostname: str) -> None:
        presented = certificates().clients[client].presented() if client else None
        self._evidence = PeerEvidence(server_name=hostname, presented=presented, tls_version="TLSv1.3")

    def evidence(self) -> PeerEvidence:
        return self._evidence


class Call:
    """One request through the middleware: what the app saw and what was sent."""

    def __init__(
        self, saas: World, client: str | None, hostname: str, /, *headers: tuple[bytes, bytes], **scope: Any
    ) -> None:
        self.seen: dict[str, Any] | None = None
        self.sent: list[dict[str, Any]] = []
        self.closed = 0
        sent_headers = list(headers) or [(b"host", hostname.encode())]
        self.scope: dict[str, Any] = {"type": "http", "method": "GET", "http_version": "1.1", "headers": sent_headers}
        self.scope[SCOPE_KEY] = Connection(Peer(client, hostname), self._close)
        self.scope.update(scope)
        asyncio.run(MTLSMiddleware(self._app, saas.gate)(self.scope, self._receive, self._send))

    def _close(self) -> None:
        self.closed += 1

    async def _app(self, scope: Any, receive: Any, send: Any) -> None:
        self.seen = dict(scope)
        await send({"type": "http.response.start", "status": 200, "headers": []})

    async def _receive(self) -> dict[str, Any]:
        return {"type": "http.disconnect"}

    async def _send(self, message: dict[str, Any]) -> None:
        self.sent.append(message)

    @property
    def status(self) -> int:
        return int(self.sent[0]["status"])

    @property
    def problem(self) -> dict[str, Any]:
        return dict(json.loads(self.sent[1]["body"]))


@pytest.fixture(scope="module")
def provider() -> Iterator[World]:
    with world("ssl") as made:
        yield made


def test_an_allowed_request_reaches_the_app_with_its_identity(provider: World) -> None:
    call = Call(provider, "acme", ACME)
    assert call.status == 200
    assert call.seen is not None
    identity = client_identity(call.seen)
    assert identity is not None
    assert (identity.common_name, identity.uris) == ("device-17", ("urn:acme:device:17",))
    tls = call.seen["extensions"]["tls"]
    assert set(tls) == {
        "server_cert",
        "client_cert_chain",
        "client_cert_name",
        "client_cert_error",
        "tls_version",
        "cipher_suite",
    }
    assert tls["client_cert_chain"][0].encode() == certificates().clients["acme"].chain_pem()
    assert (tls["client_cert_name"], tls["tls_version"]) == ("CN=device-17", 0x0304)


def test_a_hostname_without_client_authentication_shows_no_identity(provider: World) -> None:
    call = Call(provider, "acme", PUBLIC)
    assert call.seen is not None
    assert client_identity(call.seen) is None
    assert call.seen["extensions"]["tls"]["client_cert_chain"] == ()
    assert call.seen["extensions"]["tls"]["client_cert_name"] is None


@pytest.mark.parametrize(
    ("client", "hostname", "host", "status", "reason"),
    [
        ("umbrella", ACME, ACME, 403, "wrong_tenant_issuer"),
        ("stranger", ACME, ACME, 403, "unknown_issuer"),
        (None, ACME, ACME, 403, "no_certificate"),
        ("acme", ACME, UMBRELLA, 421, "authority_mismatch"),
        ("acme", "unknown.example", "unknown.example", 403, "server_name_unknown"),
    ],
)
def test_a_refusal_is_a_problem_document_without_detail(
    provider: World, client: str | None, hostname: str, host: str, status: int, reason: str
) -> None:
    provider.events.clear()
    call = Call(provider, client, hostname, (b"host", host.encode()))
    assert call.seen is None
    assert call.status == status
    headers = dict(call.sent[0]["headers"])
    assert headers[b"content-type"] == b"application/problem+json"
    assert (b"connection" in headers) is (status == 403)
    [event] = provider.events
    assert call.problem == {
        "type": "about:blank",
        "title": {403: "Forbidden", 421: "Misdirected Request"}[status],
        "status": status,
        "reason": reason,
        "request_id": event.request_id,
    }
    assert (event.stage.value, event.reason.value, len(event.request_id)) == ("request", reason, 16)


@pytest.mark.parametrize("hosts", [(), (ACME, ACME), (ACME, UMBRELLA), (UMBRELLA, ACME)])
@pytest.mark.invariant(2)
def test_i2_a_request_has_exactly_one_host(provider: World, hosts: tuple[str, ...]) -> None:
    headers = [(b"accept", b"*/*"), *((b"host", host.encode()) for host in hosts)]
    call = Call(provider, "acme", ACME, *headers)
    assert (call.seen, call.status) == (None, 421)


@pytest.mark.invariant(2)
@pytest.mark.parametrize(
    ("scope", "status"),
    [
        ({"path": f"https://{ACME}/admin"}, 200),
        ({"path": f"https://{UMBRELLA}/admin"}, 421),
        ({"path": "/admin", "mtlskit.target": f"https://{UMBRELLA}/admin"}, 421),
        ({"path": "/admin", "mtlskit.target": f"https://{ACME}/admin"}, 200),
        ({"path": f"{UMBRELLA}:443", "method": "CONNECT"}, 421),
        ({"path": f"{ACME}:443", "method": "CONNECT"}, 421),
        ({"path": "*", "method": "OPTIONS"}, 200),
        ({"path": "//umbrella.example/"}, 200),
        ({"path": ""}, 200),
    ],
)
def test_i2_a_target_that_names_an_authority_names_the_same_one(
    provider: World, scope: dict[str, str], status: int
) -> None:
    assert Call(provider, "acme", ACME, **scope).status == status


@pytest.mark.invariant(12)
def test_i12_long_header_names_are_not_remembered() -> None:
    from mtlskit.gate import forwarded

    before = forwarded._remembered.cache_info().currsize
    assert is_forwarded_certificate(b"Client-Cert-" + b"x" * 100_000)
    assert not is_forwarded_certificate(b"y" * 100_000)
    assert forwarded._remembered.cache_info().currsize == before


@pytest.mark.invariant(3)
def test_i3_without_evidence_of_a_server_adapter_every_request_is_refused(provider: World) -> None:
    call = Call(provider, "acme", ACME, **{SCOPE_KEY: None})
    assert (call.seen, call.status, call.problem["reason"]) == (None, 403, "untrusted_source")


FORWARDED = [
    "Client-Cert", "client-cert-chain", "Client_Cert", "X-Forwarded-Client-Cert", "x_forwarded_client_cert",
    "X-Forwarded-Tls-Client-Cert", "X-Forwarded-Tls-Client-Cert-Info", "X-SSL-Client-Cert", "SSL-Client-Cert",
    "SSL_CLIENT_S_DN", "Ssl-Client-Verify", "X-SSL-Client-S-DN", "X-Client-Cert", "X-Amzn-Mtls-Clientcert",
    "X-Amzn-Mtls-Clientcert-Leaf", "CloudFront-Viewer-Cert-Serial-Number", "Cf-Client-Cert-Der-Base64",
    "Cf-Cert-Presented", "X-ARR-ClientCert", "X-Ssl-Client-Escaped-Cert", "x-client_certificate",
    "Cert-Chain", "CERT_CHAIN_0", "X-SSL-Issuer", "X-SSL-Subject", "X-Client-S-DN", "X-Client-I-DN", "X-Client-Subject",
    "X-Client-Issuer", "X-Client-Verified", "TLS-Client-Cert", "X-Certificate", "SSLClientCertSubject", "SSL.Client.Cert",
]  # fmt: skip


@pytest.mark.invariant(8)
@pytest.mark.parametrize("name", FORWARDED)
@pytest.mark.parametrize("hostname", [ACME, PUBLIC])
def test_i8_every_spelling_of_a_forwarded_certificate_is_stripped(provider: World, name: str, hostname: str) -> None:
    for spelling in {name, name.lower(), name.upper(), name.replace("-", "_"), name.replace("_", "-")}:
        headers = [(b"host", hostname.encode()), (spelling.encode(), b"CN=admin"), (b"accept", b"*/*")]
        call = Call(provider, "acme", hostname, *headers)
        assert call.seen is not None
        assert call.seen["headers"] == [(b"host", hostname.encode()), (b"accept", b"*/*")], spelling


@pytest.mark.invariant(8)
@given(st.sampled_from(FORWARDED), st.lists(st.booleans(), min_size=60, max_size=60))
def test_i8_no_mix_of_case_and_underscores_gets_through(name: str, choices: list[bool]) -> None:
    mixed = "".join(
        (character.upper() if choice else character.lower()) if character not in "-_" else "-_"[choice]
        for character, choice in zip(name, choices, strict=False)
    )
    assert is_forwarded_certificate(mixed.encode())


@pytest.mark.parametrize(
    "name",
    [
        "host",
        "cookie",
        "authorization",
        "x-forwarded-for",
        "x-forwarded-proto",
        "accept",
        "content-type",
        "x-client-version",
        "x-client-id",
        "x-certified",
    ],
)
def test_other_headers_stay(name: str) -> None:
    assert not is_forwarded_certificate(name.encode())


@pytest.mark.invariant(8)
def test_i8_a_scope_that_came_with_an_identity_loses_it(provider: World) -> None:
    forged = {"mtlskit.verdict": "admin", "extensions": {"tls": {"client_cert_name": "CN=admin"}, "other": {}}}
    call = Call(provider, None, PUBLIC, **forged)
    assert call.seen is not None
    assert client_identity(call.seen) is None
    assert call.seen["extensions"]["tls"]["client_cert_name"] is None
    assert "other" in call.seen["extensions"]


def test_the_identity_needs_the_middleware() -> None:
    with pytest.raises(ConfigurationError, match="MTLSMiddleware"):
        client_identity({"type": "http"})


def test_lifespan_passes_and_unknown_scopes_do_not(provider: World) -> None:
    assert Call(provider, None, ACME, type="lifespan").seen is not None
    with pytest.raises(ConfigurationError, match="'http' or 'websocket', got 'telnet'"):
        Call(provider, "acme", ACME, type="telnet")


def test_a_refused_websocket_is_closed_or_answered(provider: World) -> None:
    closed = Call(provider, None, ACME, type="websocket")
    assert closed.sent == [{"type": "websocket.close", "code": 1008, "reason": "no_certificate"}]
    answered = Call(provider, None, ACME, type="websocket", extensions={"websocket.http.response": {}})
    assert [message["type"] for message in answered.sent] == [
        "websocket.http.response.start",
        "websocket.http.response.body",
    ]
    assert answered.status == 403


def test_a_head_request_gets_no_body_and_http2_no_connection_header(provider: World) -> None:
    assert Call(provider, None, ACME, method="HEAD").sent[1]["body"] == b""
    assert b"connection" not in dict(Call(provider, None, ACME, http_version="2").sent[0]["headers"])


def test_what_a_peer_sends_is_escaped_in_events_and_no_format_string(
    provider: World, caplog: pytest.LogCaptureFixture
) -> None:
    provider.events.clear()
    caplog.set_level(logging.INFO, "mtlskit.gate")
    evil = certificates().umbrella.leaf("%s%n\r\nevil \x1b[31m{0}" + "x" * 30)
    presented = evil.presented()
    evidence = PeerEvidence(server_name="%s\r\n\x1b[31m.example", presented=presented)
    verdict = provider.gate.decide(evidence, ACME)
    provider.gate.report(evidence, verdict)  # type: ignore[arg-type]
    [event] = provider.events
    shown = f"{event.hostname}{event.unverified_subject}{event.detail}"
    assert shown.isprintable()
    assert shown.isascii()
    assert "evil" not in caplog.text
    assert caplog.records[0].getMessage() == "request refused: server_name_unknown"
    assert caplog.records[0].__dict__["mtlskit"]["unverified_subject"] == event.unverified_subject


def test_a_subscriber_that_raises_changes_nothing(caplog: pytest.LogCaptureFixture) -> None:
    def broken(_event: object) -> None:
        raise RuntimeError("boom")

    with world("ssl") as saas:
        unsubscribe = saas.gate.subscribe(broken)
        assert Call(saas, None, ACME).status == 403
        assert "a subscriber of gate events failed" in caplog.text
        unsubscribe()


def test_a_running_request_is_ended_when_a_change_denies_it() -> None:
    """I6 for streams and WebSockets: the connection is closed within a second, its neighbours' are not."""
    with world("ssl") as saas:
        closed: list[str] = []

        async def app(scope: Any, _receive: Any, _send: Any) -> None:
            await asyncio.sleep(1.5)

        async def request(client: str, hostname: str) -> None:
            connection = Connection(Peer(client, hostname), lambda: closed.append(client))
            scope = {"type": "websocket", "headers": [(b"host", hostname.encode())], SCOPE_KEY: connection}
            await middleware(scope, None, None)  # type: ignore[arg-type]

        async def change() -> None:
            await asyncio.sleep(0.1)
            saas.gate.hostnames.remove(ACME)

        async def main() -> None:
            await asyncio.gather(request("acme", ACME), request("umbrella", UMBRELLA), change())

        middleware = MTLSMiddleware(app, saas.gate)
        asyncio.run(main())
        assert closed
        assert set(closed) == {"acme"}


def test_running_requests_are_ended_when_the_store_falls_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    with world("ssl") as saas:
        closed: list[str] = []

        async def app(_scope: Any, _receive: Any, _send: Any) -> None:
            def gone() -> None:
                raise Unavailable("expected a store that answers, got none")

            monkeypatch.setattr(saas.store, "poll", gone)
            monkeypatch.setattr("mtlskit.gate.freshness._STALE_SECONDS", 0.1)
            await asyncio.sleep(2)

        async def main() -> None:
            connection = Connection(Peer("acme", ACME), lambda: closed.append("acme"))
            scope = {"type": "websocket", "headers": [(b"host", ACME.encode())], SCOPE_KEY: connection}
            await MTLSMiddleware(app, saas.gate)(scope, None, None)  # type: ignore[arg-type]

        asyncio.run(main())
        assert closed


def test_a_change_between_the_verdict_and_the_start_of_the_request_is_not_missed() -> None:
    with world("ssl") as saas:
        closed: list[str] = []

        class Racing(MTLSMiddleware):
            """Commits the change in the moment after the verdict."""

            async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
                decide_on = saas.gate.decide_on

                def racing(connection: Connection, authority: str | None, facts: Any) -> Any:
                    verdict = decide_on(connection, authority, facts)
                    saas.gate.decide_on = decide_on  # type: ignore[method-assign]
                    saas.gate.hostnames.remove(ACME)
                    return verdict

                saas.gate.decide_on = racing  # type: ignore[method-assign]
                await super().__call__(scope, receive, send)

        async def app(_scope: Any, _receive: Any, _send: Any) -> None:
            await asyncio.sleep(1.2)

        connection = Connection(Peer("acme", ACME), lambda: closed.append("acme"))
        scope = {"type": "websocket", "headers": [(b"host", ACME.encode())], SCOPE_KEY: connection}
        asyncio.run(Racing(app, saas.gate)(scope, None, None))  # type: ignore[arg-type]
        assert closed
