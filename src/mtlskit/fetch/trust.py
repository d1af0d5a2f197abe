"""Which servers are trusted: what a caller or a file says of it, and the roots that it stands for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TypeAlias

from cryptography import x509

from mtlskit.core.certificates import read_certificates
from mtlskit.core.given import instances, shown
from mtlskit.errors import ConfigurationError, NotFound
from mtlskit.fetch.sources import content_of
from mtlskit.fetch.upload_authorities import AuthorityUploads
from mtlskit.ports import ServerTrust, Store

Trust: TypeAlias = ServerTrust | str | Sequence[x509.Certificate]


def trusted(trust: Trust, store: Store | None) -> ServerTrust | tuple[x509.Certificate, ...]:
    """What to trust for "certifi", "system", root certificates, or the id of uploaded CA certificates.

    Raises ConfigurationError for anything else, StoreError for an upload that cannot be read.
    """
    if not isinstance(trust, str):
        return _roots(trust)
    if trust in ServerTrust.__members__.values():
        return ServerTrust(trust)
    if store is None:
        raise _unknown(f"{shown(trust)} and no store")
    return uploaded_roots(trust, store)


def uploaded_roots(certificate_id: str, store: Store) -> tuple[x509.Certificate, ...]:
    """The CA certificates of that id; raises ConfigurationError where there are none, StoreError."""
    try:
        return AuthorityUploads(store).certificates(certificate_id)
    except NotFound:
        raise _unknown(f"{shown(certificate_id)}") from None


def roots_in(file: Path) -> tuple[x509.Certificate, ...]:
    """The root certificates in a file (PEM); raises ConfigurationError, CertificateError."""
    return read_certificates(content_of(file).octets(), what="root certificates to trust")


def _unknown(got: str) -> ConfigurationError:
    return ConfigurationError(
        f"expected 'certifi', 'system', root certificates or the id of uploaded CA certificates as trust, got {got}"
    )


def _roots(trust: Sequence[x509.Certificate]) -> tuple[x509.Certificate, ...]:
    roots = instances(x509.Certificate, trust, "trust")
    if not roots:
        raise ConfigurationError("expected root certificates to trust, got none")
    return roots
