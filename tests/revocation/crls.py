"""Revocation lists for tests, and a web server on loopback that gives them out well and badly."""

from __future__ import annotations

import gzip
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding

from mtlskit.testing.certificates import Authority


@cache
def acme() -> Authority:
    return Authority.root("Acme root")


@cache
def other() -> Authority:
    return Authority.root("Other root")


def make_list(
    number: int | None,
    *,
    by: Authority | None = None,
    revoked: tuple[int, ...] = (),
    since: timedelta = timedelta(hours=-1),
    until: timedelta = timedelta(days=1),
    forged_by: Authority | None = None,
    extensions: tuple[tuple[x509.ExtensionType, bool], ...] = (),
    encoding: Encoding = Encoding.DER,
) -> bytes:
    """A list of `by`; `forged_by` signs in its place."""
    by = by or acme()
    now = datetime.now(UTC).replace(tzinfo=None, microsecond=0)
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(by.certificate.subject)
        .last_update(now + since)
        .next_update(now + until)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(by.key.public_key()), critical=False)
    )
    if number is not None:
        builder = builder.add_extension(x509.CRLNumber(number), critical=False)
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical=critical)
    for serial in revoked:
        entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(now - timedelta(hours=2))
        builder = builder.add_revoked_certificate(entry.build())
    return builder.sign((forged_by or by).key, hashes.SHA256()).public_bytes(encoding)  # type: ignore[arg-type]


def put(path: Path, data: bytes) -> None:
    """Replaces a file in one step."""
    beside = path.with_name(f"{path.name}.new")
    beside.write_bytes(data)
    os.replace(beside, path)


def tlv(tag: int, content: bytes) -> bytes:
    """One DER element."""
    length = len(content)
    octets = length.to_bytes((length.bit_length() + 7) // 8, "big")
    return bytes([tag]) + (bytes([length]) if length < 128 else bytes([0x80 | len(octets)]) + octets) + content


def long_list(entries: int) -> bytes:
    """A list of so many entries, quickly made: its signature is nonsense."""
    date = tlv(0x17, b"260101000000Z")
    every = b"".join(
        tlv(0x30, tlv(0x02, (serial | 1 << 125).to_bytes(16, "big")) + date) for serial in range(entries)
    )  # fmt: skip
    short = x509.load_der_x509_crl(make_list(7))
    algorithm = bytes.fromhex("300a06082a8648ce3d040302")
    until = tlv(0x17, (datetime.now(UTC) + timedelta(days=1)).strftime("%y%m%d%H%M%SZ").encode())
    number = tlv(0xA0, tlv(0x30, tlv(0x30, bytes.fromhex("0603551d14") + tlv(0x04, tlv(0x02, b"\x07")))))
    fields = b"\x02\x01\x01" + algorithm + short.issuer.public_bytes() + date + until + tlv(0x30, every) + number
    return tlv(0x30, tlv(0x30, fields) + algorithm + tlv(0x03, b"\0" + b"\1" * 70))


Answer = Callable[[BaseHTTPRequestHandler], None]


@dataclass
class Site:
    """A web server; `answers` says what each path does."""

    port: int = 0
    answers: dict[str, Answer] = field(default_factory=dict)
    seen: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    closing: threading.Event = field(default_factory=threading.Event)

    def url(self, path: str = "/list.crl") -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def gives(self, data: bytes, path: str = "/list.crl", status: int = 200, **headers: str) -> str:
        def answer(handler: BaseHTTPRequestHandler) -> None:
            handler.send_response(status)
            for name, value in {"content-length": str(len(data)), **headers}.items():
                handler.send_header(name.replace("_", "-"), value)
            handler.end_headers()
            handler.wfile.write(data)

        self.answers[path] = answer
        return self.url(path)

    def drips(self, data: bytes, path: str, every: float, *, first: bytes = b"") -> str:
        """Sends `first`, then the data octet by octet, raw, for as long as somebody listens."""

        def answer(handler: BaseHTTPRequestHandler) -> None:
            handler.wfile.write(first)
            for octet in data:
                handler.wfile.write(bytes([octet]))
                if self.closing.wait(every):
                    return

        self.answers[path] = answer
        return self.url(path)

    def floods(self, path: str) -> str:
        """An answer without an end."""

        def answer(handler: BaseHTTPRequestHandler) -> None:
            handler.wfile.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
            while not self.closing.is_set():
                handler.wfile.write(b"10000\r\n" + b"\x30" * 65536 + b"\r\n")

        self.answers[path] = answer
        return self.url(path)

    def bombs(self, path: str) -> str:
        """A list of a thousand times its length, compressed."""
        return self.gives(gzip.compress(make_list(9) + bytes(1 << 20)), path, content_encoding="gzip")


@contextmanager
def website() -> Iterator[Site]:
    site = Site()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.close_connection = True
            site.seen.append((self.path, {name.lower(): value for name, value in self.headers.items()}))
            with suppress(OSError):
                answer = site.answers.get(self.path)
                answer(self) if answer else self.send_error(404)

        def log_message(self, *_arguments: Any) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        block_on_close = False

        def handle_error(self, *_arguments: Any) -> None:
            pass

    server = Server(("127.0.0.1", 0), Handler)
    site.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield site
    finally:
        site.closing.set()
        server.shutdown()
        server.server_close()
        thread.join()


def wait_until(is_so: Callable[[], Any], seconds: float = 5.0) -> None:
    """Waits until it is so, and fails if it does not come to be."""
    ends = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < ends, "it did not come to be in time"
        time.sleep(0.01)
