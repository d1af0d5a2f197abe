"""Rotation of the key-encryption key: what is sealed under which key, and all of it under the new one."""

from __future__ import annotations

import ast
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import mtlskit
from mtlskit.authority import CertificateAuthority
from mtlskit.authority.signers import KeySigner, KeyType, generate_key
from mtlskit.core.verdict import Allow
from mtlskit.errors import Conflict, StoreError, Unavailable
from mtlskit.fetch import CertificateUploads
from mtlskit.gate import Gate
from mtlskit.ports import Store, Transaction
from mtlskit.resealing import EVERYTHING_SEALED, SealedCount, key_in_use, reseal, sealed
from mtlskit.sealing import sealed_under
from mtlskit.stores import KeyEncryption, SQLiteStore, open_store
from mtlskit.stores.audit import verify_audit

OLD, NEW, LOST = (bytes([each]) * 32 for each in (1, 2, 3))
OLD_ID, NEW_ID, LOST_ID = (KeyEncryption(key).key_id.hex() for key in (OLD, NEW, LOST))
KINDS = ("authority-key", "hostname", "client-certificate")


class World:
    """A store, and something of every kind that is sealed in it."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.store = open_store(url, keys=KeyEncryption(OLD))
        self.fill("acme")

    def fill(self, name: str) -> None:
        authority = CertificateAuthority.create(name, store=self.store)
        device = authority.issue_client("device")
        CertificateUploads(self.store).upload(device.chain_pem(), device.to_pem(), name=name)
        gate = Gate(self.store)
        host = f"{name}.example"
        gate.hostnames.add(host, trust=[authority.certificate], server=authority.issue_server(host))
        gate.hostnames.add(f"no-server.{host}", trust=[authority.certificate])
        gate.close()

    def open(self, *keys: bytes) -> Store:
        """The store opened anew with these keys, the first of which seals."""
        self.store.close()
        self.store = open_store(self.url, keys=KeyEncryption(keys[0], previous=keys[1:]))
        return self.store

    def counts(self) -> dict[tuple[str, str], int]:
        return {(each.kind, each.key_id): each.count for each in sealed(self.store)}

    def check_all_opens(self, *names: str) -> None:
        gate = Gate(self.store)
        for name in names or ("acme",):
            authority = CertificateAuthority.open(name, store=self.store)
            device = authority.issue_client("another device")
            assert gate.hostnames.get(f"{name}.example").server is not None
            assert isinstance(gate.explain(f"{name}.example", certificate=device.chain_pem()), Allow)
            (upload,) = CertificateUploads(self.store).list(name)
            CertificateUploads(self.store).signing_chain(upload.id)
        gate.close()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(f"sqlite:///{tmp_path}/state.db")
    yield made
    made.store.close()


def resealings(store: Store) -> list[dict[str, str]]:
    with store.snapshot() as snapshot:
        return [dict(row.details) for row in snapshot.scan_audit() if row.event == "keys.resealed"]


def test_everything_is_sealed_under_the_new_key_and_opens(world: World) -> None:
    assert world.counts() == {(kind, OLD_ID): 1 for kind in KINDS}
    store = world.open(NEW, OLD)
    assert key_in_use(store) == NEW_ID
    done = reseal(store)
    assert (done.key_id, dict(done.done), done.left) == (NEW_ID, dict.fromkeys(KINDS, 1), ())
    assert world.counts() == {(kind, NEW_ID): 1 for kind in KINDS}
    assert resealings(store) == [{"kind": kind, "count": "1", "key_id": NEW_ID} for kind in KINDS]
    verify_audit(store)
    world.check_all_opens()


def test_afterwards_the_new_key_alone_opens_the_store_and_the_old_one_does_not(world: World) -> None:
    reseal(world.open(NEW, OLD))
    world.open(NEW)
    world.check_all_opens()
    world.fill("later")
    with pytest.raises(StoreError, match=NEW_ID):
        world.open(OLD).seal(b"", context="x")


def test_while_something_is_left_the_store_stays_with_its_old_key(world: World) -> None:
    world.store.seal(b"", context="x")
    with world.store.transaction() as transaction:
        transaction.insert("authority-key", "", "11" * 32, KeyEncryption(LOST).seal(b"secret", context="x"))
    reseal(world.open(NEW, OLD))
    with pytest.raises(StoreError, match=OLD_ID):
        world.open(NEW).seal(b"", context="x")


def test_a_second_time_there_is_nothing_to_do(world: World) -> None:
    store = world.open(NEW, OLD)
    reseal(store)
    done = reseal(store)
    assert set(done.done.values()) == {0}
    assert len(resealings(store)) == len(KINDS)


def test_nothing_but_the_envelopes_changes(world: World) -> None:
    gate = Gate(world.store)
    before, upload = gate.hostnames.get("acme.example"), CertificateUploads(world.store).list()
    store = world.open(NEW, OLD)
    heard: list[frozenset[str]] = []
    store.subscribe(heard.append)
    reseal(store)
    after = Gate(store).hostnames.get("acme.example")
    assert (after.version, after.server is not None) == (before.version + 1, True)
    assert [each.certificate for each in after.trust.anchors] == [each.certificate for each in before.trust.anchors]
    assert CertificateUploads(store).list() == upload
    assert set().union(*heard) == set(), "nobody has to forget anything: the contents are what they were"


def test_a_key_in_a_token_has_nothing_to_seal(world: World) -> None:
    signer = KeySigner(generate_key(KeyType.EC_P256))
    CertificateAuthority.create("elsewhere", store=world.store, signer=signer)
    assert world.counts() == {(kind, OLD_ID): 1 for kind in KINDS}
    assert reseal(world.open(NEW, OLD)).done["authority-key"] == 1


def test_what_no_key_opens_is_left_and_told(world: World) -> None:
    with world.store.transaction() as transaction:
        transaction.insert("authority-key", "", "11" * 32, KeyEncryption(LOST).seal(b"secret", context="x"))
        moved = world.store.seal(b"secret", context="another record")
        transaction.insert("authority-key", "", "22" * 32, moved)
        transaction.insert("hostname", "", "broken.example", b"no document")
        transaction.insert("client-certificate", "", "broken", b'{"private_key": 1}')
    done = reseal(world.open(NEW, OLD))
    assert dict(done.done) == dict.fromkeys(KINDS, 1)
    assert {(each.kind, each.key_id): each.count for each in done.left} == {
        ("authority-key", LOST_ID): 1, ("authority-key", OLD_ID): 1, ("hostname", ""): 1, ("client-certificate", ""): 1,
    }  # fmt: skip


def test_without_the_key_of_the_store_nothing_is_touched_and_all_is_counted(world: World) -> None:
    before = world.counts()
    store = world.open(NEW)
    with pytest.raises(StoreError, match=f"id {OLD_ID}"):
        reseal(store)
    assert (world.counts(), key_in_use(store), resealings(store)) == (before, "", [])


class Interrupted:
    """A store in which something happens before each transaction."""

    def __init__(self, store: Store, before: Callable[[int], None]) -> None:
        self.store, self.before, self.number = store, before, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.store, name)

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        self.number += 1
        self.before(self.number)
        with self.store.transaction() as transaction:
            yield transaction


def many(world: World, number: int) -> list[str]:
    uploads = CertificateUploads(world.store)
    device = CertificateAuthority.open("acme", store=world.store).issue_client("one of many")
    return [uploads.upload(device.chain_pem(), device.to_pem(), name="many").id for _ in range(number)]


def test_after_a_crash_it_goes_on_where_it_was(world: World) -> None:
    many(world, 250)
    store = world.open(NEW, OLD)

    def crash(number: int) -> None:
        if number == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        reseal(Interrupted(store, crash))  # type: ignore[arg-type]
    assert world.counts()["client-certificate", OLD_ID] == 151
    world.check_all_opens()
    done = reseal(store)
    assert dict(done.done) == {"authority-key": 0, "hostname": 0, "client-certificate": 151}
    assert [row["count"] for row in resealings(store)] == ["1", "1", "100", "100", "51"]


def test_no_transaction_has_more_than_a_batch(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    many(world, 120)
    store = world.open(NEW, OLD)
    reseal(store)
    assert max(int(row["count"]) for row in resealings(store)) == 100


def test_what_is_changed_and_removed_meanwhile_stays_so(world: World) -> None:
    ids = sorted(many(world, 20))
    store = world.open(NEW, OLD)

    def meddle(number: int) -> None:
        if number == 3:  # the uploads have been read, and their transaction is about to begin
            other = Gate(store)
            CertificateUploads(store).delete(ids[0])
            other.hostnames.remove("acme.example")
            reseal(store)

    done = reseal(Interrupted(store, meddle))  # type: ignore[arg-type]
    assert done.done["client-certificate"] == 0, "somebody else was quicker"
    assert done.left == ()
    assert ids[0] not in {each.id for each in CertificateUploads(store).list()}


def test_a_conflict_means_read_again(world: World) -> None:
    store = world.open(NEW, OLD)
    failures = iter([Conflict("somebody else"), Conflict("somebody else")])

    def conflict(_: int) -> None:
        for failure in failures:
            raise failure

    assert reseal(Interrupted(store, conflict)).left == ()  # type: ignore[arg-type]

    def always(_: int) -> None:
        raise Conflict("somebody else")

    world.fill("more")
    with pytest.raises(Conflict, match="authorities' keys to stand still"):
        reseal(Interrupted(world.open(LOST, NEW, OLD), always))  # type: ignore[arg-type]


def test_a_store_that_does_not_answer_is_told(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    store = world.open(NEW, OLD)

    def unseal(self: Any, sealed: bytes, *, context: str) -> bytes:
        raise Unavailable("expected an answer")

    monkeypatch.setattr(SQLiteStore, "unseal", unseal)
    with pytest.raises(Unavailable):
        reseal(store)
    assert resealings(store) == []


def test_several_at_once_seal_everything_once(world: World) -> None:
    many(world, 300)
    store = world.open(NEW, OLD)
    done: list[int] = []
    threads = [threading.Thread(target=lambda: done.append(sum(reseal(store).done.values()))) for _ in range(3)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert sum(done) == 303
    assert sealed(store) == tuple(
        SealedCount(kind=each.kind, what=each.what, key_id=NEW_ID, count=301 if each.kind == KINDS[2] else 1)
        for each in EVERYTHING_SEALED
    )


@pytest.mark.parametrize("envelope", [b"", b"\x01", b"\x02" * 40, b"\x01" * 8])
def test_what_is_no_envelope_says_no_key(envelope: bytes) -> None:
    with pytest.raises(StoreError, match="of a known version"):
        sealed_under(envelope)


def test_the_key_id_of_an_envelope_is_that_of_its_key() -> None:
    keys = KeyEncryption(NEW)
    assert sealed_under(keys.seal(b"secret", context="x")) == keys.key_id


def test_whoever_seals_is_known_here() -> None:
    root = Path(mtlskit.__file__).parent
    sealing = {
        path.relative_to(root).as_posix()
        for path in root.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and node.attr == "seal" and path.parent.name != "stores"
    }
    assert sealing - {"sealing.py"} == {"authority/creation.py", "gate/hostname_records.py", "fetch/uploads.py"}
    assert len(EVERYTHING_SEALED) == 3
