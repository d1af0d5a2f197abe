"""Why a certificate, a handshake or a request was refused: one closed, ranked, stable set.

The codes are an API: they stand in problem documents, events and logs, and they do not change meaning.
The order of definition is the rank. When several things are wrong (or several paths were tried), the
one with the higher rank is told: it got further, so it says more.
"""

from __future__ import annotations

from enum import StrEnum


class Reason(StrEnum):
    """A refusal's code. `rank` orders them: the greater one is the more telling one."""

    # The request or the connection, before any certificate is looked at.
    INTERNAL_ERROR = "internal_error"
    STORE_UNAVAILABLE = "store_unavailable"
    SERVER_NAME_MISSING = "server_name_missing"
    SERVER_NAME_UNKNOWN = "server_name_unknown"
    AUTHORITY_MISMATCH = "authority_mismatch"
    UNTRUSTED_SOURCE = "untrusted_source"
    HANDSHAKE_FAILED = "handshake_failed"  # TLS itself: no common version or cipher, a broken record
    NO_CERTIFICATE = "no_certificate"

    # The certificate and its path (VERDICTS.md).
    MALFORMED = "malformed"
    UNKNOWN_ISSUER = "unknown_issuer"
    WRONG_TENANT_ISSUER = "wrong_tenant_issuer"
    BAD_SIGNATURE = "bad_signature"
    WEAK_KEY = "weak_key"
    WEAK_SIGNATURE = "weak_signature"
    UNSUPPORTED_CRITICAL_EXTENSION = "unsupported_critical_extension"
    NOT_A_CA = "not_a_ca"
    PATH_TOO_LONG = "path_too_long"
    NAME_NOT_PERMITTED = "name_not_permitted"
    PROFILE_VIOLATION = "profile_violation"
    WRONG_PURPOSE = "wrong_purpose"
    CERTIFICATE_POLICY = "certificate_policy"
    NOT_YET_VALID = "not_yet_valid"
    EXPIRED = "expired"
    NAME_MISMATCH = "name_mismatch"
    REVOCATION_UNKNOWN = "revocation_unknown"
    REVOKED = "revoked"
    LIMIT_EXCEEDED = "limit_exceeded"

    # A good certificate that is not wanted here.
    POLICY_DENIED = "policy_denied"

    @property
    def rank(self) -> int:
        """Greater means more telling."""
        return _RANKS[self]


_RANKS = {reason: position for position, reason in enumerate(Reason)}
