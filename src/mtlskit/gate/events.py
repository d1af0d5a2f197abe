"""What a gate tells its operator: what was refused, and what passed unenforced, to logging and to subscribers.

Nothing here is told to a client. What a peer sent is escaped, cut, and marked as unverified; it is never a format
string and never a label.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, TypeAlias

from mtlskit.core.certificates import PresentedChain, shown_subject
from mtlskit.core.policy import Cause, Effect
from mtlskit.core.reasons import Reason
from mtlskit.core.verdict import Allow

_LOGGER = logging.getLogger("mtlskit.gate")
_LONGEST_NAME = 255


class Stage(StrEnum):
    """Where the refusal happened."""

    HANDSHAKE = "handshake"
    REQUEST = "request"


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """One refused handshake or request."""

    stage: Stage
    reason: Reason
    hostname: str | None
    unverified_subject: str = ""
    fingerprint_sha256: str = ""
    detail: str = ""
    request_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unenforced:
    """One request that passed although the policies would have denied it (`monitor`), or by a `bypass` policy.

    `effect` is what the policies said of it, `policy` where, as in `policies[0].exclude[2]`.
    """

    hostname: str | None
    effect: Effect
    cause: Cause
    policy: str = ""
    policy_name: str = ""
    subject: str = ""
    fingerprint_sha256: str = ""
    request_id: str = ""


Event: TypeAlias = Refused | Unenforced
Subscriber: TypeAlias = Callable[[Any], None]


def refused(
    stage: Stage,
    reason: Reason,
    server_name: str | None,
    presented: PresentedChain | None,
    *,
    detail: str = "",
    request_id: str = "",
) -> Refused:
    """The event, with what the peer sent made safe to show."""
    return Refused(
        stage=stage,
        reason=reason,
        hostname=None if server_name is None else _escaped(server_name),
        unverified_subject=shown_subject(presented.leaf_der) if presented else "",
        fingerprint_sha256=presented.fingerprint.hex() if presented else "",
        detail=_escaped(detail),
        request_id=request_id,
    )


def unenforced(server_name: str | None, verdict: Allow, *, request_id: str) -> Unenforced:
    """The event of a verdict whose policies were asked."""
    outcome, identity = verdict.policy, verdict.identity
    assert outcome is not None
    return Unenforced(
        hostname=None if server_name is None else _escaped(server_name),
        effect=outcome.decision,
        cause=outcome.cause,
        policy=outcome.path,
        policy_name=_escaped(outcome.policy_name),
        subject=_escaped(identity.subject) if identity else "",
        fingerprint_sha256=identity.fingerprint_sha256 if identity else "",
        request_id=request_id,
    )


class Events:
    """Passes events on. A subscriber that raises is logged and does not reach the verdict."""

    def __init__(self) -> None:
        self._subscribers: tuple[tuple[type[Event], Subscriber], ...] = ()

    def subscribe(self, subscriber: Subscriber, kind: type[Event]) -> Callable[[], None]:
        """Calls `subscriber` with every event of that kind, in the thread where it happens; gives what ends it."""
        entry = (kind, subscriber)
        self._subscribers = (*self._subscribers, entry)

        def unsubscribe() -> None:
            self._subscribers = tuple(each for each in self._subscribers if each is not entry)

        return unsubscribe

    def publish(self, event: Event) -> None:
        """To the log and to every subscriber."""
        match event:
            case Refused():
                _LOGGER.info("%s refused: %s", event.stage.value, event.reason.value, extra={"mtlskit": asdict(event)})
            case Unenforced():
                _LOGGER.info("request unenforced: %s", event.cause.value, extra={"mtlskit": asdict(event)})
        for kind, subscriber in self._subscribers:
            try:
                if isinstance(event, kind):
                    subscriber(event)
            except Exception:
                _LOGGER.exception("a subscriber of gate events failed")


def _escaped(text: str) -> str:
    return text[:_LONGEST_NAME].encode("unicode_escape").decode("ascii")
