"""The last revocation list of an authority that is taken over: what it revoked stays revoked, and its number is left
behind.

Without it the first list made here would have the number 1 and none of those entries: whoever has the old list would
hold on to that one, and whoever has it not would let the revoked ones in again (RFC 5280, 5.2.3).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Final, cast

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from mtlskit.authority.ledger import IssuerLedger, Revocation
from mtlskit.authority.revocation import RevocationReason, adopt
from mtlskit.authority.serials import checked_serial
from mtlskit.core.certificates import to_der
from mtlskit.core.profiles import PublicKey
from mtlskit.core.validation.frame import read_frame
from mtlskit.core.validation.lists import RevocationList
from mtlskit.core.validation.names import comparable_name
from mtlskit.errors import CertificateError, IssuanceError

_PAGE: Final = 1_000  # entries: what is written before somebody else gets the store
_MOST: Final = 1 << 158  # so that all numbers above it that will ever be needed have 20 octets, too


@dataclass(frozen=True, slots=True)
class LastList:
    """A list that was checked: its number (0 where it has none), and itself."""

    number: int
    listed: x509.CertificateRevocationList

    def revocations(self) -> Iterator[Revocation]:
        """Its entries; raises IssuanceError for one that no list of ours could repeat."""
        for each in self.listed:
            yield _revocation(each)


def check_last_list(listed: x509.CertificateRevocationList, issuer: x509.Certificate) -> LastList:
    """The list, if it is a complete one of everything that this certificate's key issued; raises IssuanceError."""
    if not isinstance(listed, x509.CertificateRevocationList):
        raise IssuanceError(f"last_crl: expected an x509.CertificateRevocationList, got {type(listed).__name__}")
    try:
        parsed = RevocationList(listed.public_bytes(serialization.Encoding.DER))
    except CertificateError as error:
        raise IssuanceError(f"last_crl: {error}") from None
    _check_issuer(parsed, issuer)
    _check_scope(parsed)
    number = parsed.number or 0
    if not 0 <= number < _MOST:
        raise IssuanceError("last_crl: expected a number below 2^158 and not negative, got another")
    found = LastList(number, listed)
    for _ in found.revocations():
        pass  # all can be read: what is refused is refused before anything is written
    return found


def _check_issuer(parsed: RevocationList, issuer: x509.Certificate) -> None:
    frame = read_frame(to_der(issuer))
    if parsed.name != comparable_name(frame.subject):
        raise IssuanceError("last_crl: expected a list of this authority, got one of another issuer")
    if not parsed.is_signed_by(frame.spki, cast("PublicKey", issuer.public_key())):
        raise IssuanceError("last_crl: expected the signature of this authority's key, got another")


def _check_scope(parsed: RevocationList) -> None:
    if parsed.is_delta:
        raise IssuanceError("last_crl: expected a complete list, got a delta list")
    if parsed.scope is not None:
        raise IssuanceError("last_crl: expected a list of all certificates, got one with an issuing distribution point")
    if parsed.has_unknown_critical_extension():
        raise IssuanceError("last_crl: expected no unknown critical extension, got one")


def _revocation(entry: x509.RevokedCertificate) -> Revocation:
    try:
        serial = checked_serial(entry.serial_number)
        reason = _reason(entry.extensions)
    except (IssuanceError, ValueError, x509.DuplicateExtension) as error:
        raise IssuanceError(f"last_crl: expected entries that another list can repeat, got one with {error}") from None
    return Revocation(serial_number=serial, reason=reason, revoked_at=entry.revocation_date_utc, role=None)


def _reason(extensions: x509.Extensions) -> RevocationReason:
    if any(each.critical for each in extensions):
        raise IssuanceError("extensions: expected no critical one, got one")  # it may be about another issuer's
    reasons = [each.value.reason.name for each in extensions if isinstance(each.value, x509.CRLReason)]
    return RevocationReason.parse(reasons[0]) if reasons else RevocationReason.UNSPECIFIED


def inherit(ledger: IssuerLedger, found: LastList, *, requester: str, now: datetime) -> None:
    """Writes its entries down as revocations, whether their certificates are on record or not. Again: what is left.

    In many short transactions, each of which revokes for good: the authority itself is to be written down after it.
    """
    entries = found.revocations()
    while page := list(islice(entries, _PAGE)):
        with ledger.store.transaction() as transaction:
            for each in page:
                adopt(transaction, ledger.authority, ledger.key_id, each, requester=requester, now=now)
