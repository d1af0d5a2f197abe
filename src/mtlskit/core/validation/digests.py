"""Signatures over what is long: the digest is taken once, when the octets are read, and verified under each key.

`hashlib` lets other threads run while it works; a verification does not. (RFC 8032: the Edwards curves sign the
message itself, so nothing can be taken beforehand.)
"""

from __future__ import annotations

import hashlib
from typing import NamedTuple

from mtlskit.core.validation.algorithms import ECDSAScheme, Octets, PublicKey, RSAScheme, scheme_of, verifies_by


class Digested(NamedTuple):
    """What is left of a signed message: its digest, or itself where only that will do."""

    algorithm: bytes
    octets: Octets


def digested(algorithm: bytes, message: Octets) -> Digested:
    """The message as a signature by the AlgorithmIdentifier `algorithm` will want it; raises DERError."""
    scheme = scheme_of(algorithm)
    if isinstance(scheme, ECDSAScheme | RSAScheme):
        return Digested(algorithm, hashlib.new(scheme.hash.name, message).digest())
    return Digested(algorithm, message)


def verifies_digested(key: PublicKey | None, signature: bytes, message: Digested) -> bool:
    """Whether `signature` verifies under `key`."""
    scheme = scheme_of(message.algorithm)
    if isinstance(scheme, tuple):
        return False
    if isinstance(scheme, ECDSAScheme | RSAScheme):
        scheme = scheme.prehashed()
    return verifies_by(scheme, key, signature, message.octets)
