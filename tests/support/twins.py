"""A certificate with the other of the two spellings of its ECDSA signature."""

from __future__ import annotations

from cryptography import x509

from mtlskit.core.certificates import to_der
from mtlskit.core.twins import _ORDERS, _twin


def with_another_signature(certificate: x509.Certificate) -> x509.Certificate:
    """Signed by a key on P-256."""
    return x509.load_der_x509_certificate(_twin(to_der(certificate), certificate, _ORDERS["secp256r1"]))
