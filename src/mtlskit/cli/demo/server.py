"""The provider's server: uvicorn behind the gate, in a thread, and a note of every refusal that the gate tells of."""

from __future__ import annotations

import json
import queue
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from mtlskit.core.certificates import ClientIdentity
from mtlskit.errors import ConfigurationError
from mtlskit.gate import Gate
from mtlskit.gate.asgi import client_identity
from mtlskit.gate.events import Refused
from mtlskit.gate.servers.uvicorn import Server, config

_STARTS_WITHIN = 10.0
_QUIET = {"log_config": None, "lifespan": "off", "access_log": False, "timeout_graceful_shutdown": 1}


async def app(scope: Any, receive: Any, send: Any) -> None:
    """The customers' application: it says who is calling, which it has from the gate and from nowhere else."""
    identity = client_identity(scope)
    body = json.dumps({"path": scope["path"], "identity": identity and _told(identity)}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _told(identity: ClientIdentity) -> dict[str, Any]:
    return {
        "common_name": identity.common_name,
        "uris": identity.uris,
        "issuer": identity.issuer,
        "serial_number": f"{identity.serial_number:x}",
        "hostname": identity.hostname,
    }


class Refusals:
    """The gate's events, to be taken one at a time by who caused them."""

    def __init__(self) -> None:
        self._events: queue.Queue[Refused] = queue.Queue()
        self.note = self._events.put

    def take(self, *, within: float) -> Refused | None:
        """The next refusal, waiting at most `within` seconds for it."""
        try:
            return self._events.get(timeout=within) if within else self._events.get_nowait()
        except queue.Empty:
            return None

    def forget(self) -> None:
        """Drops what nobody took."""
        while self.take(within=0) is not None:
            pass


@contextmanager
def serving(gate: Gate, listener: socket.socket, *, loop: str = "auto") -> Iterator[None]:
    """Serves the app behind `gate` on `listener`, which stays open, while the block runs."""
    server = Server(config(app, gate, loop=loop, **_QUIET))
    # uvicorn closes the sockets that it is given.
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener.dup()]}, name="demo server")
    thread.start()
    try:
        _wait_for(server, thread)
        yield
    finally:
        server.should_exit = True
        thread.join()


def serve_until_stopped(gate: Gate, listener: socket.socket) -> None:
    """Serves in this thread until Ctrl-C."""
    try:
        Server(config(app, gate, **_QUIET)).run(sockets=[listener.dup()])
    except KeyboardInterrupt:
        return


def _wait_for(server: Server, thread: threading.Thread) -> None:
    deadline = time.monotonic() + _STARTS_WITHIN
    while not server.started:
        if not thread.is_alive() or time.monotonic() > deadline:
            raise ConfigurationError("expected uvicorn to start, got a server that did not")
        time.sleep(0.01)
