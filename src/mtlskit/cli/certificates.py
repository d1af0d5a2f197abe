"""`mtls-certificate` and `cert`: the uploaded certificates. Flags, prompts, texts and errors are wrangler's.

What differs: dates are written as YYYY-MM-DD in UTC whatever the locale; there are `--json`, `--yes`, PKCS #12,
passwords, `show` and `replace`; a question that nobody answers is an error instead of a yes. Errors are one line on
stderr and exit status 2; a deletion that is not confirmed is status 0.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from functools import wraps
from typing import Any, Final, TypeAlias

import click

from mtlskit.cli.options import json_option, opened_or_made, rehearse, requester_option
from mtlskit.cli.output import print_json, print_json_list
from mtlskit.cli.upload_files import Refused, confirmed, content, one_line_errors
from mtlskit.cli.upload_material import Material, material_options
from mtlskit.cli.upload_words import called, entry, shown, tell_upload, tell_whole
from mtlskit.cli.words import escaped
from mtlskit.errors import NotFound
from mtlskit.fetch.upload_authorities import AuthorityUploads
from mtlskit.fetch.uploads import CertificateUploads, UploadedCertificate
from mtlskit.ports import Store

_Uploads: TypeAlias = CertificateUploads | AuthorityUploads
_Choice: TypeAlias = tuple[_Uploads, UploadedCertificate]
_BOTH: Final = "can't provide both --id and --name."
_NEITHER: Final = "must provide --id or --name."

_store_of_all = click.option(
    "--store", "store_url", default="sqlite:///mtlskit.db", show_default=True, envvar="MTLSKIT_STORE",
    help="Where certificates are kept.",
)  # fmt: skip
_id_option = click.option("--id", "certificate_id", help="The ID of the mTLS certificate.")
_name_option = click.option("--name", help="The name of the certificate.")
_yes_option = click.option("--yes", "-y", is_flag=True, help="Do not ask.")


def _with_store(command: Callable[..., None]) -> Callable[..., None]:
    """Gives a command the URL of the store, which may stand before it or behind; one line for what goes wrong."""

    @click.option("--store", "own_store", help="Where certificates are kept.")
    @click.pass_obj
    @wraps(command)
    def run(store_url: str, /, own_store: str | None, **options: Any) -> None:
        one_line_errors(command)(own_store or store_url, **options)

    return run


@click.group("mtls-certificate")
@_store_of_all
@click.pass_context
def mtls_certificate(context: click.Context, store_url: str) -> None:
    """Manage certificates used for mTLS connections."""
    context.obj = store_url


@click.group()
@_store_of_all
@click.pass_context
def cert(context: click.Context, store_url: str) -> None:
    """Manage client certificates and CA certificates used for mTLS connections."""
    context.obj = store_url


@cert.group("upload")
def cert_upload() -> None:
    """Upload a new certificate."""


@mtls_certificate.command()
@material_options
@_name_option
@requester_option
@json_option
@_with_store
def upload(store_url: str, name: str | None, requester: str, as_json: bool, **given: Any) -> None:
    """Upload an mTLS certificate."""
    settings: dict[str, Any] = {"name": name, "requester": requester}
    material = Material.read(**given)
    if not as_json:
        click.echo(f"Uploading mTLS Certificate{called(name)}...")
    rehearse(store_url, lambda store: material.upload(CertificateUploads(store), **settings))
    with opened_or_made(store_url) as store:
        done = material.upload(CertificateUploads(store), **settings)
    tell_upload(done, f"Uploaded mTLS Certificate{called(name)}", as_json)


cert_upload.add_command(upload, "mtls-certificate")


@cert_upload.command("certificate-authority")
@click.option("--ca-cert", required=True, help="The path to a certificate file (.pem) with one or several CAs.")
@_name_option
@requester_option
@json_option
@_with_store
def upload_authority(store_url: str, ca_cert: str, name: str | None, requester: str, as_json: bool) -> None:
    """Upload CA certificates."""
    settings: dict[str, Any] = {"name": name, "requester": requester}
    certificates = content(ca_cert)
    if not as_json:
        click.echo(f"Uploading CA Certificate{called(name)}...")
    rehearse(store_url, lambda store: AuthorityUploads(store).upload(certificates, **settings))
    with opened_or_made(store_url) as store:
        done = AuthorityUploads(store).upload(certificates, **settings)
    tell_upload(done, f"Uploaded CA Certificate{called(name)}", as_json)


@cert.group("replace")
def cert_replace() -> None:
    """Put another certificate under the ID of an uploaded one."""


@mtls_certificate.command()
@click.option("--id", "certificate_id", required=True, help="The ID of the mTLS certificate to replace.")
@material_options
@click.option("--name", help="Its new name; without, it keeps the one that it has.")
@requester_option
@json_option
@_with_store
def replace(
    store_url: str, certificate_id: str, name: str | None, requester: str, as_json: bool, **given: Any
) -> None:  # fmt: skip
    """Put another chain and key under the ID of an mTLS certificate."""
    material = Material.read(**given)
    if not as_json:
        click.echo(f"Replacing mTLS Certificate {escaped(certificate_id)}...")
    rehearse(store_url, lambda store: _of_id([CertificateUploads(store)], certificate_id))
    with opened_or_made(store_url) as store:
        uploads = CertificateUploads(store)
        _of_id([uploads], certificate_id)
        done = material.replace(uploads, certificate_id, name=name, requester=requester)
    tell_upload(done, f"Replaced mTLS Certificate {done.id}", as_json)


cert_replace.add_command(replace, "mtls-certificate")


@cert_replace.command("certificate-authority")
@click.option("--id", "certificate_id", required=True, help="The ID of the CA certificates to replace.")
@click.option("--ca-cert", required=True, help="The path to a certificate file (.pem) with one or several CAs.")
@click.option("--name", help="Their new name; without, they keep the one that they have.")
@requester_option
@json_option
@_with_store
def replace_authority(
    store_url: str, certificate_id: str, ca_cert: str, name: str | None, requester: str, as_json: bool
) -> None:  # fmt: skip
    """Put other CA certificates under the ID of uploaded ones."""
    certificates = content(ca_cert)
    if not as_json:
        click.echo(f"Replacing CA Certificate {escaped(certificate_id)}...")
    rehearse(store_url, lambda store: _of_id([AuthorityUploads(store)], certificate_id))
    with opened_or_made(store_url) as store:
        uploads = AuthorityUploads(store)
        _of_id([uploads], certificate_id)
        done = uploads.replace(certificate_id, certificates, name=name, requester=requester)
    tell_upload(done, f"Replaced CA Certificate {done.id}", as_json)


@mtls_certificate.command("list")
@json_option
@_with_store
def list_certificates(store_url: str, as_json: bool) -> None:
    """List uploaded mTLS certificates."""
    with opened_or_made(store_url) as store:
        _tell_all(iter(CertificateUploads(store)), as_json)


@cert.command("list")
@json_option
@_with_store
def list_all(store_url: str, as_json: bool) -> None:
    """List uploaded mTLS certificates and CA certificates."""
    with opened_or_made(store_url) as store:
        _tell_all(heapq.merge(*_of_both_kinds(store), key=lambda each: each.id), as_json)


@mtls_certificate.command()
@_id_option
@_name_option
@json_option
@_with_store
def show(store_url: str, certificate_id: str | None, name: str | None, as_json: bool) -> None:
    """Show an mTLS certificate and its chain; never its key."""
    _check_choice(certificate_id, name, _BOTH, _NEITHER)
    rehearse(store_url, lambda store: _chosen([CertificateUploads(store)], certificate_id, name))
    with opened_or_made(store_url) as store:
        uploads = CertificateUploads(store)
        _, chosen = _chosen([uploads], certificate_id, name)
        tell_whole(chosen, uploads.certificates(chosen.id), as_json)


@mtls_certificate.command()
@_id_option
@_name_option
@_yes_option
@requester_option
@json_option
@_with_store
def delete(store_url: str, certificate_id: str | None, name: str | None, **options: Any) -> None:
    """Delete an mTLS certificate."""
    _check_choice(certificate_id, name, _BOTH, _NEITHER)
    _delete(store_url, lambda store: _chosen([CertificateUploads(store)], certificate_id, name), **options)


@cert.command("delete")
@_id_option
@_name_option
@_yes_option
@requester_option
@json_option
@_with_store
def delete_any(store_url: str, certificate_id: str | None, name: str | None, **options: Any) -> None:
    """Delete an mTLS certificate or a CA certificate."""
    _check_choice(certificate_id, name, _BOTH.capitalize(), _NEITHER.capitalize())
    _delete(store_url, lambda store: _chosen(_of_both_kinds(store), certificate_id, name), **options)


def _delete(store_url: str, choose: Callable[[Store], _Choice], *, yes: bool, requester: str, as_json: bool) -> None:
    rehearse(store_url, choose)
    with opened_or_made(store_url) as store:
        uploads, chosen = choose(store)
        question = f"Are you sure you want to delete certificate {shown(chosen)}?"
        deleted = yes or confirmed(question, on_stderr=as_json)
        if deleted:
            uploads.delete(chosen.id, requester=requester)
    if as_json:
        print_json({"id": chosen.id, "deleted": deleted})
    else:
        click.echo(f"Deleted certificate {shown(chosen)} successfully" if deleted else "Not deleting")


def _check_choice(certificate_id: str | None, name: str | None, both: str, neither: str) -> None:
    if certificate_id and name:
        raise Refused(both)
    if not certificate_id and not name:
        raise Refused(neither)


def _chosen(kinds: Sequence[_Uploads], certificate_id: str | None, name: str | None) -> _Choice:
    if certificate_id:
        return _of_id(kinds, certificate_id)
    found = [(uploads, each) for uploads in kinds for each in uploads.list(name, limit=2)]
    if len(found) != 1:
        problem = "multiple certificates" if found else "certificate not"
        raise Refused(f'{problem} found with name "{escaped(name or "")}"')
    return found[0]


def _of_id(kinds: Sequence[_Uploads], certificate_id: str) -> _Choice:
    for uploads in kinds:
        with suppress(NotFound):
            return uploads, uploads.get(certificate_id)
    raise Refused(f'certificate not found with id "{escaped(certificate_id)}"')


def _of_both_kinds(store: Store) -> tuple[CertificateUploads, AuthorityUploads]:
    return CertificateUploads(store), AuthorityUploads(store)


def _tell_all(found: Iterable[UploadedCertificate], as_json: bool) -> None:
    if as_json:
        print_json_list(each.document() for each in found)
        return
    for each in found:
        click.echo(entry(each) + "\n")
