"""How a server's request for a certificate comes to whoever waits for it, also where the handshake then fails."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import Any, Final

from OpenSSL import SSL

from mtlskit.core.certificate_requests import CertificateRequest

_HANDSHAKE: Final = 22  # RFC 8446, 5.1
_CERTIFICATE_REQUEST: Final = 13  # RFC 8446, 4
_TLS_1_3: Final = 0x0304
_STATE: Final = b"SSLv3/TLS read server certificate request"  # OpenSSL's name for it in every version of TLS

# `ssl.SSLContext` wraps it in enums, which costs more than all else here; and it is private: it may be gone one day.
_RAW_CALLBACK: Any = getattr(ssl.SSLContext.__base__, "_msg_callback", None)
SSL_TELLS: Final = _RAW_CALLBACK is not None


class Hearing:
    """What was asked for in the handshakes of one connection: the last request, or none."""

    __slots__ = ("request",)

    def __init__(self) -> None:
        self.request: CertificateRequest | None = None

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Hears the handshakes of this thread, or task, in the block."""
        before = _HEARING.set(self)
        try:
            yield
        finally:
            _HEARING.reset(before)


_HEARING: ContextVar[Hearing | None] = ContextVar("mtlskit_certificate_requests", default=None)


def tell_of_ssl(context: ssl.SSLContext) -> None:
    """Makes a client's context of `ssl` tell, where this Python can."""
    if SSL_TELLS:
        _RAW_CALLBACK.__set__(context, _told_by_ssl)


def _told_by_ssl(_tls: object, direction: str, version: int, content: int, kind: int, message: bytes) -> None:
    if kind == _CERTIFICATE_REQUEST and content == _HANDSHAKE and direction == "read":
        hearing = _HEARING.get()
        if hearing is not None:
            hearing.request = CertificateRequest.from_message(message, is_tls_1_3=version == _TLS_1_3)


def told_by_pyopenssl(connection: SSL.Connection) -> None:
    """To be called at each step of a client's handshake."""
    hearing = _HEARING.get()
    if hearing is not None and hearing.request is None and connection.get_state_string() == _STATE:
        hearing.request = CertificateRequest()
        with suppress(Exception):  # the names are a stranger's, and help people only
            hearing.request = CertificateRequest(tuple(connection.get_client_ca_list(as_cryptography=True)))
