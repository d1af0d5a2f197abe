"""The command line as tests run it, in their own process: what it printed, and how it ended."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias


class Done(NamedTuple):
    """How a command ended."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one document on stdout of a command that went well."""
        assert (self.status, self.err) == (0, ""), self
        return json.loads(self.out)

    def refused(self, *parts: str) -> None:
        """Checks that it was bad input: one line on stderr with these parts, nothing on stdout, status 2."""
        assert (self.status, self.out) == (2, ""), self
        assert self.err.startswith("mtlskit: "), self
        assert self.err.count("\n") == 1, self
        assert all(part in self.err for part in parts), self


Command: TypeAlias = Callable[..., Done]
