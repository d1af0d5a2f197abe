"""What a server says when it asks a client for its certificate: the CAs whose certificates it takes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from cryptography import x509

_HEADER: Final = 4  # octets of type and length before each handshake message
_CERTIFICATE_AUTHORITIES: Final = 47  # RFC 8446, 4.2.4
# What a CRL has around its issuer: cryptography reads a name only inside of something.
_ALGORITHM: Final = bytes.fromhex("300a06082a8648ce3d040302")
_TIME: Final = bytes.fromhex("170d") + b"000101000000Z"
_SIGNATURE: Final = bytes.fromhex("030100")


@dataclass(frozen=True, slots=True)
class CertificateRequest:
    """A server's request for a client certificate (RFC 8446, 4.3.2; RFC 5246, 7.4.4) and the CA names in it."""

    authorities: tuple[x509.Name, ...] = ()

    @classmethod
    def from_message(cls, message: bytes, *, is_tls_1_3: bool) -> CertificateRequest:
        """Reads the handshake message. Names that cannot be read are passed over: they help people only."""
        try:
            names = _names_of_tls_1_3(message[_HEADER:]) if is_tls_1_3 else _names_of_tls_1_2(message[_HEADER:])
            return cls(tuple(_vectors(names)))
        except (ValueError, IndexError):
            return cls()


def _names_of_tls_1_3(body: bytes) -> bytes:
    _context, rest = _vector(body, 1)
    extensions, _ = _vector(rest, 2)
    while extensions:
        kind = int.from_bytes(extensions[:2])
        content, extensions = _vector(extensions[2:], 2)
        if kind == _CERTIFICATE_AUTHORITIES:
            return _vector(content, 2)[0]
    return b""


def _names_of_tls_1_2(body: bytes) -> bytes:
    _types, rest = _vector(body, 1)
    _algorithms, rest = _vector(rest, 2)
    return _vector(rest, 2)[0]


def _vectors(names: bytes) -> Iterator[x509.Name]:
    while names:
        der, names = _vector(names, 2)
        with suppress(Exception):  # whatever a stranger's name makes cryptography raise
            yield _name(der)


def _vector(data: bytes, width: int) -> tuple[bytes, bytes]:
    """A vector of RFC 8446, 3.4, whose length has `width` octets, and what comes after it."""
    end = width + int.from_bytes(data[:width])
    if len(data) < end:
        raise ValueError("expected a whole vector, got a shorter one")
    return data[width:end], data[end:]


def _name(der: bytes) -> x509.Name:
    return x509.load_der_x509_crl(_sequence(_sequence(_ALGORITHM, der, _TIME), _ALGORITHM, _SIGNATURE)).issuer


def _sequence(*parts: bytes) -> bytes:
    content = b"".join(parts)
    length = len(content).to_bytes(max(1, (len(content).bit_length() + 7) // 8))
    return b"\x30" + (length if len(content) < 0x80 else bytes([0x80 | len(length)]) + length) + content
