"""A certificate that is issued for a binding, and issued anew long before it ends."""

from __future__ import annotations

import logging
import os
import random
import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

from mtlskit.core.certificates import SigningChain
from mtlskit.core.durations import in_units
from mtlskit.errors import CertificateError
from mtlskit.fetch.uploads import utc_now
from mtlskit.locks import ForkSafeLock

_log = logging.getLogger("mtlskit.fetch")
_RENEW_AT: Final = 2 / 3  # of its life
_JITTER: Final = 1 / 20  # of its life: a thousand services that started together do not ask together
_LATE: Final = 1 / 10  # of its life: with less than that left, a failure is an error
_RETRIES: Final = 10  # in what is left of its life, at least; but not more often than
_SHORTEST_WAIT: Final = timedelta(seconds=1)


class RenewedChain:
    """What `issue` issues, in a thread of its own at two thirds of the certificate's life, and again while it fails.

    `issue` gives a chain with its key (an `IssuedCertificate` is one): `lambda: acme.issue_client("billing",
    lifetime=timedelta(days=1))`. The key lives in memory alone. One that has ended is issued anew by whoever asks.
    """

    def __init__(self, issue: Callable[[], SigningChain], *, clock: Callable[[], datetime] = utc_now) -> None:
        """Issues the first one; raises what `issue` raises, CertificateError for what it should not have given."""
        self._issue = issue
        self._clock = clock
        self._lock = ForkSafeLock()
        self._renewing: int | None = None  # the process whose thread is at it
        self._take(self._issued())

    def current(self) -> SigningChain:
        """The chain; where it has ended, a new one. Raises what `issue` raises only then."""
        now = self._clock()
        if now >= self._chain.certificate.not_valid_after_utc:
            self._issue_now()
        elif now >= self._renew_at and self._renewing != os.getpid():
            self._start()
        return self._chain

    def _issue_now(self) -> None:
        with self._lock:
            if self._clock() >= self._chain.certificate.not_valid_after_utc:
                self._take(self._issued())

    def _start(self) -> None:
        with self._lock:
            if self._renewing == os.getpid() or self._clock() < self._renew_at:
                return
            self._renewing = os.getpid()
        try:
            threading.Thread(target=self._renew, name="mtlskit-renewal", daemon=True).start()
        except RuntimeError:  # no thread to be had now: the next request tries again
            self._renewing = None

    def _renew(self) -> None:
        try:
            chain = self._issued()
        except Exception as error:  # noqa: BLE001 - whatever an authority raises, the next attempt comes
            self._put_off(error)
        else:
            self._take(chain)
            _log.info("renewed the certificate %s", _told(chain))
        finally:
            self._renewing = None

    def _put_off(self, error: Exception) -> None:
        leaf, now = self._chain.certificate, self._clock()
        left = leaf.not_valid_after_utc - now
        wait = max(left / _RETRIES, _SHORTEST_WAIT)
        self._renew_at = now + wait
        is_late = left < (leaf.not_valid_after_utc - leaf.not_valid_before_utc) * _LATE
        _log.log(
            logging.ERROR if is_late else logging.WARNING,
            "the certificate %s could not be renewed, which is tried again in %s: %s",
            _told(self._chain),
            in_units(timedelta(seconds=round(wait.total_seconds()))),
            error,
        )

    def _issued(self) -> SigningChain:
        chain = self._issue()
        if not isinstance(chain, SigningChain):
            kind = type(chain).__name__
            del chain  # PEM with a key, perhaps, which a traceback would show
            raise CertificateError(f"expected a chain with its key from what issues it, got {kind}")
        return chain

    def _take(self, chain: SigningChain) -> None:
        leaf = chain.certificate
        life = leaf.not_valid_after_utc - leaf.not_valid_before_utc
        share = _RENEW_AT + random.uniform(-_JITTER, _JITTER)  # noqa: S311 - no secret
        self._chain, self._renew_at = chain, leaf.not_valid_before_utc + life * share


def _told(chain: SigningChain) -> str:
    return f"{chain.serial_number:x}, good until {chain.certificate.not_valid_after_utc.isoformat()}"
