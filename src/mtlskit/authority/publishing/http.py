"""What is answered over HTTP (RFC 9110, RFC 9111), as values: status, headers, body. Knows no server and no socket."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime, parsedate_to_datetime
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
    content_type: str, body: bytes, *, sha256: str, since: datetime, until: datetime, now: datetime, most: float,
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
        ("last-modified", _date(since)),
        ("etag", etag),
    )
    if _has_it(request, etag, since):
        return Answer(304, headers)
    return _answer(200, content_type, body, *headers)


def _answer(status: int, content_type: str, body: bytes, *headers: tuple[str, str]) -> Answer:
    fixed = (("content-type", content_type), ("content-length", str(len(body))), ("x-content-type-options", "nosniff"))
    return Answer(status, (*fixed, *headers), body)


# RFC 9110, 13.1.2 and 13.1.3: If-Modified-Since counts only without If-None-Match.
def _has_it(request: Mapping[str, str], etag: str, since: datetime) -> bool:
    wanted = request.get("if-none-match")
    if wanted is not None:
        tags = [each.strip().removeprefix("W/") for each in wanted.split(",")]
        return etag in tags or tags == ["*"]
    given = request.get("if-modified-since")
    if given is None:
        return False
    try:
        moment = parsedate_to_datetime(given)
    except (OverflowError, ValueError):
        return False
    return moment.tzinfo is not None and since <= moment


def _date(moment: datetime) -> str:
    return format_datetime(moment.astimezone(UTC), usegmt=True)
