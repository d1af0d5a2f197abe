"""Options that several commands share, and what they stand for: a store, an authority, a time, a password."""

from __future__ import annotations

import os
import pwd
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

import click
from click.core import ParameterSource

from mtlskit.authority import CertificateAuthority, KeyType, Signer
from mtlskit.authority.generations import AuthorityRecord
from mtlskit.authority.ledger import AUTHORITY
from mtlskit.authority.opened import find_authority
from mtlskit.core.durations import read_time
from mtlskit.errors import ConfigurationError
from mtlskit.ports import Store
from mtlskit.stores import KeyEncryption, open_store

NO: Final = 1  # the exit status of a command that ran and whose answer is no

_LONGEST_PASSWORD: Final = 1_023  # bytes: what a key's encryption takes


_NAMES: Final = (
    ("dns", "dns", "A hostname"), ("uris", "uri", "A URI"), ("emails", "email", "An email address"),
    ("ips", "ip", "An address"),
)  # fmt: skip


class Form(StrEnum):
    """How certificates are written, and a key with them."""

    PEM = "pem"  # the key encrypted where there is a password
    DER = "der"  # one thing in a file, for DER knows no chains; a key encrypted where there is a password
    PKCS12 = "pkcs12"  # RFC 7292, under a password


def _login() -> str:
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())


store_option = click.option(
    "--store", "store_url", default="sqlite:///mtlskit.db", show_default=True, envvar="MTLSKIT_STORE",
    help="Where state is kept.",
)  # fmt: skip
json_option = click.option("--json", "as_json", is_flag=True, help="Write JSON to stdout and nothing else.")
ca_option = click.option("--ca", "ca", help="The authority's name; may be left out where the store has only one.")
requester_option = click.option(
    "--requester", default=_login, help="Who wants it, for the audit log.  [default: the login name]"
)
lifetime_option = click.option(
    "--lifetime", type=read_time, metavar="TIME", help="How long it is good for, as in 30d or 12h."
)
key_type_option = click.option(
    "--key-type", type=click.Choice([each.value for each in KeyType]), default=KeyType.EC_P256.value, show_default=True
)
password_option = click.option("--password-file", help="A file with the password in its first line.")
format_option = click.option(
    "--format", "form", type=click.Choice([each.value for each in Form]), default=Form.PEM.value, show_default=True,
    help="How certificates and keys are written; in der, a file has one of them.",
)  # fmt: skip
replace_option = click.option("--replace", is_flag=True, help="Write over a file that is there.")


def name_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds the options of subject alternative names to a command: `dns`, `uris`, `emails` and `ips`."""
    for name, option, what in reversed(_NAMES):
        text = f"{what} as subject alternative name; may be repeated."
        command = click.option(f"--{option}", name, multiple=True, help=text)(command)
    return command


@contextmanager
def opened(url: str, *, keys: KeyEncryption | None = None) -> Iterator[Store]:
    """The store that is there; raises ConfigurationError where it is not.

    To look does not mean to make: a mistyped name would become an empty store.
    """
    if _is_missing(url):
        raise ConfigurationError(f"expected a store that is there, got {url!r}")
    with opened_or_made(url, keys=keys) as store:
        yield store


def _is_missing(url: str) -> bool:
    scheme, _, path = url.partition(":///")
    return scheme == "sqlite" and bool(path) and not os.path.exists(path)


@contextmanager
def opened_or_made(url: str, *, keys: KeyEncryption | None = None) -> Iterator[Store]:
    """The store of that URL."""
    store = open_store(url, keys=keys)
    try:
        yield store
    finally:
        store.close()


def rehearse(url: str, work: Callable[[Store], object]) -> None:
    """Does the work in a store that is forgotten, where that of the URL would have to be made.

    What cannot be done raises its error here, and leaves no empty database and no key file.
    """
    if _is_missing(url):
        with opened_or_made("memory://") as store:
            work(store)


def open_authority(store: Store, name: str | None, *, signer: Signer | None = None) -> CertificateAuthority:
    """The authority of that name, or the only one; raises NotFound and ConfigurationError."""
    return CertificateAuthority.open(name if name is not None else _only_one(store), store=store, signer=signer)


def read_record(store: Store, name: str) -> AuthorityRecord:
    """What the store has of an authority; raises NotFound."""
    return AuthorityRecord.from_json(find_authority(store, name).value)


def _only_one(store: Store) -> str:
    with store.snapshot() as snapshot:
        found = [record.key for record in snapshot.scan(AUTHORITY, "", limit=2)]
    if not found:
        raise ConfigurationError("expected an authority in the store, got none")
    if len(found) > 1:
        raise ConfigurationError("expected the name of one of several authorities (--ca), got none")
    return found[0]


def is_given(name: str) -> bool:
    """Whether the running command's own arguments have the option of that name, and not its default alone."""
    return click.get_current_context().get_parameter_source(name) is ParameterSource.COMMANDLINE


def read_password(path: str) -> bytes:
    """The password in the first line of a file; raises ConfigurationError for a file without one."""
    password = content_of(path, most=65_536).partition(b"\n")[0].rstrip(b"\r")
    if not 0 < len(password) <= _LONGEST_PASSWORD:
        raise ConfigurationError(
            f"expected a password of 1 to {_LONGEST_PASSWORD} bytes in {path!r}, got {len(password)} bytes"
        )
    return password


def content_of(path: str, *, most: int) -> bytes:
    """The content of a file of at most so many bytes; raises ConfigurationError."""
    try:
        with Path(path).open("rb") as file:
            content = file.read(most + 1)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "no such name"
        raise ConfigurationError(f"expected a file that can be read, got {path!r}: {why}") from None
    if len(content) > most:
        raise ConfigurationError(f"expected a file of at most {most} bytes, got more in {path!r}")
    return content
