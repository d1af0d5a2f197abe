"""The commands by name. Each is imported when it is run, so that `mtlskit --version` needs none of them."""

from __future__ import annotations

import logging
import os
import sys
from importlib import import_module
from importlib.metadata import version

import click

from mtlskit.cli.output import refuse
from mtlskit.errors import MTLSError

_CUT_OFF = 1  # the exit status where the reader of stdout goes away before the end: click's

_COMMANDS = {
    "demo": (
        "mtlskit.cli.demo.command",
        "demo",
        "Show the whole thing at work, on this machine, against real clients.",
    ),
    "verify": (
        "mtlskit.cli.verify",
        "verify",
        "Judge a certificate: show the path to its anchor, or why there is none.",
    ),
    "explain": ("mtlskit.cli.verify", "explain", "Show what a gate would answer to a client of a hostname, and why."),
    "ca": ("mtlskit.cli.authorities", "ca", "Make and keep certificate authorities."),
    "issue": ("mtlskit.cli.issuing", "issue", "Issue certificates with a new key each, one or many."),
    "sign": ("mtlskit.cli.signing", "sign", "Sign a certification request."),
    "renew": ("mtlskit.cli.renewing", "renew", "Issue a certificate once more, for the key that it has."),
    "rekey": ("mtlskit.cli.renewing", "rekey", "Issue a certificate once more, for another key."),
    "revoke": ("mtlskit.cli.revoking", "revoke", "Revoke a certificate, or put it on hold."),
    "release": ("mtlskit.cli.revoking", "release", "Release a certificate from a hold."),
    "expiry": ("mtlskit.cli.expiry", "expiry", "Show what stops working when, and what then happens."),
    "doctor": (
        "mtlskit.cli.doctor",
        "doctor",
        "Show every binding of a file, and what of the store ends soon, with the days left.",
    ),
    "audit": ("mtlskit.cli.audit", "audit", "Check the audit log, and read it."),
    "policy": ("mtlskit.cli.policies", "policy", "Try, rehearse, convert, show and set access policies."),
    "keys": ("mtlskit.cli.keys", "keys", "Look after the key that private keys are encrypted under."),
    "mtls-certificate": (
        "mtlskit.cli.certificates",
        "mtls_certificate",
        "Manage the client certificates that bindings go out with.",
    ),
    "cert": ("mtlskit.cli.certificates", "cert", "Manage client certificates, and the CA certificates of servers."),
}


class _LazyGroup(click.Group):
    """A group that knows its commands' names and first lines, and imports one when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module, name, _ = _COMMANDS[cmd_name]
        command: click.Command = getattr(import_module(module), name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, help_text) for name, (_, _, help_text) in _COMMANDS.items()])


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(version("mtlskit"), prog_name="mtlskit", message="%(prog)s %(version)s")
def cli() -> None:
    """Mutual TLS: a gate per customer hostname, and client certificates bound by name."""


def run() -> int:
    """Runs the command that `sys.argv` names; gives the exit status. Our errors become one line on stderr."""
    logging.basicConfig(level=logging.WARNING, format="mtlskit: %(message)s")
    return _written(_status())


def _status() -> int:
    try:
        result = cli.main(prog_name="mtlskit", standalone_mode=False)
    except MTLSError as error:
        return refuse(str(error))
    except click.ClickException as error:
        return refuse(error.format_message(), hint=_hint(error))
    except click.Abort:
        print(file=sys.stderr)
        return 130
    except OSError as error:  # that nobody has put into words: most likely a stdout that is full
        where = "" if error.filename is None else f" {error.filename!r}"
        return refuse(f"expected to read and write{where}, got {error.strerror!r}")
    return result if isinstance(result, int) else 0


def _written(status: int) -> int:
    """The exit status once stdout has everything. Without this, what fails there would be told by a traceback."""
    try:
        sys.stdout.flush()
    except OSError as error:
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), sys.stdout.fileno())  # what is left goes there when the process ends
        if status == 0 and not isinstance(error, BrokenPipeError):
            return refuse(f"expected to write to stdout, got {error.strerror!r}")
        return status or _CUT_OFF
    return status


def _hint(error: click.ClickException) -> str:
    context = getattr(error, "ctx", None)
    return f" (see '{context.command_path} --help')" if context is not None else ""
