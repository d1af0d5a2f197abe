"""Bindings in urllib3 (2 and later): `pool_manager(binding)`."""

from __future__ import annotations

from typing import Any

from mtlskit.errors import ConfigurationError
from mtlskit.fetch.clients.routes import AnyBinding, Routes

try:
    import urllib3
except ImportError as error:
    raise ConfigurationError("expected the distribution 'urllib3' (pip install urllib3), got none") from error

if hasattr(urllib3, "HttpVersion"):
    # It leaves for HTTP/3, whose TLS takes no context, and for other ports, wherever a server says so.
    raise ConfigurationError("expected urllib3, got urllib3.future in its place, which comes with niquests")


def pool_manager(binding: AnyBinding, *, proxy: str | None = None, **options: Any) -> urllib3.PoolManager:
    """A pool manager that offers the binding's certificate to its origins, and none to any other server.

    `proxy` is the URL of one, which sees no certificate; `options` are the others of `urllib3.PoolManager`, but those
    of TLS: with them a request raises ConfigurationError. What is not for https raises OriginNotAllowed.

    Raises ConfigurationError for a binding without origins, CertificateError for a certificate not usable now.
    """
    routes = Routes(binding)
    if proxy is None:
        return _Pools(routes, **options)
    return _PoolsBehindProxy(
        routes, proxy_url=proxy, proxy_ssl_context=routes.proxy, use_forwarding_for_https=False, **options
    )


class _Pools(urllib3.PoolManager):
    """Straight to the origin. Its context is part of what urllib3 finds a pool by."""

    def __init__(self, routes: Routes, **options: Any) -> None:
        self._routes = routes
        super().__init__(**options)

    def connection_from_context(self, request_context: dict[str, Any]) -> Any:
        """The pool of that origin."""
        context = self._routes.context(request_context["scheme"], request_context["host"], request_context.get("port"))
        request_context["ssl_context"] = context
        return super().connection_from_context(request_context)


class _PoolsBehindProxy(urllib3.ProxyManager):
    """Through a tunnel. Later than here, what is not for https would be a request to the proxy."""

    def __init__(self, routes: Routes, **options: Any) -> None:
        self._routes = routes
        super().__init__(**options)

    def connection_from_host(
        self,
        host: str | None,
        port: int | None = None,
        scheme: str | None = "http",
        pool_kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """The pool of that origin."""
        context = self._routes.context(scheme or "http", host or "", port)
        return super().connection_from_host(host, port, scheme, {**(pool_kwargs or {}), "ssl_context": context})
