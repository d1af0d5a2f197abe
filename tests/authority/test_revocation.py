"""Revocation: durable, idempotent, in the next list, and seen at once by those who judge connections."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

from mtlskit.authority import CertificateAuthority, RevocationReason, RevokedSerials, crl_der, crl_pem
from mtlskit.authority.topics import revocation_topic
from mtlskit.errors import IssuanceError, NotFound, Unavailable
from mtlskit.ports import EVERYTHING, Store
from mtlskit.stores import open_store

from .conftest import KEYS


def entry(revocation_list: x509.CertificateRevocationList, serial: int) -> x509.RevokedCertificate | None:
    return revocation_list.get_revoked_certificate_by_serial_number(serial)


def number(revocation_list: x509.CertificateRevocationList) -> int:
    return revocation_list.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number


@pytest.mark.invariant("I10")
@pytest.mark.parametrize("reason", list(RevocationReason))
def test_a_revocation_is_in_the_next_list_with_its_reason(acme: CertificateAuthority, reason: str) -> None:
    device = acme.issue_client("device")
    revocation = acme.revoke(device.serial_number, reason=reason)
    found = entry(acme.crl(), device.serial_number)
    assert found is not None
    assert found.revocation_date_utc == revocation.revoked_at
    if reason == "unspecified":
        assert list(found.extensions) == []
    else:
        flag = found.extensions.get_extension_for_class(x509.CRLReason).value.reason
        assert flag is x509.ReasonFlags[reason]


def test_every_notation_revokes_the_same_certificate(acme: CertificateAuthority) -> None:
    device = acme.issue_client("device")
    serial = device.serial_number
    colons = ":".join(f"{serial:040X}"[at : at + 2] for at in range(0, 40, 2))
    revoked = [
        acme.revoke(form)
        for form in (
            serial, f"{serial:x}", colons, f"0x00{serial:X}", f"decimal:{serial}", device, device.certificate,
        )
    ]  # fmt: skip
    assert len(set(revoked)) == 1
    assert len(list(acme.crl())) == 1


@pytest.mark.invariant("I10")
def test_a_second_call_keeps_the_first_date_and_reason(store: Store, acme: CertificateAuthority) -> None:
    device = acme.issue_client("device")
    first = acme.revoke(device, reason="key_compromise")
    later = CertificateAuthority.open(acme.name, store=store, clock=lambda: datetime.now(UTC) + timedelta(hours=1))
    assert later.revoke(device, reason="superseded") == first


def test_a_hold_can_become_lasting_and_keeps_its_date(acme: CertificateAuthority) -> None:
    device = acme.issue_client("device")
    held = acme.revoke(device, reason="certificate_hold")
    lasting = acme.revoke(device, reason="key_compromise")
    assert (lasting.reason, lasting.revoked_at) == ("key_compromise", held.revoked_at)
    assert acme.revoke(device, reason="certificate_hold") == lasting


def test_what_was_not_issued_here_is_not_found(store: Store, acme: CertificateAuthority) -> None:
    other = CertificateAuthority.create("Umbrella", store=store)
    theirs = other.issue_client("device")
    for unknown in (1, "ff", theirs, theirs.certificate, theirs.serial_number):
        with pytest.raises(NotFound, match="'Acme devices'"):
            acme.revoke(unknown)
    with pytest.raises(IssuanceError, match="its own"):
        acme.revoke(acme.certificate)
    assert list(acme.crl()) == []


@pytest.mark.parametrize("reason", ["", "keyCompromise", "remove_from_crl", 1])
def test_an_unknown_reason_is_refused(acme: CertificateAuthority, reason: str) -> None:
    with pytest.raises(IssuanceError, match="key_compromise"):
        acme.revoke(1, reason=reason)


@pytest.mark.invariant("I10")
def test_list_numbers_grow_and_are_recorded_before_the_list(store: Store, acme: CertificateAuthority) -> None:
    numbers = [number(CertificateAuthority.open(acme.name, store=store).crl()) for _ in range(3)]
    assert numbers == [1, 2, 3]
    with store.snapshot() as snapshot:
        rows = [row for row in snapshot.scan_audit() if row.event == "crl.numbered"]
    assert [row.details["number"] for row in rows] == ["1", "2", "3"]


def test_a_list_is_what_rfc_5280_wants(acme: CertificateAuthority) -> None:
    moment = datetime(2030, 1, 2, 3, 4, 5, 678, tzinfo=UTC)
    made = acme.crl(lifetime=timedelta(days=2), now=moment)
    assert made.is_signature_valid(acme.certificate.public_key())
    assert made.issuer == acme.certificate.subject
    assert made.last_update_utc == moment.replace(microsecond=0)
    assert made.next_update_utc == moment.replace(microsecond=0) + timedelta(days=2)
    assert [extension.critical for extension in made.extensions] == [False, False]
    identifier = made.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier
    own = acme.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
    assert identifier == own
    assert x509.load_der_x509_crl(crl_der(made)) == x509.load_pem_x509_crl(crl_pem(made)) == made
    with pytest.raises(IssuanceError, match="lifetime"):
        acme.crl(lifetime=timedelta(0))


def test_a_long_list_is_made_in_one_piece(acme: CertificateAuthority) -> None:
    serials = {acme.revoke(acme.issue_client(f"device-{index}")).serial_number for index in range(300)}
    made = acme.crl()  # over 256 entries and 8 KiB: the lengths take more than one octet
    assert {one.serial_number for one in made} == serials
    assert made.is_signature_valid(acme.certificate.public_key())


@pytest.mark.invariant("I6")
def test_a_revocation_is_seen_at_once_in_the_process(store: Store, acme: CertificateAuthority) -> None:
    revoked = RevokedSerials(store)
    device = acme.issue_client("device")
    assert revoked.reason_of(acme.key_id, device.serial_number) is None
    acme.revoke(device, reason="key_compromise")
    assert revoked.reason_of(acme.key_id, device.serial_number) == "key_compromise"
    assert revoked.reason_of(bytes(32), device.serial_number) is None
    revoked.close()


@pytest.mark.invariant("I6")
def test_a_revocation_is_seen_by_another_store_object_after_a_poll(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/state.db"
    ours, theirs = open_store(url, keys=KEYS), open_store(url, keys=KEYS)
    acme = CertificateAuthority.create("Acme", store=ours)
    device = acme.issue_client("device")
    revoked = RevokedSerials(theirs)
    assert revoked.reason_of(acme.key_id, device.serial_number) is None
    acme.revoke(device)
    theirs.poll()
    assert revoked.reason_of(acme.key_id, device.serial_number) == "unspecified"
    ours.close()
    theirs.close()


def test_a_store_that_fails_is_told_and_not_taken_for_an_answer(store: Store, acme: CertificateAuthority) -> None:
    revoked = RevokedSerials(store)
    store.close()
    with pytest.raises(Unavailable):
        revoked.reason_of(acme.key_id, 1)


class Racing:
    """A store whose revocations change while they are being read."""

    def __init__(self, store: Store, meanwhile: Callable[[], object]) -> None:
        self._store = store
        self._meanwhile: Callable[[], object] | None = meanwhile

    def subscribe(self, callback: Callable[[frozenset[str]], None]) -> Callable[[], None]:
        return self._store.subscribe(callback)

    def snapshot(self) -> object:
        racing, snapshot = self, self._store.snapshot()

        class Reading:
            def __enter__(self) -> object:
                return snapshot.__enter__()

            def __exit__(self, *error: object) -> None:
                snapshot.__exit__(*error)  # type: ignore[arg-type]
                meanwhile, racing._meanwhile = racing._meanwhile, None
                if meanwhile is not None:
                    meanwhile()

        return Reading()


def test_what_changes_while_it_is_read_is_read_again(store: Store, acme: CertificateAuthority) -> None:
    device = acme.issue_client("device")
    revoked = RevokedSerials(Racing(store, lambda: acme.revoke(device)))  # type: ignore[arg-type]
    assert revoked.reason_of(acme.key_id, device.serial_number) == "unspecified"


def test_missed_changes_drop_everything(store: Store, acme: CertificateAuthority) -> None:
    revoked = RevokedSerials(store)
    revoked.reason_of(acme.key_id, 1)
    assert revoked._by_issuer
    with store.transaction() as transaction:
        transaction.touch(EVERYTHING)
    assert not revoked._by_issuer


def test_only_the_issuer_s_own_changes_drop_its_revocations(store: Store, acme: CertificateAuthority) -> None:
    revoked = RevokedSerials(store)
    revoked.reason_of(acme.key_id, 1)
    with store.transaction() as transaction:
        transaction.touch(revocation_topic(bytes(32)))
        transaction.touch("hostname:pay.acme.example")
    assert list(revoked._by_issuer) == [acme.key_id]
