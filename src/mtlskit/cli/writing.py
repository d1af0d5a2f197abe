"""What the commands write: certificates and lists to files or stdout, keys to files of mode 0600.

Where something cannot be written is told before anything is issued: a certificate that nobody gets is one too many.
"""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from enum import StrEnum
from pathlib import Path

from cryptography import x509

from mtlskit.authority.files import Directories, write_private
from mtlskit.core.pem import Secret
from mtlskit.errors import ConfigurationError

STDOUT = "-"
_PUBLIC_MODE, _PRIVATE_MODE = 0o644, 0o600
_LARGEST_WITH_KEY = 1024 * 1024  # octets of a file that may have a key in it
_LONGEST_NAME = 230  # octets: a file system takes 255, and while it is written a file has a longer name


class Existing(StrEnum):
    """What becomes of a file that is there already."""

    REFUSE = "refuse"
    REPLACE = "replace"

    @classmethod
    def of(cls, replace: bool) -> Existing:
        """That of the option `--replace`."""
        return cls.REPLACE if replace else cls.REFUSE


def check_place(path: str | Path, existing: Existing) -> None:
    """Raises ConfigurationError where a file cannot be written, or is there and is not to be replaced."""
    if str(path) == STDOUT:
        return
    place = Path(path)
    check_directory(place.parent)
    if os.path.isdir(place) or not place.name:
        raise ConfigurationError(f"expected the name of a file, got the directory {str(place)!r}")
    if len(os.fsencode(place.name)) > _LONGEST_NAME:
        raise ConfigurationError(
            f"expected the name of a file of at most {_LONGEST_NAME} bytes, got {place.name!r:.80}"
        )
    # What takes a file's place at once would take a pipe's or a device's too, /dev/null among them.
    if os.path.exists(place) and not os.path.isfile(place):
        raise ConfigurationError(f"expected the name of a file, got {str(place)!r}, which is something else")
    if existing is Existing.REFUSE and os.path.lexists(place):
        raise ConfigurationError(f"expected a file that is not there yet (or --replace), got {str(place)!r}")


def check_public_place(path: str, existing: Existing) -> None:
    """As `check_place`, for what has no key in it: raises ConfigurationError where it would take a key's place too."""
    check_place(path, existing)
    if path == STDOUT or not _has_key(Path(path)):
        return
    raise ConfigurationError(
        f"expected a file without a private key to write over, got {path!r}: its key would be lost"
    )


def _has_key(place: Path) -> bool:
    try:
        with place.open("rb") as file:
            return b"PRIVATE KEY-----" in file.read(_LARGEST_WITH_KEY)
    except OSError:
        return False


def check_directory(directory: Path) -> None:
    """Raises ConfigurationError for a directory that is not there or cannot be written to."""
    if not os.path.isdir(directory) or not os.access(directory, os.W_OK | os.X_OK):
        raise ConfigurationError(f"expected a directory that can be written to, got {str(directory)!r}")


def write_key(path: str, content: bytes, directories: Directories | None = None) -> None:
    """Writes what holds a private key: a file of mode 0600, or stdout where `-` was asked for."""
    if path == STDOUT:
        _to_stdout(content)
    else:
        write_private((Path(path), Secret(content)), directories=directories)


def write_public(path: str | None, content: bytes) -> None:
    """Writes what everybody may read: to stdout, or a file that takes its place at once.

    A new file has mode 0644 but for the umask; one that was there keeps its mode.
    """
    if path is None or path == STDOUT:
        _to_stdout(content)
        return
    place = Path(path)
    draft = place.with_name(f".{place.name}.{os.urandom(8).hex()}")
    try:
        _write_draft(draft, content, _mode(place))
        draft.replace(place)
    except OSError as error:
        raise ConfigurationError(f"expected to write {str(place)!r}, got {error.strerror!r}") from None
    finally:
        with suppress(OSError):
            draft.unlink()


def _mode(place: Path) -> int | None:
    """The rights of what is there, which a new content does not widen; None where nothing is."""
    try:
        return stat.S_IMODE(place.stat().st_mode) & 0o777
    except OSError:
        return None


def _write_draft(draft: Path, content: bytes, mode: int | None) -> None:
    first = _PUBLIC_MODE if mode is None else _PRIVATE_MODE  # of the first the umask takes away what it forbids
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, first)
    with open(descriptor, "wb") as file:
        if mode is not None:
            os.fchmod(descriptor, mode)
        file.write(content)


@contextmanager
def told_as_issued(certificate: x509.Certificate) -> Iterator[None]:
    """Says in the error for what cannot be written that the certificate is there: somebody may want to revoke it."""
    try:
        yield
    except ConfigurationError as error:
        raise ConfigurationError(f"{error}; issued all the same is serial {certificate.serial_number:x}") from None


def _to_stdout(content: bytes) -> None:
    try:
        sys.stdout.flush()
        sys.stdout.buffer.write(content)
        sys.stdout.buffer.flush()
    except BrokenPipeError:  # who reads has read enough
        raise
    except OSError as error:
        raise ConfigurationError(f"expected to write to stdout, got {error.strerror!r}") from None
