"""What the revocation lists and OCSP responses at hand say of each certificate of a path (RFC 5280, 6.3).

A list that fails a check is as if it were not there. What is left must cover the certificate, or its status is
unknown. All reasons count together; the newest list of a scope decides; a delta adds to the base that it fits. Where
nothing current covers it, what is past its time is asked too: the status is then stale, whatever it says.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, assert_never

from cryptography.x509.oid import ExtensionOID

from mtlskit.core.reasons import Reason
from mtlskit.core.validation.builder import Chain, Path, Search
from mtlskit.core.validation.certificate import ParsedCertificate
from mtlskit.core.validation.checks import Question, is_faultless
from mtlskit.core.validation.entries import REMOVED
from mtlskit.core.validation.lengths import length_fault
from mtlskit.core.validation.lists import RevocationList
from mtlskit.core.validation.names import comparable_name
from mtlskit.core.validation.ocsp import OCSPEvidence, said_by
from mtlskit.core.validation.profiles import RevocationFallback, RevocationMode, Stance
from mtlskit.core.validation.rules import Role
from mtlskit.core.validation.scope import (
    ALL_REASONS,
    DistributionPoint,
    Reasons,
    covered_reasons,
    distribution_points,
)
from mtlskit.core.validation.standing import UNKNOWN, Currency, Standing, Status, StatusKind, StatusSource
from mtlskit.core.validation.trust import TrustAnchor, TrustStore
from mtlskit.errors import PathError


class Revocation(NamedTuple):
    """What a caller asks of revocation, and the responses that came with the certificates."""

    mode: RevocationMode
    unknown: RevocationFallback
    stale: RevocationFallback
    responses: tuple[OCSPEvidence, ...]


class RevocationCheck:
    """One verdict's look at lists and responses."""

    def __init__(self, trust: TrustStore, search: Search, asked: Revocation) -> None:
        self._lists = trust.lists
        self._search = search
        self._question: Question = search.question
        self._asked_for = asked
        # Signers of lists whose own status is being looked for: a list may speak for the key that signed it.
        self._pending: set[bytes] = set()

    def faults(self, chain: Chain, anchor: TrustAnchor) -> Iterator[PathError]:
        """The refusals of a path: certificates that are revoked, or of which nothing is known."""
        for certificate, status in self._asked(chain, anchor):
            fault = self._fault(certificate, status)
            if fault is not None:
                yield fault

    def statuses(self, chain: Chain, anchor: TrustAnchor) -> list[Status]:
        """What is known of each certificate that was asked for, leaf first."""
        return [status for _, status in self._asked(chain, anchor)]

    def _fault(self, certificate: ParsedCertificate, status: Status) -> PathError | None:
        match status.standing:
            case Standing.GOOD:
                return None
            case Standing.REVOKED:
                return _revoked(certificate, status)
            case Standing.STALE:
                if self._asked_for.stale is RevocationFallback.INSECURE_ALLOW:
                    return _revoked(certificate, status) if status.why else None
                detail = f"expected a current list or response that covers the certificate, got {_age(status)}"
                return certificate.refused(Reason.REVOCATION_UNKNOWN, detail, standing=status.standing.value)
            case Standing.UNKNOWN:
                if self._asked_for.unknown is RevocationFallback.INSECURE_ALLOW:
                    return None
                detail = "expected a list or response that covers the certificate, got none"
                return certificate.refused(Reason.REVOCATION_UNKNOWN, detail, standing=status.standing.value)
            case _:
                assert_never(status.standing)

    def _asked(self, chain: Chain, anchor: TrustAnchor) -> Iterator[tuple[ParsedCertificate, Status]]:
        count = 1 if self._asked_for.mode is RevocationMode.LEAF else len(chain) - 1
        for position in range(min(count, len(chain) - 1)):
            yield chain[position], self._status(chain[position], chain[position + 1], anchor)

    def _status(self, certificate: ParsedCertificate, issuer: ParsedCertificate, anchor: TrustAnchor) -> Status:
        status = self._said(certificate, issuer, anchor, Currency.CURRENT)
        if status.standing is not Standing.UNKNOWN:
            return status
        past = self._said(certificate, issuer, anchor, Currency.STALE_TOO)
        return status if past.standing is Standing.UNKNOWN else past._replace(standing=Standing.STALE, until=None)

    def _said(
        self, certificate: ParsedCertificate, issuer: ParsedCertificate, anchor: TrustAnchor, currency: Currency
    ) -> Status:
        answered = self._by_response(certificate, issuer, currency)
        if answered.standing is Standing.REVOKED:
            return answered
        listed = self._by_lists(certificate, issuer, anchor, currency)
        return answered if listed.standing is Standing.UNKNOWN else listed

    def _by_response(self, certificate: ParsedCertificate, issuer: ParsedCertificate, currency: Currency) -> Status:
        status = UNKNOWN
        for evidence in self._asked_for.responses:
            said = said_by(evidence, certificate, issuer, self._question, self._search, currency)
            if said is not None and said.standing is Standing.REVOKED:
                return said
            status = said or status
        return status

    # RFC 5280, 6.3.3: list by list, until all reasons are covered.
    def _by_lists(
        self, certificate: ParsedCertificate, issuer: ParsedCertificate, anchor: TrustAnchor, currency: Currency
    ) -> Status:
        points = distribution_points(certificate)
        name, serial = comparable_name(certificate.frame.issuer), certificate.frame.serial
        covered: Reasons = frozenset()
        asked: list[RevocationList] = []
        for base, delta, reasons in self._usable(certificate, issuer, anchor, points, currency):
            both = [base] if delta is None else [delta, base]
            # RFC 5280, 6.3.3 (i) and (j): what the delta says goes first, `removeFromCRL` too.
            why = next(filter(None, (each.reason_for(name, serial) for each in both)), REMOVED)
            if why != REMOVED:
                return _status(Standing.REVOKED, both, why)
            covered |= reasons
            asked += both
        return _status(Standing.GOOD, asked) if covered >= ALL_REASONS else UNKNOWN

    def _usable(
        self, certificate: ParsedCertificate, issuer: ParsedCertificate, anchor: TrustAnchor,
        points: list[DistributionPoint], currency: Currency,
    ) -> Iterator[tuple[RevocationList, RevocationList | None, Reasons]]:  # fmt: skip
        for group in self._lists:
            reasons = covered_reasons(group[0], certificate, points)
            if not reasons:
                continue
            counting = [each for each in group if self._counts(each, issuer, anchor, currency)]
            base = next((each for each in counting if not each.is_delta), None)
            if base is not None:
                yield base, next((each for each in counting if _fits(each, base)), None), reasons

    # RFC 5280, 6.3.3 (a), (f), (g) and 5.2.
    def _counts(
        self, listed: RevocationList, issuer: ParsedCertificate, anchor: TrustAnchor, currency: Currency
    ) -> bool:
        question = self._question
        if not currency.counts(listed.this_update, listed.next_update, question.moment):
            return False
        if listed.has_unknown_critical_extension():
            return False
        if listed.number is None and question.profile.list_without_number is Stance.REFUSE:
            return False
        if listed.version == 1 and question.profile.version_1_list is Stance.REFUSE:
            return False
        return self._is_authentic(listed, issuer, anchor)

    # By the issuer's key; or by a key that is certified under the list issuer's name up to the same anchor.
    def _is_authentic(self, listed: RevocationList, issuer: ParsedCertificate, anchor: TrustAnchor) -> bool:
        if listed.name == comparable_name(issuer.frame.subject) and self._signed(listed, issuer):
            return True
        return any(
            # Certified first: a list must not remember that a key verified which nobody vouches for.
            (own is anchor or self._is_certified(parsed, anchor)) and self._signed(listed, parsed)
            for parsed, own in self._search.named(listed.issuer)
            if own is None or own is anchor
        )

    def _signed(self, listed: RevocationList, signer: ParsedCertificate) -> bool:
        usage = signer.extensions.get(ExtensionOID.KEY_USAGE)
        if usage is not None and not usage.crl_sign:
            return False
        if None not in (listed.aki, signer.subject_key_identifier) and listed.aki != signer.subject_key_identifier:
            return False
        if not listed.has_asked(signer.frame.spki):
            self._search.budget.check_signature()
        return listed.is_signed_by(signer.frame.spki, signer.key)

    def _is_certified(self, signer: ParsedCertificate, anchor: TrustAnchor) -> bool:
        if signer.der in self._pending:
            return True
        if not is_faultless(signer, Role.LIST_SIGNER, self._question):
            return False
        self._pending.add(signer.der)
        try:
            found = self._search.beginning_at(signer).find(
                lambda path: path.anchor is anchor and length_fault(path.chain) is None, self._stands
            )
            return found is not None
        finally:
            self._pending.discard(signer.der)

    def _stands(self, path: Path) -> bool:
        if self._asked_for.mode is not RevocationMode.PATH:
            return True
        return all(self._is_fit(status) for _, status in self._asked(path.chain, path.anchor))

    # A key of which nothing is known signs no list that counts, even where a client of whom nothing is known gets in.
    def _is_fit(self, status: Status) -> bool:
        if status.standing is Standing.STALE:
            return self._asked_for.stale is RevocationFallback.INSECURE_ALLOW and not status.why
        return status.standing is Standing.GOOD


def _revoked(certificate: ParsedCertificate, status: Status) -> PathError:
    detail = f"expected a certificate that is not revoked, got one revoked as {status.why}"
    return certificate.refused(Reason.REVOKED, detail, why=status.why)


def _status(standing: Standing, lists: list[RevocationList], why: str = "") -> Status:
    sources = tuple([StatusSource(StatusKind.LIST, each.this_update, each.next_update, each.number) for each in lists])
    ends = [each.next_update for each in lists if each.next_update is not None]
    return Status(standing, why, min(ends, default=None), sources)


def _age(status: Status) -> str:
    ends = [source.next_update for source in status.sources if source.next_update is not None]
    return f"one until {min(ends)}" if ends else "one that states no end"


# RFC 5280, 5.2.4: it starts no later than the base and ends after it.
def _fits(delta: RevocationList, base: RevocationList) -> bool:
    if delta.base_number is None or delta.number is None or base.number is None:
        return False
    return delta.base_number <= base.number < delta.number
