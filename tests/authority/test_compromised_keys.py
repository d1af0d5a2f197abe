"""A key that somebody else has: all certificates for it end together, and no authority ever certifies it again."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa

from mtlskit.authority import (
    CertificateAuthority,
    CertificateOrder,
    Filled,
    RevokedSerials,
    Unfilled,
    issuance,
    revocation,
)
from mtlskit.authority.orders import for_request
from mtlskit.authority.signers import KeySigner
from mtlskit.core.certificates import PrivateKey, SigningChain, public_key_id
from mtlskit.core.profiles import CLIENT, Names
from mtlskit.errors import IssuanceError, Unavailable
from mtlskit.ports import Store
from mtlskit.testing.certificates import Authority, name_of, new_key
from support import der

from .meddling import Meddling
from .test_takeover import last_list, taken

REFUSED = "^public_key: .*revoked for key_compromise"


def request_for(key: Any, common_name: str = "device") -> bytes:
    plain = isinstance(key, ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey)
    builder = x509.CertificateSigningRequestBuilder(name_of(common_name))
    return builder.sign(key, None if plain else hashes.SHA256()).public_bytes(serialization.Encoding.DER)


def signed(authority: CertificateAuthority, key: Any, **settings: Any) -> x509.Certificate:
    return authority.sign_request(request_for(key), **settings).certificates()[0]


def reasons(store: Store, authority: CertificateAuthority, *certificates: x509.Certificate) -> list[str | None]:
    """Why each is revoked, whatever generation of the authority issued it."""
    revoked = RevokedSerials(store)
    keys = {each.certificate.subject: public_key_id(each.certificate) for each in authority.generations}
    found = [revoked.reason_of(keys[each.issuer], each.serial_number) for each in certificates]
    revoked.close()
    return found


@pytest.mark.invariant("I10")
def test_no_way_leads_to_another_certificate_for_it(store: Store, acme: CertificateAuthority) -> None:
    key = new_key()
    lost = signed(acme, key)
    other = CertificateAuthority.create("Other", store=store)
    theirs = signed(other, key)
    acme.revoke(lost, reason="key_compromise")
    chain = SigningChain(key, [Authority.root("Old", key=key).certificate])
    fresh = acme.issue_client("fresh")
    ways: list[Callable[[], object]] = [
        lambda: signed(acme, key),
        lambda: signed(other, key),
        lambda: other.renew(theirs),
        lambda: acme.rekey(fresh, request=request_for(key, "fresh")),
        lambda: CertificateAuthority.create("Below", store=store, parent=acme, signer=KeySigner(key)),
        lambda: CertificateAuthority.create("Root", store=store, signer=KeySigner(key)),
        lambda: CertificateAuthority.take_over("Old", chain, store=store),
        lambda: other.rotation.prepare(signer=KeySigner(key)),
    ]
    for way in ways:
        with pytest.raises(IssuanceError, match=REFUSED):
            way()
    assert acme.pending() == other.pending() == ()
    assert [each.name for each in CertificateAuthority.list(store)] == ["Acme devices", "Other"]
    assert signed(acme, new_key())


def test_of_a_batch_only_the_orders_for_it_are_refused(acme: CertificateAuthority) -> None:
    keys = [new_key() for _ in range(5)]
    for at in (1, 3):
        acme.revoke(signed(acme, keys[at]), reason="key_compromise")
    outcomes = list(acme.issue_many([CertificateOrder(request=request_for(each)) for each in keys]))
    assert [isinstance(each, Filled) for each in outcomes] == [True, False, True, False, True]
    told = [str(each.error) for each in outcomes if isinstance(each, Unfilled)]
    assert all("revoked for key_compromise" in each for each in told)
    assert acme.pending() == ()


@pytest.mark.parametrize("kind", ["ec", "p384", "rsa", "ed25519", "ed448"])
def test_all_certificates_for_it_end_in_all_generations(store: Store, acme: CertificateAuthority, kind: str) -> None:
    key: PrivateKey = {
        "ec": new_key,
        "p384": lambda: ec.generate_private_key(ec.SECP384R1()),
        "rsa": lambda: rsa.generate_private_key(public_exponent=65537, key_size=2048),
        "ed25519": ed25519.Ed25519PrivateKey.generate,
        "ed448": ed448.Ed448PrivateKey.generate,
    }[kind]()
    first, other = signed(acme, key), acme.issue_client("other").certificate
    twin = acme.renew(first).certificates()[0]
    held = acme.renew(first).certificates()[0]
    replaced = acme.renew(first).certificates()[0]
    acme.revoke(held, reason="certificate_hold")
    acme.revoke(replaced, reason="superseded")
    acme.rotation.prepare()
    acme.rotation.activate()
    newer = acme.renew(first).certificates()[0]
    acme.revoke(twin, reason="key_compromise", requester="alice")
    wanted = ["key_compromise"] * 4 + ["superseded", None]
    assert reasons(store, acme, first, twin, held, newer, replaced, other) == wanted
    with store.snapshot() as snapshot:
        rows = [row for row in snapshot.scan_audit() if row.event in ("certificate.revoked", "key.compromised")]
    assert [row.event for row in rows].count("key.compromised") == 1
    assert {row.details["requester"] for row in rows[2:]} == {"alice"}


def test_a_reason_that_says_nothing_of_the_key_ends_one_certificate(store: Store, acme: CertificateAuthority) -> None:
    key = new_key()
    first, second = signed(acme, key), signed(acme, key)
    acme.revoke(first, reason="superseded")
    assert reasons(store, acme, first, second) == ["superseded", None]
    assert signed(acme, key)


def test_it_may_be_said_of_a_certificate_that_is_revoked_already(store: Store, acme: CertificateAuthority) -> None:
    key = new_key()
    first, second = signed(acme, key), signed(acme, key)
    acme.revoke(first, reason="superseded")
    assert acme.revoke(first, reason="key_compromise").reason == "superseded", "the first revocation stays"
    assert reasons(store, acme, second) == ["key_compromise"]
    with pytest.raises(IssuanceError, match=REFUSED):
        signed(acme, key)
    alone = new_key()
    only = signed(acme, alone)
    for reason in ("superseded", "key_compromise"):
        acme.revoke(only, reason=reason)
    with pytest.raises(IssuanceError, match=REFUSED):
        signed(acme, alone)


@pytest.mark.parametrize("again", ["key_compromise", "unspecified"])
def test_what_was_interrupted_is_finished_by_the_next_call(
    store: Store, acme: CertificateAuthority, monkeypatch: pytest.MonkeyPatch, again: str
) -> None:
    key = new_key()
    first, *twins = (signed(acme, key) for _ in range(8))
    monkeypatch.setattr(revocation, "_PAGE", 3)
    original, calls = revocation.adopt, iter(range(100))

    def adopt(*given: Any, **told: Any) -> Any:
        if next(calls) == 6:
            raise Unavailable("the disk is full")
        return original(*given, **told)

    monkeypatch.setattr(revocation, "adopt", adopt)
    with pytest.raises(Unavailable):
        acme.revoke(first, reason="key_compromise")
    assert reasons(store, acme, first) == ["key_compromise"]
    assert None in reasons(store, acme, *twins)
    with pytest.raises(IssuanceError, match=REFUSED):
        signed(acme, key)
    acme.revoke(first, reason=again)
    assert set(reasons(store, acme, *twins)) == {"key_compromise"}


@pytest.mark.invariant("I10")
@pytest.mark.parametrize("many", [False, True], ids=["one", "a batch"])
def test_what_is_being_signed_meanwhile_does_not_leave(
    acme: CertificateAuthority, monkeypatch: pytest.MonkeyPatch, many: bool
) -> None:
    key = new_key()
    lost = signed(acme, key)
    original = KeySigner.sign

    def sign(self: KeySigner, data: bytes) -> bytes:
        monkeypatch.setattr(KeySigner, "sign", original)
        acme.revoke(lost, reason="key_compromise")
        return original(self, data)

    monkeypatch.setattr(KeySigner, "sign", sign)
    orders = [CertificateOrder("fine"), CertificateOrder(request=request_for(key))] if many else []
    told = [str(each.error) if isinstance(each, Unfilled) else "" for each in acme.issue_many(orders)]
    if not many:
        with pytest.raises(IssuanceError, match="revoked meanwhile"):
            signed(acme, key)
    assert ["revoked meanwhile" in each for each in told] == ([False, True] if many else [])
    assert acme.pending() == ()
    assert len(list(acme.crl())) == 2


@pytest.mark.invariant("I10")
@pytest.mark.parametrize("at", range(1, 6))
def test_what_is_recorded_between_two_looks_is_found(store: Store, acme: CertificateAuthority, at: int) -> None:
    key = new_key()
    lost = signed(acme, key)
    issuing = acme._opened.issuing()
    order = for_request(request_for(key), CLIENT, Names.of("device"), None, "", datetime.now(UTC))
    (draft,) = issuance.reserve_all(issuing, [issuance.draft_of(issuing, order)])
    made = [(draft, issuance.sign(issuing.assembly, draft))]

    def meanwhile(reading: int) -> None:
        if reading == at:
            issuance.record_all(issuing, made)

    other = CertificateAuthority.open(acme.name, store=Meddling(store, lambda _: None))  # type: ignore[arg-type]
    other._opened.store = Meddling(store, meanwhile)  # type: ignore[assignment]
    other.revoke(lost, reason="key_compromise")
    assert {each.serial_number for each in acme.crl()} == {lost.serial_number, draft.reservation.serial_number}
    assert acme.pending() == ()


def test_what_has_ended_is_left_alone(store: Store) -> None:
    now = [datetime.now(UTC)]
    acme = CertificateAuthority.create("Acme", store=store, clock=lambda: now[0])
    key = new_key()
    short, long = signed(acme, key, lifetime=timedelta(hours=1)), signed(acme, key)
    now[0] += timedelta(hours=2)
    acme.revoke(long, reason="key_compromise")
    assert reasons(store, acme, short, long) == [None, "key_compromise"]


def test_what_is_recorded_later_is_revoked_with_it(store: Store) -> None:
    old, key = Authority.root("Old"), new_key()
    first, second, third = (old.leaf(name, key=key).certificate for name in ("first", "second", "third"))
    authority = taken(store, old, None)
    authority.record([first])
    authority.revoke(first, reason="key_compromise")
    authority.record([second, third, old.leaf("other").certificate])
    assert reasons(store, authority, first, second, third) == ["key_compromise"] * 3
    assert len(list(authority.crl())) == 3


def test_the_last_list_from_before_may_tell_it(store: Store) -> None:
    old, key = Authority.root("Old"), new_key()
    first, second = (old.leaf(name, key=key).certificate for name in ("first", "second"))
    authority = taken(store, old, last_list(old, [(first.serial_number, x509.ReasonFlags.key_compromise)]))
    authority.record([second])
    here = signed(authority, key, lifetime=timedelta(days=1))
    assert reasons(store, authority, second, here) == [None, None], "nobody knows the key yet"
    authority.record([first])
    assert reasons(store, authority, first, second, here) == ["key_compromise"] * 3
    with pytest.raises(IssuanceError, match=REFUSED):
        signed(authority, key, lifetime=timedelta(days=1))


def test_the_key_is_found_however_the_certificate_writes_it(store: Store) -> None:
    old, key = Authority.root("Old"), new_key()
    usual, compressed = old.leaf("usual", key=key).certificate, compressed_point(old, key)
    authority = taken(store, old, None)
    authority.record([usual, compressed])
    authority.revoke(usual, reason="key_compromise")
    assert reasons(store, authority, compressed) == ["key_compromise"]


def compressed_point(issuer: Authority, key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    point = key.public_key().public_bytes(serialization.Encoding.X962, serialization.PublicFormat.CompressedPoint)
    fields = der.Fields.of(der.der_of(issuer.leaf("compressed", key=key).certificate))
    algorithm, _ = der.elements(der.content(fields.spki))
    changed = fields.but(spki=der.seq(algorithm, der.encode(0x03, b"\0", point)))
    return x509.load_der_x509_certificate(changed.sign(issuer.key))


def test_a_key_of_a_kind_that_is_not_certified_here_is_left_alone(store: Store) -> None:
    old = Authority.root("Old")
    odd = old.leaf("odd", key=dsa.generate_private_key(2048)).certificate  # type: ignore[arg-type]
    authority = taken(store, old, None)
    authority.record([odd])
    assert authority.revoke(odd, reason="key_compromise").reason == "key_compromise"
