"""A blocking TLS socket over any object that behaves as `ssl.SSLObject`: what `wrap_socket` gives.

It is a real `socket.socket` that took over the descriptor, so that servers and HTTP clients can select on it,
time it out and close it as they do with `ssl.SSLSocket`.
"""

from __future__ import annotations

import errno
import socket
import ssl
import time
from collections.abc import Callable
from typing import Any, TypeVar

_CHUNK = 64 * 1024
HANDSHAKE_SECONDS = 10.0
"""How long a handshake may take on a socket without a timeout."""

_Result = TypeVar("_Result")


class TLSSocket(socket.socket):
    """See the module. `tls` is the object that speaks TLS; a listener has none, and wraps what it accepts."""

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
        self.tls = None if _is_listener(sock) else wrap(incoming, outgoing)  # raises before the descriptor is taken
        super().__init__(sock.family, sock.type, sock.proto, fileno=sock.detach())
        self.settimeout(timeout)
        self.context = context
        self._incoming, self._outgoing = incoming, outgoing
        self.suppress_ragged_eofs = ragged_eofs
        self._handshake_now = handshake_now
        self._is_shaken = False
        if handshake_now and self.tls is not None and self._is_connected():
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

    def accept(self) -> tuple[TLSSocket, Any]:
        """An accepted connection, wrapped by the same context: never a plain socket."""
        accepted, address = super().accept()
        try:
            wrapped: Any = self.context.wrap_socket(
                accepted,
                server_side=True,
                do_handshake_on_connect=self._handshake_now,
                suppress_ragged_eofs=self.suppress_ragged_eofs,
            )
        except BaseException:
            accepted.close()
            raise
        return wrapped, address

    def connect(self, address: Any) -> None:
        """Connects, and runs the handshake if that was asked for."""
        super().connect(address)
        if self._handshake_now:
            self._handshake_or_close()

    def connect_ex(self, address: Any) -> int:
        raise NotImplementedError("expected connect() on a TLS socket, got connect_ex()")

    def do_handshake(self, block: bool = False) -> None:
        """Runs the handshake to its end, all of it within the socket's timeout (or `HANDSHAKE_SECONDS` without one)."""
        timeout = self.gettimeout()
        if timeout == 0.0:
            self._drive(self._tls().do_handshake)
        else:
            self._handshake_until(time.monotonic() + (timeout or HANDSHAKE_SECONDS))
            self.settimeout(timeout)
        self._is_shaken = True

    def _handshake_until(self, deadline: float) -> None:
        def step() -> None:
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError("the handshake took too long")
            self.settimeout(left)
            self._tls().do_handshake()

        self._drive(step)

    def _tls(self) -> Any:
        if self.tls is None:
            raise OSError(errno.ENOTCONN, "expected a connection, got a listener")
        return self.tls

    def read(self, len: int = 1024, buffer: Any = None) -> Any:  # noqa: A002
        """As `ssl.SSLSocket.read`."""
        self._shake()
        tls = self._tls()
        try:
            return self._drive(lambda: tls.read(len, buffer) if buffer is not None else tls.read(len))
        except ssl.SSLEOFError:
            if not self.suppress_ragged_eofs:
                raise
            return b"" if buffer is None else 0

    def write(self, data: Any) -> int:
        """As `ssl.SSLSocket.write`."""
        self._shake()
        return int(self._drive(lambda: self._tls().write(data)))

    def _shake(self) -> None:
        if not self._is_shaken:
            self.do_handshake()

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
        return int(self._tls().pending())

    def unwrap(self) -> socket.socket:
        """Ends TLS and gives the plain socket."""
        self._drive(self._tls().unwrap)
        return socket.socket(self.family, self.type, self.proto, fileno=self.detach())

    def sendfile(self, file: Any, offset: int = 0, count: int | None = None) -> int:
        """As `ssl.SSLSocket.sendfile`: by reading and sending, for the kernel would send it in clear."""
        return int(self._sendfile_use_send(file, offset, count))

    def _refuse_plain(self, *_arguments: Any, **_options: Any) -> Any:
        raise NotImplementedError(
            "expected send, sendall, recv or recv_into on a TLS socket, got a call that goes round TLS"
        )

    sendto = sendmsg = recvmsg = recvmsg_into = recvfrom = recvfrom_into = _refuse_plain
    sendmsg_afalg = _refuse_plain

    def dup(self) -> TLSSocket:
        raise NotImplementedError("expected one owner of a TLS socket, got dup()")

    def __getattr__(self, name: str) -> Any:
        # version(), cipher(), getpeercert(), evidence(), ...: whatever the TLS object can say.
        if name == "tls":
            raise AttributeError(name)
        return getattr(self._tls(), name)

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


def _is_listener(sock: socket.socket) -> bool:
    return bool(sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))


def _no_flags(flags: int) -> None:
    if flags:
        raise ValueError(f"expected no flags on a TLS socket, got {flags}")
