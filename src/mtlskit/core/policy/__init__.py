"""Access policies: who of the verified clients gets in. Values in, a value out; no clock, no I/O.

`AccessPolicy` follows Cloudflare Access (decision, include, require, exclude); `mtlskit.core.rules` makes the rules.
"""

from mtlskit.core.policy.compiled import CompiledPolicies, compile_policies, evaluate
from mtlskit.core.policy.values import (
    AccessPolicy,
    Cause,
    Effect,
    Part,
    PolicyDecision,
    PolicyOutcome,
    read_policies,
)

__all__ = [
    "AccessPolicy",
    "Cause",
    "CompiledPolicies",
    "Effect",
    "Part",
    "PolicyDecision",
    "PolicyOutcome",
    "compile_policies",
    "evaluate",
    "read_policies",
]
