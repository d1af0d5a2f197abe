"""One certificate as the checks see it: octets, values, key, each read once. Owns what `malformed` means."""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from datetime import UTC, datetime
from typing import Any

from cryptography import x509
from cryptography.x509.oid import ExtensionOID

from mtlskit.core.certificates import spki_id
from mtlskit.core.reasons import Reason
from mtlskit.core.validation import der
from mtlskit.core.validation.algorithms import PublicKey, is_point, is_supported, is_usual_key
from mtlskit.core.validation.extensions import Known, read_usual, remember
from mtlskit.core.validation.frame import frame_complaint, raw_extension, read_frame
from mtlskit.core.validation.names import EMPTY_NAME, same_name
from mtlskit.errors import PathError

_NEVER = datetime.max.replace(tzinfo=UTC)
_EXTENDED_KEY_USAGE = bytes.fromhex("551d25")
_EMPTY_SEQUENCE = b"\x30\x00"
_IA5_NAMES = (x509.DNSName, x509.RFC822Name, x509.UniformResourceIdentifier)


class ParsedCertificate:
    """A certificate taken apart. The constructor raises PathError (malformed) where not even the frame can be read.

    `extensions` holds their values by type (octets, for names and key identifiers in their plain form: see
    `extensions.py`, and `value` for what they mean), `critical` the types of the critical ones.
    `fault` is what makes it unusable in whatever place; with a fault, `certificate`, `key` and `extensions` may lack.
    """

    __slots__ = (
        "_key", "_key_id", "authority_key_identifier", "certificate", "critical", "der", "extensions", "fault", "frame",
        "has_constraints", "identity", "is_ca", "not_after", "not_before", "path_length", "position",
        "self_issued", "subject_key_identifier",
    )  # fmt: skip

    def __init__(self, data: bytes, position: int | None = None) -> None:
        self.der = data
        self.position = position  # among what was presented: says where, of a certificate that cannot be shown
        self.certificate: x509.Certificate | None = None
        self._key: PublicKey | None = None
        self.extensions: dict[x509.ObjectIdentifier, Any] = {}
        self.critical: list[x509.ObjectIdentifier] = []
        self.not_before = self.not_after = _NEVER
        self.is_ca = False
        self.has_constraints = False
        self.path_length: int | None = None
        self.subject_key_identifier: bytes | None = None
        self.authority_key_identifier: bytes | None = None
        self._key_id: bytes | None = None
        self.frame = frame = read_frame(data)
        self.identity = (frame.spki, frame.subject)
        self.self_issued = same_name(frame.issuer, frame.subject)
        complaint = frame_complaint(frame)
        self.fault = self._malformed(complaint) if complaint else self._load()

    @property
    def key(self) -> PublicKey | None:
        """The public key; None for one of a kind that signs nothing here, or that cannot be read."""
        if self._key is None and self.certificate is not None and is_usual_key(self.frame.spki):
            self._key = self._load_key(self.certificate)
        return self._key

    @property
    def key_id(self) -> bytes:
        """SHA-256 of the SubjectPublicKeyInfo, as `public_key_id` gives it."""
        if self._key_id is None:
            spki = self.frame.spki
            plain = is_usual_key(spki) or self.key is None
            self._key_id = hashlib.sha256(spki).digest() if plain else spki_id(self.key)
        return self._key_id

    def is_critical(self, oid: x509.ObjectIdentifier) -> bool:
        """Whether there is such an extension and it is critical."""
        return oid in self.critical

    def value(self, oid: x509.ObjectIdentifier) -> Any:
        """The value of an extension as `cryptography` reads it; None if there is no such extension."""
        found = self.extensions.get(oid)
        if isinstance(found, bytes) and self.certificate is not None:
            return self.certificate.extensions.get_extension_for_oid(oid).value
        return found

    def refused(self, reason: Reason, detail: str, **facts: object) -> PathError:
        """The refusal that has this certificate at fault."""
        # One that was refused for its frame is told of all the same, where it can be read.
        shown = self.certificate or _read(self.der)
        if shown is None and self.position is not None:
            facts["position"] = self.position
        return PathError(reason, shown, detail, facts)

    def _load(self) -> PathError | None:
        # Whatever the foreign parser raises, of whatever kind, says the same: these are not the bytes of one.
        try:
            self.certificate = certificate = x509.load_der_x509_certificate(self.der)
            self.not_before, self.not_after = certificate.not_valid_before_utc, certificate.not_valid_after_utc
            # A leaf's key is not needed, and loading one is slow: of the usual kind it is only looked at.
            if not is_usual_key(self.frame.spki):
                self._key = self._load_key(certificate)
            elif not is_point(self.frame.spki):
                return self._malformed("expected a point on the curve as public key, got another")
            raw = self.frame.extensions
            usual = None if raw is None else read_usual(raw)
            if usual is not None:
                self._take(usual)
            else:
                self._take([Known(each.oid, each.value, each.critical) for each in certificate.extensions])
        except Exception as error:  # noqa: BLE001
            return self._unreadable(error)
        complaint = self._usage_complaint() or self._names_complaint()
        if complaint:
            return self._malformed(complaint)
        if raw is not None and usual is None:
            remember(raw, certificate.extensions)
        return None

    def _load_key(self, certificate: x509.Certificate) -> PublicKey | None:
        try:
            key: Any = certificate.public_key()
        except Exception:  # noqa: BLE001 - as above; `fault` or the weakness of the key tells
            return None
        return key if is_supported(type(key)) else None

    def _take(self, extensions: Collection[Known]) -> None:
        self.extensions = found = {oid: value for oid, value, _ in extensions}
        self.critical = [oid for oid, _, is_critical in extensions if is_critical]
        if (constraints := found.get(ExtensionOID.BASIC_CONSTRAINTS)) is not None:
            self.is_ca, self.path_length = constraints.ca, constraints.path_length
        if (subject := found.get(ExtensionOID.SUBJECT_KEY_IDENTIFIER)) is not None:
            self.subject_key_identifier = subject if type(subject) is bytes else subject.digest
        if (authority := found.get(ExtensionOID.AUTHORITY_KEY_IDENTIFIER)) is not None:
            self.authority_key_identifier = authority if type(authority) is bytes else authority.key_identifier
        self.has_constraints = ExtensionOID.NAME_CONSTRAINTS in found

    def _unreadable(self, error: Exception) -> PathError:
        try:
            usages = raw_extension(self.frame, _EXTENDED_KEY_USAGE)
        except (der.DERError, ValueError):
            usages = None
        # RFC 5280, 4.2.1.12: at least one purpose. For the parser this is broken; it says "good for nothing".
        if usages == _EMPTY_SEQUENCE:
            return self.refused(
                Reason.WRONG_PURPOSE, "expected a key purpose, got an empty extended key usage", found=()
            )
        return self._malformed(f"expected a certificate that parses, got {type(error).__name__}")

    # RFC 5280, 4.2.1.3: at least one bit.
    def _usage_complaint(self) -> str | None:
        usage = self.extensions.get(ExtensionOID.KEY_USAGE)
        if usage is None or usage.digital_signature or usage.key_cert_sign or _has_any_usage(usage):
            return None
        return "expected at least one key usage, got none"

    # RFC 5280, 4.1.2.6 and 4.2.1.6.
    def _names_complaint(self) -> str | None:
        names = self.extensions.get(ExtensionOID.SUBJECT_ALTERNATIVE_NAME)
        if names is None:
            empty = self.frame.subject == EMPTY_NAME
            return "expected a subject or a subject alternative name, got neither" if empty else None
        if type(names) is bytes:  # in their plain form, which has one at least
            return None
        entry = None
        for entry in names:
            if type(entry) in _IA5_NAMES and (complaint := _text_complaint(entry)):
                return complaint
        return "expected at least one subject alternative name, got an empty list" if entry is None else None

    def _malformed(self, complaint: str) -> PathError:
        return self.refused(Reason.MALFORMED, complaint)


def parse_certificate(data: bytes, position: int | None = None) -> ParsedCertificate:
    """The certificate that `data` is; raises PathError (malformed) where not even its frame can be read."""
    try:
        return ParsedCertificate(data, position)
    except der.DERError as error:
        facts = {} if position is None else {"position": position}
        raise PathError(Reason.MALFORMED, None, f"expected a certificate in DER: {error}", facts) from None


def _read(data: bytes) -> x509.Certificate | None:
    try:
        return x509.load_der_x509_certificate(data)
    except Exception:  # noqa: BLE001 - whatever the foreign parser raises says the same
        return None


def _has_any_usage(usage: x509.KeyUsage) -> bool:
    # encipherOnly and decipherOnly have no meaning without keyAgreement.
    return (
        usage.key_encipherment or usage.key_agreement or usage.content_commitment or usage.data_encipherment
        or usage.crl_sign
    )  # fmt: skip


def _text_complaint(name: x509.GeneralName) -> str | None:
    if not name.value.isascii():
        return f"expected ASCII in a {type(name).__name__}, got something else"
    if type(name) is x509.DNSName and "\0" in name.value:
        return "expected a DNS name without NUL, got one with"
    return None
