"""What the commands of the certificate store read: files of chains and keys, passwords, answers; and how they refuse.

Whatever may hold a key or a password is in a `Secret` from the moment it is read.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import ParamSpec

import click

from mtlskit.cli.words import escaped
from mtlskit.core.pem import Secret
from mtlskit.errors import MTLSError
from mtlskit.fetch.upload_checks import LARGEST

_P = ParamSpec("_P")
_ENCRYPTED = (b"-----BEGIN ENCRYPTED PRIVATE KEY-----", b"Proc-Type: 4,ENCRYPTED")  # RFC 7468, 11; RFC 1421, 4.6.1.1


class Refused(click.ClickException):
    """What the command line could not do, in one line."""

    exit_code = 2


def one_line_errors(command: Callable[_P, None]) -> Callable[_P, None]:
    """Puts what the store says into one line."""

    @wraps(command)
    def run(*arguments: _P.args, **options: _P.kwargs) -> None:
        try:
            command(*arguments, **options)
        except MTLSError as error:
            raise Refused(" ".join(str(error).split())) from error

    return run


def content(path: str) -> Secret:
    """The content of a file that may hold a key: as much of it as an upload may have, and one octet more."""
    try:
        with Path(path).open("rb") as file:
            return Secret(file.read(LARGEST + 1))
    except (OSError, ValueError):
        raise Refused(f"Could not read file: {escaped(path)}") from None


def password_for_key(path: str | None, key: Secret, name: str) -> Secret:
    """The password in the first line of the file, or asked for where the key is encrypted; else none."""
    if path is not None:
        return _password_in(path)
    return _asked(name) if any(map(key.octets().__contains__, _ENCRYPTED)) else Secret(None)


def password_for_pkcs12(path: str | None, name: str) -> Secret:
    """The password in the first line of the file, or asked for."""
    return _asked(name) if path is None else _password_in(path)


def confirmed(question: str, *, on_stderr: bool) -> bool:
    """The answer to a question; raises Refused where nobody is there to answer it."""
    try:
        return click.confirm(question, err=on_stderr)
    except click.Abort:
        if _is_terminal():
            raise
    click.echo(err=on_stderr)
    raise Refused("expected an answer on stdin, or --yes, got neither")


def _password_in(path: str) -> Secret:
    password = Secret(content(path).octets().partition(b"\n")[0].rstrip(b"\r"))
    if not password.is_octets():
        raise Refused(f"expected a password in the first line of {escaped(path)}, got none")
    return password


def _asked(name: str) -> Secret:
    if not _is_terminal():
        return Secret(None)
    question = f"Password of {escaped(name)}"
    return Secret(click.prompt(question, default="", show_default=False, hide_input=True, err=True) or None)


def _is_terminal() -> bool:
    return sys.stdin.isatty()
