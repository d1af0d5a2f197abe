"""What a request can carry: bytes, text, JSON, a form, or a stream that is read while it is sent. Pure."""

from __future__ import annotations

import json as json_module
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator, Mapping
from functools import partial
from io import SEEK_END, TextIOBase
from typing import Any, Final, TypeAlias
from urllib.parse import urlencode

from mtlskit.errors import ConfigurationError, FetchError

_CHUNK: Final = 64 * 1024  # octets of a file at a time

BodyLike: TypeAlias = bytes | bytearray | memoryview | str | Iterable[bytes] | AsyncIterable[bytes]
FormLike: TypeAlias = Mapping[str, str] | Iterable[tuple[str, str]]


class StreamedBody:
    """A body that comes part by part, and can be sent once. `length` is in octets, where it is known."""

    __slots__ = ("_is_begun", "_source", "failure", "length")

    def __init__(self, source: Iterable[bytes] | AsyncIterable[bytes], *, length: int | None = None) -> None:
        self._source = source
        self._is_begun = False
        self.length = length
        self.failure: Exception | None = None  # the source's own, which is not to be taken for the connection's

    @property
    def needs_loop(self) -> bool:
        """Whether it can be read in a coroutine only."""
        return not isinstance(self._source, Iterable)

    def __iter__(self) -> Iterator[bytes]:
        self._begin()
        try:
            for part in self._source:  # type: ignore[union-attr]
                yield _checked(part)
        except Exception as error:
            self.failure = error
            raise

    async def __aiter__(self) -> AsyncIterator[bytes]:
        self._begin()
        try:
            if isinstance(self._source, AsyncIterable):
                async for part in self._source:
                    yield _checked(part)
            else:
                for part in self._source:
                    yield _checked(part)
        except Exception as error:
            self.failure = error
            raise

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
            return body.encode("utf-8"), "text/plain;charset=UTF-8"
        case bytes() | bytearray() | memoryview():
            return bytes(body), ""
    return _streamed(body), ""


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
    except (OSError, ValueError, AttributeError):  # a pipe, or something like a file
        return None
    return int(end - here)


def _checked(part: object) -> bytes:
    if not isinstance(part, bytes | bytearray | memoryview):
        raise ConfigurationError(f"expected bytes from a streamed body, got {type(part).__name__}")
    return bytes(part)


def _json_bytes(value: Any) -> bytes:
    try:
        return json_module.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode("utf-8")
    except (TypeError, ValueError, RecursionError) as error:
        raise ConfigurationError(f"expected a value that JSON can hold, got {type(value).__name__}") from error


def _form_bytes(form: FormLike) -> bytes:
    try:
        pairs = list(form.items() if isinstance(form, Mapping) else form)
        if all(isinstance(name, str) and isinstance(value, str) for name, value in pairs):
            return urlencode(pairs).encode("ascii")
    except (TypeError, ValueError):
        pass
    raise ConfigurationError(f"expected pairs of text as form, got {type(form).__name__} of something else")
