"""`ca`: the commands about authorities, and those that only look; what makes, changes and exports is beside."""

from __future__ import annotations

import click

from mtlskit.authority.generations import AuthorityRecord
from mtlskit.authority.ledger import AUTHORITY, REVOCATION, Revocation, scan_reservations
from mtlskit.authority.serials import serial_key
from mtlskit.cli.authority_words import Standing, summary, summary_line, tell_authority
from mtlskit.cli.exporting import export
from mtlskit.cli.making import create, take_over
from mtlskit.cli.options import json_option, opened, read_record, store_option
from mtlskit.cli.output import print_json_list
from mtlskit.cli.recording import record_issued
from mtlskit.cli.revocation_lists import crl
from mtlskit.cli.rotation import rotate
from mtlskit.core.certificates import public_key_id
from mtlskit.paging import stored
from mtlskit.ports import Snapshot


@click.group("ca")
def ca() -> None:
    """Make and keep certificate authorities."""


for command in (create, take_over, record_issued, export, crl, rotate):
    ca.add_command(command)


@ca.command("list")
@store_option
@json_option
def list_authorities(store_url: str, as_json: bool) -> None:
    """List the authorities by name."""
    with opened(store_url) as store:
        records = (AuthorityRecord.from_json(each.value) for each in stored(store, AUTHORITY))
        if as_json:
            print_json_list(map(summary, records))
            return
        for record in records:
            click.echo(summary_line(record))


@ca.command()
@click.argument("name")
@store_option
@json_option
def show(name: str, store_url: str, as_json: bool) -> None:
    """Show an authority: its keys one after another, its limits, and what was begun and never finished."""
    with opened(store_url) as store:
        record = read_record(store, name)
        with store.snapshot() as snapshot:
            standing = _standing(snapshot, record)
    tell_authority(record, standing, as_json)


def _standing(snapshot: Snapshot, record: AuthorityRecord) -> Standing:
    pending = [each for one in record.generations for each in scan_reservations(snapshot, one.key_id)]
    revoked: dict[int, Revocation | None] = {}
    for one in record.generations:
        if not one.above:
            continue
        serial = serial_key(one.certificate.serial_number)
        found = snapshot.get(REVOCATION, public_key_id(one.above[0]).hex(), serial)
        if found is not None or record.parent:
            revoked[one.number] = None if found is None else Revocation.of(found)
    return Standing(pending, revoked)
