"""A recording of what policies were asked, for a rehearsal: `mtlskit policy replay` says whom others would shut out.

It says who asked for what, when and from where: so it is written to a file that its owner alone can read, only where
somebody asks for it, and each request that policies cannot tell from another one once.
"""

from __future__ import annotations

import logging
import os
from collections import OrderedDict
from pathlib import Path
from typing import Final, TextIO

from mtlskit.core.policy import RecordedRequest
from mtlskit.errors import ConfigurationError
from mtlskit.locks import ForkSafeLock

_LOGGER = logging.getLogger("mtlskit.gate")
_APPENDING: Final = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
_MOST_REMEMBERED: Final = 100_000


class Recording:
    """Appends to a file, one line of JSON for each request; give it to a `Gate`. Close it when the gate is closed.

    The same client's request with the same method, path, address and answer is written once, as long as it is among
    the last hundred thousand. `most` lines are written at most; then the recording ends. A file that cannot be
    written ends it too, with one line in the log: no request waits for it or fails for it.
    """

    def __init__(self, path: str | os.PathLike[str], *, most: int = 1_000_000) -> None:
        """Opens the file, 0600 if it is new; raises ConfigurationError where it cannot be written."""
        self.path = Path(path)
        self._left = most
        self._seen: OrderedDict[object, None] = OrderedDict()
        self._lock = ForkSafeLock()
        try:
            descriptor = os.open(
                self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600
            )
        except OSError as error:
            raise ConfigurationError(
                f"expected a file that can be written at {str(self.path)!r}, got {error.strerror}"
            ) from None
        self._file: TextIO | None = os.fdopen(descriptor, "a", encoding="utf-8", buffering=1)

    def note(self, request: RecordedRequest) -> None:
        """Writes it down, if it is a new one. Never raises."""
        facts, identity = request.facts, request.identity
        client = None if identity is None else (identity.certificate, identity.anchor_id, identity.hostname)
        key = (client, facts.hostname, facts.method, facts.path, facts.client_address, request.allowed)
        with self._lock:
            if self._file is None or key in self._seen:
                return
            self._seen[key] = None
            if len(self._seen) > _MOST_REMEMBERED:
                self._seen.popitem(last=False)
            self._write(request)

    def close(self) -> None:
        """Ends the recording. Idempotent."""
        with self._lock:
            self._end()

    def _write(self, request: RecordedRequest) -> None:
        assert self._file is not None
        try:
            self._file.write(f"{request.to_json()}\n")
        except (OSError, ValueError) as error:
            _LOGGER.error("the recording of requests ends: %s", type(error).__name__)  # noqa: TRY400 - no paths
            self._end()
            return
        self._left -= 1
        if self._left <= 0:
            _LOGGER.warning("the recording of requests is full, and ends")
            self._end()

    def _end(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            try:
                file.close()
            except OSError:
                _LOGGER.error("the recording of requests could not be closed")  # noqa: TRY400
