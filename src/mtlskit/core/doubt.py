"""What becomes of a comparison with something that is not known or has more than one reading (I9)."""

from __future__ import annotations

from enum import Enum, auto


class Doubt(Enum):
    """What the unknown counts as: whatever keeps the client out at the place where it is asked."""

    NO_MATCH = auto()
    MATCH = auto()

    @property
    def flipped(self) -> Doubt:
        """What it counts as under a negation."""
        return Doubt.MATCH if self is Doubt.NO_MATCH else Doubt.NO_MATCH
