"""Reading a list from a file: bounded in octets and time, and only where the file has changed."""

from __future__ import annotations

import errno
import os
import stat
import time
from collections.abc import Callable
from typing import Final, NamedTuple

from mtlskit.errors import FetchError
from mtlskit.revocation.reading import check_size
from mtlskit.revocation.schedule import ListLimits

_PIECE: Final = 1 << 20
_RESTLESS_SECONDS: Final = 2.0  # a file changed so lately may change again without its times showing it


class Imprint(NamedTuple):
    """What tells one content of a path from the next without reading it."""

    device: int
    inode: int
    size: int
    modified: int
    changed: int


def imprint_of(path: str) -> Imprint | None:
    """The imprint of the file as it is; None where there is none."""
    try:
        return _imprint(os.stat(path))
    except OSError:
        return None


def read_file(path: str, limits: ListLimits) -> tuple[bytes, Imprint | None]:
    """The content, and its imprint (None where the file was changed just now). Raises FetchError, CertificateError."""
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0))
        with open(descriptor, "rb", buffering=0) as file:
            found = os.fstat(descriptor)
            if not stat.S_ISREG(found.st_mode):
                raise FetchError(f"expected a regular file at {path!r}, got another kind")
            check_size(found.st_size, limits)
            data = _content(file.read, limits)
    except OSError as error:
        told = errno.errorcode.get(error.errno or 0, type(error).__name__)
        raise FetchError(f"expected a revocation list at {path!r}, got {told}") from error
    return data, None if _is_restless(found) else _imprint(found)


def _content(read: Callable[[int], bytes | None], limits: ListLimits) -> bytes:
    ends = time.monotonic() + limits.seconds
    data = bytearray()
    while piece := read(_PIECE):
        data += piece
        check_size(len(data), limits)
        if time.monotonic() > ends:
            raise FetchError(f"expected a revocation list within {limits.seconds:g} s, got {len(data)} octets of it")
    return bytes(data)


def _is_restless(found: os.stat_result) -> bool:
    return abs(time.time() - found.st_mtime) < _RESTLESS_SECONDS


def _imprint(found: os.stat_result) -> Imprint:
    return Imprint(found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
