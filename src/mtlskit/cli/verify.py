"""`verify` and `explain`: what the validator says of certificates in files, and the gate of a client of a hostname.

Exit status 0 is yes, 1 is a refusal, 2 is input that cannot be used. What stands in certificates is shown escaped: it
was written by strangers.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from contextlib import closing
from datetime import UTC, datetime
from functools import wraps
from typing import Any, ParamSpec

import click

from mtlskit.cli.files import read_certificate_files, read_lists, read_presented, read_response
from mtlskit.cli.options import NO, json_option, opened, store_option
from mtlskit.cli.paths import tell_path
from mtlskit.cli.policy_requests import request_options
from mtlskit.cli.policy_verdicts import tell_verdict
from mtlskit.cli.refusals import tell_refusal, where_it_stands
from mtlskit.core.durations import read_moment
from mtlskit.core.request import RequestFacts
from mtlskit.core.validation import COMPATIBLE, RFC5280, WEBPKI, Purpose, RevocationMode, TrustStore, verify_path
from mtlskit.core.verdict import Allow
from mtlskit.errors import PathError
from mtlskit.gate import Gate

_PROFILES = {profile.name: profile for profile in (COMPATIBLE, RFC5280, WEBPKI)}
_P = ParamSpec("_P")


def _without_warnings(command: Callable[_P, int]) -> Callable[_P, int]:
    """What the foreign parser warns of is either refused or of no account."""

    @wraps(command)
    def run(*arguments: _P.args, **options: _P.kwargs) -> int:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return command(*arguments, **options)

    return run


@click.command()
@click.option("--cert", required=True, help="The chain as presented, leaf first (PEM), or the leaf alone (PEM, DER).")
@click.option("--ca", "anchors", required=True, multiple=True, help="Trust anchors (PEM, DER); may be repeated.")
@click.option("--intermediate", "helpers", multiple=True, help="More intermediates (PEM, DER); may be repeated.")
@click.option("--crl", "lists", multiple=True, help="Revocation lists (PEM, DER); may be repeated.")
@click.option("--ocsp", "responses", multiple=True, help="OCSP responses (DER); may be repeated.")
@click.option(
    "--purpose", type=click.Choice([each.value for each in Purpose]), default="client_auth", show_default=True
)
@click.option("--hostname", help="The DNS name or IP address that the leaf must have; with server_auth.")
@click.option("--profile", type=click.Choice(list(_PROFILES)), default=COMPATIBLE.name, show_default=True)
@click.option(
    "--revocation",
    type=click.Choice([each.value for each in RevocationMode]),
    help="Whose revocation status must be known.  [default: leaf with --crl or --ocsp, else off]",
)
@click.option("--at", help="The moment to judge at, as in 2026-03-01T12:00:00Z (RFC 3339).  [default: now]")
@json_option
@_without_warnings
def verify(
    cert: str, anchors: Sequence[str], helpers: Sequence[str], lists: Sequence[str], responses: Sequence[str],
    purpose: str, hostname: str | None, profile: str, revocation: str | None, at: str | None, as_json: bool,
) -> int:  # fmt: skip
    """Judge a certificate: show the path to its anchor, or why there is none.

    Exit status 0 if there is a path, 1 if the certificate is refused, 2 if the input cannot be used.
    """
    presented = read_presented(cert)
    trust = TrustStore(
        read_certificate_files(anchors, "a trust anchor"),
        intermediates=read_certificate_files(helpers, "an intermediate"),
        lists=[listed for name in lists for listed in read_lists(name)],
    )
    question: dict[str, Any] = {
        "purpose": purpose,
        "reference_name": hostname,
        "profile": _PROFILES[profile],
        "revocation": RevocationMode(revocation or ("leaf" if lists or responses else "off")),
        "ocsp": list(map(read_response, responses)),
    }
    moment = datetime.now(UTC) if at is None else read_moment(at)
    try:
        path = verify_path(presented, trust, now=moment, **question)
    except PathError as error:
        tell_refusal(error, where_it_stands(error, presented, trust), moment, as_json)
        return NO
    tell_path(path, moment, hostname, as_json)
    return 0


@click.command()
@click.argument("hostname")
@click.option(
    "--cert", help="The client's chain, leaf first (PEM), or its leaf alone (PEM, DER). Without: no certificate."
)
@request_options
@store_option
@json_option
@_without_warnings
def explain(hostname: str, cert: str | None, request: RequestFacts, store_url: str, as_json: bool) -> int:
    """Show what a gate would answer to a client of HOSTNAME, and why; where it has policies, what every rule saw.

    Exit status 0 if the client gets in, 1 if it does not, 2 if the input cannot be used.
    """
    presented = None if cert is None else read_presented(cert)
    with opened(store_url) as store, closing(Gate(store)) as gate:
        verdict = gate.explain(hostname, certificate=presented, request=request)
    tell_verdict(hostname, verdict, as_json)
    return 0 if isinstance(verdict, Allow) else NO
