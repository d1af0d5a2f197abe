"""What a request can carry: bytes, text, JSON, a form, or a stream that is read while it is sent. Pure."""

from __future__ import annotations

import json as json_module
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator, Mapping
from functools import partial
from io import SEEK_END, TextIOBase
from math import inf
from typing import Any, Final, TypeAlias
from urllib.parse import urlencode

from mtlskit.errors import ConfigurationError, FetchError

_CHUNK: Final = 64 * 1024  # octets of a file at a time

BodyLike: TypeAlias = bytes | bytearray | memoryview | str | Iterable[bytes] | AsyncIterable[bytes]
FormLike: TypeAlias = Mapping[str, str] | Iterable[tuple[str, str]]


class StreamedBody:
    """A body that comes part by part, and can be sent once. `length` is in octets, where it is known."""

    __slots__ = ("_is_begun", "_left", "_source", "failure", "length")

    def __init__(self, source: Iterable[bytes] | AsyncIterable[bytes], *, length: int | None = None) -> None:
        self._source = source
        self._is_begun = False
        self.length = length
        self._left = inf if length is None else length
        self.failure: Exception | None = None  # the source's own, which is not to be taken for the connection's

    @property
    def needs_loop(self) -> bool:
        """Whether it can be read in a coroutine only."""
        return not isinstance(self._source, Iterable)

    def __iter__(self) -> Iterator[bytes]:
        self._begin()
        try:
            for part in self._source:  # type: ignore[union-attr]
                yield self._counted(part)
                if not self._left:
                    break  # a file that grew meanwhile
            self._check_whole()
        except Exception as error:
            self.failure = error
            raise

    async def __aiter__(self) -> AsyncIterator[bytes]:
        self._begin()
        try:
            if isinstance(self._source, AsyncIterable):
                async for part in self._source:
                    yield self._counted(part)
            else:
                for part in self._source:
                    yield self._counted(part)
                    if not self._left:
                        break
            self._check_whole()
        except Exception as error:
            self.failure = error
            raise

    def _counted(self, part: object) -> bytes:
        """The part, as far as it is within the length that was promised."""
        if not isinstance(part, bytes | bytearray | memoryview):
            raise ConfigurationError(f"expected bytes from a streamed body, got {type(part).__name__}")
        octets = bytes(part)
        if self.length is not None:
            octets = octets[: int(self._left)]
            self._left -= len(octets)
        return octets

    def _check_whole(self) -> None:
        if self.length is not None and self._left:
            raise ConfigurationError(f"expected {self.length} octets of a body, got {self._left} fewer")

    def _begin(self) -> None:
        if self._is_begun:  # the engine begins anew where a server said that it had not begun
            raise FetchError("expected a body that can be sent again on another connection, got a stream")
        self._is_begun = True


Body: TypeAlias = bytes | StreamedBody


def body_of(body: BodyLike | None, json: Any, form: FormLike | None) -> tuple[Body | None, str]:
    """The body and its media type, if it has one; raises ConfigurationError for what cannot be sent."""
    if sum(each is not None for each in (body, json, form)) > 1:
        raise ConfigurationError("expected one of body, json and form, got more")
    if json is not None:
        return _json_bytes(json), "application/json"
    if form is not None:
        return _form_bytes(form), "application/x-www-form-urlencoded"
    match body:
        case None:
            return None, ""
        case str():
            return _encoded(body), "text/plain;charset=UTF-8"
        case bytes() | bytearray():
            return bytes(body), ""
        case memoryview():
            return _octets(body), ""
    return _streamed(body), ""


def pairs_of(given: Any, what: str) -> list[tuple[Any, Any]]:
    """Pairs of a name and a value; raises ConfigurationError for what is none."""
    try:
        pairs = list(given.items() if isinstance(given, Mapping) else given or ())
        if not any(isinstance(pair, str) for pair in pairs):
            return [(name, value) for name, value in pairs]
    except (TypeError, ValueError):
        pass
    raise ConfigurationError(f"expected {what} as pairs of a name and a value, got {type(given).__name__} of others")


def _streamed(body: object) -> StreamedBody:
    if isinstance(body, TextIOBase):
        raise ConfigurationError("expected a file that is open in binary mode as body, got one of text")
    if hasattr(body, "read"):
        return StreamedBody(iter(partial(body.read, _CHUNK), b""), length=_left_in(body))
    if isinstance(body, Iterable | AsyncIterable) and not isinstance(body, Mapping):
        return StreamedBody(body)
    raise ConfigurationError(
        f"expected bytes, text, an open binary file or an iterable of bytes as body, got {type(body).__name__}"
    )


def _left_in(file: Any) -> int | None:
    try:
        here = file.tell()
        end = file.seek(0, SEEK_END)
        file.seek(here)
        return int(max(0, end - here))
    except (OSError, ValueError, AttributeError, TypeError):  # a pipe, or something like a file
        return None


def _encoded(text: str) -> bytes:
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError:
        raise ConfigurationError("expected a body of Unicode characters, got lone surrogates") from None


def _octets(view: memoryview) -> bytes:
    try:
        return bytes(view)
    except ValueError:
        raise ConfigurationError("expected a body that can be read, got a memoryview that was released") from None


def _json_bytes(value: Any) -> bytes:
    try:
        return json_module.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode("utf-8")
    except (TypeError, ValueError, RecursionError) as error:
        raise ConfigurationError(f"expected a value that JSON can hold, got {type(value).__name__}") from error


def _form_bytes(form: FormLike) -> bytes:
    pairs = pairs_of(form, "form")
    if not all(isinstance(name, str) and isinstance(value, str) for name, value in pairs):
        raise ConfigurationError("expected names and values of text in form, got others")
    return _encoded(urlencode([(_encoded(name), _encoded(value)) for name, value in pairs]))
