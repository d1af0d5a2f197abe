"""Proof that a signer has the private key of the public key that it names, before that key becomes an authority's."""

from __future__ import annotations

import secrets
from typing import Final

from mtlskit.authority.assembly import Assembly
from mtlskit.authority.signers import Signer
from mtlskit.core.validation.algorithms import verifies
from mtlskit.errors import IssuanceError, MTLSError

# It begins as no certificate, list, response or request does: with no SEQUENCE of DER.
_SIGNED: Final = b"mtlskit: this key is in the hands of the one who signs this\n"


def check_possession(signer: Signer) -> None:
    """Raises IssuanceError unless it signs, and the signature verifies under its public key."""
    content = _SIGNED + secrets.token_bytes(32)
    try:
        signature = signer.sign(content)
    except MTLSError:
        raise
    except Exception as error:
        raise IssuanceError(f"private_key: expected a signature, got {type(error).__name__} from the signer") from error
    if not verifies(signer.public_key(), Assembly(signer).algorithm, signature, content):
        raise IssuanceError("private_key: expected a signer that has the key to its public key, got one that has not")
