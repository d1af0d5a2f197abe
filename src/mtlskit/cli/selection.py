"""Which certificate a command is about: by its serial number, or by a file that has it."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import click
from cryptography import x509

from mtlskit.cli.files import read_own_certificate
from mtlskit.errors import ConfigurationError

_BY_FILE = "A file with the certificate, in place of its serial number; a key beside it is passed over."


def certificate_choice(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds the argument SERIAL and the option --cert to a command, which gets one of them as `certificate`."""

    @wraps(command)
    def run(serial: str | None, cert: str | None, **options: Any) -> Any:
        return command(**options, certificate=_chosen(serial, cert))

    by_file = click.option("--cert", help=_BY_FILE)
    return click.argument("serial", required=False)(by_file(run))


def _chosen(serial: str | None, cert: str | None) -> str | x509.Certificate:
    if serial is not None and cert is None:
        return serial
    if cert is None or serial is not None:
        raise ConfigurationError("expected a serial number or --cert, got both or neither")
    return read_own_certificate(cert)
