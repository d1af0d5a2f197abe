"""`issue client --names-from`: a file with names becomes a directory with a certificate and key for each.

Every line is looked at before the first certificate is issued. What has its file already is left out, so that a run
that was cut off is finished by the same command. A name that comes twice gets one certificate.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from mtlskit.authority import CertificateAuthority, IssuedCertificate
from mtlskit.authority.batches import Filled, Unfilled
from mtlskit.authority.files import Directories
from mtlskit.authority.orders import CertificateOrder
from mtlskit.cli.delivery import Delivery, Place
from mtlskit.cli.name_lists import Row, check_rows, read_rows
from mtlskit.cli.options import NO
from mtlskit.cli.output import print_json
from mtlskit.cli.writing import Existing
from mtlskit.errors import ConfigurationError

_SYNCED_TOGETHER: Final = 256  # certificates: of so many, at most, the names may be lost if the machine dies
_MOST_TOLD: Final = 100  # refusals in the JSON document; all are told on stderr


@dataclass(slots=True)
class _Batch:
    """A batch at work. `waiting` are the rows that were ordered and have no outcome yet, in their order."""

    path: str
    delivery: Delivery
    directory: Path
    key_directory: Path | None
    settings: Mapping[str, Any]
    issued: int = 0
    there: int = 0
    refused: int = 0
    told: list[dict[str, Any]] = field(default_factory=list)
    waiting: deque[tuple[Row, Place]] = field(default_factory=deque)
    directories: Directories = field(default_factory=Directories)

    def orders(self) -> Iterator[CertificateOrder]:
        """What is to be issued."""
        for row in read_rows(self.path):
            place = self.delivery.place(self.directory, row.name, self.key_directory)
            if self._has(place):
                self.there += 1
                continue
            try:
                self.delivery.check_key_place(place)
            except ConfigurationError as error:
                self.refuse(row, error)
                continue
            self.waiting.append((row, place))
            yield CertificateOrder(
                **{**self.settings, **row.names, "lifetime": row.lifetime or self.settings["lifetime"]}
            )

    # Of two files the certificate's is written last: where it is, the key is as well.
    def _has(self, place: Place) -> bool:
        if any(place == other for _, other in self.waiting):
            return True
        return self.delivery.existing is Existing.REFUSE and Path(place.certificate).exists()

    def write(self, place: Place, issued: IssuedCertificate) -> None:
        """Writes a certificate and its key; raises ConfigurationError."""
        self.delivery.write(place, issued, self.directories)
        self.issued += 1
        if not self.issued % _SYNCED_TOGETHER:
            self.directories.sync()

    @contextmanager
    def synced(self) -> Iterator[None]:
        """At the end all files have their names on the disk, whatever the end is."""
        try:
            yield
        finally:
            self.directories.sync()

    def refuse(self, row: Row, error: Exception) -> None:
        """Tells of a row that gets no certificate."""
        self.refused += 1
        print(f"mtlskit: line {row.line} ({row.name!r}): {' '.join(str(error).split())}", file=sys.stderr)
        if len(self.told) < _MOST_TOLD:
            self.told.append({"line": row.line, "name": row.name, "error": str(error)})


def issue_batch(
    authority: CertificateAuthority, path: str, delivery: Delivery, directory: Path, key_directory: Path | None,
    settings: Mapping[str, Any], as_json: bool,
) -> int:  # fmt: skip
    """Issues a client certificate for every line of a file; gives the exit status, 1 if some were refused.

    Keys go into files of their own where there is a directory for them.
    """
    delivery.check_form(key_directory, "--key-directory")
    total = check_rows(path)
    for each in filter(None, (directory, key_directory)):
        delivery.check_directory(each)
    batch = _Batch(path, delivery, directory, key_directory, settings)
    with _progress() as progress, batch.synced():
        task = progress.add_task("issuing", total=total)
        for outcome in authority.issue_many(batch.orders()):
            row, place = batch.waiting.popleft()
            if isinstance(outcome, Filled) and isinstance(outcome.issued, IssuedCertificate):
                batch.write(place, outcome.issued)
            elif isinstance(outcome, Unfilled):
                batch.refuse(row, outcome.error)
            progress.update(task, completed=batch.issued + batch.there + batch.refused)
    _tell(batch, as_json)
    return NO if batch.refused else 0


def _progress() -> Progress:
    """A bar on stderr, where that is a terminal."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=console, disable=not console.is_terminal, transient=True)


def _tell(batch: _Batch, as_json: bool) -> None:
    if as_json:
        counts = {"issued": batch.issued, "there_already": batch.there, "refused": batch.refused}
        print_json({**counts, "refusals": batch.told, "directory": str(batch.directory)})
        return
    click.echo(f"{batch.directory}: {batch.issued} issued, {batch.there} there already, {batch.refused} refused")
