"""Certificates of any shape for tests: take one apart, change a field, sign it again.

`cryptography` refuses to build most wrong things, so they are made here, octet by octet.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, padding, rsa

ECDSA_SHA256 = bytes.fromhex("300a06082a8648ce3d040302")
RSA_SHA256 = bytes.fromhex("300d06092a864886f70d01010b0500")
ED25519 = bytes.fromhex("300506032b6570")
ED448 = bytes.fromhex("300506032b6571")


def encode(tag: int, *parts: bytes) -> bytes:
    """One element in DER."""
    content = b"".join(parts)
    size = len(content)
    if size < 0x80:
        return bytes((tag, size)) + content
    octets = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(octets))) + octets + content


def seq(*parts: bytes) -> bytes:
    return encode(0x30, *parts)


def integer(value: int) -> bytes:
    size = (value + (value < 0)).bit_length() // 8 + 1
    return encode(0x02, value.to_bytes(size, "big", signed=True))


def oid(dotted: str) -> bytes:
    first, second, *rest = map(int, dotted.split("."))
    content = b""
    for arc in (first * 40 + second, *rest):
        octets = [arc & 0x7F]
        while arc := arc >> 7:
            octets.append(arc & 0x7F | 0x80)
        content += bytes(reversed(octets))
    return encode(0x06, content)


def boolean(value: bool) -> bytes:
    return encode(0x01, b"\xff" if value else b"\x00")


def extension(dotted: str, value: bytes, *, critical: bool = False) -> bytes:
    return seq(oid(dotted), *([boolean(True)] if critical else []), encode(0x04, value))


def name(*attributes: tuple[str, int, bytes]) -> bytes:
    """A Name of one-attribute RDNs: (dotted type, string tag, octets)."""
    return seq(*(encode(0x31, seq(oid(kind), encode(tag, value))) for kind, tag, value in attributes))


def cn(text: str, tag: int = 0x0C) -> bytes:
    return name(("2.5.4.3", tag, text.encode()))


def elements(data: bytes) -> list[bytes]:
    """The elements that follow one another in `data`, whole."""
    found = []
    while data:
        size, header = data[1], 2
        if size & 0x80:
            header = 2 + (size & 0x7F)
            size = int.from_bytes(data[2:header], "big")
        found.append(data[: header + size])
        data = data[header + size :]
    return found


def content(element: bytes) -> bytes:
    """What is inside one element."""
    header = 2 + (element[1] & 0x7F if element[1] & 0x80 else 0)
    return element[header:]


@dataclass(frozen=True)
class Fields:
    """A certificate in pieces, each whole DER. `replace` some and `sign`."""

    version: bytes
    serial: bytes
    algorithm: bytes
    issuer: bytes
    validity: bytes
    subject: bytes
    spki: bytes
    extensions: tuple[bytes, ...] | None
    unique_ids: bytes = b""
    outer_algorithm: bytes | None = field(default=None)

    @classmethod
    def of(cls, der: bytes) -> Fields:
        tbs = elements(content(elements(content(der))[0]))
        version, serial, algorithm, issuer, validity, subject, spki, *rest = tbs
        extensions = tuple(elements(content(content(rest[-1])))) if rest else None
        return cls(version, serial, algorithm, issuer, validity, subject, spki, extensions)

    def tbs(self) -> bytes:
        tail = b"" if self.extensions is None else encode(0xA3, seq(*self.extensions))
        return seq(
            self.version, self.serial, self.algorithm, self.issuer, self.validity,
            self.subject, self.spki, self.unique_ids, tail,
        )  # fmt: skip

    def sign(self, key: Any, *, algorithm: hashes.HashAlgorithm | None = None) -> bytes:
        tbs = self.tbs()
        signature = _sign(key, tbs, algorithm or hashes.SHA256())
        return seq(tbs, self.outer_algorithm or self.algorithm, encode(0x03, b"\0", signature))

    def but(self, **changes: Any) -> Fields:
        return replace(self, **changes)

    def without(self, dotted: str) -> Fields:
        wanted = oid(dotted)
        return self.but(extensions=tuple(e for e in self.extensions or () if not content(e).startswith(wanted)))

    def plus(self, *extensions: bytes) -> Fields:
        return self.but(extensions=(*(self.extensions or ()), *extensions))

    def instead(self, dotted: str, value: bytes, *, critical: bool = False) -> Fields:
        return self.without(dotted).plus(extension(dotted, value, critical=critical))


def _sign(key: Any, tbs: bytes, algorithm: hashes.HashAlgorithm) -> bytes:
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return key.sign(tbs, ec.ECDSA(algorithm))
    if isinstance(key, rsa.RSAPrivateKey):
        return key.sign(tbs, padding.PKCS1v15(), algorithm)
    assert isinstance(key, ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey)
    return key.sign(tbs)


def der_of(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.DER)
