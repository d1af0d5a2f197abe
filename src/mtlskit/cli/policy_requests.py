"""What is said of a request on the command line: a hostname, a method, a path, a client's address."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import wraps
from typing import Any, Final

import click

from mtlskit.core.names import Hostname
from mtlskit.core.request import RequestFacts
from mtlskit.errors import ConfigurationError, InvalidName

_METHOD: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}", re.ASCII)  # a token (RFC 9110, 5.6.2 and 9.1)


def request_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds the options that say what a request is beside its client; the command gets them as one `request`."""

    @wraps(command)
    def run(method: str | None, path: str | None, client_address: str | None, **options: Any) -> Any:
        return command(**options, request=read_request_facts(method, path, client_address))

    address = click.option("--client-address", help="The address that the request comes from.")
    place = click.option("--path", help="The request's path as it is sent, percent-encoded, without its query.")
    return click.option("--method", help="The request's method, as in GET.")(place(address(run)))


def read_request_facts(method: str | None, path: str | None, client_address: str | None) -> RequestFacts:
    """The facts that the options say; raises ConfigurationError for what no request has.

    A path about which readers could disagree is no error: policies are asked with it too.
    """
    if method is not None and not _METHOD.fullmatch(method):
        raise ConfigurationError(f"expected a request's method, as GET, got {method!r:.80}")
    if path is not None and not path.startswith("/"):
        raise ConfigurationError(f"expected a path that begins with a slash, got {path!r:.80}")
    if path is not None and re.search("[?#]", path):
        raise ConfigurationError(f"expected a path without a query or fragment, got {path!r:.80}")
    try:
        return RequestFacts.of(method=method, path=path, client_address=client_address)
    except ValueError:
        raise ConfigurationError(f"expected an IP address without a port, got {client_address!r:.80}") from None


def read_hostname(text: str) -> str:
    """The hostname in its one spelling; raises InvalidName, for one with a port too."""
    if ":" in text:
        raise InvalidName(f"expected a hostname without a port, got {text!r:.80}")
    return Hostname.parse(text).name
