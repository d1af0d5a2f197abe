"""TLS backends, chosen by name. Both speak `ssl.SSLContext`'s own interface."""

from __future__ import annotations

from importlib import import_module
from typing import cast

from mtlskit.errors import ConfigurationError
from mtlskit.ports import Backend

# Why this one: docs/explanation/backends.md has the measurements.
DEFAULT_BACKEND = "pyopenssl"

_BACKENDS = {
    "ssl": ("mtlskit.backends.stdlib", "StdlibBackend"),
    "pyopenssl": ("mtlskit.backends.pyopenssl", "PyOpenSSLBackend"),
}


def get_backend(name: str | Backend | None = None) -> Backend:
    """The backend of that name, the default one for None, or the given object itself.

    Raises ConfigurationError for an unknown name.
    """
    if name is None:
        name = DEFAULT_BACKEND
    if not isinstance(name, str):
        return name
    if name not in _BACKENDS:
        known = ", ".join(map(repr, _BACKENDS))
        raise ConfigurationError(f"expected one of {known} as TLS backend, got {name!r}")
    module, attribute = _BACKENDS[name]
    return cast(Backend, getattr(import_module(module), attribute)())
