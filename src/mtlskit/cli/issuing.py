"""`issue client` and `issue server`: certificates with a new key each, one or many."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import click

from mtlskit.authority import IssuedCertificate
from mtlskit.cli.authority_words import issued_document
from mtlskit.cli.batches import issue_batch
from mtlskit.cli.delivery import Delivery
from mtlskit.cli.options import (
    ca_option,
    format_option,
    json_option,
    key_type_option,
    lifetime_option,
    name_options,
    open_authority,
    opened,
    password_option,
    replace_option,
    requester_option,
    store_option,
)
from mtlskit.cli.output import print_json
from mtlskit.cli.tokens import TokenChoice, token_options
from mtlskit.cli.words import shown_time, subject
from mtlskit.cli.writing import STDOUT
from mtlskit.errors import ConfigurationError


@click.group()
def issue() -> None:
    """Issue certificates with a new key each."""


@issue.command()
@click.argument("common_name", required=False)
@name_options
@click.option("--out", help="Where key and chain go: a file of mode 0600, or - for stdout.")
@click.option("--names-from", help="Many at once: a file with their names (CSV, or JSON lines), into --directory.")
@click.option("--directory", type=click.Path(path_type=Path), help="Where the files of many go, one for each.")
@format_option
@password_option
@replace_option
@ca_option
@lifetime_option
@key_type_option
@token_options
@requester_option
@store_option
@json_option
def client(
    common_name: str | None, dns: Sequence[str], uris: Sequence[str], emails: Sequence[str], ips: Sequence[str],
    out: str | None, names_from: str | None, directory: Path | None, form: str, password_file: str | None,
    replace: bool, ca: str | None, lifetime: timedelta | None, key_type: str, token: TokenChoice, requester: str,
    store_url: str, as_json: bool,
) -> int:  # fmt: skip
    """Issue a client certificate for COMMON_NAME and subject alternative names, or many with --names-from."""
    delivery = Delivery.of(form, password_file, replace)
    settings: dict[str, Any] = {"lifetime": lifetime, "key_type": key_type, "requester": requester}
    names: dict[str, Any] = {"dns": dns, "uris": uris, "emails": emails, "ips": ips}
    if names_from is None and directory is None:
        place = delivery.check(out, as_json)
        with opened(store_url) as store:
            authority = open_authority(store, ca, signer=token.signer())
            issued = authority.issue_client(common_name, **names, **settings)
        _deliver(delivery, place, issued, as_json)
        return 0
    if names_from is None or directory is None or out is not None or common_name is not None or any(names.values()):
        raise ConfigurationError("expected --names-from and --directory together, without a name and --out")
    with opened(store_url) as store:
        authority = open_authority(store, ca, signer=token.signer())
        return issue_batch(authority, names_from, delivery, directory, settings, as_json)


@issue.command()
@click.argument("hostnames", nargs=-1)
@click.option("--ip", "ips", multiple=True, help="An address as subject alternative name; may be repeated.")
@click.option("--out", help="Where key and chain go: a file of mode 0600, or - for stdout.")
@format_option
@password_option
@replace_option
@ca_option
@lifetime_option
@key_type_option
@token_options
@requester_option
@store_option
@json_option
def server(
    hostnames: Sequence[str], ips: Sequence[str], out: str | None, form: str, password_file: str | None, replace: bool,
    ca: str | None, lifetime: timedelta | None, key_type: str, token: TokenChoice, requester: str, store_url: str,
    as_json: bool,
) -> None:  # fmt: skip
    """Issue a server certificate for HOSTNAMES, wildcards too."""
    delivery = Delivery.of(form, password_file, replace)
    place = delivery.check(out, as_json)
    with opened(store_url) as store:
        authority = open_authority(store, ca, signer=token.signer())
        settings: dict[str, Any] = {"lifetime": lifetime, "key_type": key_type, "requester": requester}
        issued = authority.issue_server(*hostnames, ips=ips, **settings)
    _deliver(delivery, place, issued, as_json)


def _deliver(delivery: Delivery, place: str, issued: IssuedCertificate, as_json: bool) -> None:
    delivery.write(place, issued)
    certificate = issued.certificate
    if as_json:
        print_json({**issued_document(certificate), "file": place})
    elif place != STDOUT:
        end = shown_time(certificate.not_valid_after_utc)
        whose = subject(certificate) or "no subject"
        click.echo(f"{place}: {whose}, serial {certificate.serial_number:x}, until {end}")
