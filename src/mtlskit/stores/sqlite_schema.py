"""The SQLite file's form: whose it is, which version it has, and how it gets to the newest. Owns the SQL of tables.

`application_id` says that the file is ours and `user_version` is the schema's version; both are changed in the
same transaction as the tables, under SQLite's write lock, so that of several openers one migrates.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Final

from mtlskit.errors import ConfigurationError

APPLICATION_ID: Final = 0x6D746C73  # "mtls"

# One tuple of statements per schema version. A version that was released is never changed, only followed.
MIGRATIONS: Final[tuple[tuple[str, ...], ...]] = (
    (
        "CREATE TABLE meta (name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID",
        """CREATE TABLE records (
            kind TEXT NOT NULL, partition TEXT NOT NULL, key TEXT NOT NULL,
            value BLOB NOT NULL, version INTEGER NOT NULL, PRIMARY KEY (kind, partition, key)) WITHOUT ROWID""",
        """CREATE TABLE deleted (
            kind TEXT NOT NULL, partition TEXT NOT NULL, key TEXT NOT NULL,
            version INTEGER NOT NULL, PRIMARY KEY (kind, partition, key)) WITHOUT ROWID""",
        "CREATE TABLE counters (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID",
        """CREATE TABLE audit (
            sequence INTEGER PRIMARY KEY AUTOINCREMENT, recorded_at TEXT NOT NULL, event TEXT NOT NULL,
            details TEXT NOT NULL, previous_hash BLOB NOT NULL, hash BLOB NOT NULL)""",
        """CREATE TABLE changes (
            sequence INTEGER PRIMARY KEY AUTOINCREMENT, topic TEXT NOT NULL, origin BLOB NOT NULL)""",
        """CREATE TRIGGER audit_is_append_only_u BEFORE UPDATE ON audit
            BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END""",
        """CREATE TRIGGER audit_is_append_only_d BEFORE DELETE ON audit
            BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END""",
    ),
)


def needs_migration(connection: sqlite3.Connection, path: Path) -> bool:
    """Whether the file is empty or of an older version; raises ConfigurationError where it is not ours to touch."""
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (objects,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    if application != APPLICATION_ID and (application or version or objects):
        raise ConfigurationError(f"expected an mtlskit database at {str(path)!r}, got one of another application")
    if version > len(MIGRATIONS):
        raise ConfigurationError(
            f"expected a database of schema version {len(MIGRATIONS)} or older at {str(path)!r}, got {version}"
        )
    return bool(version < len(MIGRATIONS))


def migrate(connection: sqlite3.Connection) -> None:
    """Brings the file to the newest version. The caller holds the write transaction."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    for statements in MIGRATIONS[version:]:
        for statement in statements:
            connection.execute(statement)
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")
