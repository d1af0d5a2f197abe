"""Bindings in niquests (3.13 and later): `mount(session, binding)`, for its `Session` and its `AsyncSession`.

niquests speaks HTTP/3 over a TLS that takes no context, and can be told to use another one for the rest too. Here
HTTP/2 and 3 are off, and another TLS is refused.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from mtlskit.errors import ConfigurationError
from mtlskit.fetch.clients.routes import AnyBinding, Routes

try:
    import niquests
    from niquests.adapters import AsyncHTTPAdapter, HTTPAdapter
    from niquests.packages.urllib3.connection import HTTPSConnection
    from niquests.packages.urllib3.util import parse_url
    from niquests.utils import prepend_scheme_if_needed, select_proxy
except ImportError as error:
    raise ConfigurationError("expected the distribution 'niquests' (pip install niquests), got none") from error

_EVERYWHERE = ("https://", "http://", "http+unix://")


def mount(session: niquests.Session, binding: AnyBinding, **options: Any) -> None:
    """Sends what the session sends through `adapter(binding)`, or `async_adapter`; the environment no longer counts.

    (niquests would take proxies, roots and, from netrc, passwords from there.) Adapters with a longer prefix that the
    session has of its own stay. `options` are those of `niquests.adapters.HTTPAdapter`, but those of TLS and of
    HTTP/1, 2 and 3; the session's own `resolver`, `retries` and the like do not count.

    Raises ConfigurationError for a binding without origins, CertificateError for a certificate not usable now.
    """
    is_async = isinstance(session, niquests.AsyncSession)
    mounted: Any = async_adapter(binding, **options) if is_async else adapter(binding, **options)
    session.trust_env = False
    for prefix in _EVERYWHERE:
        type(session).mount(session, prefix, mounted)
    # A session that is used after it was closed mounts adapters of its own, if it has a resolver of its own.
    vars(session)["mount"] = partial(_mount_beside, session)


def adapter(binding: AnyBinding, **options: Any) -> HTTPAdapter:
    """An adapter that offers the binding's certificate to its origins, and none to any other server.

    All are verified with the binding's trust: a request with a `verify` or `cert` of its own raises ConfigurationError,
    and what is not for https or wss OriginNotAllowed.
    """
    return _Adapter(_routes(binding), options)


def async_adapter(binding: AnyBinding, **options: Any) -> AsyncHTTPAdapter:
    """As `adapter`, for `niquests.AsyncSession`."""
    return _AsyncAdapter(_routes(binding), options)


def _routes(binding: AnyBinding) -> Routes:
    """Raises as `Routes`, and ConfigurationError where niquests would make a context of another TLS from ours."""
    routes = Routes(binding)
    if HTTPSConnection("localhost", ssl_context=routes.plain).ssl_context is not routes.plain:
        raise ConfigurationError("expected niquests on Python's own 'ssl', got it on another TLS (rtls or utls)")
    return routes


def _mount_beside(session: niquests.Session, prefix: str, adapter: Any) -> None:
    if prefix in _EVERYWHERE:
        raise ConfigurationError(f"expected a session that keeps its binding, got another adapter for {prefix!r}")
    type(session).mount(session, prefix, adapter)


_Base: Any = object  # `HTTPAdapter` or `AsyncHTTPAdapter` comes beside it


class _Routed(_Base):
    """Gives each origin its context, which is part of what niquests finds a pool by."""

    def __init__(self, routes: Routes, options: dict[str, Any]) -> None:
        self._routes = routes
        super().__init__(**options, disable_http1=False, disable_http2=True, disable_http3=True, tls_configuration=None)

    def get_connection(self, url: str, proxies: Any = None) -> Any:
        """The pool of the request's origin and context, or, for an AsyncSession, what gives it when awaited."""
        parts, proxy = parse_url(url), select_proxy(url, proxies)
        context = self._routes.context(parts.scheme or "", parts.host or "", parts.port)
        manager = self.proxy_manager_for(prepend_scheme_if_needed(proxy, "http")) if proxy else self.poolmanager
        return manager.connection_from_url(url, {"ssl_context": context})

    def proxy_manager_for(self, proxy: str, **options: Any) -> Any:
        """A proxy's pools; TLS to the proxy itself has no certificate."""
        if not proxy.lower().startswith("socks"):
            options["proxy_ssl_context"] = self._routes.proxy
        return super().proxy_manager_for(proxy, **options)

    def cert_verify(self, conn: Any, url: str, verify: Any, cert: Any) -> Any:
        """Changes nothing in the pool, unlike what it takes the place of."""
        if verify is not True or cert:
            raise ConfigurationError(
                f"expected a request that leaves TLS to the binding, got verify={verify!r} or a certificate of its own"
            )
        return False


class _Adapter(_Routed, HTTPAdapter):
    """For blocking sessions."""


class _AsyncAdapter(_Routed, AsyncHTTPAdapter):
    """For sessions of tasks."""
