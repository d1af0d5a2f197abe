"""TLS handshakes in memory: a client and a server object joined by a fake wire. No socket, no thread."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

_MOST_TURNS = 20


@dataclass(slots=True)
class Wire:
    """A client's and a server's TLS object and the bytes between them.

    `cut` may change what goes from the client to the server: it gets the bytes and gives the pieces to deliver.
    """

    client: Any
    server: Any
    client_incoming: ssl.MemoryBIO
    client_outgoing: ssl.MemoryBIO
    server_incoming: ssl.MemoryBIO
    server_outgoing: ssl.MemoryBIO
    cut: Callable[[bytes], list[bytes]] = field(default=lambda data: [data])
    client_error: ssl.SSLError | None = None
    server_error: ssl.SSLError | None = None

    @classmethod
    def between(
        cls,
        client: ssl.SSLContext,
        server: ssl.SSLContext,
        server_hostname: str,
        *,
        session: Any = None,
        **options: Any,
    ) -> Wire:
        """A wire on which nothing has been sent."""
        bios = [ssl.MemoryBIO() for _ in range(4)]
        return cls(
            client.wrap_bio(bios[0], bios[1], server_hostname=server_hostname, session=session),
            server.wrap_bio(bios[2], bios[3], server_side=True),
            bios[0],
            bios[1],
            bios[2],
            bios[3],
            **options,
        )

    def handshake(self) -> Wire:
        """Runs the handshake until both sides are done or have failed; errors are kept, not raised."""
        client_done = server_done = False
        for _ in range(_MOST_TURNS):
            if not client_done and self.client_error is None:
                client_done, self.client_error = _turn(self.client.do_handshake)
            for piece in self.cut(self.client_outgoing.read()):
                self.server_incoming.write(piece)
                if not server_done and self.server_error is None:
                    server_done, self.server_error = _turn(self.server.do_handshake)
            self.client_incoming.write(self.server_outgoing.read())
            if self.server_error is not None or (client_done and server_done):
                break
        return self

    @property
    def refused_at(self) -> str | None:
        """Which side failed first in the handshake, if one did."""
        if self.server_error is not None:
            return "server"
        return "client" if self.client_error is not None else None

    def to_server(self, data: bytes) -> bytes:
        """Sends application data from the client and gives what the server read."""
        self.client.write(data)
        self.server_incoming.write(self.client_outgoing.read())
        return _read(self.server, len(data))

    def to_client(self, data: bytes) -> bytes:
        """Sends application data from the server and gives what the client read; raises what the client sees."""
        if data:
            self.server.write(data)
        self.client_incoming.write(self.server_outgoing.read())
        return _read(self.client, len(data))

    def client_sees(self) -> ssl.SSLError | None:
        """The error, an alert for one, that the client meets at its next read."""
        self.client_incoming.write(self.server_outgoing.read())
        if self.client_error is not None:
            return self.client_error
        try:
            self.client.read(1)
        except ssl.SSLWantReadError:
            return None
        except ssl.SSLError as error:
            return error
        return None


def _turn(step: Callable[[], None]) -> tuple[bool, ssl.SSLError | None]:
    try:
        step()
    except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
        return False, None
    except ssl.SSLError as error:
        return False, error
    return True, None


def _read(tls: Any, wanted: int) -> bytes:
    found = b""
    while len(found) < wanted:
        found += tls.read(wanted - len(found))
    return found
