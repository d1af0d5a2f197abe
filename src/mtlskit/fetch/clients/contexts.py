"""Contexts for protocols other than HTTP: databases, brokers, mail."""

from __future__ import annotations

from collections.abc import Sequence

from mtlskit.fetch.clients.routes import AnyBinding, Material, admission
from mtlskit.fetch.clients.sealed import SealedContext


def ssl_context(binding: AnyBinding, *, alpn: Sequence[str] = ()) -> SealedContext:
    """A context with the binding's present certificate, for whatever takes an `ssl.SSLContext`.

    Unlike `binding.ssl_context()` it cannot be changed by who gets it, and offers no HTTP: `alpn` says which
    application protocols it offers. The server is verified; where the binding has origins, it must be the host of
    one of them.

    Raises CertificateError for a certificate that is not usable now.
    """
    return SealedContext(Material.of(binding).context(tuple(alpn)), admission(binding.origins))
