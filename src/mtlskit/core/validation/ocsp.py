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
from mtlskit.errors import ConfigurationError

_LARGEST = 64 * 1024  # octets of one response
_MOST = 16  # responses, and certificates in one
_KNOWN = frozenset({OCSPExtensionOID.NONCE})
_HASHES = {"sha1": hashlib.sha1, "sha256": hashlib.sha256, "sha384": hashlib.sha384, "sha512": hashlib.sha512}


@dataclass(frozen=True, slots=True)
class OCSPEvidence:
    """A response in DER, and the nonce that was sent with the request, if one was."""

    response: bytes = field(repr=False)
    nonce: bytes | None = None


class Said(NamedTuple):
    """What a response says: why the certificate is revoked (None: it is good), and until when that holds."""

    why: str | None
    until: datetime


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
    search: Search,
) -> Said | None:  # fmt: skip
    """What a response says of the certificate that `issuer` issued, if it counts and says anything."""
    response = _read(evidence)
    if response is None or not _is_authentic(evidence.response, response, issuer, question, search):
        return None
    for single in response.responses:
        if _is_about(single, certificate, issuer) and (said := _said(single, question.moment)) is not None:
            return said
    return None


def _read(evidence: OCSPEvidence) -> ocsp.OCSPResponse | None:
    if len(evidence.response) > _LARGEST:
        return None
    try:
        response = ocsp.load_der_ocsp_response(evidence.response)
        usable = response.response_status is ocsp.OCSPResponseStatus.SUCCESSFUL and _extensions_allow(
            response.extensions, evidence.nonce
        )
    except Exception:  # noqa: BLE001 - whatever the foreign parser raises: it is no response
        return None
    return response if usable else None


# RFC 9654, 2.1: a nonce that was sent must come back.
def _extensions_allow(extensions: x509.Extensions, nonce: bytes | None) -> bool:
    found = {extension.oid: extension for extension in extensions}
    if any(extension.critical and oid not in _KNOWN for oid, extension in found.items()):
        return False
    return nonce is None or (
        OCSPExtensionOID.NONCE in found and found[OCSPExtensionOID.NONCE].value.nonce == nonce
    )  # fmt: skip


# RFC 6960, 4.2.2.2: the issuer's key, or that of a certificate which it issued directly for this.
def _is_authentic(
    data: bytes, response: ocsp.OCSPResponse, issuer: ParsedCertificate, question: Question, search: Search
) -> bool:
    tbs, algorithm, signature = _signed_parts(data)
    for signer in (issuer, *_delegates(response, issuer, question, search)):
        search.budget.check_signature()
        if verifies(signer.key, algorithm, signature, tbs):
            return True
    return False


def _delegates(
    response: ocsp.OCSPResponse, issuer: ParsedCertificate, question: Question, search: Search
) -> Iterator[ParsedCertificate]:
    for certificate in response.certificates[:_MOST]:
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
    *_, (_, _, start, stop) = der.children(data, start, stop)
    start, stop = der.expect(der.SEQUENCE, data, start, stop)
    *_, (_, _, start, stop) = der.children(data, start, stop)
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


def _said(single: Any, moment: datetime) -> Said | None:
    until = single.next_update_utc
    if until is None or not single.this_update_utc <= moment <= until:
        return None
    if single.certificate_status is ocsp.OCSPCertStatus.GOOD:
        return Said(None, until)
    if single.certificate_status is ocsp.OCSPCertStatus.REVOKED:
        reason = single.revocation_reason
        return Said("unspecified" if reason is None else reason.name, until)
    return None
