"""What the commands read from files: chains, certificates, requests, revocation lists, OCSP responses.

Never a private key: where one may stand beside a certificate, it is passed over.
"""

from __future__ import annotations

import base64
import binascii
import re
import sys
from collections.abc import Iterator, Sequence

from cryptography import x509
from cryptography.x509 import ocsp

from mtlskit.cli.options import content_of
from mtlskit.core.certificates import PresentedChain, read_certificate
from mtlskit.core.pem import Secret, certificates_in
from mtlskit.core.validation import RevocationList
from mtlskit.errors import CertificateError

STDIN = "-"
_LARGEST = 96 * 1024 * 1024  # octets of a file: the largest revocation list in PEM
_LARGEST_OWN = 1024 * 1024  # octets: a chain and its key
_LARGEST_REQUEST = 65_536  # octets
_BEGIN = b"-----BEGIN"
_SEQUENCE = 0x30
_BLOCK = re.compile(rb"-----BEGIN ([A-Z0-9 ]+)-----(.*?)-----END \1-----", re.DOTALL)
_CERTIFICATE, _LIST = b"CERTIFICATE", b"X509 CRL"


def read_presented(name: str) -> PresentedChain:
    """The chain in a file, leaf first, unparsed: all certificates of PEM, or the one that is the file (DER)."""
    return PresentedChain(tuple(_ders(name, _CERTIFICATE, "a certificate")))


def read_certificate_files(names: Sequence[str], what: str) -> list[x509.Certificate]:
    """All certificates in these files (PEM, DER); raises CertificateError, with `what` as their name."""
    return [certificate for name in names for certificate in _loaded(name, what)]


def _loaded(name: str, what: str) -> Iterator[x509.Certificate]:
    for position, der in enumerate(_ders(name, _CERTIFICATE, what)):
        try:
            yield read_certificate(der, what=what)
        except CertificateError:
            raise CertificateError(f"expected {what} in {name!r}, got other octets at position {position}") from None


def read_own_certificate(name: str) -> x509.Certificate:
    """The first certificate in a file (PEM, DER) that may have its key beside it, as `issue --out` writes them.

    The key is neither decoded nor kept. Raises CertificateError.
    """
    given = Secret(content_of(name, most=_LARGEST_OWN))
    if _BEGIN in given.octets():
        return certificates_in(given, f"a certificate in {name!r}")[0]
    return read_certificate_files([name], "a certificate")[0]


def read_request(name: str) -> bytes:
    """A certification request as it is in a file, or on stdin where that is `-`; raises ConfigurationError."""
    if name == STDIN:
        return sys.stdin.buffer.read(_LARGEST_REQUEST + 1)  # one octet too many is refused as other octets are
    return content_of(name, most=_LARGEST_REQUEST)


def read_lists(name: str) -> Iterator[RevocationList]:
    """All revocation lists in a file (PEM, DER); raises CertificateError."""
    for der in _ders(name, _LIST, "a revocation list"):
        try:
            yield RevocationList(der)
        except CertificateError as error:
            raise CertificateError(f"{error} in {name!r}") from None


def read_response(name: str) -> bytes:
    """The OCSP response (RFC 6960) that a file is, in DER; raises CertificateError for other octets."""
    data = _content(name, "an OCSP response")
    try:
        ocsp.load_der_ocsp_response(data)
    except Exception:  # noqa: BLE001 - whatever the foreign parser raises: it is no response
        raise CertificateError(f"expected an OCSP response in DER in {name!r}, got {len(data)} other octets") from None
    return data


def _ders(name: str, label: bytes, what: str) -> list[bytes]:
    """The DER of a file: of all blocks of that label in PEM, or the file itself."""
    data = _content(name, what)
    if _BEGIN not in data and data[:1] == bytes((_SEQUENCE,)):
        return [data]
    found = [_decoded(block[2], name) for block in _BLOCK.finditer(data) if block[1] == label]
    if not found:
        raise CertificateError(f"expected {what} in PEM or DER in {name!r}, got {len(data)} other octets")
    return found


def _content(name: str, what: str) -> bytes:
    data = content_of(name, most=_LARGEST)
    if b"PRIVATE KEY-----" in data.replace(b"\0", b""):  # in UTF-16 too
        raise CertificateError(f"expected {what} in {name!r}, got a file that holds a private key")
    return data


def _decoded(text: bytes, name: str) -> bytes:
    try:
        return base64.b64decode(b"".join(text.split()), validate=True)
    except binascii.Error:
        raise CertificateError(f"expected base64 between the lines of PEM in {name!r}, got something else") from None
