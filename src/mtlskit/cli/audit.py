"""`audit verify`, `audit head` and `audit list`: whether the log is whole, how far it goes, and what it says.

A log whose last rows were cut off is whole by itself: only who has noted the head somewhere else can tell.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any, Final

import click

from mtlskit.authority import read_serial
from mtlskit.authority.opened import find_authority
from mtlskit.cli.options import NO, json_option, opened, store_option
from mtlskit.cli.output import print_json, print_json_list
from mtlskit.cli.words import escaped
from mtlskit.core.audit_events import EVENTS
from mtlskit.core.durations import read_moment
from mtlskit.errors import ConfigurationError, StoreError, Unavailable
from mtlskit.ports import AuditRow, Store
from mtlskit.stores.audit import verify_rows

_PAGE: Final = 1_000  # rows: the reader of a list may be slow, and nobody is to wait for it
_DATE: Final = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_HEAD: Final = re.compile(r"([0-9]{1,18}):([0-9a-f]{64})", re.ASCII)


@click.group()
def audit() -> None:
    """Check the audit log, and read it."""


@audit.command()
@click.option("--head", "noted", help="What `audit head` printed earlier: that row must still be there.")
@store_option
@json_option
def verify(noted: str | None, store_url: str, as_json: bool) -> int:
    """Check every row of the log. Exit status 0 if it is whole, 1 if a row was changed or is missing."""
    head = None if noted is None else _read_head(noted)
    checked = _Checked()
    problem = None
    with opened(store_url) as store:
        try:
            checked.verify(store, head)
        except Unavailable:
            raise
        except StoreError as error:
            problem = str(error)
    _tell(checked, problem, as_json)
    return 0 if problem is None else NO


class _Checked:
    """A look at every row, and where it has come to: when the next row is asked for, the last one was good."""

    def __init__(self) -> None:
        self.good: AuditRow | None = None
        self._next: AuditRow | None = None

    def verify(self, store: Store, head: AuditRow | None) -> None:
        """Raises StoreError for the first row at fault, and Unavailable."""
        verify_rows(self._watched(_rows(store)), head=head)

    def _watched(self, rows: Iterable[AuditRow]) -> Iterator[AuditRow]:
        for row in rows:
            yield row
            self.good = row

    @property
    def rows(self) -> int:
        """How many rows were good, from the first on."""
        return 0 if self.good is None else self.good.sequence


def _tell(checked: _Checked, problem: str | None, as_json: bool) -> None:
    head = None if checked.good is None else _head(checked.good)
    if as_json:
        at_fault = None if problem is None else checked.rows + 1
        document = {"whole": problem is None, "rows": checked.rows, "head": head, "row_at_fault": at_fault}
        print_json({**document, "problem": problem})
    elif problem is None:
        click.echo(f"the log is whole: {checked.rows} rows, head {head or 'none'}")
    else:
        click.echo(f"the log is not whole: row {checked.rows + 1} is at fault ({escaped(problem)})")


@audit.command()
@store_option
@json_option
def head(store_url: str, as_json: bool) -> None:
    """Print the head of the log, to be kept somewhere else. It checks the log on its way there."""
    checked = _Checked()
    with opened(store_url) as store:
        checked.verify(store, None)
    found = None if checked.good is None else _head(checked.good)
    if as_json:
        recorded_at = None if checked.good is None else checked.good.recorded_at
        print_json({"rows": checked.rows, "head": found, "recorded_at": recorded_at})
    elif found is not None:
        click.echo(found)


@audit.command("list")
@click.option("--since", help="From that moment on, as in 2026-03-01T12:00:00Z (RFC 3339), or 2026-03-01 (in UTC).")
@click.option(
    "--event", "events", multiple=True, help="Only these events; may be repeated. A dot at the end takes all of a kind."
)
@click.option("--serial", help="Only of that serial number, in the notations of `revoke`.")
@click.option("--authority", help="Only of the authority of that name.")
@store_option
@json_option
def list_rows(
    since: str | None, events: Sequence[str], serial: str | None, authority: str | None, store_url: str, as_json: bool
) -> None:
    """List the rows of the log, the oldest first: those that meet all that is asked for."""
    wanted = _Wanted.read(since, events, serial, authority)
    with opened(store_url) as store:
        if authority is not None:
            find_authority(store, authority)
        rows = (row for row in _rows(store) if wanted.has(row))
        if as_json:
            print_json_list(map(_document, rows))
            return
        for row in rows:
            click.echo(f"{row.sequence} {row.recorded_at} {escaped(row.event)} {escaped(_details(row))}")


def _rows(store: Store) -> Iterator[AuditRow]:
    """All rows, the oldest first, a page at a time; raises StoreError for one that was changed beyond reading."""
    last, is_end = 0, False
    while not is_end:
        page, is_readable = _page(store, last)
        yield from page
        last = page[-1].sequence if page else last
        if not is_readable:
            raise StoreError(f"expected a readable audit row after {last}, got another")
        is_end = len(page) < _PAGE


def _page(store: Store, after: int) -> tuple[list[AuditRow], bool]:
    page: list[AuditRow] = []
    with store.snapshot() as snapshot:
        try:
            for row in islice(snapshot.scan_audit(after=after), _PAGE):
                datetime.fromisoformat(row.recorded_at)
                if not isinstance(row.details, Mapping):
                    return page, False
                page.append(row)
        except (ValueError, TypeError):  # what is not the JSON, the text or the bytes that a store has written
            return page, False
    return page, True


@dataclass(frozen=True, slots=True)
class _Wanted:
    """Which rows are listed: what is None or empty is not asked for."""

    start: datetime | None
    events: frozenset[str]
    details: Mapping[str, str]

    @classmethod
    def read(cls, since: str | None, events: Iterable[str], serial: str | None, authority: str | None) -> _Wanted:
        """What the options say; raises ConfigurationError and IssuanceError."""
        details = {"serial": None if serial is None else f"{read_serial(serial):x}", "authority": authority}
        return cls(
            start=None if since is None else _read_start(since),
            events=frozenset(event for text in events for event in _read_events(text)),
            details={name: value for name, value in details.items() if value is not None},
        )

    def has(self, row: AuditRow) -> bool:
        """Whether this row is one of them."""
        if self.start is not None and datetime.fromisoformat(row.recorded_at) < self.start:
            return False
        if self.events and row.event not in self.events:
            return False
        return all(row.details.get(name) == value for name, value in self.details.items())


def _read_events(text: str) -> list[str]:
    found = [event for event in EVENTS if event == text or (text.endswith(".") and event.startswith(text))]
    if not found:
        raise ConfigurationError(f"expected an event among {', '.join(EVENTS)}, got {text!r:.80}")
    return found


def _read_start(text: str) -> datetime:
    return read_moment(f"{text}T00:00:00Z" if _DATE.fullmatch(text) else text)


def _document(row: AuditRow) -> dict[str, Any]:
    return {
        "sequence": row.sequence,
        "recorded_at": row.recorded_at,
        "event": row.event,
        "details": dict(row.details),
        "hash": row.hash.hex(),
    }


def _details(row: AuditRow) -> str:
    return " ".join(f"{name}={json.dumps(value, ensure_ascii=False)}" for name, value in row.details.items())


def _head(row: AuditRow) -> str:
    return f"{row.sequence}:{row.hash.hex()}"


def _read_head(text: str) -> AuditRow:
    found = _HEAD.fullmatch(text.strip())
    if found is None or not int(found[1]):
        raise ConfigurationError(f"expected a head as `audit head` prints it, got {text!r:.100}")
    return AuditRow(
        sequence=int(found[1]), recorded_at="", event="", details={}, previous_hash=b"", hash=bytes.fromhex(found[2])
    )
