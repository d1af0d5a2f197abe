"""What a request that got no answer is told as. Owns the one mapping of TLS and network failures to our errors.

By the types and attributes of exceptions and by how far the connection was, never by message texts. TLS 1.3 shows a
refusal of the client certificate only when the first answer is read, as an alert or just as the end of the connection;
TLS 1.2 shows it inside the handshake.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import assert_never

from cryptography import x509

from mtlskit.backends.reasons import reason_of
from mtlskit.core.certificate_requests import CertificateRequest
from mtlskit.core.reasons import Reason
from mtlskit.errors import ClientCertificateRefused, FetchError, HandshakeError, MTLSError
from mtlskit.fetch.preflight import subject_of
from mtlskit.fetch.targets import Target

# RFC 8446, 6. The numbers of the alerts that a server sends.
ALERTS = {
    "unexpected_message": 10, "bad_record_mac": 20, "record_overflow": 22, "handshake_failure": 40,
    "bad_certificate": 42, "unsupported_certificate": 43, "certificate_revoked": 44, "certificate_expired": 45,
    "certificate_unknown": 46, "illegal_parameter": 47, "unknown_ca": 48, "access_denied": 49, "decode_error": 50,
    "decrypt_error": 51, "protocol_version": 70, "insufficient_security": 71, "internal_error": 80,
    "inappropriate_fallback": 86, "missing_extension": 109, "unsupported_extension": 110, "unrecognized_name": 112,
    "bad_certificate_status_response": 113, "certificate_required": 116, "no_application_protocol": 120,
}  # fmt: skip
# Those that speak of the peer's certificate: ours.
_ABOUT_OUR_CERTIFICATE = frozenset(
    {
        "bad_certificate", "unsupported_certificate", "certificate_revoked", "certificate_expired",
        "certificate_unknown", "unknown_ca", "access_denied", "decrypt_error", "certificate_required",
    }
)  # fmt: skip
# `ssl.SSLError.reason` of a received alert, as 'TLSV13_ALERT_CERTIFICATE_REQUIRED' or 'SSL/TLS_ALERT_UNKNOWN_CA'.
_ALERT = re.compile(r"(?:.*_)?ALERT_(?P<name>[A-Z_]+)")

_MOST_SHOWN = 5  # CA names in a message
_LONGEST_SHOWN = 128  # characters of each

# TLS errors that say no more than that the connection ended, or that there was nothing to read yet.
_MEANINGLESS = (
    ssl.SSLEOFError, ssl.SSLZeroReturnError, ssl.SSLSyscallError, ssl.SSLWantReadError, ssl.SSLWantWriteError,
)  # fmt: skip


class Stage(StrEnum):
    """How far the connection of a request was."""

    REUSED = "reused"  # an open connection that had served before
    CONNECTING = "connecting"
    HANDSHAKE = "handshake"
    FRESH = "fresh"  # the handshake is over for us; no answer was read yet
    ANSWERED = "answered"


class Failure(StrEnum):
    """What the HTTP client says happened."""

    TIMEOUT = "timeout"
    NETWORK = "network"  # refused, reset, cut off
    DISCONNECTED = "disconnected"  # closed before a byte of the answer came
    GARBLED = "garbled"  # what came is not HTTP, or not what its headers say
    UNSENDABLE = "unsendable"  # what was to be sent is not HTTP
    PROXY = "proxy"  # it opened no way to the origin


@dataclass(frozen=True, slots=True, kw_only=True)
class Circumstances:
    """What is known of a request that failed."""

    target: Target
    stage: Stage
    failure: Failure
    certificate: x509.Certificate | None  # the one that the connection carried
    request: CertificateRequest | None = None  # what the server asked for
    sees_requests: bool = False  # whether that would have been seen
    timeout: float | None


def explain(error: BaseException, circumstances: Circumstances) -> MTLSError:
    """The error that the caller gets for `error`."""
    if circumstances.failure in (Failure.TIMEOUT, Failure.UNSENDABLE):
        return FetchError(_told(error, circumstances))
    tls = _tls_error(error)
    if isinstance(tls, ssl.SSLCertVerificationError):
        return _untrusted(tls, circumstances)
    alert = alert_of(tls)
    certificate = circumstances.certificate
    is_cut = tls is None and circumstances.failure in (Failure.NETWORK, Failure.DISCONNECTED)
    is_asked = circumstances.request is not None or not circumstances.sees_requests
    if certificate is not None and is_asked and _is_refusal(alert, circumstances.stage, is_cut=is_cut):
        return _refused(certificate, alert, circumstances)
    if tls is not None and circumstances.stage is not Stage.ANSWERED:
        return _handshake(tls, alert, circumstances)
    return FetchError(_told(error, circumstances))


def _tls_error(error: BaseException) -> ssl.SSLError | None:
    found = (each for each in causes(error) if isinstance(each, ssl.SSLError) and not isinstance(each, _MEANINGLESS))
    return next(found, None)


def alert_of(error: ssl.SSLError | None) -> str | None:
    """The name of the alert (RFC 8446, 6) that the peer sent, if `error` is that."""
    found = _ALERT.fullmatch(getattr(error, "reason", None) or "")
    return found["name"].lower() if found else None


def _is_refusal(alert: str | None, stage: Stage, *, is_cut: bool) -> bool:
    match stage:
        case Stage.CONNECTING | Stage.ANSWERED:
            return False
        case Stage.REUSED:  # the end of an idle connection is no refusal
            return alert in _ABOUT_OUR_CERTIFICATE
        case Stage.HANDSHAKE:
            return alert in _ABOUT_OUR_CERTIFICATE if alert else is_cut
        case Stage.FRESH:
            return alert is not None or is_cut
        case _:
            assert_never(stage)


def _refused(
    certificate: x509.Certificate, alert: str | None, circumstances: Circumstances
) -> ClientCertificateRefused:
    told = f"the alert {alert!r}" if alert else "the end of the connection where a refusal shows"
    subject, end, request = subject_of(certificate), certificate.not_valid_after_utc, circumstances.request
    authorities = None if request is None else tuple(map(_shown, request.authorities))
    return ClientCertificateRefused(
        f"expected {circumstances.target.origin} to take the client certificate {subject!r} "
        f"(not after {end.isoformat()}), got {told}{_listed(authorities)}",
        alert=alert,
        subject=subject,
        not_after=end,
        authorities=authorities,
    )


def _listed(authorities: tuple[str, ...] | None) -> str:
    """The CA names that the server asked for, as the end of a message; nothing where it named none."""
    if not authorities:
        return ""
    more = len(authorities) - _MOST_SHOWN
    names = ", ".join(map(repr, authorities[:_MOST_SHOWN]))
    return f"; it takes those of {names}" + (f" and {more} more" if more > 0 else "")


def _shown(name: x509.Name) -> str:
    try:
        text = name.rfc4514_string()
    except (ValueError, TypeError):
        return "an unreadable name"
    return text if len(text) <= _LONGEST_SHOWN else text[:_LONGEST_SHOWN] + "..."


def _untrusted(error: ssl.SSLCertVerificationError, circumstances: Circumstances) -> HandshakeError:
    reason, target = reason_of(error), circumstances.target
    if circumstances.stage is Stage.CONNECTING:
        return HandshakeError(
            reason, None, f"expected a certificate of the proxy to {target.origin} to trust, got another"
        )
    if reason is Reason.NAME_MISMATCH:
        detail = f"expected a server certificate for {target.origin.host!r}, got one for other names"
    else:
        detail = f"expected a server certificate of {target.origin} that is trusted here, got another"
    return HandshakeError(reason, None, detail)


def _handshake(error: ssl.SSLError, alert: str | None, circumstances: Circumstances) -> HandshakeError:
    told = f"the alert {alert!r}" if alert else (getattr(error, "reason", None) or type(error).__name__)
    detail = f"expected a TLS connection with {circumstances.target.origin}, got {told}"
    return HandshakeError(reason_of(error), ALERTS.get(alert or ""), detail)


def _told(error: BaseException, circumstances: Circumstances) -> str:
    origin = circumstances.target.origin
    match circumstances.failure:
        case Failure.TIMEOUT:
            return f"expected {origin} to go on within {circumstances.timeout} s, got nothing ({circumstances.stage})"
        case Failure.NETWORK if circumstances.stage is Stage.CONNECTING:
            return f"expected {origin} to be reachable, got {_system(error)}"
        case Failure.NETWORK:
            return f"expected an answer from {origin}, got {_system(error)}"
        case Failure.DISCONNECTED:
            return f"expected an answer from {origin}, got the end of the connection"
        case Failure.GARBLED:
            return f"expected a whole HTTP answer from {origin}, got something else"
        case Failure.PROXY:
            return f"expected the proxy to open a way to {origin}, got {str(error)[:_LONGEST_SHOWN]!r}"
        case Failure.UNSENDABLE:
            return f"expected a request that HTTP can carry to {origin}, got another"
        case _:
            assert_never(circumstances.failure)


def _system(error: BaseException) -> str:
    """The operating system's words for what happened, else the exception's type."""
    for each in causes(error):
        if isinstance(each, OSError) and each.strerror:
            return repr(each.strerror.lower())
    return type(error).__name__


def causes(error: BaseException) -> Iterator[BaseException]:
    """The exception, what caused it, what caused that, and so on."""
    found: BaseException | None = error
    seen: set[int] = set()
    while found is not None and id(found) not in seen:
        seen.add(id(found))
        yield found
        found = found.__cause__ or found.__context__
