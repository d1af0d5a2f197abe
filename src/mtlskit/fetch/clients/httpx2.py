"""Bindings in httpx2: `httpx2.Client(transport=transport(binding))`, and `async_transport` for `httpx2.AsyncClient`.

With a transport, a client uses neither its own `verify` and `cert` nor the environment; a `proxy` or `mounts` given to
the *client* would go round it.
"""

from __future__ import annotations

from typing import Any

from mtlskit.errors import ConfigurationError
from mtlskit.fetch.clients.routes import AnyBinding, Routes
from mtlskit.fetch.clients.sealed import SealedContext
from mtlskit.fetch.clients.transports import AsyncTransport, Lanes, Transport

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
    routes = Routes(binding)
    return _Transport(
        Lanes(routes, lambda context: httpx2.HTTPTransport(**_settings(context, routes, proxy), **options))
    )


def async_transport(binding: AnyBinding, *, proxy: str | None = None, **options: Any) -> httpx2.AsyncBaseTransport:
    """As `transport`, for `httpx2.AsyncClient`."""
    routes = Routes(binding)
    return _AsyncTransport(
        Lanes(routes, lambda context: httpx2.AsyncHTTPTransport(**_settings(context, routes, proxy), **options))
    )


class _Transport(Transport, httpx2.BaseTransport):
    """The library's own kind."""


class _AsyncTransport(AsyncTransport, httpx2.AsyncBaseTransport):
    """The library's own kind."""


def _settings(context: SealedContext, routes: Routes, proxy: str | None) -> dict[str, Any]:
    found = None
    if proxy is not None:
        is_tls = httpx2.URL(proxy).scheme == "https"
        found = httpx2.Proxy(proxy, ssl_context=routes.proxy if is_tls else None)
    return {"verify": context, "trust_env": False, "proxy": found, "http1": True, "http2": False}
