"""`sign` and `revoke`: certificates for keys that others have, and the end of any."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import timedelta

import click
from cryptography import x509

from mtlskit.authority import RevocationReason
from mtlskit.cli.authority_words import issued_document
from mtlskit.cli.files import read_certificate_files
from mtlskit.cli.options import (
    ca_option,
    content_of,
    json_option,
    lifetime_option,
    name_options,
    open_authority,
    opened,
    replace_option,
    requester_option,
    store_option,
)
from mtlskit.cli.output import print_json
from mtlskit.cli.tokens import TokenChoice, token_options
from mtlskit.cli.words import shown_time
from mtlskit.cli.writing import STDOUT, Existing, check_place, write_public
from mtlskit.core.profiles import CLIENT, SERVER
from mtlskit.errors import ConfigurationError

STDIN = "-"
_LARGEST_REQUEST = 65_536  # bytes
_PROFILES = {profile.name: profile for profile in (CLIENT, SERVER)}


@click.command()
@click.argument("request")
@click.option("--profile", type=click.Choice(list(_PROFILES)), default=CLIENT.name, show_default=True)
@click.option("--common-name", help="The name in the certificate, in place of the request's.")
@name_options
@click.option("--out", default=STDOUT, show_default=True, help="Where the chain goes, in PEM; - is stdout.")
@replace_option
@ca_option
@lifetime_option
@token_options
@requester_option
@store_option
@json_option
def sign(
    request: str, profile: str, common_name: str | None, dns: Sequence[str], uris: Sequence[str],
    emails: Sequence[str], ips: Sequence[str], out: str, replace: bool, ca: str | None, lifetime: timedelta | None,
    token: TokenChoice, requester: str, store_url: str, as_json: bool,
) -> None:  # fmt: skip
    """Sign a certification request (PKCS #10 in PEM or DER; - is stdin).

    The names are those given here; without any, a client's are the request's.
    """
    content = (
        sys.stdin.buffer.read(_LARGEST_REQUEST + 1) if request == STDOUT else content_of(request, most=_LARGEST_REQUEST)
    )
    check_place(out, Existing.of(replace))
    with opened(store_url) as store:
        chain = open_authority(store, ca, signer=token.signer()).sign_request(
            content, profile=_PROFILES[profile], common_name=common_name, dns=dns, uris=uris, emails=emails, ips=ips,
            lifetime=lifetime, requester=requester,
        )  # fmt: skip
    if not (as_json and out == STDOUT):
        write_public(out, chain.to_pem())
    if as_json:
        print_json({**issued_document(chain.certificates()[0]), "chain": chain.to_pem().decode("ascii")})


@click.command()
@click.argument("serial", required=False)
@click.option("--cert", help="A file with the certificate, in place of its serial number.")
@click.option(
    "--reason", type=click.Choice([each.value for each in RevocationReason]), default="unspecified", show_default=True
)
@ca_option
@token_options
@store_option
@json_option
def revoke(
    serial: str | None, cert: str | None, reason: str, ca: str | None, token: TokenChoice, store_url: str, as_json: bool
) -> None:
    """Revoke a certificate by its SERIAL number (hexadecimal in any notation, or decimal: and digits), or --cert."""
    found = _certificate_or_serial(serial, cert)
    with opened(store_url) as store:
        done = open_authority(store, ca, signer=token.signer()).revoke(found, reason=reason)
    told = {"serial": f"{done.serial_number:x}", "reason": done.reason, "revoked_at": shown_time(done.revoked_at)}
    if as_json:
        print_json(told)
    else:
        click.echo(f"{told['serial']} is revoked since {told['revoked_at']}: {told['reason']}")


def _certificate_or_serial(serial: str | None, cert: str | None) -> str | x509.Certificate:
    if serial is not None and cert is None:
        return serial
    if cert is None or serial is not None:
        raise ConfigurationError("expected a serial number or --cert, got both or neither")
    return read_certificate_files([cert], "a certificate")[0]
