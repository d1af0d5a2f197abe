"""`ca rotate`: the three stages of another key for an authority. Each may be called again."""

from __future__ import annotations

from datetime import timedelta

import click

from mtlskit.authority import Remaining
from mtlskit.cli.authority_words import tell_generation
from mtlskit.cli.options import (
    json_option,
    key_type_option,
    lifetime_option,
    open_authority,
    opened,
    read_record,
    requester_option,
    store_option,
)
from mtlskit.cli.tokens import TokenChoice, token_options
from mtlskit.ports import Store


@click.group()
def rotate() -> None:
    """Give an authority another key: prepare it, activate it, retire the old one."""


@rotate.command()
@click.argument("name")
@key_type_option
@lifetime_option
@click.option("--next-key", help="The label of the new key in the token; it is made there if there is none.")
@token_options
@requester_option
@store_option
@json_option
def prepare(
    name: str, key_type: str, lifetime: timedelta | None, next_key: str | None, token: TokenChoice, requester: str,
    store_url: str, as_json: bool,
) -> None:  # fmt: skip
    """Make the next key. It issues nothing yet, so that those who trust the authority can take it up first."""
    with opened(store_url) as store:
        authority = open_authority(store, name, signer=token.signer())
        signer = None if next_key is None else token.signer_or_new(key_type, next_key)
        made = authority.rotation.prepare(key_type=key_type, signer=signer, lifetime=lifetime, requester=requester)
        _tell(store, name, made.number, as_json)


@rotate.command()
@click.argument("name")
@click.argument("generation", type=click.IntRange(1), required=False)
@token_options
@requester_option
@store_option
@json_option
def activate(
    name: str, generation: int | None, token: TokenChoice, requester: str, store_url: str, as_json: bool
) -> None:
    """Let the prepared key issue from now on, in every process; what the old one issued stays good.

    With the number of a GENERATION it must be that one: the one that was given out to be trusted.
    """
    with opened(store_url) as store:
        made = open_authority(store, name, signer=token.signer()).rotation.activate(generation, requester=requester)
        _tell(store, name, made.number, as_json)


@rotate.command()
@click.argument("name")
@click.argument("generation", type=click.IntRange(1))
@click.option("--abandon", is_flag=True, help="Though certificates of it are good: their holders get in no more.")
@requester_option
@store_option
@json_option
def retire(name: str, generation: int, abandon: bool, requester: str, store_url: str, as_json: bool) -> None:
    """End the trust in a generation that issues no more, or give up a prepared one."""
    remaining = Remaining.ABANDON if abandon else Remaining.REFUSE
    with opened(store_url) as store:
        open_authority(store, name).rotation.retire(generation, remaining=remaining, requester=requester)
        _tell(store, name, generation, as_json)


def _tell(store: Store, name: str, number: int, as_json: bool) -> None:
    tell_generation(read_record(store, name), number, as_json)
