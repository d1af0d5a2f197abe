"""What a hostname's record means for TLS: the configuration of its own server context."""

from __future__ import annotations

from mtlskit.core.custom_hostname import ClientAuth, CustomHostname, Enforcement
from mtlskit.errors import ConfigurationError
from mtlskit.ports import ServerConfiguration, Verification


def server_configuration(hostname: CustomHostname, alpn: tuple[str, ...]) -> ServerConfiguration:
    """The configuration that a backend makes the context from; raises ConfigurationError without a server chain."""
    if hostname.server is None:
        raise ConfigurationError(f"expected a server certificate for {str(hostname.pattern)!r}, got none")
    return ServerConfiguration(
        chain=hostname.server,
        verification=_verification(hostname),
        anchors=tuple(anchor.certificate for anchor in hostname.trust.anchors),
        intermediates=hostname.trust.intermediates,
        minimum_version=hostname.minimum_version,
        alpn=alpn,
        resumption=hostname.resumption,
    )


def _verification(hostname: CustomHostname) -> Verification:
    if hostname.client_auth is ClientAuth.NONE:
        return Verification.NONE
    if hostname.enforce is Enforcement.REQUEST:
        return Verification.COLLECT
    required = hostname.client_auth is ClientAuth.REQUIRED
    return Verification.REQUIRED if required else Verification.OPTIONAL
