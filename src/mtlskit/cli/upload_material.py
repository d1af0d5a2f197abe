"""The chain and the key that a command is given: in PEM, or as PKCS #12; with a password, and roots to lead to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import click
from cryptography import x509

from mtlskit.cli.files import read_certificate_files
from mtlskit.cli.upload_files import Refused, content, password_for_key, password_for_pkcs12
from mtlskit.core.pem import Secret
from mtlskit.fetch.uploads import CertificateUploads, UploadedCertificate

_OPTIONS = (
    click.option("--cert", help="The path to a certificate file (.pem) with the chain, leaf first."),
    click.option("--key", help="The path to a file (.pem) with the leaf's private key."),
    click.option("--pkcs12", help="The path to a PKCS #12 file (.p12), instead of --cert and --key."),
    click.option("--password-file", help="A file with the key's password in its first line.  [default: asked for]"),
    click.option("--trust", multiple=True, help="A file with roots, to one of which the chain must lead; repeatable."),
)


def material_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds the options that `Material.read` takes to a command."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


@dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """What was read, unparsed: a chain and its key in PEM, or both in PKCS #12 (`key` is None)."""

    chain: Secret
    key: Secret | None
    password: Secret
    trust: Sequence[x509.Certificate]

    @classmethod
    def read(
        cls, *, cert: str | None, key: str | None, pkcs12: str | None, password_file: str | None, trust: Sequence[str]
    ) -> Material:
        """Reads the files of a command's options; raises ClickException and CertificateError."""
        if pkcs12 is not None:
            if cert is not None or key is not None:
                raise Refused("can't provide both --pkcs12 and --cert or --key.")
            chain, private_key = content(pkcs12), None
            password = password_for_pkcs12(password_file, pkcs12)
        else:
            cert, key = _given("--cert", cert), _given("--key", key)
            chain, private_key = content(cert), content(key)
            password = password_for_key(password_file, private_key, key)
        roots = read_certificate_files(trust, "a trusted root")
        return cls(chain=chain, key=private_key, password=password, trust=roots)

    def upload(self, uploads: CertificateUploads, *, name: str | None, requester: str) -> UploadedCertificate:
        """Keeps it under a new id."""
        if self.key is None:
            return uploads.upload_pkcs12(
                self.chain, password=self.password, name=name, trust=self.trust, requester=requester
            )
        return uploads.upload(
            self.chain, self.key, password=self.password, name=name, trust=self.trust, requester=requester
        )

    def replace(
        self, uploads: CertificateUploads, certificate_id: str, *, name: str | None, requester: str
    ) -> UploadedCertificate:
        """Keeps it in the place of what is under that id."""
        if self.key is None:
            return uploads.replace_pkcs12(
                certificate_id, self.chain, password=self.password, name=name, trust=self.trust, requester=requester
            )
        return uploads.replace(
            certificate_id, self.chain, self.key, password=self.password, name=name, trust=self.trust,
            requester=requester,
        )  # fmt: skip


def _given(option: str, path: str | None) -> str:
    if path is None:
        raise click.MissingParameter(
            ctx=click.get_current_context(), param_hint=f"'{option}' (or '--pkcs12')", param_type="option"
        )
    return path
