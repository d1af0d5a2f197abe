"""Which keys and signature algorithms count, and whether a signature verifies. One table, exact to the octet.

Sources: RFC 5754 and RFC 5758 (SHA-2 with RSA and ECDSA), RFC 4055 (RSASSA-PSS), RFC 8410 (Ed25519, Ed448).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed

from mtlskit.core.reasons import Reason
from mtlskit.core.validation import der

Octets: TypeAlias = bytes | memoryview
PublicKey: TypeAlias = ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey | ed448.Ed448PublicKey | rsa.RSAPublicKey

SMALLEST_RSA = 2048  # NIST SP 800-131A
LARGEST_RSA = 8192  # bounds the work of one verification
LARGEST_EXPONENT = 64  # bits; likewise. No RSA key in use has a longer one


@dataclass(frozen=True, slots=True)
class ECDSAScheme:
    """ECDSA with one hash."""

    hash: hashes.HashAlgorithm
    signature: ec.ECDSA

    def verify(self, key: Any, signature: bytes, message: Octets) -> None:
        """Raises InvalidSignature."""
        key.verify(signature, message, self.signature)

    def prehashed(self) -> ECDSAScheme:
        """The same over a digest that was taken before."""
        return ECDSAScheme(self.hash, ec.ECDSA(Prehashed(self.hash)))


@dataclass(frozen=True, slots=True)
class RSAScheme:
    """RSA with one padding and one hash."""

    padding: padding.AsymmetricPadding
    hash: hashes.HashAlgorithm
    given: hashes.HashAlgorithm | Prehashed

    def verify(self, key: Any, signature: bytes, message: Octets) -> None:
        """Raises InvalidSignature."""
        key.verify(signature, message, self.padding, self.given)

    def prehashed(self) -> RSAScheme:
        """The same over a digest that was taken before."""
        return RSAScheme(self.padding, self.hash, Prehashed(self.hash))


@dataclass(frozen=True, slots=True)
class Ed25519Scheme:
    """Ed25519."""

    def verify(self, key: Any, signature: bytes, message: Octets) -> None:
        """Raises InvalidSignature."""
        key.verify(signature, message)


class Ed448Scheme(Ed25519Scheme):
    """Ed448."""


Scheme: TypeAlias = ECDSAScheme | RSAScheme | Ed25519Scheme | Ed448Scheme
_KEYS: Mapping[type, type[PublicKey]] = {
    ECDSAScheme: ec.EllipticCurvePublicKey,
    RSAScheme: rsa.RSAPublicKey,
    Ed25519Scheme: ed25519.Ed25519PublicKey,
    Ed448Scheme: ed448.Ed448PublicKey,
}
# By type, since asking an abstract class costs more than the rest of the question; there are few types.
_SUITING: dict[tuple[type, type], bool] = {}


def scheme_of(algorithm: bytes) -> Scheme | tuple[Reason, str]:
    """The scheme that an AlgorithmIdentifier in DER names, or the reason and the detail of its refusal."""
    found = _SCHEMES.get(algorithm)
    return found if found is not None else _refusal(algorithm)


def verifies(key: PublicKey | None, algorithm: bytes, signature: bytes, message: bytes) -> bool:
    """Whether `signature` over `message` verifies under `key` by the AlgorithmIdentifier `algorithm`."""
    return verifies_by(_SCHEMES.get(algorithm), key, signature, message)


def verifies_by(scheme: Scheme | None, key: PublicKey | None, signature: bytes, message: Octets) -> bool:
    """`verifies` where the scheme is known; None stands for one that does not count."""
    if key is None or scheme is None or not _suits(type(scheme), type(key)):
        return False
    try:
        scheme.verify(key, signature, message)
    except (InvalidSignature, UnsupportedAlgorithm, ValueError):
        return False
    return True


def _suits(scheme: type, key: type) -> bool:
    known = _SUITING.get((scheme, key))
    if known is None:
        known = _SUITING[scheme, key] = issubclass(key, _KEYS[scheme])
    return known


def is_supported(key: type) -> bool:
    """Whether a public key of this type can verify anything here."""
    return any(_suits(scheme, key) for scheme in _KEYS)


def _refusal(algorithm: bytes) -> tuple[Reason, str]:
    start, stop = der.whole(der.SEQUENCE, algorithm)
    first, last = der.expect(der.OBJECT_IDENTIFIER, algorithm, start, stop)
    if algorithm[first:last] in _PLAIN:
        return Reason.BAD_SIGNATURE, "expected a signature algorithm without needless parameters, got some"
    known = _WEAK.get(algorithm[first:last], "another one")
    return (
        Reason.WEAK_SIGNATURE,
        f"expected a signature with SHA-256, SHA-384, SHA-512 or an Edwards curve, got {known}",
    )


def is_usual_key(spki: bytes) -> bool:
    """Whether a SubjectPublicKeyInfo is an uncompressed P-256 point or an Ed25519 key, which have one encoding."""
    return spki.startswith(_USUAL_KEYS)


def is_point(spki: bytes) -> bool:
    """Whether a key of the usual kind is a point on its curve; for Ed25519 any octets are taken (RFC 8032, 5.1.7)."""
    if len(spki) != _P256_OCTETS:
        return True
    x, y = int.from_bytes(spki[-64:-32], "big"), int.from_bytes(spki[-32:], "big")
    return x < _P and y < _P and (y * y - (x * x - 3) * x - _B) % _P == 0


def key_weakness(spki: bytes) -> str | None:
    """What is wrong with the strength or the kind of a SubjectPublicKeyInfo in DER; raises DERError."""
    if spki.startswith(_USUAL_KEYS):
        return None
    start, stop = der.whole(der.SEQUENCE, spki)
    first, last = der.expect(der.SEQUENCE, spki, start, stop)
    kind, after = der.expect(der.OBJECT_IDENTIFIER, spki, first, last)
    match spki[kind:after]:
        case b"\x2a\x86\x48\xce\x3d\x02\x01":
            return (
                None if spki[after:last] in _CURVES else "expected P-256, P-384 or P-521, got another or explicit curve"
            )
        case b"\x2b\x65\x70" | b"\x2b\x65\x71":
            return None if after == last else "expected an Edwards key without parameters, got some"
        case b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01" | b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0a":
            return _rsa_weakness(*rsa_numbers(spki))
        case _:
            return "expected an RSA, ECDSA, Ed25519 or Ed448 key, got one of another kind"


def rsa_numbers(spki: bytes) -> tuple[int, int]:
    """The modulus and the exponent of an RSA SubjectPublicKeyInfo in DER; raises DERError."""
    start, stop = der.whole(der.SEQUENCE, spki)
    _, after = der.expect(der.SEQUENCE, spki, start, stop)
    first, last = der.expect(der.BIT_STRING, spki, after, stop)
    start, stop = der.expect(der.SEQUENCE, spki, der.unsigned_bits(spki, first, last), last)
    first, after = der.expect(der.INTEGER, spki, start, stop)
    second, last = der.expect(der.INTEGER, spki, after, stop)
    return der.integer(spki, first, after), der.integer(spki, second, last)


def _rsa_weakness(modulus: int, exponent: int) -> str | None:
    bits = modulus.bit_length()
    if not SMALLEST_RSA <= bits <= LARGEST_RSA:
        return f"expected an RSA modulus of {SMALLEST_RSA} to {LARGEST_RSA} bits, got {bits}"
    if modulus < 0 or modulus % 2 == 0:
        return "expected an odd RSA modulus, got an even or negative one"
    if exponent < 3 or exponent % 2 == 0 or exponent.bit_length() > LARGEST_EXPONENT:
        return f"expected an odd RSA exponent of 3 and more, of {LARGEST_EXPONENT} bits at most, got another"
    return None


def _oid(hexadecimal: str) -> bytes:
    octets = bytes.fromhex(hexadecimal)
    return bytes((der.OBJECT_IDENTIFIER, len(octets))) + octets


def _sequence(*parts: bytes) -> bytes:
    content = b"".join(parts)
    return bytes((der.SEQUENCE, len(content))) + content


def _explicit(number: int, content: bytes) -> bytes:
    return bytes((0xA0 | number, len(content))) + content


_NULL = b"\x05\x00"
_SHA2: Mapping[str, hashes.HashAlgorithm] = {
    "608648016503040201": hashes.SHA256(),
    "608648016503040202": hashes.SHA384(),
    "608648016503040203": hashes.SHA512(),
}


def _pss() -> Iterator[tuple[bytes, Scheme]]:
    # RFC 4055, 3.1: hash, MGF1 with the same hash, a salt as long as the hash; NULL parameters may be absent.
    for oid, algorithm in _SHA2.items():
        scheme = RSAScheme(padding.PSS(padding.MGF1(algorithm), algorithm.digest_size), algorithm, algorithm)
        salt = _explicit(2, bytes((der.INTEGER, 1, algorithm.digest_size)))
        for outer in (b"", _NULL):
            for inner in (b"", _NULL):
                mask = _explicit(1, _sequence(_oid("2a864886f70d010108"), _sequence(_oid(oid), inner)))
                parameters = _sequence(_explicit(0, _sequence(_oid(oid), outer)), mask, salt)
                yield _sequence(_oid("2a864886f70d01010a"), parameters), scheme


def _schemes() -> Iterator[tuple[bytes, Scheme]]:
    for number, algorithm in zip(("02", "03", "04"), _SHA2.values(), strict=True):
        yield _sequence(_oid(f"2a8648ce3d0403{number}")), ECDSAScheme(algorithm, ec.ECDSA(algorithm))
    for number, algorithm in zip(("0b", "0c", "0d"), _SHA2.values(), strict=True):
        for parameters in (_NULL, b""):  # RFC 4055, 5: NULL, and absent must be taken too
            scheme = RSAScheme(padding.PKCS1v15(), algorithm, algorithm)
            yield _sequence(_oid(f"2a864886f70d0101{number}"), parameters), scheme
    yield _sequence(_oid("2b6570")), Ed25519Scheme()
    yield _sequence(_oid("2b6571")), Ed448Scheme()
    yield from _pss()


_SCHEMES: Mapping[bytes, Scheme] = dict(_schemes())
# The algorithms whose identifier says everything: what else stands there does not belong.
_PLAIN = frozenset(
    bytes.fromhex(octets)
    for octets in (
        "2a8648ce3d040302", "2a8648ce3d040303", "2a8648ce3d040304", "2b6570", "2b6571",
        "2a864886f70d01010b", "2a864886f70d01010c", "2a864886f70d01010d",
    )
)  # fmt: skip
_WEAK: Mapping[bytes, str] = {
    bytes.fromhex("2a864886f70d010102"): "MD2 with RSA",
    bytes.fromhex("2a864886f70d010104"): "MD5 with RSA",
    bytes.fromhex("2a864886f70d010105"): "SHA-1 with RSA",
    bytes.fromhex("2a864886f70d01010e"): "SHA-224 with RSA",
    bytes.fromhex("2a864886f70d01010a"): "RSASSA-PSS with other parameters",
    bytes.fromhex("2a8648ce3d0401"): "SHA-1 with ECDSA",
    bytes.fromhex("2a8648ce3d040301"): "SHA-224 with ECDSA",
    bytes.fromhex("2a8648ce380403"): "SHA-1 with DSA",
    bytes.fromhex("608648016503040302"): "SHA-256 with DSA",
}
_CURVES = frozenset((_oid("2a8648ce3d030107"), _oid("2b81040022"), _oid("2b81040023")))
# FIPS 186-4, D.1.2.3: y^2 = x^3 - 3x + b over the integers modulo p.
_P = 2**256 - 2**224 + 2**192 + 2**96 - 1
_B = 0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B
_P256_OCTETS = 91
# An uncompressed P-256 point, and Ed25519: the octets before the key itself, lengths included.
_USUAL_KEYS = (
    bytes.fromhex("3059301306072a8648ce3d020106082a8648ce3d03010703420004"),
    bytes.fromhex("302a300506032b6570032100"),
)
