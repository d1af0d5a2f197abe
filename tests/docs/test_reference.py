"""What the reference lists is what there is."""

from __future__ import annotations

import re
from collections.abc import Iterator

import click
import pytest

import mtlskit
from mtlskit.cli.commands import cli
from mtlskit.gate import Hostnames, Refused
from support.pages import ROOT

REFERENCE = ROOT / "docs" / "reference"


def rows(page: str) -> list[list[str]]:
    """The cells of every table row of a page of the reference."""
    lines = (REFERENCE / page).read_text(encoding="utf-8").splitlines()
    found = (re.split(r"(?<!\\)\|", line)[1:-1] for line in lines if line.startswith("|"))
    return [[cell.strip() for cell in row] for row in found]


def test_every_reason_is_listed_with_its_rank_in_order() -> None:
    listed = [(int(row[0]), row[1].strip("`")) for row in rows("reasons.md") if row[0].isdigit()]
    assert listed == [(reason.rank, reason.value) for reason in mtlskit.Reason]


def test_the_status_of_every_reason_is_the_one_that_is_sent() -> None:
    for row in rows("reasons.md"):
        if row[0].isdigit() and any(character.isdigit() for character in row[2]):
            verdict = mtlskit.Deny(reason=mtlskit.Reason(row[1].strip("`")))
            assert str(verdict.status) in row[2], row[1]


def test_every_field_of_an_event_is_listed() -> None:
    listed = {row[0].strip("`") for row in rows("events.md")} - {"field", "---"}
    assert listed == set(Refused.__dataclass_fields__)


def test_every_setting_of_a_hostname_is_listed() -> None:
    text = (REFERENCE / "api.md").read_text(encoding="utf-8")
    table = text.partition("Settings of a hostname:")[2].partition("## Policies")[0]
    listed = set(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE))
    assert listed == set(Hostnames.add.__kwdefaults__)


def test_every_public_name_is_on_the_map() -> None:
    text = (REFERENCE / "api.md").read_text(encoding="utf-8")
    covered_by_group = {
        "Allow", "Deny", "ClientAuth", "Enforcement", "RevocationMode", "ClientIdentity", "PeerEvidence", "Reason",
    }  # fmt: skip
    missing = [name for name in mtlskit.__all__ if name not in text and name not in covered_by_group]
    assert missing == []


@pytest.mark.parametrize("name", cli.list_commands(click.Context(cli)))
def test_every_command_and_option_is_listed(name: str) -> None:
    page = (REFERENCE / "command-line.md").read_text(encoding="utf-8")
    text = f"`mtlskit {name}`" + page.partition(f"## `mtlskit {name}`\n")[2].partition("\n## ")[0]
    command = cli.get_command(click.Context(cli), name)
    assert command is not None
    commands = list(below(command))
    options = {option for each in commands for parameter in each.params for option in parameter.opts}
    assert {option for option in options if option.startswith("--") and option not in text} == set()
    assert all(f"`{each.name}" in text or re.search(rf" {each.name}[` ]", text) for each in commands)


def below(command: click.Command) -> Iterator[click.Command]:
    """The command and all of its own."""
    yield command
    for each in getattr(command, "commands", {}).values():
        yield from below(each)


def test_every_rule_is_listed() -> None:
    listed = {re.sub(r"\W", "", row[0]) for row in rows("policies.md")} - {"function", ""}
    assert listed == set(mtlskit.rules.__all__) - {"Rule"}
