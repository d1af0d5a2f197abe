"""`revoke` and `release`: the end of a certificate, and the end of a hold (RFC 5280, 5.3.1)."""

from __future__ import annotations

import click
from cryptography import x509

from mtlskit.authority import RevocationReason, read_serial
from mtlskit.cli.options import ca_option, json_option, open_authority, opened, requester_option, store_option
from mtlskit.cli.output import print_json
from mtlskit.cli.selection import certificate_choice
from mtlskit.cli.tokens import TokenChoice, token_options
from mtlskit.cli.words import shown_time


@click.command()
@certificate_choice
@click.option(
    "--reason", type=click.Choice([each.value for each in RevocationReason]), default="unspecified", show_default=True
)
@ca_option
@token_options
@requester_option
@store_option
@json_option
def revoke(
    certificate: str | x509.Certificate, reason: str, ca: str | None, token: TokenChoice, requester: str,
    store_url: str, as_json: bool,
) -> None:  # fmt: skip
    """Revoke a certificate by its SERIAL number (hexadecimal in any notation, or decimal: and digits), or --cert.

    What is revoked as certificate_hold can be released again.
    """
    with opened(store_url) as store:
        authority = open_authority(store, ca, signer=token.signer())
        done = authority.revoke(certificate, reason=reason, requester=requester)
    told = {"serial": f"{done.serial_number:x}", "reason": done.reason, "revoked_at": shown_time(done.revoked_at)}
    if as_json:
        print_json(told)
    else:
        click.echo(f"{told['serial']} is revoked since {told['revoked_at']}: {told['reason']}")


@click.command()
@certificate_choice
@ca_option
@token_options
@requester_option
@store_option
@json_option
def release(
    certificate: str | x509.Certificate, ca: str | None, token: TokenChoice, requester: str, store_url: str,
    as_json: bool,
) -> None:  # fmt: skip
    """Release a certificate from a hold, by its SERIAL number or --cert: whoever has it gets in again.

    Only what was revoked as certificate_hold can be released. Again, or for what is not revoked: nothing happens.
    """
    number = certificate.serial_number if isinstance(certificate, x509.Certificate) else read_serial(certificate)
    with opened(store_url) as store:
        hold = open_authority(store, ca, signer=token.signer()).release(certificate, requester=requester)
    since = None if hold is None else shown_time(hold.revoked_at)
    if as_json:
        print_json({"serial": f"{number:x}", "released": hold is not None, "on_hold_since": since})
    elif hold is None:
        click.echo(f"{number:x} is not on hold: nothing to release")
    else:
        click.echo(f"{number:x} is released: it was on hold since {since}")
