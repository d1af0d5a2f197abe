"""Responses as values, and those whose body is read part by part, as it comes."""

from __future__ import annotations

import json as json_module
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from dataclasses import dataclass, fields
from email.message import Message
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from mtlskit.errors import FetchError
from mtlskit.fetch.messages import Headers

if TYPE_CHECKING:
    from mtlskit.fetch.engine import AsyncOpened, Opened


class CertificateUse(StrEnum):
    """What became of the binding's certificate."""

    REQUESTED = "requested"  # the origin asked for a certificate and was offered this one
    NOT_REQUESTED = "not_requested"  # the origin never asked for a certificate
    WITHHELD = "withheld"  # a redirect led to an origin that it is not for
    UNKNOWN = "unknown"  # offered; whether it was asked for cannot be seen with this backend


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back for one request, redirects included, before its body. Whether the server asked for a
    certificate: None where that cannot be seen.
    """

    status: int
    headers: Headers
    asked_for_certificate: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class ResponseHead:
    """What is known of a response before its body."""

    status: int
    headers: Headers
    url: str
    redirected: bool
    client_certificate: CertificateUse

    @property
    def ok(self) -> bool:
        """Whether the status is 200 to 299."""
        return 200 <= self.status <= 299

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.status} {self.url}>"


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Response(ResponseHead):
    """The answer to a `fetch`, its body decoded from its Content-Encoding."""

    content: bytes

    @classmethod
    def of(cls, head: ResponseHead, content: bytes) -> Response:
        """The whole of a response."""
        return cls(**_fields(head), content=content)

    def text(self) -> str:
        """The body as text: in the charset of its Content-Type, else UTF-8; what does not decode is replaced."""
        with suppress(LookupError, ValueError):  # no charset, or one that is not of text
            return self.content.decode(_charset(self.headers.get("content-type", "")), "replace")
        return self.content.decode("utf-8", "replace")

    def json(self) -> Any:
        """The body as JSON (RFC 8259); raises FetchError if it is none."""
        try:
            return json_module.loads(self.content, parse_constant=_refused)
        except (ValueError, RecursionError):
            kind = self.headers.get("content-type", "nothing")
            raise FetchError(f"expected JSON from {self.url}, got {len(self.content)} bytes of {kind!r}") from None


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class StreamedResponse(ResponseHead):
    """From `Binding.stream`, to be read there once: `for part in response.body: ...`."""

    _opened: Opened

    @classmethod
    def of(cls, head: ResponseHead, opened: Opened) -> StreamedResponse:
        """A response whose body is still to come."""
        return cls(**_fields(head), _opened=opened)

    @property
    def body(self) -> Iterator[bytes]:
        """The body as it comes, decoded from its Content-Encoding. Reading raises FetchError where it breaks off."""
        return iter(self._opened)

    def read(self) -> Response:
        """The response with the whole of its body."""
        return Response.of(self, b"".join(self._opened))


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class AsyncStreamedResponse(ResponseHead):
    """From `AsyncBinding.stream`, to be read there once: `async for part in response.body: ...`."""

    _opened: AsyncOpened

    @classmethod
    def of(cls, head: ResponseHead, opened: AsyncOpened) -> AsyncStreamedResponse:
        """A response whose body is still to come."""
        return cls(**_fields(head), _opened=opened)

    @property
    def body(self) -> AsyncIterator[bytes]:
        """As `StreamedResponse.body`."""
        return aiter(self._opened)

    async def read(self) -> Response:
        """As `StreamedResponse.read`."""
        return Response.of(self, b"".join([part async for part in self._opened]))


def _fields(head: ResponseHead) -> dict[str, Any]:
    return {each.name: getattr(head, each.name) for each in fields(ResponseHead)}


def _refused(constant: str) -> None:
    raise ValueError(f"expected a number of JSON, got {constant}")


def _charset(content_type: str) -> str:
    message = Message()
    message["content-type"] = content_type
    return message.get_content_charset("utf-8")
