"""Runs the command line in a directory of its own."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mtlskit.ports import Store
from mtlskit.stores import open_store
from support.command_line import Command, Done


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Command:
    """Runs `mtlskit` with arguments. The store is `mtlskit.db`, with its key file, in the working directory."""
    monkeypatch.chdir(tmp_path)
    for name in ("MTLSKIT_STORE", "MTLSKIT_KEY_ENCRYPTION_KEY"):
        monkeypatch.delenv(name, raising=False)

    from mtlskit.cli.commands import run  # here: the bare tests beside it run without the extra

    def command(*arguments: str | Path) -> Done:
        monkeypatch.setattr(sys, "argv", ["mtlskit", *map(str, arguments)])
        status = run()
        sys.stdout.flush()
        return Done(status, *capfd.readouterr())

    return command


@pytest.fixture
def acme(command: Command) -> Command:
    """As `command`, with an authority `Acme` in the store."""
    assert command("ca", "create", "Acme").status == 0
    return command


@pytest.fixture
def store(acme: Command) -> Iterator[Store]:
    """The store that the commands use."""
    opened = open_store("sqlite:///mtlskit.db")
    yield opened
    opened.close()
