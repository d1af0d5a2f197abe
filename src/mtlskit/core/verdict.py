"""Evidence and verdicts. The one place where a request is allowed or denied.

`decide` (below) is a pure function of the hostname's record, the evidence that the handshake collected, the
request's authority and the moment. (Being written; PeerEvidence is settled.)
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from mtlskit.core.certificates import PresentedChain


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
