"""Bindings in requests (2.32.2 and later): `mount(session, binding)`."""

from __future__ import annotations

import sys
from typing import Any

from mtlskit.errors import ConfigurationError
from mtlskit.fetch.clients.routes import AnyBinding, Routes

try:
    import requests
    from requests.adapters import HTTPAdapter
except ImportError as error:
    raise ConfigurationError("expected the distribution 'requests' (pip install requests), got none") from error

if not hasattr(HTTPAdapter, "build_connection_pool_key_attributes"):
    raise ConfigurationError("expected requests 2.32.2 or later, got one that asks for no context")
if hasattr(sys.modules["urllib3"], "HttpVersion"):
    # It leaves for HTTP/3, whose TLS takes no context, and for other ports, wherever a server says so.
    raise ConfigurationError("expected requests on urllib3, got it on urllib3.future, which comes with niquests")


def mount(session: requests.Session, binding: AnyBinding, **options: Any) -> None:
    """Sends what the session sends through `adapter(binding)`; the environment counts for nothing in it any more.

    (requests would take proxies, roots and, from netrc, passwords from there.) Adapters with a longer prefix that the
    session has of its own stay. `options` are those of `requests.adapters.HTTPAdapter`.

    Raises ConfigurationError for a binding without origins, CertificateError for a certificate not usable now.
    """
    mounted = adapter(binding, **options)
    session.trust_env = False
    for prefix in ("https://", "http://"):
        session.mount(prefix, mounted)


def adapter(binding: AnyBinding, **options: Any) -> HTTPAdapter:
    """An adapter that offers the binding's certificate to its origins, and none to any other server.

    All are verified with the binding's trust: a request with `verify=False`, or with a `cert` of its own, raises
    ConfigurationError, other roots count for nothing, and what is not for https raises OriginNotAllowed.
    """
    return _Adapter(Routes(binding), options)


class _Adapter(HTTPAdapter):
    """The seam is the one that requests documents for contexts: which pool, and so which context, a request gets."""

    def __init__(self, routes: Routes, options: dict[str, Any]) -> None:
        self._routes = routes
        super().__init__(**options)

    def build_connection_pool_key_attributes(
        self, request: Any, verify: Any, cert: Any = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """The pool of the request's origin and context."""
        if not verify or cert:
            raise ConfigurationError(
                f"expected a request that leaves TLS to the binding, got verify={verify!r} or a certificate of its own"
            )
        host, _ = super().build_connection_pool_key_attributes(request, True)
        return host, {"ssl_context": self._routes.context(host["scheme"], host["host"] or "", host["port"])}

    def cert_verify(self, conn: Any, url: str, verify: Any, cert: Any) -> None:
        """Nothing: it would have urllib3 load other roots into the context."""

    def proxy_manager_for(self, proxy: str, **options: Any) -> Any:
        """A proxy's pools; TLS to the proxy itself has no certificate."""
        if not proxy.lower().startswith("socks"):
            options["proxy_ssl_context"] = self._routes.proxy
        return super().proxy_manager_for(proxy, **options)
