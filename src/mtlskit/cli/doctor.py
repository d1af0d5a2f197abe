"""`doctor`: every binding and every certificate of a store with the days that it has left."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import click
from cryptography import x509
from rich.text import Text

from mtlskit.authority import CertificateAuthority
from mtlskit.cli.expiry import document_of, tell
from mtlskit.cli.options import NO, json_option, opened, store_option
from mtlskit.cli.output import console, print_json, table
from mtlskit.cli.words import escaped, shown_time
from mtlskit.errors import ConfigurationError, NotFound
from mtlskit.fetch import CertificateEnding, CertificateUploads, Urgency
from mtlskit.fetch.configuration import BindingEntry, Configuration, read_configuration
from mtlskit.fetch.own_file import AuthorityEntry
from mtlskit.fetch.watch import ending_of
from mtlskit.forecast import forecast
from mtlskit.ports import Store

_AHEAD: Final = timedelta(days=30)
_COLUMNS: Final = ("days left", "until", "binding", "certificate", "")
_TOLD: Final = {
    Urgency.NONE: "", Urgency.MONTH: "30 days or less", Urgency.FORTNIGHT: "14 days or less",
    Urgency.WEEK: "7 days or less", Urgency.ENDED: "has ended",
}  # fmt: skip


@click.command()
@click.argument("file", required=False)
@click.option("--environment", help="The named environment of FILE.")
@store_option
@json_option
def doctor(file: str | None, environment: str | None, store_url: str, as_json: bool) -> int:
    """Show the bindings of FILE (wrangler.toml, mtlskit.toml) and what of the store ends within 30 days.

    Exit status 1 if something has 7 days left or less, 2 if a binding cannot be used.
    """
    now = datetime.now(UTC)
    with opened(store_url) as store:
        found = Configuration(bindings=()) if file is None else read_configuration(file, environment=environment)
        found.trusted(store)  # told now if there are no such roots
        bindings = sorted((_ending(each, store, now) for each in found.bindings), key=lambda each: each.not_after)
        ahead = forecast(store, now=now, within=_AHEAD)
    if as_json:
        print_json({"bindings": list(map(_document, bindings)), **document_of(ahead)})
    else:
        _print(bindings)
        tell(ahead)
    is_urgent = any(each.urgency in (Urgency.WEEK, Urgency.ENDED) for each in bindings)
    return NO if is_urgent or any(each.ends_at <= now + timedelta(days=7) for each in ahead.endings) else 0


def _ending(entry: BindingEntry, store: Store, now: datetime) -> CertificateEnding:
    return ending_of(entry.binding, _certificate(entry, store), now)


def _certificate(entry: BindingEntry, store: Store) -> x509.Certificate:
    """That which the binding goes out with; of one that is issued for it, the authority's, and nothing is issued."""
    match entry.certificate:
        case str():
            try:
                return CertificateUploads(store).certificates(entry.certificate)[0]
            except NotFound as error:
                raise ConfigurationError(f"{error} for the binding {entry.binding!r}") from None
        case AuthorityEntry():
            return CertificateAuthority.open(entry.certificate.authority, store=store).certificate
        case _:
            return entry.certificate.source(store).current().certificate


def _document(ending: CertificateEnding) -> dict[str, Any]:
    return {
        "binding": ending.binding,
        "subject": escaped(ending.subject),
        "serial": f"{ending.serial_number:x}",
        "not_after": shown_time(ending.not_after),
        "days_left": ending.days_left,
        "urgency": ending.urgency.value,
    }


def _print(bindings: Sequence[CertificateEnding]) -> None:
    if bindings:
        console().print(table("bindings", _COLUMNS, map(_row, bindings)))


def _row(ending: CertificateEnding) -> tuple[Text, ...]:
    cells = (str(ending.days_left), shown_time(ending.not_after), ending.binding, ending.subject)
    return (*(Text(escaped(each)) for each in cells), Text(_TOLD[ending.urgency], "bold red"))
