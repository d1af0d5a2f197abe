"""A certificate that was just issued with its key, and how it gets to a file: whole, readable by its owner alone."""

from __future__ import annotations

import os
from pathlib import Path

from mtlskit.core.certificates import SigningChain
from mtlskit.errors import ConfigurationError


class IssuedCertificate(SigningChain):
    """A new end-entity certificate, its private key, and the chain below the root."""

    __slots__ = ()

    def save(self, path: str | os.PathLike[str], *, password: bytes | None = None) -> None:
        """Writes key and chain in PEM, the key encrypted where a password is given.

        The file has mode 0600 from its first byte on, whatever the umask, and takes its place atomically. Raises
        ConfigurationError where it cannot be written.
        """
        write_private(Path(path), self.to_pem(password=password))

    def save_pkcs12(self, path: str | os.PathLike[str], *, password: bytes) -> None:
        """Writes key and chain as PKCS #12 (RFC 7292) under `password`, as `save` does."""
        write_private(Path(path), self.to_pkcs12(password=password))


def write_private(path: Path, content: bytes) -> None:
    """Writes a file of mode 0600, whole or not at all; raises ConfigurationError."""
    draft = path.with_name(f".{path.name}.{os.urandom(8).hex()}")
    try:
        _write_new(draft, content)
        try:
            os.replace(draft, path)
        except OSError:
            draft.unlink()
            raise
        _sync_directory(path.parent)
    except OSError as error:
        raise ConfigurationError(f"expected to write {str(path)!r}, got {error.strerror!r}") from None


def _write_new(path: Path, content: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with open(descriptor, "wb") as file:
            os.fchmod(descriptor, 0o600)  # a umask can only have taken the owner's rights away
            file.write(content)
            file.flush()
            os.fsync(descriptor)
    except OSError:
        path.unlink()
        raise


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
