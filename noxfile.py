"""What is run before a change goes in. `nox -s tests` needs nothing but a Python and a package index.

The tests run in full, with coverage, on the Python that runs nox; those that a Python version can change run on the
other supported versions too, where an interpreter is found; and the core's run once more without any extra.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import nox

nox.needs_version = ">=2025.2.9"
nox.options.default_venv_backend = "venv"
nox.options.sessions = ["tests", "lint"]

PROJECT = nox.project.load_toml("pyproject.toml")
SUPPORTED = ("3.11", "3.12", "3.13")
RUNNING = f"{sys.version_info.major}.{sys.version_info.minor}"
# Pure code and the command line hardly know which Python they run on; `ssl`, asyncio and sqlite3 differ.
VERSION_DEPENDENT = ("tests/adapters", "tests/contract", "tests/fetch", "tests/gate", "tests/test_layers.py")
# A directory of interpreters can hold a shim that starts nothing, or a Python without what we need.
PROBE = "import sys, venv, ensurepip, ssl, sqlite3; print('%d.%d' % sys.version_info[:2])"


def group(name: str) -> tuple[str, ...]:
    """The requirements of a dependency group."""
    return nox.project.dependency_groups(PROJECT, name)


def interpreters(version: str) -> Iterator[Path]:
    """Where an interpreter of that version could be: on PATH, or one of pyenv's."""
    root = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    places = [*os.environ.get("PATH", "").split(os.pathsep), *root.glob(f"versions/{version}*/bin")]
    return (Path(place, f"python{version}") for place in places if place)


def works(interpreter: Path, version: str) -> bool:
    """Whether it starts, is of that version and can make environments."""
    if not interpreter.is_file():
        return False
    try:
        done = subprocess.run([interpreter, "-c", PROBE], capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0 and done.stdout.strip() == version


def other_versions() -> Iterator[str]:
    """The supported versions beside the running one that are here; each one's directory goes first on PATH."""
    for version in SUPPORTED:
        if version == RUNNING:
            continue
        found = next((each for each in interpreters(version) if works(each, version)), None)
        if found is None:
            print(f"nox: no usable interpreter for Python {version} is found: its tests are skipped", file=sys.stderr)
            continue
        os.environ["PATH"] = os.pathsep.join((str(found.parent), os.environ.get("PATH", "")))
        yield version


OTHERS = tuple(other_versions())
os.environ["PATH"] = os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", "")))

# A file at a time in each of two processes; pytest-benchmark warns of company, and warnings are errors.
SIDE_BY_SIDE = ("-n", "2", "--dist", "loadfile", "-p", "no:benchmark")


@nox.session(python=[RUNNING, *OTHERS])
def tests(session: nox.Session) -> None:
    """Everything with coverage on the Python that runs nox, then `bare`; what touches TLS and sockets on the others."""
    session.install("-e", ".[demo,postgres,pkcs11]", *group("test"))
    if session.python != RUNNING:
        session.run("python", "-m", "pytest", "-q", *SIDE_BY_SIDE, *(session.posargs or VERSION_DEPENDENT))
        session.run("mtlskit", "demo", "--json", silent=True)
        return
    session.notify("bare")
    session.run("coverage", "erase")
    try:
        session.run("coverage", "run", "-m", "pytest", *SIDE_BY_SIDE, *session.posargs)
    finally:
        session.run("coverage", "combine", "--quiet")
        session.run("coverage", "report")


@nox.session
def bare(session: nox.Session) -> None:
    """No extra is installed: everything still imports or says which extra it wants, and the core's tests pass."""
    session.install("-e", ".", *group("bare"))
    session.run("python", "-m", "pytest", "-q", "tests/core", *session.posargs)
    session.run("python", "-m", "pytest", "-q", "-m", "bare", "--ignore=tests/core", *bare_tests())


def bare_tests() -> list[str]:
    """The files that say they run bare; the others could not even be collected."""
    files = (path for path in Path("tests").rglob("test_*.py") if path.parts[1] != "core")
    return sorted(str(path) for path in files if "pytest.mark.bare" in path.read_text(encoding="utf-8"))


@nox.session
def lint(session: nox.Session) -> None:
    """ruff (rules and format) and mypy."""
    session.install("-e", ".[demo,postgres,pkcs11]", *group("lint"))
    session.run("ruff", "check")
    session.run("ruff", "format", "--check")
    session.run("mypy")


@nox.session
def conformance(session: nox.Session) -> None:
    """x509-limbo and PKITS, which are not part of this repository: `nox -s conformance -- DIRECTORY`."""
    session.install("-e", ".", *group("bare"))
    environment = {"MTLSKIT_VECTORS": str(Path(session.posargs[0]).resolve())} if session.posargs else {}
    session.run("python", "-m", "pytest", "-q", "tests/conformance", env=environment)


@nox.session
def mutate(session: nox.Session) -> None:
    """Takes out each protection, in a copy of the tree, and sees its tests go red."""
    session.install("-e", ".[demo,postgres,pkcs11]", *group("test"))
    session.run("python", "-m", "mutations", *session.posargs, env={"PYTHONPATH": "tests"})


@nox.session
def slow(session: nox.Session) -> None:
    """The long batteries: thousands of random chains against the other engines, long fuzzing, thousands of calls."""
    session.install("-e", ".[demo,postgres]", *group("test"))
    batteries = session.posargs or ("tests",)
    session.run("python", "-m", "pytest", "-q", "-m", "slow", *batteries)


@nox.session
def outside(session: nox.Session) -> None:
    """What is issued, judged by pkilint, and by OpenSSL, GnuTLS and Java as far as they are installed."""
    session.install("-e", ".[demo,postgres]", *group("test"), "pkilint>=0.13")
    session.run("python", "-m", "pytest", "-q", "tests/authority/test_outside.py", *session.posargs)


@nox.session
def mounts(session: nox.Session) -> None:
    """Bindings in the HTTP clients and drivers that people use, each with its library."""
    session.install("-e", ".[demo,postgres]", *group("test"), *group("mounts"))
    session.run("python", "-m", "pytest", "-q", "tests/clients", "tests/docs", *session.posargs)


@nox.session
def niquests(session: nox.Session) -> None:
    """Bindings in niquests, which is installed beside urllib3 and not in its place."""
    session.install("-e", ".[demo,postgres]", *group("test"), *group("mounts"))
    session.install("--no-binary", "urllib3-future", "niquests>=3.13", env={"URLLIB3_NO_OVERRIDE": "1"})
    session.run("python", "-m", "pytest", "-q", "tests/clients", "-k", "niquests", *session.posargs)


@nox.session
def docs(session: nox.Session) -> None:
    """Every example of the README and the documentation."""
    session.install("-e", ".[demo,postgres]", *group("test"))
    session.run("python", "-m", "pytest", "-q", "tests/docs", *session.posargs)


@nox.session
def bench(session: nox.Session) -> None:
    """Every benchmark, or those named: `nox -s bench -- gate fetch`. Prints ratios of one run."""
    session.install("-e", ".[demo,postgres]", *group("test"))
    every = sorted(path.stem.removeprefix("bench_") for path in Path("benchmarks").glob("bench_*.py"))
    wanted = session.posargs or every
    for name in wanted:
        session.run("python", "-m", f"benchmarks.bench_{name}")
