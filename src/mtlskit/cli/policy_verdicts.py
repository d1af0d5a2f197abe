"""Verdicts in words, with the tree of what every rule saw."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from rich.text import Text

from mtlskit.cli.output import console, print_json
from mtlskit.cli.words import escaped, shown_time, subject
from mtlskit.core.policy import Explanation, PolicyOutcome
from mtlskit.core.verdict import Allow, Deny


def tell_verdict(hostname: str, verdict: Allow | Deny, as_json: bool) -> None:
    """Prints what a gate answers at the hostname, and the tree where its policies were reached."""
    told = _allowed(verdict) if isinstance(verdict, Allow) else _denied(verdict)
    if as_json:
        explained = {} if verdict.explanation is None else {"explanation": verdict.explanation.to_dict()}
        print_json({"hostname": hostname, **told, **explained})
        return
    if told.pop("enforced", True) is False:
        told["note"] = "not enforced: a bypass lets it pass, or the policies are only monitored"
    _tell(told.pop("verdict"), hostname, told, verdict.explanation)


def tell_tested(
    hostname: str, moment: datetime, client: Mapping[str, Any], explanation: Explanation, as_json: bool
) -> None:
    """Prints what policies say of a client and a request; `client` is in words."""
    verdict, told = explanation.outcome.decision.value, {"moment": shown_time(moment), **client}
    if as_json:
        print_json({"verdict": verdict, "hostname": hostname, **told, "explanation": explanation.to_dict()})
        return
    certificate = told.pop("certificate") or {"certificate": "none"}
    if not told.pop("certificate_judged") and client["certificate"]:
        told["note"] = "the certificate itself was not judged (that takes --ca), and its trust anchor is not known"
    _tell(verdict, hostname, {**certificate, **told}, explanation)


def outcome_words(outcome: PolicyOutcome) -> str:
    """Why the policies say what they say, and where they say it."""
    place = f" at {outcome.path}" if outcome.path else ""
    return f"{outcome.cause.value}{place}{_named(outcome)}"


def _named(outcome: PolicyOutcome) -> str:
    return f" {escaped(outcome.policy_name)!r}" if outcome.policy_name else ""


def _tell(verdict: str, hostname: str, fields: Mapping[str, Any], explanation: Explanation | None) -> None:
    out = console()
    out.print(Text(f"{verdict} at {escaped(hostname)}", "bold green" if verdict == "allow" else "bold red"))
    for name, value in fields.items():
        if value not in (None, "", []):
            out.print(Text(f"  {name}: {', '.join(map(str, value)) if isinstance(value, list) else value}"))
    if explanation is not None:
        out.print()
        for line in str(explanation).split("\n"):
            out.print(Text(escaped(line)), soft_wrap=True)


def _allowed(verdict: Allow) -> dict[str, Any]:
    identity, policy = verdict.identity, verdict.policy
    return {
        "verdict": "allow",
        "subject": None if identity is None else subject(identity.certificate),
        "sans": [] if identity is None else [escaped(str(san)) for san in identity.sans],
        "anchor": None if identity is None else identity.anchor_id,
        "path": [] if verdict.path is None else [subject(each) for each in verdict.path.certificates],
        "policy": None if policy is None else f"{policy.cause.value}{_by(policy)}",
        "enforced": verdict.enforced,
    }


def _denied(verdict: Deny) -> dict[str, Any]:
    return {
        "verdict": "deny",
        "reason": verdict.reason.value,
        "status": verdict.status,
        "detail": escaped(verdict.detail),
    }


def _by(outcome: PolicyOutcome) -> str:
    if outcome.policy is None:
        return ""
    return f" by policy {outcome.policy} {escaped(outcome.policy_name)!r}"
