"""OCSP responses (RFC 6960): which of them count for a certificate, and what they say.

A response that fails a check is as if it were not there. `unknown` is not good, and neither is any status but
`successful`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from cryptography import x509
from cryptography.x509 import ocsp
from cryptography.x509.oid import OCSPExtensionOID

from mtlskit.core.certificates import to_der
from mtlskit.core.validation import der
from mtlskit.core.validation.algorithms import verifies
from mtlskit.core.validation.builder import Search
from mtlskit.core.validation.certificate import ParsedCertificate
from mtlskit.core.validation.checks import Question, is_faultless
from mtlskit.core.validation.names import same_name
from mtlskit.core.validation.rules import Role
from mtlskit.core.validation.standing import Currency, Standing, Status, StatusKind, StatusSource
from mtlskit.errors import ConfigurationError

_LARGEST = 64 * 1024  # octets of one response
_MOST = 16  # responses, and certificates in one
_KNOWN = frozenset({OCSPExtensionOID.NONCE})
_SINGLE_EXTENSIONS = 0xA1
_HASHES = {"sha1": hashlib.sha1, "sha256": hashlib.sha256, "sha384": hashlib.sha384, "sha512": hashlib.sha512}


@dataclass(frozen=True, slots=True)
class OCSPEvidence:
    """A response in DER, and the nonce that was sent with the request, if one was."""

    response: bytes = field(repr=False)
    nonce: bytes | None = None


def evidence_of(given: Iterable[OCSPEvidence | bytes]) -> tuple[OCSPEvidence, ...]:
    """The responses as evidence; raises ConfigurationError for what is neither bytes nor evidence."""
    if given == ():  # the usual case
        return ()
    found = tuple(OCSPEvidence(each) if isinstance(each, bytes) else each for each in given)
    if not all(isinstance(each, OCSPEvidence) for each in found):
        raise ConfigurationError("expected OCSP responses as bytes or OCSPEvidence, got something else")
    return found[:_MOST]


def said_by(
    evidence: OCSPEvidence, certificate: ParsedCertificate, issuer: ParsedCertificate, question: Question,
    search: Search, currency: Currency,
) -> Status | None:  # fmt: skip
    """What a response says of the certificate that `issuer` issued, if it counts and says anything."""
    response = _read(evidence)
    if response is None:
        return None
    for single in response.singles:
        said = _said_of(single, certificate, issuer, question.moment, currency)
        # Signatures last, and only of what would say something.
        if said is not None and _is_authentic(response, issuer, question, search):
            return said
    return None


def _said_of(
    single: Any, certificate: ParsedCertificate, issuer: ParsedCertificate, moment: datetime, currency: Currency
) -> Status | None:
    # The foreign parser reads each field when it is asked for, and raises what it likes then.
    try:
        return _said(single, moment, currency) if _is_about(single, certificate, issuer) else None
    except Exception:  # noqa: BLE001 - it says nothing that can be read
        return None


# RFC 6960, 4.4: none of the extensions of a single response changes what it says here; a critical one might.
def _usable_singles(tbs: bytes, response: ocsp.OCSPResponse) -> list[Any]:
    fields = der.children(tbs, *der.whole(der.SEQUENCE, tbs))
    start, stop = next((inner, outer) for _, tag, inner, outer in fields if tag == der.SEQUENCE)
    elements = [(inner, outer) for _, _, inner, outer in der.children(tbs, start, stop)]
    singles = zip(response.responses, elements, strict=True)
    return [single for single, (inner, outer) in singles if not _has_critical_extension(tbs, inner, outer)]


def _has_critical_extension(data: bytes, start: int, stop: int) -> bool:
    # certID, certStatus and thisUpdate go before; certStatus may have the same tag.
    for _, tag, inner, _ in list(der.children(data, start, stop))[3:]:
        if tag == _SINGLE_EXTENSIONS:
            first, last = der.expect(der.SEQUENCE, data, inner, stop)
            for _, _, begin, end in der.children(data, first, last):
                _, after = der.expect(der.OBJECT_IDENTIFIER, data, begin, end)
                if der.element(data, after, end)[0] == der.BOOLEAN:  # X.690, 11.5: FALSE is left out
                    return True
    return False


class _Response(NamedTuple):
    """A response taken apart: its usable answers, what is signed, how, and the certificates beside it."""

    singles: list[Any]
    tbs: bytes
    algorithm: bytes
    signature: bytes
    certificates: list[x509.Certificate]


# Whatever cannot be read makes it as if it were not there.
def _read(evidence: OCSPEvidence) -> _Response | None:
    if len(evidence.response) > _LARGEST:
        return None
    try:
        response = ocsp.load_der_ocsp_response(evidence.response)
        if response.response_status is not ocsp.OCSPResponseStatus.SUCCESSFUL:
            return None
        if not _extensions_allow(response.extensions, evidence.nonce):
            return None
        signed = _signed_parts(evidence.response)
        return _Response(_usable_singles(signed[0], response), *signed, response.certificates[:_MOST])
    except Exception:  # noqa: BLE001 - whatever the foreign parser raises, or ours: it is no response
        return None


# RFC 9654, 2.1: a nonce that was sent must come back.
def _extensions_allow(extensions: x509.Extensions, nonce: bytes | None) -> bool:
    found = {extension.oid: extension for extension in extensions}
    if any(extension.critical and oid not in _KNOWN for oid, extension in found.items()):
        return False
    return nonce is None or (
        OCSPExtensionOID.NONCE in found and found[OCSPExtensionOID.NONCE].value.nonce == nonce
    )  # fmt: skip


# RFC 6960, 4.2.2.2: the issuer's key, or that of a certificate which it issued directly for this.
def _is_authentic(response: _Response, issuer: ParsedCertificate, question: Question, search: Search) -> bool:
    for signer in (issuer, *_delegates(response, issuer, question, search)):
        search.budget.check_signature()
        if verifies(signer.key, response.algorithm, response.signature, response.tbs):
            return True
    return False


def _delegates(
    response: _Response, issuer: ParsedCertificate, question: Question, search: Search
) -> Iterator[ParsedCertificate]:
    for certificate in response.certificates:
        try:
            parsed = ParsedCertificate(to_der(certificate))
            delegated = (
                same_name(parsed.frame.issuer, issuer.frame.subject)
                and is_faultless(parsed, Role.RESPONDER, question)
                and search.is_signed_by(parsed, issuer)
            )
        except der.DERError:
            continue  # it comes with the response, and is nobody's responder
        if delegated:
            yield parsed


# RFC 6960, 4.2.1: OCSPResponse, ResponseBytes, BasicOCSPResponse.
def _signed_parts(data: bytes) -> tuple[bytes, bytes, bytes]:
    start, stop = der.whole(der.SEQUENCE, data)
    start, stop = der.last(data, start, stop)
    start, stop = der.expect(der.SEQUENCE, data, start, stop)
    start, stop = der.last(data, start, stop)
    start, stop = der.expect(der.SEQUENCE, data, start, stop)
    _, tbs = der.expect(der.SEQUENCE, data, start, stop)
    _, algorithm = der.expect(der.SEQUENCE, data, tbs, stop)
    first, last = der.expect(der.BIT_STRING, data, algorithm, stop)
    return data[start:tbs], data[tbs:algorithm], data[der.unsigned_bits(data, first, last) : last]


# RFC 6960, 4.1.1: the CertID matches whole, under the hash that it names.
def _is_about(single: Any, certificate: ParsedCertificate, issuer: ParsedCertificate) -> bool:
    digest = _HASHES.get(single.hash_algorithm.name)
    if digest is None or single.serial_number != certificate.frame.serial:
        return False
    name, key = digest(certificate.frame.issuer).digest(), digest(_key_bits(issuer.frame.spki)).digest()
    return bool(single.issuer_name_hash == name and single.issuer_key_hash == key)


def _key_bits(spki: bytes) -> bytes:
    start, stop = der.whole(der.SEQUENCE, spki)
    _, after = der.expect(der.SEQUENCE, spki, start, stop)
    first, last = der.expect(der.BIT_STRING, spki, after, stop)
    return spki[der.unsigned_bits(spki, first, last) : last]


def _said(single: Any, moment: datetime, currency: Currency) -> Status | None:
    since, until = single.this_update_utc, single.next_update_utc
    if not currency.counts(since, until, moment):
        return None
    sources = (StatusSource(StatusKind.RESPONSE, since, until),)
    if single.certificate_status is ocsp.OCSPCertStatus.GOOD:
        return Status(Standing.GOOD, until=until, sources=sources)
    if single.certificate_status is ocsp.OCSPCertStatus.REVOKED:
        reason = single.revocation_reason
        return Status(Standing.REVOKED, "unspecified" if reason is None else reason.name, until, sources)
    return None
