"""`policy replay`: recorded requests a batch at a time, and one row for each client of whom policies say otherwise."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import IO, Any, Final

from rich.text import Text

from mtlskit.cli.files import STDIN
from mtlskit.cli.output import console, print_json, table
from mtlskit.cli.policy_verdicts import outcome_words
from mtlskit.cli.words import escaped, shown_time
from mtlskit.core.policy import AccessPolicy, Changed, PolicyOutcome, RecordedRequest, replay
from mtlskit.core.request import RequestFacts
from mtlskit.errors import ConfigurationError, MTLSError

_LONGEST_LINE: Final = 1024 * 1024  # octets: a chain may be long
_BATCH: Final = 1_000  # requests: each holds its client's parsed certificates
_LONGEST_CELL: Final = 60
_MOST_REASONS: Final = 3
_COLUMNS: Final = ("client", "requests", "hostname", "method", "path", "when", "why")


@dataclass(slots=True)
class ChangedClient:
    """The requests of one client of which the policies say otherwise; of the first one, what it was."""

    name: str
    fingerprint: str | None
    first: RequestFacts
    last_at: datetime | None
    requests: int = 0
    outcomes: Counter[PolicyOutcome] = field(default_factory=Counter)

    def add(self, changed: Changed) -> None:
        """Counts one more."""
        self.requests += 1
        self.outcomes[changed.outcome] += 1
        self.last_at = changed.request.facts.at or self.last_at


class Rehearsal:
    """Who would be shut out, and who let in. What is kept grows with the clients, not with their requests."""

    def __init__(self) -> None:
        self.requests = 0
        self._shut_out: dict[str | None, ChangedClient] = {}
        self._let_in: dict[str | None, ChangedClient] = {}

    @classmethod
    def of(cls, requests: Iterator[RecordedRequest], policies: Sequence[AccessPolicy]) -> Rehearsal:
        """What the policies say of all the requests."""
        made = cls()
        while batch := list(islice(requests, _BATCH)):
            found = replay(batch, policies)
            made.requests += found.requests
            _count(found.shut_out, made._shut_out)
            _count(found.let_in, made._let_in)
        return made

    @property
    def shut_out(self) -> list[ChangedClient]:
        """The clients that would be, those with the most requests first."""
        return _sorted(self._shut_out)

    @property
    def let_in(self) -> list[ChangedClient]:
        """The clients that would be, those with the most requests first."""
        return _sorted(self._let_in)


def _count(found: Iterable[Changed], clients: dict[str | None, ChangedClient]) -> None:
    for changed in found:
        identity = changed.request.identity
        fingerprint = None if identity is None else identity.fingerprint_sha256
        if fingerprint not in clients:
            facts = changed.request.facts
            clients[fingerprint] = ChangedClient(changed.client, fingerprint, facts, facts.at)
        clients[fingerprint].add(changed)


def _sorted(clients: dict[str | None, ChangedClient]) -> list[ChangedClient]:
    return sorted(clients.values(), key=lambda each: each.requests, reverse=True)


def read_recorded(name: str) -> Iterator[RecordedRequest]:
    """The requests of a file, or of stdin where that is `-`, a line each; raises ConfigurationError with the line."""
    try:
        with ExitStack() as stack:
            file = sys.stdin.buffer if name == STDIN else stack.enter_context(Path(name).open("rb"))
            for number, line in _lines(file, name):
                yield _read(line, number, name)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "no such name"
        raise ConfigurationError(f"expected recorded requests that can be read, got {name!r}: {why}") from None


def _lines(file: IO[bytes], name: str) -> Iterator[tuple[int, bytes]]:
    number = 0
    while line := file.readline(_LONGEST_LINE + 1):
        number += 1
        if len(line) > _LONGEST_LINE:
            raise _refused(name, number, f"expected at most {_LONGEST_LINE} octets, got more")
        if line.strip():
            yield number, line


def _read(line: bytes, number: int, name: str) -> RecordedRequest:
    try:
        return RecordedRequest.from_json(line.decode("utf-8"))
    except UnicodeDecodeError:
        raise _refused(name, number, "expected text in UTF-8, got other octets") from None
    except MTLSError as error:
        raise _refused(name, number, str(error)) from None


def _refused(name: str, number: int, problem: str) -> ConfigurationError:
    return ConfigurationError(f"{name!r}, line {number}: {problem}")


def tell_rehearsal(found: Rehearsal, most: int, as_json: bool) -> None:
    """Prints what would be different, of each kind at most so many clients."""
    shut_out, let_in = found.shut_out, found.let_in
    if as_json:
        kinds = {"shut_out": _document(shut_out, most), "let_in": _document(let_in, most)}
        print_json({"requests": found.requests, **kinds})
        return
    out = console()
    out.print(Text(f"of {found.requests} requests, {_total(shut_out)} would be shut out and {_total(let_in)} let in"))
    for what, clients in (("shut out", shut_out), ("let in", let_in)):
        if clients:
            caption = f"and {len(clients) - most} more" if len(clients) > most else ""
            out.print(table(f"would be {what}", _COLUMNS, map(_row, clients[:most]), caption=caption))


def _total(clients: Sequence[ChangedClient]) -> int:
    return sum(each.requests for each in clients)


def _document(clients: Sequence[ChangedClient], most: int) -> dict[str, Any]:
    return {
        "clients": len(clients),
        "requests": _total(clients),
        "by_client": list(map(_client_document, clients[:most])),
        "left_out": max(0, len(clients) - most),
    }


def _client_document(client: ChangedClient) -> dict[str, Any]:
    first = client.first
    return {
        "client": client.name,
        "sha256": client.fingerprint,
        "requests": client.requests,
        "hostname": _text(first.hostname),
        "method": _text(first.method),
        "path": _text(first.path),
        "client_address": None if first.client_address is None else str(first.client_address),
        "at": None if first.at is None else shown_time(first.at),
        "last_at": None if client.last_at is None else shown_time(client.last_at),
        "outcomes": [
            {"cause": each.cause.value, "path": each.path, "policy": each.policy_name, "requests": count}
            for each, count in client.outcomes.most_common()
        ],
    }


def _row(client: ChangedClient) -> tuple[str, ...]:
    first = client.first
    said = (_cut(_text(each) or "-") for each in (first.hostname, first.method, first.path))
    return _cut(client.name), str(client.requests), *said, _when(client), _why(client)


def _when(client: ChangedClient) -> str:
    moments = [shown_time(each) for each in (client.first.at, client.last_at) if each is not None]
    return " to ".join(dict.fromkeys(moments)) or "-"


def _why(client: ChangedClient) -> str:
    reasons = [outcome_words(each) for each, _ in client.outcomes.most_common(_MOST_REASONS)]
    return "; ".join(reasons) + ("; ..." if len(client.outcomes) > _MOST_REASONS else "")


def _text(text: str | None) -> str | None:
    return None if text is None else escaped(text)


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST_CELL else text[:_LONGEST_CELL] + "..."
