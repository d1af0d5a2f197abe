"""Path building (RFC 4158): which certificates could have issued which, and the way to an anchor.

`Search.find` gives the first path that holds: cheap checks first, signatures only of whole paths and from the anchor
down. Every branch is tried before it says there is none. `explain.py` then finds out why.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from copy import copy
from typing import NamedTuple, TypeAlias

from mtlskit.core.validation.algorithms import verifies
from mtlskit.core.validation.budget import Budget
from mtlskit.core.validation.certificate import ParsedCertificate
from mtlskit.core.validation.checks import Question, is_faultless
from mtlskit.core.validation.profiles import Limits
from mtlskit.core.validation.rules import Role
from mtlskit.core.validation.trust import Issuer, SubjectIndex, TrustAnchor, TrustStore

Chain: TypeAlias = tuple[ParsedCertificate, ...]


class Path(NamedTuple):
    """A whole path: `chain` from the leaf to the anchor's certificate, and the anchor."""

    chain: Chain
    anchor: TrustAnchor


def _always(_: Path) -> bool:
    return True


class Search:
    """One verdict's look at leaf, candidates and anchors, with its memo and its budget."""

    def __init__(
        self, leaf: ParsedCertificate, pool: Sequence[ParsedCertificate], trust: TrustStore, question: Question,
        limits: Limits,
    ) -> None:  # fmt: skip
        self.leaf = leaf
        self.question = question
        self.limits = limits
        self.budget = Budget(limits)
        anchors, helpers = trust.indices
        presented = SubjectIndex([Issuer(each, None) for each in pool])
        self._indices = (anchors, presented, helpers)
        self._memo = trust.memo
        self._faultless: dict[ParsedCertificate, bool] = {}
        self._signatures: dict[tuple[bytes, bytes], bool] = {}

    def beginning_at(self, certificate: ParsedCertificate) -> Search:
        """The search from another certificate, with the same candidates, memo and budget."""
        other = copy(self)
        other.leaf = certificate
        return other

    def named(self, name: bytes) -> Iterator[Issuer]:
        """All candidates and anchors with this subject."""
        for index in self._indices:
            yield from index.same_octets(name)
            yield from index.otherwise_written(name)

    def find(self, holds: Callable[[Path], bool], stands: Callable[[Path], bool] = _always) -> Path | None:
        """The first path without a fault of a certificate of which `holds` is true, then its signatures, then `stands`.

        So `stands` is asked of nothing that a stranger made.
        """
        for path in self._grow((self.leaf,), 0):
            if holds(path) and self._is_signed(path.chain) and stands(path):
                return path
        return None

    def issuers_above(self, chain: Chain) -> Iterator[Issuer]:
        """Those with the name of the last certificate's issuer: anchors first, and never in circles."""
        top = chain[-1]
        # RFC 4158, 2.4.2: the same name with the same key twice in a path can be cut out of it.
        known = [each.identity for each in chain]
        for named in (SubjectIndex.same_octets, SubjectIndex.otherwise_written):
            for index in self._indices:
                found = named(index, top.frame.issuer)
                for issuer in found if len(found) < 2 else _in_order(found, top):
                    if issuer.parsed.identity not in known:
                        self.budget.look_at_candidate()
                        yield issuer

    def is_signed_by(self, certificate: ParsedCertificate, issuer: ParsedCertificate) -> bool:
        """Whether the certificate's signature verifies under the issuer's key; asked at most once per pair."""
        frame = certificate.frame
        pair = (issuer.frame.spki, certificate.der)
        known = self._signatures.get(pair)
        if known is None:
            # Counted though it be remembered: a verdict must not depend on what was asked before.
            self.budget.check_signature()
            known = self._signatures[pair] = self._memo.is_signed_by(certificate, issuer.frame.spki) or (
                frame.inner_algorithm == frame.outer_algorithm
                and verifies(issuer.key, frame.outer_algorithm, frame.signature, frame.tbs)
            )
        return known

    def _grow(self, chain: Chain, depth: int) -> Iterator[Path]:
        for parsed, anchor in self.issuers_above(chain):
            if anchor is not None:
                if self._is_link(chain[-1], parsed, Role.ANCHOR):
                    yield Path((*chain, parsed), anchor)
                continue
            deeper = depth + (not parsed.self_issued)
            if deeper <= self.limits.depth and self._is_link(chain[-1], parsed, Role.INTERMEDIATE):
                yield from self._grow((*chain, parsed), deeper)

    def _is_link(self, certificate: ParsedCertificate, issuer: ParsedCertificate, role: Role) -> bool:
        if names_another(certificate, issuer):
            return False
        if self._signatures.get((issuer.frame.spki, certificate.der)) is False:
            return False
        return self._is_faultless(issuer, role)

    def _is_faultless(self, certificate: ParsedCertificate, role: Role) -> bool:
        # One object has one role: anchors are not among the others.
        known = self._faultless.get(certificate)
        if known is None:
            known = self._faultless[certificate] = is_faultless(certificate, role, self.question)
        return known

    def _is_signed(self, chain: Chain) -> bool:
        # From the anchor down: what a stranger made fails first.
        for at in range(len(chain) - 2, -1, -1):  # noqa: SIM110 - a generator would cost as much as the questions
            if not self.is_signed_by(chain[at], chain[at + 1]):
                return False
        return True


# RFC 5280, 4.2.1.1. Only the key identifier counts; issuer and serial in an AKI match nothing.
def names_another(certificate: ParsedCertificate, issuer: ParsedCertificate) -> bool:
    """Whether the certificate's AKI and the issuer's SKI are there and differ."""
    wanted, found = certificate.authority_key_identifier, issuer.subject_key_identifier
    return wanted is not None and found is not None and wanted != found


def names_it(certificate: ParsedCertificate, issuer: ParsedCertificate) -> bool:
    """Whether the certificate's AKI is there and is the issuer's SKI."""
    wanted = certificate.authority_key_identifier
    return wanted is not None and wanted == issuer.subject_key_identifier


def _in_order(issuers: Sequence[Issuer], certificate: ParsedCertificate) -> Sequence[Issuer]:
    return sorted(issuers, key=lambda issuer: not names_it(certificate, issuer.parsed))
