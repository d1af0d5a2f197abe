"""The events that the audit log has rows of. What each says stands in docs/reference/audit.md, which lists the same."""

from __future__ import annotations

from typing import Final

EVENTS: Final = (
    "authority.created",
    "authority.prepared",
    "authority.cross_certified",
    "authority.activated",
    "authority.retired",
    "authority.exported",
    "certificate.denied",
    "certificate.reserved",
    "certificate.issued",
    "certificate.recorded",
    "certificate.revoked",
    "certificate.released",
    "key.compromised",
    "crl.numbered",
    "crl.signed",
    "ocsp.started",
    "hostname.added",
    "hostname.replaced",
    "hostname.removed",
    "client_certificate.uploaded",
    "client_certificate.replaced",
    "client_certificate.deleted",
    "ca_certificate.uploaded",
    "ca_certificate.replaced",
    "ca_certificate.deleted",
    "keys.resealed",
)
