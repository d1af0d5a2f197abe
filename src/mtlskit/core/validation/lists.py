"""A certificate revocation list as a value: what it says of itself, and an index of what it revokes.

Reading one costs a pass over its entries; a look-up afterwards is one look into a dictionary. Whether it counts for
a certificate, at a moment, is decided in `revocation_status.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from functools import lru_cache
from typing import Any, Final

from cryptography import x509
from cryptography.x509.oid import ExtensionOID

from mtlskit.core.validation import der
from mtlskit.core.validation.algorithms import PublicKey, verifies
from mtlskit.core.validation.names import ComparableName, comparable_name
from mtlskit.errors import CertificateError

REMOVED: Final = "removeFromCRL"
_UNSPECIFIED = "unspecified"
_LARGEST = 64 * 1024 * 1024  # octets: about two million entries
_KEYS_REMEMBERED = 16

_CERTIFICATE_ISSUER = bytes.fromhex("551d1d")
_CRL_REASON = bytes.fromhex("551d15")
_INVALIDITY_DATE = bytes.fromhex("551d18")
_KNOWN = frozenset(
    {
        ExtensionOID.ISSUING_DISTRIBUTION_POINT,
        ExtensionOID.DELTA_CRL_INDICATOR,
        ExtensionOID.AUTHORITY_KEY_IDENTIFIER,
        ExtensionOID.FRESHEST_CRL,
    }
)
# RFC 5280, 5.3.1, by number.
_REASONS = (
    _UNSPECIFIED, "key_compromise", "ca_compromise", "affiliation_changed", "superseded", "cessation_of_operation",
    "certificate_hold", _UNSPECIFIED, REMOVED, "privilege_withdrawn", "aa_compromise",
)  # fmt: skip


class RevocationList:
    """One CRL (RFC 5280, 5), complete or delta, direct or indirect. Raises CertificateError for other bytes.

    Immutable to its users and safe to share between threads; what it remembers of signatures is a memo.
    """

    __slots__ = (
        "_others",
        "_own",
        "_verified",
        "aki",
        "algorithm",
        "base_number",
        "critical",
        "crl",
        "der",
        "inner_algorithm",
        "is_delta",
        "is_indirect",
        "issuer",
        "name",
        "next_update",
        "number",
        "scope",
        "scope_octets",
        "signature",
        "tbs",
        "this_update",
        "unknown_critical_entry",
        "version",
    )  # fmt: skip

    def __init__(self, data: bytes) -> None:
        if not isinstance(data, bytes):
            raise CertificateError(f"expected a revocation list in DER, got {type(data).__name__}")
        if len(data) > _LARGEST:
            raise CertificateError(f"expected a revocation list of at most {_LARGEST} octets, got {len(data)}")
        self.der = data
        self._verified: dict[bytes, bool] = {}
        try:
            self.crl = x509.load_der_x509_crl(data)
            self._read_extensions(self.crl)
            self._read_frame()
        except Exception as error:
            raise CertificateError(f"expected a revocation list in DER, got {len(data)} other octets") from error

    def is_signed_by(self, spki: bytes, key: PublicKey | None) -> bool:
        """Whether the signature verifies under the key; asked once per key."""
        known = self._verified.get(spki)
        if known is None:
            same = self.inner_algorithm == self.algorithm
            known = same and verifies(key, self.algorithm, self.signature, self.tbs)
            if len(self._verified) < _KEYS_REMEMBERED:
                self._verified[spki] = known
        return known

    def has_asked(self, spki: bytes) -> bool:
        """Whether `is_signed_by` knows its answer for this key."""
        return spki in self._verified

    def reason_for(self, issuer: ComparableName, serial: int) -> str | None:
        """Why the certificate of this issuer with this serial is on the list; None if it is not."""
        if issuer == self.name:
            return self._own.get(serial)
        return self._others.get((issuer, serial))

    def has_unknown_critical_extension(self) -> bool:
        """Whether something in the list or an entry forbids to use it (RFC 5280, 5.2 and 5.3)."""
        return self.unknown_critical_entry or any(oid not in _KNOWN for oid in self.critical)

    @property
    def size(self) -> int:
        """The number of entries. (Not `len`: a list without entries is not nothing.)"""
        return len(self._own) + len(self._others)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} number={self.number} entries={self.size}>"

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

    # RFC 5280, 5.1.
    def _read_frame(self) -> None:
        data = self.der
        start, stop = der.whole(der.SEQUENCE, data)
        first, last = der.expect(der.SEQUENCE, data, start, stop)
        self.tbs = data[start:last]
        _, after = der.expect(der.SEQUENCE, data, last, stop)
        self.algorithm = data[last:after]
        bits, end = der.expect(der.BIT_STRING, data, after, stop)
        self.signature = data[der.unsigned_bits(data, bits, end) : end]
        self._read_fields(data, first, last)

    def _read_fields(self, data: bytes, at: int, end: int) -> None:
        tag, _, stop = der.element(data, at, end)
        self.version = 2 if tag == der.INTEGER else 1
        at = stop if tag == der.INTEGER else at
        _, issuer = der.expect(der.SEQUENCE, data, at, end)
        self.inner_algorithm = data[at:issuer]
        _, at = der.expect(der.SEQUENCE, data, issuer, end)
        self.issuer = data[issuer:at]
        self.name = comparable_name(self.issuer)
        self._own: dict[int, str] = {}
        self._others: dict[tuple[ComparableName, int], str] = {}
        self.unknown_critical_entry = False
        entries = [(first, last) for _, tag, first, last in der.children(data, at, end) if tag == der.SEQUENCE]
        if entries:
            self._index(data, *entries[0])

    # RFC 5280, 5.3.3: in an indirect list an entry's issuer holds for the entries after it.
    def _index(self, data: bytes, start: int, stop: int) -> None:
        name, own = self.name, self._own
        for serial, extensions in _entries(data, start, stop):
            reason, issuer, is_known = _entry_of(extensions) if extensions else (_UNSPECIFIED, None, True)
            name = issuer or name
            self.unknown_critical_entry |= not is_known
            if name == self.name:
                own[serial] = reason
            else:
                self._others[name, serial] = reason


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


def _entries(data: bytes, start: int, stop: int) -> Iterator[tuple[int, bytes]]:
    at = start
    while at < stop:
        first, last = der.expect(der.SEQUENCE, data, at, stop)
        number, after = der.expect(der.INTEGER, data, first, last)
        _, _, end = der.element(data, after, last)
        yield int.from_bytes(data[number:after], "big", signed=True), data[end:last]
        at = last


# Many entries of a list have the same extensions, to the octet.
@lru_cache(maxsize=256)
def _entry_of(extensions: bytes) -> tuple[str, ComparableName | None, bool]:
    reason, issuer, is_known = _UNSPECIFIED, None, True
    for kind, critical, value in _extensions(extensions):
        if kind == _CRL_REASON:
            reason = _reason(value)
        elif kind == _CERTIFICATE_ISSUER:
            issuer = _certificate_issuer(value)
        elif kind != _INVALIDITY_DATE and critical:
            is_known = False
    return reason, issuer, is_known


def _extensions(data: bytes) -> Iterator[tuple[bytes, bytes, bytes]]:
    for _, _, first, last in der.children(data, *der.whole(der.SEQUENCE, data)):
        kind, after = der.expect(der.OBJECT_IDENTIFIER, data, first, last)
        *flags, (_, _, start, stop) = der.children(data, after, last)
        yield data[kind:after], b"".join(data[inner:outer] for _, _, inner, outer in flags), data[start:stop]


def _reason(value: bytes) -> str:
    start, stop = der.whole(0x0A, value)
    number = int.from_bytes(value[start:stop], "big")
    return _REASONS[number] if number < len(_REASONS) else _UNSPECIFIED


def _certificate_issuer(value: bytes) -> ComparableName:
    for _, tag, first, last in der.children(value, *der.whole(der.SEQUENCE, value)):
        if tag == 0xA4:
            return comparable_name(value[first:last])
    raise der.DERError("expected a directoryName as certificate issuer, got none")
