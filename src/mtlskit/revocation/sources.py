"""Where a revocation list comes from, as values: a file, a distribution point on the web, or bytes given in code.

`http:` is a usual form of distribution point: a list is signed, and asking for it by `https:` can need a list
itself (RFC 5280, 8). Nobody but the operator chooses a source; a certificate's own extension is never followed.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias
from urllib.parse import SplitResult, unquote, urlsplit

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from mtlskit.core.validation import RevocationList
from mtlskit.errors import ConfigurationError
from mtlskit.revocation.reading import as_der

_LONGEST_URL = 2048
_FORMS = "a revocation list in PEM or DER, or an https:, http: or file: URL"


@dataclass(frozen=True, slots=True)
class FileSource:
    """A list in a file, in PEM or DER; `path` is absolute. Replace the file atomically (rename). Local disks only."""

    path: str

    def __post_init__(self) -> None:
        if not isinstance(self.path, str) or not os.path.isabs(self.path) or "\0" in self.path:
            raise ConfigurationError(f"expected the absolute path of a revocation list, got {self.path!r}")

    def __str__(self) -> str:
        return Path(self.path).as_uri()


@dataclass(frozen=True, slots=True)
class WebSource:
    """A distribution point (RFC 5280, 4.2.1.13) in a URL of the scheme `https` or `http`, without credentials."""

    url: str

    def __post_init__(self) -> None:
        parts = _split(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.fragment:
            raise ConfigurationError(f"expected an https: or http: URL of a revocation list, got {self.url!r}")
        if parts.username is not None or parts.password is not None:
            raise ConfigurationError(f"expected a URL without credentials for a revocation list of {parts.hostname!r}")

    @property
    def scheme(self) -> str:
        """`https` or `http`."""
        return urlsplit(self.url).scheme

    def __str__(self) -> str:
        return self.url


@dataclass(frozen=True, slots=True)
class GivenList:
    """A list given in code, in DER. It never changes; a new one comes with a new setting."""

    der: bytes = field(repr=False)

    def __str__(self) -> str:
        return f"given:{hashlib.sha256(self.der).hexdigest()[:16]}"


ListSource: TypeAlias = FileSource | WebSource | GivenList
Given: TypeAlias = "ListSource | RevocationList | x509.CertificateRevocationList | os.PathLike[str] | bytes | str"


def source_of(given: Given) -> ListSource:
    """The source that a caller means by a list (parsed, PEM, DER), a URL (`https:`, `http:`, `file:`) or a path object.

    Raises CertificateError for bytes that are no revocation list, ConfigurationError for anything else.
    """
    if isinstance(given, FileSource | WebSource | GivenList):
        return given
    if isinstance(given, RevocationList):
        return GivenList(given.der)
    if isinstance(given, x509.CertificateRevocationList):
        return GivenList(given.public_bytes(Encoding.DER))
    if isinstance(given, bytes):
        return _given(given)
    if isinstance(given, str):
        return _given(given.encode("utf-8", "replace")) if "-----BEGIN" in given else _located(given)
    if isinstance(given, os.PathLike):
        return FileSource(os.path.abspath(os.fspath(given)))
    raise ConfigurationError(f"expected {_FORMS}, got {type(given).__name__}")


def _given(data: bytes) -> GivenList:
    return GivenList(RevocationList(as_der(data)).der)


def _located(url: str) -> FileSource | WebSource:
    parts = _split(url)
    if parts.scheme in ("http", "https"):
        return WebSource(url)
    if parts.scheme != "file" or parts.netloc not in ("", "localhost") or parts.query or parts.fragment:
        raise ConfigurationError(f"expected {_FORMS}, got {url[:_LONGEST_URL]!r}")
    return FileSource(unquote(parts.path))


def _split(url: str) -> SplitResult:
    if not isinstance(url, str):
        raise ConfigurationError(f"expected {_FORMS}, got {type(url).__name__}")
    parts = _parts(url) if len(url) <= _LONGEST_URL and url.isascii() and url.isprintable() and " " not in url else None
    if parts is None:
        raise ConfigurationError(f"expected {_FORMS}, got {url[:_LONGEST_URL]!r}")
    return parts


def _parts(url: str) -> SplitResult | None:
    try:
        parts = urlsplit(url)
        _ = parts.port  # raises for what is no port
    except ValueError:
        return None
    return parts
