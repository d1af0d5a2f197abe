"""What Cloudflare says of a client certificate: the fields of its rules language and the properties of its Workers.

Every text is made for people and other systems; `ClientIdentity` has the typed values. A field that could not be read,
that was left out for its size, or whose source is not at hand, is empty and stands in `unread`.
"""

from __future__ import annotations

import hashlib
from base64 import b64encode
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any, Final, TypeAlias

from cryptography import x509

from mtlskit.core.certificates import ClientIdentity, PresentedChain, to_der
from mtlskit.core.distinguished_names import legacy_text, rfc2253_text, unambiguous_name
from mtlskit.core.reasons import Reason

__all__ = ["WORKER_PROPERTIES", "ClientCertificateFields", "field_reader", "unambiguous_name"]

Value: TypeAlias = str | bool

LONGEST_CERTIFICATE: Final = 10 * 1024  # characters of the field, encoded
LONGEST_CHAIN: Final = 16 * 1024
_REMEMBERED: Final = 1024  # certificates a field, verified ones only (I12)

# Each field of the rules language, without its prefix, and what it is called in a Worker's `request.cf.tlsClientAuth`.
WORKER_PROPERTIES: Final[Mapping[str, str]] = {
    "cert_presented": "certPresented",
    "cert_verified": "certVerified",
    "cert_revoked": "certRevoked",
    "cert_issuer_dn": "certIssuerDN",
    "cert_subject_dn": "certSubjectDN",
    "cert_issuer_dn_rfc2253": "certIssuerDNRFC2253",
    "cert_subject_dn_rfc2253": "certSubjectDNRFC2253",
    "cert_issuer_dn_legacy": "certIssuerDNLegacy",
    "cert_subject_dn_legacy": "certSubjectDNLegacy",
    "cert_serial": "certSerial",
    "cert_issuer_serial": "certIssuerSerial",
    "cert_fingerprint_sha256": "certFingerprintSHA256",
    "cert_fingerprint_sha1": "certFingerprintSHA1",
    "cert_not_before": "certNotBefore",
    "cert_not_after": "certNotAfter",
    "cert_ski": "certSKI",
    "cert_issuer_ski": "certIssuerSKI",
    "cert_rfc9440": "certRFC9440",
    "cert_rfc9440_too_large": "certRFC9440TooLarge",
    "cert_chain_rfc9440": "certChainRFC9440",
    "cert_chain_rfc9440_too_large": "certChainRFC9440TooLarge",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientCertificateFields:
    """The 21 fields, named as in the rules language without `cf.tls_client_auth.`, and what they were made of.

    Without arguments the placeholder: no certificate. `verification` is `SUCCESS`, `NONE`, `FAILED` or `FAILED:` and a
    reason; `not_before` and `not_after` are UTC-aware; `unread` names the fields whose value is not known.
    """

    cert_presented: bool = False
    cert_verified: bool = False
    cert_revoked: bool = False
    cert_issuer_dn: str = ""
    cert_subject_dn: str = ""
    cert_issuer_dn_rfc2253: str = ""
    cert_subject_dn_rfc2253: str = ""
    cert_issuer_dn_legacy: str = ""
    cert_subject_dn_legacy: str = ""
    cert_serial: str = ""
    cert_issuer_serial: str = ""
    cert_fingerprint_sha256: str = ""
    cert_fingerprint_sha1: str = ""
    cert_not_before: str = ""
    cert_not_after: str = ""
    cert_ski: str = ""
    cert_issuer_ski: str = ""
    cert_rfc9440: str = ""
    cert_rfc9440_too_large: bool = False
    cert_chain_rfc9440: str = ""
    cert_chain_rfc9440_too_large: bool = False
    verification: str = "NONE"
    not_before: datetime | None = None
    not_after: datetime | None = None
    subject: x509.Name | None = None
    issuer: x509.Name | None = None
    unread: frozenset[str] = frozenset()

    @classmethod
    def none(cls) -> ClientCertificateFields:
        """The placeholder of a client that presented no certificate."""
        return cls()

    @classmethod
    def of_identity(cls, identity: ClientIdentity) -> ClientCertificateFields:
        """Those of a verified client.

        Of the issuer nothing is known where the identity has no `issuers`, of the chain where it has not `presented`.
        """
        return _fields_of(
            to_der(identity.certificate), identity.certificate, _first(identity.issuers), identity.presented, "SUCCESS"
        )

    @classmethod
    def of_refused(
        cls, presented: PresentedChain, reason: Reason | None, *, issuers: Sequence[x509.Certificate] = ()
    ) -> ClientCertificateFields:
        """Those of a certificate that was presented and refused for `reason`, None where that is not told.

        A revoked one (`Reason.REVOKED`) is verified *and* revoked, as Cloudflare has it. `issuers` is the path above
        the leaf where one was found. Never raises for what a peer sent.
        """
        leaf = _parsed(presented.leaf_der)
        verification = "SUCCESS" if reason is Reason.REVOKED else _failure(reason, leaf, presented)
        return _fields_of(presented.leaf_der, leaf, _first(issuers), presented, verification, reason)

    def worker_properties(self) -> dict[str, str | bool]:
        """The properties of `request.cf.tlsClientAuth`: `"1"` and `"0"` for true and false, but for `...TooLarge`."""
        found: dict[str, str | bool] = {worker: getattr(self, field) for field, worker in WORKER_PROPERTIES.items()}
        found["certPresented"] = "1" if self.cert_presented else "0"
        found["certVerified"] = self.verification
        found["certRevoked"] = "1" if self.cert_revoked else "0"
        return found


def field_reader(field: str) -> Callable[[ClientIdentity], Value | None]:
    """The function that reads one field (named without the prefix) of a verified client; None is what is not known.

    It makes that field only. Raises KeyError for what is no field.
    """
    if field in _OF_VERIFIED:
        value = _OF_VERIFIED[field]
        return lambda identity: value
    if field in _OF_CHAIN:
        of_chain = _OF_CHAIN[field]
        return lambda identity: None if identity.presented is None else of_chain(identity.presented)
    if field in _OF_ISSUER:
        of_issuer = lru_cache(_REMEMBERED)(_tried(_OF_ISSUER[field]))
        return lambda identity: of_issuer(identity.issuers[0]) if identity.issuers else None
    if field in _OF_DER:
        of_der = _OF_DER[field]
        remembered = lru_cache(_REMEMBERED)(lambda certificate: of_der(to_der(certificate)))
    else:
        remembered = lru_cache(_REMEMBERED)(_tried(_OF_LEAF[field]))
    return lambda identity: remembered(identity.certificate)


def _fields_of(
    der: bytes,
    leaf: x509.Certificate | None,
    issuer: x509.Certificate | None,
    presented: PresentedChain | None,
    verification: str,
    reason: Reason | None = None,
) -> ClientCertificateFields:
    read: dict[str, Value | None] = {field: of_der(der) for field, of_der in _OF_DER.items()}
    read |= {field: _tried(of_leaf)(leaf) for field, of_leaf in _OF_LEAF.items()}
    read |= {field: _tried(of_issuer)(issuer) for field, of_issuer in _OF_ISSUER.items()}
    read |= {field: of_chain(presented) if presented else None for field, of_chain in _OF_CHAIN.items()}
    known: dict[str, Any] = {field: value for field, value in read.items() if value is not None}
    return ClientCertificateFields(
        cert_presented=True,
        cert_verified=verification == "SUCCESS",
        cert_revoked=reason is Reason.REVOKED,
        verification=verification,
        not_before=_tried(lambda certificate: certificate.not_valid_before_utc)(leaf),
        not_after=_tried(lambda certificate: certificate.not_valid_after_utc)(leaf),
        subject=_tried(lambda certificate: certificate.subject)(leaf),
        issuer=_tried(lambda certificate: certificate.issuer)(leaf),
        unread=frozenset(read.keys() - known.keys()),
        **known,
    )


def _tried(read: Callable[[x509.Certificate], Any]) -> Callable[[x509.Certificate | None], Any]:
    """`read`, or None where there is no certificate or that part of it does not parse."""

    def tried(certificate: x509.Certificate | None) -> Any:
        try:
            return None if certificate is None else read(certificate)
        except Exception:  # noqa: BLE001 - whatever the foreign parser raises says the same
            return None

    return tried


def _parsed(der: bytes) -> x509.Certificate | None:
    try:
        return x509.load_der_x509_certificate(der)
    except Exception:  # noqa: BLE001 - as above
        return None


def _first(issuers: Sequence[x509.Certificate]) -> x509.Certificate | None:
    return issuers[0] if issuers else None


_FAILURES = {Reason.NOT_YET_VALID: "certificate is not yet valid", Reason.EXPIRED: "certificate has expired"}
_UNTRUSTED = {Reason.UNKNOWN_ISSUER, Reason.WRONG_TENANT_ISSUER}


def _failure(reason: Reason | None, leaf: x509.Certificate | None, presented: PresentedChain) -> str:
    told = _FAILURES.get(reason) if reason else None
    if reason in _UNTRUSTED and leaf is not None:
        told = _tried(lambda certificate: _missing_issuer(certificate, presented))(leaf)
    return f"FAILED:{told}" if told else "FAILED"


def _missing_issuer(leaf: x509.Certificate, presented: PresentedChain) -> str:
    """What OpenSSL says at last: of a leaf alone that it cannot verify it, of a longer chain where that ends."""
    if leaf.issuer == leaf.subject:
        return "self signed certificate"
    above = filter(None, map(_parsed, presented.ders[1:]))
    if any(_tried(lambda certificate: certificate.subject)(each) == leaf.issuer for each in above):
        return "unable to get local issuer certificate"
    return "unable to verify the first certificate"


def _serial(certificate: x509.Certificate) -> str:
    """Upper-case hexadecimal of the octets, as OpenSSL prints an INTEGER: two digits each."""
    digits = f"{abs(certificate.serial_number):X}"
    sign = "-" if certificate.serial_number < 0 else ""
    return sign + digits.zfill(len(digits) + len(digits) % 2)


def _key_id(certificate: x509.Certificate) -> str:
    try:
        extension = certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
    except x509.ExtensionNotFound:
        return ""
    return extension.value.digest.hex().upper()


_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def _moment(at: datetime) -> str:
    """As OpenSSL prints a time, in no locale's words: `Mar  1 13:35:00 2022 GMT`."""
    return f"{_MONTHS[at.month - 1]} {at.day:2d} {at.hour:02d}:{at.minute:02d}:{at.second:02d} {at.year} GMT"


def _byte_sequences(ders: Iterable[bytes]) -> str:
    """Certificates in the fields of RFC 9440, 2.1 and 2.2."""
    return ", ".join(f":{b64encode(der).decode()}:" for der in ders)


def _within(limit: int, text: str) -> str | None:
    return text if len(text) <= limit else None


_OF_VERIFIED: Mapping[str, bool] = {"cert_presented": True, "cert_verified": True, "cert_revoked": False}
_OF_LEAF: Mapping[str, Callable[[x509.Certificate], str]] = {
    "cert_issuer_dn": lambda certificate: rfc2253_text(certificate.issuer),
    "cert_subject_dn": lambda certificate: rfc2253_text(certificate.subject),
    "cert_issuer_dn_rfc2253": lambda certificate: rfc2253_text(certificate.issuer),
    "cert_subject_dn_rfc2253": lambda certificate: rfc2253_text(certificate.subject),
    "cert_issuer_dn_legacy": lambda certificate: legacy_text(certificate.issuer),
    "cert_subject_dn_legacy": lambda certificate: legacy_text(certificate.subject),
    "cert_serial": _serial,
    "cert_not_before": lambda certificate: _moment(certificate.not_valid_before_utc),
    "cert_not_after": lambda certificate: _moment(certificate.not_valid_after_utc),
    "cert_ski": _key_id,
}
_OF_DER: Mapping[str, Callable[[bytes], Value | None]] = {
    "cert_fingerprint_sha256": lambda der: hashlib.sha256(der).hexdigest(),
    "cert_fingerprint_sha1": lambda der: hashlib.sha1(der, usedforsecurity=False).hexdigest(),
    "cert_rfc9440": lambda der: _within(LONGEST_CERTIFICATE, _byte_sequences([der])),
    "cert_rfc9440_too_large": lambda der: len(_byte_sequences([der])) > LONGEST_CERTIFICATE,
}
_OF_ISSUER: Mapping[str, Callable[[x509.Certificate], str]] = {
    "cert_issuer_serial": _serial,
    "cert_issuer_ski": _key_id,
}
_OF_CHAIN: Mapping[str, Callable[[PresentedChain], Value | None]] = {
    "cert_chain_rfc9440": lambda presented: _within(LONGEST_CHAIN, _byte_sequences(presented.ders[1:])),
    "cert_chain_rfc9440_too_large": lambda presented: len(_byte_sequences(presented.ders[1:])) > LONGEST_CHAIN,
}
