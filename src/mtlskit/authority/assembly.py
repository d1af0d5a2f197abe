"""What is to be signed and what comes of it, taken apart: a builder's bytes first, the signature later, once.

`cryptography` only builds and signs in one step. Here its builder is given a key that keeps what it is given and signs
nothing; the signer's signature is put in afterwards. So the bytes to be signed can be recorded before anyone signs
them, and the signer may be anywhere. RFC 5280, 4.1: Certificate ::= SEQUENCE { toBeSigned, algorithm, BIT STRING }; a
CertificateList (5.1) has the same three parts.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final, TypeAlias, assert_never

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa

from mtlskit.authority.signers import Signer, signature_hash
from mtlskit.core.profiles import PublicKey
from mtlskit.core.validation import der
from mtlskit.errors import IssuanceError, MTLSError

Builder: TypeAlias = x509.CertificateBuilder | x509.CertificateRevocationListBuilder

_EMPTY_BIT_STRING: Final = b"\x03\x01\x00"


class Assembly:
    """Takes builders apart for one key, and puts its signatures in.

    `algorithm` is the AlgorithmIdentifier of its signatures, in DER.
    """

    __slots__ = ("_hash", "_recording", "_signer", "algorithm")

    def __init__(self, signer: Signer) -> None:
        public_key = signer.public_key()
        self._signer = signer
        self._recording = _recording_key(public_key)
        self._hash = signature_hash(public_key)
        self.algorithm = self._found_algorithm(public_key)

    def to_be_signed(self, builder: Builder) -> bytes:
        """The DER that the key has to sign for `builder`."""
        return self._taken_apart(builder)[0]

    def unsigned(self, content: bytes) -> bytes:
        """The whole in DER with an empty signature, for what `to_be_signed` gave: for a look before it is signed."""
        return self._assembled(content, b"")

    def sign(self, content: bytes) -> bytes:
        """The whole in DER, signed, for what `to_be_signed` gave; raises IssuanceError where the signer fails."""
        try:
            signature = self._signer.sign(content)
        except MTLSError:
            raise
        except Exception as error:
            raise IssuanceError(f"expected a signature, got {type(error).__name__} from the signer") from error
        return self._assembled(content, signature)

    def _assembled(self, content: bytes, signature: bytes) -> bytes:
        return der.sequence(content, self.algorithm, der.encoded(der.BIT_STRING, b"\x00", signature))

    def _taken_apart(self, builder: Builder) -> tuple[bytes, bytes]:
        """What has to be signed, and the whole with an empty signature."""
        recording = self._recording()
        unsigned = builder.sign(recording, self._hash)
        return recording.content, unsigned.public_bytes(serialization.Encoding.DER)

    def _found_algorithm(self, public_key: PublicKey) -> bytes:
        # Of a certificate that nobody will ever see: the identifier stands between the content and the signature.
        nobody, moment = x509.Name([]), datetime(2000, 1, 1)
        content, unsigned = self._taken_apart(x509.CertificateBuilder(nobody, nobody, public_key, 1, moment, moment))
        return unsigned[unsigned.index(content) + len(content) : -len(_EMPTY_BIT_STRING)]


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
