"""What is answered over HTTP (RFC 9110, RFC 9111), as values: status, headers, body. Knows no server and no socket.

What may be kept is known by its ETag alone, a hash of it. A date would not do: it has whole seconds, and of two lists
of the same second the second one has a revocation that is not on the first. So nothing is given a Last-Modified, by
which a cache on the way would compare, and If-Modified-Since is not looked at (RFC 9110, 8.8.2.2 and 13.1.3).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import NamedTuple


class Answer(NamedTuple):
    """One answer. Header names are in lower case; `body` is what goes out, empty for HEAD."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes = b""

    def for_method(self, method: str) -> Answer:
        """The answer without its body for HEAD, its length told all the same."""
        return self._replace(body=b"") if method == "HEAD" else self


def told(status: int, text: str, *headers: tuple[str, str]) -> Answer:
    """A line for people, which nobody is to keep."""
    body = f"{text}\n".encode()
    return _answer(status, "text/plain; charset=utf-8", body, ("cache-control", "no-store"), *headers)


def not_kept(content_type: str, body: bytes) -> Answer:
    """An answer for who asked, and nobody else."""
    return _answer(200, content_type, body, ("cache-control", "no-store"))


def kept(
    content_type: str, body: bytes, *, sha256: str, until: datetime, now: datetime, most: float,
    request: Mapping[str, str],
) -> Answer:  # fmt: skip
    """An answer that caches may keep until `until`, and for `most` seconds at most; moments are UTC-aware.

    `sha256` is the body's hash in hexadecimal. 304 where `request`, the request's headers by lower-case name, says that
    the client has it (RFC 9110, 13).
    """
    age = max(0, int(min((until - now).total_seconds(), most)))
    etag = f'"{sha256}"'
    headers = (
        ("cache-control", f"public, max-age={age}, must-revalidate, no-transform"),
        ("expires", _date(now + timedelta(seconds=age))),
        ("etag", etag),
    )
    if _has_it(request, etag):
        return Answer(304, headers)
    return _answer(200, content_type, body, *headers)


def _answer(status: int, content_type: str, body: bytes, *headers: tuple[str, str]) -> Answer:
    fixed = (("content-type", content_type), ("content-length", str(len(body))), ("x-content-type-options", "nosniff"))
    return Answer(status, (*fixed, *headers), body)


# RFC 9110, 13.1.2.
def _has_it(request: Mapping[str, str], etag: str) -> bool:
    tags = [each.strip().removeprefix("W/") for each in request.get("if-none-match", "").split(",")]
    return etag in tags or tags == ["*"]


def _date(moment: datetime) -> str:
    return format_datetime(moment.astimezone(UTC), usegmt=True)
