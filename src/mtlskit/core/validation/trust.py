"""What a caller trusts: anchors, helper intermediates, revocations. Read once, then only looked at."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple, Protocol

from cryptography import x509

from mtlskit.core.certificates import to_der
from mtlskit.core.validation.certificate import ParsedCertificate, parse_certificate
from mtlskit.core.validation.lists import RevocationList, as_list, by_scope
from mtlskit.core.validation.memo import IntermediateMemo
from mtlskit.core.validation.names import ComparableName, comparable_name
from mtlskit.core.validation.profiles import Pinning
from mtlskit.errors import ConfigurationError, PathError


@dataclass(frozen=True, slots=True)
class TrustAnchor:
    """One entry of a trust store: a name and a key that paths may end at, be it a root's or an intermediate's.

    `id` is what verdicts report (by default SHA-256 of the DER in lower-case hexadecimal). With `Pinning.PINNED` the
    certificate may be the leaf itself too.
    """

    certificate: x509.Certificate = field(repr=False)
    id: str = ""
    pinned: Pinning = Pinning.ISSUER_ONLY

    def __post_init__(self) -> None:
        if not isinstance(self.certificate, x509.Certificate):
            raise ConfigurationError(f"expected a certificate as anchor, got {type(self.certificate).__name__}")
        if self.pinned not in Pinning.__members__.values():
            raise ConfigurationError(f"expected one of {[*Pinning]} for an anchor's pinning, got {self.pinned!r}")
        if not self.id:
            object.__setattr__(self, "id", hashlib.sha256(to_der(self.certificate)).hexdigest())


class Revocations(Protocol):
    """What the store of the issuing authorities says. Consulted for every certificate of a path but the anchor."""

    def reason_of(self, issuer_key: bytes, serial: int) -> str | None:
        """Why the certificate with this serial under this key (`public_key_id`) is revoked; None if it is not."""
        ...


class Issuer(NamedTuple):
    """A certificate that may have issued others, and the anchor that it is, if it is one."""

    parsed: ParsedCertificate
    anchor: TrustAnchor | None


class SubjectIndex:
    """Issuers by their subject: by its octets, and by the name that these mean where that is asked for."""

    __slots__ = ("_by_name", "_by_octets", "_issuers")

    def __init__(self, issuers: Sequence[Issuer]) -> None:
        self._issuers = issuers
        self._by_name: dict[ComparableName, list[Issuer]] | None = None
        self._by_octets: dict[bytes, list[Issuer]] = {}
        for issuer in issuers:
            self._by_octets.setdefault(issuer.parsed.frame.subject, []).append(issuer)

    def same_octets(self, name: bytes) -> Sequence[Issuer]:
        """Those whose subject is written just so."""
        return self._by_octets.get(name, ())

    def otherwise_written(self, name: bytes) -> Sequence[Issuer]:
        """Those whose subject is the same name (RFC 5280, 7.1) in other octets."""
        if not self._issuers:
            return ()
        if self._by_name is None:
            self._by_name = self._names()
        found = self._by_name.get(comparable_name(name), ())
        return [issuer for issuer in found if issuer.parsed.frame.subject != name]

    def _names(self) -> dict[ComparableName, list[Issuer]]:
        names: dict[ComparableName, list[Issuer]] = {}
        for issuer in self._issuers:
            names.setdefault(comparable_name(issuer.parsed.frame.subject), []).append(issuer)
        return names


class TrustStore:
    """Anchors, helper intermediates and revocations for a verdict. Immutable; may be shared between threads.

    (But for a memo of what was verified, which changes no verdict; see `memo.py`.)

    `intermediates` help to find a path where the peer does not present all; they are not trusted. `revocations` is
    consulted in every revocation mode; `lists` (RevocationList, or DER) in the modes that ask for them. Raises
    ConfigurationError for what is not a certificate, CertificateError for what is not a list.
    """

    __slots__ = ("anchors", "indices", "intermediates", "lists", "memo", "octets", "pinned", "revocations")

    def __init__(
        self,
        anchors: Iterable[x509.Certificate | TrustAnchor],
        *,
        intermediates: Iterable[x509.Certificate] = (),
        revocations: Revocations | None = None,
        lists: Iterable[RevocationList | x509.CertificateRevocationList | bytes] = (),
    ) -> None:
        entries = [_anchored(anchor, place) for place, anchor in enumerate(anchors, start=1)]
        self.intermediates = tuple(intermediates)
        self.anchors: tuple[TrustAnchor, ...] = tuple(anchor for anchor, _ in entries)
        self.pinned = {parsed.der: (anchor, parsed) for anchor, parsed in entries if anchor.pinned == Pinning.PINNED}
        anchored = frozenset(parsed.der for _, parsed in entries)
        helpers = _helpers(self.intermediates, anchored)
        # What is here need not be read again when a peer presents it.
        self.octets = anchored | {parsed.der for parsed in helpers}
        self.indices = (
            SubjectIndex([Issuer(parsed, anchor) for anchor, parsed in entries]),
            SubjectIndex([Issuer(parsed, None) for parsed in helpers]),
        )
        self.memo = IntermediateMemo()
        self.revocations = revocations
        self.lists = by_scope(map(as_list, lists))

    def __repr__(self) -> str:
        return f"<{type(self).__name__} anchors={len(self.anchors)}>"


# Many trust stores are made of few certificates, and a caller may make one for each verdict. What comes here is what
# an operator trusts, never what a peer presents.
_parsed = lru_cache(maxsize=256)(parse_certificate)


def _anchored(anchor: x509.Certificate | TrustAnchor, place: int) -> tuple[TrustAnchor, ParsedCertificate]:
    trusted = anchor if isinstance(anchor, TrustAnchor) else TrustAnchor(anchor)
    try:
        return trusted, _parsed(to_der(trusted.certificate))
    except PathError as error:
        raise ConfigurationError(
            f"expected anchors that can be read, number {place} is not one: {error.detail}"
        ) from None


def _helpers(certificates: Iterable[x509.Certificate], anchors: frozenset[bytes]) -> list[ParsedCertificate]:
    given = list(certificates)
    for certificate in given:
        if not isinstance(certificate, x509.Certificate):
            raise ConfigurationError(f"expected a certificate as intermediate, got {type(certificate).__name__}")
    octets = dict.fromkeys(map(to_der, given))
    try:
        return [_parsed(data) for data in octets if data not in anchors]
    except PathError as error:
        raise ConfigurationError(f"expected intermediates that can be read: {error.detail}") from None
