"""What a gate tells its operator: refused handshakes and requests, to logging and to subscribers.

Nothing here is told to a client. What a peer sent is escaped, cut, and marked as unverified; it is never a format
string and never a label.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import asdict, dataclass
from enum import StrEnum

from mtlskit.core.certificates import PresentedChain, shown_subject
from mtlskit.core.reasons import Reason

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


Subscriber = Callable[[Refused], None]


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


class Events:
    """Passes events on. A subscriber that raises is logged and does not reach the verdict."""

    def __init__(self) -> None:
        self._subscribers: tuple[Subscriber, ...] = ()

    def subscribe(self, subscriber: Subscriber) -> Callable[[], None]:
        """Calls `subscriber` with every event, in the thread where it happens; gives the function that ends it."""
        self._subscribers = (*self._subscribers, subscriber)

        def unsubscribe() -> None:
            self._subscribers = tuple(each for each in self._subscribers if each is not subscriber)

        return unsubscribe

    def publish(self, event: Refused) -> None:
        """To the log and to every subscriber."""
        _LOGGER.info("%s refused: %s", event.stage.value, event.reason.value, extra={"mtlskit": asdict(event)})
        for subscriber in self._subscribers:
            try:
                subscriber(event)
            except Exception:
                _LOGGER.exception("a subscriber of gate events failed")


def _escaped(text: str) -> str:
    return text[:_LONGEST_NAME].encode("unicode_escape").decode("ascii")
