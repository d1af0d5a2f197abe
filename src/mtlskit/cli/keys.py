"""`keys new`, `keys status` and `keys reseal`: the key-encryption key of a store, and its rotation.

A key comes from a file or the environment, never from an argument, which every user of the machine could read.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, Final

import click

from mtlskit.cli.options import NO, json_option, opened, store_option
from mtlskit.cli.output import console, print_json, table
from mtlskit.cli.writing import STDOUT, Existing, check_place, write_key
from mtlskit.errors import ConfigurationError
from mtlskit.resealing import SealedCount, key_in_use, reseal, sealed
from mtlskit.stores import KeyEncryption
from mtlskit.stores.encryption import ENVIRONMENT_VARIABLE, PREVIOUS_VARIABLE

_KEY_SIZE: Final = 32
_UNREADABLE: Final = "(unreadable)"


@click.group()
def keys() -> None:
    """Look after the key that private keys are encrypted under."""


@keys.command()
@click.option("--out", required=True, help="Where it goes, in base64: a file of mode 0600, or - for stdout.")
@json_option
def new(out: str, as_json: bool) -> None:
    """Make a key-encryption key."""
    if as_json and out == STDOUT:
        raise ConfigurationError("expected a file for the key with --json, got stdout")
    check_place(out, Existing.REFUSE)
    key = os.urandom(_KEY_SIZE)
    write_key(out, base64.b64encode(key) + b"\n")
    if as_json:
        print_json({"key_id": KeyEncryption(key).key_id.hex(), "file": out})


@keys.command()
@click.option("--key-file", help=f"The key's file; without, {ENVIRONMENT_VARIABLE} or the store's own key file.")
@store_option
@json_option
def status(key_file: str | None, store_url: str, as_json: bool) -> None:
    """Count what is sealed under which key. Works without any key as well."""
    given = None if key_file is None else KeyEncryption.from_file(key_file)
    with opened(store_url, keys=given) as store:
        in_use, found = key_in_use(store), sealed(store)
    if as_json:
        print_json({"key_in_use": in_use or None, "sealed": list(map(_document, found))})
        return
    rows = [(each.key_id or _UNREADABLE, each.what, str(each.count)) for each in found]
    caption = f"in use: {in_use}" if in_use else "in use: none, the store's key is not at hand"
    console().print(table("sealed", ("key", "what", "count"), rows, caption=caption))


@keys.command("reseal")
@click.option("--key-file", help=f"The new key's file; without, {ENVIRONMENT_VARIABLE} has it.")
@click.option("--previous-file", multiple=True, help=f"An older key's file, or {PREVIOUS_VARIABLE}; may be repeated.")
@store_option
@json_option
def reseal_all(key_file: str | None, previous_file: Sequence[str], store_url: str, as_json: bool) -> int:
    """Seal everything under the new key. Exit status 1 if something is left that no key at hand opens.

    May be run again at any time, and while the store is in use by processes that have both keys.
    """
    previous = [*map(KeyEncryption.from_file, previous_file), *KeyEncryption.previous_in_environment()]
    given = _new_key(key_file).with_previous(*previous)
    with opened(store_url, keys=given) as store:
        done = reseal(store)
    if as_json:
        left = list(map(_document, done.left))
        print_json({"key_id": done.key_id, "resealed": dict(done.done), "left": left})
    else:
        click.echo(f"sealed {sum(done.done.values())} under {done.key_id}")
        for each in done.left:
            click.echo(f"left: {each.count} of {each.what} under {each.key_id or _UNREADABLE}")
    return NO if done.left else 0


def _document(each: SealedCount) -> dict[str, Any]:
    return {**asdict(each), "key_id": each.key_id or None}


def _new_key(key_file: str | None) -> KeyEncryption:
    found = KeyEncryption.from_environment() if key_file is None else KeyEncryption.from_file(key_file)
    if found is None:
        raise ConfigurationError(f"expected the new key in {ENVIRONMENT_VARIABLE} or --key-file, got neither")
    return found
