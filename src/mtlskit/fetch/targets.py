"""URLs and origins. Pure. Owns what an `https` URL means here: the one reading that is checked *and* connected to.

A URL is taken apart once, its host goes through the one canonicaliser, and what the HTTP client gets is put together
again from the parts, so that no second parser can see another host in it.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import SplitResult, quote, urljoin, urlsplit

from mtlskit.core.names import Hostname, HostnamePattern
from mtlskit.errors import ConfigurationError, InvalidName, OriginNotAllowed

_HTTPS = 443
_CONTROL = re.compile(r"[\x00-\x20\x7f]")
# What a path or query may hold as it is (RFC 3986, 3.3 and 3.4); "%" stays, so that nothing is encoded twice.
_SAFE = "/%:@!$&'()*+,;=~?-._"
_HOST = re.compile(r"[^\s/?#@\\%]+", re.ASCII)  # nothing that ends a host in a URL
_PLAIN = re.compile(r"[A-Za-z0-9/%:@!$&'()*+,;=~?._-]*")


@dataclass(frozen=True, slots=True)
class Origin:
    """Scheme `https`, a canonical host (name or address) and a port (RFC 6454, 4)."""

    host: str
    port: int = _HTTPS

    @property
    def netloc(self) -> str:
        """Host and port as they stand in a URL, the port only if it is not 443."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _HTTPS else f"{host}:{self.port}"

    def __str__(self) -> str:
        return f"https://{self.netloc}"


@dataclass(frozen=True, slots=True)
class Target:
    """An origin, and the path and query asked of it. A fragment is never sent and not kept."""

    origin: Origin
    path: str

    @classmethod
    def parse(cls, url: str) -> Target:
        """Reads an absolute `https` URL.

        Raises OriginNotAllowed for another scheme, ConfigurationError for what is not such a URL, or has user
        information, white space or control characters in it.
        """
        if not isinstance(url, str) or _CONTROL.search(url):
            raise ConfigurationError(f"expected a URL without white space, got {_shown(url)}")
        parts = _split(url)
        if parts.scheme != "https":
            raise OriginNotAllowed(f"expected an 'https' URL for a binding, got {_shown(url)}")
        return cls(_origin(parts.netloc, url), _path(parts))

    def join(self, location: str) -> Target:
        """The target of a redirect from here (RFC 9110, 10.2.2); raises as `parse`."""
        try:
            return Target.parse(urljoin(str(self), _CONTROL.sub(_escaped, location.strip())))
        except ValueError:
            raise ConfigurationError(f"expected a URL reference, got {_shown(location)}") from None

    def __str__(self) -> str:
        return f"{self.origin}{self.path}"


@dataclass(frozen=True, slots=True)
class OriginPattern:
    """One origin, or all whose host has exactly one label more: `https://*.acme.example`."""

    host: HostnamePattern | str
    port: int

    @classmethod
    def parse(cls, text: str) -> OriginPattern:
        """Reads `https://host[:port]`, where the host may begin with `*.`; raises ConfigurationError."""
        if not isinstance(text, str) or _CONTROL.search(text):
            raise ConfigurationError(f"expected an origin as 'https://host[:port]', got {text!r}")
        parts = _split(text)
        if parts.scheme != "https" or parts.path not in ("", "/") or parts.query or parts.fragment:
            raise ConfigurationError(f"expected an origin as 'https://host[:port]', got {_shown(text)}")
        if not parts.netloc.startswith("*."):
            origin = _origin(parts.netloc, text)
            return cls(_pattern_of(origin.host), origin.port)
        base = _origin(parts.netloc[2:], text)
        return cls(_wildcard(base.host, text), base.port)

    def covers(self, origin: Origin) -> bool:
        """Whether `origin` is (one of) the origin(s) meant."""
        if self.port != origin.port:
            return False
        if isinstance(self.host, str):
            return self.host == origin.host
        return not _is_address(origin.host) and self.host.matches(Hostname(origin.host))

    def __str__(self) -> str:
        return str(Origin(str(self.host), self.port))


@dataclass(frozen=True, slots=True)
class BoundOrigins:
    """The origins that a certificate may be taken to."""

    patterns: tuple[OriginPattern, ...]

    @classmethod
    def parse(cls, texts: Sequence[str]) -> BoundOrigins:
        """Reads a list of origins; raises ConfigurationError."""
        if isinstance(texts, str) or not isinstance(texts, Sequence):
            raise ConfigurationError(f"expected a list of origins, got {texts!r}")
        return cls(tuple(map(OriginPattern.parse, texts)))

    def __contains__(self, origin: Origin) -> bool:
        return any(pattern.covers(origin) for pattern in self.patterns)

    def covers(self, host: str, port: int | None) -> bool:
        """Whether a host in the form that another library connects to, and a port (none: 443), are of these origins."""
        origin = _as_connected_to(host, _HTTPS if port is None else port)
        return origin is not None and origin in self

    def admits(self, host: str) -> bool:
        """Whether that host is one of these origins', at any of their ports."""
        return any(self.covers(host, pattern.port) for pattern in self.patterns)

    def __bool__(self) -> bool:
        return bool(self.patterns)

    def __str__(self) -> str:
        return ", ".join(f"'{pattern}'" for pattern in self.patterns)


def _as_connected_to(host: str, port: int) -> Origin | None:
    """The origin that is meant; None for what is no host of a URL, which is then nobody's."""
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if not bare.isascii() or not _HOST.fullmatch(bare):
        return None
    try:
        return Target.parse(f"https://{Origin(bare, port).netloc}/").origin
    except (ConfigurationError, InvalidName):
        return None


def _split(url: str) -> SplitResult:
    try:
        return urlsplit(url)
    except ValueError:
        raise ConfigurationError(f"expected an absolute URL, got {_shown(url)}") from None


def _origin(netloc: str, url: str) -> Origin:
    try:
        return _read_netloc(netloc)
    except ValueError:
        raise ConfigurationError(f"expected a port between 1 and 65535, got {_shown(url)}") from None
    except InvalidName as error:
        raise ConfigurationError(f"expected a hostname or an address in {_shown(url)}, {error}") from None


@lru_cache(maxsize=1024)
def _read_netloc(netloc: str) -> Origin:
    parts = SplitResult("https", netloc, "", "", "")
    port = _HTTPS if parts.port is None else parts.port
    if not parts.hostname or port == 0 or "@" in netloc or "%" in netloc:
        raise InvalidName("expected a host, a port or none, and no user information")
    return Origin(read_host(parts.hostname), port)


def read_host(text: str) -> str:
    """A name or an address in its one spelling; raises InvalidName."""
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        return Hostname.parse(text).name


def _path(parts: SplitResult) -> str:
    path, query = _quoted(parts.path or "/"), _quoted(parts.query)
    return f"{path}?{query}" if query else path


def _quoted(text: str) -> str:
    if _PLAIN.fullmatch(text):
        return text
    try:
        return quote(text, safe=_SAFE)
    except UnicodeEncodeError:
        raise ConfigurationError("expected a URL of Unicode characters, got lone surrogates") from None


def _pattern_of(host: str) -> HostnamePattern | str:
    return host if _is_address(host) else HostnamePattern(Hostname(host))


def _wildcard(base: str, text: str) -> HostnamePattern:
    try:
        return HostnamePattern.parse(f"*.{base}")
    except InvalidName as error:
        raise ConfigurationError(f"expected an origin as 'https://*.domain[:port]', got {_shown(text)}") from error


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _escaped(match: re.Match[str]) -> str:
    return quote(match.group())


def _shown(text: object) -> str:
    shown = repr(text)
    return shown if len(shown) <= 120 else shown[:120] + "..."
