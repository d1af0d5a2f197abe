"""Whether HTTP/2 can be spoken here, and what its parser raises."""

from __future__ import annotations

from typing import Final

_found: tuple[type[Exception], ...] = ()
try:
    from h2.exceptions import H2Error

    _found = (H2Error,)
except ImportError:  # the extra `fetch` brings it
    pass

HTTP2_ERRORS: Final = _found
HTTP2: Final = bool(_found)
