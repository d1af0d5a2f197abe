"""Files of policies, as the commands read and write them."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import click

from mtlskit.cli.files import STDIN
from mtlskit.cli.options import content_of
from mtlskit.core.policy import AccessPolicy, FileForm, policies_from_text, policies_to_text
from mtlskit.errors import ConfigurationError, MTLSError

_LARGEST: Final = 8 * 1024 * 1024  # octets

form_option = click.option(
    "--form", type=click.Choice([each.value for each in FileForm]),
    help="How FILE is written.  [default: as its name ends]",
)  # fmt: skip


def read_policy_file(name: str, form: str | None) -> tuple[AccessPolicy, ...]:
    """The policies of a file, or of stdin where that is `-`; raises ConfigurationError with the path of a fault."""
    chosen = FileForm(form) if form is not None else _form_of(name)
    try:
        return policies_from_text(_content(name), chosen)
    except MTLSError as error:
        raise ConfigurationError(f"{error} in {name!r}") from None


def _form_of(name: str) -> FileForm:
    ending = Path(name).suffix.lower().removeprefix(".")
    if ending not in FileForm.__members__.values():
        raise ConfigurationError(f"expected a name that ends in .json or .toml, or --form, got {name!r}")
    return FileForm(ending)


def _content(name: str) -> bytes:
    if name != STDIN:
        return content_of(name, most=_LARGEST)
    content = sys.stdin.buffer.read(_LARGEST + 1)
    if len(content) > _LARGEST:
        raise ConfigurationError(f"expected at most {_LARGEST} bytes, got more")
    return content


def policies_document(policies: Sequence[AccessPolicy]) -> dict[str, Any]:
    """The policies as they stand in a file, with their rule groups."""
    document: dict[str, Any] = json.loads(policies_to_text(policies, FileForm.JSON))
    return document


def policy_file(policies: Sequence[AccessPolicy], form: FileForm) -> bytes:
    """The content of a file with these policies; raises ConfigurationError for what cannot be written.

    What moves the cursor or turns the reading direction stands there as an escape of that form.
    """
    text = policies_to_text(policies, form)
    try:
        return "".join(each if each.isprintable() or each == "\n" else _escape(each, form) for each in text).encode()
    except UnicodeEncodeError:
        raise ConfigurationError("expected policies that TOML can say, got half of a surrogate pair") from None


def _escape(character: str, form: FileForm) -> str:
    match form:
        case FileForm.JSON:
            return json.dumps(character)[1:-1]
        case FileForm.TOML:  # which knows no surrogates, not even as an escape
            return f"\\U{ord(character):08X}" if not "\ud800" <= character <= "\udfff" else character
