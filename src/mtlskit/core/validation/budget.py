"""The work that one verdict may cost, counted down. The only mutable thing besides the memo of signatures."""

from __future__ import annotations

from mtlskit.core.reasons import Reason
from mtlskit.core.validation.profiles import Limits
from mtlskit.errors import PathError


class Budget:
    """What is left of the limits; raises PathError (limit_exceeded) where it is not enough."""

    __slots__ = ("_candidates", "_comparisons", "_limits", "_policy_nodes", "_signatures")

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._signatures = limits.signatures
        self._candidates = limits.candidates
        self._comparisons = limits.comparisons
        self._policy_nodes = limits.policy_nodes

    def check_signature(self) -> None:
        """Takes one signature check."""
        self._signatures -= 1
        if self._signatures < 0:
            raise exceeded("signature checks", self._limits.signatures)

    def look_at_candidate(self) -> None:
        """Takes one look at an issuer candidate."""
        self._candidates -= 1
        if self._candidates < 0:
            raise exceeded("issuer candidates", self._limits.candidates)

    def compare(self, count: int) -> None:
        """Takes comparisons of names with constraints."""
        self._comparisons -= count
        if self._comparisons < 0:
            raise exceeded("name constraint comparisons", self._limits.comparisons)

    def add_policy_nodes(self, count: int) -> None:
        """Takes nodes of the policy graph."""
        self._policy_nodes -= count
        if self._policy_nodes < 0:
            raise exceeded("policy nodes", self._limits.policy_nodes)


def exceeded(what: str, limit: int, found: int | None = None) -> PathError:
    """The refusal of more than `limit` of something."""
    got = "more" if found is None else str(found)
    return PathError(
        Reason.LIMIT_EXCEEDED, None, f"expected at most {limit} {what}, got {got}", {"limit": limit, "what": what}
    )
