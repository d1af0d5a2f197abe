"""Every exception that mtlskit raises. Foreign exceptions are mapped to these once, at the edge.

Messages are one lower-case clause that says what was expected and what came; they never hold a key or a
whole certificate.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mtlskit.core.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from cryptography import x509


class MTLSError(Exception):
    """The root of all errors of this library."""


class ConfigurationError(MTLSError):
    """Something that the operator wrote cannot be used: an option, a URL, a file, a missing extra."""


class ExpressionError(ConfigurationError):
    """A text is no expression of the rules language, as far as it is spoken here.

    `column` is the place of the first fault: a character's number in the text, from 1.
    """

    def __init__(self, message: str, column: int = 1) -> None:
        super().__init__(message)
        self.column = column


class InvalidName(MTLSError):
    """A text is not a hostname, hostname pattern or subject alternative name of the form asked for."""


class CertificateError(MTLSError):
    """Bytes are not the certificate, key, chain or request that they were given as."""


class PathError(MTLSError):
    """A certification path was refused.

    `reason` is the code to act on, `certificate` the one at fault where it is known, `facts` what was compared
    (`expired`: `moment` and `not_after`; `wrong_purpose`: `wanted` and `found`); `detail` is for people.
    """

    def __init__(
        self,
        reason: Reason,
        certificate: x509.Certificate | None = None,
        detail: str = "",
        facts: Mapping[str, object] | None = None,
    ) -> None:
        super().__init__(f"{reason.value}: {detail}" if detail else reason.value)
        self.reason = reason
        self.certificate = certificate
        self.detail = detail
        self.facts: Mapping[str, object] = facts or {}

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.reason, self.certificate, self.detail, dict(self.facts))


class IssuanceError(MTLSError):
    """The authority will not, or could not, sign what it was asked to."""


class HandshakeError(MTLSError):
    """A TLS handshake was refused. `alert` is the TLS alert's number where one was sent (RFC 8446, 6.2)."""

    def __init__(self, reason: Reason, alert: int | None = None, detail: str = "") -> None:
        super().__init__(f"{reason.value}: {detail}" if detail else reason.value)
        self.reason = reason
        self.alert = alert
        self.detail = detail

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.reason, self.alert, self.detail)


class StoreError(MTLSError):
    """The store did not do what it was asked to."""


class NotFound(StoreError):
    """No such record."""


class Conflict(StoreError):
    """A record of that key exists already, or was changed by somebody else meanwhile."""


class Unavailable(StoreError):
    """The store cannot be read or written now: locked, corrupt, full, gone."""


class OriginNotAllowed(MTLSError):
    """A binding was asked to carry its certificate to an origin that it is not bound to."""


class ClientCertificateRefused(MTLSError):
    """The origin ended the connection where a refusal of the client certificate shows.

    `alert` is the TLS alert's name where the origin sent one; without, the connection just ended. `subject` is that of
    our certificate (RFC 4514, cut), `not_after` its end (UTC-aware), `authorities` the names of the CAs that the origin
    asked for: None where that could not be seen, and none at all where it takes any.
    """

    def __init__(
        self,
        message: str,
        *,
        alert: str | None = None,
        subject: str | None = None,
        not_after: datetime | None = None,
        authorities: tuple[str, ...] | None = None,
    ) -> None:
        super().__init__(message)
        self.alert = alert
        self.subject = subject
        self.not_after = not_after
        self.authorities = authorities


class FetchError(MTLSError):
    """A request through a binding got no answer: unreachable, timed out, cut off, a redirect that is not followed."""


class UnknownBinding(ConfigurationError, AttributeError):
    """An environment has no binding of that name."""
