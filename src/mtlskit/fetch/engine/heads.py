"""What an answer begins with, as the engine's parsers give it: that of HTTP/2 looks at nearly nothing."""

from __future__ import annotations

import re
from typing import Final

import httpcore2

from mtlskit.fetch.messages import Headers

_NAME: Final = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, 5.6.2
_VALUE: Final = re.compile(rb"[^\x00\r\n]*")  # RFC 9110, 5.5


def status_of(response: httpcore2.Response) -> int:
    """The status; raises ValueError for one that is none."""
    if not 100 <= response.status <= 599:
        raise ValueError("expected a status of three digits")
    return response.status


def headers_of(response: httpcore2.Response) -> Headers:
    """The header fields; raises ValueError for one that is none."""
    for name, value in response.headers:
        if not _NAME.fullmatch(name) or not _VALUE.fullmatch(value):
            raise ValueError("expected a header field")
    return Headers((name.decode("ascii"), value.decode("latin-1")) for name, value in response.headers)
