"""PEM in: certificates and private keys, read so that no octet of a key is left where a traceback shows it.

A traceback that is printed with its locals shows the arguments of every frame in it. So whoever is given what may hold
a key, or a password, puts it into a `Secret` at once and forgets it (`del`), before anything can go wrong; and what
goes wrong is raised outside of the handler, so that no foreign exception is chained to ours.
"""

from __future__ import annotations

import re
from contextlib import suppress
from typing import Final, NoReturn, TypeAlias

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import pkcs12

from mtlskit.core import key_derivation
from mtlskit.core.key_derivation import MOST_ITERATIONS, Demand
from mtlskit.errors import CertificateError

PrivateKey: TypeAlias = (
    ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey | rsa.RSAPrivateKey
)

# What `cryptography` raises for bytes that are no certificate: two of them are no ValueError.
UNREADABLE: Final = (ValueError, UnsupportedAlgorithm, x509.InvalidVersion)
_ANY_KEY: Final = "a private key in PEM (and its password), got none that opens"
_ANY_PKCS12: Final = "PKCS#12 and its password, got something else"
_LABEL: Final = re.compile(rb"-----BEGIN ([A-Z0-9 ]+)-----")
_BLOCK: Final = re.compile(rb"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.DOTALL)


class Secret:
    """What must not show: no repr has it, and it is not pickled. Its content is an argument, never a local variable."""

    __slots__ = ("_content",)

    def __init__(self, content: bytes | str | None) -> None:
        self._content = content

    @classmethod
    def of(cls, content: bytes | str | Secret | None) -> Secret:
        """Of what may be one already."""
        return content if isinstance(content, Secret) else cls(content)

    def is_octets(self) -> bool:
        """Whether it is bytes, and not none."""
        return isinstance(self._content, bytes) and self._content != b""

    def octets(self) -> bytes:
        """The content, text in UTF-8; raises CertificateError for what is neither bytes nor str."""
        if isinstance(self._content, str):
            return self._content.encode("utf-8", "replace")
        if isinstance(self._content, bytes):
            return self._content
        raise CertificateError(f"expected bytes or str, got {type(self._content).__name__}")

    def password(self) -> bytes | None:
        """As `octets`, for a password; None for none."""
        return None if self._content is None else self.octets()

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("expected a value that is no secret to pickle, got Secret")


def read_certificates(pem: bytes | str, *, what: str = "a certificate") -> tuple[x509.Certificate, ...]:
    """All certificates in `pem`, in their order. `what` names the thing in the error.

    Raises CertificateError for no certificate, an unreadable one, or a private key in the text, whose content
    is never shown.
    """
    given = Secret(pem)
    del pem
    return certificates_without_keys(given, what)


def read_certificate(data: bytes | str, *, what: str = "a certificate") -> x509.Certificate:
    """The one certificate in `data`, PEM or DER; raises CertificateError as `read_certificates`."""
    given, is_der = Secret(data), isinstance(data, bytes) and b"-----BEGIN" not in data
    del data
    if is_der:
        return _from_der(given, what)
    found = certificates_without_keys(given, what)
    if len(found) != 1:
        raise CertificateError(f"expected {what}, got {len(found)} certificates")
    return found[0]


def read_private_key(data: bytes | str, *, password: bytes | None = None) -> PrivateKey:
    """The private key in PEM `data`; raises CertificateError without ever showing a byte of it."""
    pem, secret = Secret(data), Secret(password)
    del data, password
    return private_key_in(pem, secret)


def certificates_in(pem: Secret, what: str) -> tuple[x509.Certificate, ...]:
    """The certificates in PEM that may have a key beside them; raises CertificateError for none, or unreadable ones."""
    try:
        # A block that was cut off may run on into a key.
        found = tuple(map(x509.load_pem_x509_certificate, _BLOCK.findall(pem.octets())))
        problem = "" if found else "no certificate"
    except UNREADABLE:
        problem = "a certificate that does not parse"
    if problem:
        raise CertificateError(f"expected {what} in PEM, got {problem}")
    return found


def certificates_without_keys(pem: Secret, what: str) -> tuple[x509.Certificate, ...]:
    """As `certificates_in`, where no key belongs: raises CertificateError for one."""
    if any(label.endswith(b"PRIVATE KEY") for label in _LABEL.findall(pem.octets())):
        raise CertificateError(f"expected {what} in PEM, got PEM that holds a private key")
    return certificates_in(pem, what)


def private_key_in(pem: Secret, password: Secret) -> PrivateKey:
    """The private key in PEM that may have certificates beside it; raises CertificateError."""
    _check_demand(key_derivation.of_pem(pem.octets()), "an encrypted private key", _ANY_KEY)
    wanted = "a password for the encrypted private key, got none"
    if password.password() is not None:
        wanted = "an encrypted private key for the password"
    try:
        key: object = serialization.load_pem_private_key(pem.octets(), password.password())
        problem = ""
    except TypeError:
        problem = wanted
    except (ValueError, UnsupportedAlgorithm):
        problem = _ANY_KEY
    if problem:
        raise CertificateError(f"expected {problem}")
    return _supported(key)


def pkcs12_in(data: Secret, password: Secret) -> tuple[PrivateKey, tuple[x509.Certificate, ...]]:
    """The key and the chain in PKCS #12 (RFC 7292); raises CertificateError."""
    _check_demand(key_derivation.of_pkcs12(data.octets()), "PKCS#12", _ANY_PKCS12)
    try:
        found = pkcs12.load_key_and_certificates(data.octets(), password.password())
    except (ValueError, UnsupportedAlgorithm):
        found = None
    if found is None:
        raise CertificateError(f"expected {_ANY_PKCS12}")
    key, certificate, more = found
    if key is None or certificate is None:
        raise CertificateError("expected PKCS#12 with a key and its certificate, got one without")
    return _supported(key), (certificate, *more)


def known_private_key_in(pem: Secret) -> PrivateKey:
    """As `private_key_in`, of a key that was read by that and sealed since: raises ValueError for another.

    To look at an RSA key once more costs far more than all else.
    """
    return _supported(serialization.load_pem_private_key(pem.octets(), None, unsafe_skip_rsa_key_validation=True))


def _check_demand(demand: Demand | None, what: str, otherwise: str) -> None:
    """Before it is opened: raises CertificateError for what would take too long, or could not be read."""
    if demand is None:
        raise CertificateError(f"expected {otherwise}")
    if demand.iterations > MOST_ITERATIONS:
        raise CertificateError(
            f"expected {what} that opens with at most {MOST_ITERATIONS} iterations, got {demand.iterations}"
        )


def _from_der(data: Secret, what: str) -> x509.Certificate:
    with suppress(*UNREADABLE):
        return x509.load_der_x509_certificate(data.octets())
    raise CertificateError(f"expected {what} in PEM or DER, got {len(data.octets())} unreadable bytes")


def _supported(key: object) -> PrivateKey:
    if not isinstance(
        key,
        ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey | rsa.RSAPrivateKey,
    ):
        raise CertificateError(f"expected an EC, Ed25519, Ed448 or RSA key, got {type(key).__name__}")
    return key
