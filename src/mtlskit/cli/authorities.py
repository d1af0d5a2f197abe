"""`ca`: look at authorities, and hand out their certificates and lists; what makes and changes them is beside."""

from __future__ import annotations

from datetime import timedelta

import click
from cryptography.hazmat.primitives.serialization import Encoding

from mtlskit.authority.generations import AuthorityRecord
from mtlskit.authority.ledger import AUTHORITY, scan_reservations
from mtlskit.authority.opened import find_authority
from mtlskit.cli.authority_words import certificate_document, summary, summary_line, tell_authority
from mtlskit.cli.making import create, take_over
from mtlskit.cli.options import (
    Form,
    format_option,
    json_option,
    open_authority,
    opened,
    password_option,
    read_password,
    read_time,
    replace_option,
    requester_option,
    store_option,
)
from mtlskit.cli.output import print_json, print_json_list
from mtlskit.cli.rotation import rotate
from mtlskit.cli.tokens import TokenChoice, token_options
from mtlskit.cli.words import shown_time
from mtlskit.cli.writing import STDOUT, Existing, check_place, write_key, write_public
from mtlskit.core.certificates import to_pem
from mtlskit.errors import ConfigurationError
from mtlskit.paging import stored
from mtlskit.ports import Store


@click.group("ca")
def ca() -> None:
    """Make and keep certificate authorities."""


ca.add_command(create)
ca.add_command(take_over)
ca.add_command(rotate)


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
        record = _record(store, name)
        with store.snapshot() as snapshot:
            pending = [each for one in record.generations for each in scan_reservations(snapshot, one.key_id)]
    tell_authority(record, pending, as_json)


@ca.command()
@click.argument("name")
@click.option("--out", help="Where it goes; - is stdout.  [default: stdout for certificates, none for a key]")
@click.option("--anchors", is_flag=True, help="All certificates to be trusted, in place of the active one's chain.")
@format_option
@password_option
@replace_option
@requester_option
@store_option
@json_option
def export(
    name: str, out: str | None, anchors: bool, form: str, password_file: str | None, replace: bool, requester: str,
    store_url: str, as_json: bool,
) -> None:  # fmt: skip
    """Export an authority's certificates in PEM; as PKCS #12 with its key, which the audit log records."""
    place = _place(out, form, as_json)
    if Form(form) is Form.PKCS12 and anchors:
        raise ConfigurationError("expected --anchors without --format pkcs12, which has the active certificate")
    password = _password(form, password_file)
    check_place(place, Existing.of(replace))
    with opened(store_url) as store:
        if password is not None:
            write_key(place, open_authority(store, name).export_pkcs12(password=password, requester=requester))
        record = _record(store, name)
    found = (
        [each.certificate for each in record.trusted] if anchors else [record.active.certificate, *record.active.above]
    )
    if password is None and not (as_json and place == STDOUT):
        write_public(place, to_pem(found))
    if as_json:
        print_json([{**certificate_document(each), "pem": to_pem([each]).decode("ascii")} for each in found])


def _place(out: str | None, form: str, as_json: bool) -> str:
    if Form(form) is Form.PEM:
        return out or STDOUT
    if out is None or (as_json and out == STDOUT):
        raise ConfigurationError("expected a file for the key (--out FILE, or --out - for stdout), got none")
    return out


def _password(form: str, password_file: str | None) -> bytes | None:
    if Form(form) is Form.PEM:
        if password_file is not None:
            raise ConfigurationError("expected --password-file with --format pkcs12: certificates are not encrypted")
        return None
    if password_file is None:
        raise ConfigurationError("expected --password-file with --format pkcs12, got none")
    return read_password(password_file)


@ca.command()
@click.argument("name")
@click.option("--out", default=STDOUT, show_default=True, help="Where the list goes; - is stdout.")
@click.option("--der", is_flag=True, help="In DER, as it is published, in place of PEM.")
@click.option(
    "--lifetime", type=read_time, metavar="TIME", default="7d", show_default=True, help="The time until nextUpdate."
)
@click.option("--generation", type=click.IntRange(1), help="Of that generation's key.  [default: the active one's]")
@token_options
@store_option
@json_option
def crl(
    name: str, out: str, der: bool, lifetime: timedelta, generation: int | None, token: TokenChoice, store_url: str,
    as_json: bool,
) -> None:  # fmt: skip
    """Make a revocation list under the next number."""
    if as_json and out == STDOUT:
        raise ConfigurationError("expected a file for the list (--out) with --json, got stdout")
    check_place(out, Existing.REPLACE)
    with opened(store_url) as store:
        made = open_authority(store, name, signer=token.signer()).crl(lifetime=lifetime, generation=generation)
    write_public(out, made.public_bytes(Encoding.DER if der else Encoding.PEM))
    if as_json:
        number = next(each.value.crl_number for each in made.extensions if hasattr(each.value, "crl_number"))
        end = made.next_update_utc
        print_json(
            {
                "number": number,
                "entries": len(made),
                "this_update": shown_time(made.last_update_utc),
                "next_update": None if end is None else shown_time(end),
                "file": out,
            }
        )


def _record(store: Store, name: str) -> AuthorityRecord:
    return AuthorityRecord.from_json(find_authority(store, name).value)
