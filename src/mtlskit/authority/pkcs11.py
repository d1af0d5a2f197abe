"""The signer whose key is in a PKCS #11 token: an HSM, a smart card, SoftHSM. Needs the extra `pkcs11`."""

from __future__ import annotations

import os
from typing import Any, NoReturn, assert_never

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa

from mtlskit.authority import pkcs11_keys as keys
from mtlskit.authority.pkcs11_tokens import HiddenPin, Pin, Token
from mtlskit.authority.signers import KeyType, ec_hash
from mtlskit.errors import Unavailable

__all__ = ["PKCS11Signer"]


class PKCS11Signer:
    """A `Signer` with a key that never leaves its token: EC P-256 or P-384, Ed25519, or RSA (PKCS #1 v1.5, SHA-256).

    May be shared between threads, which take turns, and used on both sides of a fork, where the child logs in anew.
    Shows no PIN and refuses to be pickled.
    """

    __slots__ = ("_found", "_key_label", "_public_key", "_token")

    def __init__(
        self, *, module: str | os.PathLike[str], token_label: str, key_label: str, pin: Pin | HiddenPin
    ) -> None:
        """Finds the key: `module` is the path of the PKCS #11 library, `pin` the PIN of the user, or what gives it.

        A callable is asked for each login of the process, so that no PIN stays in this object. A wrong PIN is tried
        once, since tokens lock themselves after a few; where the process is logged in already, it has to be the same
        PIN. Raises NotFound without such a key, ConfigurationError for a module, a PIN or a kind of key that cannot be
        used, and Unavailable for a token that is away.
        """
        hidden = HiddenPin.of(pin)
        del pin
        self._token = Token(module, token_label, hidden)
        self._key_label = key_label
        self._found: tuple[Any, Any] | None = None
        self._public_key = self._token.ask(lambda session: keys.public_key(session, key_label))

    @classmethod
    def generate(
        cls,
        *,
        module: str | os.PathLike[str],
        token_label: str,
        key_label: str,
        pin: Pin,
        key_type: KeyType | str = KeyType.EC_P256,
    ) -> PKCS11Signer:
        """Makes the key in the token, which keeps it: sensitive, and not to be extracted.

        Raises Conflict where there is one with this label, and otherwise as `PKCS11Signer` does; ConfigurationError
        also for a type of key that the token cannot make.
        """
        hidden = HiddenPin.of(pin)
        del pin
        parsed = KeyType.parse(key_type)
        token = Token(module, token_label, hidden)
        token.change(lambda session: keys.make_key(session, key_label, parsed))
        return cls(module=module, token_label=token_label, key_label=key_label, pin=hidden)

    def public_key(self) -> keys.TokenKey:
        """As `Signer.public_key`."""
        return self._public_key

    def sign(self, data: bytes) -> bytes:
        """As `Signer.sign`; raises Unavailable and ConfigurationError as `PKCS11Signer` does."""
        signature = self._token.ask(lambda session: keys.sign(self._key(session), self._public_key, data))
        if not _verifies(self._public_key, signature, data):
            raise Unavailable(f"expected a signature of the key {self._key_label!r} in the token, got another key's")
        return signature

    def _key(self, session: Any) -> Any:
        if self._found is None or self._found[0] is not session:
            self._found = (session, keys.private_key(session, self._key_label))
        return self._found[1]

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._key_label!r} in the token {self._token.label!r}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("expected a value without a PIN to pickle, got PKCS11Signer")


# A token that was exchanged for another with the same labels would sign for an authority that nobody could verify.
def _verifies(public_key: keys.TokenKey, signature: bytes, data: bytes) -> bool:
    try:
        match public_key:
            case ec.EllipticCurvePublicKey():
                public_key.verify(signature, data, ec.ECDSA(ec_hash(public_key.curve)))
            case rsa.RSAPublicKey():
                public_key.verify(signature, data, padding.PKCS1v15(), hashes.SHA256())
            case ed25519.Ed25519PublicKey():
                public_key.verify(signature, data)
            case _:
                assert_never(public_key)
    except InvalidSignature:
        return False
    return True
