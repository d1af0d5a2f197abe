"""The expiry forecast: what of a store stops working, when, and what then happens."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from mtlskit.authority import CertificateAuthority
from mtlskit.authority import endings as authority_endings
from mtlskit.core.certificates import SigningChain, to_pem
from mtlskit.endings import EndingKind
from mtlskit.errors import ConfigurationError, StoreError
from mtlskit.fetch import AuthorityUploads, CertificateUploads
from mtlskit.forecast import Forecast, forecast
from mtlskit.gate import Gate
from mtlskit.ports import Store
from mtlskit.stores import KeyEncryption, open_store
from mtlskit.testing.certificates import SERVER_AUTH, Authority

KEYS = KeyEncryption(bytes(32))
NOW = datetime.now(UTC).replace(microsecond=0)
MONTH = timedelta(days=30)
SERVER, LAST, ANCHOR, AUTHORITY, UPLOAD, UPLOADED_CA = EndingKind


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    url = "memory://" if request.param == "memory" else f"sqlite:///{tmp_path}/state.db"
    opened = open_store(url, keys=KEYS)
    yield opened
    opened.close()


@pytest.fixture
def gate(store: Store) -> Iterator[Gate]:
    made = Gate(store)
    yield made
    made.close()


def root(name: str, days: float) -> Authority:
    return Authority.root(name, not_after=NOW + timedelta(days=days))


def told(found: Forecast) -> list[tuple[EndingKind, str, float]]:
    """What ends, of whom, and in how many days."""
    return [(each.what, each.name, (each.ends_at - NOW) / timedelta(days=1)) for each in found.endings]


def ahead(store: Store, days: float = 30, *, at: datetime = NOW, most: int = 1_000) -> Forecast:
    return forecast(store, now=at, within=timedelta(days=days), most=most)


def test_an_empty_store_has_nothing_that_ends(store: Store) -> None:
    found = ahead(store)
    assert (found.endings, found.left_out, found.certificates, bool(found)) == ((), 0, (), False)
    assert (found.now, found.until) == (NOW, NOW + MONTH)


def test_hostnames_whose_certificate_or_anchors_end_by_time(store: Store, gate: Gate) -> None:
    servers = root("Servers", 900)
    good, soon, sooner = root("Good", 400), root("Soon", 20), root("Sooner", 10)
    chain = servers.leaf("b", sans=("dns:b.example",), usages=(SERVER_AUTH,), not_after=NOW + timedelta(days=5))
    gate.hostnames.add("a.example", trust=[good.certificate])
    gate.hostnames.add("b.example", trust=[soon.certificate, good.certificate], server=chain)
    gate.hostnames.add("c.example", trust=[sooner.certificate, soon.certificate])
    gate.hostnames.add("d.example", client_auth="none")
    found = ahead(store)
    assert told(found) == [
        (SERVER, "b.example", 5), (ANCHOR, "c.example", 10), (ANCHOR, "b.example", 20), (LAST, "c.example", 20),
    ]  # fmt: skip
    assert [each.subject for each in found.endings] == ["CN=b", "CN=Sooner", "CN=Soon", "CN=Soon"]
    assert all(each.then and each.then[0].islower() and not each.then.endswith(".") for each in found.endings)
    assert len({each.then for each in found.endings}) == 3


def test_of_a_server_chain_the_first_that_ends_counts(store: Store, gate: Gate) -> None:
    middle = root("Servers", 900).intermediate("Middle", not_after=NOW + timedelta(days=3))
    chain = middle.leaf("b", sans=("dns:b.example",), usages=(SERVER_AUTH,), not_after=NOW + timedelta(days=300))
    gate.hostnames.add("b.example", trust=[root("Good", 900).certificate], server=chain)
    (ending,) = ahead(store).endings
    assert (ending.what, ending.subject) == (SERVER, "CN=Middle")


def test_what_is_past_is_told_while_it_is_in_use(store: Store, gate: Gate) -> None:
    early = root("Early", 10)
    gate.hostnames.add("a.example", trust=[early.certificate, root("Late", 800).certificate])
    gate.hostnames.add("b.example", trust=[early.certificate])
    later = NOW + timedelta(days=100)
    assert told(ahead(store, at=later)) == [(LAST, "b.example", 10)], "of a.example nothing is lost any more"


def test_both_ends_of_the_time_belong_to_it(store: Store, gate: Gate) -> None:
    gate.hostnames.add("a.example", trust=[root("Thirty", 30).certificate])
    assert len(ahead(store, 30).endings) == 1
    assert len(ahead(store, 29.99).endings) == 0


def test_authorities_in_every_state(store: Store) -> None:
    now = NOW
    acme = CertificateAuthority.create("Acme", store=store, lifetime=timedelta(days=20), clock=lambda: now)
    acme.rotation.prepare(lifetime=timedelta(days=25))
    assert told(ahead(store)) == [(AUTHORITY, "Acme G1 (active)", 20), (AUTHORITY, "Acme G2 (prepared)", 25)]
    acme.rotation.activate()
    found = ahead(store)
    assert told(found) == [(AUTHORITY, "Acme G1 (retiring)", 20), (AUTHORITY, "Acme G2 (active)", 25)]
    assert [each.then for each in found.endings] == [
        "what it issued before the rotation is good no more",
        "it issues nothing more, and nothing that it issued is good: rotate it before",
    ]
    assert told(ahead(store, at=NOW + timedelta(days=22))) == [(AUTHORITY, "Acme G2 (active)", 25)]
    acme.rotation.retire(1, remaining="abandon")
    assert told(ahead(store)) == [(AUTHORITY, "Acme G2 (active)", 25)]


def test_an_intermediate_ends_with_what_is_above_it(store: Store) -> None:
    above = root("Elsewhere", 15)
    middle = above.intermediate("Middle", not_after=NOW + timedelta(days=300))
    chain = SigningChain(middle.key, (middle.certificate, above.certificate))
    CertificateAuthority.take_over("Below", chain, store=store)
    (ending,) = ahead(store).endings
    assert (ending.name, ending.subject) == ("Below G1 (active)", "CN=Elsewhere")


def test_uploads_by_their_name_or_id(store: Store) -> None:
    by, uploads = root("Partner", 900), CertificateUploads(store)
    ids = []
    for name, days in (("billing", 7), (None, 8), ("later", 70)):
        leaf = by.leaf("client", not_after=NOW + timedelta(days=days))
        ids.append(uploads.upload(leaf.chain_pem(), leaf.to_pem(), name=name).id)
    found = ahead(store)
    assert told(found) == [(UPLOAD, "billing", 7), (UPLOAD, ids[1], 8)]
    assert found.endings[0].subject == "CN=Partner"


def test_uploaded_authorities_by_each_of_their_certificates(store: Store) -> None:
    uploads, soon, later = AuthorityUploads(store), root("Soon", 7), root("Later", 70)
    middle = later.intermediate("Middle", not_after=NOW + timedelta(days=9))
    uploads.upload(to_pem([later.certificate, middle.certificate, soon.certificate]), name="partner")
    unnamed = uploads.upload(to_pem([root("Other", 8).certificate])).id
    found = ahead(store)
    assert told(found) == [(UPLOADED_CA, "partner", 7), (UPLOADED_CA, unnamed, 8), (UPLOADED_CA, "partner", 9)]
    assert [each.subject for each in found.endings] == ["CN=Soon", "CN=Other", "CN=Middle"]
    assert {each.then for each in found.endings} == {"servers with certificates from it are trusted no more"}
    with store.transaction() as transaction:
        transaction.insert("ca-certificate", "", "broken", b"{}")
    with pytest.raises(StoreError, match="'broken'"):
        ahead(store)


def test_no_key_is_opened(store: Store, gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    acme = CertificateAuthority.create("Acme", store=store, lifetime=timedelta(days=20))
    device = acme.issue_client("device", lifetime=timedelta(days=10))
    CertificateUploads(store).upload(device.chain_pem(), device.to_pem())
    gate.hostnames.add("a.example", trust=[acme.certificate], server=acme.issue_server("a.example", lifetime=MONTH / 3))

    def refuse(*_: object, **__: object) -> bytes:
        raise AssertionError("a key was opened")

    monkeypatch.setattr(type(store), "unseal", refuse)
    assert len(ahead(store).endings) == 4


# --- end-entity certificates ----------------------------------------------------------------------------------------


def issued(authority: CertificateAuthority, days: float, *names: str) -> None:
    for name in names:
        authority.issue_client(name, lifetime=timedelta(days=days))


def counts(found: Forecast) -> dict[str, int]:
    return {each.authority: each.count for each in found.certificates}


def test_devices_that_were_not_renewed_are_counted_by_authority(store: Store) -> None:
    acme, other = (CertificateAuthority.create(name, store=store) for name in ("Acme", "Other"))
    issued(acme, 10, "one", "two", "renewed", "renewed", "revoked")
    issued(acme, 60, "renewed", "later")
    issued(acme, 20, "two")
    issued(other, 25, "one")
    acme.revoke(_serial(store, acme, "CN=revoked"))
    found = ahead(store)
    assert counts(found) == {"Acme": 2, "Other": 1}
    assert bool(found) is True
    first = found.certificates[0]
    assert abs(first.first - (NOW + timedelta(days=10))) < timedelta(hours=2), "of two certificates the last counts"
    assert abs(first.last - (NOW + timedelta(days=20))) < timedelta(hours=2)
    assert counts(ahead(store, 1)) == {}
    assert counts(ahead(store, at=NOW + timedelta(days=11))) == {"Acme": 1, "Other": 1}, "what is past is not to come"


def _serial(store: Store, authority: CertificateAuthority, subject: str) -> int:
    from mtlskit.authority.ledger import CERTIFICATE, CertificateRecord

    with store.snapshot() as snapshot:
        rows = [CertificateRecord.from_bytes(row.value) for row in snapshot.scan(CERTIFICATE, authority.key_id.hex())]
    return next(row.reservation.serial_number for row in rows if row.reservation.subject == subject)


def test_a_device_renewed_by_the_next_generation_is_renewed(store: Store) -> None:
    acme = CertificateAuthority.create("Acme", store=store)
    issued(acme, 10, "one", "two")
    acme.rotation.prepare()
    acme.rotation.activate()
    issued(acme, 90, "one")
    assert counts(ahead(store)) == {"Acme": 1}
    acme.rotation.retire(1, remaining="abandon")
    assert counts(ahead(store)) == {}, "of a retired generation nothing is good already"


def test_authorities_certificates_are_no_devices(store: Store) -> None:
    acme = CertificateAuthority.create("Acme", store=store, lifetime=timedelta(days=20))
    CertificateAuthority.create("Below", store=store, parent=acme, lifetime=timedelta(days=10))
    acme.rotation.prepare(lifetime=timedelta(days=15))
    assert counts(ahead(store)) == {}


@pytest.mark.parametrize("most", [1, 2, 7])
def test_more_subjects_than_fit_are_read_in_shares(store: Store, most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    acme = CertificateAuthority.create("Acme", store=store)
    issued(acme, 10, *(f"device-{number}" for number in range(20)))
    issued(acme, 60, *(f"device-{number}" for number in range(5)))
    monkeypatch.setattr(authority_endings, "_MOST_SUBJECTS", most)
    assert counts(ahead(store)) == {"Acme": 15}


def test_of_many_only_the_first_are_named_and_the_rest_counted(store: Store, gate: Gate) -> None:
    anchors = [root(f"Root {days}", days) for days in range(1, 8)]
    for number, anchor in enumerate(reversed(anchors)):
        gate.hostnames.add(f"h{number}.example", trust=[anchor.certificate])
        issued(CertificateAuthority.create(f"A{number}", store=store), 10 + number, "device")
    found = ahead(store, most=3)
    assert [name for _, name, _ in told(found)] == ["h6.example", "h5.example", "h4.example"]
    assert (found.left_out, list(counts(found)), found.authorities_left_out) == (4, ["A0", "A1", "A2"], 4)


def test_memory_does_not_grow_with_the_store() -> None:
    store = open_store("memory://", keys=KEYS)
    gate = Gate(store)
    gate.hostnames.add("h.example", trust=[root("Soon", 3).certificate])
    with store.snapshot() as snapshot:
        value = snapshot.get("hostname", "", "h.example").value  # type: ignore[union-attr]
    number = 5_000
    with store.transaction() as transaction:
        for each in range(number):
            transaction.insert("hostname", "", f"h{each:06}.example", value)
    tracemalloc.start()
    assert ahead(store, most=10).left_out == number + 1 - 10
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < number * len(value) / 10
    gate.close()


def test_a_moment_without_a_zone_and_a_broken_record_are_errors(store: Store) -> None:
    with pytest.raises(ConfigurationError, match="with its zone"):
        ahead(store, at=NOW.replace(tzinfo=None))
    with store.transaction() as transaction:
        transaction.insert("hostname", "", "broken.example", b'{"server": null}')
    with pytest.raises(StoreError, match=r"'broken\.example'"):
        ahead(store)
