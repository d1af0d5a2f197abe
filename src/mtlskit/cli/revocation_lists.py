"""`ca crl`: revocation lists (RFC 5280, 5), complete and delta, of everything or of a part."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from functools import wraps
from typing import Any, Final

import click
from cryptography import x509

from mtlskit.authority import Expired, ListScope, Subjects, crl_der, crl_pem
from mtlskit.cli.options import is_given, json_option, open_authority, opened, store_option
from mtlskit.cli.output import print_json
from mtlskit.cli.tokens import TokenChoice, token_options
from mtlskit.cli.words import shown_time
from mtlskit.cli.writing import STDOUT, Existing, check_public_place, write_public
from mtlskit.core.durations import read_time
from mtlskit.errors import ConfigurationError

_PARTITION: Final = re.compile(r"([0-9]{1,6})-of-([0-9]{1,6})", re.ASCII)
_OF_COMPLETE_LISTS: Final = {"expired": "--expired", "delta_url": "--delta-url"}


def _read_partition(text: str) -> tuple[int, int]:
    """Its number and how many there are, as the paths of published lists have them; raises ConfigurationError."""
    found = _PARTITION.fullmatch(text)
    if found is None:
        raise ConfigurationError(f"expected a partition as '0-of-8', got {text!r:.80}")
    return int(found[1]), int(found[2])


def _read_url(text: str) -> str:
    """The URL of a list; raises IssuanceError where no list can have it."""
    return ListScope(url=text).url or ""


def _scope_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds the options of what a list speaks for to a command, which gets them as one `scope`."""

    @wraps(command)
    def run(url: str | None, subjects: str, partition: tuple[int, int] | None, **options: Any) -> Any:
        number, of = partition or (0, 1)
        scope = ListScope(url=url, subjects=Subjects(subjects), partition=number, partitions=of)
        return command(**options, scope=scope)

    for option in (
        click.option(
            "--partition", type=_read_partition, metavar="N-of-M",
            help="Only serial numbers whose remainder divided by M is N; needs the --url of that partition.",
        ),
        click.option(
            "--subjects", type=click.Choice([each.value for each in Subjects]), default=Subjects.ALL.value,
            show_default=True, help="Whose certificates it speaks for.",
        ),
        click.option(
            "--url", type=_read_url, metavar="URL", help="Its distribution point, for certificates that name the same."
        ),
    ):  # fmt: skip
        run = option(run)
    return run


@click.command()
@click.argument("name")
@click.option("--out", default=STDOUT, show_default=True, help="Where the list goes; - is stdout.")
@click.option("--der", is_flag=True, help="In DER, as it is published, in place of PEM.")
@click.option(
    "--lifetime", type=read_time, metavar="TIME", help="The time until nextUpdate.  [default: 7d; with --delta, 1d]"
)
@click.option("--generation", type=click.IntRange(1), help="Of that generation's key.  [default: the active one's]")
@_scope_options
@click.option(
    "--expired",
    type=click.Choice([each.value for each in Expired]),
    help="Whether their entries stay.  [default: keep]",
)
@click.option("--delta-url", type=_read_url, metavar="URL", help="Where its delta lists will be.")
@click.option("--delta", is_flag=True, help="A delta list: what has changed since a complete list of the same scope.")
@click.option(
    "--base", type=click.IntRange(1), help="The number of that list, with --delta.  [default: the last one's]"
)
@token_options
@store_option
@json_option
def crl(
    name: str, out: str, der: bool, lifetime: timedelta | None, generation: int | None, scope: ListScope,
    expired: str | None, delta_url: str | None, delta: bool, base: int | None, token: TokenChoice, store_url: str,
    as_json: bool,
) -> None:  # fmt: skip
    """Make a revocation list under the next number."""
    if as_json and out == STDOUT:
        raise ConfigurationError("expected a file for the list (--out) with --json, got stdout")
    _check_kind(delta)
    check_public_place(out, Existing.REPLACE)
    settings: dict[str, Any] = {"generation": generation, "scope": scope}
    if lifetime is not None:
        settings["lifetime"] = lifetime
    with opened(store_url) as store:
        authority = open_authority(store, name, signer=token.signer())
        made = (
            authority.delta_crl(base=base, **settings)
            if delta
            else authority.crl(expired=expired or Expired.KEEP, delta_url=delta_url, **settings)
        )
    write_public(out, crl_der(made) if der else crl_pem(made))
    if as_json:
        print_json({**_document(made), "file": out})


def _check_kind(delta: bool) -> None:
    if not delta and is_given("base"):
        raise ConfigurationError("expected --base with --delta: a complete list starts from nothing")
    for option, text in _OF_COMPLETE_LISTS.items():
        if delta and is_given(option):
            raise ConfigurationError(f"expected {text} without --delta: it is for complete lists")


def _document(made: x509.CertificateRevocationList) -> dict[str, Any]:
    found = {type(each.value): each.value for each in made.extensions}
    base, end = found.get(x509.DeltaCRLIndicator), made.next_update_utc
    return {
        "number": found[x509.CRLNumber].crl_number,
        "base": None if base is None else base.crl_number,
        "entries": len(made),
        "this_update": shown_time(made.last_update_utc),
        "next_update": None if end is None else shown_time(end),
    }
