"""A hold ends when it is released, in every list and for every gate at once; what lasts cannot be undone."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from cryptography import x509

from mtlskit.authority import CertificateAuthority, KeySigner, KeyType, Revocation, RevokedSerials
from mtlskit.authority.changes import ChangeKind, changes_after, last_change
from mtlskit.authority.ledger import RESERVATION, Reservation
from mtlskit.authority.serials import serial_key
from mtlskit.authority.signers import generate_key
from mtlskit.core.verdict import Allow, Deny
from mtlskit.errors import Conflict, IssuanceError, NotFound
from mtlskit.gate import Gate
from mtlskit.ports import Store
from mtlskit.testing.certificates import Authority

HOLD = "certificate_hold"


def events(store: Store) -> list[str]:
    with store.snapshot() as snapshot:
        return [row.event for row in snapshot.scan_audit() if row.event.startswith("certificate.re")]


@pytest.mark.parametrize(
    "form",
    [
        lambda device: device,
        lambda device: device.certificate,
        lambda device: device.serial_number,
        lambda device: f"{device.serial_number:X}",
        lambda device: f"decimal:{device.serial_number}",
    ],
)
def test_a_released_certificate_is_on_no_list(acme: CertificateAuthority, form: Callable[..., object]) -> None:
    device = acme.issue_client("device")
    held = acme.revoke(device, reason=HOLD)
    assert [each.serial_number for each in acme.crl()] == [device.serial_number]
    assert acme.release(form(device)) == held  # type: ignore[arg-type]
    assert list(acme.crl()) == []


@pytest.mark.invariant("I6")
def test_the_gate_lets_a_released_client_in_at_once(store: Store, acme: CertificateAuthority) -> None:
    gate = Gate(store)
    gate.hostnames.add("pay.acme.example", trust=[acme.certificate])
    device = acme.issue_client("device")
    verdicts = []
    for change in (lambda: None, lambda: acme.revoke(device, reason=HOLD), lambda: acme.release(device)):
        change()
        verdicts.append(type(gate.explain("pay.acme.example", certificate=device.chain_pem())))
    assert verdicts == [Allow, Deny, Allow]
    gate.close()


def test_releasing_again_is_without_effect(store: Store, acme: CertificateAuthority) -> None:
    device = acme.issue_client("device")
    assert acme.release(device) is None
    acme.revoke(device, reason=HOLD)
    assert acme.release(device) is not None
    with store.snapshot() as snapshot:
        before = last_change(snapshot, acme.key_id.hex())
    assert acme.release(device) is None
    with store.snapshot() as snapshot:
        assert last_change(snapshot, acme.key_id.hex()) == before
    assert events(store) == ["certificate.reserved", "certificate.revoked", "certificate.released"]


def test_a_certificate_can_be_held_again(acme: CertificateAuthority) -> None:
    device = acme.issue_client("device")
    for _ in range(3):
        held = acme.revoke(device, reason=HOLD)
        assert acme.revoke(device, reason=HOLD) == held
        assert acme.release(device) == held
    acme.revoke(device, reason="superseded")
    with pytest.raises(Conflict, match="superseded"):
        acme.release(device)


@pytest.mark.parametrize("reason", ["unspecified", "key_compromise"])
def test_what_lasts_cannot_be_undone(store: Store, acme: CertificateAuthority, reason: str) -> None:
    device = acme.issue_client("device")
    acme.revoke(device, reason=HOLD)
    acme.revoke(device, reason=reason)
    with pytest.raises(Conflict, match=f"on hold, got {device.serial_number:x}, revoked for good as {reason}"):
        acme.release(device)
    assert [each.serial_number for each in acme.crl()] == [device.serial_number]
    assert "certificate.released" not in events(store)


def test_what_was_not_issued_here_cannot_be_released(store: Store, acme: CertificateAuthority) -> None:
    theirs = CertificateAuthority.create("Umbrella", store=store).issue_client("device")
    for unknown in (theirs, theirs.serial_number, 1, "ff"):
        with pytest.raises(NotFound, match="'Acme devices'"):
            acme.release(unknown)
    with pytest.raises(IssuanceError, match="serial"):
        acme.release("no number")


def test_another_certificate_with_the_same_number_is_not_meant(store: Store) -> None:
    key = generate_key(KeyType.EC_P256)
    acme = CertificateAuthority.create("Acme", store=store, signer=KeySigner(key))
    device = acme.issue_client("device")
    twin = Authority(acme.certificate, key).leaf("device", serial_number=device.serial_number)
    for act in (acme.revoke, acme.release):
        for form in (twin, twin.certificate):
            with pytest.raises(NotFound):
                act(form)
    assert list(acme.crl()) == []


def test_a_reservation_stays_one_when_it_is_released(store: Store, acme: CertificateAuthority) -> None:
    issuer, now = acme.key_id.hex(), acme.certificate.not_valid_before_utc
    pending = Reservation(
        serial_number=7, tbs_sha256="", profile="client", subject="", requester="", reserved_at=now, not_after=now
    )
    with store.transaction() as transaction:
        transaction.insert(RESERVATION, issuer, serial_key(7), pending.to_json())
    assert acme.release(7) is None
    assert [each.serial_number for each in acme.pending()] == [7]
    acme.revoke(7, reason=HOLD)
    assert acme.pending() == ()
    assert acme.release(7) is not None


def test_holds_are_released_in_the_generation_that_they_belong_to(acme: CertificateAuthority) -> None:
    device = acme.issue_client("device")
    acme.rotation.prepare()
    acme.rotation.activate()
    acme.revoke(device, reason=HOLD)
    assert len(list(acme.crl(generation=1))) == 1
    assert acme.release(device) is not None
    assert list(acme.crl(generation=1)) == []


def test_every_change_is_written_down_in_its_order(store: Store, acme: CertificateAuthority) -> None:
    one, other = acme.issue_client("one"), acme.issue_client("other")
    held = acme.revoke(one, reason=HOLD)
    lasting = acme.revoke(one, reason="superseded")
    paused = acme.revoke(other, reason=HOLD)
    acme.release(other)
    with store.snapshot() as snapshot:
        changes = list(changes_after(snapshot, acme.key_id.hex(), 0))
        assert [each.number for each in changes] == [1, 2, 3, 4]
        assert last_change(snapshot, acme.key_id.hex()) == 4
        assert list(changes_after(snapshot, acme.key_id.hex(), 3)) == changes[3:]
    assert [each.revocation for each in changes] == [held, lasting, paused, paused]
    assert [each.left for each in changes] == [held, lasting, paused, None]
    assert [each.kind for each in changes] == [ChangeKind.REVOKED] * 3 + [ChangeKind.RELEASED]


def test_what_is_stored_is_read_again(acme: CertificateAuthority) -> None:
    device, below = (
        acme.issue_client("device"),
        CertificateAuthority.create("Below", store=acme._opened.store, parent=acme),
    )
    for certificate, role in ((device.certificate, "end_entity"), (below.certificate, "authority")):
        revocation = acme.revoke(certificate, reason=HOLD)
        assert revocation == acme.revoke(certificate, reason=HOLD)
        assert revocation.not_after == certificate.not_valid_after_utc
        assert revocation.role == role
        assert Revocation.from_text(serial_key(certificate.serial_number), revocation.to_text()) == revocation


@pytest.mark.invariant("I6")
def test_a_million_holds_would_not_be_read_for_one(store: Store, acme: CertificateAuthority) -> None:
    devices = [acme.issue_client(f"device-{number}") for number in range(3)]
    revoked = RevokedSerials(store)
    acme.revoke(devices[0], reason=HOLD)
    assert revoked.reason_of(acme.key_id, devices[0].serial_number) == HOLD
    known = revoked._by_issuer[acme.key_id].reasons
    acme.revoke(devices[1], reason="superseded")
    acme.release(devices[0])
    acme.revoke(devices[2], reason=HOLD)
    acme.revoke(devices[2], reason="key_compromise")
    assert [revoked.reason_of(acme.key_id, each.serial_number) for each in devices] == [
        None,
        "superseded",
        "key_compromise",
    ]
    assert revoked._by_issuer[acme.key_id].reasons is known  # changed in place, and not read anew
    revoked.close()


def test_the_reason_extension_is_that_of_the_standard(acme: CertificateAuthority) -> None:
    device = acme.issue_client("device")
    acme.revoke(device, reason=HOLD)
    (entry,) = acme.crl()
    assert entry.extensions.get_extension_for_class(x509.CRLReason).value.reason is x509.ReasonFlags.certificate_hold
