"""The key file beside a database: made once, whole or not at all, readable by its owner alone."""

from __future__ import annotations

import base64
import logging
import os
from pathlib import Path

from mtlskit.errors import Unavailable
from mtlskit.stores.encryption import KeyEncryption

_logger = logging.getLogger(__name__)


def read_key_file(path: Path) -> KeyEncryption | None:
    """The key in `path`, None where there is no such file; raises ConfigurationError, Unavailable."""
    return KeyEncryption.from_file(path) if os.path.lexists(path) else None


def read_or_make_key_file(path: Path) -> KeyEncryption:
    """The key in `path`, made if there is none. Of several makers at once one wins and all get its key."""
    found = read_key_file(path)
    if found is None:
        _make(path)
        found = read_key_file(path)
    if found is None:
        raise Unavailable(f"expected the key file {str(path)!r} to stay, got it removed")
    return found


def _make(path: Path) -> None:
    draft = path.with_name(f".{path.name}.{os.urandom(8).hex()}")
    try:
        _write_private(draft, base64.b64encode(os.urandom(32)) + b"\n")
        try:
            os.link(draft, path)  # unlike rename, it does not put our key in the place of another's
        except FileExistsError:
            return
        finally:
            draft.unlink()
        _sync_directory(path.parent)
    except OSError as error:
        raise Unavailable(f"expected to make the key file {str(path)!r}, got {error.strerror!r}") from None
    _logger.warning("made the key file %r: no private key in the database opens without it", str(path))


def _write_private(path: Path, content: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with open(descriptor, "wb") as file:
        os.fchmod(descriptor, 0o600)
        file.write(content)
        file.flush()
        os.fsync(descriptor)


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
