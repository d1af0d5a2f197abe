"""The command `mtlskit demo`: runs the demo and prints its table, or its JSON, and keeps serving if asked to."""

from __future__ import annotations

import logging
import shlex
import socket
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click
from rich.text import Text

from mtlskit.backends import DEFAULT_BACKEND
from mtlskit.cli.demo.run import Row, run
from mtlskit.cli.demo.scenario import ACME, DEVICE, OPEN, UMBRELLA, Scenario, make_scenario, prepare_directory
from mtlskit.cli.demo.server import serve_until_stopped
from mtlskit.cli.output import console, print_json, table
from mtlskit.fetch.lanes import engine
from mtlskit.gate import Gate
from mtlskit.gate.servers.uvicorn import bind

_BACKENDS = ("pyopenssl", "ssl")
_COLUMNS = ("attempt", "expected", "what happened", "reason code", "ms", "")


@click.command()
@click.option(
    "--directory",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where the state is kept; without, a new temporary directory, which stays.",
)
@click.option(
    "--backend", type=click.Choice([*_BACKENDS, "both"]), default="both", show_default=True, help="What speaks TLS."
)
@click.option(
    "--port", type=click.IntRange(0, 65535), default=0, help="The port on 127.0.0.1; 0, the default, takes a free one."
)
@click.option("--serve", is_flag=True, help="Stay up until Ctrl-C, and print curl lines to try.")
@click.option("--json", "as_json", is_flag=True, help="Write JSON to stdout and nothing else.")
def demo(directory: Path | None, backend: str, port: int, serve: bool, as_json: bool) -> int:
    """A SaaS provider in small: customers' hostnames with a root CA each on one listener, and everybody tries.

    Exit status 0 if every row is as expected, 1 if not.
    """
    # The library logs what an operator wants to know; here the table tells it.
    logging.getLogger("mtlskit").setLevel(logging.ERROR)
    start = time.perf_counter()
    engine()  # without the extra `fetch` nothing is begun
    with bind("127.0.0.1", port) as listener:
        scenario = make_scenario(prepare_directory(directory), listener.getsockname()[1])
        scenario.wait_until_expired()
        backends = _BACKENDS if backend == "both" else (backend,)
        found = {name: run(scenario, name, listener) for name in backends}
        lines = curl_lines(scenario, listener) if serve else []
        report = _print_json if as_json else _print_tables
        report(found, scenario, time.perf_counter() - start, lines)
        if serve:
            _serve(scenario, DEFAULT_BACKEND if backend == "both" else backend, listener)
    return 0 if all(row.as_expected for rows in found.values() for row in rows) else 1


def _serve(scenario: Scenario, backend: str, listener: socket.socket) -> None:
    sys.stdout.flush()
    gate = Gate(scenario.store, backend=backend)
    serve_until_stopped(gate, listener)
    gate.close()


def curl_lines(scenario: Scenario, listener: socket.socket) -> list[str]:
    """Commands to try against the served demo: let in, no certificate, the neighbour's, misdirected, open."""
    port = listener.getsockname()[1]
    device, neighbour = scenario.device(DEVICE), scenario.device("neighbour")
    return [
        _curl(scenario, port, ACME, "--cert", str(device)),
        _curl(scenario, port, ACME),
        _curl(scenario, port, ACME, "--cert", str(neighbour)),
        _curl(scenario, port, ACME, "--cert", str(device), "--header", f"Host: {UMBRELLA}"),
        _curl(scenario, port, OPEN),
    ]


def _curl(scenario: Scenario, port: int, hostname: str, *options: str) -> str:
    resolve = f"{hostname}:{port}:127.0.0.1"
    words = ["curl", "--resolve", resolve, "--cacert", str(scenario.server_root_file), *options]
    return shlex.join([*words, f"https://{hostname}:{port}/whoami"])


def _print_json(found: Mapping[str, Sequence[Row]], scenario: Scenario, seconds: float, lines: Sequence[str]) -> None:
    rows = [_row_document(backend, row) for backend, rows in found.items() for row in rows]
    print_json(
        {
            "directory": str(scenario.directory),
            "seconds": round(seconds, 2),
            "as_expected": all(row["as_expected"] for row in rows),
            "rows": rows,
            "try": list(lines),
        }
    )


def _row_document(backend: str, row: Row) -> dict[str, Any]:
    reason = row.happened.reason
    return {
        "backend": backend,
        "attempt": row.attempt.title,
        "expected": str(row.attempt.expected),
        "happened": row.happened.ended,
        "identity": row.happened.identity,
        "reason": reason and reason.value,
        "told": row.told,
        "milliseconds": round(row.milliseconds, 1),
        "as_expected": row.as_expected,
        "note": row.attempt.note,
    }


def _print_tables(found: Mapping[str, Sequence[Row]], scenario: Scenario, seconds: float, lines: Sequence[str]) -> None:
    screen = console()
    for backend, rows in found.items():
        notes = sorted({row.attempt.note for row in rows if row.attempt.note})
        caption = "\n".join(f"* {note}" for note in notes)
        screen.print(table(f"\nTLS by {backend}", _COLUMNS, map(_cells, rows), caption=caption))
    count = sum(map(len, found.values()))
    wrong = sum(not row.as_expected for rows in found.values() for row in rows)
    verdict = "all as expected" if not wrong else f"{wrong} not as expected"
    screen.print(Text(f"{count} attempts, {verdict}, {seconds:.1f} s"))
    screen.print(Text(f"The state stays in {scenario.directory}"), soft_wrap=True)
    if lines:
        screen.print(Text("\nServing until Ctrl-C. Try, in another terminal:\n"))
        for line in lines:
            screen.print(Text(line), soft_wrap=True)


def _cells(row: Row) -> list[str | Text]:
    expected = f"{row.attempt.expected}{' *' if row.attempt.note else ''}"
    reason = row.happened.reason
    verdict = Text("ok", style="green") if row.as_expected else Text("NOT AS EXPECTED", style="bold red")
    return [
        row.attempt.title,
        expected,
        _happened(row),
        reason.value if reason else "",
        f"{row.milliseconds:.0f}",
        verdict,
    ]


def _happened(row: Row) -> str:
    if row.told.startswith(row.happened.ended):
        return row.told
    return " ".join(filter(None, (row.told, row.happened.ended, row.happened.identity)))
