"""What is known of a request beside its certificate: for policies that ask for more than who the client is.

A fact that is not known, or that has more than one reading, is None. It is no value: a rule that would let in does
not match it, and a rule that would shut out does.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import TypeAlias
from urllib.parse import unquote_to_bytes

from mtlskit.core.names import Hostname

ClientAddress: TypeAlias = IPv4Address | IPv6Address

_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})", re.ASCII)
# What one reader takes for a separator or a dot and another does not: "/", "\\", "." and "%" written as escapes.
_DOUBTFUL_ESCAPE = re.compile(r"%(?:2[Ff]|5[Cc]|2[Ee]|25)", re.ASCII)
_PLAIN = re.compile(r"/|(?:/[A-Za-z0-9_~-][A-Za-z0-9_~.-]*)+/?", re.ASCII)  # what most paths are
# A backslash is a slash to some; what follows the others is a part of the path to some, and none to others.
_DOUBTFUL = frozenset("\\;?#")
_LONGEST_PATH = 8192


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestFacts:
    """One request, as the server knows it.

    `hostname` is canonical (`Hostname.parse`), `method` as it was sent, `path` decoded and without the query (see
    `readable_path`), `client_address` the peer's own or what a trusted proxy said (an IPv4-mapped one is IPv4, one with
    a zone is unknown), `at` a UTC-aware moment.
    """

    method: str | None = None
    path: str | None = None
    client_address: ClientAddress | None = None
    hostname: str | None = None
    at: datetime | None = None

    def __post_init__(self) -> None:
        if self.client_address is not None:
            object.__setattr__(self, "client_address", _known_address(self.client_address))

    @classmethod
    def of(
        cls,
        *,
        method: str | None = None,
        path: str | None = None,
        client_address: str | ClientAddress | None = None,
        hostname: str | None = None,
        at: datetime | None = None,
    ) -> RequestFacts:
        """From what people write: `path` percent-encoded, `client_address` and `hostname` in any spelling.

        Raises InvalidName for what is no hostname and ValueError for what is no address or moment without a zone.
        """
        if at is not None and at.utcoffset() is None:
            raise ValueError(f"expected a moment with its time zone, got {at!r}")
        return cls(
            method=method,
            path=None if path is None else readable_path(path),
            client_address=None if client_address is None else ip_address(client_address),
            hostname=None if hostname is None else Hostname.parse(hostname).name,
            at=at,
        )


def unmapped(address: ClientAddress) -> ClientAddress:
    """The address; an IPv4 client that a dual-stack socket shows as `::ffff:192.0.2.1` is an IPv4 client."""
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return address if mapped is None else mapped


def _known_address(address: ClientAddress) -> ClientAddress | None:
    """None for one of a zone, which means another machine on every link (RFC 4007, 6)."""
    return None if isinstance(address, IPv6Address) and address.scope_id else unmapped(address)


def readable_path(raw: str) -> str | None:
    """The decoded path of a percent-encoded one without its query; None where readers could disagree about it.

    Of more than one reading: dot segments, empty segments, a backslash, a semicolon, an encoded slash, backslash, dot,
    percent, question or number sign, an incomplete escape, control characters, and what is not UTF-8 (RFC 3986, 3.3).
    """
    if _PLAIN.fullmatch(raw) and len(raw) <= _LONGEST_PATH:
        return raw
    if len(raw) > _LONGEST_PATH or _BAD_ESCAPE.search(raw) or _DOUBTFUL_ESCAPE.search(raw):
        return None
    try:
        return plain_path(unquote_to_bytes(raw).decode("utf-8"))
    except UnicodeError:
        return None


def plain_path(decoded: str) -> str | None:
    """A path that a server has decoded already; None where readers could disagree about it."""
    if not decoded.startswith("/") or not _DOUBTFUL.isdisjoint(decoded) or not decoded.isprintable():
        return None
    segments = decoded.split("/")[1:]
    is_plain = all(segment not in ("", ".", "..") for segment in segments[:-1]) and segments[-1] not in (".", "..")
    return decoded if is_plain else None
