"""Who signs the OCSP responses of a generation: its own key, or a responder to which it delegated that.

RFC 6960, 4.2.2.2: a delegate's certificate is issued directly by the key that it speaks for, for OCSPSigning. Those who
check a response do not ask whether its responder was revoked (4.2.2.2.1, id-pkix-ocsp-nocheck), so that is asked here.

A responder signs thousands of responses, and whoever asks decides how many: the audit log gets no row for each, but one
(`ocsp.started`) before a responder first signs with a key.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.x509.oid import ExtendedKeyUsageOID

from mtlskit.authority.assembly import Assembly
from mtlskit.authority.generations import Generation
from mtlskit.authority.ledger import REVOCATION
from mtlskit.authority.opened import OpenedAuthority
from mtlskit.authority.serials import serial_key
from mtlskit.authority.signers import KeySigner
from mtlskit.core.certificates import SigningChain, to_der
from mtlskit.core.validation import der
from mtlskit.core.validation.frame import read_frame
from mtlskit.errors import ConfigurationError
from mtlskit.ports import Snapshot


@dataclass(frozen=True, slots=True)
class Voice:
    """A key that signs, the SHA-1 of its octets (RFC 6960, 4.2.1: KeyHash), and the certificates to send with it.

    `serial` is its certificate's serial number as the store has it.
    """

    assembly: Assembly
    key_hash: bytes
    serial: str
    certificates: tuple[bytes, ...]
    not_before: datetime
    not_after: datetime


class Voices:
    """Those of one authority. Raises ConfigurationError for a delegate that no generation has made one."""

    def __init__(self, opened: OpenedAuthority, delegates: Iterable[SigningChain]) -> None:
        self._opened = opened
        self._delegated: dict[str, Voice] = {}
        self._started: frozenset[tuple[str, bytes]] = frozenset()
        generations = opened.latest().generations
        for each in delegates:
            if not isinstance(each, SigningChain):
                raise ConfigurationError(f"expected a responder as SigningChain, got {type(each).__name__}")
            self._delegated[_issuer_of(each.certificate, generations).key_id] = _voice(
                Assembly(KeySigner(each.private_key)), each.certificate, (to_der(each.certificate),)
            )

    def delegate(self, snapshot: Snapshot, generation: Generation) -> Voice | None:
        """Who speaks for a generation in its place; None where nobody does, or who did is revoked or on hold."""
        voice = self._delegated.get(generation.key_id)
        if voice is None or snapshot.get(REVOCATION, generation.key_id, voice.serial) is not None:
            return None
        return voice

    def of(self, generation: Generation, delegate: Voice | None, now: datetime) -> Voice | None:
        """What signs for a generation at this moment (UTC-aware); None where its certificate is not valid then.

        Without its `delegate` that is its own key. The first time, an audit row is durable before it is given. Raises
        StoreError.
        """
        voice = delegate or _voice(self._opened.issuing(generation).assembly, generation.certificate, ())
        if not voice.not_before <= now < voice.not_after:
            return None
        if (generation.key_id, voice.key_hash) not in self._started:
            self._note(generation, voice)
        return voice

    def _note(self, generation: Generation, voice: Voice) -> None:
        with self._opened.store.transaction() as transaction:
            transaction.append_audit(
                "ocsp.started",
                {
                    "authority": self._opened.name,
                    "issuer_key": generation.key_id,
                    "generation": str(generation.number),
                    "signer": "delegate" if voice.certificates else "issuer",
                    "signer_key_sha1": voice.key_hash.hex(),
                },
            )
        self._started |= {(generation.key_id, voice.key_hash)}


def key_bits(certificate: x509.Certificate) -> bytes:
    """The octets of a certificate's public key, of which issuerKeyHash is the hash (RFC 6960, 4.1.1)."""
    spki = read_frame(to_der(certificate)).spki
    start, stop = der.whole(der.SEQUENCE, spki)
    _, after = der.expect(der.SEQUENCE, spki, start, stop)
    first, last = der.expect(der.BIT_STRING, spki, after, stop)
    return spki[der.unsigned_bits(spki, first, last) : last]


def _voice(assembly: Assembly, certificate: x509.Certificate, certificates: tuple[bytes, ...]) -> Voice:
    return Voice(
        assembly=assembly,
        key_hash=hashlib.sha1(key_bits(certificate)).digest(),  # noqa: S324 - a name, and no protection
        serial=serial_key(certificate.serial_number),
        certificates=certificates,
        not_before=certificate.not_valid_before_utc,
        not_after=certificate.not_valid_after_utc,
    )


def _issuer_of(certificate: x509.Certificate, generations: Iterable[Generation]) -> Generation:
    usages = [each.value for each in certificate.extensions if isinstance(each.value, x509.ExtendedKeyUsage)]
    if not any(ExtendedKeyUsageOID.OCSP_SIGNING in usage for usage in usages):
        raise ConfigurationError("expected a responder's certificate for OCSPSigning, got one for something else")
    for generation in generations:
        try:
            certificate.verify_directly_issued_by(generation.certificate)
        except (InvalidSignature, TypeError, UnsupportedAlgorithm, ValueError):
            continue
        return generation
    raise ConfigurationError("expected a responder's certificate that this authority issued, got another")
