"""Bindings as they stand in a file. Owns the words of `wrangler.toml`, whose errors are wrangler's.

    mtls_certificates = [{ binding = "MY_CERT", certificate_id = "<id>" }]      # at the top, or under [env.NAME]

A named environment does not inherit bindings. `origins` in an entry is ours: the origins the certificate may go to.
A file whose name begins with `mtlskit` has the form of `own_file`.
"""

from __future__ import annotations

import json
import logging
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography import x509

from mtlskit.errors import ConfigurationError
from mtlskit.fetch.own_file import (
    AuthorityEntry,
    FilesEntry,
    TrustEntry,
    own_bindings,
    own_entry,
    own_section,
    own_trust,
)
from mtlskit.fetch.targets import BoundOrigins
from mtlskit.ports import ServerTrust, Store

_log = logging.getLogger("mtlskit.fetch")
_FIELD = "mtls_certificates"
_OWN = "mtlskit"
_KNOWN = frozenset({"binding", "certificate_id", "remote", "origins"})


@dataclass(frozen=True, slots=True, kw_only=True)
class BindingEntry:
    """One binding of a configuration: its name, where its certificate is from, and its origins if it names any."""

    binding: str
    certificate: str | FilesEntry | AuthorityEntry  # text: the id of an upload
    origins: BoundOrigins = field(default_factory=lambda: BoundOrigins(()))


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """What a file says: bindings, and which servers are trusted."""

    bindings: tuple[BindingEntry, ...]
    trust: ServerTrust | TrustEntry = ServerTrust.CERTIFI

    def trusted(self, store: Store) -> ServerTrust | tuple[x509.Certificate, ...]:
        """As an `Environment` takes it. Raises what `TrustEntry.roots` raises."""
        return self.trust.roots(store) if isinstance(self.trust, TrustEntry) else self.trust


def read_configuration(path: str | Path, *, environment: str | None = None) -> Configuration:
    """What a TOML or JSON file says, at its top or under `[env.<environment>]` if one is named.

    Raises ConfigurationError, naming the file and the place in it, for a file that cannot be read, an environment
    that it has not, or an entry of the wrong form. Fields that are not known are warned about.
    """
    document = _load(Path(path))
    if Path(path).name.startswith(_OWN):
        return _own(document, environment, Path(path))
    section, where = _section(document, environment, str(path))
    entries = section.get(_FIELD, ())
    if not isinstance(entries, list | tuple):
        raise ConfigurationError(f'{path}: The field "{where}{_FIELD}" should be an array but got {_json(entries)}')
    found = tuple(_entry(each, f"{where}{_FIELD}[{index}]", str(path)) for index, each in enumerate(entries))
    _check_distinct(found, str(path))
    return Configuration(bindings=found)


def _own(document: Mapping[str, Any], environment: str | None, path: Path) -> Configuration:
    try:
        section, where = own_section(document, environment)
        table = own_bindings(section, where)
        bindings = tuple(_own_entry(name, entry, f"{where}bindings.{name}", path) for name, entry in table.items())
        return Configuration(bindings=bindings, trust=own_trust(section, where, path.parent))
    except ConfigurationError as error:
        raise ConfigurationError(f"{path}: {error}") from None


def _own_entry(name: str, entry: Any, where: str, path: Path) -> BindingEntry:
    certificate = own_entry(entry, where, path.parent)
    return BindingEntry(binding=name, certificate=certificate, origins=_origins(entry, where, ""))


def _load(path: Path) -> Mapping[str, Any]:
    try:
        data = path.read_text(encoding="utf-8-sig")  # some editors begin UTF-8 with a mark, which wrangler passes over
    except (OSError, UnicodeError):
        raise ConfigurationError(f"Could not read file: {path}") from None
    try:
        document = _parse(path, data)
    except ValueError as error:
        raise ConfigurationError(f"{path}: expected well-formed {path.suffix[1:].upper()}, {error}") from None
    if not isinstance(document, dict):
        raise ConfigurationError(f"{path}: expected an object, got {_json(document)}")
    return document


def _parse(path: Path, data: str) -> Any:
    match path.suffix:
        case ".toml":
            return tomllib.loads(data)
        case ".json" | ".jsonc":
            return _with_comments(data)
    raise ConfigurationError(f"expected a file of bindings in '.toml', '.json' or '.jsonc', got {str(path)!r}")


def _with_comments(data: str) -> Any:
    """JSON as wrangler reads it, whatever the file is called: comments and trailing commas are no errors."""
    try:
        return json.loads(data)
    except ValueError as error:
        strict = error
    except RecursionError:
        raise ValueError("got too many brackets in one another") from None
    try:
        import pyjson5
    except ImportError:
        raise ValueError(f"or the extra 'fetch' for JSON with comments, got {strict}") from None
    try:
        return pyjson5.decode(data)
    except pyjson5.Json5Exception as error:
        raise ValueError(f"got {error.args[0]}") from None


def _section(document: Mapping[str, Any], environment: str | None, path: str) -> tuple[Mapping[str, Any], str]:
    if environment is None:
        return document, ""
    environments = document.get("env", {})
    section = environments.get(environment) if isinstance(environments, dict) else None
    if not isinstance(section, dict):
        raise ConfigurationError(f"{path}: expected the environment {environment!r} under 'env', got none")
    if _FIELD in document and _FIELD not in section:
        _log.warning(
            '%s: "%s" exists at the top level, but not on "env.%s": it is not inherited', path, _FIELD, environment
        )
    return section, f"env.{environment}."


def _entry(entry: object, where: str, path: str) -> BindingEntry:
    if not isinstance(entry, dict):
        raise ConfigurationError(f'{path}: "{where}" bindings should be objects, but got {_json(entry)}')
    for name in ("binding", "certificate_id"):
        if not isinstance(entry.get(name), str) or not entry[name]:
            raise ConfigurationError(
                f'{path}: "{where}" bindings should have a string "{name}" field but got {_json(entry)}'
            )
    for name in entry.keys() - _KNOWN:
        _log.warning('%s: Unexpected fields found in %s field: "%s"', path, where, name)
    return BindingEntry(
        binding=entry["binding"], certificate=entry["certificate_id"], origins=_origins(entry, where, f"{path}: ")
    )


def _origins(entry: Mapping[str, Any], where: str, before: str) -> BoundOrigins:
    if "origins" not in entry:
        return BoundOrigins(())
    try:
        found = BoundOrigins.parse(entry["origins"])
    except ConfigurationError as error:
        raise ConfigurationError(f'{before}"{where}.origins": {error}') from error
    if not found:  # no origins at all is not "each call's own"
        raise ConfigurationError(f'{before}"{where}.origins": expected at least one origin, got none')
    return found


def _check_distinct(entries: Sequence[BindingEntry], path: str) -> None:
    seen: set[str] = set()
    for entry in entries:
        if entry.binding in seen:
            raise ConfigurationError(f"{path}: {entry.binding} assigned to multiple mTLS Certificate bindings")
        seen.add(entry.binding)


def _json(value: object) -> str:
    text = json.dumps(value, default=str)
    return text if len(text) <= 200 else text[:200] + "..."
