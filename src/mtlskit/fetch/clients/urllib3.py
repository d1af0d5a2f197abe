"""Bindings in urllib3 (2 and later): `pool_manager(binding)`."""

from __future__ import annotations

from typing import Any

from mtlskit.errors import ConfigurationError
from mtlskit.fetch.clients.routes import AnyBinding, Routes

try:
    import urllib3
except ImportError as error:
    raise ConfigurationError("expected the distribution 'urllib3' (pip install urllib3), got none") from error


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


_Base: Any = object  # `PoolManager` or `ProxyManager` comes beside it


class _Routed(_Base):
    """Gives each origin its context, which is part of what urllib3 finds a pool by."""

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


class _Pools(_Routed, urllib3.PoolManager):
    """Straight to the origin."""


class _PoolsBehindProxy(_Routed, urllib3.ProxyManager):
    """Through a tunnel."""
