"""Policies as a file: JSON or TOML, with the rule groups that they name.

    {"groups": [{"id": "staff", "include": [...]}],
     "policies": [{"decision": "allow", "include": [{"group": {"id": "staff"}}]}]}

A list of policies alone will do in JSON. What is written is read back to equal policies.
"""

from __future__ import annotations

import json
import tomllib
from collections import Counter
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any

from mtlskit.core.policy.document import fields_of, group_to_dict
from mtlskit.core.policy.values import AccessPolicy, Part, read_policies
from mtlskit.core.rules.values import Rule, RuleGroup, inner
from mtlskit.errors import ConfigurationError

_FIELDS = ("groups", "policies")


class FileForm(StrEnum):
    """How a file of policies is written."""

    JSON = "json"
    TOML = "toml"


def policies_from_text(text: str | bytes, form: FileForm | str) -> tuple[AccessPolicy, ...]:
    """The policies of a file; raises ConfigurationError with the path, or the line, of what is wrong."""
    document = _loaded(text, FileForm(form))
    if isinstance(document, list):
        return read_policies(document)
    fields = fields_of(document, _FIELDS, "the file")
    if "policies" not in fields:
        raise ConfigurationError("expected the field 'policies' in the file, got none")
    return read_policies(fields["policies"], groups=fields.get("groups", ()))


def policies_to_text(policies: Sequence[AccessPolicy], form: FileForm | str) -> str:
    """The policies as a file. Groups that have an id are written once. TOML needs the extra `toml`.

    Raises ConfigurationError where two different groups have the same id.
    """
    document = _document(policies)
    if FileForm(form) is FileForm.JSON:
        return json.dumps(document, indent=2, ensure_ascii=False) + "\n"
    return str(_writer().dumps(document))


def _loaded(text: str | bytes, form: FileForm) -> Any:
    try:
        decoded = text.decode("utf-8") if isinstance(text, bytes) else text
        return json.loads(decoded, object_pairs_hook=_unique) if form is FileForm.JSON else tomllib.loads(decoded)
    except (ValueError, RecursionError) as error:
        raise ConfigurationError(f"expected policies in {form.value.upper()}, got {error}") from None


def _unique(members: list[tuple[str, Any]]) -> dict[str, Any]:
    """A member that comes twice would be skipped once."""
    found = dict(members)
    if len(found) < len(members):
        twice = next(name for name, count in Counter(name for name, _ in members).items() if count > 1)
        raise ValueError(f"the member {twice!r:.80} twice in one object")
    return found


def _document(policies: Sequence[AccessPolicy]) -> dict[str, Any]:
    groups: dict[str, RuleGroup] = {}
    for policy in policies:
        for part in Part:
            _gather(policy.rules(part), groups)
    document: dict[str, Any] = {}
    if groups:
        document["groups"] = [_named(group_to_dict(group)) for group in groups.values()]
    return document | {"policies": [_named(policy.to_dict()) for policy in policies]}


def _gather(rules: Sequence[Rule], groups: dict[str, RuleGroup]) -> None:
    """The groups with ids, those that others name before these."""
    for rule in rules:
        _gather(inner(rule), groups)
        if isinstance(rule, RuleGroup) and rule.id and groups.setdefault(rule.id, rule) != rule:
            raise ConfigurationError(f"expected one rule group of the id {rule.id!r:.80}, got two")


def _named(document: Any) -> Any:
    """The document with its groups that have ids named by these."""
    if isinstance(document, list):
        return [_named(each) for each in document]
    if not isinstance(document, Mapping):
        return document
    group = document.get("group")
    if isinstance(group, Mapping) and group.get("id"):
        return {"group": {"id": group["id"]}}
    return {name: _named(each) for name, each in document.items()}


def _writer() -> Any:
    try:
        import tomli_w
    except ImportError:
        raise ConfigurationError("expected the extra 'toml' for writing TOML: pip install mtlskit[toml]") from None
    return tomli_w
