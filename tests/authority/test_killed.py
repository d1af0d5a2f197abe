"""Killed in the middle (I10): what left has its record, what was acknowledged holds, no number comes twice."""

from __future__ import annotations

import subprocess
import sys
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from mtlskit.authority import CertificateAuthority
from mtlskit.authority.generations import GenerationState
from mtlskit.authority.ledger import CERTIFICATE, CertificateRecord
from mtlskit.authority.serials import serial_key
from mtlskit.errors import IssuanceError
from mtlskit.fetch.uploads import CertificateUploads
from mtlskit.gate import Gate
from mtlskit.ports import Store
from mtlskit.stores import open_store
from mtlskit.stores.audit import verify_audit

from .conftest import KEYS
from .kill_driver import BATCH_PENDING, NAME, PENDING, POINTS, hostname, rotating
from .wholeness import check_store

PREPARED, RETIRING, RETIRED = GenerationState.PREPARED, GenerationState.RETIRING, GenerationState.RETIRED
ROUND = sum(map(len, POINTS.values()))  # kills
FEW = (1, 12)  # rounds, and kills at moments that chance chooses


def thousand() -> tuple[int, int]:
    rounds = 500 // ROUND
    return rounds, 1_000 - rounds * ROUND


@dataclass
class Aftermath:
    """What the driver said, in its order, and the store that it left."""

    store: Store
    acme: CertificateAuthority
    said: list[tuple[str, str, list[int]]]
    rounds: int
    kills: int

    def values(self, what: str) -> list[int]:
        return [values[0] for _, kind, values in self.said if kind == what]


def only(aftermath: Aftermath, wanted: str) -> list[tuple[str, str, list[int]]]:
    return [each for each in aftermath.said if each[1] == wanted]


def stage_of(authority: CertificateAuthority) -> int:
    """0 as it was made, 1 with the next generation prepared, 2 with it at work, 3 without the one before."""
    states = [each.state for each in authority.generations]
    return 0 if len(states) == 1 else [PREPARED, RETIRING, RETIRED].index(states[1 if states[1] is PREPARED else 0]) + 1


def killed(url: str, rounds: int, random_kills: int) -> Iterator[Aftermath]:
    driver = Path(__file__).with_name("kill_driver.py")
    done = subprocess.run(
        [sys.executable, str(driver), url, str(rounds), str(random_kills)],
        capture_output=True, text=True, timeout=900, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    # What a kill has cut off in the middle of a line has not left.
    lines = [line.split() for line in done.stdout.splitlines() if line.endswith(" .")]
    said = [(point, what, [int(value) for value in values[:-1]]) for point, what, *values in lines]
    store = open_store(url, keys=KEYS)
    yield Aftermath(store, CertificateAuthority.open(NAME, store=store), said, rounds, rounds * ROUND + random_kills)
    store.close()


@pytest.fixture(scope="module")
def aftermath(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Aftermath]:
    yield from killed(f"sqlite:///{tmp_path_factory.mktemp('killed')}/state.db", *FEW)


def test_every_child_was_killed(aftermath: Aftermath) -> None:
    assert len(aftermath.values("killed")) == aftermath.kills
    assert len(aftermath.values("issued")) > aftermath.rounds * 4


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
    found = Counter(one.subject.partition(" ")[0].removeprefix("CN=") for one in aftermath.acme.pending())
    wanted = {"device": 1, "prepared": 2, "Below": 1, "one": 0}
    at_random = aftermath.kills - aftermath.rounds * ROUND
    for name, times in wanted.items():
        each = times * len(PENDING) if times else sum(BATCH_PENDING.values())
        assert aftermath.rounds * each <= found[name] <= aftermath.rounds * each + 2 * at_random, name


@pytest.mark.invariant("I10")
def test_a_crash_leaves_only_the_batch_at_work(aftermath: Aftermath) -> None:
    after_the_second = [point for point, what, _ in aftermath.said if what == "issued" and point.startswith("batch-")]
    # Killed in the second batch, the first one's two have left; killed after its record, nothing has yet.
    for point in ("commit-3-before", "commit-3-after", "sign-3-after", "sign-4-before", "commit-4-before"):
        assert after_the_second.count(f"batch-{point}") == 2 * aftermath.rounds
    for point in ("commit-1-before", "commit-1-after", "sign-2-after", "commit-2-before", "commit-2-after"):
        assert after_the_second.count(f"batch-{point}") == 0


@pytest.mark.invariant("I10")
def test_every_acknowledged_revocation_is_in_the_next_list(aftermath: Aftermath) -> None:
    acknowledged: set[int] = set()
    lists = Counter[str]()
    for _, what, values in aftermath.said:
        if what == "revoked":
            acknowledged.add(values[0])
        elif what == "releasing":
            acknowledged.discard(values[0])  # that was a hold; killed before it ended, it may hold or not
        elif what in ("crl", "published"):
            lists[what] += 1
            assert acknowledged <= set(values[1:])
    assert lists["crl"] > aftermath.rounds
    assert acknowledged <= {entry.serial_number for entry in aftermath.acme.crl()}


@pytest.mark.invariant("I10")
def test_list_numbers_never_repeat_or_go_back(aftermath: Aftermath) -> None:
    numbers = [values[0] for _, what, values in aftermath.said if what in ("crl", "delta", "published")]
    assert numbers
    assert numbers == sorted(set(numbers))


def test_every_authority_that_left_issues(aftermath: Aftermath) -> None:
    names = {f"Below {values[0]} {values[1]}" for _, what, values in aftermath.said if what == "authority"}
    there = {each.name: each for each in CertificateAuthority.list(aftermath.store)}
    assert names <= set(there)
    for name in list(names)[:20]:
        there[name].issue_client("device").certificate.verify_directly_issued_by(there[name].certificate)


def test_what_was_killed_in_the_middle_is_there_by_no_halves(aftermath: Aftermath) -> None:
    with closing(Gate(aftermath.store)) as gate:
        check_store(aftermath.store, gate)


def test_a_rotation_goes_on_from_the_stage_that_it_has_reached(aftermath: Aftermath) -> None:
    reached = {(process, number): stage for _, what, (process, number, stage) in only(aftermath, "rotated")}
    there = {each.name: each for each in CertificateAuthority.list(aftermath.store) if each.name.startswith("Rotating")}
    assert {rotating(*numbers) for numbers in reached} <= there.keys()
    for numbers, stage in reached.items():
        assert stage_of(there[rotating(*numbers)]) >= stage
    for each in list(there.values())[-30:]:
        if stage_of(each) < 2:
            each.rotation.prepare()
            each.rotation.activate()
        each.rotation.retire(1)
        assert stage_of(CertificateAuthority.open(each.name, store=aftermath.store)) == 3


def test_hostnames_and_uploads_that_were_acknowledged_are_there(aftermath: Aftermath) -> None:
    added, removing, removed = (
        {hostname(*values) for _, _, values in only(aftermath, what)} for what in ("added", "removing", "removed")
    )
    with closing(Gate(aftermath.store)) as gate:
        there = {str(each.pattern) for each in gate.hostnames}
    assert added - removing <= there
    assert not removed & there
    uploads = CertificateUploads(aftermath.store)
    for number in aftermath.values("uploaded"):
        uploads.signing_chain(str(uuid.UUID(int=number)))


def test_the_audit_log_is_whole_and_says_what_renews_what(aftermath: Aftermath) -> None:
    assert verify_audit(aftermath.store) is not None
    with aftermath.store.snapshot() as snapshot:
        rows = [row.details for row in snapshot.scan_audit() if row.event == "certificate.reserved"]
    renewed = [row for row in rows if "renews" in row]
    # All but those that were killed before the first commit.
    assert len(renewed) >= aftermath.rounds * 2 * (len(POINTS["renew"]) - 1)
    assert {row["renews"] for row in renewed} <= {row["serial"] for row in rows}


@pytest.mark.invariant("I10")
def test_what_was_left_pending_can_be_revoked_and_its_number_stays_taken(aftermath: Aftermath) -> None:
    pending = aftermath.acme.pending()
    assert pending
    with pytest.raises(IssuanceError):
        aftermath.acme.revoke(pending[0].serial_number, reason="no reason")
    for one in pending:
        aftermath.acme.revoke(one.serial_number)
    assert aftermath.acme.pending() == ()
    listed = {entry.serial_number for entry in aftermath.acme.crl()}
    assert {one.serial_number for one in pending} <= listed


@pytest.mark.slow
@pytest.mark.invariant("I10")
@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_a_thousand_kills(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    url = f"sqlite:///{tmp_path}/state.db" if kind == "sqlite" else str(request.getfixturevalue("postgres_url"))
    for aftermath in killed(url, *thousand()):
        assert aftermath.kills == 1_000
        for each in (
            test_every_child_was_killed,
            test_every_certificate_that_left_has_its_record,
            test_no_serial_number_left_twice,
            test_every_signature_was_preceded_by_its_reservation,
            test_a_crash_leaves_only_the_batch_at_work,
            test_every_acknowledged_revocation_is_in_the_next_list,
            test_list_numbers_never_repeat_or_go_back,
            test_every_authority_that_left_issues,
            test_what_was_killed_in_the_middle_is_there_by_no_halves,
            test_a_rotation_goes_on_from_the_stage_that_it_has_reached,
            test_hostnames_and_uploads_that_were_acknowledged_are_there,
            test_the_audit_log_is_whole_and_says_what_renews_what,
            test_what_was_left_pending_can_be_revoked_and_its_number_stays_taken,
        ):
            each(aftermath)


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
