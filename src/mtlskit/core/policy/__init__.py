"""Access policies: who of the verified clients gets in. Values in, a value out; no clock, no I/O.

`AccessPolicy` follows Cloudflare Access (decision, include, require, exclude); `mtlskit.core.rules` makes the rules.
"""

from mtlskit.core.policy.compiled import NOTHING_KNOWN, CompiledPolicies, compile_policies, evaluate
from mtlskit.core.policy.explained import Explanation, Match, PolicyExplanation, RuleExplanation, explain
from mtlskit.core.policy.files import FileForm, policies_from_text, policies_to_text
from mtlskit.core.policy.replay import Changed, RecordedRequest, Replay, replay
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
    "NOTHING_KNOWN",
    "AccessPolicy",
    "Cause",
    "Changed",
    "CompiledPolicies",
    "Effect",
    "Explanation",
    "FileForm",
    "Match",
    "Part",
    "PolicyDecision",
    "PolicyExplanation",
    "PolicyOutcome",
    "RecordedRequest",
    "Replay",
    "RuleExplanation",
    "compile_policies",
    "evaluate",
    "explain",
    "policies_from_text",
    "policies_to_text",
    "read_policies",
    "replay",
]
