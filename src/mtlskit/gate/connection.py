"""What a server adapter hands to the middleware about the connection that a request came on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from mtlskit.core.evidence import PeerEvidence
from mtlskit.core.verdict import Allow

SCOPE_KEY = "mtlskit.connection"
TARGET_KEY = "mtlskit.target"
"""The request target as it was sent, where the server knows it and it is not just a path."""


@dataclass(frozen=True, slots=True)
class Allowed:
    """What was allowed on a connection, the gate's state that it was allowed in, and from when until when (POSIX)."""

    verdict: Allow
    authority: str | None
    changes: int
    since: float
    until: float


class Connection:
    """The evidence of one TLS connection, and the way to end it. A server adapter makes one per connection.

    `close` ends it at once, whether its peer reads or not.
    """

    __slots__ = ("allowed", "close", "evidence", "tls_scope")

    def __init__(self, tls: Any, close: Callable[[], None]) -> None:
        self.evidence: PeerEvidence = tls.evidence()
        self.close = close
        self.allowed: Allowed | None = None  # kept by the gate
        self.tls_scope: dict[str, Any] | None = None  # kept by the middleware for the next request
