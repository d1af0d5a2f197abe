"""Reads Markdown: fenced blocks with what stands above them, and links. Owns the marks that examples can carry.

`<!-- file: NAME -->` on the line above a block writes it into the working directory before what follows is run;
`<!-- not run: WHY -->` leaves a Python block unrun (it must still compile).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    [*(ROOT / "docs").rglob("*.md"), *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md"))]
)
_BLOCK = re.compile(
    r"(?:^<!-- (?P<mark>[^\n]*) -->\n)?^```(?P<language>\w*)\n(?P<code>.*?)^```$", re.DOTALL | re.MULTILINE
)
_LINK = re.compile(r"\]\((?!https?://|mailto:)([^)\s]+)\)")


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block, the mark above it, and the number of its first line of code."""

    language: str
    code: str
    mark: str
    line: int

    @property
    def file(self) -> str | None:
        """The name that it is to be written under."""
        return self.mark.removeprefix("file: ") if self.mark.startswith("file: ") else None

    @property
    def is_run(self) -> bool:
        """Whether it is Python that the page does not leave out."""
        return self.language == "python" and not self.mark.startswith("not run: ")


def blocks(page: Path) -> Iterator[Block]:
    """The fenced blocks of a page, in order."""
    text = page.read_text(encoding="utf-8")
    for found in _BLOCK.finditer(text):
        line = text.count("\n", 0, found.start("code")) + 1
        yield Block(found["language"], found["code"], found["mark"] or "", line)


def links(page: Path) -> list[str]:
    """The links of a page that are not to the outside."""
    prose = _BLOCK.sub("", page.read_text(encoding="utf-8"))
    return _LINK.findall(prose)
