"""What the router asks about handshakes: which context serves a name, and why a client was refused."""

from __future__ import annotations

import logging
import ssl
from collections.abc import Callable
from datetime import UTC, datetime

from mtlskit.backends.router import RefusedHandshake
from mtlskit.core.certificates import PresentedChain
from mtlskit.core.custom_hostname import ClientAuth, CustomHostname
from mtlskit.core.reasons import Reason
from mtlskit.errors import HandshakeError, MTLSError, PathError
from mtlskit.gate.events import Event, Stage, refused
from mtlskit.gate.snapshot import Entry

_LOGGER = logging.getLogger("mtlskit.gate")


class Handshakes:
    """Answers for one gate, of which it knows how an entry is found, a context made, a stranger told and an event."""

    def __init__(
        self,
        *,
        find: Callable[[str | None], Entry | None],
        make_context: Callable[[CustomHostname], ssl.SSLContext],
        stranger: Callable[[CustomHostname, PresentedChain | None], Reason],
        tell: Callable[[Event], None],
    ) -> None:
        self._find = find
        self._make_context = make_context
        self._stranger = stranger
        self._tell = tell

    def context_for(self, server_name: str | None) -> ssl.SSLContext:
        """The TLS context of the hostname of that name; raises HandshakeError with the reason for refusing (I3)."""
        if not server_name:
            raise HandshakeError(Reason.SERVER_NAME_MISSING)
        try:
            entry = self._find(server_name)
        except MTLSError as error:
            raise HandshakeError(Reason.STORE_UNAVAILABLE, detail=str(error)) from error
        if entry is None or entry.hostname.server is None:
            raise HandshakeError(Reason.SERVER_NAME_UNKNOWN)
        return entry.context(self._make_context)

    def handshake_refused(self, refusal: RefusedHandshake) -> None:
        """Tells the operator of a refused handshake, with the reason as exact as it can be had."""
        try:
            reason = self._exact_reason(refusal)
        except Exception:
            _LOGGER.exception("a refused handshake could not be classified")
            reason = refusal.reason
        self._tell(refused(Stage.HANDSHAKE, reason, refusal.server_name, refusal.presented))

    def _exact_reason(self, refusal: RefusedHandshake) -> Reason:
        try:
            return self._reason_of(refusal)
        except PathError as error:
            return error.reason
        except MTLSError:  # a store that fails: what the handshake knew has to do
            return refusal.reason

    def _reason_of(self, refusal: RefusedHandshake) -> Reason:
        entry = self._find(refusal.server_name) if refusal.presented else None
        if entry is None or refusal.presented is None or entry.hostname.client_auth is ClientAuth.NONE:
            return refusal.reason
        try:
            entry.verify(entry.hostname, refusal.presented, datetime.now(UTC))
        except PathError as error:
            if error.reason is Reason.UNKNOWN_ISSUER:
                return self._stranger(entry.hostname, refusal.presented)
            raise
        return refusal.reason
