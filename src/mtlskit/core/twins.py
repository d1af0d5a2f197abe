"""The other spelling of an ECDSA signature: whoever has a certificate can write it so, and it is as valid as before.

For (r, s) also (r, n - s) verifies, n being the order of the curve. So a certificate with such a signature has two
fingerprints, and nobody but its issuer can make a third.
"""

from __future__ import annotations

import hashlib
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature

from mtlskit.core.certificates import to_der
from mtlskit.core.validation import der

_ORDERS: Final = {
    "secp256r1": 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551,
    "secp384r1": int("f" * 48 + "c7634d81f4372ddf581a0db248b0a77aecec196accc52973", 16),
    "secp521r1": int("1" + "f" * 65 + "a51868783bf2f966b7fcc0148f709a5d03bb5c9b8899c47aebb6fb71e91386409", 16),
}


def fingerprints(certificate: x509.Certificate, issuer: x509.Certificate | None) -> tuple[str | None, ...]:
    """SHA-256 of the certificate's DER in its spellings, in hexadecimal; the issuer is the one above it in its path.

    None stands among them for a spelling that cannot be told: of ECDSA by an issuer or a curve that is not known.
    """
    encoding = to_der(certificate)
    own = hashlib.sha256(encoding).hexdigest()
    if "ecdsa" not in (certificate.signature_algorithm_oid._name or "").lower():
        return (own,)
    key = issuer.public_key() if issuer is not None else None
    order = _ORDERS.get(key.curve.name) if isinstance(key, ec.EllipticCurvePublicKey) else None
    return (own, None if order is None else hashlib.sha256(_twin(encoding, certificate, order)).hexdigest())


def _twin(encoding: bytes, certificate: x509.Certificate, order: int) -> bytes:
    r, s = decode_dss_signature(certificate.signature)
    signed = certificate.tbs_certificate_bytes
    behind = encoding.index(signed) + len(signed)
    algorithm = encoding[behind : behind + 2 + encoding[behind + 1]]  # an OID alone: never 128 octets
    signature = der.encoded(der.BIT_STRING, b"\0" + encode_dss_signature(r, order - s))
    return der.encoded(der.SEQUENCE, signed + algorithm + signature)
