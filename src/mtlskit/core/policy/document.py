"""The document form of rules: what Cloudflare Access writes, and our own selectors. Owns its names and error paths.

    {"certificate": {}}                               {"common_name": {"common_name": "John Doe"}}
    {"san": {"uri": "urn:acme:device:17"}}            (also "dns", "email", "ip"; one each)
    {"fingerprint": {"sha256": "9f86..."}}            {"serial": {"hex": "0A1B"}}

Nothing is skipped: what is not known is a ConfigurationError that says where, as in `policies[1].require[0].emial`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum
from functools import partial
from typing import Any, assert_never

from mtlskit.core import rules
from mtlskit.core.names import SanType
from mtlskit.core.rules import Rule
from mtlskit.errors import ConfigurationError, MTLSError


class RuleName(StrEnum):
    """The names of rules in a policy document."""

    CERTIFICATE = "certificate"
    COMMON_NAME = "common_name"
    SAN = "san"
    FINGERPRINT = "fingerprint"
    SERIAL = "serial"


_SAN_FIELDS = frozenset(san_type.value for san_type in SanType)


def rules_from(documents: object, where: str) -> tuple[Rule, ...]:
    """The rules of a list of rule documents; raises ConfigurationError with the path, which begins with `where`."""
    if not isinstance(documents, list | tuple):
        raise ConfigurationError(f"expected a list of rules at {where}, got {shown(documents)}")
    return tuple(rule_from(document, f"{where}[{index}]") for index, document in enumerate(documents))


def rule_from(document: object, where: str) -> Rule:
    """The rule of one document; raises ConfigurationError with the path, which begins with `where`."""
    name, body = _only_member(document, where)
    path = f"{where}.{name}"
    if name not in RuleName.__members__.values():
        raise ConfigurationError(f"expected a known rule ({_listed(RuleName)}) at {path}, got {name!r}")
    make = _reader(RuleName(name), body, path)
    try:
        return make()
    except MTLSError as error:
        raise ConfigurationError(f"{error} at {path}") from error


def rule_to_dict(rule: Rule) -> dict[str, dict[str, str]]:
    """The rule's document, in its canonical form."""
    match rule:
        case rules.AnyValidCertificate():
            return {RuleName.CERTIFICATE.value: {}}
        case rules.CommonName(value):
            return {RuleName.COMMON_NAME.value: {"common_name": value}}
        case rules.San(name):
            return {RuleName.SAN.value: {name.type.value: name.value}}
        case rules.Fingerprint(sha256):
            return {RuleName.FINGERPRINT.value: {"sha256": sha256}}
        case rules.Serial(number):
            return {RuleName.SERIAL.value: {"hex": f"{number:X}"}}
        case _:
            assert_never(rule)


def fields_of(document: object, known: Iterable[str], where: str) -> Mapping[str, Any]:
    """`document` as a mapping that has no other fields than `known`; raises ConfigurationError with the path."""
    if not isinstance(document, Mapping):
        raise ConfigurationError(f"expected an object at {where}, got {shown(document)}")
    allowed = tuple(known)
    for name in document:
        if name not in allowed:
            raise ConfigurationError(f"expected a known field ({_listed(allowed)}) at {where}.{name}, got {name!r}")
    return document


def text_at(value: object, where: str) -> str:
    """`value` as the text that has to be at `where`."""
    if not isinstance(value, str):
        raise ConfigurationError(f"expected text at {where}, got {shown(value)}")
    return value


def shown(value: object) -> str:
    """A value as errors show it: by `repr`, cut."""
    text = repr(value)
    return text if len(text) <= 80 else text[:80] + "..."


def _reader(name: RuleName, body: object, path: str) -> Callable[[], Rule]:
    """What makes the rule of a body whose fields are known and have the right types."""
    match name:
        case RuleName.CERTIFICATE:
            fields_of(body, (), path)
            return rules.any_valid_certificate
        case RuleName.COMMON_NAME:
            return partial(rules.common_name, _text(body, "common_name", path))
        case RuleName.SAN:
            kind, value = _only_member(fields_of(body, _SAN_FIELDS, path), path)
            return partial(rules.san, f"{kind}:{text_at(value, f'{path}.{kind}')}")
        case RuleName.FINGERPRINT:
            return partial(rules.fingerprint, _text(body, "sha256", path))
        case RuleName.SERIAL:
            return partial(rules.serial, _text(body, "hex", path))
        case _:
            assert_never(name)


def _text(body: object, name: str, path: str) -> str:
    fields = fields_of(body, (name,), path)
    if name not in fields:
        raise ConfigurationError(f"expected the field {name!r} at {path}, got none")
    return text_at(fields[name], f"{path}.{name}")


def _only_member(document: object, where: str) -> tuple[str, object]:
    if not isinstance(document, Mapping) or len(document) != 1:
        raise ConfigurationError(f"expected an object with one member at {where}, got {shown(document)}")
    ((name, body),) = document.items()
    return text_at(name, where), body


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(map(str, names))) or "none"
