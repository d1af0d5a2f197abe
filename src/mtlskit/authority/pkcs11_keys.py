"""Keys in a PKCS #11 token: finding one, making one, its public half, its signature as certificates have it.

Needs the extra `pkcs11`. Every function is called inside `Token.ask` or `Token.change`, which map what is raised.
"""

from __future__ import annotations

import os
from typing import Any, Final, TypeAlias, assert_never

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa, utils

from mtlskit.authority.signers import KeyType, ec_hash
from mtlskit.errors import ConfigurationError, Conflict, NotFound, Unavailable

try:
    import pkcs11
    from pkcs11 import Attribute, Mechanism, MechanismFlag, ObjectClass
    from pkcs11.util.ec import encode_ec_public_key, encode_named_curve_parameters
except ImportError as error:
    raise ConfigurationError("expected the extra 'pkcs11' (pip install 'mtlskit[pkcs11]'), got none") from error

TokenKey: TypeAlias = ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey | rsa.RSAPublicKey

_CURVES: Final = (ec.SECP256R1.name, ec.SECP384R1.name)
_ED25519: Final = b"\x06\x03\x2b\x65\x70"  # id-Ed25519 (RFC 8410, 3), in DER
_USE: Final = MechanismFlag.SIGN | MechanismFlag.VERIFY
_SECRET: Final = {Attribute.SENSITIVE: True, Attribute.EXTRACTABLE: False}


def private_key(session: Any, label: str) -> Any:
    """The one private key with the label; raises NotFound, and ConfigurationError where there are several."""
    found = list(session.get_objects({Attribute.CLASS: ObjectClass.PRIVATE_KEY, Attribute.LABEL: label}))
    if not found:
        raise NotFound(f"expected the private key {label!r} in the token {session.token.label!r}, got none")
    if len(found) > 1:
        raise ConfigurationError(
            f"expected one private key {label!r} in the token {session.token.label!r}, got {len(found)}"
        )
    return found[0]


def public_key(session: Any, label: str) -> TokenKey:
    """The public half of the private key with the label; raises as `private_key`, and for other kinds of key."""
    private = private_key(session, label)
    wanted = {Attribute.CLASS: ObjectClass.PUBLIC_KEY, Attribute.KEY_TYPE: private.key_type, Attribute.ID: private.id}
    halves = [*session.get_objects(wanted), private]  # some tokens keep the public numbers with the private key only
    try:
        read = _read(halves[0])
    except (ValueError, TypeError, pkcs11.AttributeTypeInvalid):
        raise ConfigurationError(
            f"expected a public key beside the private key {label!r} in the token {session.token.label!r}, got none "
            "that can be read"
        ) from None
    if read is None:
        raise ConfigurationError(f"expected {label!r} to be an EC P-256 or P-384, Ed25519 or RSA key, got another kind")
    return read


def _read(key: Any) -> TokenKey | None:
    match key.key_type:
        case pkcs11.KeyType.RSA:
            exponent, modulus = (
                int.from_bytes(key[each], "big") for each in (Attribute.PUBLIC_EXPONENT, Attribute.MODULUS)
            )
            return rsa.RSAPublicNumbers(exponent, modulus).public_key()
        case pkcs11.KeyType.EC:
            found = serialization.load_der_public_key(encode_ec_public_key(key))
            return found if isinstance(found, ec.EllipticCurvePublicKey) and found.curve.name in _CURVES else None
        case pkcs11.KeyType.EC_EDWARDS:
            # An OCTET STRING, or the octets alone: before PKCS #11 3.0 nobody said which.
            point: bytes = key[Attribute.EC_POINT]
            return ed25519.Ed25519PublicKey.from_public_bytes(point[-32:]) if len(point) in (32, 34) else None
    return None


def make_key(session: Any, label: str, key_type: KeyType) -> None:
    """Makes a key pair that stays in the token; raises Conflict where there is one with the label."""
    if any(True for _ in session.get_objects({Attribute.CLASS: ObjectClass.PRIVATE_KEY, Attribute.LABEL: label})):
        raise Conflict(f"expected no private key {label!r} in the token {session.token.label!r} yet, got one")
    pair = {
        "id": os.urandom(16), "label": label, "store": True, "capabilities": _USE, "private_template": _SECRET,
    }  # fmt: skip
    match key_type:
        case KeyType.EC_P256:
            _make_on(session, pkcs11.KeyType.EC, encode_named_curve_parameters("secp256r1"), pair)
        case KeyType.EC_P384:
            _make_on(session, pkcs11.KeyType.EC, encode_named_curve_parameters("secp384r1"), pair)
        case KeyType.ED25519:
            edwards = {**pair, "mechanism": Mechanism.EC_EDWARDS_KEY_PAIR_GEN}
            _make_on(session, pkcs11.KeyType.EC_EDWARDS, _ED25519, edwards)
        case KeyType.RSA_2048 | KeyType.RSA_3072 | KeyType.RSA_4096:
            session.generate_keypair(pkcs11.KeyType.RSA, int(key_type.removeprefix("rsa-")), **pair)
        case _:
            assert_never(key_type)


def _make_on(session: Any, kind: Any, parameters: bytes, pair: dict[str, Any]) -> None:
    curve = session.create_domain_parameters(kind, {Attribute.EC_PARAMS: parameters}, local=True)
    curve.generate_keypair(**pair)


def sign(private: Any, public: TokenKey, data: bytes) -> bytes:
    """The signature over `data`: DER for ECDSA (RFC 3279, 2.2.3), otherwise as it stands in a certificate."""
    match public:
        case ec.EllipticCurvePublicKey():
            # Hashed here: not every token has a mechanism that hashes and signs.
            digest = hashes.Hash(ec_hash(public.curve))
            digest.update(data)
            return _in_der(private.sign(digest.finalize(), mechanism=Mechanism.ECDSA))
        case rsa.RSAPublicKey():
            signature: bytes = private.sign(data, mechanism=Mechanism.SHA256_RSA_PKCS)
            return signature
        case ed25519.Ed25519PublicKey():
            pure: bytes = private.sign(data, mechanism=Mechanism.EDDSA)
            return pure
        case _:
            assert_never(public)


def _in_der(signature: bytes) -> bytes:
    # Tokens give r and s one after the other, each as long as the order of the curve (PKCS #11 2.40, 2.3.1).
    half, odd = divmod(len(signature), 2)
    if odd or not half:
        raise Unavailable(f"expected an ECDSA signature of the token, got {len(signature)} octets")
    r, s = (int.from_bytes(part, "big") for part in (signature[:half], signature[half:]))
    return utils.encode_dss_signature(r, s)
