"""The proxy that calls go through: a tunnel, and the TLS with the origin within it. It sees no client certificate."""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import SplitResult, unquote_to_bytes, urlsplit

from mtlskit.errors import ConfigurationError, InvalidName
from mtlskit.fetch.targets import read_host

_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Proxy:
    """An HTTP proxy (RFC 9110, 9.3.6), with the user name and password that it wants."""

    scheme: str
    host: str
    port: int
    credentials: tuple[bytes, bytes] | None = field(default=None, repr=False)

    @classmethod
    def parse(cls, text: str) -> Proxy:
        """Reads `http[s]://[user:password@]host[:port]`; raises ConfigurationError, in which no password stands."""
        try:
            parts = urlsplit(text)
            usual = _PORTS[parts.scheme]
            port = usual if parts.port is None else parts.port
            host = read_host(parts.hostname or "")
        except (ValueError, TypeError, AttributeError, KeyError, InvalidName):
            raise _unreadable() from None
        if port == 0 or parts.path not in ("", "/") or parts.query or parts.fragment:
            raise _unreadable()
        return cls(parts.scheme, host, port, _credentials(parts))

    @property
    def is_tls(self) -> bool:
        """Whether the proxy itself is spoken to over TLS."""
        return self.scheme == "https"

    @property
    def url(self) -> str:
        """Where it is."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"


def _credentials(parts: SplitResult) -> tuple[bytes, bytes] | None:
    if parts.username is None:
        return None
    return unquote_to_bytes(parts.username), unquote_to_bytes(parts.password or "")


def _unreadable() -> ConfigurationError:
    return ConfigurationError("expected a proxy as 'http[s]://[user:password@]host[:port]', got something else")
