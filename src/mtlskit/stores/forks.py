"""What a fork carries over and its child must leave alone: the other end still belongs to the parent."""

from __future__ import annotations

import ctypes


def abandon(thing: object) -> None:
    """Keeps `thing` from ever being finalized in this process."""
    # One reference more than there are holders: the interpreter's end does not finalize it either.
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(thing))
