"""Many certificates: in order, each durable when it comes out, and a bad order spoils no other."""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding

from mtlskit.authority import (
    CertificateAuthority,
    CertificateOrder,
    Filled,
    Granted,
    IssuanceRequest,
    IssuedCertificate,
    KeySigner,
    Unfilled,
    batches,
    issuance,
)
from mtlskit.authority.ledger import CERTIFICATE, CertificateRecord
from mtlskit.core.certificates import PresentedChain, common_name, read_sans
from mtlskit.core.profiles import CLIENT, INTERMEDIATE, SERVER, AuthorityConstraints
from mtlskit.errors import ConfigurationError, IssuanceError, Unavailable
from mtlskit.ports import Store
from mtlskit.stores.audit import verify_audit

KEY = ec.generate_private_key(ec.SECP256R1())
CSR = (
    x509.CertificateSigningRequestBuilder(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "requested")]))
    .sign(KEY, hashes.SHA256())
    .public_bytes(Encoding.DER)
)


def orders(count: int) -> Iterator[CertificateOrder]:
    return (CertificateOrder(f"device-{number}") for number in range(count))


def recorded(store: Store, acme: CertificateAuthority) -> dict[str, CertificateRecord]:
    with store.snapshot() as snapshot:
        found = [CertificateRecord.from_bytes(row.value) for row in snapshot.scan(CERTIFICATE, acme.key_id.hex())]
    return {record.reservation.subject: record for record in found if record.reservation.profile != "root"}


def name_of(outcome: batches.Outcome) -> str | None:
    assert isinstance(outcome, Filled)
    assert isinstance(outcome.issued, IssuedCertificate)
    return common_name(outcome.issued.certificate.subject)


@pytest.mark.parametrize("batch_size", [1, 3, 7, 100])
def test_outcomes_come_in_the_order_of_the_orders(store: Store, acme: CertificateAuthority, batch_size: int) -> None:
    outcomes = list(acme.issue_many(orders(7), batch_size=batch_size))
    assert [outcome.index for outcome in outcomes] == list(range(7))
    assert list(map(name_of, outcomes)) == [f"device-{number}" for number in range(7)]
    assert set(recorded(store, acme)) == {f"CN=device-{number}" for number in range(7)}
    assert acme.pending() == ()
    verify_audit(store)
    with store.snapshot() as snapshot:
        rows = [row for row in snapshot.scan_audit() if row.event == "certificate.reserved"]
    assert len(rows) == 7, "a row for each certificate"


def test_an_order_says_what_single_issuing_says(acme: CertificateAuthority) -> None:
    several = [
        CertificateOrder("a", uris=["urn:a"], lifetime=timedelta(days=3), requester="alice"),
        CertificateOrder(dns=["b.example"], profile=SERVER, key_type="ed25519"),
        CertificateOrder(request=CSR),
        CertificateOrder("given", request=CSR),
    ]
    first, server, requested, given = (each.issued for each in acme.issue_many(several) if isinstance(each, Filled))
    assert isinstance(first, IssuedCertificate)
    assert isinstance(server, IssuedCertificate)
    assert isinstance(requested, PresentedChain)
    assert isinstance(given, PresentedChain)
    assert list(map(str, read_sans(first.certificate))) == ["uri:urn:a"]
    assert first.certificate.not_valid_after_utc - first.certificate.not_valid_before_utc == timedelta(
        days=3, seconds=30
    )
    assert isinstance(server.private_key, ed25519.Ed25519PrivateKey)
    leaves = [chain.certificates()[0] for chain in (requested, given)]
    assert [common_name(leaf.subject) for leaf in leaves] == ["requested", "given"]
    for leaf in (first.certificate, server.certificate, *leaves):
        leaf.verify_directly_issued_by(acme.certificate)
    assert all(leaf.public_key() == KEY.public_key() for leaf in leaves)


def test_the_chain_below_a_root_comes_with_each(store: Store, acme: CertificateAuthority) -> None:
    below = CertificateAuthority.create("Below", store=store, parent=acme)
    for outcome in below.issue_many([CertificateOrder("a"), CertificateOrder(request=CSR)]):
        assert isinstance(outcome, Filled)
        presented = outcome.issued if isinstance(outcome.issued, PresentedChain) else outcome.issued.presented()
        assert presented.certificates()[1:] == (below.certificate,)


BAD: list[tuple[Any, type[Exception], str]] = [
    (CertificateOrder(), IssuanceError, "subject: expected"),
    (CertificateOrder("a\0b"), IssuanceError, "common_name: expected"),
    (CertificateOrder("a", lifetime=timedelta(days=9_999)), IssuanceError, "lifetime: expected"),
    (CertificateOrder("a", profile=INTERMEDIATE), IssuanceError, "profile: expected"),
    (CertificateOrder("a", key_type="dsa"), ConfigurationError, "expected a key type"),
    (CertificateOrder("a", request=CSR[:-1] + bytes([CSR[-1] ^ 1])), IssuanceError, "signature: expected"),
    (CertificateOrder("a", request="nothing"), IssuanceError, "request: expected"),
    (CertificateOrder("a", dns=["b.other.example"]), IssuanceError, "name_constraints"),
    ("device", IssuanceError, "order: expected a CertificateOrder, got str"),
    (None, IssuanceError, "order: expected a CertificateOrder, got NoneType"),
]


@pytest.mark.parametrize("batch_size", [1, 4, 100])
def test_a_bad_order_is_told_and_the_others_go_on(store: Store, batch_size: int) -> None:
    constraints = AuthorityConstraints.for_clients_of("acme.example")
    acme = CertificateAuthority.create("Acme", store=store, constraints=constraints)
    mixed = [each for order, _, _ in BAD for each in (CertificateOrder("good"), order)]
    outcomes = list(acme.issue_many(mixed, batch_size=batch_size))
    assert [isinstance(each, Filled) for each in outcomes] == [True, False] * len(BAD)
    for outcome, (order, kind, told) in zip(outcomes[1::2], BAD, strict=True):
        assert isinstance(outcome, Unfilled)
        assert outcome.order is order
        assert type(outcome.error) is kind
        assert told in str(outcome.error)
        assert outcome.error.__traceback__ is None
    assert acme.pending() == ()
    assert len(recorded(store, acme)) == 1


class Quota(IssuanceError):
    """An error of somebody else's: it cannot be copied, and says where it comes from."""

    def __init__(self, tenant: str, limit: int) -> None:
        super().__init__(f"quota of {tenant} is {limit}")


def test_an_error_of_somebody_else_s_kind_spoils_no_other_order(store: Store) -> None:
    def authorize(request: IssuanceRequest) -> Granted:
        if request.names.common_name == "device-1":
            try:
                raise OSError("no connection to the quotas")
            except OSError as error:
                raise Quota("acme", 5) from error
        return Granted()

    acme = CertificateAuthority.create("Acme", store=store, authorize=authorize)
    outcomes = list(acme.issue_many(orders(3)))
    assert [isinstance(each, Filled) for each in outcomes] == [True, False, True]
    assert isinstance(outcomes[1], Unfilled)
    error = outcomes[1].error
    assert isinstance(error, Quota)
    assert str(error) == "quota of acme is 5"
    assert (error.__traceback__, error.__cause__, error.__context__) == (None, None, None)


def test_only_bad_orders_write_nothing(store: Store, acme: CertificateAuthority) -> None:
    assert [type(each) for each in acme.issue_many([CertificateOrder(), CertificateOrder()])] == [Unfilled, Unfilled]
    assert list(acme.issue_many([])) == []
    assert recorded(store, acme) == {}


@pytest.mark.invariant("I10")
def test_what_comes_out_is_on_record_already(store: Store, acme: CertificateAuthority) -> None:
    for outcome in acme.issue_many(orders(10), batch_size=4):
        assert isinstance(outcome, Filled)
        record = recorded(store, acme)[f"CN=device-{outcome.index}"]
        assert isinstance(outcome.issued, IssuedCertificate)
        assert record.der == outcome.issued.certificate.public_bytes(Encoding.DER)


@pytest.mark.invariant("I10")
def test_every_signature_follows_the_commit_of_its_reservation(
    acme: CertificateAuthority, monkeypatch: pytest.MonkeyPatch
) -> None:
    original, seen = KeySigner.sign, []

    def sign(self: KeySigner, data: bytes) -> bytes:
        seen.append(len(acme.pending()))
        return original(self, data)

    monkeypatch.setattr(KeySigner, "sign", sign)
    list(acme.issue_many(orders(5), batch_size=3))
    assert seen == [3, 3, 3, 2, 2]


def test_orders_are_read_as_they_are_needed(acme: CertificateAuthority) -> None:
    read: list[int] = []

    def endless() -> Iterator[CertificateOrder]:
        while True:
            read.append(1)
            yield CertificateOrder("device")

    outcomes = acme.issue_many(endless(), batch_size=5)
    assert read == []
    for _ in range(6):
        next(outcomes)
    assert len(read) == 10
    outcomes.close()  # type: ignore[attr-defined]
    assert acme.pending() == ()


def test_a_batch_is_not_kept_when_it_is_over(acme: CertificateAuthority) -> None:
    class Order(CertificateOrder):
        __slots__ = ("__weakref__",)

    alive: weakref.WeakSet[Any] = weakref.WeakSet()
    most = 0

    def made() -> Iterator[CertificateOrder]:
        for number in range(20):
            order = Order("device" if number % 2 else "")
            alive.add(order)
            yield order

    refused = []
    for outcome in acme.issue_many(made(), batch_size=5):
        if isinstance(outcome, Unfilled):
            refused.append(outcome.error)
        if outcome.index % 5 == 2:
            gc.collect()
            most = max(most, len(alive))
    assert len(refused) == 10
    assert most <= 10


def test_progress_is_told_after_each_outcome_was_taken(acme: CertificateAuthority) -> None:
    told: list[tuple[int, int | None]] = []

    def progress(done: int, total: int | None) -> None:
        told.append((done, total))

    known = acme.issue_many([CertificateOrder("a"), CertificateOrder(), CertificateOrder("c")], progress=progress)
    next(known)
    assert told == []
    next(known)
    assert told == [(1, 3)]
    assert len(list(known)) == 1
    assert told == [(1, 3), (2, 3), (3, 3)]
    told.clear()
    list(acme.issue_many(orders(2), progress=progress))
    assert told == [(1, None), (2, None)]


def test_a_source_that_fails_ends_it_and_leaves_nothing_behind(acme: CertificateAuthority) -> None:
    def failing() -> Iterator[CertificateOrder]:
        yield from orders(5)
        raise ValueError("line 6 of the list")

    outcomes = acme.issue_many(failing(), batch_size=3)
    assert len([next(outcomes) for _ in range(3)]) == 3
    with pytest.raises(ValueError, match="line 6"):
        next(outcomes)
    assert acme.pending() == ()


@pytest.mark.parametrize("sizes", [{"batch_size": 0}, {"threads": 0}, {"batch_size": -1}, {"batch_size": 251}])
def test_sizes_below_one_are_told_at_once(acme: CertificateAuthority, sizes: dict[str, int]) -> None:
    with pytest.raises(ConfigurationError, match="a batch size of 1 to 250 and at least one thread"):
        acme.issue_many([], **sizes)  # type: ignore[arg-type]


@pytest.mark.invariant("I10")
@pytest.mark.parametrize("threads", [1, 3])
def test_a_signer_that_fails_ends_it_after_what_was_signed(
    store: Store, acme: CertificateAuthority, monkeypatch: pytest.MonkeyPatch, threads: int
) -> None:
    original, calls = KeySigner.sign, []

    def sign(self: KeySigner, data: bytes) -> bytes:
        calls.append(data)
        if len(calls) > 5:
            raise OSError("the token was pulled out")
        return original(self, data)

    outcomes = []
    monkeypatch.setattr(KeySigner, "sign", sign)
    with pytest.raises(IssuanceError, match="OSError from the signer") as raised:
        for outcome in acme.issue_many(orders(12), batch_size=4, threads=threads):
            outcomes.append(outcome)
    assert isinstance(raised.value.__cause__, OSError)
    filled = [outcome for outcome in outcomes if isinstance(outcome, Filled)]
    assert (len(outcomes), len(filled)) == (8, 5)
    assert len(calls) == 6 or threads > 1, "it is asked no more"
    assert set(recorded(store, acme)) == {f"CN=device-{outcome.index}" for outcome in filled}
    assert len(acme.pending()) == 3, "those of that batch alone"
    monkeypatch.setattr(KeySigner, "sign", original)
    for left in acme.pending():
        acme.revoke(left.serial_number)
    assert len(list(acme.crl())) == 3


@pytest.mark.invariant("I10")
@pytest.mark.parametrize("failing", ["reserve_all", "record_all"])
def test_a_store_that_fails_ends_it(acme: CertificateAuthority, monkeypatch: pytest.MonkeyPatch, failing: str) -> None:
    original, count = getattr(issuance, failing), iter(range(100))

    def fail(*given: Any) -> Any:
        if next(count) == 1:
            raise Unavailable("the disk is full")
        return original(*given)

    monkeypatch.setattr(batches, failing, fail)
    outcomes = []
    with pytest.raises(Unavailable, match="disk is full"):
        for outcome in acme.issue_many(orders(9), batch_size=3):
            outcomes.append(outcome)
    assert len(outcomes) == 3
    assert len(acme.pending()) == (0 if failing == "reserve_all" else 3)


@pytest.mark.invariant("I10")
def test_a_reservation_revoked_meanwhile_does_not_come_out(
    acme: CertificateAuthority, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = KeySigner.sign

    def sign(self: KeySigner, data: bytes) -> bytes:
        monkeypatch.setattr(KeySigner, "sign", original)
        acme.revoke(next(one for one in acme.pending() if one.subject == "CN=device-1").serial_number)
        return original(self, data)

    monkeypatch.setattr(KeySigner, "sign", sign)
    outcomes = list(acme.issue_many(orders(3)))
    assert [isinstance(each, Unfilled) for each in outcomes] == [False, True, False]
    assert isinstance(outcomes[1], Unfilled)
    assert "revoked meanwhile" in str(outcomes[1].error)


def test_a_serial_number_that_was_used_is_drawn_again_for_all(acme: CertificateAuthority, store: Store) -> None:
    used = acme.issue_client("before").serial_number
    issuing = acme._opened.issuing()
    fresh = iter(range(100, 110))
    from mtlskit.authority.orders import NewKey, prepare

    prepared = [prepare(order, acme._opened.clock()) for order in orders(3)]
    drawn = iter([50, used, 51])
    drafts = [
        issuance.draft_of(issuing, each.order, draw=lambda: next(drawn))
        for each in prepared
        if isinstance(each, NewKey)
    ]
    reserved = issuance.reserve_all(issuing, drafts, draw=lambda: next(fresh))
    assert [draft.reservation.serial_number for draft in reserved] == [100, 101, 102]
    assert {one.serial_number for one in acme.pending()} == {100, 101, 102}


def test_a_rotation_in_between_is_taken_up(store: Store, acme: CertificateAuthority) -> None:
    other = CertificateAuthority.open(acme.name, store=store)
    outcomes = acme.issue_many(orders(4), batch_size=2)
    first = [next(outcomes) for _ in range(2)]
    other.rotation.prepare()
    other.rotation.activate()
    second = list(outcomes)
    issuers = []
    for outcome in (*first, *second):
        assert isinstance(outcome, Filled)
        assert isinstance(outcome.issued, IssuedCertificate)
        issuers.append(common_name(outcome.issued.certificate.issuer))
    assert issuers == ["Acme devices G1"] * 2 + ["Acme devices G2"] * 2
    assert isinstance(second[0], Filled)
    assert isinstance(second[0].issued, IssuedCertificate)
    assert len(second[0].issued.certificates) == 2, "with what leads to the old root"


@pytest.mark.parametrize("threads", [1, 2, 4])
def test_threads_change_nothing_but_who_makes_the_keys(acme: CertificateAuthority, threads: int) -> None:
    before = threading.active_count()
    outcomes = list(acme.issue_many(orders(20), batch_size=6, threads=threads))
    assert list(map(name_of, outcomes)) == [f"device-{number}" for number in range(20)]
    assert threading.active_count() == before


def test_several_at_once_share_the_authority(store: Store, acme: CertificateAuthority) -> None:
    found: list[int] = []

    def issue() -> None:
        for outcome in acme.issue_many(orders(12), batch_size=5):
            assert isinstance(outcome, Filled)
            assert isinstance(outcome.issued, IssuedCertificate)
            found.append(outcome.issued.serial_number)

    threads = [threading.Thread(target=issue) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(found)) == 36
    verify_audit(store)


def test_an_order_is_a_value() -> None:
    assert CertificateOrder("a", dns=("b",)) == CertificateOrder("a", dns=("b",))
    assert CertificateOrder("a").profile is CLIENT
    made: Callable[..., Any] = CertificateOrder
    with pytest.raises(TypeError):
        made("a", ["b"])
