"""Who holds an authority's key: the `Signer` port, the key types, and the signer that has the key in this process."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import NoReturn, Protocol, TypeAlias, assert_never

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, padding, rsa

from mtlskit.core.certificates import PrivateKey, SigningChain
from mtlskit.core.profiles import PublicKey
from mtlskit.errors import ConfigurationError, StoreError

Hash: TypeAlias = hashes.SHA256 | hashes.SHA384 | hashes.SHA512


class KeyType(StrEnum):
    """The kinds of key that are made here."""

    EC_P256 = "ec-p256"
    EC_P384 = "ec-p384"
    ED25519 = "ed25519"
    RSA_2048 = "rsa-2048"
    RSA_3072 = "rsa-3072"
    RSA_4096 = "rsa-4096"

    @classmethod
    def parse(cls, text: str) -> KeyType:
        """The key type of that name; raises ConfigurationError."""
        try:
            return cls(text)
        except ValueError:
            raise ConfigurationError(f"expected a key type of {', '.join(cls)}, got {text!r}") from None


class Signer(Protocol):
    """A key that can sign, wherever it is: in this process, in a token, behind a service.

    The scheme follows from the public key: ECDSA with the hash of `signature_hash`, PKCS #1 v1.5 with SHA-256
    for RSA, and pure Ed25519 or Ed448.
    """

    def public_key(self) -> PublicKey:
        """The public key."""
        ...

    def sign(self, data: bytes) -> bytes:
        """The signature over `data`: DER for ECDSA, otherwise as it stands in a certificate."""
        ...


class KeySigner:
    """The signer whose private key is in this process. Shows no key and refuses to be pickled."""

    __slots__ = ("_key", "_sign")

    def __init__(self, key: PrivateKey) -> None:
        self._key = key
        self._sign = _signing(key)

    @classmethod
    def from_der(cls, der: bytes) -> KeySigner:
        """From unencrypted PKCS#8; raises StoreError without showing it."""
        try:
            key = serialization.load_der_private_key(der, None)
        except ValueError:
            raise StoreError("expected a private key in the opened secret, got other bytes") from None
        if not isinstance(
            key,
            ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey | rsa.RSAPrivateKey,
        ):
            raise StoreError(f"expected a private key of a known type in the opened secret, got {type(key).__name__}")
        return cls(key)

    def public_key(self) -> PublicKey:
        """As `Signer.public_key`."""
        return self._key.public_key()

    def sign(self, data: bytes) -> bytes:
        """As `Signer.sign`."""
        return self._sign(data)

    def to_der(self) -> bytes:
        """The key as unencrypted PKCS#8, to be sealed at once."""
        return self._key.private_bytes(
            serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )

    def signing_chain(self, certificates: Sequence[x509.Certificate]) -> SigningChain:
        """The key with its certificate and those above; raises CertificateError for another key's."""
        return SigningChain(self._key, certificates)

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("expected a value without a private key to pickle, got KeySigner")


def _signing(key: PrivateKey) -> Callable[[bytes], bytes]:
    match key:
        case ec.EllipticCurvePrivateKey():
            ecdsa = ec.ECDSA(ec_hash(key.curve))
            return lambda data: key.sign(data, ecdsa)
        case rsa.RSAPrivateKey():
            return lambda data: key.sign(data, padding.PKCS1v15(), hashes.SHA256())
        case ed25519.Ed25519PrivateKey() | ed448.Ed448PrivateKey():
            return key.sign
        case _:
            assert_never(key)


def generate_key(key_type: KeyType) -> PrivateKey:
    """A fresh private key."""
    match key_type:
        case KeyType.EC_P256:
            return ec.generate_private_key(ec.SECP256R1())
        case KeyType.EC_P384:
            return ec.generate_private_key(ec.SECP384R1())
        case KeyType.ED25519:
            return ed25519.Ed25519PrivateKey.generate()
        case KeyType.RSA_2048:
            return rsa.generate_private_key(public_exponent=65537, key_size=2048)
        case KeyType.RSA_3072:
            return rsa.generate_private_key(public_exponent=65537, key_size=3072)
        case KeyType.RSA_4096:
            return rsa.generate_private_key(public_exponent=65537, key_size=4096)
        case _:
            assert_never(key_type)


def signature_hash(key: PublicKey) -> Hash | None:
    """The hash that certificates are signed with under `key`; None where the scheme has its own."""
    match key:
        case ec.EllipticCurvePublicKey():
            return ec_hash(key.curve)
        case rsa.RSAPublicKey():
            return hashes.SHA256()
        case ed25519.Ed25519PublicKey() | ed448.Ed448PublicKey():
            return None
        case _:
            assert_never(key)


def ec_hash(curve: ec.EllipticCurve) -> Hash:
    """The hash as strong as the curve (RFC 5480, 4)."""
    if curve.key_size <= 256:
        return hashes.SHA256()
    return hashes.SHA384() if curve.key_size <= 384 else hashes.SHA512()
