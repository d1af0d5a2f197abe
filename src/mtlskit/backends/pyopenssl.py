"""pyOpenSSL behind `ssl.SSLContext`'s interface. Owns the contexts; `pyopenssl_object` owns the connections.

Keys stay in memory, the client CA names are sent, a rejected certificate can be seen, and a hostname may ask
to collect certificates and judge them per request: the standard library can do none of these.
"""

from __future__ import annotations

import secrets
import ssl
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import certifi
from cryptography import x509
from OpenSSL import SSL, crypto

from mtlskit.backends.certificate_requests import told_by_pyopenssl
from mtlskit.backends.pyopenssl_object import PyOpenSSLObject
from mtlskit.backends.resumption import MOST_CHAINS, ChainMemory
from mtlskit.backends.sockets import TLSSocket
from mtlskit.core.evidence import Resumption, TLSVersion
from mtlskit.errors import ConfigurationError
from mtlskit.ports import (
    Capabilities,
    ClientConfiguration,
    ServerConfiguration,
    ServerTrust,
    Verification,
)

_VERSIONS = {TLSVersion.TLS_1_2: SSL.TLS1_2_VERSION, TLSVersion.TLS_1_3: SSL.TLS1_3_VERSION}
_VERIFY_MODES = {
    Verification.NONE: SSL.VERIFY_NONE,
    Verification.OPTIONAL: SSL.VERIFY_PEER,
    Verification.REQUIRED: SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT,
    Verification.COLLECT: SSL.VERIFY_PEER,
}
# The suites of CPython's own `ssl` for TLS 1.2, so that both backends speak the same ones.
_CIPHERS = b"@SECLEVEL=2:ECDH+AESGCM:ECDH+CHACHA20:ECDH+AES:DHE+AES:!aNULL:!eNULL:!aDSS:!SHA1:!AESCCM"
_DEEPEST_PATH = 8  # the depth of `verify_path`, which OpenSSL would follow to 100 (I12)
_MODE_NO_AUTO_CHAIN = 8  # SSL_MODE_NO_AUTO_CHAIN: else certificates of the trust store are sent to the peer
_MODE_ENABLE_PARTIAL_WRITE = 1  # SSL_MODE_ENABLE_PARTIAL_WRITE: one record a call, and then copies of the rest


class PyOpenSSLBackend:
    """pyOpenSSL on the OpenSSL that comes with `cryptography`."""

    name = "pyopenssl"
    capabilities = Capabilities(
        collects_unverified=True,
        sees_rejected_certificate=True,
        sends_client_ca_names=True,
        sees_certificate_requests=True,
    )

    def server_context(self, configuration: ServerConfiguration) -> ssl.SSLContext:
        """One hostname's context; see `Backend.server_context`."""
        return PyOpenSSLServerContext(configuration)

    def client_context(self, configuration: ClientConfiguration) -> ssl.SSLContext:
        """A client's context; see `Backend.client_context`."""
        return PyOpenSSLClientContext(configuration)


class _PyOpenSSLContext(ssl.SSLContext):
    """What both sides share: OpenSSL contexts made on first use, one for each ALPN list and newest version asked for.

    A pyOpenSSL context is frozen once used, while HTTP clients set the ALPN list before every connection.
    """

    _protocol = ssl.PROTOCOL_TLS

    def __new__(cls, *_arguments: object) -> _PyOpenSSLContext:
        return super().__new__(cls, cls._protocol)

    def __init__(self, alpn: Sequence[str]) -> None:
        self._alpn = tuple(alpn)
        self._maximum_version = ssl.TLSVersion.MAXIMUM_SUPPORTED
        self._contexts: dict[tuple[tuple[str, ...], int], SSL.Context] = {}
        self._openssl_context()  # what cannot be used fails now, not at the first connection

    def set_alpn_protocols(self, alpn_protocols: Iterable[str]) -> None:
        self._alpn = tuple(alpn_protocols)

    @property
    def maximum_version(self) -> ssl.TLSVersion:
        """As `ssl.SSLContext.maximum_version`."""
        return self._maximum_version

    @maximum_version.setter
    def maximum_version(self, version: int) -> None:
        self._maximum_version = ssl.TLSVersion(version)

    def _openssl_context(self) -> SSL.Context:
        key = (self._alpn, self._maximum_version)
        context = self._contexts.get(key)
        if context is None:
            context = self._contexts[key] = self._made(*key)
        return context

    def _made(self, alpn: tuple[str, ...], maximum_version: ssl.TLSVersion) -> SSL.Context:
        try:
            context = self._make(alpn)
        except SSL.Error as error:
            raise ConfigurationError("expected a certificate, key and anchors that OpenSSL takes") from error
        if maximum_version is not ssl.TLSVersion.MAXIMUM_SUPPORTED:
            context.set_max_proto_version(maximum_version)
        return context

    def _make(self, alpn: tuple[str, ...]) -> SSL.Context:
        raise NotImplementedError

    def _object(
        self, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO, server_hostname: str | bytes | None
    ) -> PyOpenSSLObject:
        raise NotImplementedError

    def wrap_bio(  # type: ignore[override]
        self,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        server_side: bool = False,
        server_hostname: str | bytes | None = None,
        session: object = None,
    ) -> PyOpenSSLObject:
        """As `ssl.SSLContext.wrap_bio`."""
        _check_side(server_side, self._protocol)
        wrapped = self._object(incoming, outgoing, server_hostname)
        if session is not None:
            wrapped.connection.set_session(session)  # type: ignore[arg-type]
        return wrapped

    def wrap_socket(  # type: ignore[override]
        self,
        sock: Any,
        server_side: bool = False,
        do_handshake_on_connect: bool = True,
        suppress_ragged_eofs: bool = True,
        server_hostname: str | bytes | None = None,
        session: object = None,
    ) -> TLSSocket:
        """As `ssl.SSLContext.wrap_socket`."""

        def wrap(incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO) -> Any:
            return self.wrap_bio(incoming, outgoing, server_side, server_hostname, session)

        return TLSSocket(sock, self, wrap, handshake_now=do_handshake_on_connect, ragged_eofs=suppress_ragged_eofs)


class PyOpenSSLServerContext(_PyOpenSSLContext):
    """One hostname's side of a listener."""

    _protocol = ssl.PROTOCOL_TLS_SERVER

    def __init__(self, configuration: ServerConfiguration) -> None:
        self._configuration = configuration
        self.chains = ChainMemory(_most_chains(configuration))
        super().__init__(configuration.alpn)

    def _object(
        self, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO, server_hostname: str | bytes | None
    ) -> PyOpenSSLObject:
        return PyOpenSSLObject(self, self._openssl_context(), incoming, outgoing)

    def _make(self, alpn: tuple[str, ...]) -> SSL.Context:
        configuration = self._configuration
        context = _context(SSL.TLS_SERVER_METHOD, configuration.minimum_version)
        # The session id context must be set for a server that verifies, and must not be another hostname's.
        context.set_session_id(secrets.token_bytes(32))
        context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
        if configuration.resumption is Resumption.NONE:
            context.set_options(SSL.OP_NO_TICKET)
        context.set_tlsext_servername_callback(_note_server_name)
        if alpn:
            context.set_alpn_select_callback(_selector(alpn))
        _load_chain(context, configuration.chain)
        self._verify(context)
        return context

    def _verify(self, context: SSL.Context) -> None:
        configuration = self._configuration
        collect = configuration.verification is Verification.COLLECT
        context.set_verify(_VERIFY_MODES[configuration.verification], _take_all if collect else _note_rejected)
        # What is collected is judged by `verify_path` alone: OpenSSL need not walk a stranger's chain at all.
        context.set_verify_depth(0 if collect else _DEEPEST_PATH)
        _trust(context, (*configuration.anchors, *configuration.intermediates))
        for anchor in configuration.anchors:
            context.add_client_ca(anchor)


class PyOpenSSLClientContext(_PyOpenSSLContext):
    """A client that verifies the server's chain and name before its own certificate leaves."""

    _protocol = ssl.PROTOCOL_TLS_CLIENT

    def __init__(self, configuration: ClientConfiguration) -> None:
        self._configuration = configuration
        super().__init__(configuration.alpn)

    def _object(
        self, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO, server_hostname: str | bytes | None
    ) -> PyOpenSSLObject:
        if not server_hostname:
            raise ValueError("check_hostname requires server_hostname")
        name = server_hostname.decode("ascii") if isinstance(server_hostname, bytes) else server_hostname
        return PyOpenSSLObject(self, self._openssl_context(), incoming, outgoing, server_hostname=name)

    def _make(self, alpn: tuple[str, ...]) -> SSL.Context:
        configuration = self._configuration
        context = _context(SSL.TLS_CLIENT_METHOD, configuration.minimum_version)
        context.set_verify(SSL.VERIFY_PEER, _verify_server)
        context.set_info_callback(_note_step)
        match configuration.trust:
            case ServerTrust.CERTIFI:
                context.load_verify_locations(certifi.where())
            case ServerTrust.SYSTEM:
                context.set_default_verify_paths()
            case roots:
                _trust(context, roots)
        if alpn:
            context.set_alpn_protos([protocol.encode("ascii") for protocol in alpn])
        if configuration.chain is not None:
            _load_chain(context, configuration.chain)
        return context


def _most_chains(configuration: ServerConfiguration) -> int:
    if configuration.resumption is Resumption.NONE:
        return 0
    return 64 if configuration.verification is Verification.COLLECT else MOST_CHAINS  # collected ones are strangers'


def _context(method: int, minimum_version: TLSVersion) -> SSL.Context:
    context = SSL.Context(method)
    context.set_min_proto_version(_VERSIONS[minimum_version])
    context.set_cipher_list(_CIPHERS)
    context.set_options(SSL.OP_NO_COMPRESSION | SSL.OP_NO_RENEGOTIATION)
    context.clear_mode(_MODE_ENABLE_PARTIAL_WRITE)
    context.set_mode(SSL.MODE_RELEASE_BUFFERS | _MODE_NO_AUTO_CHAIN)
    return context


def _load_chain(context: SSL.Context, chain: Any) -> None:
    context.use_certificate(chain.certificate)
    for certificate in chain.certificates[1:]:
        context.add_extra_chain_cert(certificate)
    context.use_privatekey(chain.private_key)


def _trust(context: SSL.Context, certificates: tuple[x509.Certificate, ...]) -> None:
    store = context.get_cert_store()
    if store is None:
        raise ConfigurationError("expected an OpenSSL context with a certificate store, got one without")
    if any(certificate.issuer != certificate.subject for certificate in certificates):
        # An anchor need not be a root. What this lets through too much, `verify_path` refuses.
        store.set_flags(crypto.X509StoreFlags.PARTIAL_CHAIN)
    for certificate in certificates:
        store.add_cert(crypto.X509.from_cryptography(certificate))


def _selector(offered: tuple[str, ...]) -> Callable[[SSL.Connection, list[bytes]], Any]:
    ours = [protocol.encode("ascii") for protocol in offered]

    def select(_connection: SSL.Connection, theirs: list[bytes]) -> Any:
        return next((protocol for protocol in ours if protocol in theirs), SSL.NO_OVERLAPPING_PROTOCOLS)

    return select


def _note_server_name(connection: SSL.Connection) -> None:
    connection.get_app_data().note_server_name(connection.get_servername())


def _take_all(_connection: SSL.Connection, _certificate: crypto.X509, _code: int, _depth: int, _ok: int) -> bool:
    return True


def _note_rejected(connection: SSL.Connection, certificate: crypto.X509, code: int, depth: int, ok: int) -> bool:
    # The first fault ends it, though the leaf is seen only if the fault is its own: to walk on would let a stranger
    # choose how many signatures are checked, and a fault that is told after the leaf would pass.
    if not ok:
        connection.get_app_data().note_rejected(code, certificate if depth == 0 else None)
    return bool(ok)


def _verify_server(connection: SSL.Connection, certificate: crypto.X509, code: int, depth: int, ok: int) -> bool:
    if not ok:
        connection.get_app_data().note_rejected(code, None)
        return False
    return depth > 0 or connection.get_app_data().accepts_server(certificate)


def _note_step(connection: SSL.Connection, where: int, value: int) -> None:
    if where & SSL.SSL_CB_ALERT and where & SSL.SSL_CB_READ:
        connection.get_app_data().alert = value & 0xFF
    elif where & SSL.SSL_CB_LOOP:
        told_by_pyopenssl(connection)


def _check_side(server_side: bool, protocol: int) -> None:
    if server_side != (protocol == ssl.PROTOCOL_TLS_SERVER):
        raise ValueError(f"expected a context of the other side, got server_side={server_side}")
