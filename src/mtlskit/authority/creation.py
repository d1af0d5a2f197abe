"""Making an authority: a key that is sealed at once, and a root certificate whose name carries its generation."""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta
from typing import Final

from cryptography import x509

from mtlskit.authority.assembly import Assembly
from mtlskit.authority.ledger import (
    AUTHORITY,
    AUTHORITY_KEY,
    CERTIFICATE,
    AuthorityRecord,
    CertificateRecord,
    Generation,
    Reservation,
)
from mtlskit.authority.serials import draw_serial, serial_key
from mtlskit.authority.signers import KeySigner, KeyType, generate_key
from mtlskit.authority.topics import authority_topic
from mtlskit.core.certificates import public_key_id
from mtlskit.core.profiles import ROOT, Names, certificate_builder, checked_common_name, validity
from mtlskit.errors import NotFound
from mtlskit.ports import Store

_LONGEST_NAME: Final = 58  # leaves room for " G" and the generation in a common name of 64 octets


def authority_name(text: str) -> str:
    """A name for an authority: 1 to 58 octets of printable UTF-8; raises IssuanceError."""
    return checked_common_name(text, longest=_LONGEST_NAME)


def make_root(
    name: str, *, store: Store, key_type: KeyType, lifetime: timedelta, requester: str, now: datetime
) -> tuple[AuthorityRecord, KeySigner]:
    """A new authority with its first generation, stored; raises Conflict if there is one of that name.

    Key, certificate and audit row are stored in one transaction, before anyone has seen the certificate: if it does
    not commit, there was no such key.
    """
    signer = KeySigner(generate_key(key_type))
    der, reservation = _sign_root(f"{name} G1", signer, lifetime=lifetime, requester=requester, now=now)
    certificate = x509.load_der_x509_certificate(der)
    key_id = public_key_id(certificate).hex()
    record = AuthorityRecord(name=name, generations=(Generation(number=1, certificate=certificate),))
    sealed = store.seal(signer.to_der(), context=_context(key_id))
    with store.transaction() as transaction:
        transaction.insert(AUTHORITY, "", name, record.to_json())
        transaction.insert(AUTHORITY_KEY, "", key_id, sealed)
        issued = CertificateRecord(reservation=reservation, der=der)
        transaction.insert(CERTIFICATE, key_id, serial_key(reservation.serial_number), issued.to_bytes())
        transaction.append_audit(
            "authority.created",
            {
                "authority": name,
                "issuer_key": key_id,
                "serial": f"{reservation.serial_number:x}",
                "key_type": key_type.value,
                "requester": requester,
            },
        )
        transaction.touch(authority_topic(name))
    return record, signer


def open_signer(store: Store, key_id: str) -> KeySigner:
    """The signer with the sealed key of that id; raises NotFound, and StoreError where it does not open."""
    with store.snapshot() as snapshot:
        found = snapshot.get(AUTHORITY_KEY, "", key_id)
    if found is None:
        raise NotFound(f"expected the private key with the id {key_id[:16]}..., got none in the store")
    return KeySigner.from_der(store.unseal(found.value, context=_context(key_id)))


def _sign_root(
    common_name: str, signer: KeySigner, *, lifetime: timedelta, requester: str, now: datetime
) -> tuple[bytes, Reservation]:
    names, serial = Names.of(common_name), draw_serial()
    life = validity(ROOT, now=now, lifetime=lifetime, issuer=None)
    builder = certificate_builder(
        ROOT, names=names, public_key=signer.public_key(), issuer=None, serial_number=serial, validity=life
    )
    assembly = Assembly(signer)
    to_be_signed = assembly.to_be_signed(builder)
    reservation = Reservation(
        serial_number=serial,
        tbs_sha256=hashlib.sha256(to_be_signed).hexdigest(),
        profile=ROOT.name,
        subject=str(names),
        requester=requester,
        reserved_at=now,
        not_after=life.not_after,
    )
    return assembly.sign(to_be_signed), reservation


def _context(key_id: str) -> str:
    return f"authority-key:{key_id}"
