"""Complete lists: octet for octet what the builder makes, in the order of their numbers, whoever makes them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from hypothesis import given, settings
from hypothesis import strategies as st

from mtlskit.authority import (
    CertificateAuthority,
    Expired,
    KeySigner,
    KeyType,
    ListScope,
    RevocationReason,
    RevokedSerials,
    Subjects,
    changes,
    crl_der,
)  # fmt: skip
from mtlskit.authority.assembly import Assembly
from mtlskit.authority.entries import Entries, entry, removal
from mtlskit.authority.ledger import REVOCATION, Revocation
from mtlskit.authority.list_records import find_list, latest_list
from mtlskit.authority.lists import _with_entries
from mtlskit.authority.scope import WHOLE
from mtlskit.authority.serials import serial_key
from mtlskit.authority.signers import generate_key
from mtlskit.core.profiles import Role
from mtlskit.errors import ConfigurationError, Conflict, IssuanceError, NotFound, StoreError
from mtlskit.ports import Record, Store, Transaction
from mtlskit.stores import open_store

from .conftest import KEYS
from .meddling import Meddling

NOW = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)
DAY = timedelta(days=1)
MANY = settings(deadline=None, max_examples=50)


def number_of(made: x509.CertificateRevocationList) -> int:
    return made.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number


def listed(made: x509.CertificateRevocationList) -> set[int]:
    return {each.serial_number for each in made}


def record_of(revocation: Revocation) -> Record:
    return Record(serial_key(revocation.serial_number), revocation.to_text().encode(), 1)


def by_builder(revocation: Revocation, flag: x509.ReasonFlags) -> x509.RevokedCertificate:
    extensions = (
        []
        if flag is x509.ReasonFlags.unspecified
        else [x509.Extension(x509.CRLReason.oid, False, x509.CRLReason(flag))]
    )
    moment = revocation.revoked_at.replace(tzinfo=None)
    return x509.RevokedCertificateBuilder(revocation.serial_number, moment, extensions).build()


revocations = st.lists(
    st.builds(
        Revocation,
        serial_number=st.integers(1, (1 << 159) - 1) | st.integers(1, 70_000),
        reason=st.sampled_from([each.value for each in RevocationReason]),
        revoked_at=st.datetimes(datetime(1950, 1, 1), datetime(9999, 12, 31)).map(
            lambda moment: moment.replace(microsecond=0, tzinfo=UTC)
        ),
        role=st.sampled_from(Role),
    ),
    max_size=12,
    unique_by=lambda each: each.serial_number,
)


@MANY
@given(revocations, st.integers(1, 5))
def test_a_list_is_what_the_builder_makes(given_ones: list[Revocation], page: int) -> None:
    ordered = sorted(given_ones, key=lambda each: each.serial_number)
    entries = Entries(WHOLE)
    for at in range(0, len(ordered), page):
        entries.add_page([record_of(each) for each in ordered[at : at + page]])
    assert entries.count == len(ordered)
    builder = x509.CertificateRevocationListBuilder(
        x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Acme")]), datetime(2030, 1, 1), datetime(2030, 1, 2),
        [x509.Extension(x509.CRLNumber.oid, False, x509.CRLNumber(7))],
    )  # fmt: skip
    assembly = Assembly(SIGNER)
    made = _with_entries(assembly.to_be_signed(builder), entries.take_pages())
    for each in ordered:
        builder = builder.add_revoked_certificate(by_builder(each, x509.ReasonFlags[each.reason]))
    assert made == assembly.to_be_signed(builder)


SIGNER = KeySigner(generate_key(KeyType.ED25519))


@MANY
@given(revocations, revocations, st.integers(1, 5), st.data())
def test_what_changed_meanwhile_is_put_in_its_place(
    before: list[Revocation], after: list[Revocation], page: int, data: st.DataObject
) -> None:
    known = {serial_key(each.serial_number): each for each in before}
    gone = data.draw(st.lists(st.sampled_from(sorted(known)), unique=True)) if known else []
    changed: dict[str, Revocation | None] = {serial_key(each.serial_number): each for each in after}
    changed |= dict.fromkeys(gone)
    scope = ListScope(subjects=data.draw(st.sampled_from(Subjects)))
    left = {key: each for key, each in (known | changed).items() if each is not None}

    def made_of(some: dict[str, Revocation]) -> Entries:
        entries = Entries(scope)
        keys = sorted(some)
        for at in range(0, len(keys), page):
            entries.add_page([record_of(some[key]) for key in keys[at : at + page]])
        return entries

    entries, wanted = made_of(known), made_of(left)
    entries.replace(changed)
    assert entries.count == wanted.count
    assert b"".join(entries.take_pages()) == b"".join(wanted.take_pages())


@MANY
@given(revocations.filter(bool))
def test_a_removal_is_what_the_builder_makes(given_ones: list[Revocation]) -> None:
    for each in given_ones:
        flags = x509.ReasonFlags.remove_from_crl, x509.ReasonFlags[each.reason]
        for made, flag in zip((removal(each, each.revoked_at), entry(each)), flags, strict=True):
            builder = x509.CertificateRevocationListBuilder(
                x509.Name([]), datetime(2030, 1, 1), datetime(2030, 1, 2), [], [by_builder(each, flag)]
            )
            assert made in Assembly(SIGNER).to_be_signed(builder)


@pytest.mark.parametrize("key_type", ["ec-p256", "ec-p384", "ed25519", "rsa-2048"])
def test_every_kind_of_key_signs_lists(store: Store, key_type: str) -> None:
    acme = CertificateAuthority.create("Acme", store=store, key_type=key_type)
    serials = {acme.revoke(acme.issue_client(f"device-{index}")).serial_number for index in range(3)}
    for made in (acme.crl(), acme.delta_crl()):
        assert made.is_signature_valid(acme.certificate.public_key())
    assert listed(acme.crl()) == serials
    assert x509.load_der_x509_crl(crl_der(acme.crl())).is_signature_valid(acme.certificate.public_key())


def test_the_list_of_an_authority_without_revocations_has_no_entries_at_all(acme: CertificateAuthority) -> None:
    data = crl_der(acme.crl(now=NOW, lifetime=DAY))
    own = acme.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    identifier = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(own)
    builder = x509.CertificateRevocationListBuilder(
        acme.certificate.subject, NOW.replace(tzinfo=None), (NOW + DAY).replace(tzinfo=None),
        [x509.Extension(value.oid, False, value) for value in (identifier, x509.CRLNumber(1))],
    )  # fmt: skip
    assert acme._opened.issuing().assembly.to_be_signed(builder) in data


@pytest.mark.invariant("I10")
@pytest.mark.parametrize("page", [1, 2, 100])
def test_a_list_has_what_was_revoked_before_its_number_was_given(
    store: Store, monkeypatch: pytest.MonkeyPatch, page: int
) -> None:
    acme = CertificateAuthority.create("Acme", store=store)
    devices = [acme.issue_client(f"device-{index}") for index in range(8)]
    for each in devices[:4]:
        acme.revoke(each, reason="certificate_hold")
    monkeypatch.setattr(changes, "_PAGE", page)
    steps: list[Callable[[], object]] = [
        lambda: acme.revoke(devices[4]), lambda: acme.release(devices[0]), lambda: acme.revoke(devices[1]),
    ]  # fmt: skip
    others = Meddling(store, lambda _: None)
    reader = CertificateAuthority.open("Acme", store=others)  # type: ignore[arg-type]
    reader._opened.issuing()  # opens the key, so that only the list's own readings are meddled with
    others.meanwhile = lambda _: steps.pop()() if steps else None
    made = reader.crl()
    assert len(steps) < 3
    with store.snapshot() as snapshot:
        record = find_list(snapshot, acme.key_id.hex(), number_of(made))
        assert record is not None
        # Between two readings everything was done: what is on the list is what its record says.
        of_this_time = {
            each.key: each.left
            for each in changes.changes_after(snapshot, acme.key_id.hex(), 0)
            if each.number <= record.last_change
        }
    assert listed(made) == {each.serial_number for each in of_this_time.values() if each is not None}


@pytest.mark.invariant("I10")
def test_a_higher_number_never_knows_less(store: Store) -> None:
    """Two makers: the one who read first numbers last. Its list must have what the other's has."""
    acme = CertificateAuthority.create("Acme", store=store)
    device, made = acme.issue_client("device"), []

    def overtake(reading: int) -> None:
        if reading == 2:  # the slow maker has read the last change and the records: nothing is revoked
            acme.revoke(device)
            made.append(acme.crl())

    others = Meddling(store, lambda _: None)
    slow = CertificateAuthority.open("Acme", store=others)  # type: ignore[arg-type]
    slow._opened.issuing()  # opens the key
    others.readings, others.meanwhile = 0, overtake
    last = slow.crl()
    assert made
    assert number_of(last) > number_of(made[0])
    assert listed(last) == listed(made[0]) == {device.serial_number}


@pytest.mark.invariant("I10")
def test_a_lower_number_never_knows_more(store: Store) -> None:
    """What is revoked after a list got its number is for the lists after it, though it is not made yet."""
    acme = CertificateAuthority.create("Acme", store=store)
    before, after = acme.issue_client("before"), acme.issue_client("after")
    others, made = Meddling(store, lambda _: None), []
    slow = CertificateAuthority.open("Acme", store=others)  # type: ignore[arg-type]
    slow._opened.issuing()  # opens the key
    others.readings, others.meanwhile = 0, lambda reading: acme.revoke(before) if reading == 2 else None

    @contextmanager
    def transaction() -> Iterator[Transaction]:
        with store.transaction() as inner:
            yield inner
        if not made:  # the slow maker has its number
            made.append(acme.crl())
            acme.revoke(after)

    others.transaction = transaction  # type: ignore[method-assign]
    first = slow.crl()
    assert [number_of(first), number_of(made[0])] == [1, 2]
    assert listed(first) == listed(made[0]) == {before.serial_number}


def test_numbers_are_given_once_to_threads_and_processes(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/state.db"
    store = open_store(url, keys=KEYS)
    acme = CertificateAuthority.create("Acme", store=store)
    code = """
import sys
from mtlskit.authority import CertificateAuthority
from mtlskit.stores import KeyEncryption, open_store
acme = CertificateAuthority.open("Acme", store=open_store(sys.argv[1], keys=KeyEncryption(bytes(32))))
for _ in range(10):
    for made in (acme.crl(), acme.delta_crl()):
        print([each.value.crl_number for each in made.extensions if each.oid.dotted_string == "2.5.29.20"][0])
"""
    children = [
        subprocess.Popen([sys.executable, "-c", code, url], stdout=subprocess.PIPE, text=True) for _ in range(2)
    ]
    with ThreadPoolExecutor(4) as pool:
        ours = list(pool.map(lambda _: number_of(acme.crl()), range(20)))
    theirs = [list(map(int, child.communicate(timeout=60)[0].split())) for child in children]
    assert [child.returncode for child in children] == [0, 0]
    assert all(each == sorted(each) and len(each) == 20 for each in theirs)
    assert sorted([*ours, *theirs[0], *theirs[1]]) == list(range(1, 61))
    store.close()


def test_makers_and_revokers_do_not_wait_for_each_other_in_postgresql(postgres_url: str) -> None:
    store = open_store(postgres_url, keys=KEYS)
    acme = CertificateAuthority.create("Acme", store=store)
    devices = [acme.issue_client(f"device-{index}") for index in range(24)]
    revoked = RevokedSerials(store)

    def work(worker: int) -> list[int]:
        own = open_store(postgres_url, keys=KEYS)
        mine, numbers = CertificateAuthority.open("Acme", store=own), []
        for device in devices[worker::4]:
            mine.revoke(device, reason="certificate_hold")
            made = mine.crl()
            assert device.serial_number in listed(made)
            if worker % 2:
                mine.release(device)
            numbers += [number_of(made), number_of(mine.delta_crl())]
        own.close()
        return numbers

    with ThreadPoolExecutor(4) as pool:
        numbers = list(pool.map(work, range(4)))
    assert sorted(number for some in numbers for number in some) == list(range(1, 49))
    store.poll()
    held = {device.serial_number for worker in (0, 2) for device in devices[worker::4]}
    assert {each.serial_number for each in devices if revoked.reason_of(acme.key_id, each.serial_number)} == held
    assert listed(acme.crl()) == held
    store.close()


class Refusing:
    """A signer that signs certificates, and no lists while it refuses."""

    def __init__(self) -> None:
        self._signer = KeySigner(generate_key(KeyType.EC_P256))
        self.refuses = False

    def public_key(self) -> Any:
        return self._signer.public_key()

    def sign(self, data: bytes) -> bytes:
        if self.refuses:
            raise OSError("the token is gone")
        return self._signer.sign(data)


def test_a_list_that_was_not_signed_is_no_base(store: Store) -> None:
    signer = Refusing()
    acme = CertificateAuthority.create("Acme", store=store, signer=signer)
    first = acme.crl()
    signer.refuses = True
    with pytest.raises(IssuanceError, match="expected a signature, got OSError from the signer"):
        acme.crl()
    signer.refuses = False
    with store.snapshot() as snapshot:
        unsigned = find_list(snapshot, acme.key_id.hex(), 2)
        latest = latest_list(snapshot, acme.key_id.hex(), WHOLE)
        events = [row.event for row in snapshot.scan_audit() if row.event.startswith("crl.")]
    assert unsigned is not None
    assert not unsigned.is_base
    assert latest is not None
    assert latest.number == number_of(first) == 1
    assert events == ["crl.numbered", "crl.signed", "crl.numbered"]
    with pytest.raises(NotFound, match="got the number 2"):
        acme.delta_crl(base=2)
    assert number_of(acme.crl()) == 3  # a number is never given twice


def test_a_record_of_a_list_says_what_it_is(store: Store, acme: CertificateAuthority) -> None:
    import hashlib

    acme.revoke(acme.issue_client("device"))
    made = acme.crl(now=NOW, lifetime=DAY)
    with store.snapshot() as snapshot:
        record = find_list(snapshot, acme.key_id.hex(), 1)
    assert record is not None
    assert (record.number, record.base, record.last_change) == (1, None, 1)
    assert (record.this_update, record.next_update) == (NOW, NOW + DAY)
    assert record.sha256 == hashlib.sha256(crl_der(made)).hexdigest()


WRONG: dict[str, dict[str, Any]] = {
    "lifetime: expected a second": {"lifetime": timedelta(0)},
    "lifetime: expected a second or": {"lifetime": timedelta(milliseconds=999)},
    "lifetime: expected a second or more": {"lifetime": 7},
    "lifetime: expected moments": {"lifetime": timedelta.max},
    "lifetime: expected moments from": {"now": datetime(1949, 1, 1, tzinfo=UTC)},
    "lifetime: expected moments from 1950": {"now": datetime(9999, 12, 31, tzinfo=UTC)},
    "delta_url: expected an http": {"delta_url": "https://lists.example/ä.crl"},
    "delta_url: expected an http or https URL": {"delta_url": "file:///etc/passwd"},
    "now: expected a UTC-aware moment": {"now": datetime(2030, 1, 1)},
    "now: expected": {"now": "2030"},
    "scope: expected a ListScope": {"scope": "all"},
    "expired: expected one of keep, drop": {"expired": "sometimes"},
}  # fmt: skip


@pytest.mark.parametrize("words", WRONG)
def test_what_no_list_can_be_takes_no_number(acme: CertificateAuthority, words: str) -> None:
    with pytest.raises(IssuanceError, match=words):
        acme.crl(**WRONG[words])
    assert number_of(acme.crl()) == 1


def test_other_zones_are_taken_for_what_they_are(acme: CertificateAuthority) -> None:
    from datetime import timezone

    made = acme.crl(now=NOW.astimezone(timezone(timedelta(hours=5))), lifetime=timedelta(seconds=90.5))
    assert (made.last_update_utc, made.next_update_utc) == (NOW, NOW + timedelta(seconds=90))


def test_there_is_no_list_of_a_generation_that_is_not(acme: CertificateAuthority) -> None:
    for make in (acme.crl, acme.delta_crl):
        with pytest.raises(NotFound, match="a generation"):
            make(generation=2)


# Expired certificates (RFC 5280, 3.3).


def authority_at(store: Store, moment: Callable[[], datetime]) -> CertificateAuthority:
    return CertificateAuthority.create("Acme", store=store, clock=moment)


@pytest.mark.parametrize("expired", list(Expired))
def test_an_expired_certificate_leaves_after_one_list_of_after_its_end(store: Store, expired: Expired) -> None:
    now = [NOW]
    acme = authority_at(store, lambda: now[0])
    short = acme.issue_client("short", lifetime=timedelta(hours=1)).serial_number
    long = acme.issue_client("long").serial_number
    for each in (short, long):
        acme.revoke(each)
    found = []
    for hours in (0, 0.5, 2, 3, 4):
        now[0] = NOW + timedelta(hours=hours)
        found.append(short in listed(acme.crl(expired=expired)))
    assert found == [True] * 5 if expired is Expired.KEEP else [True, True, True, False, False]
    assert long in listed(acme.crl(expired=expired))


def test_one_revoked_after_its_end_is_on_a_list_once(store: Store) -> None:
    now = [NOW]
    acme = authority_at(store, lambda: now[0])
    short = acme.issue_client("short", lifetime=timedelta(hours=1)).serial_number
    now[0] = NOW + timedelta(hours=2)
    acme.crl(expired="drop")
    acme.revoke(short)
    found = [short in listed(acme.crl(expired="drop")) for _ in range(3)]
    assert found == [True, False, False]


def test_lists_made_for_the_future_let_nothing_leave_now(store: Store) -> None:
    acme = authority_at(store, lambda: NOW)
    short = acme.issue_client("short", lifetime=timedelta(hours=1)).serial_number
    acme.revoke(short)
    acme.crl(now=NOW + DAY)
    assert short in listed(acme.crl(expired="drop"))
    found = [short in listed(acme.crl(expired="drop", now=NOW + DAY)) for _ in range(2)]
    assert found == [True, False]


def test_a_list_that_was_not_signed_lets_nothing_leave(store: Store) -> None:
    now, signer = [NOW], Refusing()
    acme = CertificateAuthority.create("Acme", store=store, signer=signer, clock=lambda: now[0])
    short = acme.issue_client("short", lifetime=timedelta(hours=1)).serial_number
    acme.revoke(short)
    now[0] += timedelta(hours=2)
    signer.refuses = True
    with pytest.raises(IssuanceError):
        acme.crl()
    signer.refuses = False
    assert short in listed(acme.crl(expired="drop"))


def test_a_list_of_another_scope_lets_nothing_leave(store: Store) -> None:
    now = [NOW]
    acme = authority_at(store, lambda: now[0])
    short = acme.issue_client("short", lifetime=timedelta(hours=1)).serial_number
    acme.revoke(short)
    now[0] += timedelta(hours=2)
    acme.crl(scope=ListScope(subjects="authorities"))
    assert short in listed(acme.crl(expired="drop"))


def test_a_corrupt_list_record_is_told(store: Store, acme: CertificateAuthority) -> None:
    acme.crl()
    with store.transaction() as transaction:
        transaction.replace("crl", acme.key_id.hex(), f"{1:020d}", b"{}")
    with pytest.raises(StoreError, match="a revocation list"):
        acme.delta_crl()


def test_an_unusual_serial_number_is_an_entry_too(store: Store, acme: CertificateAuthority) -> None:
    serials = [0, 1, 0x7F, 0x80, 0xFF, 0x100, 1 << 151, (1 << 159) - 1, 1 << 159, (1 << 160) - 1]
    with store.transaction() as transaction:
        for serial in serials:
            revocation = Revocation(serial_number=serial, reason="superseded", revoked_at=NOW)
            transaction.insert(REVOCATION, acme.key_id.hex(), serial_key(serial), revocation.to_text().encode())
    made = acme.crl()
    assert sorted(listed(made)) == serials
    assert made.is_signature_valid(acme.certificate.public_key())


def test_a_distribution_point_stands_for_one_scope_for_ever(acme: CertificateAuthority) -> None:
    url = "http://crl.acme.example/1.crl"
    acme.crl(scope=ListScope(url=url, partition=1, partitions=4))
    acme.crl(scope=ListScope(url=url, partition=1, partitions=4))
    for other in (
        {"partition": 2, "partitions": 4},
        {"partition": 1, "partitions": 8},
        {},
        {"subjects": "authorities"},
    ):
        with pytest.raises(Conflict, match="as before"):
            acme.crl(scope=ListScope(url=url, **other))  # type: ignore[arg-type]
    assert number_of(acme.crl()) == 3
    acme.rotation.prepare()  # another key, other certificates
    acme.crl(scope=ListScope(url=url), generation=2)


def test_no_list_is_made_without_the_key(store: Store) -> None:
    signer = KeySigner(generate_key(KeyType.EC_P256))
    CertificateAuthority.create("Acme", store=store, signer=signer)
    with pytest.raises(ConfigurationError, match="the signer"):
        CertificateAuthority.open("Acme", store=store).crl()
