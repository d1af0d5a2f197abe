"""The command line `mtlskit`. Imports without the extra `cli`; only `main` needs it.

Manners: results go to stdout, everything else to stderr. An error is one line `mtlskit: <message>` and exit status
2; status 1 means that the command ran and its answer is no. `--json` prints one JSON document and nothing else.
"""

from __future__ import annotations

import sys
from importlib import import_module

from mtlskit.errors import MTLSError

_OF_THE_EXTRA = ("click", "rich")


def main() -> None:
    """Runs the command line and ends the process with its exit status."""
    try:
        sys.exit(_run())
    except MTLSError as error:
        print(f"mtlskit: {' '.join(str(error).split())}", file=sys.stderr)
        sys.exit(2)


def _run() -> int:
    try:
        commands = import_module("mtlskit.cli.commands")
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing not in _OF_THE_EXTRA:
            raise
        print(
            f"mtlskit: expected the extra 'cli' (pip install 'mtlskit[cli]'), {missing} is not installed",
            file=sys.stderr,
        )
        return 2
    status: int = commands.run()
    return status
