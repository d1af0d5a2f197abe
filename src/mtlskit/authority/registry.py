"""The registry of an authority: what it has recorded and revoked, and the lists of it. Only lists take a key."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import datetime, timedelta
from typing import TypeVar

from cryptography import x509

from mtlskit.authority.generations import Generation
from mtlskit.authority.issuance import Issuing
from mtlskit.authority.ledger import IssuerLedger, Ledger, Reservation, Revocation, scan_reservations
from mtlskit.authority.lists import Expired, ListOrder, complete_list, delta_list
from mtlskit.authority.opened import OpenedAuthority
from mtlskit.authority.revocation import RevocationReason, release, revoke_with_twins
from mtlskit.authority.scope import WHOLE, ListScope
from mtlskit.authority.serials import read_serial
from mtlskit.authority.takeover import record_issued
from mtlskit.core.certificates import SigningChain, to_der
from mtlskit.errors import NotFound

_T = TypeVar("_T")


class Registry:
    """What `CertificateAuthority` knows of its certificates, and tells of them."""

    __slots__ = ()

    _opened: OpenedAuthority

    def revoke(
        self,
        certificate: int | str | x509.Certificate | SigningChain,
        *,
        reason: RevocationReason | str = RevocationReason.UNSPECIFIED,
        requester: str = "",
    ) -> Revocation:
        """Revokes a certificate that this authority issued, or a reservation; durable when it returns.

        `certificate` is the certificate or its serial number: an int, hexadecimal text in any notation, or `decimal:`
        and digits. A second call changes nothing and gives the first revocation, but for a hold, which a lasting reason
        replaces and `release` ends. `requester` is for the audit log. Raises NotFound for what was not issued here.

        `key_compromise` is about the key: every other certificate of this authority for it is revoked as well before
        this returns, and no authority of the store ever certifies it again. If that is interrupted, call it again.
        No private key is needed, neither in the store nor from a signer.
        """
        parsed, now = RevocationReason.parse(reason), self._opened.clock()

        def work(ledger: Ledger, serial: int, der: bytes | None) -> Revocation:
            return revoke_with_twins(
                ledger, self._ledgers(), serial, reason=parsed, requester=requester, now=now, der=der
            )

        return self._with_ledger_of(certificate, work)

    def release(
        self, certificate: int | str | x509.Certificate | SigningChain, *, requester: str = ""
    ) -> Revocation | None:
        """Ends a `certificate_hold`; durable when it returns, and the client gets in again at once.

        `certificate` is as for `revoke`. Gives the hold that ended; None, and nothing happens, for what is not revoked,
        so it may be called again. Raises Conflict for a revocation that lasts, NotFound for what was not issued here.
        """
        now = self._opened.clock()
        return self._with_ledger_of(
            certificate, lambda ledger, serial, der: release(ledger, serial, requester=requester, now=now, der=der)
        )

    def record(self, certificates: Iterable[x509.Certificate], *, requester: str = "") -> None:
        """Writes certificates down that the authority issued before it was taken over, so that they can be revoked.

        Those that are known already stay as they are; those with a compromised key are revoked as well. Raises
        IssuanceError where one was not issued by any of its generations, or has a serial number that no list can tell;
        then none is written.
        """
        issuers = [(each.certificate, self._ledger(each)) for each in self._opened.latest().generations]
        record_issued(issuers, list(certificates), requester, self._opened.clock())

    def crl(
        self,
        *,
        lifetime: timedelta = timedelta(days=7),
        now: datetime | None = None,
        generation: int | None = None,
        scope: ListScope = WHOLE,
        expired: Expired | str = Expired.KEEP,
        delta_url: str | None = None,
    ) -> x509.CertificateRevocationList:
        """The complete revocation list (RFC 5280, 5), good from `now` (UTC-aware, the clock's without) for `lifetime`.

        Each generation has its own (by default: the active one's). It has every revocation of its `scope` that was
        acknowledged before this call, and a number above all lists before it. `expired="drop"` leaves certificates out
        that have expired, once they were on a list of after their end. `delta_url` is where its delta lists are said
        to be. Raises IssuanceError for what no list can say, Conflict for a scope whose URL stood for another.
        """
        order = ListOrder(
            now=now or self._opened.clock(), lifetime=lifetime, scope=scope, expired=Expired.parse(expired),
            delta_url=delta_url,
        )  # fmt: skip
        return x509.load_der_x509_crl(complete_list(self._issuing_lists(generation), order).der)

    def delta_crl(
        self,
        *,
        base: int | None = None,
        lifetime: timedelta = timedelta(days=1),
        now: datetime | None = None,
        generation: int | None = None,
        scope: ListScope = WHOLE,
    ) -> x509.CertificateRevocationList:
        """What has changed since the complete list of that number (RFC 5280, 5.2.4), by default since the last one.

        Revocations, other reasons, and, as removeFromCRL, what was released. Its own number is above the base's. The
        rest is as for `crl`. Raises NotFound where there is no such list of this scope and generation.
        """
        order = ListOrder(now=now or self._opened.clock(), lifetime=lifetime, scope=scope)
        return x509.load_der_x509_crl(delta_list(self._issuing_lists(generation), order, base).der)

    def pending(self) -> tuple[Reservation, ...]:
        """What was reserved and never finished: by processes that ended in between, and by those at it right now.

        Each can be revoked by its `serial_number`.
        """
        with self._opened.store.snapshot() as snapshot:
            return tuple(
                each for one in self._opened.record.generations for each in scan_reservations(snapshot, one.key_id)
            )

    def _ledger(self, generation: Generation) -> Ledger:
        return IssuerLedger(self._opened.name, generation.key_id, self._opened.store)

    def _ledgers(self) -> list[Ledger]:
        return [self._ledger(each) for each in self._opened.latest().generations]

    def _with_ledger_of(
        self,
        certificate: int | str | x509.Certificate | SigningChain,
        work: Callable[[Ledger, int, bytes | None], _T],
    ) -> _T:
        found = certificate.certificate if isinstance(certificate, SigningChain) else certificate
        der = to_der(found) if isinstance(found, x509.Certificate) else None
        serial = found.serial_number if isinstance(found, x509.Certificate) else read_serial(found)
        for ledger in reversed(self._ledgers()):
            with suppress(NotFound):
                return work(ledger, serial, der)
        raise NotFound(f"expected a certificate issued by {self._opened.name!r}, got the serial number {serial:x}")

    def _issuing_lists(self, generation: int | None) -> Issuing:
        return self._opened.issuing(None if generation is None else self._opened.generation(generation))
