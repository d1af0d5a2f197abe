"""Bindings in httpx2: `httpx2.Client(transport=transport(binding))`, and `async_transport` for `httpx2.AsyncClient`.

With a transport, a client uses neither its own `verify` and `cert` nor the environment; a `proxy` or `mounts` given to
the *client* would go round it.
"""

from __future__ import annotations

from typing import Any

from mtlskit.errors import ConfigurationError
from mtlskit.fetch.clients.routes import AnyBinding
from mtlskit.fetch.clients.transports import blocking, of_tasks

try:
    import httpx2
except ImportError as error:
    raise ConfigurationError("expected the distribution 'httpx2' (pip install httpx2), got none") from error


def transport(binding: AnyBinding, *, proxy: str | None = None, **options: Any) -> httpx2.BaseTransport:
    """A transport that offers the binding's certificate to its origins, and none to any other server.

    `proxy` is the URL of one, which sees no certificate; `options` are the others of `httpx2.HTTPTransport`, but those
    of TLS, and HTTP/2, which is not spoken. A request that is not for https raises OriginNotAllowed.

    Raises ConfigurationError for a binding without origins, CertificateError for a certificate not usable now.
    """
    found: httpx2.BaseTransport = blocking(httpx2, binding, proxy, options)
    return found


def async_transport(binding: AnyBinding, *, proxy: str | None = None, **options: Any) -> httpx2.AsyncBaseTransport:
    """As `transport`, for `httpx2.AsyncClient`."""
    found: httpx2.AsyncBaseTransport = of_tasks(httpx2, binding, proxy, options)
    return found
