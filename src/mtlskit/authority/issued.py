"""A certificate that was just issued with its key, and how it gets to files."""

from __future__ import annotations

import os
from pathlib import Path

from cryptography.hazmat.primitives import serialization

from mtlskit.authority.files import write_private
from mtlskit.core.certificates import SigningChain, to_der
from mtlskit.core.pem import Secret
from mtlskit.errors import ConfigurationError

_LONGEST_PASSWORD = 1023  # octets; OpenSSL takes no more


class IssuedCertificate(SigningChain):
    """A new end-entity certificate, its private key, and the chain below the root.

    What is saved has mode 0600 from its first byte on, whatever the umask, and takes its place atomically; links are
    replaced and not followed. A `password` has 1 to 1023 bytes. Every `save` raises ConfigurationError for another
    password and where a file cannot be written; then those that were there are as before.
    """

    __slots__ = ()

    def save(self, path: str | os.PathLike[str], *, password: bytes | None = None) -> None:
        """Writes key and chain into one file in PEM, the key encrypted (PKCS #8) where a password is given."""
        given = _Password(password)
        del password
        write_private((Path(path), Secret(self.to_pem(password=given.if_any()))))

    def save_pkcs12(self, path: str | os.PathLike[str], *, password: bytes) -> None:
        """Writes key and chain into one file as PKCS #12 (RFC 7292) under `password`."""
        given = _Password(password)
        del password
        write_private((Path(path), Secret(self.to_pkcs12(password=given.octets()))))

    def save_pair(
        self, chain: str | os.PathLike[str], key: str | os.PathLike[str], *, password: bytes | None = None
    ) -> None:
        """Writes the chain and the key into a file each in PEM, the key encrypted where a password is given.

        Two files cannot change in one step. They are both on the disk before one takes its place, the key first and
        the chain straight after it, or neither does. In between, and for ever if the machine dies there, the new key
        is beside the old chain: who reads then notices, for every TLS library, and SigningChain, refuses a key that
        is not the certificate's; it reads again, or has to be given a new pair. `save` has no such moment.
        """
        given = _Password(password)
        del password
        secret = Secret(self._key(serialization.Encoding.PEM, given))
        write_private((Path(key), secret), (Path(chain), Secret(self.chain_pem())))

    def save_der(
        self, certificate: str | os.PathLike[str], key: str | os.PathLike[str], *, password: bytes | None = None
    ) -> None:
        """As `save_pair` in DER: the certificate alone, for DER knows no chains, and the key in PKCS #8."""
        given = _Password(password)
        del password
        secret = Secret(self._key(serialization.Encoding.DER, given))
        write_private((Path(key), secret), (Path(certificate), Secret(self.certificate_der())))

    def certificate_der(self) -> bytes:
        """The end-entity certificate in DER."""
        return to_der(self.certificate)

    def key_der(self, *, password: bytes | None = None) -> bytes:
        """The key as PKCS #8 in DER (RFC 5958), encrypted where a password is given; raises ConfigurationError."""
        given = _Password(password)
        del password
        return self._key(serialization.Encoding.DER, given)

    def key_pem(self, *, password: bytes | None = None) -> bytes:
        """The key as PKCS #8 in PEM, encrypted where a password is given; raises ConfigurationError."""
        given = _Password(password)
        del password
        return self._key(serialization.Encoding.PEM, given)

    def _key(self, encoding: serialization.Encoding, password: _Password) -> bytes:
        encryption: serialization.KeySerializationEncryption = serialization.NoEncryption()
        if password.if_any() is not None:
            encryption = serialization.BestAvailableEncryption(password.octets())
        return self.private_key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, encryption)


class _Password:
    """A password as it was given, for a `save`: it is not a local variable of what fails."""

    __slots__ = ("_given",)

    def __init__(self, given: bytes | None) -> None:
        self._given = given

    def if_any(self) -> bytes | None:
        return None if self._given is None else self.octets()

    def octets(self) -> bytes:
        if not isinstance(self._given, bytes) or not 0 < len(self._given) <= _LONGEST_PASSWORD:
            raise ConfigurationError(f"expected a password of 1 to {_LONGEST_PASSWORD} bytes, got another")
        return self._given
