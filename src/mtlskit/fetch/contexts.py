"""The context that other libraries get: it connects as one of ours does, and nothing they do to it changes that."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterable
from typing import Any, NoReturn

from mtlskit.backends.sockets import TLSSocket
from mtlskit.errors import ConfigurationError, OriginNotAllowed


class SealedContext(ssl.SSLContext):
    """Connects as `context` does, to servers that `admits` takes.

    Libraries load roots and certificates into the context that they are given, and switch off its verification. Here
    what changes nothing is passed over, and all else raises ConfigurationError. The application protocols are settled
    already: what a library sets before every connection is not taken.
    """

    _context: ssl.SSLContext
    _admits: Callable[[str], bool] | None

    def __new__(cls, *_arguments: object) -> SealedContext:
        return super().__new__(cls, ssl.PROTOCOL_TLS_CLIENT)

    def __init__(self, context: ssl.SSLContext, admits: Callable[[str], bool] | None = None) -> None:
        """`admits` is asked for the server name, or address, that the certificate of the server is checked for."""
        object.__setattr__(self, "_context", context)
        object.__setattr__(self, "_admits", admits)

    def wrap_bio(self, *arguments: Any, **options: Any) -> Any:
        """As `ssl.SSLContext.wrap_bio`; raises as `check_server`."""
        self.check_server(arguments[3] if len(arguments) > 3 else options.get("server_hostname"))
        return self._context.wrap_bio(*arguments, **options)

    def wrap_socket(self, *arguments: Any, **options: Any) -> Any:
        """As `ssl.SSLContext.wrap_socket`; raises as `check_server`, and ConfigurationError for a socket with TLS."""
        if isinstance(arguments[0] if arguments else options.get("sock"), ssl.SSLSocket | TLSSocket):
            raise ConfigurationError("expected a socket without TLS, which would be taken off, got one with it")
        self.check_server(arguments[4] if len(arguments) > 4 else options.get("server_hostname"))
        return self._context.wrap_socket(*arguments, **options)

    def check_server(self, server: str | bytes | None) -> None:
        """Raises OriginNotAllowed for a server that is not admitted, ConfigurationError for one without a name."""
        name = server.decode("latin-1") if isinstance(server, bytes) else server
        if not name:
            # For a `wrap_bio` without a name, `ssl` would take a certificate of any name.
            raise ConfigurationError("expected the name of the server, to verify its certificate, got none")
        if self._admits is not None and not self._admits(name):
            raise OriginNotAllowed(f"expected a server of this binding's origins, got {name[:128]!r}")

    def set_alpn_protocols(self, alpn_protocols: Iterable[str]) -> None:
        """Does nothing: see the class."""

    def cert_store_stats(self) -> dict[str, int]:
        """That there are roots, and no more: where there seem to be none, a library would load its own."""
        return {"x509": 1, "crl": 0, "x509_ca": 1}

    def __setattr__(self, name: str, value: Any) -> None:
        if not hasattr(self, name) or getattr(self, name) != value:
            raise ConfigurationError(f"expected a context that is left as it is, got {name} = {value!r}")

    def _refuse(self, *_arguments: object, **_options: object) -> NoReturn:
        raise ConfigurationError(
            "expected a context that is left as it is, got roots, a certificate or settings for it"
        )

    load_cert_chain = load_verify_locations = load_default_certs = set_default_verify_paths = _refuse
    set_ciphers = load_dh_params = set_ecdh_curve = set_npn_protocols = set_servername_callback = _refuse
    # Those that only later versions of Python have.
    set_psk_client_callback = set_psk_server_callback = set_groups = set_ciphersuites = _refuse
    set_client_sigalgs = set_server_sigalgs = _refuse
