"""A proxy that speaks CONNECT, in clear or over TLS, and notes what certificates it was shown."""

from __future__ import annotations

import socket
import threading
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from fetch.servers import _client


@dataclass
class Proxy:
    url: str
    asked: list[str] = field(default_factory=list)
    seen: list[str | None] = field(default_factory=list)


@contextmanager
def proxying(context=None):
    """Runs a proxy; `context` is its own for TLS."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        scheme = "https" if context else "http"
        proxy = Proxy(f"{scheme}://localhost:{listener.getsockname()[1]}")
        opened: list[socket.socket] = []
        threads: list[threading.Thread] = []

        def start(target, *arguments):
            thread = threading.Thread(target=target, args=arguments)
            threads.append(thread)
            thread.start()

        def converse(raw):
            with suppress(OSError):
                near = context.wrap_socket(raw, server_side=True) if context else raw
                opened.append(near)
                proxy.seen.append(_client(near) if context else None)
                head = b""
                while b"\r\n\r\n" not in head:
                    head += near.recv(4096)
                target = head.split()[1].decode()
                proxy.asked.append(target)
                host, _, port = target.rpartition(":")
                far = socket.create_connection((host, int(port)))
                opened.append(far)
                near.sendall(b"HTTP/1.1 200 Connected\r\n\r\n")
                start(pump, far, near)
                pump(near, far)

        def accept():
            with suppress(OSError):
                while True:
                    raw, _ = listener.accept()
                    opened.append(raw)
                    start(converse, raw)

        start(accept)
        try:
            yield proxy
        finally:
            with suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            for connection in opened:
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
            for thread in threads:
                thread.join()
            for connection in opened:
                connection.close()


def pump(source, sink):
    with suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
