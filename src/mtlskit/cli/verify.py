"""`verify` and `explain`: what the validator says of certificates in files, and the gate of a client of a hostname.

Exit status 0 is yes, 1 is a refusal, 2 is input that cannot be used. What stands in certificates is shown escaped: it
was written by strangers.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec

import click

from mtlskit.cli.files import read_certificate_files, read_lists, read_presented, read_response
from mtlskit.cli.paths import tell_path
from mtlskit.cli.refusals import tell_refusal, tell_verdict, where_it_stands
from mtlskit.core.evidence import PeerEvidence
from mtlskit.core.validation import COMPATIBLE, RFC5280, WEBPKI, Purpose, RevocationMode, TrustStore, verify_path
from mtlskit.core.verdict import Allow
from mtlskit.errors import ConfigurationError, PathError
from mtlskit.gate import Gate
from mtlskit.stores import open_store

_PROFILES = {profile.name: profile for profile in (COMPATIBLE, RFC5280, WEBPKI)}
_REFUSED = 1
# RFC 3339, 5.6: a date, a time and an offset, none of them left out.
_RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
_P = ParamSpec("_P")


def _without_warnings(command: Callable[_P, int]) -> Callable[_P, int]:
    """What the foreign parser warns of is either refused or of no account."""

    @wraps(command)
    def run(*arguments: _P.args, **options: _P.kwargs) -> int:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return command(*arguments, **options)

    return run


_json_option = click.option("--json", "as_json", is_flag=True, help="Write JSON to stdout and nothing else.")


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
@_json_option
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
    moment = datetime.now(UTC) if at is None else _moment(at)
    try:
        path = verify_path(presented, trust, now=moment, **question)
    except PathError as error:
        tell_refusal(error, where_it_stands(error, presented, trust), moment, as_json)
        return _REFUSED
    tell_path(path, moment, hostname, as_json)
    return 0


@click.command()
@click.argument("hostname")
@click.option(
    "--cert", help="The client's chain, leaf first (PEM), or its leaf alone (PEM, DER). Without: no certificate."
)
@click.option(
    "--store",
    "store_url",
    default="sqlite:///mtlskit.db",
    show_default=True,
    envvar="MTLSKIT_STORE",
    help="Where the gate's hostnames are kept.",
)
@_json_option
@_without_warnings
def explain(hostname: str, cert: str | None, store_url: str, as_json: bool) -> int:
    """Show what a gate would answer to a client of HOSTNAME, and why.

    Exit status 0 if the client gets in, 1 if it does not, 2 if the input cannot be used.
    """
    presented = None if cert is None else read_presented(cert)
    _check_there(store_url)
    store = open_store(store_url)
    try:
        gate = Gate(store)
        try:
            verdict = gate.decide(PeerEvidence(server_name=hostname, presented=presented), hostname)
        finally:
            gate.close()
    finally:
        store.close()
    tell_verdict(hostname, verdict, as_json)
    return 0 if isinstance(verdict, Allow) else _REFUSED


def _moment(text: str) -> datetime:
    try:
        if _RFC3339.fullmatch(text):
            return datetime.fromisoformat(text.upper()).astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise ConfigurationError(f"expected a moment as 2026-03-01T12:00:00Z (RFC 3339), got {text!r}")


def _check_there(url: str) -> None:
    # To look does not mean to make: a mistyped name would become an empty store that knows no hostname.
    scheme, _, path = url.partition(":///")
    if scheme == "sqlite" and path and not Path(path).exists():
        raise ConfigurationError(f"expected a store that is there, got {url!r}")
