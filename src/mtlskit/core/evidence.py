"""What the handshake collects, and the few words that both sides of the TLS seam use."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from mtlskit.core.certificates import PresentedChain


class Resumption(StrEnum):
    """Whether a hostname hands out TLS sessions. A resumed one is judged like a new one either way (I5)."""

    NONE = "none"
    TICKETS = "tickets"


class TLSVersion(StrEnum):
    """The oldest protocol version that is spoken."""

    TLS_1_2 = "1.2"
    TLS_1_3 = "1.3"


class Source(StrEnum):
    """Who says what the peer presented."""

    TLS = "tls"  # a handshake that ended in this process
    FORWARDED = "forwarded"  # a header of a proxy that ended the handshake


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerEvidence:
    """What is known of a peer once its handshake is done. Nothing in it is verified."""

    server_name: str | None
    presented: PresentedChain | None = None
    tls_version: str | None = None
    resumed: bool = False
    source: Source = Source.TLS
