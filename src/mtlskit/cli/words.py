"""How certificates, moments and texts of strangers are put into words."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from mtlskit.core.certificates import to_der


def described(certificate: x509.Certificate) -> dict[str, str]:
    """What tells a certificate from others."""
    return {
        "subject": subject(certificate),
        "issuer": _name(certificate, "issuer"),
        "serial": f"{certificate.serial_number:x}",
        "sha256": hashlib.sha256(to_der(certificate)).hexdigest(),
    }


def subject(certificate: x509.Certificate) -> str:
    """The subject as RFC 4514 text, escaped."""
    return _name(certificate, "subject")


def _name(certificate: x509.Certificate, which: str) -> str:
    try:
        name: x509.Name = getattr(certificate, which)
        return escaped(name.rfc4514_string())
    except Exception:  # noqa: BLE001 - whatever the foreign parser raises: nobody can read it
        return "(unreadable)"


def key_in_words(certificate: x509.Certificate) -> str:
    """Kind and size of the public key."""
    try:
        key = certificate.public_key()
    except Exception:  # noqa: BLE001 - as above
        return "unreadable"
    if isinstance(key, rsa.RSAPublicKey):
        return f"RSA, {key.key_size} bits"
    return key.curve.name if isinstance(key, ec.EllipticCurvePublicKey) else certificate.public_key_algorithm_oid._name


def shown_time(moment: datetime) -> str:
    """A moment in UTC, as RFC 3339 writes it."""
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def escaped(text: str) -> str:
    """A stranger's text without what moves the cursor or turns the reading direction."""
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)
