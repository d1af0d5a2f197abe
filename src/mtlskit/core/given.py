"""Values as callers write them: members of closed sets or their texts, and several of something.

What is none of them is refused here, so that no later `is` passes it over.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import Enum
from typing import Any, TypeVar

from mtlskit.errors import ConfigurationError

_Enum = TypeVar("_Enum", bound=Enum)
_Kind = TypeVar("_Kind")


def member(kind: type[_Enum], value: object, setting: str) -> _Enum:
    """The member of that value; raises ConfigurationError."""
    try:
        return kind(value)
    except ValueError:
        known = [member.value for member in kind]
        raise ConfigurationError(f"expected {setting} to be one of {known!r}, got {value!r:.100}") from None


def members(kind: type[_Enum], values: object, setting: str) -> tuple[_Enum, ...]:
    """The members of these values, each once and in their order; raises ConfigurationError."""
    return tuple(dict.fromkeys(member(kind, value, setting) for value in several(values, setting)))


def instance(kind: type[_Kind], value: object, setting: str) -> _Kind:
    """The value, if it is of that kind; raises ConfigurationError."""
    if not isinstance(value, kind):
        raise ConfigurationError(f"expected {setting} to be {kind.__name__}, got {value!r:.100}")
    return value


def instances(kind: type[_Kind], values: object, setting: str) -> tuple[_Kind, ...]:
    """The values, if all are of that kind; raises ConfigurationError."""
    return tuple(instance(kind, value, setting) for value in several(values, setting))


def number(value: object, setting: str) -> int:
    """A whole number from 0 on; raises ConfigurationError."""
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ConfigurationError(f"expected {setting} to be a number from 0 on, got {value!r:.100}")
    return value


def several(values: object, setting: str) -> tuple[Any, ...]:
    """The items of a list, a tuple or a set; raises ConfigurationError for one thing in the place of several."""
    if isinstance(values, str | bytes):
        raise ConfigurationError(f"expected several for {setting}, got the one text {values!r:.100}")
    if isinstance(values, Mapping) or not isinstance(values, Iterable):
        raise ConfigurationError(f"expected several for {setting}, got {type(values).__name__}")
    return tuple(values)
