"""Bodies decoded from the one Content-Encoding that they have (RFC 9110, 8.4), of those that we ask for."""

from __future__ import annotations

import zlib
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any, Final

_GZIP: Final = 16 + zlib.MAX_WBITS
_ZLIB: Final = zlib.MAX_WBITS
_RAW: Final = -zlib.MAX_WBITS
_MOST: Final = 256 * 1024  # octets at once: a little can stand for very much
# Any other coding, and several of them, are left as they came: the header says so.
_CODINGS: Final = {"gzip": _GZIP, "x-gzip": _GZIP, "deflate": _ZLIB}


class DecodingError(Exception):
    """A body is not what its Content-Encoding says, or not the whole of it."""


class _Decoder:
    """Takes the parts of an encoded body, and gives those of the body."""

    def __init__(self, window: int) -> None:
        self._window = window
        self._inner = zlib.decompressobj(window)
        self._is_begun = False

    def feed(self, part: bytes) -> Iterator[bytes]:
        while part:
            if self._inner.eof:
                if self._window != _GZIP:
                    raise DecodingError("expected the end of a body, got more")
                self._inner = zlib.decompressobj(_GZIP)  # gzip may have several members (RFC 1952, 2.2)
            yield self._decompressed(part)
            part = self._inner.unconsumed_tail or self._inner.unused_data

    def _decompressed(self, part: bytes) -> bytes:
        is_first, self._is_begun = not self._is_begun, True
        try:
            return self._inner.decompress(part, _MOST)
        except zlib.error as error:
            if is_first and self._window == _ZLIB:  # some servers say "deflate" and mean it without the frame of zlib
                self._window, self._inner = _RAW, zlib.decompressobj(_RAW)
                return self._decompressed(part)
            raise DecodingError(str(error)) from None

    def finish(self) -> None:
        if self._is_begun and not self._inner.eof:
            raise DecodingError("expected a whole body, got a part")


def decoded(headers: Mapping[str, str], parts: Any) -> Iterator[bytes]:
    """The body of which `parts` are the octets; raises DecodingError, and what `parts` raises."""
    window = _window(headers)
    return iter(parts) if window is None else _decoded(window, parts)


def decoded_async(headers: Mapping[str, str], parts: Any) -> AsyncIterator[bytes]:
    """As `decoded`."""
    window = _window(headers)
    return aiter(parts) if window is None else _decoded_async(window, parts)


def _window(headers: Mapping[str, str]) -> int | None:
    return _CODINGS.get(headers["content-encoding"].strip().lower()) if "content-encoding" in headers else None


def _decoded(window: int, parts: Any) -> Iterator[bytes]:
    decoder = _Decoder(window)
    for part in parts:
        yield from filter(None, decoder.feed(part))
    decoder.finish()


async def _decoded_async(window: int, parts: Any) -> AsyncIterator[bytes]:
    decoder = _Decoder(window)
    async for part in parts:
        for each in filter(None, decoder.feed(part)):
            yield each
    decoder.finish()
