"""The protections, and what a tree without each would look like."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Mutation:
    """`find` stands once in `file` (below src/mtlskit); with `replace` in its place, `tests` must fail."""

    file: str
    find: str
    replace: str
    tests: str
    why: str
