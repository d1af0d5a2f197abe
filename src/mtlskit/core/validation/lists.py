"""A certificate revocation list as a value: what it says of itself, and an index of what it revokes.

Reading one costs a pass over its entries (`entries.py`) and one over its octets (the digest that is signed); nothing
afterwards depends on its length. Whether it counts for a certificate, at a moment, is decided in
`revocation_status.py`.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from cryptography import x509
from cryptography.x509.oid import ExtensionOID

from mtlskit.core.validation import der
from mtlskit.core.validation.algorithms import PublicKey
from mtlskit.core.validation.digests import digested, verifies_digested
from mtlskit.core.validation.entries import Entries
from mtlskit.core.validation.names import ComparableName, comparable_name
from mtlskit.errors import CertificateError

_LARGEST = 64 * 1024 * 1024  # octets: about two million entries
_KEYS_REMEMBERED = 16

_KNOWN = frozenset(
    {
        ExtensionOID.ISSUING_DISTRIBUTION_POINT,
        ExtensionOID.DELTA_CRL_INDICATOR,
        ExtensionOID.AUTHORITY_KEY_IDENTIFIER,
        ExtensionOID.FRESHEST_CRL,
    }
)


class RevocationList:
    """One CRL (RFC 5280, 5), complete or delta, direct or indirect. Raises CertificateError for other bytes.

    Immutable to its users and safe to share between threads; what it remembers of signatures is a memo.
    """

    __slots__ = (
        "_entries", "_signed", "_verified", "aki", "algorithm", "base_number", "critical", "der", "inner_algorithm",
        "is_delta", "is_indirect", "issuer", "name", "next_update", "number", "scope", "scope_octets", "signature",
        "this_update", "version",
    )  # fmt: skip

    def __init__(self, data: bytes) -> None:
        if not isinstance(data, bytes):
            raise CertificateError(f"expected a revocation list in DER, got {type(data).__name__}")
        if len(data) > _LARGEST:
            raise CertificateError(f"expected a revocation list of at most {_LARGEST} octets, got {len(data)}")
        self.der = data
        self._verified: dict[bytes, bool] = {}
        try:
            self._read()
        except Exception as error:
            raise CertificateError(f"expected a revocation list in DER, got {len(data)} other octets") from error

    def is_signed_by(self, spki: bytes, key: PublicKey | None) -> bool:
        """Whether the signature verifies under the key; asked once per key."""
        known = self._verified.get(spki)
        if known is None:
            same = self.inner_algorithm == self.algorithm
            known = same and verifies_digested(key, self.signature, self._signed)
            if len(self._verified) < _KEYS_REMEMBERED:
                self._verified[spki] = known
        return known

    def has_asked(self, spki: bytes) -> bool:
        """Whether `is_signed_by` knows its answer for this key."""
        return spki in self._verified

    def reason_for(self, issuer: ComparableName, serial: int) -> str | None:
        """Why the certificate of this issuer with this serial is on the list; None if it is not."""
        return self._entries.reason_for(issuer, serial)

    def has_unknown_critical_extension(self) -> bool:
        """Whether something in the list or an entry forbids to use it (RFC 5280, 5.2 and 5.3)."""
        return self._entries.has_unknown_critical or any(oid not in _KNOWN for oid in self.critical)

    @property
    def size(self) -> int:
        """The number of entries. (Not `len`: a list without entries is not nothing.)"""
        return self._entries.count

    def __repr__(self) -> str:
        return f"<{type(self).__name__} number={self.number} entries={self.size}>"

    # RFC 5280, 5.1.
    def _read(self) -> None:
        data = self.der
        start, stop = der.whole(der.SEQUENCE, data)
        first, last = der.expect(der.SEQUENCE, data, start, stop)
        _, after = der.expect(der.SEQUENCE, data, last, stop)
        self.algorithm = data[last:after]
        bits, end = der.expect(der.BIT_STRING, data, after, stop)
        self.signature = data[der.unsigned_bits(data, bits, end) : end]
        self._signed = digested(self.algorithm, memoryview(data)[start:last])
        begin, entries, over = self._read_fields(data, first, last)
        rest = der.sequence(der.sequence(data[first:begin], data[over:last]), data[last:stop])
        self._read_extensions(x509.load_der_x509_crl(rest))
        self._entries = Entries(data, entries, over, self.name)

    # Gives where the list of entries begins, where the entries in it begin, and where both end. `cryptography` gets to
    # see the rest only: it would take a million entries at once, and let no other thread run meanwhile.
    def _read_fields(self, data: bytes, at: int, end: int) -> tuple[int, int, int]:
        tag, _, stop = der.element(data, at, end)
        self.version = 2 if tag == der.INTEGER else 1
        at = stop if tag == der.INTEGER else at
        _, issuer = der.expect(der.SEQUENCE, data, at, end)
        self.inner_algorithm = data[at:issuer]
        _, at = der.expect(der.SEQUENCE, data, issuer, end)
        self.issuer = data[issuer:at]
        self.name = comparable_name(self.issuer)
        fields = [
            (begin, first, last) for begin, tag, first, last in der.children(data, at, end) if tag == der.SEQUENCE
        ]
        if len(fields) > 1:
            raise der.DERError("expected one list of entries, got more")
        return fields[0] if fields else (end, end, end)

    def _read_extensions(self, crl: x509.CertificateRevocationList) -> None:
        self.this_update: datetime = crl.last_update_utc
        self.next_update: datetime | None = crl.next_update_utc
        found = {extension.oid: extension for extension in crl.extensions}
        self.critical = [oid for oid, extension in found.items() if extension.critical]

        def value(oid: x509.ObjectIdentifier) -> Any:
            return found[oid].value if oid in found else None

        number, base = value(ExtensionOID.CRL_NUMBER), value(ExtensionOID.DELTA_CRL_INDICATOR)
        aki, self.scope = value(ExtensionOID.AUTHORITY_KEY_IDENTIFIER), value(ExtensionOID.ISSUING_DISTRIBUTION_POINT)
        self.number: int | None = None if number is None else number.crl_number
        self.base_number: int | None = None if base is None else base.crl_number
        self.is_delta = base is not None
        self.aki: bytes | None = None if aki is None else aki.key_identifier
        self.is_indirect = self.scope is not None and self.scope.indirect_crl
        self.scope_octets: bytes = b"" if self.scope is None else self.scope.public_bytes()


def as_list(given: object) -> RevocationList:
    """A revocation list from one, from DER, or from `cryptography`'s; raises CertificateError."""
    if isinstance(given, RevocationList):
        return given
    if isinstance(given, x509.CertificateRevocationList):
        from cryptography.hazmat.primitives.serialization import Encoding

        return RevocationList(given.public_bytes(Encoding.DER))
    return RevocationList(given)  # type: ignore[arg-type]


def by_scope(lists: Iterable[RevocationList]) -> tuple[tuple[RevocationList, ...], ...]:
    """The lists of one issuer, scope and key together, the newest by number first."""
    groups: dict[object, list[RevocationList]] = {}
    for each in lists:
        groups.setdefault((each.name, each.scope_octets, each.aki), []).append(each)
    return tuple(tuple(sorted(group, key=_age, reverse=True)) for group in groups.values())


def _age(listed: RevocationList) -> tuple[int, datetime]:
    return (-1 if listed.number is None else listed.number, listed.this_update)
