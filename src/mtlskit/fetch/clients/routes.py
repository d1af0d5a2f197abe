"""Which context a connection to an origin is made with: the binding's own, or one without a certificate. Owns I14 here.

The only module of the mounts that looks into a binding. A binding may go on with another certificate: each content has
a context of its own, so that a pool whose key is the context never mixes them.
"""

from __future__ import annotations

import re
import ssl
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property, lru_cache, partial
from typing import TypeAlias

from cryptography import x509

from mtlskit.backends.stdlib import StdlibBackend
from mtlskit.core.certificates import SigningChain
from mtlskit.errors import ConfigurationError, InvalidName, OriginNotAllowed
from mtlskit.fetch import preflight
from mtlskit.fetch.binding import AsyncBinding, Binding
from mtlskit.fetch.clients.sealed import SealedContext
from mtlskit.fetch.targets import BoundOrigins, Origin, Target
from mtlskit.ports import Backend, ClientConfiguration, ServerTrust

AnyBinding: TypeAlias = Binding | AsyncBinding
Trust: TypeAlias = ServerTrust | tuple[x509.Certificate, ...]
_HTTP = ("http/1.1",)
_HTTPS = 443
_HOST = re.compile(r"[^\s/?#@\\%]+", re.ASCII)  # nothing that ends a host in a URL


class Routes:
    """The contexts for the origins of one binding, and for all others. May be shared between threads and tasks."""

    def __init__(self, binding: AnyBinding) -> None:
        """Raises ConfigurationError for a binding without origins, CertificateError for an unusable certificate."""
        self._binding = checked(binding)
        self._origins = binding.origins
        if not self._origins:
            raise ConfigurationError(
                f"expected a binding with origins, since another library decides where requests go, got {binding!r}"
            )
        self.plain = SealedContext(binding._plain.context())
        self.covers = lru_cache(maxsize=1024)(partial(_is_covered, self._origins))
        self._certified = self._made()
        self._usable()

    def context(self, scheme: str, host: str, port: int | None) -> SealedContext:
        """The context for that origin, in the form that the library connects to: `plain`, or one with the certificate.

        Raises OriginNotAllowed for another scheme than https, CertificateError for a certificate not usable now.
        """
        if scheme not in ("https", "wss"):
            raise OriginNotAllowed(f"expected an 'https' URL where a binding is mounted, got {scheme[:32]!r}")
        return self._usable().sealed if self.covers(host, port) else self.plain

    @cached_property
    def proxy(self) -> SealedContext:
        """As `plain`, for TLS to a proxy. Always of `ssl`: httpx takes only its sockets for TLS that can carry TLS."""
        return SealedContext(_context(StdlibBackend(), None, _trust(self._binding), _HTTP))

    def _usable(self) -> _Certified:
        certified = self._certified
        if certified.lane is not self._binding._lane_now():
            certified = self._certified = self._made()
        certified.check(self._binding._clock())
        return certified

    def _made(self) -> _Certified:
        lane = self._binding._lane_now()
        sealed = SealedContext(lane.context(), admission(self._origins))
        return _Certified.of(lane, sealed, _chain(lane.chain))


@dataclass(frozen=True, slots=True)
class _Certified:
    """One content of certificate, and when it is good."""

    lane: object
    sealed: SealedContext
    chain: SigningChain
    begin: datetime
    end: datetime

    @classmethod
    def of(cls, lane: object, sealed: SealedContext, chain: SigningChain) -> _Certified:
        preflight.check_purpose(chain.certificate)
        begin = max(each.not_valid_before_utc for each in chain.certificates)
        return cls(lane, sealed, chain, begin, min(each.not_valid_after_utc for each in chain.certificates))

    def check(self, now: datetime) -> None:
        if not self.begin <= now <= self.end:
            preflight.check_usable(self.chain, now)


@dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """What a binding connects with: for libraries that take no context, and for other contexts. Never to be kept."""

    backend: Backend
    chain: SigningChain
    trust: Trust

    @classmethod
    def of(cls, binding: AnyBinding) -> Material:
        """That of the binding's present certificate. Raises CertificateError where that is not usable now."""
        chain = _chain(checked(binding)._lane_now().chain)
        preflight.check_usable(chain, binding._clock())
        return cls(backend=binding._plain._connector.backend, chain=chain, trust=_trust(binding))

    def context(self, alpn: tuple[str, ...]) -> ssl.SSLContext:
        """A new context that verifies the server, offers the chain, and these application protocols."""
        return _context(self.backend, self.chain, self.trust, alpn)


def checked(binding: AnyBinding) -> AnyBinding:
    """The binding; raises ConfigurationError for anything else."""
    if not isinstance(binding, Binding | AsyncBinding):
        raise ConfigurationError(f"expected a binding of an environment, got {type(binding).__name__}")
    return binding


def admission(origins: BoundOrigins) -> partial[bool] | None:
    """Tells which server names these origins have; none where there are no origins."""
    return partial(_has_host, origins) if origins else None


def _context(backend: Backend, chain: SigningChain | None, trust: Trust, alpn: tuple[str, ...]) -> ssl.SSLContext:
    return backend.client_context(ClientConfiguration(chain=chain, trust=trust, alpn=alpn))


def _trust(binding: AnyBinding) -> Trust:
    return binding._plain._connector.trust


def _chain(chain: SigningChain | None) -> SigningChain:
    assert chain is not None
    return chain


def _is_covered(origins: BoundOrigins, host: str, port: int | None) -> bool:
    """Whether that origin is one of `origins`."""
    origin = _origin(host, _HTTPS if port is None else port)
    return origin is not None and origin in origins


def _has_host(origins: BoundOrigins, host: str) -> bool:
    return any(_is_covered(origins, host, pattern.port) for pattern in origins.patterns)


def _origin(host: str, port: int) -> Origin | None:
    """The origin that is meant; None for what is no host of a URL, which is then nobody's."""
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if not bare.isascii() or not _HOST.fullmatch(bare):
        return None
    try:
        return Target.parse(f"https://{Origin(bare, port).netloc}/").origin
    except (ConfigurationError, InvalidName):
        return None
