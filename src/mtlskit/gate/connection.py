"""What a server adapter hands to the middleware about the connection that a request came on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mtlskit.core.evidence import PeerEvidence

SCOPE_KEY = "mtlskit.connection"


class Connection:
    """The evidence of one TLS connection, and the way to end it. A server adapter makes one per connection."""

    __slots__ = ("close", "evidence", "tls", "tls_scope")

    def __init__(self, tls: Any, close: Callable[[], None]) -> None:
        self.tls = tls
        self.evidence: PeerEvidence = tls.evidence()
        self.close = close
        self.tls_scope: dict[str, Any] | None = None  # kept by the middleware for the next request
