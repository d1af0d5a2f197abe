"""Private keys at rest: the sealed envelope. Owns the key-encryption key, which shows nowhere.

An envelope is: version (1 byte, 1), key id (8 bytes), nonce (12 bytes), AES-256-GCM ciphertext and tag. Version,
key id and the context are authenticated with it, so that an envelope opens only where it was made for.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import stat
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, NoReturn, TypeAlias

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from mtlskit.core.pem import Secret
from mtlskit.errors import ConfigurationError, StoreError, Unavailable

ENVIRONMENT_VARIABLE = "MTLSKIT_KEY_ENCRYPTION_KEY"
PREVIOUS_VARIABLE = "MTLSKIT_PREVIOUS_KEY_ENCRYPTION_KEYS"

_VERSION = b"\x01"
_KEY_SIZE = 32
_ID_SIZE = 8
_NONCE_SIZE = 12
_HEADER_SIZE = len(_VERSION) + _ID_SIZE
_LARGEST_FILE: Final = 1_024

Provider: TypeAlias = "Callable[[], KeyEncryption | bytes]"


class KeyEncryption:
    """A key-encryption key of 32 bytes, and older ones that still open what they sealed.

    New secrets are sealed under `key`. Shows no key in its repr and refuses to be pickled.
    """

    __slots__ = ("_ciphers", "key_id")

    key_id: bytes

    def __init__(self, key: bytes, *, previous: Sequence[bytes] = ()) -> None:
        """Raises ConfigurationError where a key is not 32 bytes."""
        keys = (key, *previous)
        if any(not isinstance(one, bytes) or len(one) != _KEY_SIZE for one in keys):
            del key, previous, keys
            raise ConfigurationError(f"expected a key-encryption key of {_KEY_SIZE} bytes, got another length")
        self.key_id = _key_id(key)
        self._ciphers = {_key_id(one): AESGCM(one) for one in keys}

    @classmethod
    def generate(cls) -> KeyEncryption:
        """A random key that nobody keeps."""
        return cls(os.urandom(_KEY_SIZE))

    @classmethod
    def from_base64(cls, text: str | bytes, *, source: str) -> KeyEncryption:
        """From base64; `source` names in the error (ConfigurationError) where the text came from."""
        key = _decoded(text)
        del text
        if key is None:
            raise ConfigurationError(f"expected {_KEY_SIZE} bytes in base64 in {source}, got something else")
        return cls(key)

    @classmethod
    def from_environment(cls) -> KeyEncryption | None:
        """From `MTLSKIT_KEY_ENCRYPTION_KEY`; None where it is not set. Raises ConfigurationError.

        `MTLSKIT_PREVIOUS_KEY_ENCRYPTION_KEYS` has older ones, with white space between them.
        """
        if ENVIRONMENT_VARIABLE not in os.environ:
            return None
        current = cls.from_base64(os.environ[ENVIRONMENT_VARIABLE], source=ENVIRONMENT_VARIABLE)
        return current.with_previous(*cls.previous_in_environment())

    @classmethod
    def previous_in_environment(cls) -> Sequence[KeyEncryption]:
        """Those of `MTLSKIT_PREVIOUS_KEY_ENCRYPTION_KEYS`; raises ConfigurationError."""
        texts = map(Secret, os.environ.get(PREVIOUS_VARIABLE, "").split())
        return [cls.from_base64(text.octets(), source=PREVIOUS_VARIABLE) for text in texts]

    @classmethod
    def from_file(cls, path: str | Path) -> KeyEncryption:
        """From a file of mode 0600 with the key in base64, as `mtlskit keys new` writes it.

        It must belong to the user of this process, or to root. Raises ConfigurationError, and Unavailable where there
        is none that can be read.
        """
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or type(error).__name__
            raise Unavailable(f"expected a readable key file at {str(path)!r}, got {why!r}") from None
        with open(descriptor, "rb") as file:
            found = os.fstat(descriptor)
            if stat.S_IMODE(found.st_mode) & 0o077:
                mode = stat.S_IMODE(found.st_mode)
                raise ConfigurationError(f"expected the key file {str(path)!r} with mode 0600, got {mode:04o}")
            # Whoever made it may know what is in it.
            if found.st_uid not in (0, os.geteuid()):
                raise ConfigurationError(f"expected a key file of our own at {str(path)!r}, got user {found.st_uid}'s")
            return cls.from_base64(file.read(_LARGEST_FILE), source=repr(str(path)))

    @classmethod
    def of(cls, given: KeyEncryption | Provider | None) -> KeyEncryption | None:
        """What was given, or what a provider gives: it is asked once, here.

        Raises ConfigurationError for anything else, and Unavailable where the provider fails.
        """
        if given is None or isinstance(given, KeyEncryption):
            return given
        if not callable(given):
            got = type(given).__name__
            del given
            raise ConfigurationError(f"expected a KeyEncryption or a callable that gives one as keys, got {got}")
        failed, answer = _asked(given)
        if failed is not None:
            raise Unavailable(f"expected a key-encryption key from its provider, got {failed}")
        return answer if isinstance(answer, KeyEncryption) else cls(answer.octets())

    def with_previous(self, *others: KeyEncryption) -> KeyEncryption:
        """These keys, and those of the others to open with."""
        made = object.__new__(type(self))
        made.key_id = self.key_id
        made._ciphers = {key_id: cipher for each in (*others, self) for key_id, cipher in each._ciphers.items()}
        return made

    def for_store(self, key_id: bytes) -> KeyEncryption:
        """These keys, if one of them is that of a store with this key id; raises StoreError."""
        if key_id not in self._ciphers:
            raise wrong_key(expected=key_id, got=self.key_id)
        return self

    def seal(self, plaintext: bytes, *, context: str) -> bytes:
        """The envelope of `plaintext`, bound to `context`."""
        header, nonce = _VERSION + self.key_id, os.urandom(_NONCE_SIZE)
        return header + nonce + self._ciphers[self.key_id].encrypt(nonce, plaintext, _bound(header, context))

    def unseal(self, sealed: bytes, *, context: str) -> bytes:
        """Opens an envelope; raises StoreError for another key, another context or a changed envelope."""
        header, nonce = sealed[:_HEADER_SIZE], sealed[_HEADER_SIZE : _HEADER_SIZE + _NONCE_SIZE]
        if header[:1] != _VERSION or len(nonce) != _NONCE_SIZE:
            raise StoreError("expected a sealed secret of a known version, got another format")
        cipher = self._ciphers.get(header[1:])
        if cipher is None:
            raise wrong_key(expected=header[1:], got=self.key_id)
        try:
            return cipher.decrypt(nonce, sealed[_HEADER_SIZE + _NONCE_SIZE :], _bound(header, context))
        except InvalidTag:
            raise StoreError(f"expected a secret sealed for {context!r}, got one that was changed or moved") from None

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.key_id.hex()}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("expected a value without a key to pickle, got KeyEncryption")


def wrong_key(*, expected: bytes, got: bytes) -> StoreError:
    """The error for a secret or a database of another key-encryption key; ids are no secrets."""
    return StoreError(f"expected the key-encryption key with the id {expected.hex()}, got the one with {got.hex()}")


def _key_id(key: bytes) -> bytes:
    return hashlib.sha256(b"mtlskit key-encryption key id\0" + key).digest()[:_ID_SIZE]


def _bound(header: bytes, context: str) -> bytes:
    return header + context.encode()


# None where it is no key: an exception would have the text among its locals.
def _decoded(text: str | bytes) -> bytes | None:
    try:
        key = base64.b64decode(text.strip(), validate=True)
    except (binascii.Error, ValueError):
        return None
    return key if len(key) == _KEY_SIZE else None


# Why the provider failed, or what it said. Its exception stays here: it may have the key, or what it asked with.
def _asked(provider: Provider) -> tuple[str | None, KeyEncryption | Secret]:
    try:
        answer = provider()
    except Exception as error:  # noqa: BLE001 - whatever it is, it is told by its name
        return type(error).__name__, Secret(b"")
    return None, answer if isinstance(answer, KeyEncryption) else Secret(answer if isinstance(answer, bytes) else b"")
