"""OpenSSL's numbers and names for a refused handshake, as our reasons. The one place that maps them."""

from __future__ import annotations

import ssl
from typing import TypeVar

from mtlskit.core.reasons import Reason

_Error = TypeVar("_Error", bound=ssl.SSLError)

# X509_V_ERR_* (openssl/x509_vfy.h); the numbers are OpenSSL's API and equal in 3.x and 4.x.
HOSTNAME_MISMATCH = 62
_VERIFY_CODES = {
    2: Reason.UNKNOWN_ISSUER,
    7: Reason.BAD_SIGNATURE,
    9: Reason.NOT_YET_VALID,
    10: Reason.EXPIRED,
    13: Reason.MALFORMED,
    14: Reason.MALFORMED,
    18: Reason.UNKNOWN_ISSUER,
    19: Reason.UNKNOWN_ISSUER,
    20: Reason.UNKNOWN_ISSUER,
    21: Reason.UNKNOWN_ISSUER,
    22: Reason.PATH_TOO_LONG,
    23: Reason.REVOKED,
    25: Reason.PATH_TOO_LONG,
    26: Reason.WRONG_PURPOSE,
    32: Reason.NOT_A_CA,
    34: Reason.UNSUPPORTED_CRITICAL_EXTENSION,
    41: Reason.MALFORMED,
    47: Reason.NAME_NOT_PERMITTED,
    48: Reason.NAME_NOT_PERMITTED,
    HOSTNAME_MISMATCH: Reason.NAME_MISMATCH,
    64: Reason.NAME_MISMATCH,
    66: Reason.WEAK_KEY,
    67: Reason.WEAK_KEY,
    68: Reason.WEAK_SIGNATURE,
    79: Reason.NOT_A_CA,
}

# `ssl.SSLError.reason`: OpenSSL's mnemonic, without its SSL_R_ prefix.
_MNEMONICS = {
    "PEER_DID_NOT_RETURN_A_CERTIFICATE": Reason.NO_CERTIFICATE,
    "HTTP_REQUEST": Reason.MALFORMED,
    "WRONG_VERSION_NUMBER": Reason.MALFORMED,
}


def reason_of(error: ssl.SSLError) -> Reason:
    """Why the handshake that raised `error` was refused."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return _VERIFY_CODES.get(error.verify_code, Reason.UNKNOWN_ISSUER)
    # An error that was made in Python has no such attribute.
    return _MNEMONICS.get(getattr(error, "reason", None) or "", Reason.HANDSHAKE_FAILED)


def tls_error(kind: type[_Error], code: int, text: str, mnemonic: str | None = None) -> _Error:
    """An `ssl.SSLError` as the standard library makes them: its callers read `reason` and `library`."""
    error = kind(code, text)
    error.reason = mnemonic  # type: ignore[assignment]
    error.library = "SSL"
    return error
