"""Chooses a hostname's own TLS context before the handshake begins.

Swapping contexts in the SNI callback leaves verify mode, versions and session cache behind and lets a session of
one hostname resume on another. Here OpenSSL itself reads the ClientHello in a throw-away object that can never
complete a handshake; its bytes are then replayed into the hostname's own context, which knows of no other hostname.

The same place reports every refused handshake, and makes asyncio and uvloop send the alert, which they drop.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from typing import Any, Protocol

from mtlskit.backends.reasons import reason_of, tls_error
from mtlskit.backends.sockets import TLSSocket
from mtlskit.core.certificates import PresentedChain
from mtlskit.core.evidence import PeerEvidence
from mtlskit.core.names import Hostname
from mtlskit.core.reasons import Reason
from mtlskit.errors import HandshakeError, InvalidName

# A ClientHello with post-quantum shares and a long ticket stays below 8 KiB; more is not waited for (I12).
_LONGEST_HELLO = 32 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusedHandshake:
    """What is known of a handshake that was refused. The chain is what the peer sent, unverified."""

    server_name: str | None
    reason: Reason
    presented: PresentedChain | None = None


class Routes(Protocol):
    """What the router asks. The gate answers."""

    def context_for(self, server_name: str | None) -> ssl.SSLContext:
        """The hostname's own context; raises HandshakeError with the reason for refusing."""
        ...

    def handshake_refused(self, refused: RefusedHandshake) -> None:
        """Told once for each refused handshake."""
        ...


class RoutedContext(ssl.SSLContext):
    """A listener's context that holds no key: it finds the hostname's own. Give it to any server as its `ssl`."""

    def __new__(cls, _routes: Routes) -> RoutedContext:
        return super().__new__(cls, ssl.PROTOCOL_TLS_SERVER)

    def __init__(self, routes: Routes) -> None:
        self._routes = routes
        self._probe = _probe_context()

    def wrap_bio(  # type: ignore[override]
        self,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        server_side: bool = False,
        server_hostname: str | bytes | None = None,
        session: object = None,
    ) -> RoutedObject:
        """As `ssl.SSLContext.wrap_bio`, for the server's side."""
        if not server_side:
            raise ValueError("expected the server's side, got server_side=False")
        return RoutedObject(self, self._routes, self._probe, incoming, outgoing)

    def wrap_socket(  # type: ignore[override]
        self,
        sock: Any,
        server_side: bool = False,
        do_handshake_on_connect: bool = True,
        suppress_ragged_eofs: bool = True,
        server_hostname: str | bytes | None = None,
        session: object = None,
    ) -> TLSSocket:
        """As `ssl.SSLContext.wrap_socket`, for an accepted connection."""

        def wrap(incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO) -> RoutedObject:
            return self.wrap_bio(incoming, outgoing, server_side)

        return TLSSocket(sock, self, wrap, handshake_now=do_handshake_on_connect, ragged_eofs=suppress_ragged_eofs)

    def set_alpn_protocols(self, alpn_protocols: Any) -> None:
        """Not here: the ALPN list belongs to each hostname's context."""


class RoutedObject:
    """A connection that becomes its hostname's own TLS object once the ClientHello is complete."""

    __slots__ = (
        "_evidence",
        "_hello",
        "_incoming",
        "_inner",
        "_is_done",
        "_name",
        "_outgoing",
        "_probe",
        "_probe_incoming",
        "_probe_outgoing",
        "_refusal",
        "_routes",
        "context",
    )

    server_side = True
    server_hostname = None
    session = None

    def __init__(
        self,
        context: RoutedContext,
        routes: Routes,
        probe: ssl.SSLContext,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
    ) -> None:
        self.context: ssl.SSLContext = context
        self._routes = routes
        self._incoming, self._outgoing = incoming, outgoing
        self._probe_incoming, self._probe_outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._probe: Any = probe.wrap_bio(self._probe_incoming, self._probe_outgoing, server_side=True)
        self._hello = bytearray()
        self._name: str | None = None
        self._inner: Any = None
        self._is_done = False
        self._refusal: ssl.SSLError | None = None
        self._evidence: PeerEvidence | None = None

    @property
    def refused(self) -> bool:
        """Whether this handshake was refused, and only its alert is left to send."""
        return self._refusal is not None

    def do_handshake(self) -> None:
        """One step of the handshake; raises as `ssl.SSLObject.do_handshake`."""
        if self._refusal is not None:
            raise self._refusal
        try:
            if self._inner is None:
                self._route()
            self._inner.do_handshake()
            self._check_name()
            self._is_done = True
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise
        except HandshakeError as error:
            self._refuse(error.reason, tls_error(ssl.SSLError, ssl.SSL_ERROR_SSL, f"refused: {error.reason.value}"))
        except ssl.SSLError as error:
            self._refuse(reason_of(error), error)
        except Exception as error:  # noqa: BLE001 - whatever fails here refuses (I4)
            refusal = tls_error(ssl.SSLError, ssl.SSL_ERROR_SSL, f"refused: {Reason.INTERNAL_ERROR.value}")
            refusal.__cause__ = error
            self._refuse(Reason.INTERNAL_ERROR, refusal)

    def _route(self) -> None:
        self._name = self._read_server_name()
        context = self._routes.context_for(self._name)
        self._incoming.write(self._hello)
        if self._probe_incoming.eof:
            self._incoming.write_eof()
        self._hello = bytearray()
        self._probe = None
        self.context = context
        self._inner = context.wrap_bio(self._incoming, self._outgoing, server_side=True)

    def _read_server_name(self) -> str | None:
        self._move_hello()
        try:
            self._probe.do_handshake()
        except ssl.SSLWantReadError:
            if len(self._hello) > _LONGEST_HELLO:
                raise HandshakeError(Reason.LIMIT_EXCEEDED, detail="the ClientHello is too long") from None
            raise
        except ssl.SSLError:
            if not self._probe.hello_was_read:
                self._outgoing.write(self._probe_outgoing.read())  # OpenSSL's own alert
                raise
        name: str | None = self._probe.seen_server_name
        return name

    def _move_hello(self) -> None:
        if self._incoming.pending:
            data = self._incoming.read()
            self._hello += data
            self._probe_incoming.write(data)
        if self._incoming.eof:
            self._probe_incoming.write_eof()

    def _check_name(self) -> None:
        # What the hostname's own context saw decides; a difference would mean that two parsers disagreed.
        seen = self.evidence().server_name
        if _canonical(seen) != _canonical(self._name):
            raise HandshakeError(Reason.SERVER_NAME_UNKNOWN, detail="the server name changed in the handshake")

    def _refuse(self, reason: Reason, error: ssl.SSLError) -> None:
        if self._inner is None and not self._outgoing.pending:
            self._outgoing.write(self._probe_outgoing.read())
        self._refusal = error
        self._routes.handshake_refused(
            RefusedHandshake(server_name=self._name, reason=reason, presented=self._rejected_chain())
        )
        if self._outgoing.pending:
            # asyncio and uvloop flush when more bytes are wanted, and drop the alert on any other error.
            raise ssl.SSLWantReadError(ssl.SSL_ERROR_WANT_READ, "the alert is to be sent")
        raise error

    def _rejected_chain(self) -> PresentedChain | None:
        look = getattr(self._inner, "rejected_chain", None)
        found: PresentedChain | None = look() if look else None
        return found

    def evidence(self) -> PeerEvidence:
        """What the handshake collected; see `mtlskit.ports.Evident`."""
        if self._evidence is None:
            self._evidence = self._established().evidence()
        return self._evidence

    def _established(self) -> Any:
        if self._inner is None:
            raise ValueError("expected a finished handshake, got none")
        return self._inner

    # uvloop binds these before the handshake, so they are methods here.

    def read(self, *arguments: Any) -> Any:
        """As `ssl.SSLObject.read`."""
        if not self._is_done:
            self.do_handshake()
        return self._inner.read(*arguments)

    def write(self, data: Any) -> int:
        """As `ssl.SSLObject.write`."""
        if not self._is_done:
            self.do_handshake()
        written: int = self._inner.write(data)
        return written

    def pending(self) -> int:
        """As `ssl.SSLObject.pending`."""
        return 0 if self._inner is None else int(self._inner.pending())

    def unwrap(self) -> None:
        """As `ssl.SSLObject.unwrap`."""
        self._established().unwrap()

    def getpeercert(self, binary_form: bool = False) -> Any:
        """As `ssl.SSLObject.getpeercert`; without `binary_form` an empty dictionary, as for an unverified peer.

        asyncio asks for the dictionary on every connection, which costs a tenth of the handshake; and what a peer
        presented is evidence, on which nobody should decide but the gate.
        """
        if binary_form:
            return self._established().getpeercert(binary_form=True)
        return None if self.evidence().presented is None else {}

    def cipher(self) -> tuple[str, str, int] | None:
        """As `ssl.SSLObject.cipher`."""
        found: tuple[str, str, int] | None = None if self._inner is None else self._inner.cipher()
        return found

    def compression(self) -> str | None:
        """As `ssl.SSLObject.compression`."""
        return None

    def selected_alpn_protocol(self) -> str | None:
        """As `ssl.SSLObject.selected_alpn_protocol`."""
        found: str | None = self._established().selected_alpn_protocol()
        return found

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self._established(), name)


class _Probe(ssl.SSLObject):
    hello_was_read = False
    seen_server_name: str | None = None


def _probe_context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.sslobject_class = _Probe
    context.num_tickets = 0
    context.options |= ssl.OP_NO_TICKET
    context.sni_callback = _note_and_refuse
    return context


def _note_and_refuse(probe: Any, server_name: str | None, _context: ssl.SSLContext) -> int:
    probe.hello_was_read = True
    probe.seen_server_name = server_name
    return ssl.ALERT_DESCRIPTION_UNRECOGNIZED_NAME


def _canonical(server_name: str | None) -> Hostname | None:
    try:
        return None if server_name is None else Hostname.parse(server_name)
    except InvalidName:
        return None
