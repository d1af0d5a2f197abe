"""`ca record`: what an authority issued before it was taken over, so that it can be revoked and renewed."""

from __future__ import annotations

from collections.abc import Sequence

import click

from mtlskit.authority.takeover import is_issued_by
from mtlskit.cli.files import read_certificate_files
from mtlskit.cli.options import json_option, open_authority, opened, requester_option, store_option
from mtlskit.cli.output import print_json
from mtlskit.cli.tokens import TokenChoice, token_options
from mtlskit.cli.words import described
from mtlskit.errors import IssuanceError


@click.command("record")
@click.argument("name")
@click.argument("files", nargs=-1, required=True)
@token_options
@requester_option
@store_option
@json_option
def record_issued(
    name: str, files: Sequence[str], token: TokenChoice, requester: str, store_url: str, as_json: bool
) -> None:
    """Write down what an authority issued elsewhere: the certificates in FILES (PEM, DER), all of them or none.

    Then they can be revoked and renewed. What is on record already stays as it is.
    """
    named = [(file, each) for file in files for each in read_certificate_files([file], "a certificate")]
    found = [each for _, each in named]
    with opened(store_url) as store:
        authority = open_authority(store, name, signer=token.signer())
        try:
            authority.record(found, requester=requester)
        except IssuanceError as error:
            issuers = [each.certificate for each in authority.generations]
            strange = next((file for file, one in named if not any(is_issued_by(one, each) for each in issuers)), None)
            if strange is None:
                raise
            raise IssuanceError(f"{error} in {strange!r}") from None
    if as_json:
        print_json({"name": name, "recorded": list(map(described, found))})
    else:
        click.echo(f"{name}: {len(found)} on record")
