"""The standard library's `ssl` as a backend: plain contexts, with evidence on the server's objects."""

from __future__ import annotations

import os
import ssl
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from secrets import token_hex
from typing import Any

import certifi
from cryptography import x509

from mtlskit.backends.certificate_requests import SSL_TELLS, tell_of_ssl
from mtlskit.backends.resumption import ChainMemory
from mtlskit.core.certificates import PresentedChain, SigningChain, to_der
from mtlskit.core.evidence import PeerEvidence, Resumption, TLSVersion
from mtlskit.errors import ConfigurationError
from mtlskit.ports import (
    Capabilities,
    ClientConfiguration,
    ServerConfiguration,
    ServerTrust,
    Verification,
)

MINIMUM_VERSIONS = {TLSVersion.TLS_1_2: ssl.TLSVersion.TLSv1_2, TLSVersion.TLS_1_3: ssl.TLSVersion.TLSv1_3}
_VERIFY_MODES = {
    Verification.NONE: ssl.CERT_NONE,
    Verification.OPTIONAL: ssl.CERT_OPTIONAL,
    Verification.REQUIRED: ssl.CERT_REQUIRED,
}


class StdlibBackend:
    """`ssl` from the standard library."""

    name = "ssl"
    capabilities = Capabilities(
        collects_unverified=False,
        sees_rejected_certificate=False,
        sends_client_ca_names=False,
        sees_certificate_requests=SSL_TELLS,
    )

    def server_context(self, configuration: ServerConfiguration) -> ssl.SSLContext:
        """One hostname's context; see `Backend.server_context`."""
        if configuration.verification not in _VERIFY_MODES:
            raise ConfigurationError(
                f"expected a backend that can collect unverified certificates for "
                f"{configuration.verification.value!r}, got 'ssl'"
            )
        context = _ServerContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = MINIMUM_VERSIONS[configuration.minimum_version]
        context.verify_mode = _VERIFY_MODES[configuration.verification]
        context.options |= ssl.OP_NO_RENEGOTIATION
        if configuration.resumption is Resumption.NONE:
            context.options |= ssl.OP_NO_TICKET
            context.num_tickets = 0
        _trust(context, (*configuration.anchors, *configuration.intermediates))
        if configuration.alpn:
            context.set_alpn_protocols(list(configuration.alpn))
        load_signing_chain(context, configuration.chain)
        return context

    def client_context(self, configuration: ClientConfiguration) -> ssl.SSLContext:
        """A client's context; see `Backend.client_context`."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.hostname_checks_common_name = False  # RFC 9525: the CN is no reference name
        context.minimum_version = MINIMUM_VERSIONS[configuration.minimum_version]
        match configuration.trust:
            case ServerTrust.CERTIFI:
                context.load_verify_locations(cafile=certifi.where())
            case ServerTrust.SYSTEM:
                context.load_default_certs()
            case roots:
                _trust(context, roots)
        if configuration.alpn:
            context.set_alpn_protocols(list(configuration.alpn))
        if configuration.chain is not None:
            load_signing_chain(context, configuration.chain)
        tell_of_ssl(context)
        return context


class EvidentSSLObject(ssl.SSLObject):
    """An `ssl.SSLObject` that can say what its handshake saw."""

    seen_server_name: str | None = None

    def evidence(self) -> PeerEvidence:
        """What the handshake collected; see `mtlskit.ports.Evident`."""
        resumed = bool(self.session_reused)
        chain = _presented(self)
        if chain is not None:
            chain = self.context.chains.recall(chain, resumed=resumed)  # type: ignore[attr-defined]
        return PeerEvidence(
            server_name=self.seen_server_name, presented=chain, tls_version=self.version(), resumed=resumed
        )


class _ServerContext(ssl.SSLContext):
    sslobject_class = EvidentSSLObject
    chains: ChainMemory

    def __init__(self, protocol: int) -> None:
        self.chains = ChainMemory()
        self.sni_callback = _note_server_name


def _note_server_name(tls: Any, server_name: str | None, _context: ssl.SSLContext) -> None:
    tls.seen_server_name = server_name


def _presented(tls: ssl.SSLObject) -> PresentedChain | None:
    leaf = tls.getpeercert(binary_form=True)
    if leaf is None:
        return None
    ders = _unverified_chain(tls)
    return PresentedChain(ders if ders[:1] == (leaf,) else (leaf,))


if sys.version_info >= (3, 13):

    def _unverified_chain(tls: ssl.SSLObject) -> tuple[bytes, ...]:
        return tuple(tls.get_unverified_chain())

else:
    import _ssl

    def _unverified_chain(tls: ssl.SSLObject) -> tuple[bytes, ...]:
        # Public from 3.13 on only; the private one gives None on a session that was resumed from a ticket.
        found = tls._sslobj.get_unverified_chain() or ()  # type: ignore[attr-defined]
        return tuple(certificate.public_bytes(_ssl.ENCODING_DER) for certificate in found if certificate)


def _trust(context: ssl.SSLContext, certificates: tuple[x509.Certificate, ...]) -> None:
    if not certificates:
        return
    if any(certificate.issuer != certificate.subject for certificate in certificates):
        # An anchor need not be a root. What this lets through too much, `verify_path` refuses.
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    try:
        context.load_verify_locations(cadata=b"".join(map(to_der, certificates)))
    except ssl.SSLError as error:
        why = error.reason or error.args[-1]
        raise ConfigurationError(f"expected certificates that OpenSSL takes as anchors, got others ({why})") from None


def load_signing_chain(context: ssl.SSLContext, chain: SigningChain) -> None:
    """Gives `context` the chain and its key, though `load_cert_chain` takes only files (I11).

    The key goes through an anonymous file in memory, or, where there is none, through a file that holds it
    encrypted under a password of this one moment.
    """
    opened = _memory_file if hasattr(os, "memfd_create") and os.path.isdir("/proc/self/fd") else _encrypted_file
    with opened(chain) as (path, password):
        try:
            context.load_cert_chain(path, password=password)
        except ssl.SSLError:
            raise ConfigurationError("expected a certificate and key that OpenSSL takes, got others") from None


@contextmanager
def _memory_file(chain: SigningChain) -> Iterator[tuple[str, str | None]]:
    descriptor = os.memfd_create("chain", os.MFD_CLOEXEC)
    try:
        os.fchmod(descriptor, 0o600)
        with open(descriptor, "wb", closefd=False) as file:
            file.write(chain.to_pem())
        yield f"/proc/self/fd/{descriptor}", None
    finally:
        os.close(descriptor)


@contextmanager
def _encrypted_file(chain: SigningChain) -> Iterator[tuple[str, str | None]]:
    password = token_hex(32)
    with tempfile.NamedTemporaryFile(suffix=".pem") as file:  # made with mode 0600
        file.write(chain.to_pem(password=password.encode()))
        file.flush()
        yield file.name, password
