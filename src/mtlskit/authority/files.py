"""Files with private keys: readable by their owner alone from the first byte on, and whole or not there at all.

What is written is never a local variable here: a traceback that is printed with its locals shows no key.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from mtlskit.core.pem import Secret
from mtlskit.errors import ConfigurationError


class Directories:
    """Directories whose new files could lose their names if the machine died now. Until `sync`, nothing is written."""

    __slots__ = ("_waiting",)

    def __init__(self) -> None:
        self._waiting: dict[Path, None] = {}

    def add(self, path: Path) -> None:
        """Waits with a directory for `sync`."""
        self._waiting[path] = None

    def sync(self) -> None:
        """Waits until all names are on the disk; raises ConfigurationError."""
        while self._waiting:
            path, _ = self._waiting.popitem()
            with _told(path):
                _sync_directory(path)


def write_private(*files: tuple[Path, Secret], directories: Directories | None = None) -> None:
    """Writes files of mode 0600 that belong together: all of them, or none. Raises ConfigurationError.

    When all are on the disk, under names that nobody knows, each takes its place atomically, in their order. Where one
    cannot, those before it are put back. With `directories`, the caller waits for the names of many files at once.
    """
    drafts = [(_beside(path), path) for path, _ in files]
    if len({_place(path) for path, _ in files}) != len(files):
        raise ConfigurationError(f"expected a file of its own for each, got {str(files[0][0])!r} twice")
    try:
        for (draft, path), (_, content) in zip(drafts, files, strict=True):
            with _told(path):
                _write_new(draft, content)
        _take_places(drafts)
    finally:
        _remove(draft for draft, _ in drafts)
    waiting = Directories() if directories is None else directories
    for path, _ in files:
        waiting.add(path.parent)
    if directories is None:
        waiting.sync()


def _take_places(moves: Sequence[tuple[Path, Path]]) -> None:
    # The last one needs no way back: when it is in its place, nothing can fail any more.
    kept: list[tuple[Path, Path]] = []
    try:
        for draft, path in moves:
            with _told(path):
                if len(kept) < len(moves) - 1:
                    kept.append((_kept(path), path))
                os.replace(draft, path)
    except ConfigurationError:
        for old, path in kept:
            _put_back(old, path)
        raise
    finally:
        _remove(old for old, _ in kept)


def _kept(path: Path) -> Path:
    """Another name for what is there, if anything is."""
    old = _beside(path)
    with suppress(FileNotFoundError):
        os.link(path, old, follow_symlinks=False)
    return old


def _put_back(old: Path, path: Path) -> None:
    with suppress(OSError):
        if os.path.lexists(old):
            os.replace(old, path)
        else:
            path.unlink()


def _write_new(path: Path, content: Secret) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with open(descriptor, "wb") as file:
        os.fchmod(descriptor, 0o600)  # a umask can only have taken the owner's rights away
        file.write(content.octets())
        file.flush()
        os.fsync(descriptor)


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _beside(path: Path) -> Path:
    return path.with_name(f".{path.name}.{os.urandom(8).hex()}")


def _place(path: Path) -> str:
    return os.path.join(os.path.realpath(path.parent), path.name)


def _remove(paths: Iterable[Path]) -> None:
    for path in paths:
        with suppress(OSError):
            path.unlink()


@contextmanager
def _told(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ConfigurationError(f"expected to write {str(path)!r}, got {error.strerror!r}") from None
