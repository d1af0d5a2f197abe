"""The proof: a certification path that was verified. Only `verify_path` can make one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import InitVar, dataclass, field
from datetime import datetime
from typing import Final, NoReturn

from cryptography import x509

from mtlskit.core.certificates import read_sans
from mtlskit.core.names import SubjectAlternativeName
from mtlskit.core.validation.profiles import Profile, Purpose
from mtlskit.core.validation.standing import Status
from mtlskit.core.validation.trust import TrustAnchor

_PROOF: Final = object()


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedPath:
    """A path that holds for `purpose` under `profile`, from the moment it was judged at until `not_after` at most.

    `certificates` go from the leaf to the anchor's own. `links` are (issuer key, serial) of each of them but the
    anchor: what to ask `Revocations` with again. `not_after` is the earliest moment at which time alone can change
    the verdict. `statuses` tell, for the certificates whose revocation was asked for, what is known of each and from
    which lists or responses; leaf first.
    """

    certificates: tuple[x509.Certificate, ...] = field(repr=False)
    anchor: TrustAnchor
    links: tuple[tuple[bytes, int], ...] = field(repr=False)
    not_after: datetime
    purpose: Purpose
    profile: Profile = field(repr=False)
    statuses: tuple[Status, ...] = field(repr=False)
    proof: InitVar[object]

    def __post_init__(self, proof: object) -> None:
        if proof is not _PROOF:
            raise TypeError("expected verify_path to make a VerifiedPath, got somebody else")

    @property
    def leaf(self) -> x509.Certificate:
        """The end-entity certificate."""
        return self.certificates[0]

    @property
    def sans(self) -> tuple[SubjectAlternativeName, ...]:
        """The leaf's subject alternative names that have a text form, in the certificate's order."""
        return read_sans(self.leaf)

    def __reduce__(self) -> NoReturn:
        raise TypeError("expected a value that can be made anew, got a VerifiedPath to pickle or copy")


def proven(
    certificates: Sequence[x509.Certificate],
    *,
    anchor: TrustAnchor,
    links: Sequence[tuple[bytes, int]],
    not_after: datetime,
    purpose: Purpose,
    profile: Profile,
    statuses: Sequence[Status],
) -> VerifiedPath:
    """The proof. For `verify_path` alone."""
    return VerifiedPath(
        certificates=tuple(certificates), anchor=anchor, links=tuple(links), not_after=not_after, purpose=purpose,
        profile=profile, statuses=tuple(statuses), proof=_PROOF,
    )  # fmt: skip
