"""The record of one customer hostname: what it serves with, whom it trusts, and what it asks of clients."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from mtlskit.core.certificates import SigningChain, read_sans
from mtlskit.core.evidence import Resumption, TLSVersion
from mtlskit.core.names import HostnamePattern, SanType
from mtlskit.core.policy import AccessPolicy, CompiledPolicies, compile_policies
from mtlskit.core.rules.asking import Asked
from mtlskit.core.validation import RevocationFallback, RevocationMode, TrustStore
from mtlskit.errors import ConfigurationError, InvalidName


class ClientAuth(StrEnum):
    """What a hostname asks of its clients."""

    NONE = "none"  # no certificate is asked for; there is no identity
    OPTIONAL = "optional"  # one that comes must be good; who has none meets the policies, if there are any
    REQUIRED = "required"  # nobody gets in without one


class Enforcement(StrEnum):
    """Where a bad or missing certificate is answered."""

    HANDSHAKE = "handshake"  # a TLS alert
    REQUEST = "request"  # the handshake completes; 403 with a reason code. Needs a backend that can collect


class PolicyMode(StrEnum):
    """What becomes of a request that the policies deny. Certificates are verified and revoked ones refused in both."""

    ENFORCE = "enforce"  # it is refused
    MONITOR = "monitor"  # it is recorded and passes, marked as unenforced


@dataclass(frozen=True, slots=True, kw_only=True)
class CustomHostname:
    """One hostname, or one-label wildcard, as it stands in the store. `version` grows with every change.

    `lists` are the sources of revocation lists, each in DER or as a URL (`https:`, `http:`, `file:`); whoever judges
    reads them into the trust store, whose lists are the ones that count. `judges_each_request` says whether the
    policies could say something else of the same client's next request.

    Raises ConfigurationError for what could never let anybody in, or would let in too many.
    """

    pattern: HostnamePattern
    client_auth: ClientAuth
    trust: TrustStore
    enforce: Enforcement = Enforcement.HANDSHAKE
    policies: tuple[AccessPolicy, ...] = ()
    policy_mode: PolicyMode = PolicyMode.ENFORCE
    server: SigningChain | None = None
    minimum_version: TLSVersion = TLSVersion.TLS_1_2
    resumption: Resumption = Resumption.NONE
    revocation: RevocationMode = RevocationMode.OFF
    revocation_unknown: RevocationFallback = RevocationFallback.DENY
    revocation_stale: RevocationFallback = RevocationFallback.DENY
    lists: tuple[bytes | str, ...] = ()
    metadata: Mapping[str, str] = field(default_factory=dict)
    version: int = 0
    admits: CompiledPolicies = field(init=False, repr=False, compare=False)
    judges_each_request: bool = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "admits", compile_policies(self.policies))
        is_varying = not self.admits.asks.isdisjoint((Asked.REQUEST, Asked.TIME))
        object.__setattr__(self, "judges_each_request", is_varying)
        if self.client_auth is ClientAuth.NONE:
            self._check_open()
        elif not self.trust.anchors:
            raise ConfigurationError(f"expected trust anchors for {str(self.pattern)!r}, which wants certificates")
        if self.lists and self.revocation is RevocationMode.OFF:
            raise ConfigurationError(f"expected revocation 'leaf' or 'path' with lists, got {self.revocation.value!r}")
        if self.server is not None:
            self._check_server(self.server)

    def _check_open(self) -> None:
        if self.trust.anchors or self.policies or self.lists:
            raise ConfigurationError(
                f"expected neither trust anchors nor policies nor lists for {str(self.pattern)!r}, "
                "which wants no certificates"
            )

    def _check_server(self, server: SigningChain) -> None:
        names = [san.value for san in read_sans(server.certificate) if san.type is SanType.DNS]
        if not any(_covers(name, self.pattern) for name in names):
            raise ConfigurationError(f"expected a server certificate for {str(self.pattern)!r}, got one for {names!r}")


def _covers(san: str, pattern: HostnamePattern) -> bool:
    try:
        presented = HostnamePattern.parse(san)
    except InvalidName:
        return False
    return presented == pattern or (not pattern.wildcard and presented.matches(pattern.base))
