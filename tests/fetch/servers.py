"""A small TLS server in a thread that demands a client certificate and notes which one it saw, request by request."""

from __future__ import annotations

import json
import socket
import ssl
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from cryptography import x509
from cryptography.x509.oid import NameOID

from fetch.listening import listening
from mtlskit.backends import get_backend
from mtlskit.core.certificates import SigningChain
from mtlskit.ports import ServerConfiguration, TLSVersion, Verification

VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}


@dataclass
class Seen:
    """One request as the server saw it."""

    client: str | None
    connection: int
    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Server:
    """`routes` maps a path to (status, headers, body), or to what answers by itself, with the TLS socket and the
    request, and says whether the connection goes on; anything else is told back as JSON.
    """

    port: int = 0
    seen: list[Seen] = field(default_factory=list)
    handshakes: int = 0
    routes: dict = field(default_factory=dict)

    def url(self, path: str = "/", host: str = "localhost") -> str:
        return f"https://{host}:{self.port}{path}"


def context_of(
    chain: SigningChain, *anchors, version: str | None = None, verify=Verification.REQUIRED, backend="ssl", alpn=()
):
    """A server's context; `version` is the only one that is spoken. Only that of "pyopenssl" names its CAs."""
    minimum = TLSVersion.TLS_1_3 if version == "1.3" else TLSVersion.TLS_1_2
    configuration = ServerConfiguration(
        chain=chain, verification=verify, anchors=anchors, minimum_version=minimum, alpn=tuple(alpn)
    )
    context = get_backend(backend).server_context(configuration)
    if version:
        context.maximum_version = VERSIONS[version]
    return context


@contextmanager
def serving(context: ssl.SSLContext, *, mute: bool = False, **routes):
    """Runs a server on a free port. A `mute` one ends a connection that it refuses without an alert."""
    server = Server(routes=routes)
    with listening(lambda raw, number: _converse(server, context, raw, number, mute)) as server.port:
        yield server


def _converse(server, context, raw, number, mute):
    raw.settimeout(10)
    with raw, suppress(OSError, ValueError):
        if mute:
            _mutely(server, context, raw, number)
            return
        # A duplicate, so that the fixture can end the connection from outside.
        try:
            tls = context.wrap_socket(raw.dup(), server_side=True)
        except ssl.SSLError:
            _drain(raw)
            return
        with tls:
            server.handshakes += 1
            with tls.makefile("rb") as reader:
                while _answer(server, tls, reader, number):
                    pass


def _drain(raw):
    """Lets the client read the alert: closing with its request unread would reset the connection."""
    raw.shutdown(socket.SHUT_WR)
    while raw.recv(65536):
        pass


def _mutely(server, context, raw, number):
    """A handshake over buffers whose alert is never sent, as asyncio does it."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(incoming, outgoing, server_side=True)
    while True:
        try:
            tls.do_handshake()
            return
        except ssl.SSLWantReadError:
            raw.sendall(outgoing.read())
            incoming.write(raw.recv(65536))


def _answer(server, tls, reader, number):
    method, path, _ = reader.readline().decode().split(" ")
    headers = {}
    while line := reader.readline().decode("latin-1").strip():
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    is_chunked = headers.get("transfer-encoding") == "chunked"
    body = _chunks(reader) if is_chunked else reader.read(int(headers.get("content-length", 0)))
    seen = Seen(_client(tls), number, method, path, headers, body)
    server.seen.append(seen)
    if path == "/cut":
        return False
    if path == "/slow":
        time.sleep(0.3)
    route = server.routes.get(path)
    if callable(route):
        return route(tls, seen)
    status, more, content = route or (200, {}, _told(seen))
    head = {"Content-Length": str(len(content)), **more}
    fields = "".join(f"{name}: {value}\r\n" for name, value in head.items())
    tls.sendall(f"HTTP/1.1 {status} X\r\n{fields}\r\n".encode("latin-1") + (b"" if method == "HEAD" else content))
    return True


def _chunks(reader) -> bytes:
    parts = []
    while size := int(reader.readline(), 16):
        parts.append(reader.read(size))
        reader.readline()
    reader.readline()
    return b"".join(parts)


def _client(tls) -> str | None:
    der = tls.getpeercert(binary_form=True)
    if not der:
        return None
    subject = x509.load_der_x509_certificate(der).subject
    return subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value


def _told(seen: Seen) -> bytes:
    return json.dumps(
        {"client": seen.client, "connection": seen.connection, "method": seen.method, "path": seen.path}
    ).encode()
