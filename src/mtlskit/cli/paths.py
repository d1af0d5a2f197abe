"""A verified path as a tree: each certificate with what was checked there, and what was found."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from cryptography import x509
from cryptography.x509.oid import ExtensionOID
from rich.text import Text
from rich.tree import Tree

from mtlskit.cli.output import console, print_json
from mtlskit.cli.words import described, escaped, key_in_words, shown_time, subject
from mtlskit.core.validation import Stance, VerifiedPath
from mtlskit.core.validation.rules import RULES, Role
from mtlskit.core.validation.standing import StatusKind, StatusSource


def tell_path(path: VerifiedPath, moment: datetime, name: str | None, as_json: bool) -> None:
    """Prints the path that holds at the moment; `name` is the reference name that the leaf has."""
    steps = [_Step(path, position, name) for position in range(len(path.certificates))]
    if as_json:
        print_json(_path_document(path, moment, steps))
        return
    out = console()
    out.print(
        Text(f"accepted for {path.purpose.value} under {path.profile.name} at {shown_time(moment)}", "bold green")
    )
    out.print(Text(f"holds until {shown_time(path.not_after)} at most\n"))
    out.print(_tree(steps))


def _path_document(path: VerifiedPath, moment: datetime, steps: Sequence[_Step]) -> dict[str, Any]:
    return {
        "verdict": "accepted",
        "purpose": path.purpose.value,
        "profile": path.profile.name,
        "moment": shown_time(moment),
        "not_after": shown_time(path.not_after),
        "anchor": path.anchor.id,
        "path": [{"place": step.place, **described(step.certificate), "checks": step.checks()} for step in steps],
    }


def _tree(steps: Sequence[_Step]) -> Tree:
    tree = branch = Tree(steps[0].label(), guide_style="dim")
    for step in steps[1:]:
        branch = branch.add(step.label())
    return tree


class _Step:
    """A certificate of a verified path, and in words what `verify_path` has looked at there."""

    def __init__(self, path: VerifiedPath, position: int, name: str | None) -> None:
        self._path = path
        self._position = position
        self._name = name
        self.certificate = path.certificates[position]
        self._is_leaf, self._is_anchor = position == 0, position == len(path.certificates) - 1
        self._found = {each.oid: each.value for each in self.certificate.extensions}
        self.place = "leaf" if self._is_leaf else "anchor" if self._is_anchor else "intermediate"

    def label(self) -> Text:
        """The certificate and its checks, a line each."""
        told = described(self.certificate)
        lines = [f"{self.place}: {told['subject'] or 'no subject'}", f"  serial {told['serial']}"]
        lines += [f"  {what}: {said}" for what, said in self.checks().items()]
        return Text("\n".join(lines))

    def checks(self) -> dict[str, str]:
        """What was checked, and what was found."""
        certificate = self.certificate
        found = {
            "time": f"{shown_time(certificate.not_valid_before_utc)} to {shown_time(certificate.not_valid_after_utc)}",
            "key": key_in_words(certificate),
            "signature": self._signature(),
            "purpose": self._purpose(),
            "ca": self._ca(),
            "names": self._names(),
            "critical extensions": self._critical(),
            "rules": self._rules(),
            "revocation": self._revocation(),
        }
        return {what: said for what, said in found.items() if said}

    def _signature(self) -> str:
        if self._is_anchor:
            return "not looked at: an anchor is a name and a key"
        return f"verifies under the key of {subject(self._path.certificates[self._position + 1])}"

    def _purpose(self) -> str:
        usages = self._found.get(ExtensionOID.EXTENDED_KEY_USAGE)
        if self._is_anchor and not self._is_leaf:
            return ""
        if usages is None:
            return f"not restricted, so {self._path.purpose.value} is allowed"
        return f"{self._path.purpose.value}, among {', '.join(usage._name for usage in usages)}"

    def _ca(self) -> str:
        if self._is_leaf:
            return ""
        length = self._found[ExtensionOID.BASIC_CONSTRAINTS].path_length
        usage = "keyCertSign" if ExtensionOID.KEY_USAGE in self._found else "no keyUsage"
        return f"cA, {usage}, {'any path length' if length is None else f'path length {length}'}"

    def _names(self) -> str:
        said = []
        if not self._is_leaf and ExtensionOID.NAME_CONSTRAINTS in self._found:
            said.append("constrains those below")
        if any(map(_constrains, self._path.certificates[self._position + 1 :])):
            said.append("permitted by every CA above")
        if self._is_leaf and self._name is not None:
            said.append(f"has {escaped(self._name)}")
        if self._is_leaf and self._path.sans:
            said.append(", ".join(escaped(str(san)) for san in self._path.sans))
        return "; ".join(said)

    def _critical(self) -> str:
        names = [each.oid._name for each in self.certificate.extensions if each.critical]
        return f"all known: {', '.join(names)}" if names else "none"

    def _rules(self) -> str:
        role = Role.LEAF if self._is_leaf else Role.ANCHOR if self._is_anchor else Role.INTERMEDIATE
        profile = self._path.profile
        kept = {rule.name for rule in RULES if role in rule.roles and getattr(profile, rule.name) is Stance.REFUSE}
        return f"{len(kept)} of {profile.name} kept" if kept else f"none of {profile.name}"

    def _revocation(self) -> str:
        if self._is_anchor:
            return ""
        if self._position >= len(self._path.statuses):
            return "not asked"
        status = self._path.statuses[self._position]
        return f"{status.standing.value}, by {' and '.join(map(_source, status.sources))}"


def _source(source: StatusSource) -> str:
    until = "without nextUpdate" if source.next_update is None else f"until {shown_time(source.next_update)}"
    what = "an OCSP response" if source.kind is StatusKind.RESPONSE else f"the list {_number(source.number)}"
    return f"{what} of {shown_time(source.this_update)}, {until}"


def _number(number: int | None) -> str:
    return "without number" if number is None else f"number {number}"


def _constrains(certificate: x509.Certificate) -> bool:
    return any(each.oid == ExtensionOID.NAME_CONSTRAINTS for each in certificate.extensions)
