"""Requests as values, and headers. Pure. Owns which method, header and body can be asked for at all."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeAlias

from mtlskit.core.given import shown
from mtlskit.errors import ConfigurationError
from mtlskit.fetch.bodies import Body, BodyLike, FormLike, body_of, pairs_of

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
_FORBIDDEN_METHODS = frozenset({"CONNECT", "TRACE", "TRACK"})
_BODYLESS_METHODS = frozenset({"GET", "HEAD"})
# These are the connection's, not the caller's: another Host than the URL's, or a length of one's own, is an attack.
_FORBIDDEN_HEADERS = frozenset(
    {"host", "content-length", "transfer-encoding", "connection", "keep-alive", "te", "trailer", "upgrade"}
)
DEFAULT_TIMEOUT = 30.0
_LONGEST_TIMEOUT = 10**9  # seconds; what sockets take ends somewhere

HeadersLike: TypeAlias = Mapping[str, str] | Iterable[tuple[str, str]]


class Headers(Mapping[str, str]):
    """Header fields by name, in any case; several of one name are joined by a comma (RFC 9110, 5.3)."""

    __slots__ = ("_fields",)

    def __init__(self, fields: Iterable[tuple[str, str]] = ()) -> None:
        self._fields: dict[str, list[str]] = {}
        for name, value in fields:
            self._fields.setdefault(name.lower(), []).append(value)

    def __getitem__(self, name: str) -> str:
        return ", ".join(self._fields[name.lower()])

    def __iter__(self) -> Iterator[str]:
        return iter(self._fields)

    def __len__(self) -> int:
        return len(self._fields)

    def get_all(self, name: str) -> list[str]:
        """Every value of that name, apart: for `Set-Cookie`."""
        return list(self._fields.get(name.lower(), ()))

    def __repr__(self) -> str:
        return f"<Headers {', '.join(self._fields)}>"  # names only: values may be secrets


class Redirect(StrEnum):
    """What becomes of a redirect."""

    FOLLOW = "follow"
    BOUND = "bound"  # followed to origins that the certificate is for; another is an error
    MANUAL = "manual"  # it is the response
    ERROR = "error"


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What the caller wants, whatever the URL: checked."""

    method: str
    headers: tuple[tuple[str, str], ...]
    body: Body

    @classmethod
    def of(
        cls,
        method: str,
        headers: HeadersLike | None,
        body: BodyLike | None,
        json: Any,
        form: FormLike | None = None,
    ) -> Request:
        """Raises ConfigurationError for what cannot be sent."""
        checked = _method(method)
        fields = [_field(name, value) for name, value in pairs_of(headers, "headers")]
        content, content_type = body_of(body, json, form)
        if content is not None and checked in _BODYLESS_METHODS:
            raise ConfigurationError(f"expected a method that has a body, such as 'POST', got {checked!r}")
        if content_type and not any(name.lower() == "content-type" for name, _ in fields):
            fields.append(("Content-Type", content_type))
        return cls(method=checked, headers=tuple(fields), body=content or b"")


def timeout_of(seconds: float | None) -> float | None:
    """A positive number of seconds, or None for no limit; raises ConfigurationError."""
    is_number = isinstance(seconds, int | float) and not isinstance(seconds, bool)
    if seconds is not None and not (is_number and 0 < seconds <= _LONGEST_TIMEOUT):
        raise ConfigurationError(
            f"expected a number of seconds up to {_LONGEST_TIMEOUT} or None as timeout, got {shown(seconds)}"
        )
    return seconds


def redirect_of(mode: str) -> Redirect:
    """One of the three modes; raises ConfigurationError."""
    if mode not in Redirect.__members__.values():
        raise ConfigurationError(f"expected 'follow', 'bound', 'manual' or 'error' as redirect, got {mode!r}")
    return Redirect(mode)


def _method(method: str) -> str:
    if not isinstance(method, str) or not _TOKEN.fullmatch(method) or method.upper() in _FORBIDDEN_METHODS:
        raise ConfigurationError(f"expected an HTTP method such as 'GET', got {shown(method)}")
    return method.upper()


def _field(name: str, value: str) -> tuple[str, str]:
    if not isinstance(name, str) or not _TOKEN.fullmatch(name) or name.lower() in _FORBIDDEN_HEADERS:
        raise ConfigurationError(f"expected the name of a header that a caller may set, got {shown(name)}")
    if not isinstance(value, str) or not _VALUE.fullmatch(value):
        raise ConfigurationError(f"expected text without line breaks as the header {name!r}, got something else")
    return name, value.strip(" \t")
