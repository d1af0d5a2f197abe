"""Private keys at rest: the sealed envelope. Owns the key-encryption key, which shows nowhere.

An envelope is: version (1 byte, 1), key id (8 bytes), nonce (12 bytes), AES-256-GCM ciphertext and tag. Version,
key id and the context are authenticated with it, so that an envelope opens only where it was made for.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
from collections.abc import Sequence
from typing import NoReturn

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from mtlskit.errors import ConfigurationError, StoreError

ENVIRONMENT_VARIABLE = "MTLSKIT_KEY_ENCRYPTION_KEY"
PREVIOUS_VARIABLE = "MTLSKIT_PREVIOUS_KEY_ENCRYPTION_KEYS"

_VERSION = b"\x01"
_KEY_SIZE = 32
_ID_SIZE = 8
_NONCE_SIZE = 12
_HEADER_SIZE = len(_VERSION) + _ID_SIZE


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
        try:
            return cls(base64.b64decode(text.strip(), validate=True))
        except (binascii.Error, ValueError, ConfigurationError):
            raise ConfigurationError(f"expected {_KEY_SIZE} bytes in base64 in {source}, got something else") from None

    @classmethod
    def from_environment(cls) -> KeyEncryption | None:
        """From `MTLSKIT_KEY_ENCRYPTION_KEY`; None where it is not set. Raises ConfigurationError."""
        text = os.environ.get(ENVIRONMENT_VARIABLE)
        return None if text is None else cls.from_base64(text, source=ENVIRONMENT_VARIABLE)

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
