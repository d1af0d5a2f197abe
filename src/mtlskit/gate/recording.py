"""A recording of what policies were asked, for a rehearsal: `mtlskit policy replay` says whom others would shut out.

It says who asked for what, when and from where: so it is written to a file that its owner alone can read, only where
somebody asks for it, and each request that policies cannot tell from another one once.
"""

from __future__ import annotations

import logging
import os
import stat
from collections import OrderedDict
from hashlib import sha256
from pathlib import Path
from typing import Final, TextIO

from mtlskit.core.policy import RecordedRequest
from mtlskit.errors import ConfigurationError
from mtlskit.locks import ForkSafeLock

_LOGGER = logging.getLogger("mtlskit.gate")
_APPENDING: Final = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
_MOST_REMEMBERED: Final = 100_000


class Recording:
    """Appends to a file, one line of JSON for each request; give it to a `Gate`. Close it when the gate is closed.

    The same client's request with the same method, path, address and answer is written once, as long as it is among
    the last hundred thousand. At most so many lines and octets are written; then the recording ends. A file that
    cannot be written ends it too, with one line in the log: no request waits for it or fails for it.
    """

    def __init__(
        self, path: str | os.PathLike[str], *, most: int = 1_000_000, most_octets: int = 1024 * 1024 * 1024
    ) -> None:
        """Opens the file, 0600 if it is new, and goes on behind what is in it.

        Raises ConfigurationError where it cannot be written, or is not a plain file of the owner alone.
        """
        self.path = Path(path)
        self._lines, self._octets = most, most_octets
        self._seen: OrderedDict[bytes, None] = OrderedDict()
        self._lock = ForkSafeLock()
        try:
            descriptor = os.open(self.path, _APPENDING, 0o600)
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or "no such name"
            raise ConfigurationError(f"expected a file that can be written at {str(self.path)!r}, got {why}") from None
        try:
            _check_private(os.fstat(descriptor), self.path)
            self._end_line(descriptor)
        except BaseException:
            os.close(descriptor)
            raise
        self._file: TextIO | None = os.fdopen(descriptor, "a", encoding="utf-8", buffering=1)

    def note(self, request: RecordedRequest) -> None:
        """Writes it down, if it is a new one. Never raises."""
        line = request.to_json()
        at = request.facts.at
        key = sha256(line.replace("null" if at is None else at.isoformat(), "", 1).encode()).digest()
        with self._lock:
            if self._file is None or key in self._seen:
                return
            self._seen[key] = None
            if len(self._seen) > _MOST_REMEMBERED:
                self._seen.popitem(last=False)
            self._write(f"{line}\n")

    def _end_line(self, descriptor: int) -> None:
        """What a process that was killed did not write to the end would spoil the next line too."""
        size = os.fstat(descriptor).st_size
        with self.path.open("rb") as file:
            file.seek(max(size - 1, 0))
            if size and file.read(1) != b"\n":
                os.write(descriptor, b"\n")

    def close(self) -> None:
        """Ends the recording. Idempotent."""
        with self._lock:
            self._end()

    def _write(self, line: str) -> None:
        assert self._file is not None
        self._lines, self._octets = self._lines - 1, self._octets - len(line)
        if self._octets < 0:
            self._end_full()
            return
        try:
            self._file.write(line)
        except (OSError, ValueError) as error:
            _LOGGER.error("the recording of requests ends: %s", type(error).__name__)  # noqa: TRY400 - no paths
            self._end()
            return
        if self._lines <= 0:
            self._end_full()

    def _end_full(self) -> None:
        _LOGGER.warning("the recording of requests is full, and ends")
        self._end()

    def _end(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            try:
                file.close()
            except OSError:
                _LOGGER.error("the recording of requests could not be closed")  # noqa: TRY400


def _check_private(found: os.stat_result, path: Path) -> None:
    is_private = found.st_uid == os.geteuid() and not found.st_mode & 0o077 and found.st_nlink == 1
    if not stat.S_ISREG(found.st_mode) or not is_private:
        raise ConfigurationError(f"expected a plain file that its owner alone can read at {str(path)!r}, got another")
