"""What ends, when, and what then happens: the values that each service tells of its own records."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class EndingKind(StrEnum):
    """What it is that ends."""

    SERVER_CERTIFICATE = "server_certificate"  # of a hostname: its own, or the first of those above it
    LAST_ANCHOR = "last_anchor"  # of a hostname: the trust anchor that lasts longest
    ANCHOR = "anchor"  # of a hostname: one of several
    AUTHORITY = "authority"  # the certificate of a generation, or the first of those above it
    UPLOAD = "upload"  # a client certificate that bindings go out with
    UPLOADED_CA = "uploaded_ca"  # a CA certificate by which servers are trusted


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """The end of one certificate: what it is, of whom, when (UTC), and in one sentence what then happens.

    `subject` is the certificate's, or the issuer's of an uploaded client certificate, as text for people (RFC 4514).
    """

    what: EndingKind
    name: str
    subject: str
    ends_at: datetime
    then: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificatesEnding:
    """End-entity certificates of one authority that end: how many, and the first and the last moment (UTC)."""

    authority: str
    count: int
    first: datetime
    last: datetime
