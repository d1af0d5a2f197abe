"""Where state is kept: `open_store` and the adapters behind `mtlskit.ports.Store`."""

from __future__ import annotations

import re
from pathlib import Path

from mtlskit.errors import ConfigurationError
from mtlskit.ports import Store
from mtlskit.stores.encryption import KeyEncryption, Provider
from mtlskit.stores.memory import MemoryStore
from mtlskit.stores.sqlite import SQLiteStore

__all__ = ["KeyEncryption", "MemoryStore", "SQLiteStore", "open_store"]

_FORMS = "'memory://', 'sqlite:///relative.db', 'sqlite:////absolute.db' or 'postgresql://user@host/database' (or 'postgres://...')"


def open_store(url: str, *, keys: KeyEncryption | Provider | None = None) -> Store:
    """The store that `url` names, made if it is not there yet.

    `memory://` lives and dies with the object. `sqlite:///state.db` is a file relative to the working directory
    of this moment, `sqlite:////var/lib/state.db` an absolute one; the directory must exist. `postgresql://...` is
    a URL of libpq, and needs the extra `postgres`; the database and the schema must exist.

    `keys` encrypts private keys at rest. A callable without arguments, asked once and now, gives them or the 32 bytes
    of one (from a key service, say). Without, the environment's `MTLSKIT_KEY_ENCRYPTION_KEY` is taken. Without either,
    SQLite has the key file `<database>.key`, which is made together with the database.

    Raises ConfigurationError for another URL, a missing extra, directory or right, a file or tables of somebody else,
    and for PostgreSQL without a key; and Unavailable for a database that is corrupt, locked, not writable or away.
    """
    keys = KeyEncryption.of(keys)
    match url.partition("://") if isinstance(url, str) else (type(url).__name__, "", ""):
        case ("memory", "://", ""):
            return MemoryStore(keys=keys)
        case ("sqlite", "://", rest):
            return SQLiteStore(_sqlite_path(rest, url), keys=keys)
        case ("postgresql" | "postgres", "://", _):
            from mtlskit.stores.postgres import PostgresStore  # needs an extra

            return PostgresStore(url, keys=keys)
    raise ConfigurationError(f"expected a store URL {_FORMS}, got {_without_password(url)!r}")


def _without_password(url: object) -> object:
    return re.sub(r"//.*@", "//...@", url, flags=re.DOTALL) if isinstance(url, str) else url


def _sqlite_path(rest: str, url: str) -> Path:
    path = rest.removeprefix("/")
    if path == rest or not path or path.endswith("/") or any(character in path for character in "?#\0"):
        raise ConfigurationError(f"expected a store URL {_FORMS}, got {url!r}")
    if path.startswith(":memory:"):
        raise ConfigurationError(f"expected 'memory://' for a store that is not kept, got {url!r}")
    return Path(path)
