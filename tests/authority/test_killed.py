"""Killed in the middle (I10): what left has its record, what was acknowledged holds, no number comes twice."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from mtlskit.authority import CertificateAuthority
from mtlskit.authority.ledger import CERTIFICATE, CertificateRecord
from mtlskit.authority.serials import serial_key
from mtlskit.ports import Store
from mtlskit.stores import open_store
from mtlskit.stores.audit import verify_audit

from .conftest import KEYS
from .kill_driver import ISSUE, LIST, RANDOM_KILLS, REVOKE, ROUNDS


@dataclass
class Aftermath:
    store: Store
    acme: CertificateAuthority
    said: list[tuple[str, str, int]]

    def values(self, what: str) -> list[int]:
        return [value for _, kind, value in self.said if kind == what]


@pytest.fixture(scope="module")
def aftermath(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Aftermath]:
    path = tmp_path_factory.mktemp("killed") / "state.db"
    driver = Path(__file__).with_name("kill_driver.py")
    done = subprocess.run(
        [sys.executable, str(driver), str(path)], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    lines = [line.split() for line in done.stdout.splitlines()]
    store = open_store(f"sqlite:///{path}", keys=KEYS)
    acme = CertificateAuthority.open("Acme", store=store)
    yield Aftermath(store, acme, [(point, what, int(value)) for point, what, value in lines])
    store.close()


def test_every_child_was_killed(aftermath: Aftermath) -> None:
    steps = ROUNDS * (len(ISSUE) + len(REVOKE) + len(LIST))
    assert len(aftermath.values("killed")) == steps + RANDOM_KILLS
    assert len(aftermath.values("issued")) > ROUNDS


@pytest.mark.invariant("I10")
def test_every_certificate_that_left_has_its_record(aftermath: Aftermath) -> None:
    with aftermath.store.snapshot() as snapshot:
        for serial in aftermath.values("issued"):
            found = snapshot.get(CERTIFICATE, aftermath.acme.key_id.hex(), serial_key(serial))
            assert found is not None
            assert CertificateRecord.from_bytes(found.value).der is not None


@pytest.mark.invariant("I10")
def test_no_serial_number_left_twice(aftermath: Aftermath) -> None:
    issued = aftermath.values("issued")
    assert len(set(issued)) == len(issued)


@pytest.mark.invariant("I10")
def test_every_signature_was_preceded_by_its_reservation(aftermath: Aftermath) -> None:
    pending = [one for one in aftermath.acme.pending() if one.subject == "CN=device"]
    # Killed after the first commit, around the signature and before the second commit: four points each round.
    assert len(pending) >= ROUNDS * 4
    assert len(pending) <= ROUNDS * 4 + RANDOM_KILLS


@pytest.mark.invariant("I10")
def test_every_acknowledged_revocation_is_in_the_next_list(aftermath: Aftermath) -> None:
    listed = {entry.serial_number for entry in aftermath.acme.crl()}
    assert set(aftermath.values("revoked")) <= listed


@pytest.mark.invariant("I10")
def test_list_numbers_never_repeat_or_go_back(aftermath: Aftermath) -> None:
    numbers = aftermath.values("crl")
    assert numbers
    assert numbers == sorted(set(numbers))


def test_the_audit_log_is_whole(aftermath: Aftermath) -> None:
    assert verify_audit(aftermath.store) is not None


@pytest.mark.invariant("I10")
def test_what_was_left_pending_can_be_revoked_and_its_number_stays_taken(aftermath: Aftermath) -> None:
    pending = aftermath.acme.pending()
    assert pending
    for one in pending:
        aftermath.acme.revoke(one.serial_number)
    assert aftermath.acme.pending() == ()
    listed = {entry.serial_number for entry in aftermath.acme.crl()}
    assert {one.serial_number for one in pending} <= listed


def test_of_several_makers_at_once_one_makes_the_authority(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/state.db"
    open_store(url, keys=KEYS).close()
    script = f"""
from mtlskit.authority import CertificateAuthority
from mtlskit.errors import Conflict
from mtlskit.stores import KeyEncryption, open_store
store = open_store("{url}", keys=KeyEncryption(bytes(32)))
input()
try:
    print(CertificateAuthority.create("Acme", store=store).key_id.hex())
except Conflict:
    print("conflict", CertificateAuthority.open("Acme", store=store).key_id.hex())
store.close()
"""
    children = [
        subprocess.Popen(
            [sys.executable, "-W", "error", "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(3)
    ]
    for child in children:
        assert child.stdin is not None
        child.stdin.write("\n")
        child.stdin.flush()
    said = [child.communicate(timeout=60)[0].split() for child in children]
    assert sorted(map(len, said)) == [1, 2, 2]
    assert len({words[-1] for words in said}) == 1
    store = open_store(url, keys=KEYS)
    assert len(CertificateAuthority.list(store)) == 1
    store.close()
