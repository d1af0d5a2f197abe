"""Bindings in httpx: `httpx.Client(transport=transport(binding))`, and `async_transport` for `httpx.AsyncClient`.

With a transport, a client uses neither its own `verify` and `cert` nor the environment; a `proxy` or `mounts` given to
the *client* would go round it.
"""

from __future__ import annotations

from typing import Any

from mtlskit.errors import ConfigurationError
from mtlskit.fetch.clients.routes import AnyBinding
from mtlskit.fetch.clients.transports import blocking, of_tasks

try:
    import httpx
except ImportError as error:
    raise ConfigurationError("expected the distribution 'httpx' (pip install httpx), got none") from error


def transport(binding: AnyBinding, *, proxy: str | None = None, **options: Any) -> httpx.BaseTransport:
    """A transport that offers the binding's certificate to its origins, and none to any other server.

    `proxy` is the URL of one, which sees no certificate; `options` are the others of `httpx.HTTPTransport`, but those
    of TLS, and HTTP/2, which is not spoken. A request that is not for https raises OriginNotAllowed.

    Raises ConfigurationError for a binding without origins, CertificateError for a certificate not usable now.
    """
    found: httpx.BaseTransport = blocking(httpx, binding, proxy, options)
    return found


def async_transport(binding: AnyBinding, *, proxy: str | None = None, **options: Any) -> httpx.AsyncBaseTransport:
    """As `transport`, for `httpx.AsyncClient`."""
    found: httpx.AsyncBaseTransport = of_tasks(httpx, binding, proxy, options)
    return found
