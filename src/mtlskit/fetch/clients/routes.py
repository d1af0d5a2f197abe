"""Which context a connection to an origin is made with: the binding's own, or one without a certificate. Owns I14 here.

The only module of the mounts that looks into a binding. A binding may go on with another certificate: each content has
a context of its own, so that a pool whose key is the context never mixes them.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property, lru_cache
from typing import TypeAlias

from cryptography import x509

from mtlskit.core.certificates import SigningChain
from mtlskit.errors import ConfigurationError, OriginNotAllowed
from mtlskit.fetch import preflight
from mtlskit.fetch.binding import AsyncBinding, Binding
from mtlskit.fetch.contexts import SealedContext
from mtlskit.fetch.upload_records import utc_now
from mtlskit.ports import ServerTrust

AnyBinding: TypeAlias = Binding | AsyncBinding
Trust: TypeAlias = ServerTrust | tuple[x509.Certificate, ...]
_HTTP = ("http/1.1",)
_SCHEMES = frozenset(("https", "wss"))


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
        self.plain = binding._plain.sealed(_HTTP)
        self.covers = lru_cache(maxsize=1024)(self._origins.covers)
        self._current = binding._bound.source.current
        self._now = _seconds(binding._clock)
        self._certified = self._made()
        self._usable()

    def context(self, scheme: str, host: str, port: int | None) -> SealedContext:
        """The context for that origin, in the form that the library connects to: `plain`, or one with the certificate.

        Raises OriginNotAllowed for another scheme than https, CertificateError for a certificate not usable now.
        """
        if scheme not in _SCHEMES:
            raise OriginNotAllowed(f"expected an 'https' URL where a binding is mounted, got {scheme[:32]!r}")
        return self._usable().sealed if self.covers(host, port) else self.plain

    @cached_property
    def proxy(self) -> SealedContext:
        """As `plain`, for TLS to a proxy. Always of `ssl`: httpx takes only its sockets for TLS that can carry TLS."""
        return SealedContext(self._binding._plain._connector.proxy_context())

    def _usable(self) -> _Certified:
        # Every request comes by here: what is compared is what costs least.
        certified = self._certified
        if certified.chain is not self._current():
            certified = self._certified = self._changed(certified)
        if not certified.begin <= self._now() <= certified.end:
            preflight.check_usable(certified.chain, self._binding._clock())
        return certified

    def _changed(self, certified: _Certified) -> _Certified:
        lane = self._binding._lane_now()
        return replace(certified, chain=_chain(lane.chain)) if lane is certified.lane else self._made()

    def _made(self) -> _Certified:
        lane = self._binding._lane_now()
        sealed = lane.sealed(_HTTP, self._origins.admits)
        return _Certified.of(lane, sealed, _chain(lane.chain))


@dataclass(frozen=True, slots=True)
class _Certified:
    """One content of certificate, and when it is good, in seconds since 1970."""

    lane: object
    sealed: SealedContext
    chain: SigningChain
    begin: float
    end: float

    @classmethod
    def of(cls, lane: object, sealed: SealedContext, chain: SigningChain) -> _Certified:
        preflight.check_purpose(chain.certificate)
        begin = max(each.not_valid_before_utc for each in chain.certificates)
        end = min(each.not_valid_after_utc for each in chain.certificates)
        return cls(lane, sealed, chain, begin.timestamp(), end.timestamp())


@dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """What a binding connects with: for libraries that take no context. Never to be kept."""

    chain: SigningChain
    trust: Trust

    @classmethod
    def of(cls, binding: AnyBinding) -> Material:
        """That of the binding's present certificate. Raises CertificateError where that is not usable now."""
        chain = _chain(checked(binding)._lane_now().chain)
        preflight.check_usable(chain, binding._clock())
        return cls(chain=chain, trust=binding._plain._connector.trust)


def checked(binding: AnyBinding) -> AnyBinding:
    """The binding; raises ConfigurationError for anything else."""
    if not isinstance(binding, Binding | AsyncBinding):
        raise ConfigurationError(f"expected a binding of an environment, got {type(binding).__name__}")
    return binding


def _seconds(clock: Callable[[], datetime]) -> Callable[[], float]:
    """The clock in seconds since 1970; the usual one without a date in between, which would cost as much again."""
    return time.time if clock is utc_now else lambda: clock().timestamp()


def _chain(chain: SigningChain | None) -> SigningChain:
    assert chain is not None
    return chain
