"""Values as callers write them: members of closed sets or their texts, and several of something.

What is none of them is refused here, so that no later `is` passes it over.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from enum import Enum
from pathlib import PurePath
from typing import Any, Final, TypeVar

from mtlskit.errors import ConfigurationError

_LONGEST: Final = 100
_ONE_LINE: Final = re.compile(r"(?!.*-----BEGIN)[^\r\n]{0,255}")
_Enum = TypeVar("_Enum", bound=Enum)
_Kind = TypeVar("_Kind")


def shown(value: object) -> str:
    """The value for a message, cut. Of octets, and of PEM or several lines, a key perhaps, only how much it is."""
    if isinstance(value, bytes | bytearray | memoryview):
        return f"{len(value)} bytes"
    given = str(value) if isinstance(value, PurePath) else value
    if isinstance(given, str) and not _ONE_LINE.fullmatch(given):
        return f"{len(given)} characters"
    text = repr(given)
    return type(value).__name__ if "-----BEGIN" in text else text[:_LONGEST]


def member(kind: type[_Enum], value: object, setting: str) -> _Enum:
    """The member of that value; raises ConfigurationError."""
    try:
        return kind(value)
    except ValueError:
        known = [member.value for member in kind]
        raise ConfigurationError(f"expected {setting} to be one of {known!r}, got {shown(value)}") from None


def members(kind: type[_Enum], values: object, setting: str) -> tuple[_Enum, ...]:
    """The members of these values, each once and in their order; raises ConfigurationError."""
    return tuple(dict.fromkeys(member(kind, value, setting) for value in several(values, setting)))


def instance(kind: type[_Kind], value: object, setting: str) -> _Kind:
    """The value, if it is of that kind; raises ConfigurationError."""
    if not isinstance(value, kind):
        raise ConfigurationError(f"expected {setting} to be {kind.__name__}, got {shown(value)}")
    return value


def instances(kind: type[_Kind], values: object, setting: str) -> tuple[_Kind, ...]:
    """The values, if all are of that kind; raises ConfigurationError."""
    return tuple(instance(kind, value, setting) for value in several(values, setting))


def number(value: object, setting: str) -> int:
    """A whole number from 0 on; raises ConfigurationError."""
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ConfigurationError(f"expected {setting} to be a number from 0 on, got {shown(value)}")
    return value


def several(values: object, setting: str) -> tuple[Any, ...]:
    """The items of a list, a tuple or a set; raises ConfigurationError for one thing in the place of several."""
    if isinstance(values, str | bytes):
        raise ConfigurationError(f"expected several for {setting}, got the one text {shown(values)}")
    if isinstance(values, Mapping) or not isinstance(values, Iterable):
        raise ConfigurationError(f"expected several for {setting}, got {type(values).__name__}")
    return tuple(values)
