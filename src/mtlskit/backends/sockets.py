"""A blocking TLS socket over any object that behaves as `ssl.SSLObject`: what `wrap_socket` gives.

It is a real `socket.socket` that took over the descriptor, so that servers and HTTP clients can select on it,
time it out and close it as they do with `ssl.SSLSocket`.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable
from typing import Any, TypeVar

_CHUNK = 64 * 1024
_Result = TypeVar("_Result")


class TLSSocket(socket.socket):
    """See the module. `tls` is the object that speaks TLS."""

    def __init__(
        self,
        sock: socket.socket,
        context: ssl.SSLContext,
        wrap: Callable[[ssl.MemoryBIO, ssl.MemoryBIO], Any],
        *,
        handshake_now: bool = True,
        ragged_eofs: bool = True,
    ) -> None:
        timeout = sock.gettimeout()
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = wrap(incoming, outgoing)  # raises before the descriptor changes hands
        super().__init__(sock.family, sock.type, sock.proto, fileno=sock.detach())
        self.settimeout(timeout)
        self.context = context
        self._incoming, self._outgoing = incoming, outgoing
        self._ragged_eofs = ragged_eofs
        if handshake_now and self._is_connected():
            self._handshake_or_close()

    def _is_connected(self) -> bool:
        try:
            self.getpeername()
        except OSError:
            return False
        return True

    def _handshake_or_close(self) -> None:
        try:
            self.do_handshake()
        except BaseException:
            self.close()
            raise

    def do_handshake(self, block: bool = False) -> None:
        """Runs the handshake to its end, within the socket's timeout for each read."""
        self._drive(self.tls.do_handshake)

    def read(self, len: int = 1024, buffer: Any = None) -> Any:  # noqa: A002
        """As `ssl.SSLSocket.read`."""
        try:
            return self._drive(lambda: self.tls.read(len, buffer) if buffer is not None else self.tls.read(len))
        except ssl.SSLEOFError:
            if not self._ragged_eofs:
                raise
            return b"" if buffer is None else 0

    def write(self, data: Any) -> int:
        """As `ssl.SSLSocket.write`."""
        return int(self._drive(lambda: self.tls.write(data)))

    def recv(self, bufsize: int, flags: int = 0) -> bytes:
        _no_flags(flags)
        return bytes(self.read(bufsize))

    def recv_into(self, buffer: Any, nbytes: int | None = None, flags: int = 0) -> int:
        _no_flags(flags)
        wanted = nbytes or len(memoryview(buffer).cast("B"))
        return int(self.read(wanted, buffer))

    def send(self, data: Any, flags: int = 0) -> int:
        _no_flags(flags)
        return self.write(data)

    def sendall(self, data: Any, flags: int = 0) -> None:
        _no_flags(flags)
        with memoryview(data) as view, view.cast("B") as octets:
            sent = 0
            while sent < len(octets):
                sent += self.write(octets[sent:])

    def pending(self) -> int:
        """Decrypted bytes that wait to be read."""
        return int(self.tls.pending())

    def unwrap(self) -> socket.socket:
        """Ends TLS and gives the plain socket."""
        self._drive(self.tls.unwrap)
        return socket.socket(self.family, self.type, self.proto, fileno=self.detach())

    def __getattr__(self, name: str) -> Any:
        # version(), cipher(), getpeercert(), evidence(), ...: whatever the TLS object can say.
        if name == "tls":
            raise AttributeError(name)
        return getattr(self.tls, name)

    def _drive(self, action: Callable[[], _Result]) -> _Result:
        while True:
            try:
                result = action()
            except ssl.SSLWantReadError:
                self._flush()
                if not getattr(self.tls, "refused", False):  # a refusal has only its alert left to send
                    self._fill()
            except ssl.SSLError:
                self._flush_quietly()
                raise
            else:
                self._flush()
                return result

    def _fill(self) -> None:
        data = super().recv(_CHUNK)
        if data:
            self._incoming.write(data)
        else:
            self._incoming.write_eof()

    def _flush(self) -> None:
        if self._outgoing.pending:
            super().sendall(self._outgoing.read())

    def _flush_quietly(self) -> None:
        try:
            self._flush()
        except OSError:
            return  # the peer is gone already; the TLS error says more


def _no_flags(flags: int) -> None:
    if flags:
        raise ValueError(f"expected no flags on a TLS socket, got {flags}")
