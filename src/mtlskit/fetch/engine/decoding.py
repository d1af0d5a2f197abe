"""Bodies decoded from their Content-Encoding (RFC 9110, 8.4), by httpx2."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any

import httpx2


class _Parts(httpx2.SyncByteStream):
    def __init__(self, parts: Any) -> None:
        self._parts = parts

    def __iter__(self) -> Iterator[bytes]:
        yield from self._parts


class _AsyncParts(httpx2.AsyncByteStream):
    def __init__(self, parts: Any) -> None:
        self._parts = parts

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for part in self._parts:
            yield part


def decoded(headers: Mapping[str, str], parts: Any) -> Iterator[bytes]:
    """The body of which `parts` are the octets; raises httpx2.DecodingError, and what `parts` raises."""
    coding = headers.get("content-encoding")
    if coding is None:
        return iter(parts)
    return httpx2.Response(200, headers={"Content-Encoding": coding}, stream=_Parts(parts)).iter_bytes()


def decoded_async(headers: Mapping[str, str], parts: Any) -> AsyncIterator[bytes]:
    """As `decoded`."""
    coding = headers.get("content-encoding")
    if coding is None:
        return aiter(parts)
    return httpx2.Response(200, headers={"Content-Encoding": coding}, stream=_AsyncParts(parts)).aiter_bytes()
