"""What an operator writes about a hostname, read into values: one clear error for each thing that cannot be used."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from importlib import import_module
from typing import Any, TypeAlias

from cryptography import x509

from mtlskit.core.certificates import SigningChain, read_certificate, to_der
from mtlskit.core.given import member
from mtlskit.core.policy import AccessPolicy
from mtlskit.core.validation import TrustAnchor
from mtlskit.core.validation.algorithms import key_weakness
from mtlskit.core.validation.certificate import ParsedCertificate
from mtlskit.errors import ConfigurationError
from mtlskit.gate.anchor_index import SharedAnchors
from mtlskit.revocation import GivenList, ListSource, WebSource, source_of

Anchor: TypeAlias = "x509.Certificate | TrustAnchor | bytes | str"

_MOST_LISTS = 16
_LONGEST_GIVEN = 256 * 1024  # octets of a record's lists: about 7,000 entries, which are read when it is first used


def sequence(value: Any, what: str) -> Sequence[Any]:
    """The items; raises ConfigurationError for one thing in the place of a sequence."""
    if isinstance(value, (str, bytes, x509.Certificate, x509.CertificateRevocationList, TrustAnchor)):
        raise ConfigurationError(f"expected a sequence of {what}, got {type(value).__name__}")
    return list(value)


def anchor(given: Anchor) -> TrustAnchor:
    """A trust anchor; raises ConfigurationError or CertificateError."""
    if isinstance(given, TrustAnchor):
        return given
    return TrustAnchor(issuer(given, "a CA certificate as trust anchor"))


def issuer(given: x509.Certificate | bytes | str, what: str) -> x509.Certificate:
    """A CA certificate that could be in a path now or later; raises ConfigurationError or CertificateError."""
    certificate = given if isinstance(given, x509.Certificate) else _one(given, what)
    _check_authority(certificate, what)
    fault = _fault(certificate)
    if fault:
        raise ConfigurationError(f"expected {what} that can be in a path, got {_subject(certificate)}: {fault}")
    return certificate


def _check_authority(certificate: x509.Certificate, what: str) -> None:
    try:
        constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
    except (x509.ExtensionNotFound, ValueError):
        raise ConfigurationError(f"expected {what}, got {_subject(certificate)} without basic constraints") from None
    if not constraints.ca:
        raise ConfigurationError(f"expected {what}, got the end-entity certificate {_subject(certificate)}")


# What no moment to come will mend. One that is not valid yet may be trusted beforehand.
def _fault(certificate: x509.Certificate) -> str:
    try:
        parsed = ParsedCertificate(to_der(certificate))
        told = parsed.fault.detail if parsed.fault is not None else key_weakness(parsed.frame.spki)
    except ValueError as error:
        return str(error)
    if told is None and parsed.not_after < datetime.now(UTC):
        return f"expected one that has not ended, got one until {parsed.not_after.isoformat()}"
    return told or ""


def shared_anchors(given: SharedAnchors | str) -> SharedAnchors:
    """The member of that value; raises ConfigurationError."""
    return member(SharedAnchors, given, "shared_anchors")


def server_chain(given: Any) -> SigningChain | None:
    """A signing chain or None; raises ConfigurationError."""
    if given is None or isinstance(given, SigningChain):
        return given
    raise ConfigurationError(f"expected a server certificate with its key (SigningChain), got {type(given).__name__}")


def policies(given: Any) -> tuple[AccessPolicy, ...]:
    """Access policies; raises ConfigurationError."""
    found = tuple(given)
    for policy in found:
        if not isinstance(policy, AccessPolicy):
            raise ConfigurationError(f"expected access policies, got {type(policy).__name__}")
    return found


def lists(given: Any) -> tuple[bytes | str, ...]:
    """Sources of revocation lists as a record keeps them, DER or a URL; raises ConfigurationError, CertificateError."""
    sources = list(dict.fromkeys(map(source_of, sequence(given, "revocation lists"))))
    if len(sources) > _MOST_LISTS:
        raise ConfigurationError(f"expected at most {_MOST_LISTS} revocation lists, got {len(sources)}")
    size = sum(len(source.der) for source in sources if isinstance(source, GivenList))
    if size > _LONGEST_GIVEN:
        raise ConfigurationError(
            f"expected at most {_LONGEST_GIVEN} octets of revocation lists in a record, got {size}: "
            "give a longer one as a file: or https: URL"
        )
    if any(isinstance(source, WebSource) for source in sources):
        import_module("mtlskit.revocation.http")  # raises where its extra is missing
    return tuple(map(_kept, sources))


def _kept(source: ListSource) -> bytes | str:
    return source.der if isinstance(source, GivenList) else str(source)


def _one(given: bytes | str, what: str) -> x509.Certificate:
    if not isinstance(given, bytes | str):
        raise ConfigurationError(f"expected {what}, got {type(given).__name__}")
    return read_certificate(given, what=what)


def _subject(certificate: x509.Certificate) -> str:
    return repr(certificate.subject.rfc4514_string())
