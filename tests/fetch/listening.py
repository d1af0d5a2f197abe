"""What the small servers of these tests share: a port, and a thread for each connection."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress


@contextmanager
def listening(converse: Callable[[socket.socket, int], object]) -> Iterator[int]:
    """Gives a free port. `converse` has each connection and its number, from 1; at the end of the block all are ended."""
    with socket.create_server(("127.0.0.1", 0), backlog=256) as listener:
        opened: list[socket.socket] = []
        threads: list[threading.Thread] = []

        def accept() -> None:
            while True:
                try:
                    raw, _ = listener.accept()
                except OSError:
                    return
                opened.append(raw)
                threads.append(threading.Thread(target=converse, args=(raw, len(opened))))
                threads[-1].start()

        acceptor = threading.Thread(target=accept)
        acceptor.start()
        try:
            yield listener.getsockname()[1]
        finally:
            with suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            acceptor.join()
            for raw in opened:
                with suppress(OSError):
                    raw.shutdown(socket.SHUT_RDWR)
            for thread in threads:
                thread.join()
