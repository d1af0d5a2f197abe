"""What the commands print: tables and JSON to stdout, one line of error to stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

_PIPE_WIDTH = 168  # where stdout is no terminal: wide enough that no row breaks

FAILED = 2


def refuse(message: str, *, hint: str = "") -> int:
    """Says in one line on stderr what was wrong; gives the exit status for it."""
    print(f"mtlskit: {' '.join(message.split())}{hint}", file=sys.stderr)
    return FAILED


def print_json(value: Any) -> None:
    """One JSON document on stdout."""
    print(json.dumps(value, indent=2))


def print_json_list(values: Iterable[Any]) -> None:
    """One JSON array on stdout, a value in a line as it comes: there may be more of them than fit into memory."""
    separator = "["
    for value in values:
        print(f"{separator}\n  {json.dumps(value)}", end="")
        separator = ","
    print("[]" if separator == "[" else "\n]")


def console() -> Console:
    """Where people read: stdout, without colours where it is no terminal."""
    return Console(width=None if sys.stdout.isatty() else _PIPE_WIDTH, highlight=False, soft_wrap=False)


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[str | Text]], *, caption: str = "") -> Table:
    """A table for `console().print`. Cells are text as it is, never markup: some hold what a peer sent."""
    made = Table(title=Text(title), title_justify="left", caption_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    made.caption = Text(caption) if caption else None
    for column in columns:
        made.add_column(Text(column), overflow="fold")
    for row in rows:
        made.add_row(*(cell if isinstance(cell, Text) else Text(cell) for cell in row))
    return made
