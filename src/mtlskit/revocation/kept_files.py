"""The directory of kept lists: its rights, its lock, and the form of its files. What is kept, `keeping.py` says.

A file is named by the SHA-256 of the source's text. It holds the list in DER, so that any tool reads it, and after it
a seal of 32 octets, the SHA-256 of source and list: what is cut off, damaged or another source's has another seal.
(It is no signature. Whose list it is, `verify_path` says at every verdict, as it does for one from the source.) Its
time of modification is when the source last gave the list.

Several processes may share the directory, on a local disk. Only who holds its lock writes, to a draft of a fixed name
that takes the file's place by a rename: nobody reads half a list, and what a dead writer left is not added to.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from typing import Final

from mtlskit.errors import CertificateError, ConfigurationError
from mtlskit.revocation.reading import check_size
from mtlskit.revocation.schedule import ListLimits
from mtlskit.revocation.sources import ListSource

_SEAL_OCTETS: Final = 32
_OTHERS_WRITE: Final = 0o022
_DRAFT: Final = ".new"


@contextmanager
def opened(path: str) -> Iterator[int]:
    """A descriptor of the directory, which is made where it is missing. Raises OSError.

    Raises ConfigurationError for one that others than its owner can write.
    """
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
    try:
        directory = os.open(path, flags)
    except FileNotFoundError:
        with suppress(FileExistsError):  # another process was first
            os.mkdir(path, 0o700)
        directory = os.open(path, flags)
    try:
        mode = stat.S_IMODE(os.fstat(directory).st_mode)
        if mode & _OTHERS_WRITE:
            raise ConfigurationError(f"expected a directory that only its owner can write at {path!r}, got {mode:04o}")
        yield directory
    finally:
        os.close(directory)


@contextmanager
def locked(directory: int) -> Iterator[bool]:
    """Whether this is the one that writes now; does not wait for who else does."""
    import fcntl  # here, since not every system has it, and this module is always imported

    try:
        fcntl.flock(directory, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        yield False
        return
    try:
        yield True
    finally:
        # Not left to the closing: a process forked meanwhile has the descriptor too, and would hold the lock.
        fcntl.flock(directory, fcntl.LOCK_UN)


def read(directory: int, source: ListSource, limits: ListLimits) -> tuple[bytes, float] | None:
    """The DER and the time of modification (as time.time); None where there is no file.

    Raises CertificateError for what is not as it was kept, OSError.
    """
    try:
        with _reading(directory, source) as descriptor:
            found = os.fstat(descriptor)
            if not stat.S_ISREG(found.st_mode):
                raise CertificateError("expected a kept revocation list in a regular file, got another kind")
            check_size(found.st_size - _SEAL_OCTETS, limits)
            with open(descriptor, "rb", closefd=False) as file:
                data = file.read(limits.octets + _SEAL_OCTETS)
    except FileNotFoundError:
        return None
    der, seal = data[:-_SEAL_OCTETS], data[-_SEAL_OCTETS:]
    if seal != _seal(source, der):
        raise CertificateError(f"expected a list of this source as it was kept, got {len(data)} other octets")
    return der, found.st_mtime


def touch(directory: int, source: ListSource, der: bytes, moment: datetime) -> bool:
    """Says that the source gave this list at that moment, or later; False where the file is not this list's."""
    seal = _seal(source, der)
    try:
        with _reading(directory, source) as descriptor:
            found = os.fstat(descriptor)
            if found.st_size != len(der) + _SEAL_OCTETS or os.pread(descriptor, _SEAL_OCTETS, len(der)) != seal:
                return False
            if found.st_mtime < moment.timestamp():
                _stamp(descriptor, moment)
    except OSError:
        return False
    return True


def write(directory: int, source: ListSource, der: bytes, moment: datetime) -> None:
    """Puts the list in the place of the one before. Raises OSError. For who holds the lock."""
    name, draft = _name(source), f".{_name(source)}{_DRAFT}"
    with suppress(FileNotFoundError):
        os.unlink(draft, dir_fd=directory)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=directory)
    try:
        with open(descriptor, "wb") as file:
            os.fchmod(descriptor, 0o600)  # a umask can only have taken the owner's rights away
            file.write(der)
            file.write(_seal(source, der))
            file.flush()
            _stamp(descriptor, moment)
            os.fsync(descriptor)
        os.replace(draft, name, src_dir_fd=directory, dst_dir_fd=directory)
    except OSError:
        with suppress(OSError):
            os.unlink(draft, dir_fd=directory)  # a full disk gets its room back
        raise
    os.fsync(directory)


def sweep(directory: int) -> None:
    """Removes the drafts of writers that died. For who holds the lock: nobody else has one."""
    for name in os.listdir(directory):
        if name.startswith(".") and name.endswith(_DRAFT):
            os.unlink(name, dir_fd=directory)


@contextmanager
def _reading(directory: int, source: ListSource) -> Iterator[int]:
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    descriptor = os.open(_name(source), flags, dir_fd=directory)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _stamp(descriptor: int, moment: datetime) -> None:
    os.utime(descriptor, (moment.timestamp(), moment.timestamp()))


def _name(source: ListSource) -> str:
    return f"{hashlib.sha256(str(source).encode()).hexdigest()}.crl"


def _seal(source: ListSource, der: bytes) -> bytes:
    seal = hashlib.sha256(str(source).encode() + b"\0")
    seal.update(der)
    return seal.digest()
