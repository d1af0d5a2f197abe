"""`verify_path`: the one entrance. Reads the arguments, searches, and says yes with a proof or no with a reason."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from itertools import pairwise
from typing import TypeVar

from mtlskit.core.certificates import PresentedChain
from mtlskit.core.reasons import Reason
from mtlskit.core.validation import der
from mtlskit.core.validation.budget import exceeded
from mtlskit.core.validation.builder import Chain, Path, Search
from mtlskit.core.validation.certificate import ParsedCertificate, parse_certificate
from mtlskit.core.validation.checks import Question, faults, is_faultless
from mtlskit.core.validation.constraints import constraint_fault
from mtlskit.core.validation.explain import most_telling, refusals
from mtlskit.core.validation.lengths import length_fault
from mtlskit.core.validation.ocsp import OCSPEvidence, evidence_of
from mtlskit.core.validation.path import VerifiedPath, proven
from mtlskit.core.validation.policies import PolicyInputs, policy_fault
from mtlskit.core.validation.profiles import COMPATIBLE, Limits, Profile, Purpose, RevocationFallback, RevocationMode
from mtlskit.core.validation.reference import ReferenceName, reference_name_of
from mtlskit.core.validation.revocation_status import Revocation, RevocationCheck
from mtlskit.core.validation.rules import Role
from mtlskit.core.validation.standing import Status
from mtlskit.core.validation.trust import Revocations, TrustAnchor, TrustStore
from mtlskit.errors import ConfigurationError, PathError

_ARGUMENTS = (PresentedChain, TrustStore, Profile, PolicyInputs, Limits)
_DEFAULT_LIMITS = Limits()
_DEFAULT_POLICIES = PolicyInputs()


def verify_path(
    presented: PresentedChain,
    trust: TrustStore,
    *,
    purpose: Purpose | str,
    now: datetime,
    profile: Profile = COMPATIBLE,
    reference_name: ReferenceName | str | None = None,
    revocation: RevocationMode | str = RevocationMode.OFF,
    ocsp: Iterable[OCSPEvidence | bytes] = (),
    revocation_unknown: RevocationFallback | str = RevocationFallback.DENY,
    revocation_stale: RevocationFallback | str = RevocationFallback.DENY,
    policies: PolicyInputs = _DEFAULT_POLICIES,
    limits: Limits = _DEFAULT_LIMITS,
) -> VerifiedPath:
    """The path from the presented leaf to an anchor of `trust` that holds for `purpose` at the moment `now`.

    RFC 5280, 6. `now` is an aware datetime. `reference_name` is the DNS name or IP address that a server must have
    (RFC 9525), and is asked for with `server_auth` only. `revocation` says of which certificates a list of `trust` or
    a response of `ocsp` must tell the status; `revocation_unknown` what becomes of one that none covers,
    `revocation_stale` of one of which only lists and responses past their nextUpdate (or without one) tell: where
    that is allowed, one that they revoke is still refused. Raises PathError with the most telling reason if there is no
    such path, ConfigurationError for arguments that are not what they should be. Reads no clock, file or socket.
    """
    if not (
        isinstance(presented, PresentedChain) and isinstance(trust, TrustStore) and isinstance(profile, Profile)
        and isinstance(policies, PolicyInputs) and isinstance(limits, Limits)
    ):  # fmt: skip
        raise _mistaken(presented, trust, profile, policies, limits)
    wanted = _member(Purpose, purpose)
    question = Question(wanted, _moment(now), profile, reference_name_of(wanted, reference_name))
    asked = Revocation(
        _member(RevocationMode, revocation),
        _member(RevocationFallback, revocation_unknown),
        _member(RevocationFallback, revocation_stale),
        evidence_of(ocsp),
    )
    try:
        return _Verdict(question, trust, policies, asked).on(presented, limits)
    except der.DERError as error:  # in an extension that cryptography does not look into
        raise PathError(Reason.MALFORMED, None, f"expected extensions in DER: {error}") from None


class _Verdict:
    """One question to one trust store."""

    __slots__ = ("_policies", "_question", "_revocation", "_trust")

    def __init__(self, question: Question, trust: TrustStore, policies: PolicyInputs, revocation: Revocation) -> None:
        self._question = question
        self._trust = trust
        self._policies = policies
        self._revocation = revocation

    def on(self, presented: PresentedChain, limits: Limits) -> VerifiedPath:
        _check_size(presented, limits)
        leaf = parse_certificate(presented.ders[0], 0)
        if (pinned := self._trust.pinned.get(leaf.der)) is not None:
            return self._pinned(*pinned)
        pool, unreadable = _pool(presented, self._trust)
        search = Search(leaf, pool, self._trust, self._question, limits)
        if is_faultless(leaf, Role.LEAF, self._question):
            path = search.find(lambda path: self._holds(path, search), lambda path: self._stands(path, search))
            if path is not None:
                self._trust.memo.remember(path.chain)
                return self._proof(path.chain, path.anchor, self._statuses(path, search))
        raise most_telling([*unreadable, *refusals(search, lambda path: self._all_objections(path, search))])

    # A pinned leaf is its own anchor: trusted as it is, for its time and purpose.
    def _pinned(self, anchor: TrustAnchor, leaf: ParsedCertificate) -> VerifiedPath:
        found = list(faults(leaf, Role.PINNED_LEAF, self._question))
        if found:
            raise most_telling(found)
        return self._proof((leaf,), anchor)

    def _holds(self, path: Path, search: Search) -> bool:
        return next(self._objections(path, search), None) is None

    def _stands(self, path: Path, search: Search) -> bool:
        if self._trust.revocations is None and self._revocation.mode is RevocationMode.OFF:
            return True
        return next(self._revocations(path, search), None) is None

    def _all_objections(self, path: Path, search: Search) -> Iterator[PathError]:
        yield from self._objections(path, search)
        yield from self._revocations(path, search)

    # An extension that turns out to be broken spoils its own path, not the ones beside it.
    def _objections(self, path: Path, search: Search) -> Iterator[PathError]:
        try:
            yield from self._broken_rules(path, search)
        except der.DERError as error:
            yield PathError(Reason.MALFORMED, None, f"expected extensions in DER: {error}")
        except PathError as error:
            if error.reason is not Reason.MALFORMED:
                raise
            yield error

    def _broken_rules(self, path: Path, search: Search) -> Iterator[PathError]:
        chain = path.chain
        if (fault := length_fault(chain)) is not None:
            yield fault
        if (fault := constraint_fault(chain, self._question.profile, search.budget)) is not None:
            yield fault
        if (fault := policy_fault(chain, self._policies, search.budget)) is not None:
            yield fault

    def _revocations(self, path: Path, search: Search) -> Iterator[PathError]:
        chain = path.chain
        if self._trust.revocations is not None:
            yield from _revoked(chain, self._trust.revocations)
        if self._revocation.mode is not RevocationMode.OFF:
            yield from RevocationCheck(self._trust, search, self._revocation).faults(chain, path.anchor)

    def _statuses(self, path: Path, search: Search) -> Sequence[Status]:
        if self._revocation.mode is RevocationMode.OFF:
            return ()
        return RevocationCheck(self._trust, search, self._revocation).statuses(path.chain, path.anchor)

    def _proof(self, chain: Chain, anchor: TrustAnchor, statuses: Sequence[Status] = ()) -> VerifiedPath:
        certificates = [each.certificate for each in chain if each.certificate is not None]
        ends = [status.until for status in statuses if status.until is not None]
        not_after = min([each.not_after for each in chain] + ends)
        return proven(
            certificates, anchor=anchor, links=_links(chain), not_after=not_after, statuses=statuses,
            purpose=self._question.purpose, profile=self._question.profile,
        )  # fmt: skip


# Whatever the revocation mode: what an issuing authority of our own has revoked stays revoked.
def _revoked(chain: Chain, revocations: Revocations) -> Iterator[PathError]:
    for certificate, (key, serial) in zip(chain, _links(chain), strict=False):
        why = _reason_of(revocations, key, serial)
        if why is not None:
            detail = f"expected a certificate that is not revoked, got one revoked as {why}"
            yield certificate.refused(Reason.REVOKED, detail, why=why)


# The store is somebody else's code: if it cannot answer, nobody may pass.
def _reason_of(revocations: Revocations, key: bytes, serial: int) -> str | None:
    try:
        return revocations.reason_of(key, serial)
    except Exception as error:
        detail = f"expected an answer about revocation, got {type(error).__name__}"
        raise PathError(Reason.STORE_UNAVAILABLE, None, detail) from error


def _links(chain: Chain) -> list[tuple[bytes, int]]:
    return [(issuer.key_id, issued.frame.serial) for issued, issuer in pairwise(chain)]


def _pool(presented: PresentedChain, trust: TrustStore) -> tuple[list[ParsedCertificate], list[PathError]]:
    pool: list[ParsedCertificate] = []
    unreadable: list[PathError] = []
    known = {presented.ders[0]}
    for position, data in enumerate(presented.ders):
        if data in known or data in trust.octets:
            continue
        known.add(data)
        try:
            pool.append(trust.memo.parsed(data) or parse_certificate(data, position))
        except PathError as error:
            unreadable.append(error)
    return pool, unreadable


def _check_size(presented: PresentedChain, limits: Limits) -> None:
    if {*map(type, presented.ders)} != {bytes}:
        raise ConfigurationError("expected the presented certificates as bytes, got something else")
    if len(presented.ders) > limits.certificates:
        raise exceeded("presented certificates", limits.certificates, len(presented.ders))
    size = sum(map(len, presented.ders))
    if size > limits.octets:
        raise exceeded("presented octets", limits.octets, size)


def _moment(now: datetime) -> datetime:
    if not isinstance(now, datetime) or now.utcoffset() is None:
        raise ConfigurationError(f"expected the moment as a datetime with a time zone, got {now!r}")
    # Certificates know whole seconds (RFC 5280, 4.1.2.5).
    try:
        return (now if now.tzinfo is UTC else now.astimezone(UTC)).replace(microsecond=0)
    except OverflowError:
        raise ConfigurationError(f"expected a moment that UTC can say, got {now!r}") from None


def _mistaken(*arguments: object) -> ConfigurationError:
    wrong = next(pair for pair in zip(_ARGUMENTS, arguments, strict=True) if not isinstance(pair[1], pair[0]))
    return ConfigurationError(f"expected a {wrong[0].__name__}, got {type(wrong[1]).__name__}")


_Member = TypeVar("_Member", bound=StrEnum)


def _member(kind: type[_Member], value: str) -> _Member:
    if isinstance(value, kind):
        return value
    try:
        return kind(value)
    except ValueError:
        raise ConfigurationError(f"expected one of {[each.value for each in kind]}, got {value!r}") from None
