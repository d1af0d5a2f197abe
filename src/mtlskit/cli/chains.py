"""How the certificates for a key that somebody else has get to who wanted them: nothing in here is secret."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any

import click
from cryptography import x509

from mtlskit.cli.authority_words import issued_document, issued_line
from mtlskit.cli.options import Form, replace_option
from mtlskit.cli.output import print_json
from mtlskit.cli.writing import STDOUT, Existing, check_public_place, told_as_issued, write_public
from mtlskit.core.certificates import PresentedChain
from mtlskit.errors import ConfigurationError


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainDelivery:
    """Where a chain goes, and in what form: PEM has all of it, DER the end-entity certificate alone."""

    form: Form
    existing: Existing
    out: str

    def __post_init__(self) -> None:
        if self.form is Form.PKCS12:
            raise ConfigurationError("expected --format pem or der for a key that somebody else has, got pkcs12")

    def check(self) -> None:
        """Raises ConfigurationError where it cannot be written."""
        check_public_place(self.out, self.existing)

    def hand_over(self, chain: PresentedChain, as_json: bool) -> None:
        """Writes the chain, and tells about it unless it is on stdout itself; raises ConfigurationError."""
        certificate = x509.load_der_x509_certificate(chain.leaf_der)
        if not (as_json and self.out == STDOUT):
            with told_as_issued(certificate):
                write_public(self.out, chain.leaf_der if self.form is Form.DER else chain.to_pem())
        if as_json:
            print_json({**issued_document(certificate), "chain": chain.to_pem().decode("ascii")})
        elif self.out != STDOUT:
            click.echo(issued_line(self.out, certificate))


def chain_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds the options that say where a chain goes; the command gets them as one `delivery`."""

    @wraps(command)
    def run(out: str, form: str, replace: bool, **options: Any) -> Any:
        return command(**options, delivery=ChainDelivery(form=Form(form), existing=Existing.of(replace), out=out))

    forms = click.option(
        "--format", "form", type=click.Choice([Form.PEM.value, Form.DER.value]), default=Form.PEM.value,
        show_default=True, help="pem has the chain, der the certificate alone.",
    )  # fmt: skip
    place = click.option("--out", default=STDOUT, show_default=True, help="Where the chain goes; - is stdout.")
    return place(forms(replace_option(run)))
