"""Where a binding's certificate comes from. A source may have another one at any time: the binding goes on with that.

What cannot be had when an environment is made fails there. Later, a source that fails keeps what it has and says so in
the log; only an upload that was deleted is not used any more.
"""

from __future__ import annotations

import logging
import os
import time
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Final, Protocol, TypeAlias, runtime_checkable

from mtlskit.core.certificates import SigningChain
from mtlskit.core.given import shown
from mtlskit.core.pem import Secret
from mtlskit.errors import CertificateError, ConfigurationError, MTLSError, NotFound
from mtlskit.fetch.uploads import CertificateUploads, topic_of
from mtlskit.locks import ForkSafeLock
from mtlskit.ports import EVERYTHING, Store

_log = logging.getLogger("mtlskit.fetch")
_LOOK_SECONDS: Final = 1.0
_LONGEST_FILE: Final = 1024 * 1024  # octets

FilePath: TypeAlias = str | os.PathLike[str]


@runtime_checkable
class CertificateSource(Protocol):
    """Gives a binding its chain and key. May be asked from any thread, for every request: it has to be quick."""

    def current(self) -> SigningChain:
        """The chain to authenticate with now: the same object while it is the same. Raises MTLSError."""
        ...


class GivenChain:
    """One chain, for good."""

    def __init__(self, chain: SigningChain) -> None:
        self._chain = chain

    def current(self) -> SigningChain:
        """The chain."""
        return self._chain


class Looks:
    """Calls `look` at most once a second. What it raises stands in the log, once until it works again."""

    def __init__(self, look: Callable[[], None], what: str) -> None:
        self._look = look
        self._what = what
        self._next = time.monotonic() + _LOOK_SECONDS
        self._has_failed = False
        self._lock = ForkSafeLock()

    def __call__(self) -> None:
        """Looks, if it is time."""
        if time.monotonic() < self._next:
            return
        with self._lock:
            if time.monotonic() >= self._next:
                self._next = time.monotonic() + _LOOK_SECONDS
                self._try()

    def _try(self) -> None:
        try:
            self._look()
        except (MTLSError, OSError) as error:
            if not self._has_failed:
                _log.warning("going on with what is known of %s: %s", self._what, error)
            self._has_failed = True
        else:
            self._has_failed = False


class UploadedChain:
    """An uploaded certificate by its id. What replaces it under that id is taken from the next request on."""

    def __init__(self, store: Store, certificate_id: str, *, poll: Callable[[], None] | None = None) -> None:
        """`poll` looks for changes of other processes; one may serve many. Raises NotFound, StoreError."""
        self._uploads = CertificateUploads(store)
        self._id = certificate_id
        self._poll = Looks(store.poll, "the store of uploaded certificates") if poll is None else poll
        self._change = self._seen = object()  # another one with each change
        self._lock = ForkSafeLock()
        self._is_gone = False
        self._not_before = 0.0
        self._listen(store)
        self._chain = self._uploads.signing_chain(certificate_id)

    def current(self) -> SigningChain:
        """The chain; raises CertificateError once it was deleted."""
        self._poll()
        if self._is_to_be_read():
            with self._lock:  # one reads for all; the others wait for what it finds
                if self._is_to_be_read():
                    self._read_again()
        if self._is_gone:
            raise CertificateError(f"expected the uploaded certificate {self._id!r}, which was deleted")
        return self._chain

    def _is_to_be_read(self) -> bool:
        return self._seen is not self._change and time.monotonic() >= self._not_before

    def _read_again(self) -> None:
        change = self._change  # before it is read: a change meanwhile is another one
        try:
            self._chain, self._is_gone = self._uploads.signing_chain(self._id), False
        except NotFound:
            self._is_gone = True
            self._seen = change
        except MTLSError as error:
            _log.warning("going on with what is known of the uploaded certificate %r: %s", self._id, error)
            self._not_before = time.monotonic() + _LOOK_SECONDS
        else:
            self._seen = change

    def _listen(self, store: Store) -> None:
        topic, reference = topic_of(self._id), weakref.ref(self)  # a source that nobody has any more can go

        def changed(topics: frozenset[str]) -> None:
            source = reference()
            if source is not None and (topic in topics or EVERYTHING in topics):
                source._change = object()

        weakref.finalize(self, store.subscribe(changed))


class ChainFiles:
    """A chain and its key in files, looked at once a second: what replaces them is taken when it is whole.

    `chain` is PEM, leaf first, `key` PEM (in the same file if not given); `password` opens an encrypted key. With
    `pkcs12` all of it is in one file (RFC 7292).
    """

    def __init__(
        self,
        chain: FilePath | None = None,
        key: FilePath | None = None,
        *,
        pkcs12: FilePath | None = None,
        password: bytes | None = None,
    ) -> None:
        """Raises CertificateError for what is no chain with its key, ConfigurationError for files not to be read."""
        secret = Secret(password)
        del password
        if (chain is None) is (pkcs12 is None) or (pkcs12 is not None and key is not None):
            raise ConfigurationError("expected either a chain, with or without a key of its own, or pkcs12")
        self._paths = tuple(Path(each) for each in (chain, key, pkcs12) if each is not None)
        self._is_pkcs12 = pkcs12 is not None
        self._password = secret
        self._seen = self._signature()
        self._chain = self._load()
        self._look = Looks(self._look_again, f"the certificate in {shown(self._paths[0])}")

    def current(self) -> SigningChain:
        """The chain."""
        self._look()
        return self._chain

    def _look_again(self) -> None:
        found = self._signature()
        if found != self._seen:
            self._chain = self._load()
            self._seen = found  # not before: what is half-written now is looked at again

    def _signature(self) -> tuple[tuple[int, ...], ...]:
        try:
            return tuple((it.st_ino, it.st_size, it.st_mtime_ns) for it in (path.stat() for path in self._paths))
        except (OSError, ValueError) as error:
            raise _unreadable(self._paths[0], error) from None

    def _load(self) -> SigningChain:
        first, *others = map(content_of, self._paths)
        if self._is_pkcs12:
            return SigningChain.from_pkcs12(first.octets(), password=self._password.password())
        return SigningChain.from_pem(first, others[0] if others else None, password=self._password)


def content_of(path: Path) -> Secret:
    """What is in a file of certificates or keys; raises ConfigurationError for one not to be read, or too large."""
    try:
        with path.open("rb") as file:
            given = Secret(file.read(_LONGEST_FILE + 1))
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from None
    if len(given.octets()) > _LONGEST_FILE:
        raise ConfigurationError(f"expected at most {_LONGEST_FILE} octets in {shown(path)}, got more")
    return given


def _unreadable(path: Path, error: Exception) -> ConfigurationError:
    why = getattr(error, "strerror", None) or "no such name"
    return ConfigurationError(f"expected a file that can be read at {shown(path)}, got {why}")
