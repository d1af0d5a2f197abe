"""`expiry`: what stops working when, and what then happens."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import click
from rich.text import Text

from mtlskit.cli.options import NO, json_option, opened, store_option
from mtlskit.cli.output import console, print_json, table
from mtlskit.cli.words import escaped, shown_time
from mtlskit.core.durations import read_time
from mtlskit.endings import CertificatesEnding, Ending
from mtlskit.forecast import Forecast, forecast

_COLUMNS = ("when", "what", "whose", "certificate", "what then happens")


@click.command()
@click.option(
    "--within", type=read_time, metavar="TIME", default="30d", show_default=True, help="How far ahead to look."
)
@click.option("--most", type=click.IntRange(1, 100_000), default=1_000, show_default=True, help="How many to name.")
@store_option
@json_option
def expiry(within: timedelta, most: int, store_url: str, as_json: bool) -> int:
    """Show what ends, the soonest first. Exit status 1 if something does, or has ended already and is in use."""
    with opened(store_url) as store:
        found = forecast(store, now=datetime.now(UTC), within=within, most=most)
    if as_json:
        print_json(document_of(found))
    else:
        tell(found)
    return NO if found else 0


def document_of(found: Forecast) -> dict[str, Any]:
    return {
        "now": shown_time(found.now),
        "until": shown_time(found.until),
        "endings": [
            {
                "what": each.what.value,
                "name": each.name,
                "subject": escaped(each.subject),
                "ends_at": shown_time(each.ends_at),
                "then": each.then,
            }
            for each in found.endings
        ],
        "left_out": found.left_out,
        "certificates": [
            {
                "authority": each.authority,
                "count": each.count,
                "first": shown_time(each.first),
                "last": shown_time(each.last),
            }
            for each in found.certificates
        ],
        "authorities_left_out": found.authorities_left_out,
    }


def tell(found: Forecast) -> None:
    out, until = console(), shown_time(found.until)
    if not found:
        out.print(Text(f"nothing ends until {until}"))
        return
    if found.endings:
        caption = f"and {found.left_out} more" if found.left_out else ""
        out.print(table(f"ends until {until}", _COLUMNS, map(_row, found.endings), caption=caption))
    for each in found.certificates:
        out.print(Text(_counted(each)))
    if found.authorities_left_out:
        out.print(Text(f"and {found.authorities_left_out} more authorities with such certificates"))


def _row(ending: Ending) -> tuple[str, ...]:
    what = ending.what.value.replace("_", " ")
    return shown_time(ending.ends_at), what, escaped(ending.name), escaped(ending.subject), ending.then


def _counted(each: CertificatesEnding) -> str:
    return (
        f"{each.authority}: {each.count} certificates end without one that follows, "
        f"from {shown_time(each.first)} to {shown_time(each.last)}"
    )
