"""What the revocation lists and OCSP responses at hand say of each certificate of a path (RFC 5280, 6.3).

A list that fails a check is as if it were not there. What is left must cover the certificate, or its status is
unknown. All reasons count together; the newest list of a scope decides; a delta adds to the base that it fits.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from enum import Enum
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
from mtlskit.core.validation.profiles import RevocationMode, RevocationUnknown, Stance
from mtlskit.core.validation.rules import Role
from mtlskit.core.validation.scope import (
    ALL_REASONS,
    DistributionPoint,
    Reasons,
    covered_reasons,
    distribution_points,
)
from mtlskit.core.validation.trust import TrustAnchor, TrustStore
from mtlskit.errors import PathError


class Standing(Enum):
    """A certificate's status."""

    GOOD = "good"
    REVOKED = "revoked"
    UNKNOWN = "unknown"


class Status(NamedTuple):
    """A status, why it is one of revocation, and until when what said so holds."""

    standing: Standing
    why: str = ""
    until: datetime | None = None


class Revocation(NamedTuple):
    """What a caller asks of revocation, and the responses that came with the certificates."""

    mode: RevocationMode
    unknown: RevocationUnknown
    responses: tuple[OCSPEvidence, ...]


_UNKNOWN = Status(Standing.UNKNOWN)


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
            match status.standing:
                case Standing.GOOD:
                    continue
                case Standing.REVOKED:
                    detail = f"expected a certificate that is not revoked, got one revoked as {status.why}"
                    yield certificate.refused(Reason.REVOKED, detail, why=status.why)
                case Standing.UNKNOWN:
                    if self._asked_for.unknown is RevocationUnknown.DENY:
                        detail = "expected a list or response that covers the certificate, got none"
                        yield certificate.refused(Reason.REVOCATION_UNKNOWN, detail)
                case _:
                    assert_never(status.standing)

    def ends(self, chain: Chain, anchor: TrustAnchor) -> list[datetime]:
        """When what was said of the path's certificates ends to hold."""
        return [status.until for _, status in self._asked(chain, anchor) if status.until is not None]

    def _asked(self, chain: Chain, anchor: TrustAnchor) -> Iterator[tuple[ParsedCertificate, Status]]:
        count = 1 if self._asked_for.mode is RevocationMode.LEAF else len(chain) - 1
        for position in range(min(count, len(chain) - 1)):
            yield chain[position], self._status(chain[position], chain[position + 1], anchor)

    def _status(self, certificate: ParsedCertificate, issuer: ParsedCertificate, anchor: TrustAnchor) -> Status:
        answered = self._by_response(certificate, issuer)
        if answered.standing is Standing.REVOKED:
            return answered
        listed = self._by_lists(certificate, issuer, anchor)
        return answered if listed.standing is Standing.UNKNOWN else listed

    def _by_response(self, certificate: ParsedCertificate, issuer: ParsedCertificate) -> Status:
        status = _UNKNOWN
        for evidence in self._asked_for.responses:
            said = said_by(evidence, certificate, issuer, self._question, self._search)
            if said is not None and said.why is not None:
                return Status(Standing.REVOKED, said.why, said.until)
            if said is not None:
                status = Status(Standing.GOOD, until=said.until)
        return status

    # RFC 5280, 6.3.3: list by list, until all reasons are covered.
    def _by_lists(self, certificate: ParsedCertificate, issuer: ParsedCertificate, anchor: TrustAnchor) -> Status:
        points = distribution_points(certificate)
        name, serial = comparable_name(certificate.frame.issuer), certificate.frame.serial
        covered: Reasons = frozenset()
        ends: list[datetime] = []
        for base, delta, reasons in self._usable(certificate, issuer, anchor, points):
            # RFC 5280, 6.3.3 (i) and (j): what the delta says goes first, `removeFromCRL` too.
            why = (None if delta is None else delta.reason_for(name, serial)) or base.reason_for(name, serial)
            if why is not None and why != REMOVED:
                return Status(Standing.REVOKED, why, base.next_update)
            covered |= reasons
            ends += [each.next_update for each in (base, delta) if each is not None and each.next_update is not None]
        return Status(Standing.GOOD, until=min(ends)) if covered >= ALL_REASONS and ends else _UNKNOWN

    def _usable(
        self, certificate: ParsedCertificate, issuer: ParsedCertificate, anchor: TrustAnchor,
        points: list[DistributionPoint],
    ) -> Iterator[tuple[RevocationList, RevocationList | None, Reasons]]:  # fmt: skip
        for group in self._lists:
            reasons = covered_reasons(group[0], certificate, points)
            if not reasons:
                continue
            counting = [each for each in group if self._counts(each, issuer, anchor)]
            base = next((each for each in counting if not each.is_delta), None)
            if base is not None:
                yield base, next((each for each in counting if _fits(each, base)), None), reasons

    # RFC 5280, 6.3.3 (a), (f), (g) and 5.2.
    def _counts(self, listed: RevocationList, issuer: ParsedCertificate, anchor: TrustAnchor) -> bool:
        question = self._question
        if listed.next_update is None or not listed.this_update <= question.moment <= listed.next_update:
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
            self._signed(listed, parsed) and (own is anchor or self._is_certified(parsed, anchor))
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
        return all(status.standing is Standing.GOOD for _, status in self._asked(path.chain, path.anchor))


# RFC 5280, 5.2.4: it starts no later than the base and ends after it.
def _fits(delta: RevocationList, base: RevocationList) -> bool:
    if delta.base_number is None or delta.number is None or base.number is None:
        return False
    return delta.base_number <= base.number < delta.number
