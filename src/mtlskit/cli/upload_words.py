"""How uploads are told of: wrangler's lines, and JSON under the names of Cloudflare's API. Dates are UTC's."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import datetime

import click
from cryptography import x509

from mtlskit.cli.output import print_json
from mtlskit.cli.words import escaped, subject
from mtlskit.core.certificates import to_der, to_pem
from mtlskit.fetch.uploads import UploadedCertificate


def called(name: str | None) -> str:
    """The name behind a blank, where there is one."""
    return f" {escaped(name)}" if name else ""


def shown(uploaded: UploadedCertificate) -> str:
    """What a certificate is called in a question: its id, and its name."""
    return f"{uploaded.id} ({escaped(uploaded.name)})" if uploaded.name else uploaded.id


def tell_upload(uploaded: UploadedCertificate, what: str, as_json: bool) -> None:
    """That something is kept now; `what` says it."""
    if as_json:
        print_json(uploaded.document())
        return
    click.echo(f"Success! {what}")
    click.echo(f"ID: {uploaded.id}\nIssuer: {escaped(uploaded.issuer)}\nExpires on {_date(uploaded.expires_on)}")


def entry(uploaded: UploadedCertificate) -> str:
    """The lines of one in a list."""
    lines = [
        f"ID: {uploaded.id}",
        *([f"Name: {escaped(uploaded.name)}"] if uploaded.name else []),
        f"Issuer: {escaped(uploaded.issuer)}",
        f"Created on: {_date(uploaded.uploaded_on)}",
        f"Expires on: {_date(uploaded.expires_on)}",
        *(["CA: true"] if uploaded.ca else []),
    ]
    return "\n".join(lines)


def tell_whole(uploaded: UploadedCertificate, chain: Sequence[x509.Certificate], as_json: bool) -> None:
    """All that is told of one."""
    fingerprint = hashlib.sha256(to_der(chain[0])).hexdigest()
    if as_json:
        more = {"subject": subject(chain[0]), "sha256": fingerprint, "certificates": to_pem(chain).decode("ascii")}
        print_json({**uploaded.document(), **more})
        return
    click.echo(entry(uploaded))
    click.echo(f"Serial number: {uploaded.serial_number:X}\nSHA-256: {fingerprint}")
    for place, certificate in enumerate(chain, start=1):
        click.echo(f"Certificate {place}: {subject(certificate)}")


def _date(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d}"
