"""A TLS server that ends its connections at awkward times: as the first part of the path says.

`/well/...` is answered and the connection kept; `/bye/...` answered, and the connection ended without a word of it;
`/soon/...` the same a moment later, when it may be in use again; `/half/...` is answered by half a body; `/none/...` by
nothing; `/reset/...` by a reset; `/idle/...` is answered well, and with an answer that nobody has asked for a moment
later; `/twice/...` with that at once; `/slow/...` after a while.
"""

from __future__ import annotations

import socket
import ssl
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import BinaryIO

from cryptography import x509

from fetch.listening import listening
from mtlskit.core.certificates import common_name

_MOMENT = 0.002  # seconds


@dataclass
class Awkward:
    """`seen` has the paths, in order; `living` how many connections are open here."""

    port: int = 0
    seen: list[str] = field(default_factory=list)
    living: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def url(self, path: str = "") -> str:
        return f"https://localhost:{self.port}{path}"

    def count(self, change: int) -> None:
        with self._lock:
            self.living += change


@contextmanager
def awkward(context: ssl.SSLContext) -> Iterator[Awkward]:
    """Runs it on a free port."""
    server = Awkward()
    with listening(lambda raw, _number: _converse(server, context, raw)) as server.port:
        yield server


def _converse(server: Awkward, context: ssl.SSLContext, raw: socket.socket) -> None:
    raw.settimeout(30)
    server.count(1)
    try:
        with raw, suppress(OSError, ValueError), context.wrap_socket(raw.dup(), server_side=True) as tls:
            der = tls.getpeercert(binary_form=True)
            client = common_name(x509.load_der_x509_certificate(der).subject) if der else None
            with tls.makefile("rb") as reader:
                while _answer(server, tls, raw, f"{client} {_path(reader)}"):
                    pass
    finally:
        server.count(-1)


def _path(reader: BinaryIO) -> str:
    _, path, _ = reader.readline().decode().split(" ")  # ValueError at the end
    while reader.readline().strip():
        pass
    return path


def _answer(server: Awkward, tls: ssl.SSLSocket, raw: socket.socket, told: str) -> bool:
    """Whether the connection goes on."""
    server.seen.append(told)
    whole = f"HTTP/1.1 200 OK\r\nContent-Length: {len(told)}\r\n\r\n{told}".encode()
    foreign = b"HTTP/1.1 200 OK\r\nContent-Length: 15\r\n\r\nnobody's answer"
    match told.split("/")[1]:
        case "half":
            tls.sendall(whole[: -len(told) // 2])
            return False
        case "none":
            return False
        case "reset":
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            return False
        case "twice":
            tls.sendall(whole + foreign)
            return True
        case "slow":
            time.sleep(0.02)
    tls.sendall(whole)
    match told.split("/")[1]:
        case "bye":
            return False
        case "soon":
            time.sleep(_MOMENT)
            return False
        case "idle":
            time.sleep(_MOMENT)
            tls.sendall(foreign)
    return True
