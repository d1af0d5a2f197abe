"""The tables in PostgreSQL: their SQL, whose they are, which version they have, and how they get to the newest.

All of a migration is one transaction under an advisory lock, so that of several openers one migrates.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from mtlskit.errors import ConfigurationError, Unavailable
from mtlskit.stores.postgres_connections import Session, Step, opening

# One tuple of statements per schema version. A version that was released is never changed, only followed.
MIGRATIONS: Final[tuple[tuple[str, ...], ...]] = (
    (
        'CREATE TABLE mtlskit_meta (name TEXT COLLATE "C" PRIMARY KEY, value BYTEA NOT NULL)',
        """CREATE TABLE mtlskit_records (
            kind TEXT COLLATE "C" NOT NULL, partition TEXT COLLATE "C" NOT NULL, key TEXT COLLATE "C" NOT NULL,
            value BYTEA NOT NULL, version BIGINT NOT NULL, PRIMARY KEY (kind, partition, key))""",
        """CREATE TABLE mtlskit_deleted (
            kind TEXT COLLATE "C" NOT NULL, partition TEXT COLLATE "C" NOT NULL, key TEXT COLLATE "C" NOT NULL,
            version BIGINT NOT NULL, PRIMARY KEY (kind, partition, key))""",
        'CREATE TABLE mtlskit_counters (name TEXT COLLATE "C" PRIMARY KEY, value BIGINT NOT NULL)',
        """CREATE TABLE mtlskit_audit (
            sequence BIGINT PRIMARY KEY, recorded_at TEXT NOT NULL, event TEXT NOT NULL, details TEXT NOT NULL,
            previous_hash BYTEA NOT NULL, hash BYTEA NOT NULL)""",
        """CREATE TABLE mtlskit_changes (
            sequence BIGINT PRIMARY KEY, topic TEXT NOT NULL, origin BYTEA NOT NULL, mark BYTEA NOT NULL)""",
        """CREATE FUNCTION mtlskit_append_only() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN RAISE EXCEPTION 'the audit log is append-only'; END $$""",
        """CREATE TRIGGER mtlskit_audit_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON mtlskit_audit
            FOR EACH STATEMENT EXECUTE FUNCTION mtlskit_append_only()""",
    ),
)

_LOCK: Final = 0x6D746C73  # "mtls": all stores of a database, for a new one has no number of its own yet
# Not to_regclass(), which can answer from a session's memory of before the lock was waited for.
_PLACE: Final = """SELECT current_schema(), current_setting('server_encoding'), EXISTS (
        SELECT FROM pg_catalog.pg_class WHERE relname = 'mtlskit_meta' AND relnamespace = (
            SELECT oid FROM pg_catalog.pg_namespace WHERE nspname = current_schema())),
    current_setting('server_version_num')::int"""
_OLDEST_SERVER: Final = 130_000


@dataclass(frozen=True, slots=True)
class Identity:
    """What a store's tables say of themselves: a random id, and which key its secrets are sealed under."""

    store_id: bytes
    key_id: bytes


def prepare(session: Session, place: str, key_id: Callable[[], bytes]) -> Identity:
    """Makes the tables or brings them to the newest version, where that is needed.

    `key_id` gives the id of the key-encryption key for new ones. Raises ConfigurationError for a database that
    cannot be used or is not ours, and Unavailable.
    """
    with opening(place):
        if _version(session, place) < len(MIGRATIONS):
            session.execute("BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE")
            session.execute("SELECT pg_advisory_xact_lock(%s), set_config('statement_timeout', '0', true)", (_LOCK,))
            _migrate(session, _version(session, place), key_id)
            session.execute("COMMIT")
        return _identity(session, place)


def adopting(key_id: bytes) -> Step:
    """The step after which the tables name another key-encryption key."""
    return ("UPDATE mtlskit_meta SET value = %(key_id)s WHERE name = 'key_id'", {"key_id": key_id})


def _version(session: Session, place: str) -> int:
    schema, encoding, is_there, server = session.execute(_PLACE).fetchone() or ("", "", False, 0)
    if server < _OLDEST_SERVER:
        raise ConfigurationError(f"expected PostgreSQL {_OLDEST_SERVER // 10_000} or newer at {place}, got {server}")
    if schema is None:
        raise ConfigurationError(f"expected a schema to make tables in at {place}, got a search path without one")
    if encoding != "UTF8":
        raise ConfigurationError(f"expected a database with the encoding UTF8 at {place}, got {encoding!r}")
    if not is_there:
        return 0
    version = int(_meta(session).get("version", b"0"))
    if version > len(MIGRATIONS):
        raise ConfigurationError(f"expected schema version {len(MIGRATIONS)} or older at {place}, got {version}")
    return version


def _migrate(session: Session, version: int, key_id: Callable[[], bytes]) -> None:
    for statements in MIGRATIONS[version:]:
        for statement in statements:
            session.execute(statement)
    if version == 0:
        _set(session, "store_id", os.urandom(16))
        _set(session, "key_id", key_id())
    _set(session, "version", str(len(MIGRATIONS)).encode())


def _set(session: Session, name: str, value: bytes) -> None:
    session.execute(
        "INSERT INTO mtlskit_meta VALUES (%s, %s) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        (name, value),
    )


def _meta(session: Session) -> dict[str, bytes]:
    return {name: bytes(value) for name, value in session.execute("SELECT name, value FROM mtlskit_meta")}


def _identity(session: Session, place: str) -> Identity:
    meta = _meta(session)
    try:
        return Identity(store_id=meta["store_id"], key_id=meta["key_id"])
    except KeyError:
        raise Unavailable(f"expected whole tables at {place}, got some without their store's and key's ids") from None
