"""Where state is kept: `open_store` and the adapters behind `mtlskit.ports.Store`."""

from __future__ import annotations

from pathlib import Path

from mtlskit.errors import ConfigurationError
from mtlskit.ports import Store
from mtlskit.stores.encryption import KeyEncryption
from mtlskit.stores.memory import MemoryStore
from mtlskit.stores.sqlite import SQLiteStore

__all__ = ["KeyEncryption", "MemoryStore", "SQLiteStore", "open_store"]

_FORMS = "'memory://', 'sqlite:///relative.db' or 'sqlite:////absolute.db'"


def open_store(url: str, *, keys: KeyEncryption | None = None) -> Store:
    """The store that `url` names, made if it is not there yet.

    `memory://` lives and dies with the object. `sqlite:///state.db` is a file relative to the working directory
    of this moment, `sqlite:////var/lib/state.db` an absolute one; the directory must exist.

    `keys` encrypts private keys at rest; without it, SQLite takes the environment's
    `MTLSKIT_KEY_ENCRYPTION_KEY`, else the key file `<database>.key`, which is made together with the database.

    Raises ConfigurationError for another URL, a missing directory or a file of somebody else, and Unavailable
    for a database that is corrupt, locked or not writable.
    """
    match url.partition("://") if isinstance(url, str) else (type(url).__name__, "", ""):
        case ("memory", "://", ""):
            return MemoryStore(keys=keys)
        case ("sqlite", "://", rest):
            return SQLiteStore(_sqlite_path(rest, url), keys=keys)
        case ("postgresql" | "postgres", "://", _):
            raise ConfigurationError(f"expected a store URL {_FORMS}, got a PostgreSQL one, which is not available yet")
    raise ConfigurationError(f"expected a store URL {_FORMS}, got {url!r}")


def _sqlite_path(rest: str, url: str) -> Path:
    path = rest.removeprefix("/")
    if path == rest or not path or path.endswith("/") or any(character in path for character in "?#\0"):
        raise ConfigurationError(f"expected a store URL {_FORMS}, got {url!r}")
    if path.startswith(":memory:"):
        raise ConfigurationError(f"expected 'memory://' for a store that is not kept, got {url!r}")
    return Path(path)
