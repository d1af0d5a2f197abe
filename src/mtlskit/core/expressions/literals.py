"""The literals of comparisons: each in the one spelling that its field has, so that a mere spelling decides nothing."""

from __future__ import annotations

import re
import string
from collections.abc import Callable
from typing import Final

from mtlskit.core.expressions.vocabulary import Field, Form, Operator
from mtlskit.core.names import Hostname
from mtlskit.errors import InvalidName

_HEXADECIMAL: Final = frozenset(string.hexdigits)
_DIGITS = {Form.SHA256: 64, Form.SHA1: 40}
_PERCENT_ESCAPE = re.compile(r"%[0-9A-Fa-f]{2}")


class Unfit(ValueError):
    """A literal is none of its field. The text says what was expected, as the end of "expected ..."."""


def canonical(field: Field, operator: Operator, value: str) -> str:
    """The literal as the field has it; raises Unfit. Empty text stands for "not there", and is part of everything."""
    if operator.is_partial:
        return _part(field, value)
    return _whole(field.form)(value) if value or field.form is Form.HOSTNAME else value


def _whole(form: Form) -> Callable[[str], str]:
    match form:
        case Form.HOSTNAME:
            return _hostname
        case Form.PATH:
            return _path
        case Form.NAME:
            return _name
        case Form.LEGACY_NAME:
            return _legacy_name
        case Form.SERIAL:
            return _serial
        case Form.KEY_ID:
            return _key_id
        case Form.SHA256 | Form.SHA1:
            return lambda value: _fingerprint(value, _DIGITS[form])
        case Form.PLAIN:
            return str


def _part(field: Field, value: str) -> str:
    if not value:
        raise Unfit("some text")
    match field.form:
        case Form.HOSTNAME:
            return _part_of_hostname(value)
        case Form.SERIAL | Form.KEY_ID:
            return _hexadecimal(value).upper()
        case Form.SHA256 | Form.SHA1:
            return _hexadecimal(value).lower()
        case Form.PATH | Form.NAME | Form.LEGACY_NAME | Form.PLAIN:
            return _whole(field.form)(value)


def _hostname(value: str) -> str:
    if ":" in value:
        raise Unfit("a hostname without a port")
    try:
        return Hostname.parse(value).name
    except InvalidName:
        raise Unfit("a hostname") from None


def _part_of_hostname(value: str) -> str:
    if not value.isascii() or value != value.lower():
        raise Unfit("a part of a hostname in lower-case ASCII")
    return value


def _path(value: str) -> str:
    """The path of a request is compared decoded: an escape in a literal would never be there."""
    if _PERCENT_ESCAPE.search(value):
        raise Unfit("a decoded path, without percent escapes")
    return value


def _name(value: str) -> str:
    return _escaped(value, "\\")


def _legacy_name(value: str) -> str:
    return _escaped(value, "\\x")


def _escaped(value: str, mark: str) -> str:
    """Names have what is not ASCII as hexadecimal octets; who writes the characters means the same."""
    octets = ((each, each.encode()) for each in value)
    return "".join(each if each.isascii() else "".join(f"{mark}{octet:02X}" for octet in raw) for each, raw in octets)


def _serial(value: str) -> str:
    digits = _hexadecimal(value.replace(":", "")).lstrip("0").upper() or "0"
    return digits.zfill(len(digits) + len(digits) % 2)


def _key_id(value: str) -> str:
    digits = _hexadecimal(value.replace(":", "")).upper()
    if len(digits) % 2:
        raise Unfit("two hexadecimal digits for each octet")
    return digits


def _fingerprint(value: str, digits: int) -> str:
    found = _hexadecimal(value.replace(":", "")).lower()
    if len(found) != digits:
        raise Unfit(f"a fingerprint of {digits} hexadecimal digits")
    return found


def _hexadecimal(value: str) -> str:
    if not value or not _HEXADECIMAL.issuperset(value):
        raise Unfit("hexadecimal digits")
    return value
