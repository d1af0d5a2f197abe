"""How long the certificates of bindings are still good, and who is told when that becomes little."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from cryptography import x509

from mtlskit.fetch import preflight

_log = logging.getLogger("mtlskit.fetch")
_SHORT_LIFE: Final = timedelta(days=60)
_LOOK_EVERY: Final = timedelta(minutes=10)


class Urgency(StrEnum):
    """How little time a certificate has left."""

    NONE = "none"
    MONTH = "month"  # at most 30 days
    FORTNIGHT = "fortnight"  # at most 14 days
    WEEK = "week"  # at most 7 days
    ENDED = "ended"


# Of a certificate that lives for at most 60 days, whoever issues it renews it in time, or is late by a share of that.
_DAYS: Final = ((Urgency.WEEK, 7, 12), (Urgency.FORTNIGHT, 14, 6), (Urgency.MONTH, 30, 4))
_LEVELS: Final = {
    Urgency.MONTH: logging.INFO, Urgency.FORTNIGHT: logging.WARNING, Urgency.WEEK: logging.ERROR,
    Urgency.ENDED: logging.ERROR,
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateEnding:
    """A binding's certificate with the time that it has left. `not_after` is UTC-aware, the subject for people."""

    binding: str
    subject: str
    serial_number: int
    not_after: datetime
    days_left: int
    urgency: Urgency


Subscriber = Callable[[CertificateEnding], None]


def ending_of(binding: str, certificate: x509.Certificate, now: datetime) -> CertificateEnding:
    """How long it is still good at `now` (UTC-aware). Warned of at 30, 14 and 7 days; of a life of at most 60 days at
    a quarter, a sixth and a twelfth.
    """
    end = certificate.not_valid_after_utc
    return CertificateEnding(
        binding=binding,
        subject=preflight.subject_of(certificate),
        serial_number=certificate.serial_number,
        not_after=end,
        days_left=(end - now).days,
        urgency=_urgency(end - now, end - certificate.not_valid_before_utc),
    )


def _urgency(left: timedelta, life: timedelta) -> Urgency:
    if left < timedelta(0):
        return Urgency.ENDED
    for urgency, days, share in _DAYS:
        if left <= (life / share if life <= _SHORT_LIFE else timedelta(days=days)):
            return urgency
    return Urgency.NONE


class Watch:
    """Tells of a binding's certificate when it becomes more urgent: once for each urgency of each certificate."""

    def __init__(self, binding: str) -> None:
        self._binding = binding
        self._subscribers: tuple[Subscriber, ...] = ()
        self._told: tuple[int, Urgency] | None = None
        self._next: datetime | None = None

    def subscribe(self, subscriber: Subscriber) -> Callable[[], None]:
        """Calls it in the thread that calls; gives the function that ends it."""
        self._subscribers = (*self._subscribers, subscriber)
        self._told = self._next = None  # so that who comes late hears of what stands

        def unsubscribe() -> None:
            self._subscribers = tuple(each for each in self._subscribers if each is not subscriber)

        return unsubscribe

    def look(self, certificate: x509.Certificate, now: datetime) -> None:
        """Looks, every ten minutes at most unless the certificate is another one. Never raises."""
        is_another = self._told is not None and self._told[0] != certificate.serial_number
        if self._next is not None and now < self._next and not is_another:
            return
        self._next = now + _LOOK_EVERY
        ending = ending_of(self._binding, certificate, now)
        told, self._told = self._told, (ending.serial_number, ending.urgency)
        if ending.urgency is not Urgency.NONE and told != self._told:
            self._tell(ending)

    def _tell(self, ending: CertificateEnding) -> None:
        _log.log(
            _LEVELS[ending.urgency],
            "the certificate of %s is good until %s",
            ending.binding,
            ending.not_after.isoformat(),
            extra={"mtlskit": asdict(ending)},
        )
        for subscriber in self._subscribers:
            try:
                subscriber(ending)
            except Exception:  # noqa: BLE001 - a subscriber does not keep a call from going out
                _log.exception("a subscriber of certificate endings failed")
