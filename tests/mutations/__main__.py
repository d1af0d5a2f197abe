"""Takes out one protection at a time and shows that a test goes red. Run: `python -m mutations [word ...]` in tests/.

Each protection is a text in one file and what stands there without it. The tree is copied, the protection is taken
out of the copy, and the named tests run there: they must fail, and must not where nothing is taken out. A text that is not found once is an error, so the
table cannot rot unseen. Words choose the mutations whose file or why has one of them.
"""

from __future__ import annotations

import importlib
import os
import pkgutil
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import mutations
from mutations import Mutation

_ROOT = Path(__file__).resolve().parents[2]
_KEPT = ("src", "tests", "docs", "pyproject.toml", "README.md", "LICENSE")
_SECONDS = 300


def tables() -> list[Mutation]:
    """The mutations of every module of this package."""
    found: list[Mutation] = []
    for module in pkgutil.iter_modules(mutations.__path__):
        if module.name != "__main__":
            found.extend(importlib.import_module(f"mutations.{module.name}").MUTATIONS)
    return found


def survives(mutation: Mutation) -> str:
    """Why this mutation is a failure of the tests; empty if they caught it."""
    with copied() as copy:
        target = copy / "src" / "mtlskit" / mutation.file
        text = target.read_text()
        if text.count(mutation.find) != 1:
            return f"expected the text once in {mutation.file}, found it {text.count(mutation.find)} times"
        target.write_text(text.replace(mutation.find, mutation.replace))
        result = run(copy, mutation.tests)
    if result is None or result.returncode == 1:
        return ""  # a test that hangs is red too
    told = {0: "no test failed", 5: "no test ran"}.get(result.returncode, f"pytest ended with {result.returncode}")
    return f"{told}: {result.stdout[-300:]}"


def is_red_anyway(tests: str) -> str:
    """Why these tests show nothing: they fail in a copy of the tree that has all its protections."""
    with copied() as copy:
        result = run(copy, tests)
    if result is None:
        return f"took longer than {_SECONDS} s"
    return "" if result.returncode == 0 else result.stdout[-300:]


@contextmanager
def copied() -> Iterator[Path]:
    """A copy of the tree, for as long as it is needed."""
    with tempfile.TemporaryDirectory() as name:
        copy = Path(name)
        for kept in _KEPT:
            source = _ROOT / kept
            if source.is_dir():
                shutil.copytree(source, copy / kept, ignore=shutil.ignore_patterns("__pycache__"))
            elif source.exists():
                shutil.copy(source, copy / kept)
        yield copy


def run(copy: Path, tests: str) -> subprocess.CompletedProcess[str] | None:
    """How these tests ended there; None where they did not."""
    environment = {**os.environ, "PYTHONPATH": str(copy / "src"), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "--no-header", *tests.split()]
    try:
        return subprocess.run(
            command, cwd=copy, env=environment, capture_output=True, text=True, timeout=_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        return None


def main(words: list[str]) -> int:
    """Runs the chosen mutations, two at a time; the number of failures."""
    chosen = [each for each in tables() if not words or any(word in f"{each.file} {each.why}" for word in words)]
    batteries = sorted({each.tests for each in chosen})
    failures = 0
    with ThreadPoolExecutor(2) as pool:
        for tests, told in zip(batteries, pool.map(is_red_anyway, batteries), strict=True):
            if told:
                print(f"RED ANYWAY {tests} -- {told}", flush=True)
                failures += 1
        for mutation, told in zip(chosen, pool.map(survives, chosen), strict=True):
            print(
                f"{'SURVIVED' if told else 'caught':9} {mutation.file}: {mutation.why}{told and ' -- ' + told}",
                flush=True,
            )
            failures += bool(told)
    print(f"{len(chosen) + len(batteries) - failures} passed, {failures} failed")
    return failures


if __name__ == "__main__":
    sys.exit(1 if main(sys.argv[1:]) else 0)
