"""Bindings for PostgreSQL through libpq (psycopg), which takes files and no context: these are in memory only."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial

import certifi

from mtlskit.core.certificates import to_pem
from mtlskit.errors import ConfigurationError
from mtlskit.fetch.clients.routes import AnyBinding, Material
from mtlskit.ports import ServerTrust


@contextmanager
def connection_options(binding: AnyBinding) -> Iterator[dict[str, str]]:
    """Connection parameters with the binding's present certificate: `psycopg.connect(host=..., **options)`.

    The server is verified, its name too. Connections can be opened until the block ends, and live on after it: a pool
    is to be opened and closed within. The files are in no directory, and no other user can open them. Linux only. They
    go where the caller connects to: origins are not looked at.

    Raises ConfigurationError where there are no such files, CertificateError for a certificate not usable now.
    """
    if not hasattr(os, "memfd_create") or not os.path.isdir("/proc/self/fd"):
        raise ConfigurationError("expected Linux with /proc for files in memory, got another system")
    material = Material.of(binding)
    with ExitStack() as stack:
        pair = stack.enter_context(_file_in_memory(material.chain.to_pem))
        match material.trust:
            case ServerTrust.CERTIFI:
                roots = certifi.where()
            case ServerTrust.SYSTEM:
                roots = "system"
            case given:
                roots = stack.enter_context(_file_in_memory(partial(to_pem, given)))
        yield {
            "sslmode": "verify-full",
            "sslcert": pair,
            "sslkey": pair,
            "sslrootcert": roots,
            "ssl_min_protocol_version": "TLSv1.2",
            "gssencmode": "disable",  # else a Kerberos ticket could take the place of TLS
        }


@contextmanager
def _file_in_memory(content: Callable[[], bytes]) -> Iterator[str]:
    descriptor = os.memfd_create("mtlskit", os.MFD_CLOEXEC)
    try:
        os.fchmod(descriptor, 0o600)  # libpq takes no key that others may read
        with open(descriptor, "wb", closefd=False) as file:
            file.write(content())  # in no variable: what fails would show it to whoever logs local variables
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)
