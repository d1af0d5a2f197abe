"""`mtls-certificate upload|list|delete`: the uploaded client certificates. Flags, texts and errors are wrangler's.

Two things differ: dates are written as YYYY-MM-DD in UTC whatever the locale, and there are `--json`, `--yes` and
`--password-file`. Errors are one line on stderr and exit status 2; a deletion that is not confirmed is status 0.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec

import click

from mtlskit.cli.options import rehearse
from mtlskit.errors import MTLSError, NotFound
from mtlskit.fetch.uploads import CertificateUploads, UploadedCertificate
from mtlskit.stores import open_store

_P = ParamSpec("_P")


class Refused(click.ClickException):
    """What the command line could not do, in one line."""

    exit_code = 2


def _one_line_errors(command: Callable[_P, None]) -> Callable[_P, None]:
    @wraps(command)
    def run(*arguments: _P.args, **options: _P.kwargs) -> None:
        try:
            command(*arguments, **options)
        except MTLSError as error:
            raise Refused(" ".join(str(error).split())) from error

    return run


_json_option = click.option("--json", "as_json", is_flag=True, help="Write JSON to stdout and nothing else.")


@click.group("mtls-certificate")
@click.option(
    "--store",
    "store_url",
    default="sqlite:///mtlskit.db",
    show_default=True,
    envvar="MTLSKIT_STORE",
    help="Where certificates are kept.",
)
@click.pass_context
def mtls_certificate(context: click.Context, store_url: str) -> None:
    """Manage certificates used for mTLS connections."""
    context.obj = store_url


@mtls_certificate.command()
@click.option("--cert", required=True, help="The path to a certificate file (.pem) with the chain, leaf first.")
@click.option("--key", required=True, help="The path to a file (.pem) with the leaf's private key.")
@click.option("--name", help="The name of the certificate.")
@click.option("--password-file", help="The path to a file with the password of an encrypted key.")
@_json_option
@click.pass_obj
@_one_line_errors
def upload(store_url: str, cert: str, key: str, name: str | None, password_file: str | None, as_json: bool) -> None:
    """Upload an mTLS certificate."""
    chain, private_key = _content(cert), _content(key)
    password = None if password_file is None else _content(password_file).rstrip(b"\r\n")
    called = f" {name}" if name else ""
    if not as_json:
        click.echo(f"Uploading mTLS Certificate{called}...")
    settings: dict[str, Any] = {"name": name, "password": password}
    rehearse(store_url, lambda store: CertificateUploads(store).upload(chain, private_key, **settings))
    with _uploads(store_url) as uploads:
        done = uploads.upload(chain, private_key, **settings)
    if as_json:
        click.echo(json.dumps(_as_dict(done)))
        return
    click.echo(f"Success! Uploaded mTLS Certificate{called}")
    click.echo(f"ID: {done.id}\nIssuer: {done.issuer}\nExpires on {_date(done.expires_on)}")


@mtls_certificate.command("list")
@_json_option
@click.pass_obj
@_one_line_errors
def list_certificates(store_url: str, as_json: bool) -> None:
    """List uploaded mTLS certificates."""
    with _uploads(store_url) as uploads:
        found = uploads.list()
    if as_json:
        click.echo(json.dumps([_as_dict(each) for each in found]))
        return
    for each in found:
        click.echo(_entry(each) + "\n")


@mtls_certificate.command()
@click.option("--id", "certificate_id", help="The ID of the mTLS certificate to delete.")
@click.option("--name", help="The name of the mTLS certificate to delete.")
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@_json_option
@click.pass_obj
@_one_line_errors
def delete(store_url: str, certificate_id: str | None, name: str | None, yes: bool, as_json: bool) -> None:
    """Delete an mTLS certificate."""
    rehearse(store_url, lambda store: _chosen(CertificateUploads(store), certificate_id, name))
    with _uploads(store_url) as uploads:
        chosen = _chosen(uploads, certificate_id, name)
        shown = f"{chosen.id} ({chosen.name})" if chosen.name else chosen.id
        deleted = yes or click.confirm(f"Are you sure you want to delete certificate {shown}?", err=as_json)
        if deleted:
            uploads.delete(chosen.id)
    if as_json:
        click.echo(json.dumps({"id": chosen.id, "deleted": deleted}))
    else:
        click.echo(f"Deleted certificate {shown} successfully" if deleted else "Not deleting")


def _chosen(uploads: CertificateUploads, certificate_id: str | None, name: str | None) -> UploadedCertificate:
    if certificate_id and name:
        raise Refused("can't provide both --id and --name.")
    if certificate_id:
        return _of_id(uploads, certificate_id)
    if not name:
        raise Refused("must provide --id or --name.")
    found = uploads.list(name)
    if len(found) != 1:
        problem = "multiple certificates" if found else "certificate not"
        raise Refused(f'{problem} found with name "{name}"')
    return found[0]


def _of_id(uploads: CertificateUploads, certificate_id: str) -> UploadedCertificate:
    try:
        return uploads.get(certificate_id)
    except NotFound:
        raise Refused(f'certificate not found with id "{certificate_id}"') from None


@contextmanager
def _uploads(store_url: str) -> Iterator[CertificateUploads]:
    store = open_store(store_url)
    try:
        yield CertificateUploads(store)
    finally:
        store.close()


def _content(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except (OSError, ValueError):
        raise Refused(f"Could not read file: {path}") from None


def _entry(uploaded: UploadedCertificate) -> str:
    lines = [f"ID: {uploaded.id}"]
    if uploaded.name:
        lines.append(f"Name: {uploaded.name}")
    lines += [
        f"Issuer: {uploaded.issuer}",
        f"Created on: {_date(uploaded.uploaded_on)}",
        f"Expires on: {_date(uploaded.expires_on)}",
    ]
    return "\n".join(lines)


def _as_dict(uploaded: UploadedCertificate) -> dict[str, Any]:
    """As the API of Cloudflare's certificate store names them."""
    return {
        "id": uploaded.id,
        "name": uploaded.name,
        "issuer": uploaded.issuer,
        "serial_number": f"{uploaded.serial_number:X}",
        "uploaded_on": uploaded.uploaded_on.isoformat(),
        "expires_on": uploaded.expires_on.isoformat(),
    }


def _date(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d}"
