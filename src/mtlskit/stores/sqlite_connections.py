"""SQLite connections: one per thread and process, opened when it is needed, closed when its thread ends.

A connection that a fork has carried into a child must not be used there, not even closed (the SQLite FAQ); it is
abandoned, and the child opens its own. The errors of `sqlite3` are mapped here, and nowhere else.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mtlskit.errors import ConfigurationError, StoreError, Unavailable
from mtlskit.stores.forks import abandon

_PRAGMAS = ("PRAGMA synchronous = FULL", "PRAGMA trusted_schema = OFF", "PRAGMA cell_size_check = ON")


class Connection:
    """One connection, in autocommit mode: transactions are begun and ended by statements."""

    __slots__ = ("__weakref__", "close", "data_version", "has_failed", "path", "raw")

    def __init__(self, path: Path, busy_seconds: float) -> None:
        self.path = path
        self.has_failed = False  # a statement, since who uses it has said otherwise
        self.data_version: int | None = None  # as of the last poll through this connection
        with mapped(path):
            # mode=rw: never makes a file, so that none comes into being with the umask's permissions.
            self.raw = sqlite3.connect(
                f"{path.as_uri()}?mode=rw",
                uri=True,
                timeout=busy_seconds,
                isolation_level=None,
                check_same_thread=False,
            )
        self.close = weakref.finalize(self, _close, self.raw, os.getpid())
        with mapped(path):
            for pragma in _PRAGMAS:
                self.raw.execute(pragma)

    def execute(self, statement: str, parameters: tuple[object, ...] = ()) -> sqlite3.Cursor:
        """Runs a statement; raises Unavailable."""
        try:
            return self.raw.execute(statement, parameters)
        except sqlite3.Error as error:
            raise self._failure(error) from error

    def row(self, statement: str, parameters: tuple[object, ...] = ()) -> tuple[Any, ...] | None:
        """The first row of a query, None without one; raises Unavailable."""
        try:
            row: tuple[Any, ...] | None = self.raw.execute(statement, parameters).fetchone()
        except sqlite3.Error as error:
            raise self._failure(error) from error
        return row

    def rows(self, statement: str, parameters: tuple[object, ...] = ()) -> list[tuple[Any, ...]]:
        """All rows of a query; raises Unavailable."""
        try:
            return self.raw.execute(statement, parameters).fetchall()
        except sqlite3.Error as error:
            raise self._failure(error) from error

    def _failure(self, error: sqlite3.Error) -> StoreError | ConfigurationError:
        self.has_failed = True
        return _error(error, self.path)


class Connections:
    """The connections to one file."""

    def __init__(self, path: Path, busy_seconds: float) -> None:
        self._path = path
        self._busy_seconds = busy_seconds
        self._process = _Process()

    def mine(self) -> Connection:
        """The connection of this thread in this process; raises Unavailable, ConfigurationError."""
        if self._process.number != os.getpid():
            self._process = _Process()
        process = self._process
        connection: Connection | None = getattr(process.local, "connection", None)
        if connection is None or not connection.close.alive:
            connection = process.local.connection = Connection(self._path, self._busy_seconds)
            with process.lock:
                process.opened.add(connection)
        return connection

    def close(self) -> None:
        """Closes those of all threads of this process."""
        process, self._process = self._process, _Process()
        if process.number == os.getpid():
            with process.lock:
                for connection in list(process.opened):
                    connection.close()


class _Process:
    """What belongs to one process. The lock is new with it: a fork may have copied a held one."""

    __slots__ = ("local", "lock", "number", "opened")

    def __init__(self) -> None:
        self.number = os.getpid()
        self.local = threading.local()
        self.lock = threading.Lock()
        self.opened: weakref.WeakSet[Connection] = weakref.WeakSet()


@contextmanager
def mapped(path: Path) -> Iterator[None]:
    """Turns what `sqlite3` raises into our errors."""
    try:
        yield
    except sqlite3.Error as error:
        raise _error(error, path) from error


def _error(error: sqlite3.Error, path: Path) -> StoreError | ConfigurationError:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code == sqlite3.SQLITE_NOTADB:
        return ConfigurationError(f"expected an SQLite database at {str(path)!r}, got another file")
    return Unavailable(f"expected the database {str(path)!r} to answer, got {str(error)!r}")


def _close(raw: sqlite3.Connection, process: int) -> None:
    if process == os.getpid():
        raw.close()
    else:
        abandon(raw)
