"""The OCSP responder (RFC 6960): a request in DER in, a response in DER out, for every generation of one authority.

What it says comes from the store at the moment of the request, so it says it of a revocation as soon as that is
acknowledged. A response is signed with the issuer's own key, or with that of a responder to which the issuer delegated
it. One that was signed a while ago serves again as long as it still says what the store says.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from cryptography import x509

from mtlskit.authority.authority import CertificateAuthority
from mtlskit.authority.generations import AuthorityRecord, Generation
from mtlskit.authority.ledger import CERTIFICATE, REVOCATION, CertificateRecord, Revocation
from mtlskit.authority.publishing.messages import (
    CertID,
    Malformed,
    OCSPRequest,
    ResponseStatus,
    SingleStatus,
    read_request,
    response_data,
    successful,
    unsuccessful,
)
from mtlskit.authority.publishing.voices import Voice, Voices, key_bits
from mtlskit.authority.serials import serial_key
from mtlskit.core.certificates import SigningChain
from mtlskit.errors import ConfigurationError, MTLSError, Unavailable
from mtlskit.locks import ForkSafeLock
from mtlskit.ports import Snapshot

_LOGGER: Final = logging.getLogger("mtlskit.authority")
_MOST_REMEMBERED: Final = 4_096
# By the octets of their object identifiers.
_HASHES: Final = {
    bytes.fromhex("2b0e03021a"): hashlib.sha1,
    bytes.fromhex("608648016503040201"): hashlib.sha256,
    bytes.fromhex("608648016503040202"): hashlib.sha384,
    bytes.fromhex("608648016503040203"): hashlib.sha512,
}
_Issuers = dict[tuple[bytes, bytes, bytes], Generation]


@dataclass(frozen=True, slots=True)
class OCSPAnswer:
    """A response in DER. Both moments (UTC) are None where it is unsuccessful.

    `is_reusable` tells whether it answers whoever asks the same: it has no nonce, and all it is about is known.
    """

    response: bytes
    status: ResponseStatus
    this_update: datetime | None = None
    next_update: datetime | None = None
    is_reusable: bool = False


class OCSPResponder:
    """Answers for one authority. May be shared between threads, and used on both sides of a fork."""

    def __init__(
        self,
        authority: CertificateAuthority,
        *,
        lifetime: timedelta = timedelta(hours=1),
        delegates: Iterable[SigningChain] = (),
    ) -> None:
        """`lifetime` is the time from thisUpdate to nextUpdate, a minute or more: so long may others keep a response.

        `delegates` are responders' certificates with their keys, each issued by the generation that it answers for,
        for OCSPSigning (`profiles.OCSP_RESPONDER`); without one, or while it is revoked or on hold, a generation's own
        key signs. Raises ConfigurationError.
        """
        if not isinstance(lifetime, timedelta) or lifetime < timedelta(minutes=1):
            raise ConfigurationError(f"expected a lifetime of a minute or more for OCSP responses, got {lifetime!r}")
        self._opened = authority._opened
        self._lifetime = lifetime
        self._voices = Voices(self._opened, delegates)
        self._known: tuple[AuthorityRecord | None, _Issuers] = (None, {})
        # By generation and certificate: who said what of it, and the answer.
        self._remembered: dict[tuple[int, bytes], tuple[tuple[Voice | None, SingleStatus], OCSPAnswer]] = {}
        self._lock = ForkSafeLock()

    def answer(self, request: bytes) -> OCSPAnswer:
        """The response to a request in DER. Never raises: what goes wrong is an unsuccessful response, and logged."""
        try:
            return self._answer(read_request(request))
        except Malformed:
            return _unsuccessful(ResponseStatus.MALFORMED_REQUEST)
        except MTLSError as error:
            # No traceback: whoever asks decides how many of these there are.
            is_passing = isinstance(error, Unavailable)
            level, cause = logging.WARNING if is_passing else logging.ERROR, error.__cause__ or "no other cause"
            _LOGGER.log(level, "an OCSP request could not be answered: %s (%s)", error, cause)
            return _unsuccessful(ResponseStatus.TRY_LATER if is_passing else ResponseStatus.INTERNAL_ERROR)
        except Exception:
            _LOGGER.exception("an OCSP request could not be answered")
            return _unsuccessful(ResponseStatus.INTERNAL_ERROR)

    def _answer(self, request: OCSPRequest) -> OCSPAnswer:
        issuers = self._issuers()
        first, *others = [issuers.get(_issuer_of(each)) for each in request.certificates]
        # One response has one signature, and no generation speaks for another's certificates.
        if first is None or any(each is not first for each in others):
            return _unsuccessful(ResponseStatus.UNAUTHORIZED)
        with self._opened.store.snapshot() as snapshot:
            statuses = [_status(snapshot, first.key_id, each) for each in request.certificates]
            delegate = self._voices.delegate(snapshot, first)
        if request.nonce is not None or len(statuses) > 1 or not statuses[0].is_known:
            return self._signed(first, delegate, statuses, request.nonce)
        return self._signed_once(first, delegate, statuses[0])

    def _signed_once(self, generation: Generation, delegate: Voice | None, status: SingleStatus) -> OCSPAnswer:
        key, now = (generation.number, status.certificate.der), self._opened.clock()
        said = (delegate, status)
        before, answer = self._remembered.get(key, (None, None))
        if before == said and answer is not None and self._is_fresh(answer, now):
            return answer
        answer = self._signed(generation, delegate, [status], None)
        with self._lock:
            if len(self._remembered) >= _MOST_REMEMBERED:
                self._remembered = {}
            self._remembered[key] = (said, answer)
        return answer

    def _is_fresh(self, answer: OCSPAnswer, now: datetime) -> bool:
        if answer.this_update is None or answer.next_update is None:
            return False
        return answer.this_update <= now < answer.this_update + (answer.next_update - answer.this_update) / 2

    def _signed(
        self, generation: Generation, delegate: Voice | None, statuses: list[SingleStatus], nonce: bytes | None
    ) -> OCSPAnswer:
        now = self._opened.clock().replace(microsecond=0)
        voice = self._voices.of(generation, delegate, now)
        if voice is None:
            return _unsuccessful(ResponseStatus.UNAUTHORIZED)
        return self._signed_by(voice, statuses, nonce, now)

    def _signed_by(self, voice: Voice, statuses: list[SingleStatus], nonce: bytes | None, now: datetime) -> OCSPAnswer:
        until = min(now + self._lifetime, voice.not_after)
        data = response_data(
            statuses, responder_key_hash=voice.key_hash, this_update=now, next_update=until, nonce=nonce
        )
        response = successful(voice.assembly.sign(data), voice.certificates)
        is_reusable = nonce is None and all(each.is_known for each in statuses)
        return OCSPAnswer(response, ResponseStatus.SUCCESSFUL, now, until, is_reusable)

    def _issuers(self) -> _Issuers:
        record = self._opened.latest()
        known, issuers = self._known
        if known is not record:
            issuers = {
                (oid, digest(each.certificate.subject.public_bytes()).digest(), digest(bits).digest()): each
                for each in record.generations
                for bits in (key_bits(each.certificate),)
                for oid, digest in _HASHES.items()
            }
            self._known = (record, issuers)
        return issuers


# RFC 6960, 4.1.1: the issuer is named under the hash that the request names.
def _issuer_of(certificate: CertID) -> tuple[bytes, bytes, bytes]:
    return certificate.hash_oid, certificate.name_hash, certificate.key_hash


def _status(snapshot: Snapshot, issuer: str, certificate: CertID) -> SingleStatus:
    serial = certificate.serial_number
    if not 0 <= serial < 1 << 160:
        return SingleStatus(certificate, is_known=False)
    revoked = snapshot.get(REVOCATION, issuer, serial_key(serial))
    if revoked is not None:
        revocation = Revocation.of(revoked)
        return SingleStatus(certificate, True, revocation.revoked_at, _number_of(revocation.reason))
    found = snapshot.get(CERTIFICATE, issuer, serial_key(serial))
    # A serial number that was only ever reserved is no certificate's.
    is_known = found is not None and CertificateRecord.from_bytes(found.value).der is not None
    return SingleStatus(certificate, is_known)


def _number_of(reason: str) -> int:
    return x509.CRLReason(x509.ReasonFlags[reason]).public_bytes()[-1]


def _unsuccessful(status: ResponseStatus) -> OCSPAnswer:
    return OCSPAnswer(unsuccessful(status), status)
