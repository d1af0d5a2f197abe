"""What is to be signed and what comes of it, taken apart: a builder's bytes first, the signature later, once.

`cryptography` only builds and signs in one step. Here its builder is given a key that keeps what it is given and signs
nothing; the signer's signature is put in afterwards. So the bytes to be signed can be recorded before anyone signs
them, and the signer may be anywhere. RFC 5280, 4.1: Certificate ::= SEQUENCE { toBeSigned, algorithm, BIT STRING }; a
CertificateList (5.1) has the same three parts.
"""

from __future__ import annotations

from typing import Any, Final, TypeAlias, assert_never

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa

from mtlskit.authority.signers import Signer, signature_hash
from mtlskit.core.profiles import PublicKey

Builder: TypeAlias = x509.CertificateBuilder | x509.CertificateRevocationListBuilder

_EMPTY_BIT_STRING: Final = b"\x03\x01\x00"


class Assembly:
    """Takes builders apart for one key, and puts its signatures in. Raises what the signer raises."""

    __slots__ = ("_algorithm", "_hash", "_recording", "_signer")

    def __init__(self, signer: Signer) -> None:
        public_key = signer.public_key()
        self._signer = signer
        self._recording = _recording_key(public_key)
        self._hash = signature_hash(public_key)
        self._algorithm = b""

    def to_be_signed(self, builder: Builder) -> bytes:
        """The DER that the key has to sign for `builder`."""
        recording = self._recording()
        unsigned = builder.sign(recording, self._hash)
        content: bytes = recording.content
        if not self._algorithm:
            self._algorithm = _algorithm(unsigned.public_bytes(serialization.Encoding.DER), content)
        return content

    def unsigned(self, content: bytes) -> bytes:
        """The whole in DER with an empty signature, for what `to_be_signed` gave: for a look before it is signed."""
        return _assembled(content, self._algorithm, b"")

    def sign(self, content: bytes) -> bytes:
        """The whole in DER, signed, for what `to_be_signed` gave."""
        return _assembled(content, self._algorithm, self._signer.sign(content))


def _assembled(content: bytes, algorithm: bytes, signature: bytes) -> bytes:
    inner = b"".join((content, algorithm, b"\x03", _length(len(signature) + 1), b"\x00", signature))
    return b"\x30" + _length(len(inner)) + inner


def _algorithm(unsigned: bytes, content: bytes) -> bytes:
    """The DER of the AlgorithmIdentifier between the content and the empty signature."""
    start = unsigned.index(content) + len(content)
    return unsigned[start : -len(_EMPTY_BIT_STRING)]


def _length(number: int) -> bytes:
    if number < 0x80:
        return bytes((number,))
    octets = number.to_bytes((number.bit_length() + 7) // 8, "big")
    return bytes((0x80 | len(octets),)) + octets


def _recording_key(public_key: PublicKey) -> type[Any]:
    match public_key:
        case ec.EllipticCurvePublicKey():
            return _EC
        case rsa.RSAPublicKey():
            return _RSA
        case ed25519.Ed25519PublicKey():
            return _ED25519
        case ed448.Ed448PublicKey():
            return _ED448
        case _:
            assert_never(public_key)


def _key_that_records(base: type[Any]) -> type[Any]:
    # The builders ask a private key for nothing but `sign`; whatever else they asked for would be refused.
    def refuse(*_: object, **__: object) -> object:
        raise NotImplementedError("a key that only records was asked for something else")

    def sign(self: Any, data: bytes, *_: object) -> bytes:
        self.content = data
        return b""

    members: dict[str, object] = dict.fromkeys(base.__abstractmethods__, refuse)
    return type(f"Recording{base.__name__}", (base,), members | {"sign": sign})


_EC: Final = _key_that_records(ec.EllipticCurvePrivateKey)
_RSA: Final = _key_that_records(rsa.RSAPrivateKey)
_ED25519: Final = _key_that_records(ed25519.Ed25519PrivateKey)
_ED448: Final = _key_that_records(ed448.Ed448PrivateKey)
