"""The router alone: what it reads, how it refuses, and that two parsers must agree."""

from __future__ import annotations

import ssl
import warnings
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mtlskit.backends import get_backend
from mtlskit.backends.router import RefusedHandshake, RoutedContext
from mtlskit.core.reasons import Reason
from mtlskit.errors import HandshakeError
from mtlskit.ports import ServerConfiguration, Verification
from mtlskit.testing.handshake import Wire
from support.world import ACME, UMBRELLA, VERSIONS, World, certificates


class OneRoute:
    """Answers every name with one context, and keeps what was refused."""

    def __init__(self, backend: str, **settings: Any) -> None:
        usual = {"chain": certificates().servers[ACME], "verification": Verification.NONE}
        self.context = get_backend(backend).server_context(ServerConfiguration(**{**usual, **settings}))
        self.names: list[str | None] = []
        self.refused: list[RefusedHandshake] = []

    def context_for(self, server_name: str | None) -> ssl.SSLContext:
        self.names.append(server_name)
        if server_name is None:
            raise HandshakeError(Reason.SERVER_NAME_MISSING)
        return self.context

    def handshake_refused(self, refused: RefusedHandshake) -> None:
        self.refused.append(refused)


def bytewise(data: bytes) -> list[bytes]:
    return [bytes([byte]) for byte in data]


def records_of_one_byte(data: bytes) -> list[bytes]:
    """The same handshake message in TLS records of one byte each (RFC 8446, 5.1 allows it)."""
    if data[:3] != b"\x16\x03\x01":  # only the hello has this version in its record
        return [data]
    length = int.from_bytes(data[3:5])
    message, rest = data[5 : 5 + length], data[5 + length :]
    return [b"".join(b"\x16\x03\x01\x00\x01" + bytes([byte]) for byte in message), rest]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("cut", [bytewise, records_of_one_byte, lambda data: [data[:5], data[5:]]])
def test_a_hello_in_any_pieces_is_routed(saas: World, version: ssl.TLSVersion, cut: Any) -> None:
    wire = saas.connect(saas.client("acme", version=version), ACME, cut=cut)
    assert wire.refused_at is None
    assert wire.server.evidence().server_name == ACME
    assert wire.to_server(b"hello") == b"hello"


def test_a_hello_with_a_tail_loses_nothing(saas: World) -> None:
    """TLS 1.3 clients may send more right behind the hello: what is not the hello's is the hostname's context's."""
    wire = Wire.between(saas.client("acme"), saas.gate.ssl_context(), ACME)
    with pytest.raises(ssl.SSLWantReadError):
        wire.client.do_handshake()
    hello = wire.client_outgoing.read()
    wire.server_incoming.write(hello + b"\x14\x03\x03\x00\x01\x01")  # a change_cipher_spec, as middleboxes expect it
    with pytest.raises(ssl.SSLWantReadError):
        wire.server.do_handshake()
    wire.client_incoming.write(wire.server_outgoing.read())
    wire.handshake()
    assert wire.refused_at is None


@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        (b"GET / HTTP/1.1\r\nHost: pay.acme.example\r\n\r\n", "malformed"),
        (b"\x80\x2e\x01\x00\x02" + b"\0" * 60, "malformed"),
        (b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00", "malformed"),
        (b"\x17\x03\x03\x00\x05hello", "malformed"),
        (b"\0" * 200, "malformed"),
        (b"\xff" * 200, "malformed"),
    ],
)
def test_what_is_no_hello_is_refused_with_one_event(saas: World, sent: bytes, reason: str) -> None:
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = saas.gate.ssl_context().wrap_bio(incoming, outgoing, server_side=True)
    incoming.write(sent)
    incoming.write_eof()
    for _ in range(3):
        try:
            tls.do_handshake()
        except ssl.SSLWantReadError:
            continue
        except ssl.SSLError:
            continue
    assert len(saas.events) == 1
    assert saas.reasons[0] in {reason, "handshake_failed"}
    assert saas.events[0].hostname is None


@pytest.mark.invariant(12)
def test_i12_a_hello_has_a_longest_length(saas: World) -> None:
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = saas.gate.ssl_context().wrap_bio(incoming, outgoing, server_side=True)
    # A handshake message that says it has 100,000 octets, in records of 64.
    body = b"\x01" + (100_000).to_bytes(3) + b"\x03\x03" + b"\0" * 100_000
    with pytest.raises(ssl.SSLError) as caught:
        for start in range(0, len(body), 64):
            piece = body[start : start + 64]
            incoming.write(b"\x16\x03\x01" + len(piece).to_bytes(2) + piece)
            try:
                tls.do_handshake()
            except ssl.SSLWantReadError:
                assert start < 50_000, "the router goes on buffering"
    assert not isinstance(caught.value, ssl.SSLWantReadError)


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.binary(max_size=600), st.booleans())
def test_bytes_of_any_kind_only_refuse(saas: World, data: bytes, like_tls: bool) -> None:
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = saas.gate.ssl_context().wrap_bio(incoming, outgoing, server_side=True)
    prefix = b"\x16\x03\x01" + len(data).to_bytes(2) + b"\x01" + max(len(data) - 4, 0).to_bytes(3)
    incoming.write((prefix if like_tls else b"") + data)
    incoming.write_eof()
    with pytest.raises(ssl.SSLError):
        for _ in range(4):
            try:
                tls.do_handshake()
            except ssl.SSLWantReadError:
                continue


@pytest.mark.parametrize("backend_name", ["ssl", "pyopenssl"])
def test_a_name_that_changes_within_the_handshake_refuses(backend_name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    routes = OneRoute(backend_name)
    client = get_backend("ssl").client_context
    from mtlskit.ports import ClientConfiguration

    context = client(ClientConfiguration(trust=(certificates().web.certificate,)))
    assert Wire.between(context, RoutedContext(routes), ACME).handshake().refused_at is None
    monkeypatch.setattr(
        "mtlskit.backends.router.RoutedObject._read_server_name",
        _lying(UMBRELLA),
    )
    wire = Wire.between(context, RoutedContext(routes), ACME).handshake()
    assert wire.refused_at == "server"
    assert [refused.reason.value for refused in routes.refused] == ["server_name_unknown"]


def _lying(name: str) -> Any:
    from mtlskit.backends.router import RoutedObject

    honest = RoutedObject._read_server_name

    def read(self: Any) -> str:
        honest(self)
        return name

    return read


@pytest.mark.parametrize("version", VERSIONS)
def test_an_exception_of_the_routes_refuses(version: ssl.TLSVersion) -> None:
    class Broken(OneRoute):
        def context_for(self, server_name: str | None) -> ssl.SSLContext:
            raise RuntimeError("boom")

    routes = Broken("ssl")
    from mtlskit.ports import ClientConfiguration

    context = get_backend("ssl").client_context(ClientConfiguration(trust=(certificates().web.certificate,)))
    context.maximum_version = version
    assert Wire.between(context, RoutedContext(routes), ACME).handshake().refused_at == "server"
    assert [refused.reason.value for refused in routes.refused] == ["internal_error"]


def test_a_client_too_old_gets_openssls_own_alert(saas: World) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    wire = saas.connect(context, ACME)
    seen = wire.client_sees()
    assert seen is not None
    assert "PROTOCOL_VERSION" in (seen.reason or "")
    assert len(saas.events) == 1


def test_the_client_side_is_not_the_routers(saas: World) -> None:
    with pytest.raises(ValueError, match="server_side=False"):
        saas.gate.ssl_context().wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server_hostname=ACME)


def test_peer_dictionaries_are_not_an_identity(saas: World) -> None:
    wire = saas.connect(saas.client("acme"), ACME)
    assert wire.server.getpeercert() == {}
    assert wire.server.getpeercert(True) == certificates().clients["acme"].presented().leaf_der
