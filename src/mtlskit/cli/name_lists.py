"""The names of many certificates in a file: CSV with a heading line, or JSON lines. Read as it is needed.

The columns, or members, are `common_name`, `dns`, `uris`, `emails`, `ips` and `lifetime`, each of which may be missing.
Several names stand in one cell with spaces between them, and in JSON in an array.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from itertools import chain
from pathlib import Path
from typing import IO, Any, Final

from mtlskit.core.durations import read_time
from mtlskit.core.profiles import CLIENT, Names, check_names
from mtlskit.errors import ConfigurationError, MTLSError

_SEVERAL: Final = ("dns", "uris", "emails", "ips")
_COLUMNS: Final = ("common_name", *_SEVERAL, "lifetime")
_LONGEST_LINE: Final = 65_536  # characters


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line: the names of one certificate, and its lifetime where it says one."""

    line: int
    names: Mapping[str, Any]
    lifetime: timedelta | None

    @property
    def name(self) -> str:
        """What it is called: the common name, or the first of the others."""
        return str(self.names["common_name"] or next(chain.from_iterable(self.names[each] for each in _SEVERAL)))


def check_rows(path: str) -> int:
    """How many lines there are; raises ConfigurationError, which names the line, for one that no client could have.

    The file is read again afterwards, so it must be one that can be.
    """
    if Path(path).exists() and not Path(path).is_file():
        raise ConfigurationError(f"expected a file that can be read twice, got {path!r}, which is none")
    return sum(1 for _ in read_rows(path))


def read_rows(path: str) -> Iterator[Row]:
    """The lines of a file, each with names that a client's certificate can have; raises ConfigurationError."""
    try:
        with Path(path).open(encoding="utf-8-sig", newline="") as file:
            for line, found in _objects(file, path):
                yield _row(line, found, path)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "it is no text in UTF-8"
        raise ConfigurationError(f"expected a file with names that can be read, got {path!r}: {why}") from None


def _objects(file: IO[str], path: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    lines = _lines(file, path)
    first = next(((number, text) for number, text in lines if text.strip()), None)
    if first is None:
        return
    if first[1].lstrip().startswith("{"):
        yield from _from_json(chain([first], lines), path)
    else:
        yield from _from_csv(first, lines, path)


def _lines(file: IO[str], path: str) -> Iterator[tuple[int, str]]:
    number = 0
    while text := file.readline(_LONGEST_LINE + 1):
        number += 1
        if len(text) > _LONGEST_LINE:
            raise _refused(path, number, f"expected at most {_LONGEST_LINE} characters, got more")
        yield number, text


def _from_json(lines: Iterable[tuple[int, str]], path: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    for number, text in lines:
        if not text.strip():
            continue
        found: Any = None
        with suppress(ValueError, RecursionError):
            found = json.loads(text)
        if not isinstance(found, dict):
            raise _refused(path, number, "expected a JSON object")
        yield number, found


def _from_csv(
    first: tuple[int, str], lines: Iterable[tuple[int, str]], path: str
) -> Iterator[tuple[int, Mapping[str, Any]]]:
    number = first[0]

    def texts() -> Iterator[str]:
        nonlocal number
        for number, text in chain([first], lines):  # noqa: B007 - told in errors
            yield text

    try:
        reader = csv.DictReader(texts(), strict=True)
        for found in reader:
            if None in found or None in found.values():
                raise _refused(path, number, f"expected {len(reader.fieldnames or ())} cells, got another number")
            yield number, found
    except csv.Error as error:
        raise _refused(path, number, f"expected CSV, got something else ({error})") from None


def _row(line: int, found: Mapping[str, Any], path: str) -> Row:
    unknown = sorted(set(found) - set(_COLUMNS))
    if unknown:
        raise _refused(path, line, f"expected columns among {', '.join(_COLUMNS)}, got {unknown[0]!r:.80}")
    try:
        several = {each: _several(found.get(each)) for each in _SEVERAL}
        common_name, lifetime = found.get("common_name") or None, found.get("lifetime") or None
        check_names(CLIENT, Names.of(common_name, **several))
        time = None if lifetime is None else read_time(str(lifetime))
    except MTLSError as error:
        raise _refused(path, line, str(error)) from None
    return Row(line=line, names={"common_name": common_name, **several}, lifetime=time)


def _several(value: Any) -> list[str]:
    if value is None:
        return []
    if isinstance(value, str):
        return value.split()
    if isinstance(value, list) and all(isinstance(each, str) for each in value):
        return value
    raise ConfigurationError(f"expected a text or several, got {type(value).__name__}")


def _refused(path: str, line: int, problem: str) -> ConfigurationError:
    return ConfigurationError(f"{path!r}, line {line}: {problem}")
