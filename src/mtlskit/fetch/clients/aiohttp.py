"""Bindings in aiohttp: `aiohttp.ClientSession(connector=connector(binding))`."""

from __future__ import annotations

import ssl
from typing import Any

from mtlskit.errors import ConfigurationError
from mtlskit.fetch.clients.routes import AnyBinding, Routes

try:
    import aiohttp
except ImportError as error:
    raise ConfigurationError("expected the distribution 'aiohttp' (pip install aiohttp), got none") from error


def connector(binding: AnyBinding, **options: Any) -> aiohttp.TCPConnector:
    """A connector that offers the binding's certificate to its origins, and none to any other server, nor to a proxy.

    To be made in a coroutine. `options` are those of `aiohttp.TCPConnector`, but those of TLS. All servers are verified
    with the binding's trust: a request with an `ssl` of its own raises ConfigurationError, and one that is not for
    https or wss OriginNotAllowed.

    Raises ConfigurationError for a binding without origins, CertificateError for a certificate not usable now.
    """
    return _Connector(Routes(binding), options)


class _Connector(aiohttp.TCPConnector):
    """Sets the context of each request, which is part of what aiohttp finds a connection by."""

    def __init__(self, routes: Routes, options: dict[str, Any]) -> None:
        self._routes = routes
        super().__init__(ssl=routes.plain, **options)  # if aiohttp were not to ask us: no certificate

    def connect(self, req: Any, traces: Any, timeout: Any) -> Any:
        """A connection for the request, when awaited: itself a coroutine, it would cost every request one more."""
        if req.ssl is not True:
            raise ConfigurationError(f"expected a request that leaves TLS to the binding, got ssl={req.ssl!r}")
        url = req.url
        req._ssl = req._bound = context = self._routes.context(url.scheme, url.raw_host or "", url.port)
        if req.server_hostname is not None:
            context.check_server(req.server_hostname)  # here, because asyncio would not tell what a context raises
        return super().connect(req, traces, timeout)

    def _get_ssl_context(self, req: Any) -> ssl.SSLContext | None:
        if not req.is_ssl():
            return None  # a proxy without TLS
        # What goes to a proxy is another request, with the `ssl` of the one for the origin behind it.
        return getattr(req, "_bound", self._routes.plain)
