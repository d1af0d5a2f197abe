"""`renew` and `rekey`: a certificate once more, for the key that it has or for another (RFC 4949: the two terms)."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final

import click
from cryptography import x509

from mtlskit.authority import IssuedCertificate
from mtlskit.cli.chains import ChainDelivery, chain_options
from mtlskit.cli.delivery import Delivery, key_options
from mtlskit.cli.files import read_request
from mtlskit.cli.options import (
    ca_option,
    is_given,
    json_option,
    key_type_option,
    lifetime_option,
    open_authority,
    opened,
    requester_option,
    store_option,
)
from mtlskit.cli.selection import certificate_choice
from mtlskit.cli.tokens import TokenChoice, token_options
from mtlskit.cli.writing import STDOUT
from mtlskit.core.durations import read_time
from mtlskit.core.profiles import PROFILES
from mtlskit.errors import ConfigurationError

_OF_A_NEW_KEY: Final = {"key_type": "--key-type", "key_out": "--key-out", "password_file": "--password-file"}

_profile_option = click.option(
    "--profile", type=click.Choice(list(PROFILES)),
    help="What it is for, where it was issued elsewhere and only recorded.  [default: as before]",
)  # fmt: skip
_after_expiry_option = click.option(
    "--after-expiry", type=read_time, metavar="TIME", help="Also where it ended, at most so long ago."
)


@click.command()
@certificate_choice
@_profile_option
@_after_expiry_option
@chain_options
@ca_option
@lifetime_option
@token_options
@requester_option
@store_option
@json_option
def renew(
    certificate: str | x509.Certificate, profile: str | None, after_expiry: timedelta | None, delivery: ChainDelivery,
    ca: str | None, lifetime: timedelta | None, token: TokenChoice, requester: str, store_url: str, as_json: bool,
) -> None:  # fmt: skip
    """Issue a certificate once more, with its names and for its key, by its SERIAL number or --cert.

    The one before stays good until its end. Without --lifetime, the new one is good for as long as that was.
    """
    delivery.check()
    settings = _settings(profile, after_expiry, lifetime, requester)
    with opened(store_url) as store:
        chain = open_authority(store, ca, signer=token.signer()).renew(certificate, **settings)
    delivery.hand_over(chain, as_json)


@click.command()
@certificate_choice
@click.option("--request", help="A request (PKCS #10; - is stdin) with the new key.  [default: one is made here]")
@_profile_option
@_after_expiry_option
@key_options
@ca_option
@lifetime_option
@key_type_option
@token_options
@requester_option
@store_option
@json_option
def rekey(
    certificate: str | x509.Certificate, request: str | None, profile: str | None, after_expiry: timedelta | None,
    delivery: Delivery, ca: str | None, lifetime: timedelta | None, key_type: str, token: TokenChoice, requester: str,
    store_url: str, as_json: bool,
) -> None:  # fmt: skip
    """Issue a certificate once more, with its names and for another key, by its SERIAL number or --cert.

    The new key is made here and goes where --out says, or comes in a --request, of which nothing else counts.
    """
    settings = _settings(profile, after_expiry, lifetime, requester)
    if request is None:
        place = delivery.check(as_json)
        with opened(store_url) as store:
            authority = open_authority(store, ca, signer=token.signer())
            issued: IssuedCertificate = authority.rekey(certificate, key_type=key_type, **settings)
        delivery.hand_over(place, issued, as_json)
        return
    content, public = read_request(request), _without_key(delivery)
    public.check()
    with opened(store_url) as store:
        chain = open_authority(store, ca, signer=token.signer()).rekey(certificate, request=content, **settings)
    public.hand_over(chain, as_json)


def _settings(
    profile: str | None, after_expiry: timedelta | None, lifetime: timedelta | None, requester: str
) -> dict[str, Any]:
    return {
        "profile": None if profile is None else PROFILES[profile],
        "after_expiry": after_expiry or timedelta(0),
        "lifetime": lifetime,
        "requester": requester,
    }


def _without_key(delivery: Delivery) -> ChainDelivery:
    """The delivery of a request's certificate: what is said of a key that is made here would be passed over."""
    for name, option in _OF_A_NEW_KEY.items():
        if is_given(name):
            raise ConfigurationError(f"expected {option} without --request: the key is with whoever made that")
    return ChainDelivery(form=delivery.form, existing=delivery.existing, out=delivery.out or STDOUT)
