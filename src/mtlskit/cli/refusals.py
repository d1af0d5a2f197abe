"""A refusal in words: the reason, the certificate at fault and where it stands, the facts; and a gate's verdict."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from cryptography import x509
from rich.text import Text

from mtlskit.cli.output import console, print_json
from mtlskit.cli.words import described, escaped, shown_time
from mtlskit.core.certificates import PresentedChain, to_der
from mtlskit.core.validation import TrustStore
from mtlskit.errors import PathError


def tell_refusal(error: PathError, where: str, moment: datetime, as_json: bool) -> None:
    """Prints why there is no path; `where` is the place of the certificate at fault."""
    document: dict[str, Any] = {
        "verdict": "refused",
        "reason": error.reason.value,
        "detail": escaped(error.detail),
        "moment": shown_time(moment),
        "where": where or None,
        "certificate": None if error.certificate is None else described(error.certificate),
        "facts": {name: _fact(value) for name, value in error.facts.items()},
    }
    if as_json:
        print_json(document)
        return
    out = console()
    out.print(Text(f"refused: {error.reason.value}", "bold red"))
    out.print(Text(escaped(error.detail)))
    if where:
        out.print(Text(f"\nat fault: {where}"))
    _print_fields(document["certificate"] or {})
    if document["facts"]:
        out.print(Text("\nfacts:"))
        _print_fields(document["facts"])


def _print_fields(fields: Mapping[str, Any]) -> None:
    for name, value in fields.items():
        if value not in (None, "", []):
            console().print(Text(f"  {name}: {', '.join(map(str, value)) if isinstance(value, list) else value}"))


def where_it_stands(error: PathError, presented: PresentedChain, trust: TrustStore) -> str:
    """The place of the certificate at fault; empty where there is none."""
    position = error.facts.get("position")
    if isinstance(position, int):
        return _place(position)
    if error.certificate is None:
        return ""
    der = to_der(error.certificate)
    if der in presented.ders:
        return _place(presented.ders.index(der))
    if any(der == to_der(anchor.certificate) for anchor in trust.anchors):
        return "trust anchor"
    return "intermediate"


def _place(position: int) -> str:
    return "leaf" if position == 0 else f"presented certificate {position + 1}"


def _fact(value: object) -> Any:
    if isinstance(value, datetime):
        return shown_time(value)
    if isinstance(value, x509.ObjectIdentifier):
        return value.dotted_string
    if isinstance(value, tuple | list | frozenset | set):
        return [_fact(each) for each in value]
    return value if isinstance(value, int) else escaped(str(value))
