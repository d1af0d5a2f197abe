"""What is looked at before an upload is kept. Pure; the moment is an argument, the secrets are in `Secret`s.

Of a client's chain: that the key belongs to the leaf, that each certificate is issued by the one after it, that the
leaf leads by CAs to the last of them (dates, purposes, constraints, key sizes), and that nothing is in it twice or
leads nowhere. Whether an intermediate is missing *above* the last one cannot be seen from the chain: servers trust
roots, and who does not say which of them (`trust`) is not told.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import pairwise
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm

from mtlskit.core import key_derivation
from mtlskit.core.certificates import PresentedChain, SigningChain, to_der
from mtlskit.core.pem import UNREADABLE, Secret, certificates_in, certificates_without_keys, pkcs12_in, private_key_in
from mtlskit.core.validation import COMPATIBLE, Purpose, TrustStore, verify_path
from mtlskit.core.validation.certificate import ParsedCertificate, parse_certificate
from mtlskit.core.validation.checks import Question, faults
from mtlskit.core.validation.rules import Role
from mtlskit.errors import CertificateError, PathError
from mtlskit.fetch import preflight

LARGEST: Final = 1024 * 1024  # octets of a chain, a key or a PKCS #12
_MOST: Final = 16  # certificates
_BEGIN: Final = b"-----BEGIN"
_CERTIFICATE: Final = b"-----BEGIN CERTIFICATE-----"
_SEQUENCE: Final = b"\x30"


def read_chain(given: Secret, key: Secret, password: Secret) -> SigningChain:
    """The chain in PEM, and its key; raises CertificateError."""
    _check_pem(given, "a certificate chain")
    _check_pem(key, "a private key")
    certificates = certificates_in(given, "a certificate chain")
    _check_readable(certificates)
    return SigningChain(private_key_in(key, password), certificates)


def read_pkcs12(given: Secret, password: Secret) -> SigningChain:
    """The chain and the key in PKCS #12 (RFC 7292), whose certificates have no order; raises CertificateError."""
    _check_size(given, "PKCS#12")
    # What opens it takes the first of several keys. Those that are encrypted one by one, as usual, can be counted.
    demand = key_derivation.of_pkcs12(given.octets())
    if demand is not None and demand.keys > 1:
        raise CertificateError(f"expected PKCS#12 with one private key, got {demand.keys}")
    key, certificates = pkcs12_in(given, password)
    _check_readable(certificates)
    return SigningChain(key, _ordered(certificates))


def read_authorities(given: Secret) -> tuple[x509.Certificate, ...]:
    """CA certificates in PEM, where no key belongs; raises CertificateError."""
    _check_pem(given, "CA certificates")
    certificates = certificates_without_keys(given, "CA certificates")
    _check_readable(certificates)
    return certificates


def check_client(chain: SigningChain, now: datetime, trust: Sequence[x509.Certificate] = ()) -> None:
    """Raises CertificateError unless a server can accept the chain of a client at `now` (RFC 5280, 6; UTC-aware).

    With `trust`, the roots that the server trusts, also unless it leads to one of them.
    """
    certificates = chain.certificates
    _check_once(certificates)
    preflight.check_order(certificates)
    preflight.check_usable(chain, now)
    parsed = [parse_certificate(to_der(each)) for each in certificates]
    for place, each in enumerate(parsed):
        _check_one(each, _role(place, parsed), Purpose.CLIENT_AUTH, now, "a chain that servers accept")
    for certificate, issuer in pairwise(parsed):
        _check_key_identifier(certificate, issuer)
    if len(certificates) > 1:
        _check_path(certificates[:-1], certificates[-1:], now)
    if trust:
        _check_path(certificates, trust, now)


def check_authorities(certificates: Sequence[x509.Certificate], now: datetime) -> None:
    """Raises CertificateError unless each may be trusted as a CA of servers at `now` (UTC-aware)."""
    _check_once(certificates)
    for certificate in certificates:
        preflight.check_validity(certificate, now)
        parsed = parse_certificate(to_der(certificate))
        _check_one(parsed, Role.ANCHOR, Purpose.SERVER_AUTH, now, "a CA certificate that can be trusted")


def _check_pem(given: Secret, what: str) -> None:
    _check_size(given, f"{what} in PEM")
    if _BEGIN not in given.octets() and given.octets().startswith(_SEQUENCE):
        raise CertificateError(f"expected {what} in PEM, got DER or PKCS#12")
    # Before anything looks for their ends: blocks without one would be looked through again and again.
    if given.octets().count(_BEGIN) > _MOST + 2:  # a key, and its parameters as `openssl ecparam` writes them
        raise CertificateError(
            f"expected at most {_MOST} certificates, got {given.octets().count(_CERTIFICATE)} in {what}"
        )


def _check_size(given: Secret, what: str) -> None:
    if len(given.octets()) > LARGEST:
        raise CertificateError(f"expected {what} of at most {LARGEST} bytes, got {len(given.octets())}")


def _check_readable(certificates: Sequence[x509.Certificate]) -> None:
    if len(certificates) > _MOST:
        raise CertificateError(f"expected at most {_MOST} certificates, got {len(certificates)}")
    for place, certificate in enumerate(certificates):
        try:
            parsed = parse_certificate(to_der(certificate))
            told = "" if parsed.fault is None else parsed.fault.detail
            _texts = (certificate.subject.rfc4514_string(), certificate.issuer.rfc4514_string())
            _values = (certificate.extensions, certificate.public_key(), certificate.not_valid_after_utc)
        except PathError as error:
            told = error.detail
        except (*UNREADABLE, TypeError):
            told = "expected other contents"
        if told:
            raise CertificateError(f"expected a certificate that can be read, got another at place {place + 1}: {told}")


def _check_once(certificates: Sequence[x509.Certificate]) -> None:
    for place, certificate in enumerate(certificates):
        if certificate in certificates[:place]:
            raise CertificateError(
                f"expected each certificate once, got {preflight.subject_of(certificate)!r} more than once"
            )


def _role(place: int, parsed: Sequence[ParsedCertificate]) -> Role:
    if place == 0:
        return Role.LEAF
    is_root = place == len(parsed) - 1 and parsed[place].self_issued
    return Role.ANCHOR if is_root else Role.INTERMEDIATE


def _check_one(parsed: ParsedCertificate, role: Role, purpose: Purpose, now: datetime, wanted: str) -> None:
    for fault in faults(parsed, role, Question(purpose, now, COMPATIBLE, None)):
        raise _refused(wanted, fault, parsed.certificate)


def _check_key_identifier(certificate: ParsedCertificate, issuer: ParsedCertificate) -> None:
    named, found = certificate.authority_key_identifier, issuer.subject_key_identifier
    if named is not None and found is not None and named != found:
        raise CertificateError(
            f"expected the key identifier of the issuer {_shown(issuer)!r}, "
            f"got another as authority key identifier of {_shown(certificate)!r}"
        )


def _check_path(presented: Sequence[x509.Certificate], trust: Sequence[x509.Certificate], now: datetime) -> None:
    try:
        verify_path(
            PresentedChain.from_certificates(*presented), TrustStore(trust), purpose=Purpose.CLIENT_AUTH, now=now
        )
    except PathError as error:
        fault = error
    else:
        return
    raise _refused("a chain that servers accept", fault, fault.certificate or presented[-1])


def _refused(wanted: str, fault: PathError, certificate: x509.Certificate | None) -> CertificateError:
    which = "" if certificate is None else f": {preflight.subject_of(certificate)!r}"
    return CertificateError(
        f"expected {wanted}, got {fault.reason.value} ({fault.detail or 'no more is known'}){which}"
    )


def _shown(parsed: ParsedCertificate) -> str:
    return "" if parsed.certificate is None else preflight.subject_of(parsed.certificate)


def _ordered(certificates: Sequence[x509.Certificate]) -> tuple[x509.Certificate, ...]:
    """The leaf, which is the first, its issuer, the issuer's; raises CertificateError where one does not lead on."""
    chain, rest = [certificates[0]], list(certificates[1:])
    while (issuer := next(_issuers(chain[-1], rest), None)) is not None:
        chain.append(issuer)
        rest.remove(issuer)
    if rest:
        raise CertificateError(
            f"expected a chain from {preflight.subject_of(chain[0])!r} on, "
            f"got a certificate that is not part of it: {preflight.subject_of(rest[0])!r}"
        )
    return tuple(chain)


def _issuers(certificate: x509.Certificate, others: Sequence[x509.Certificate]) -> Iterator[x509.Certificate]:
    for other in others:
        try:
            certificate.verify_directly_issued_by(other)
        except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
            continue
        yield other
