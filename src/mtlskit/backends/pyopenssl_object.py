"""One pyOpenSSL connection that behaves as `ssl.SSLObject`: same methods, same exceptions, same buffers.

The caller owns two `ssl.MemoryBIO`s, OpenSSL owns two of its own; every method moves bytes in, does one step,
and moves bytes out, so that an alert leaves also when the step failed.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable
from functools import lru_cache
from typing import Any, TypeVar

from cryptography import x509
from OpenSSL import SSL, crypto

from mtlskit.backends.reasons import HOSTNAME_MISMATCH, tls_error
from mtlskit.core.certificates import PresentedChain, read_sans, to_der
from mtlskit.core.evidence import PeerEvidence
from mtlskit.core.names import Hostname, matches_reference

_PEEK = socket.MSG_PEEK  # pyOpenSSL's word for SSL_peek
_RECORD = 16 * 1024  # RFC 8446, 5.1: the most that one record holds
_Result = TypeVar("_Result")


class PyOpenSSLObject:
    """A TLS connection over memory BIOs. Same interface as `ssl.SSLObject`; not for several threads at once."""

    __slots__ = (
        "_fault",
        "_has_unread",
        "_incoming",
        "_outgoing",
        "_rejected_chain",
        "_rejected_code",
        "alert",
        "connection",
        "context",
        "seen_server_name",
        "server_hostname",
        "server_side",
    )

    def __init__(
        self,
        context: Any,
        openssl_context: SSL.Context,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        *,
        server_hostname: str | None = None,
    ) -> None:
        self.context = context
        self.server_hostname = server_hostname
        self.server_side = server_hostname is None
        self.seen_server_name: str | None = None
        self.alert: int | None = None
        self._incoming = incoming
        self._outgoing = outgoing
        self._has_unread = False
        self._fault: str | None = None
        self._rejected_code = 0
        self._rejected_chain: PresentedChain | None = None
        self.connection = SSL.Connection(openssl_context)
        self.connection.set_app_data(self)
        self._set_side(server_hostname)

    def _set_side(self, server_hostname: str | None) -> None:
        if server_hostname is None:
            self.connection.set_accept_state()
            return
        self.connection.set_connect_state()
        if not _is_address(server_hostname):  # RFC 6066, 3: no literal addresses in the extension
            self.connection.set_tlsext_host_name(Hostname.parse(server_hostname).name.encode("ascii"))

    # What the context's callbacks report.

    def note_server_name(self, name: bytes | None) -> None:
        """The server name that OpenSSL read in the ClientHello."""
        self.seen_server_name = None if name is None else name.decode("ascii")

    def note_rejected(self, code: int, leaf: crypto.X509 | None) -> None:
        """A certificate was rejected with OpenSSL's `code`; the first one tells the reason."""
        self._rejected_code = self._rejected_code or code
        if leaf is not None:
            self._rejected_chain = PresentedChain.from_der(_der(leaf))

    @property
    def rejected(self) -> bool:
        """Whether OpenSSL rejected a certificate of this peer."""
        return self._rejected_code != 0

    def accepts_server(self, leaf: crypto.X509) -> bool:
        """Whether the server's certificate is for the name that was asked for (RFC 9525)."""
        accepted = _is_for(_der(leaf), self.server_hostname or "")
        if not accepted:
            self._rejected_code = HOSTNAME_MISMATCH
        return accepted

    # What the handshake collected.

    def evidence(self) -> PeerEvidence:
        """What the handshake collected; see `mtlskit.ports.Evident`."""
        resumed = self.session_reused
        chain = self._presented()
        if chain is not None:
            chain = self.context.chains.recall(chain, resumed=resumed)
        return PeerEvidence(
            server_name=self.seen_server_name, presented=chain, tls_version=self.version(), resumed=resumed
        )

    def rejected_chain(self) -> PresentedChain | None:
        """What the peer presented in a handshake that was refused for it."""
        return self._presented() or self._rejected_chain

    def _presented(self) -> PresentedChain | None:
        leaf = self.connection.get_peer_certificate()
        if leaf is None:
            return None
        return _presented_chain(_der(leaf), list(map(_der, self.connection.get_peer_cert_chain() or ())))

    # The interface of `ssl.SSLObject`.

    def do_handshake(self) -> None:
        """One step of the handshake; raises as `ssl.SSLObject.do_handshake`."""
        self._feed()
        try:
            self.connection.do_handshake()
        except SSL.Error as error:
            self._drain()
            raise self._translated(error) from None
        if self.rejected:  # nothing of what OpenSSL wrote, a session ticket for one, leaves
            raise _verification_error(self._rejected_code)
        self._drain()

    def read(self, len: int = 1024, buffer: Any = None) -> Any:  # noqa: A002
        """As `ssl.SSLObject.read`."""
        self._feed()
        wanted = min(len, _RECORD)  # OpenSSL gives one record at a time; a larger buffer would only cost
        try:
            if buffer is None:
                return self.connection.recv(wanted)
            return self.connection.recv_into(buffer, wanted)
        except SSL.WantReadError:
            self._has_unread = False
            raise _want_read() from None
        except SSL.ZeroReturnError:
            return b"" if buffer is None else 0
        except SSL.Error as error:
            self._drain(_RECORD)  # an alert
            raise self._translated(error) from None

    def write(self, data: Any) -> int:
        """As `ssl.SSLObject.write`; takes all of it."""
        size = memoryview(data).nbytes
        if not size:
            return 0
        self._feed()
        try:
            return self.connection.send(data)
        except SSL.Error as error:
            raise self._translated(error) from None
        finally:
            self._drain(size + size // 64 + _RECORD)

    def unwrap(self) -> None:
        """Sends close_notify and waits for the peer's."""
        if not self._step(self.connection.shutdown):
            self._step(self._await_close)

    def _await_close(self) -> None:
        if not self.connection.get_shutdown() & SSL.RECEIVED_SHUTDOWN:
            self.connection.recv(_RECORD)

    def pending(self) -> int:
        """Decrypted bytes that wait to be read.

        OpenSSL took all that came, so the caller's buffer is empty while a record may still wait in OpenSSL's. A
        server loop that asks here before it reads (uvloop) would wait for ever: so that record is looked into.
        """
        ready = self.connection.pending()
        if ready or not self._has_unread:
            return ready
        try:
            self.connection.recv(1, _PEEK)
        except SSL.WantReadError:
            self._has_unread = False
        except SSL.Error:
            return 1  # an end or an error: what a read will tell
        return self.connection.pending()

    def version(self) -> str | None:
        """`TLSv1.2` or `TLSv1.3`."""
        return self.connection.get_protocol_version_name()

    def cipher(self) -> tuple[str, str, int] | None:
        """Name, protocol and secret bits of the cipher."""
        name = self.connection.get_cipher_name()
        if name is None:
            return None
        return name, self.connection.get_cipher_version() or "", self.connection.get_cipher_bits() or 0

    def shared_ciphers(self) -> list[tuple[str, str, int]] | None:
        """Not known here."""
        return None

    def compression(self) -> None:
        """Compression is off."""

    def selected_alpn_protocol(self) -> str | None:
        """The negotiated protocol."""
        return self.connection.get_alpn_proto_negotiated().decode("ascii") or None

    def selected_npn_protocol(self) -> None:
        """NPN is gone."""

    @property
    def session(self) -> Any:
        """The session, to be offered again with `wrap_bio(session=...)`."""
        return self.connection.get_session()

    @property
    def session_reused(self) -> bool:
        """Whether this connection resumed a session."""
        # No public call in pyOpenSSL; the binding is in every version that it supports.
        return bool(SSL._lib.SSL_session_reused(self.connection._ssl))  # type: ignore[attr-defined]

    def getpeercert(self, binary_form: bool = False) -> Any:
        """As `ssl.SSLObject.getpeercert`: DER, or the short dictionary of the standard library."""
        certificate = self.connection.get_peer_certificate()
        if certificate is None:
            return None
        return _der(certificate) if binary_form else _described(certificate.to_cryptography())

    def get_unverified_chain(self) -> list[bytes]:
        """The presented chain in DER, leaf first."""
        chain = self._presented()
        return list(chain.ders) if chain else []

    def get_verified_chain(self) -> list[bytes]:
        """OpenSSL's chain in DER, leaf first."""
        found = self.connection.get_verified_chain(as_cryptography=True) or []
        return [to_der(certificate) for certificate in found]

    def get_channel_binding(self, cb_type: str = "tls-unique") -> bytes | None:
        """Only `tls-unique` on TLS 1.2 (RFC 5929)."""
        if cb_type != "tls-unique":
            raise ValueError(f"expected 'tls-unique', got {cb_type!r}")
        first = self.session_reused != self.server_side
        return self.connection.get_peer_finished() if first else self.connection.get_finished()

    def verify_client_post_handshake(self) -> None:
        """Not offered: RFC 8740 forbids it for HTTP/2 and OpenSSL's session order makes it useless here."""
        raise NotImplementedError("post-handshake authentication is not offered")

    # Bytes in, one step, bytes out; foreign exceptions become the standard library's here.

    def _step(self, action: Callable[[], _Result]) -> _Result:
        self._feed()
        try:
            return action()
        except SSL.Error as error:
            raise self._translated(error) from None
        finally:
            self._drain()

    def _feed(self) -> None:
        incoming = self._incoming
        if incoming.pending:
            self._has_unread = True
            self.connection.bio_write(incoming.read())
        if incoming.eof:
            self.connection.bio_shutdown()

    def _drain(self, size: int = _RECORD) -> None:
        """Moves out what OpenSSL wrote. Asking an empty buffer costs an exception: a short answer was the last one."""
        connection, outgoing = self.connection, self._outgoing
        try:
            while outgoing.write(connection.bio_read(size)) == size:
                pass
        except SSL.Error:
            return  # empty

    def _translated(self, error: SSL.Error) -> ssl.SSLError:
        match error:
            case SSL.WantReadError():
                return _want_read()
            case SSL.WantWriteError():
                return tls_error(
                    ssl.SSLWantWriteError, ssl.SSL_ERROR_WANT_WRITE, "the operation did not complete (write)"
                )
            case SSL.ZeroReturnError():
                return tls_error(ssl.SSLZeroReturnError, ssl.SSL_ERROR_ZERO_RETURN, "the TLS connection was closed")
            case SSL.SysCallError():
                return tls_error(ssl.SSLEOFError, ssl.SSL_ERROR_EOF, "EOF occurred in violation of protocol")
        if self._rejected_code:
            return _verification_error(self._rejected_code)
        # OpenSSL says only once why a connection is over.
        self._fault = _fault_of(error) or self._fault
        return _ssl_error(self._fault or "unknown error")


def _presented_chain(leaf: bytes, chain: list[bytes]) -> PresentedChain:
    # A client finds the leaf in the chain, a server does not.
    return PresentedChain.from_der(leaf, *(chain[1:] if chain[:1] == [leaf] else chain))


@lru_cache(maxsize=256)  # a client meets the same servers again and again
def _is_for(leaf: bytes, server: str) -> bool:
    try:
        return matches_reference(read_sans(x509.load_der_x509_certificate(leaf)), server)
    except Exception:  # noqa: BLE001 - a certificate whose names cannot be read is for nobody
        return False


def _der(certificate: crypto.X509) -> bytes:
    return crypto.dump_certificate(crypto.FILETYPE_ASN1, certificate)


def _want_read() -> ssl.SSLWantReadError:
    return ssl.SSLWantReadError(ssl.SSL_ERROR_WANT_READ, "the operation did not complete (read)")


def _fault_of(error: SSL.Error) -> str | None:
    queue = error.args[0] if error.args else []
    return queue[0][2] or None if queue else None


def _ssl_error(text: str) -> ssl.SSLError:
    # The standard library gives OpenSSL's mnemonic; pyOpenSSL gives the same words with spaces.
    return tls_error(ssl.SSLError, ssl.SSL_ERROR_SSL, text, text.upper().replace(" ", "_"))


def _verification_error(code: int) -> ssl.SSLCertVerificationError:
    told = f"certificate verify failed (code {code})"
    error = tls_error(ssl.SSLCertVerificationError, ssl.SSL_ERROR_SSL, told, "CERTIFICATE_VERIFY_FAILED")
    error.verify_code = code
    error.verify_message = told
    return error


def _is_address(name: str) -> bool:
    return ":" in name or name.replace(".", "").isdigit()


def _described(certificate: x509.Certificate) -> dict[str, Any]:
    sans = read_sans(certificate)
    kinds = {"dns": "DNS", "uri": "URI", "email": "email", "ip": "IP Address"}
    return {
        "subject": _rdns(certificate.subject),
        "issuer": _rdns(certificate.issuer),
        "version": certificate.version.value + 1,
        "serialNumber": f"{certificate.serial_number:X}",
        "notBefore": certificate.not_valid_before_utc.strftime("%b %e %H:%M:%S %Y GMT"),
        "notAfter": certificate.not_valid_after_utc.strftime("%b %e %H:%M:%S %Y GMT"),
        **({"subjectAltName": tuple((kinds[san.type], san.value) for san in sans)} if sans else {}),
    }


def _rdns(name: x509.Name) -> tuple[tuple[tuple[str, str], ...], ...]:
    return tuple(tuple((attribute.oid._name, str(attribute.value)) for attribute in rdn) for rdn in name.rdns)
