"""Evidence and verdicts. The one place where a request is allowed or denied.

The handshake collects evidence. `decide` gives the verdict, for every request, from the hostname's record, the
evidence, the request's authority and the moment. It reads nothing else and keeps nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from typing import TypeAlias, assert_never

from mtlskit.core.certificates import ClientIdentity, PresentedChain
from mtlskit.core.custom_hostname import ClientAuth, CustomHostname, PolicyMode
from mtlskit.core.evidence import PeerEvidence, Source
from mtlskit.core.names import Hostname
from mtlskit.core.policy import NOTHING_KNOWN, Cause, Explanation, PolicyDecision, PolicyOutcome
from mtlskit.core.reasons import Reason
from mtlskit.core.request import RequestFacts
from mtlskit.core.validation import Limits, Purpose, VerifiedPath, verify_path
from mtlskit.errors import InvalidName, PathError, StoreError


@dataclass(frozen=True, slots=True, kw_only=True)
class Allow:
    """The request may reach the app. `identity` is None where no certificate was asked for or came.

    `policy` is what the policies said. Where they could say something else of the same client's next request, `again`
    asks them. `explanation` is there where one was asked for.
    """

    identity: ClientIdentity | None
    path: VerifiedPath | None = None
    policy: PolicyOutcome | None = None
    again: Callable[[RequestFacts], Allow | Deny] | None = field(default=None, compare=False, repr=False)
    explanation: Explanation | None = field(default=None, compare=False, repr=False)

    @property
    def enforced(self) -> bool:
        """False where a bypass let the request pass, or policies that are only monitored would have denied it."""
        return self.policy is None or _is_enforced(self.policy)


@dataclass(frozen=True, slots=True, kw_only=True)
class Deny:
    """The request must not reach the app. `reason` is what may be told; the rest is for the operator only.

    `identity` is there where the client was verified, and `policy` where the policies were asked.
    """

    reason: Reason
    detail: str = ""
    identity: ClientIdentity | None = None
    policy: PolicyOutcome | None = None
    explanation: Explanation | None = field(default=None, compare=False, repr=False)

    @property
    def status(self) -> int:
        """The HTTP status: 421 for a misdirected request (RFC 9110, 15.5.20), else 403."""
        return 421 if self.reason is Reason.AUTHORITY_MISMATCH else 403


@dataclass(frozen=True, slots=True)
class VerifiedClient:
    """A client whose path to an anchor of the hostname was verified, and who it says that it is."""

    path: VerifiedPath
    identity: ClientIdentity


Verify: TypeAlias = Callable[[CustomHostname, PresentedChain, datetime], VerifiedClient]

# A gate's clients are strangers until they are verified: less work is done for them than `verify_path` would do.
GATE_LIMITS = Limits(signatures=16, comparisons=20_000, certificates=10, octets=64 * 1024, candidates=200)


def verify_client(hostname: CustomHostname, presented: PresentedChain, now: datetime) -> VerifiedClient:
    """The client with a path to an anchor of this hostname; raises PathError.

    Revocation is judged by the lists that are in the hostname's trust store.
    """
    path = verify_path(
        presented,
        hostname.trust,
        purpose=Purpose.CLIENT_AUTH,
        now=now,
        revocation=hostname.revocation,
        revocation_unknown=hostname.revocation_unknown,
        revocation_stale=hostname.revocation_stale,
        limits=GATE_LIMITS,
    )
    identity = ClientIdentity.of(
        path.leaf,
        hostname=str(hostname.pattern),
        anchor_id=path.anchor.id,
        issuers=path.certificates[1:],
        presented=presented,
    )
    return VerifiedClient(path, identity)


def decide(
    hostname: CustomHostname | None,
    evidence: PeerEvidence,
    authority: str | None,
    *,
    now: datetime,
    request: RequestFacts | None = None,
    verify: Verify = verify_client,
) -> Allow | Deny:
    """Whether a request to `authority`, on the connection that `evidence` tells of, may reach the app.

    `hostname` is the record found for the evidence's server name (None: there is none), `now` a UTC-aware moment,
    `request` what else is known of it, for policies that ask; `verify` what finds the path (a gate passes one that
    remembers). Never raises: what goes wrong denies (I4).
    """
    try:
        return (
            _misnamed(hostname, evidence, authority)
            or _untrusted_source(evidence)
            or _judged(_known(hostname), evidence, facts_for(evidence, request, now), verify)
        )
    except PathError as error:
        return Deny(reason=error.reason, detail=error.detail)
    except StoreError as error:
        return Deny(reason=Reason.STORE_UNAVAILABLE, detail=str(error))
    except Exception as error:  # noqa: BLE001 - whatever fails in here denies (I4)
        return Deny(reason=Reason.INTERNAL_ERROR, detail=type(error).__name__)


def _known(hostname: CustomHostname | None) -> CustomHostname:
    if hostname is None:
        raise LookupError("expected the record of a known hostname, got none")
    return hostname


def _misnamed(hostname: CustomHostname | None, evidence: PeerEvidence, authority: str | None) -> Deny | None:
    if not evidence.server_name:
        return Deny(reason=Reason.SERVER_NAME_MISSING)
    server_name = _parsed(evidence.server_name)
    if server_name is None or hostname is None or not hostname.pattern.matches(server_name):
        return Deny(reason=Reason.SERVER_NAME_UNKNOWN)
    if authority is None or not _is_same(authority, server_name):
        return Deny(reason=Reason.AUTHORITY_MISMATCH)
    return None


def _is_same(authority: str, server_name: Hostname) -> bool:
    return authority == server_name.name or _parsed(authority) == server_name


def _parsed(name: str) -> Hostname | None:
    try:
        return Hostname.parse(name)
    except InvalidName:
        return None


def _untrusted_source(evidence: PeerEvidence) -> Deny | None:
    match evidence.source:
        case Source.TLS:
            return None
        case Source.FORWARDED:
            return Deny(reason=Reason.UNTRUSTED_SOURCE, detail="no proxy is trusted to forward certificates")
        case _:
            assert_never(evidence.source)


def server_name_of(evidence: PeerEvidence) -> str | None:
    """The canonical name that the handshake was for; None if there is none."""
    found = _parsed(evidence.server_name or "")
    return found.name if found else None


def facts_for(evidence: PeerEvidence, request: RequestFacts | None, now: datetime) -> RequestFacts:
    """What policies are asked with: the name is the one that the handshake was for, the moment the verdict's."""
    known, name = request or NOTHING_KNOWN, server_name_of(evidence)
    return known if known.at is now and known.hostname == name else replace(known, hostname=name, at=now)


def _judged(hostname: CustomHostname, evidence: PeerEvidence, facts: RequestFacts, verify: Verify) -> Allow | Deny:
    match hostname.client_auth:
        case ClientAuth.NONE:
            return Allow(identity=None)
        case ClientAuth.OPTIONAL | ClientAuth.REQUIRED:
            if evidence.presented is None:
                return _without_certificate(hostname, facts)
            assert facts.at is not None
            return _admitted(hostname, verify(hostname, evidence.presented, facts.at), facts)
        case _:
            assert_never(hostname.client_auth)


def _without_certificate(hostname: CustomHostname, facts: RequestFacts) -> Allow | Deny:
    if hostname.client_auth is not ClientAuth.OPTIONAL:
        return Deny(reason=Reason.NO_CERTIFICATE)
    return _admitted(hostname, None, facts) if hostname.policies else Allow(identity=None)


def _admitted(hostname: CustomHostname, client: VerifiedClient | None, facts: RequestFacts) -> Allow | Deny:
    identity, path = (None, None) if client is None else (client.identity, client.path)
    outcome = hostname.admits(identity, facts)
    if outcome.allowed or hostname.policy_mode is PolicyMode.MONITOR:
        is_lasting = _is_enforced(outcome) and not hostname.judges_each_request
        again = None if is_lasting else partial(_admitted, hostname, client)
        return Allow(identity=identity, path=path, policy=outcome, again=again)
    reason = Reason.NO_CERTIFICATE if outcome.cause is Cause.NO_CERTIFICATE else Reason.POLICY_DENIED
    return Deny(reason=reason, detail=_told(outcome), identity=identity, policy=outcome)


def _is_enforced(outcome: PolicyOutcome) -> bool:
    return outcome.allowed and outcome.applied is not PolicyDecision.BYPASS


def _told(outcome: PolicyOutcome) -> str:
    named = "" if outcome.policy is None else f" by policy {outcome.policy} {outcome.policy_name!r}"
    return f"{outcome.cause.value}{named}"
