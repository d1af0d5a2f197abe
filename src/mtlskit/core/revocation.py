"""Revocation documents: lists (RFC 5280, 5) and OCSP responses (RFC 6960) as values.

A `RevocationList` is read and indexed once, off the event loop if it is long, and given to a `TrustStore`; a new
one takes its place in a new store, so a reader never sees half of one. `verify_path` decides what counts.
"""

from mtlskit.core.validation.lists import RevocationList
from mtlskit.core.validation.ocsp import OCSPEvidence

__all__ = ["OCSPEvidence", "RevocationList"]
