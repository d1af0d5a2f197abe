"""`sign`: certificates for keys that others have."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import click

from mtlskit.cli.chains import ChainDelivery, chain_options
from mtlskit.cli.files import read_request
from mtlskit.cli.options import (
    ca_option,
    json_option,
    lifetime_option,
    name_options,
    open_authority,
    opened,
    requester_option,
    store_option,
)
from mtlskit.cli.tokens import TokenChoice, token_options
from mtlskit.core.profiles import CLIENT, PROFILES


@click.command()
@click.argument("request")
@click.option("--profile", type=click.Choice(list(PROFILES)), default=CLIENT.name, show_default=True)
@click.option("--common-name", help="The name in the certificate, in place of the request's.")
@name_options
@chain_options
@ca_option
@lifetime_option
@token_options
@requester_option
@store_option
@json_option
def sign(
    request: str, profile: str, common_name: str | None, dns: Sequence[str], uris: Sequence[str],
    emails: Sequence[str], ips: Sequence[str], delivery: ChainDelivery, ca: str | None, lifetime: timedelta | None,
    token: TokenChoice, requester: str, store_url: str, as_json: bool,
) -> None:  # fmt: skip
    """Sign a certification request (PKCS #10 in PEM or DER; - is stdin).

    The names are those given here; without any, a client's are the request's.
    """
    content = read_request(request)
    delivery.check()
    with opened(store_url) as store:
        chain = open_authority(store, ca, signer=token.signer()).sign_request(
            content, profile=PROFILES[profile], common_name=common_name, dns=dns, uris=uris, emails=emails, ips=ips,
            lifetime=lifetime, requester=requester,
        )  # fmt: skip
    delivery.hand_over(chain, as_json)
