"""`policy`: try policies on one client, rehearse them on recorded requests, convert, show and set them.

Exit status 0 is yes, 1 a client that does not get in or would be shut out, 2 input that cannot be used.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime

import click

from mtlskit.cli.files import STDIN
from mtlskit.cli.options import NO, json_option, opened, replace_option, requester_option, store_option
from mtlskit.cli.output import print_json
from mtlskit.cli.policy_clients import Client
from mtlskit.cli.policy_files import form_option, policies_document, policy_file, read_policy_file
from mtlskit.cli.policy_replays import Rehearsal, read_recorded, tell_rehearsal
from mtlskit.cli.policy_requests import read_hostname, request_options
from mtlskit.cli.policy_verdicts import tell_tested
from mtlskit.cli.refusals import tell_refusal, where_it_stands
from mtlskit.cli.writing import STDOUT, Existing, check_public_place, write_public
from mtlskit.core.custom_hostname import PolicyMode
from mtlskit.core.durations import read_moment
from mtlskit.core.policy import FileForm, explain
from mtlskit.core.request import RequestFacts
from mtlskit.errors import ConfigurationError, PathError
from mtlskit.gate import Gate

_FORMS = click.Choice([each.value for each in FileForm])


@click.group()
@click.pass_context
def policy(context: click.Context) -> None:
    """Try, rehearse, convert, show and set access policies."""
    # What the foreign parser warns of in a certificate is either refused or of no account.
    context.with_resource(warnings.catch_warnings(action="ignore"))


@policy.command("test")
@click.argument("file")
@form_option
@click.option("--cert", help="The client's chain, leaf first (PEM), or its leaf alone (PEM, DER). Without: none.")
@click.option("--host", required=True, metavar="HOSTNAME", help="The hostname that is asked for.")
@click.option("--ca", "anchors", multiple=True, help="Trust anchors to judge the chain by first; may be repeated.")
@request_options
@click.option("--at", help="The moment of the request, as in 2026-03-01T12:00:00Z (RFC 3339).  [default: now]")
@json_option
def try_out(
    file: str, form: str | None, cert: str | None, host: str, anchors: Sequence[str], request: RequestFacts,
    at: str | None, as_json: bool,
) -> int:  # fmt: skip
    """Say whether the policies of FILE let in one client with one request, and what every rule saw.

    FILE is JSON or TOML; - is stdin. Without --ca the certificate is taken as verified. Exit status 0 if the client
    gets in, 1 if it does not, 2 if the input cannot be used.
    """
    policies, client = read_policy_file(file, form), Client.of_files(cert, anchors)
    hostname, moment = read_hostname(host), datetime.now(UTC) if at is None else read_moment(at)
    try:
        identity = client.identity(hostname, moment)
    except PathError as error:
        where = "" if client.presented is None else where_it_stands(error, client.presented, client.trust)
        tell_refusal(error, where, moment, as_json)
        return NO
    explanation = explain(policies, identity, replace(request, hostname=hostname, at=moment))
    tell_tested(hostname, moment, client.words(identity), explanation, as_json)
    return 0 if explanation.outcome.allowed else NO


@policy.command("replay")
@click.argument("file")
@form_option
@click.option("--requests", "recorded", required=True, metavar="FILE", help="Recorded requests, a line of JSON each.")
@click.option(
    "--most", type=click.IntRange(1, 100_000), default=1_000, show_default=True, help="How many clients to name."
)
@json_option
def rehearse(file: str, form: str | None, recorded: str, most: int, as_json: bool) -> int:
    """Say who would be shut out, and who let in, if the policies of FILE were asked about recorded requests.

    Either file may be -, which is stdin. Exit status 0 if nobody would be shut out, 1 if somebody would, 2 if the
    input cannot be used.
    """
    if file == recorded == STDIN:
        raise ConfigurationError("expected one of two files on stdin, got both")
    policies = read_policy_file(file, form)
    found = Rehearsal.of(read_recorded(recorded), policies)
    tell_rehearsal(found, most, as_json)
    return NO if found.shut_out else 0


@policy.command()
@click.argument("file")
@form_option
@click.option("--to", required=True, type=_FORMS, help="The form that they are wanted in.")
@click.option("--out", default=STDOUT, show_default=True, help="Where they go; - is stdout.")
@replace_option
@json_option
def convert(file: str, form: str | None, to: str, out: str, replace: bool, as_json: bool) -> None:
    """Write the policies of FILE in the other form, or in the same one as this library writes it."""
    check_public_place(out, Existing.of(replace))
    policies = read_policy_file(file, form)
    content = policy_file(policies, FileForm(to))
    if not (as_json and out == STDOUT):
        write_public(out, content)
    if as_json:
        print_json({"form": to, "out": out, "policies": len(policies), "content": content.decode()})
    elif out != STDOUT:
        click.echo(f"{out}: {_counted(len(policies))}")


@policy.command()
@click.argument("hostname")
@click.option(
    "--to", type=_FORMS, default=FileForm.JSON.value, show_default=True, help="The form that they are wanted in."
)
@store_option
@json_option
def show(hostname: str, to: str, store_url: str, as_json: bool) -> None:
    """Print the policies of HOSTNAME (or a wildcard) as a file; with --json the record's version and mode too."""
    if as_json and to != FileForm.JSON.value:
        raise ConfigurationError(f"expected --json or --to {to}, got both")
    with opened(store_url) as store, closing(Gate(store)) as gate:
        found = gate.hostnames.get(hostname)
    if as_json:
        record = {"hostname": str(found.pattern), "version": found.version, "mode": found.policy_mode.value}
        print_json({**record, **policies_document(found.policies)})
    else:
        write_public(STDOUT, policy_file(found.policies, FileForm(to)))


@policy.command("set")
@click.argument("hostname")
@click.argument("file")
@form_option
@click.option(
    "--mode", type=click.Choice([each.value for each in PolicyMode]),
    help="Whether they are enforced, or only recorded.  [default: as it is]",
)  # fmt: skip
@click.option("--version", type=click.IntRange(1), help="The record's version that was looked at: no other is changed.")
@click.option("--open", "is_open", is_flag=True, help="Take a FILE without policies: every verified client gets in.")
@requester_option
@store_option
@json_option
def set_policies(
    hostname: str, file: str, form: str | None, mode: str | None, version: int | None, is_open: bool,
    requester: str, store_url: str, as_json: bool,
) -> None:  # fmt: skip
    """Replace the policies of HOSTNAME (or a wildcard) by those of FILE, from the next request on."""
    policies = read_policy_file(file, form)
    if not policies and not is_open:
        raise ConfigurationError("expected a policy, or --open to let every verified client in, got neither")
    with opened(store_url) as store, closing(Gate(store)) as gate:
        made = gate.hostnames.set_policies(hostname, policies, policy_mode=mode, version=version, requester=requester)
    if as_json:
        record = {"hostname": str(made.pattern), "version": made.version, "mode": made.policy_mode.value}
        print_json({**record, "policies": len(made.policies)})
        return
    click.echo(f"{made.pattern}: {_counted(len(policies))}, mode {made.policy_mode.value}, version {made.version}")


def _counted(count: int) -> str:
    if not count:
        return "no policies: whoever has a verified certificate gets in"
    return "1 policy" if count == 1 else f"{count} policies"
