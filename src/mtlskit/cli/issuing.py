"""`issue client` and `issue server`: certificates with a new key each, one or many."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import click

from mtlskit.cli.batches import issue_batch
from mtlskit.cli.delivery import Delivery, key_options
from mtlskit.cli.options import (
    ca_option,
    json_option,
    key_type_option,
    lifetime_option,
    name_options,
    open_authority,
    opened,
    requester_option,
    store_option,
)
from mtlskit.cli.tokens import TokenChoice, token_options
from mtlskit.errors import ConfigurationError


@click.group()
def issue() -> None:
    """Issue certificates with a new key each."""


@issue.command()
@click.argument("common_name", required=False)
@name_options
@click.option("--names-from", help="Many at once: a file with their names (CSV, or JSON lines), into --directory.")
@click.option("--directory", type=click.Path(path_type=Path), help="Where the files of many go, one for each.")
@click.option("--key-directory", type=click.Path(path_type=Path), help="Files of their own for the keys of many.")
@key_options
@ca_option
@lifetime_option
@key_type_option
@token_options
@requester_option
@store_option
@json_option
def client(
    common_name: str | None, dns: Sequence[str], uris: Sequence[str], emails: Sequence[str], ips: Sequence[str],
    names_from: str | None, directory: Path | None, key_directory: Path | None, delivery: Delivery, ca: str | None,
    lifetime: timedelta | None, key_type: str, token: TokenChoice, requester: str, store_url: str, as_json: bool,
) -> int:  # fmt: skip
    """Issue a client certificate for COMMON_NAME and subject alternative names, or many with --names-from."""
    settings: dict[str, Any] = {"lifetime": lifetime, "key_type": key_type, "requester": requester}
    names: dict[str, Any] = {"dns": dns, "uris": uris, "emails": emails, "ips": ips}
    if names_from is None and directory is None and key_directory is None:
        place = delivery.check(as_json)
        with opened(store_url) as store:
            authority = open_authority(store, ca, signer=token.signer())
            issued = authority.issue_client(common_name, **names, **settings)
        delivery.hand_over(place, issued, as_json)
        return 0
    of_one = [each for each in (common_name, delivery.out, delivery.key_out) if each is not None]
    if names_from is None or directory is None or of_one or any(names.values()):
        raise ConfigurationError("expected --names-from and --directory together, without a name and --out, --key-out")
    with opened(store_url) as store:
        authority = open_authority(store, ca, signer=token.signer())
        return issue_batch(authority, names_from, delivery, directory, key_directory, settings, as_json)


@issue.command()
@click.argument("hostnames", nargs=-1)
@click.option("--ip", "ips", multiple=True, help="An address as subject alternative name; may be repeated.")
@key_options
@ca_option
@lifetime_option
@key_type_option
@token_options
@requester_option
@store_option
@json_option
def server(
    hostnames: Sequence[str], ips: Sequence[str], delivery: Delivery, ca: str | None, lifetime: timedelta | None,
    key_type: str, token: TokenChoice, requester: str, store_url: str, as_json: bool,
) -> None:  # fmt: skip
    """Issue a server certificate for HOSTNAMES, wildcards too."""
    place = delivery.check(as_json)
    with opened(store_url) as store:
        authority = open_authority(store, ca, signer=token.signer())
        settings: dict[str, Any] = {"lifetime": lifetime, "key_type": key_type, "requester": requester}
        issued = authority.issue_server(*hostnames, ips=ips, **settings)
    delivery.hand_over(place, issued, as_json)
