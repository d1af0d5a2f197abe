"""How an issued certificate and its new key get to who wanted them: to files or stdout, or into directories."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import wraps
from pathlib import Path
from typing import Any, Final, assert_never

import click

from mtlskit.authority import IssuedCertificate
from mtlskit.authority.files import Directories, write_private
from mtlskit.cli.authority_words import issued_document, issued_line
from mtlskit.cli.options import Form, format_option, password_option, read_password, replace_option
from mtlskit.cli.output import print_json
from mtlskit.cli.writing import STDOUT, Existing, check_directory, check_place, told_as_issued, write_key
from mtlskit.core.pem import Secret
from mtlskit.errors import ConfigurationError

_ENDINGS: Final = {Form.PEM: ".pem", Form.DER: ".der", Form.PKCS12: ".p12"}
_KEY_ENDING: Final = ".key"
_LONGEST_NAME: Final = 200  # octets; a file system takes 255, and a draft's name is longer
_OTHERS: Final = re.compile(rb"[^A-Za-z0-9._@-]|^\.")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a certificate goes with those above it, and its key: into the same file where `key` is None."""

    certificate: str
    key: str | None = None

    @property
    def has_key(self) -> str:
        """The file that has the key."""
        return self.certificate if self.key is None else self.key


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """In what form a key and its chain are written, and where. The password encrypts PEM and DER where it is given."""

    form: Form
    password: bytes | None = field(repr=False)
    existing: Existing
    out: str | None = None
    key_out: str | None = None

    @classmethod
    def of(cls, form: str, password_file: str | None, replace: bool, out: str | None, key_out: str | None) -> Delivery:
        """What the options say; raises ConfigurationError for a file without a password."""
        password = None if password_file is None else read_password(password_file)
        return cls(form=Form(form), password=password, existing=Existing.of(replace), out=out, key_out=key_out)

    def check(self, as_json: bool) -> Place:
        """The place for one certificate; raises ConfigurationError where it cannot be written."""
        if self.out is None or (as_json and self.out == STDOUT):
            raise ConfigurationError("expected a file for the key (--out FILE, or --out - for stdout), got none")
        self.check_form(self.key_out, "--key-out")
        place = Place(self.out, self.key_out)
        if place.key is not None:
            _check_pair(place.certificate, place.key)
        self.check_key_place(place)
        check_place(place.certificate, self.existing)
        return place

    def check_key_place(self, place: Place) -> None:
        """Raises ConfigurationError where a key that has a file of its own cannot be written."""
        if place.key is not None:
            check_place(place.key, self.existing)

    def check_form(self, key_place: object, option: str) -> None:
        """Raises ConfigurationError where the form needs a password, or has the key elsewhere than the option says."""
        if self.form is Form.PKCS12 and self.password is None:
            raise ConfigurationError("expected --password-file with --format pkcs12, got none")
        if self.form is Form.PKCS12 and key_place is not None:
            raise ConfigurationError(f"expected --format pkcs12 without {option}: it has key and certificates together")
        if self.form is Form.DER and key_place is None:
            raise ConfigurationError(f"expected {option} with --format der, which has one thing in a file, got none")

    def check_directory(self, path: Path) -> None:
        """The directory for many; made, for its owner alone, where it is not there."""
        try:
            path.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise ConfigurationError(f"expected a directory at {str(path)!r}, got {error.strerror!r}") from None
        check_directory(path)

    def place(self, directory: Path, name: str, key_directory: Path | None = None) -> Place:
        """The files for what is called `name`: no other name gets the same, and none leads elsewhere."""
        text = _OTHERS.sub(lambda found: b"%%%02X" % found[0][0], name.encode()).decode("ascii")
        if len(text) > _LONGEST_NAME:
            text = f"{text[:_LONGEST_NAME]}%{hashlib.sha256(name.encode()).hexdigest()[:16]}"
        key = None if key_directory is None else str(key_directory / f"{text}{_KEY_ENDING}")
        return Place(str(directory / f"{text}{_ENDINGS[self.form]}"), key)

    def write(self, place: Place, issued: IssuedCertificate, directories: Directories | None = None) -> None:
        """Writes key and chain, both of them or neither; raises ConfigurationError.

        With `directories`, nothing may be told as written before these are on the disk.
        """
        with told_as_issued(issued.certificate):
            match self.form:
                case Form.PEM if place.key is not None:
                    key = Secret(issued.key_pem(password=self.password))
                    chain = Secret(issued.chain_pem())
                    write_private((Path(place.key), key), (Path(place.certificate), chain), directories=directories)
                case Form.PEM:
                    write_key(place.certificate, issued.to_pem(password=self.password), directories)
                case Form.DER:
                    key, leaf = Secret(issued.key_der(password=self.password)), Secret(issued.certificate_der())
                    write_private((Path(place.has_key), key), (Path(place.certificate), leaf), directories=directories)
                case Form.PKCS12:
                    write_key(place.certificate, issued.to_pkcs12(password=self.password or b""), directories)
                case _:
                    assert_never(self.form)

    def hand_over(self, place: Place, issued: IssuedCertificate, as_json: bool) -> None:
        """Writes one certificate with its key, and tells about it; raises ConfigurationError."""
        self.write(place, issued)
        certificate = issued.certificate
        if as_json:
            print_json({**issued_document(certificate), "file": place.certificate, "key_file": place.has_key})
        elif place.certificate != STDOUT:
            where = place.certificate if place.key is None else f"{place.certificate}, {place.key}"
            click.echo(issued_line(where, certificate))


# Two names of one file: the library notices too, but only when there is a certificate that nobody gets.
def _check_pair(certificate: str, key: str) -> None:
    if STDOUT in (certificate, key):
        raise ConfigurationError("expected a file each for --out and --key-out, got stdout")
    if _whereabouts(certificate) == _whereabouts(key):
        raise ConfigurationError(f"expected another file for --key-out than for --out, got {key!r} twice")


def _whereabouts(path: str) -> str:
    directory, name = os.path.split(path)
    return os.path.join(os.path.realpath(directory), name)


def key_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds the options that say where a new key and its certificates go; the command gets them as one `delivery`."""

    @wraps(command)
    def run(
        form: str, password_file: str | None, replace: bool, out: str | None, key_out: str | None, **options: Any
    ) -> Any:
        return command(**options, delivery=Delivery.of(form, password_file, replace, out, key_out))

    into = "Where certificates and key go: a file of mode 0600, or - for stdout."
    apart = "A file of its own for the key; --out then has the certificates alone. Both are written, or neither."
    for option in (
        replace_option, password_option, format_option, click.option("--key-out", help=apart),
        click.option("--out", help=into),
    ):  # fmt: skip
        run = option(run)
    return run
