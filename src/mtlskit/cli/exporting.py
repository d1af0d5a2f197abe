"""`ca export`: an authority's certificates for those who trust it, and its key for another place."""

from __future__ import annotations

from collections.abc import Sequence

import click
from cryptography import x509

from mtlskit.authority import CertificateAuthority
from mtlskit.cli.authority_words import certificate_document, issued_line
from mtlskit.cli.options import (
    Form,
    format_option,
    json_option,
    open_authority,
    opened,
    password_option,
    read_password,
    replace_option,
    requester_option,
    store_option,
)
from mtlskit.cli.output import print_json
from mtlskit.cli.writing import STDOUT, Existing, check_place, check_public_place, write_key, write_public
from mtlskit.core.certificates import to_der, to_pem
from mtlskit.errors import ConfigurationError, NotFound


@click.command()
@click.argument("name")
@click.option("--out", help="Where it goes; - is stdout.  [default: stdout for certificates, none for a key]")
@click.option("--anchors", is_flag=True, help="All certificates to be trusted, in place of the active one's chain.")
@click.option("--cross-certificates", is_flag=True, help="In its place, what leads from one of its keys to another.")
@click.option("--generation", type=click.IntRange(1), help="In its place, the chain of that generation.")
@format_option
@password_option
@replace_option
@requester_option
@store_option
@json_option
def export(
    name: str, out: str | None, anchors: bool, cross_certificates: bool, generation: int | None, form: str,
    password_file: str | None, replace: bool, requester: str, store_url: str, as_json: bool,
) -> None:  # fmt: skip
    """Export an authority's certificates in PEM, or one of them in DER.

    As PKCS #12 it is the active one with its key, which the audit log records.
    """
    parsed = Form(form)
    place = _place(out, parsed, as_json)
    _check_choice([anchors, cross_certificates, generation is not None], parsed)
    password = _password(parsed, password_file)
    check = check_public_place if password is None else check_place
    check(place, Existing.of(replace))
    with opened(store_url) as store:
        authority = open_authority(store, name)
        if password is not None:
            write_key(place, authority.export_pkcs12(password=password, requester=requester))
    if anchors:
        found: Sequence[x509.Certificate] = authority.anchors
    elif cross_certificates:
        found = _cross_certificates(authority)
    else:
        found = _chain(authority, generation, parsed)
    content = _content(found, parsed)
    if password is None and not (as_json and place == STDOUT):
        write_public(place, content)
    if not as_json and place != STDOUT:
        for each in found:
            click.echo(issued_line(place, each))
    if as_json:
        print_json([{**certificate_document(each), "pem": to_pem([each]).decode("ascii")} for each in found])


def _place(out: str | None, form: Form, as_json: bool) -> str:
    if form is not Form.PKCS12:
        return out or STDOUT
    if out is None or (as_json and out == STDOUT):
        raise ConfigurationError("expected a file for the key (--out FILE, or --out - for stdout), got none")
    return out


def _check_choice(choices: Sequence[bool], form: Form) -> None:
    if sum(choices) > 1:
        raise ConfigurationError("expected one of --anchors, --cross-certificates and --generation, got several")
    if any(choices) and form is Form.PKCS12:
        raise ConfigurationError(
            "expected --anchors, --cross-certificates and --generation without --format pkcs12, "
            "which has the active certificate"
        )


def _password(form: Form, password_file: str | None) -> bytes | None:
    if form is not Form.PKCS12:
        if password_file is not None:
            raise ConfigurationError("expected --password-file with --format pkcs12: certificates are not encrypted")
        return None
    if password_file is None:
        raise ConfigurationError("expected --password-file with --format pkcs12, got none")
    return read_password(password_file)


def _cross_certificates(authority: CertificateAuthority) -> Sequence[x509.Certificate]:
    if not authority.cross_certificates:
        raise NotFound(f"expected a root with another key, got {authority.name!r}, which has no cross-certificates")
    return authority.cross_certificates


def _chain(authority: CertificateAuthority, number: int | None, form: Form) -> Sequence[x509.Certificate]:
    """The certificate of a generation and those above it; in DER alone, for that knows no chains."""
    active = authority.certificate
    for each in authority.generations:
        if each.certificate == active if number is None else each.number == number:
            return [each.certificate] if form is Form.DER else [each.certificate, *each.above]
    raise NotFound(f"expected a generation of {authority.name!r}, got the number {number}")


def _content(found: Sequence[x509.Certificate], form: Form) -> bytes:
    if form is not Form.DER:
        return to_pem(found)
    if len(found) != 1:
        raise ConfigurationError(f"expected one certificate for --format der, got {len(found)}")
    return to_der(found[0])
