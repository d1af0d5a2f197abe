"""`ca create` and `ca take-over`: new authorities in a store."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import click
from cryptography import x509

from mtlskit.authority import CertificateAuthority
from mtlskit.cli.authority_words import tell_generation
from mtlskit.cli.files import read_certificate_files, read_lists
from mtlskit.cli.options import (
    content_of,
    json_option,
    key_type_option,
    lifetime_option,
    open_authority,
    opened,
    opened_or_made,
    password_option,
    read_password,
    read_record,
    rehearse,
    requester_option,
    store_option,
)
from mtlskit.cli.tokens import TokenChoice, token_options
from mtlskit.core.certificates import SigningChain, read_private_key
from mtlskit.core.names import SanType
from mtlskit.core.profiles import AuthorityConstraints, ExtendedKeyUsage, Locations, NameSubtree
from mtlskit.errors import ConfigurationError
from mtlskit.ports import Store

_LARGEST_KEY = 65_536  # bytes of a file
_TYPES = ", ".join(SanType)
_CLIENTS_OF = (
    "Only for clients, with DNS names of that hostname alone. URIs, email and IP addresses are not bound, nor is a "
    "common name beside another name."
)
_SERVERS_OF = "Only for servers, with DNS names of that hostname alone and no IP addresses."

_crl_url = click.option("--crl-url", multiple=True, help="Where its revocation list will be; may be repeated.")
_ocsp_url = click.option("--ocsp-url", multiple=True, help="Where its OCSP responder will be; may be repeated.")
_issuer_url = click.option("--issuer-url", multiple=True, help="Where its certificate will be; may be repeated.")


@click.command()
@click.argument("name")
@click.option("--parent", help="The authority above it; without, it is a root.")
@click.option("--for-clients-of", metavar="HOSTNAME", help=_CLIENTS_OF)
@click.option("--for-servers-of", metavar="HOSTNAME", help=_SERVERS_OF)
@click.option("--path-length", type=click.IntRange(0), help="How many authorities may follow below it.")
@click.option(
    "--purpose", "purposes", multiple=True,
    type=click.Choice([ExtendedKeyUsage.CLIENT_AUTH.value, ExtendedKeyUsage.SERVER_AUTH.value]),
    help="What its certificates are for; may be repeated.  [default: anything]",
)  # fmt: skip
@click.option("--permitted", multiple=True, help=f"A subtree of names, as in dns:acme.example ({_TYPES}); repeatable.")
@click.option("--excluded", multiple=True, help="A subtree that its certificates must not name; may be repeated.")
@_crl_url
@_ocsp_url
@_issuer_url
@key_type_option
@lifetime_option
@token_options
@requester_option
@store_option
@json_option
def create(
    name: str, parent: str | None, for_clients_of: str | None, for_servers_of: str | None, path_length: int | None,
    purposes: Sequence[str], permitted: Sequence[str], excluded: Sequence[str], crl_url: Sequence[str],
    ocsp_url: Sequence[str], issuer_url: Sequence[str], key_type: str, lifetime: timedelta | None, token: TokenChoice,
    requester: str, store_url: str, as_json: bool,
) -> None:  # fmt: skip
    """Make an authority: a root, or one below another; with a key in the store, or in a token."""
    own = AuthorityConstraints(
        path_length=path_length,
        extended_key_usages=tuple(map(ExtendedKeyUsage, purposes)),
        permitted=tuple(map(_subtree, permitted)),
        excluded=tuple(map(_subtree, excluded)),
    )
    constraints = _constraints(own, for_clients_of, for_servers_of)
    locations = Locations(crl=tuple(crl_url), ocsp=tuple(ocsp_url), issuers=tuple(issuer_url))
    settings: dict[str, Any] = {
        "constraints": constraints, "locations": locations, "lifetime": lifetime, "requester": requester,
    }  # fmt: skip
    if parent is None:
        rehearse(store_url, lambda store: CertificateAuthority.create(name, store=store, **settings))
    with (opened_or_made if parent is None else opened)(store_url) as store:
        above = None if parent is None else open_authority(store, parent)
        signer = token.signer_or_new(key_type)
        CertificateAuthority.create(name, store=store, parent=above, key_type=key_type, signer=signer, **settings)
        _tell(store, name, as_json)


def _constraints(own: AuthorityConstraints, clients_of: str | None, servers_of: str | None) -> AuthorityConstraints:
    chosen = [
        constraints
        for constraints in (
            None if clients_of is None else AuthorityConstraints.for_clients_of(clients_of),
            None if servers_of is None else AuthorityConstraints.for_servers_of(servers_of),
            None if own == AuthorityConstraints() else own,
        )
        if constraints is not None
    ]
    if len(chosen) > 1:
        raise ConfigurationError(
            "expected one of --for-clients-of, --for-servers-of and constraints of one's own, got several"
        )
    return chosen[0] if chosen else own


def _subtree(text: str) -> NameSubtree:
    kind, _, base = text.partition(":")
    if kind not in set(SanType) or not base:
        raise ConfigurationError(f"expected a subtree as 'dns:acme.example' (of {_TYPES}), got {text!r:.80}")
    return NameSubtree(SanType(kind), base)


@click.command("take-over")
@click.argument("name")
@click.option(
    "--cert", "certificates", required=True, multiple=True, help="Its certificate, then those above it; repeatable."
)
@click.option("--key", help="A file with its private key (PEM); without, a token has it.")
@password_option
@click.option("--last-crl", help="Its last complete revocation list (PEM, DER): numbers and revocations go on from it.")
@_crl_url
@_ocsp_url
@_issuer_url
@token_options
@requester_option
@store_option
@json_option
def take_over(
    name: str, certificates: Sequence[str], key: str | None, password_file: str | None, last_crl: str | None,
    crl_url: Sequence[str], ocsp_url: Sequence[str], issuer_url: Sequence[str], token: TokenChoice, requester: str,
    store_url: str, as_json: bool,
) -> None:  # fmt: skip
    """Take over an authority that exists elsewhere, with its certificate and key.

    Without --last-crl, its lists begin at number 1 and have nothing that was revoked before.
    """
    found = read_certificate_files(certificates, "an authority's certificate")
    locations = Locations(crl=tuple(crl_url), ocsp=tuple(ocsp_url), issuers=tuple(issuer_url))
    signer = None
    chain: SigningChain | None = None
    if key is None:
        signer = token.signer()
        if signer is None:
            raise ConfigurationError("expected the authority's key, in a file (--key) or in a token, got neither")
    else:
        password = None if password_file is None else read_password(password_file)
        chain = SigningChain(read_private_key(content_of(key, most=_LARGEST_KEY), password=password), found)
    settings: dict[str, Any] = {
        "signer": signer, "locations": locations, "requester": requester,
        "last_crl": None if last_crl is None else _last_list(last_crl),
    }  # fmt: skip
    rehearse(store_url, lambda store: CertificateAuthority.take_over(name, chain or found, store=store, **settings))
    with opened_or_made(store_url) as store:
        CertificateAuthority.take_over(name, chain or found, store=store, **settings)
        _tell(store, name, as_json)


def _last_list(name: str) -> x509.CertificateRevocationList:
    found = list(read_lists(name))
    if len(found) != 1:
        raise ConfigurationError(f"expected one revocation list in {name!r}, got {len(found)}")
    return x509.load_der_x509_crl(found[0].der)


def _tell(store: Store, name: str, as_json: bool) -> None:
    record = read_record(store, name)
    tell_generation(record, record.active.number, as_json)
