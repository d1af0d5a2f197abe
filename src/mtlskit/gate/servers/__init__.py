"""Adapters to the servers: each installs the gate's TLS context and passes the connection's evidence to the app.

Each is imported when it is first named, for it needs its server: an extra that is missing is said then.
"""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

_ADAPTERS = frozenset({"uvicorn"})


def __getattr__(name: str) -> ModuleType:
    if name in _ADAPTERS:
        return import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
