"""Why there is no path: every branch is walked again, and the most telling reason wins.

Only what the signatures below it vouch for counts: a certificate of a stranger cannot make a path `expired`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from mtlskit.core.reasons import Reason
from mtlskit.core.validation.builder import Chain, Path, Search, names_another, names_it
from mtlskit.core.validation.certificate import ParsedCertificate
from mtlskit.core.validation.checks import faults
from mtlskit.core.validation.lengths import depth_of, too_deep
from mtlskit.core.validation.profiles import KeyIdentifierMismatch
from mtlskit.core.validation.rules import Role
from mtlskit.errors import PathError

Judge = Callable[[Path], Iterable[PathError]]


def most_telling(refusals: Iterable[PathError]) -> PathError:
    """The refusal that got furthest: one that names a fault before a plain `unknown_issuer`, then by rank."""
    return max(refusals, key=lambda refusal: (refusal.reason is not Reason.UNKNOWN_ISSUER, refusal.reason.rank))


def refusals(search: Search, judge: Judge) -> Iterator[PathError]:
    """All that speaks against the leaf and against each path of it, as far as the budget goes."""
    told = list(faults(search.leaf, Role.LEAF, search.question))
    yield from told
    try:
        for refusal in _above((search.leaf,), search, judge):
            told.append(refusal)
            yield refusal
    except PathError as limit:
        # Out of budget while asking why: what is known already says more.
        if not told:
            yield limit


def _above(chain: Chain, search: Search, judge: Judge) -> Iterator[PathError]:
    top, nobody = chain[-1], True
    for issuer, anchor in search.issuers_above(chain):
        yield from _link(top, issuer, Role.INTERMEDIATE if anchor is None else Role.ANCHOR, search)
        if _is_issued(top, issuer, search):
            nobody = False
            higher = (*chain, issuer)
            yield from _higher(higher, search, judge) if anchor is None else judge(Path(higher, anchor))
    if nobody:
        yield top.refused(
            Reason.UNKNOWN_ISSUER, "expected a path to a trust anchor, got no issuer for this certificate"
        )


def _higher(chain: Chain, search: Search, judge: Judge) -> Iterator[PathError]:
    if depth_of(chain[1:]) > search.limits.depth:
        yield too_deep(chain[-1], search.limits.depth)
    else:
        yield from _above(chain, search, judge)


def _is_issued(certificate: ParsedCertificate, issuer: ParsedCertificate, search: Search) -> bool:
    return not names_another(certificate, issuer) and search.is_signed_by(certificate, issuer)


def _link(certificate: ParsedCertificate, issuer: ParsedCertificate, role: Role, search: Search) -> Iterator[PathError]:
    if issuer.key is None:
        yield from faults(issuer, role, search.question)
    elif not search.is_signed_by(certificate, issuer):
        # A candidate whose key does not verify, and that no key identifier named, is no issuer.
        if names_it(certificate, issuer):
            yield certificate.refused(
                Reason.BAD_SIGNATURE, "expected a signature by the key that the AKI names, got another"
            )
    elif names_another(certificate, issuer):
        yield from _mismatch(certificate, search)
    else:
        yield from faults(issuer, role, search.question)


def _mismatch(certificate: ParsedCertificate, search: Search) -> Iterator[PathError]:
    if search.question.profile.key_identifier_mismatch is KeyIdentifierMismatch.REFUSE:
        yield certificate.refused(
            Reason.PROFILE_VIOLATION, "expected the issuer's key identifier in the AKI, got another",
            rule="key_identifier_mismatch",
        )  # fmt: skip
