"""What is wrong with a client certificate can be told before a byte is sent. Pure; the moment is an argument."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from itertools import pairwise
from typing import TypeVar

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.x509.oid import ExtendedKeyUsageOID

from mtlskit.core.certificates import SigningChain
from mtlskit.errors import CertificateError

_Extension = TypeVar("_Extension", bound=x509.ExtensionType)


def check_usable(chain: SigningChain, now: datetime) -> None:
    """Raises CertificateError unless every certificate of the chain is valid at `now` (UTC-aware) and the leaf may
    authenticate a client (RFC 5280, 4.1.2.5 and 4.2.1.12)."""
    for certificate in chain.certificates:
        check_validity(certificate, now)
    check_purpose(chain.certificate)


def check_validity(certificate: x509.Certificate, now: datetime) -> None:
    """Raises CertificateError if the certificate is expired, or not yet valid, at `now`."""
    if now > certificate.not_valid_after_utc:
        told = f"one that expired at {certificate.not_valid_after_utc.isoformat()}"
    elif now < certificate.not_valid_before_utc:
        told = f"one that is not valid before {certificate.not_valid_before_utc.isoformat()}"
    else:
        return
    raise CertificateError(f"expected a certificate that is valid now, got {told}: {subject_of(certificate)!r}")


def check_purpose(leaf: x509.Certificate) -> None:
    """Raises CertificateError if the leaf names its purposes and clientAuth is not one of them, or what its key is
    used for and signing is not (RFC 5280, 4.2.1.3 and 4.2.1.12)."""
    try:
        extensions = leaf.extensions
        purposes, usage = _value_of(extensions, x509.ExtendedKeyUsage), _value_of(extensions, x509.KeyUsage)
    except (ValueError, TypeError):
        raise CertificateError(f"expected readable extensions, got others in {subject_of(leaf)!r}") from None
    if purposes is not None and ExtendedKeyUsageOID.CLIENT_AUTH not in purposes:
        found = ", ".join(sorted(oid.dotted_string for oid in purposes))
        raise CertificateError(
            f"expected a certificate with the key purpose clientAuth, got {found}: {subject_of(leaf)!r}"
        )
    if usage is not None and not usage.digital_signature:
        raise CertificateError(
            f"expected a certificate with the key usage digitalSignature, got one without: {subject_of(leaf)!r}"
        )


def _value_of(extensions: x509.Extensions, kind: type[_Extension]) -> _Extension | None:
    try:
        return extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None


def check_order(certificates: Sequence[x509.Certificate]) -> None:
    """Raises CertificateError unless each certificate is signed by the one after it."""
    for certificate, issuer in pairwise(certificates):
        try:
            certificate.verify_directly_issued_by(issuer)
        except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
            raise CertificateError(
                f"expected the certificate after {subject_of(certificate)!r} to be its issuer, "
                f"got {subject_of(issuer)!r}"
            ) from None


def subject_of(certificate: x509.Certificate) -> str:
    """The subject for people, cut."""
    text = certificate.subject.rfc4514_string()
    return text if len(text) <= 128 else text[:128] + "..."
