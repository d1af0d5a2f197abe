"""Bindings in gRPC: `grpc.secure_channel(target, channel_credentials(binding))`, and the same with `grpc.aio`."""

from __future__ import annotations

import certifi
from cryptography.hazmat.primitives import serialization

from mtlskit.core.certificates import SigningChain, to_pem
from mtlskit.errors import ConfigurationError
from mtlskit.fetch.clients.routes import AnyBinding, Material
from mtlskit.ports import ServerTrust

try:
    import grpc
except ImportError as error:
    raise ConfigurationError("expected the distribution 'grpcio' (pip install grpcio), got none") from error


def channel_credentials(binding: AnyBinding) -> grpc.ChannelCredentials:
    """Credentials with the binding's present certificate, its key handed over in memory and to gRPC alone.

    They go where the caller opens the channel to: origins are not looked at. gRPC has a TLS of its own, not the
    binding's backend. Raises ConfigurationError for the trust "system", CertificateError for a certificate that is not
    usable now.
    """
    material = Material.of(binding)
    roots = _roots(material)
    # No variable here has the key: what fails would show it to whoever logs local variables.
    return grpc.ssl_channel_credentials(roots, _key_pem(material.chain), material.chain.chain_pem())


def _roots(material: Material) -> bytes:
    match material.trust:
        case ServerTrust.CERTIFI:
            return certifi.contents().encode("ascii")
        case ServerTrust.SYSTEM:
            raise ConfigurationError("expected roots or 'certifi' as trust of a binding for gRPC, got 'system'")
        case roots:
            return to_pem(roots)


def _key_pem(chain: SigningChain) -> bytes:
    return chain.private_key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
