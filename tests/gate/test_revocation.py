"""Revocation lists in a gate: what they deny, on open connections too, and what happens while they change and age."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from mtlskit.authority import CertificateAuthority
from mtlskit.core.evidence import PeerEvidence
from mtlskit.core.validation import RevocationList
from mtlskit.core.verdict import Allow, Deny
from mtlskit.errors import CertificateError, ConfigurationError, MTLSError
from mtlskit.gate import Gate
from mtlskit.gate.connection import Connection
from mtlskit.revocation import RevocationLists, Schedule, WatchedLists
from mtlskit.stores import open_store
from revocation.crls import Site, make_list, put, wait_until, website
from support.world import ACME, PUBLIC, UMBRELLA, World, certificates

MADE = certificates()
CLIENT = MADE.clients["acme"]
SERIAL = CLIENT.serial_number


def acme_list(number: int, *revoked: int, until: timedelta = timedelta(days=1)) -> bytes:
    return make_list(number, by=MADE.acme, revoked=revoked, until=until)


@dataclass
class Listed(World):
    """A world whose first hostname asks the list in `path`."""

    path: Path = Path()

    def open(self, name: str = "acme", hostname: str = ACME) -> Connection:
        wire = self.connect(self.client(name), hostname)
        assert wire.refused_at is None
        return Connection(wire.server, lambda: None)

    def ask(self, connection: Connection, authority: str = ACME) -> str:
        """What becomes of a request: "allow", or the reason."""
        verdict = self.gate.decide_on(connection, authority)
        return "allow" if isinstance(verdict, Allow) else verdict.reason.value

    def swap(self, data: bytes) -> None:
        put(self.path, data)
        self.gate.lists.refresh()


Make = Callable[..., Listed]


@pytest.fixture
def make(backend: str, tmp_path: Path) -> Iterator[Make]:
    """Makes a world; `settings` go to the first hostname."""
    path = tmp_path / "acme.crl"
    put(path, acme_list(1))
    opened: list[Any] = []

    def made(reading: RevocationLists | None = None, **settings: Any) -> Listed:
        store = open_store("memory://")
        gate = Gate(store, backend=backend, lists=reading)
        opened.extend((gate, store))
        asked = {"revocation": "leaf", "lists": [path.as_uri()], **settings}
        gate.hostnames.add(ACME, trust=[MADE.acme.certificate], server=MADE.servers[ACME], **asked)
        gate.hostnames.add(UMBRELLA, trust=[MADE.umbrella.certificate], server=MADE.servers[UMBRELLA])
        gate.hostnames.add(PUBLIC, client_auth="none", server=MADE.servers[PUBLIC])
        return Listed(gate, store, path=path)

    yield made
    for each in opened:
        each.close()


@pytest.fixture
def saas(make: Make) -> Listed:
    """With its list loaded."""
    made = make()
    made.gate.load_lists()
    return made


@pytest.mark.invariant(6)
def test_i6_who_is_revoked_by_a_list_alone_is_denied_on_an_open_connection(saas: Listed) -> None:
    connection = saas.open()
    changes = saas.gate.changes
    assert saas.ask(connection) == "allow"
    saas.swap(acme_list(2, SERIAL))
    assert saas.gate.changes > changes
    assert saas.ask(connection) == "revoked"
    assert saas.ask(saas.open()) == "revoked"
    saas.swap(acme_list(3))  # released from hold
    assert saas.ask(connection) == "allow"


@pytest.mark.invariant(6)
def test_i6_a_file_that_is_replaced_is_noticed_without_being_told(make: Make) -> None:
    lists = RevocationLists(schedule=Schedule(file_interval=timedelta(milliseconds=20)))
    try:
        saas = make(lists)
        saas.gate.load_lists()
        connection = saas.open()
        assert saas.ask(connection) == "allow"
        put(saas.path, acme_list(2, SERIAL))
        wait_until(lambda: saas.ask(connection) == "revoked", seconds=2)
    finally:
        lists.close()


def test_a_list_of_our_own_authority_works_where_its_store_is_not_at_hand(make: Make) -> None:
    elsewhere = open_store("memory://")
    authority = CertificateAuthority.create("Acme devices", store=elsewhere)
    device, other = authority.issue_client("device-17"), authority.issue_client("device-18")
    saas = make()
    saas.gate.hostnames.replace(
        ACME, trust=[authority.certificate], server=MADE.servers[ACME], revocation="leaf", lists=[authority.crl()]
    )
    assert isinstance(saas.gate.explain(ACME, certificate=device.chain_pem()), Allow)
    authority.revoke(device.serial_number, reason="key_compromise")
    settings: dict[str, Any] = {"trust": [authority.certificate], "server": MADE.servers[ACME], "revocation": "path"}
    for form in (
        authority.crl(),
        authority.crl().public_bytes(Encoding.PEM),
        authority.crl().public_bytes(Encoding.DER),
    ):
        saas.gate.hostnames.replace(ACME, lists=[form], **settings)
        assert saas.gate.explain(ACME, certificate=device.chain_pem()).reason.value == "revoked"  # type: ignore[union-attr]
        assert isinstance(saas.gate.explain(ACME, certificate=other.chain_pem()), Allow)
    elsewhere.close()


def travel(monkeypatch: pytest.MonkeyPatch, by: timedelta) -> None:
    later = datetime.now(UTC) + by
    monkeypatch.setattr("mtlskit.gate.gate._now", lambda: later)
    monkeypatch.setattr("mtlskit.gate.gate.time.time", later.timestamp)


@pytest.mark.invariant(7)
@pytest.mark.parametrize(
    ("opt_outs", "after"),
    [
        ({}, "revocation_unknown"),
        ({"revocation_unknown": "insecure_allow"}, "revocation_unknown"),
        ({"revocation_stale": "insecure_allow"}, "allow"),
    ],
)
def test_i7_a_list_that_runs_out_while_a_connection_is_open(
    make: Make, monkeypatch: pytest.MonkeyPatch, opt_outs: dict[str, str], after: str
) -> None:
    saas = make(**opt_outs)
    put(saas.path, acme_list(1, until=timedelta(seconds=40)))
    saas.gate.load_lists()
    connection, other = saas.open(), saas.open()
    assert saas.ask(connection) == "allow"
    travel(monkeypatch, timedelta(seconds=39))
    assert saas.ask(connection) == "allow"
    travel(monkeypatch, timedelta(seconds=42))
    assert [saas.ask(connection), saas.ask(other)] == [after, after]


@pytest.mark.invariant(7)
def test_i7_whom_a_list_revoked_stays_out_when_it_has_run_out(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    saas = make(revocation_unknown="insecure_allow", revocation_stale="insecure_allow")
    put(saas.path, acme_list(1, SERIAL, until=timedelta(seconds=40)))
    saas.gate.load_lists()
    connection = saas.open()
    assert saas.ask(connection) == "revoked"
    travel(monkeypatch, timedelta(seconds=42))
    assert saas.ask(connection) == "revoked"


@pytest.mark.invariant(7)
@pytest.mark.parametrize(("unknown", "after"), [("deny", "revocation_unknown"), ("insecure_allow", "allow")])
def test_i7_without_a_list_nobody_gets_in_unless_it_is_said(make: Make, unknown: str, after: str) -> None:
    saas = make(revocation_unknown=unknown)
    os.unlink(saas.path)
    saas.gate.load_lists()
    connection = saas.open()
    assert saas.ask(connection) == after
    saas.swap(acme_list(1, SERIAL))
    assert saas.ask(connection) == "revoked", "whoever passed for want of a list does not pass when there is one"


@pytest.mark.invariant(7)
def test_i7_a_list_of_another_authority_vouches_for_nobody(saas: Listed) -> None:
    connection = saas.open()
    assert saas.ask(connection) == "allow"
    for wrong in (make_list(9, by=MADE.umbrella), make_list(9, by=MADE.acme, forged_by=MADE.umbrella)):
        saas.swap(wrong)
        assert saas.ask(connection) == "allow", "the last authentic one still holds"
    os.unlink(saas.path)
    with_nothing_before = Gate(saas.store, backend=saas.gate.backend)
    put(saas.path, wrong)
    with_nothing_before.load_lists()
    verdict = with_nothing_before.decide(connection.evidence, ACME)
    assert isinstance(verdict, Deny)
    assert verdict.reason.value == "revocation_unknown"
    with_nothing_before.close()


def test_only_the_hostnames_of_a_list_judge_anew(saas: Listed, tmp_path: Path) -> None:
    neighbours = tmp_path / "umbrella.crl"
    put(neighbours, make_list(1, by=MADE.umbrella))
    saas.gate.hostnames.replace(
        UMBRELLA,
        trust=[MADE.umbrella.certificate],
        server=MADE.servers[UMBRELLA],
        revocation="leaf",
        lists=[neighbours.as_uri()],
    )
    saas.gate.load_lists()
    ours, theirs = saas.open(), saas.open("umbrella", UMBRELLA)

    def paths(connection: Connection, hostname: str) -> Any:
        verdict = saas.gate.decide(connection.evidence, hostname)
        assert isinstance(verdict, Allow)
        return verdict.path

    # The first look at a list confirms it: from then on nothing but it is kept.
    paths(ours, ACME), paths(theirs, UMBRELLA)
    before = paths(ours, ACME), paths(theirs, UMBRELLA)
    assert (paths(ours, ACME) is before[0], paths(theirs, UMBRELLA) is before[1]) == (True, True)
    saas.swap(acme_list(2))
    after = paths(ours, ACME), paths(theirs, UMBRELLA)
    assert (after[0] is before[0], after[1] is before[1]) == (False, True)


def test_a_whole_path_is_asked_for_where_it_is_said(make: Make, tmp_path: Path) -> None:
    plant = MADE.acme.intermediate("Plant")
    device = plant.leaf("device")
    put(tmp_path / "plant.crl", make_list(1, by=plant))
    both = {"lists": [(tmp_path / "plant.crl").as_uri(), (tmp_path / "acme.crl").as_uri()]}
    for mode, expected in (("leaf", "allow"), ("path", "revoked")):
        saas = make(revocation=mode, **both)
        put(saas.path, acme_list(2, plant.certificate.serial_number))
        saas.gate.load_lists()
        verdict = saas.gate.explain(ACME, certificate=device.chain_pem())
        assert ("allow" if isinstance(verdict, Allow) else verdict.reason.value) == expected


def test_explain_and_the_status_say_why(make: Make) -> None:
    saas = make()
    os.unlink(saas.path)
    saas.gate.load_lists()
    verdict = saas.gate.explain(ACME, certificate=CLIENT.chain_pem())
    assert isinstance(verdict, Deny)
    assert verdict.reason.value == "revocation_unknown"
    assert f"{saas.path.as_uri()}: waiting" in verdict.detail
    assert "ENOENT" in verdict.detail
    saas.swap(acme_list(4, 1, 2))
    (status,) = saas.gate.revocation_status(ACME)
    assert (status.number, status.entries, status.standing.value, status.error) == (4, 2, "good", "")
    assert saas.gate.revocation_status()[0].source == saas.path.as_uri()
    assert saas.gate.revocation_status(UMBRELLA) == saas.gate.revocation_status("unknown.example") == ()
    assert isinstance(saas.gate.explain(ACME, certificate=CLIENT.chain_pem()), Allow)


def test_who_comes_before_a_list_is_there_is_refused_and_then_let_in(make: Make) -> None:
    saas = make()
    connection = saas.open()
    wait_until(lambda: saas.ask(connection) == "allow")


def test_a_change_of_the_record_leaves_no_gap(saas: Listed) -> None:
    connection = saas.open()
    for _ in range(3):
        saas.gate.hostnames.replace(
            ACME,
            trust=[MADE.acme.certificate],
            server=MADE.servers[ACME],
            revocation="leaf",
            lists=[saas.path.as_uri()],
        )
        assert saas.ask(connection) == "allow"


def test_a_list_from_the_web(make: Make) -> None:
    pytest.importorskip("httpx2")
    with website() as site:
        saas = make(lists=[site.gives(acme_list(1))])
        saas.gate.load_lists()
        connection = saas.open()
        assert saas.ask(connection) == "allow"
        site.gives(acme_list(2, SERIAL))
        saas.gate.lists.refresh()
        assert saas.ask(connection) == "revoked"
        assert_is_kept(saas, site)


def assert_is_kept(saas: Listed, site: Site) -> None:
    assert Gate(saas.store).hostnames.get(ACME).lists == (site.url(),)


def test_the_fast_path_asks_no_list(saas: Listed, monkeypatch: pytest.MonkeyPatch) -> None:
    connection = saas.open()
    first = saas.gate.decide_on(connection, ACME)
    asked: list[None] = []
    current = WatchedLists.current
    monkeypatch.setattr(WatchedLists, "current", lambda self, now: asked.append(None) or current(self, now))
    for _ in range(100):
        assert saas.gate.decide_on(connection, ACME) is first
    assert asked == []


def test_a_neighbours_client_is_still_told_from_a_stranger(saas: Listed) -> None:
    """Its hostname's own lists are not loaded for that."""
    evidence = PeerEvidence(server_name=UMBRELLA, presented=CLIENT.presented())
    verdict = saas.gate.decide(evidence, UMBRELLA)
    assert isinstance(verdict, Deny)
    assert verdict.reason.value == "wrong_tenant_issuer"


def test_a_removed_hostnames_list_is_not_held(saas: Listed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mtlskit.revocation.lists._IDLE_SECONDS", 0.0)
    saas.gate.hostnames.remove(ACME)
    wait_until(lambda: saas.gate.lists.refresh() == (), seconds=3)


def test_a_list_given_by_its_bytes_is_in_the_record(make: Make) -> None:
    saas = make(
        lists=[make_list(1, by=MADE.acme, revoked=(SERIAL,), encoding=Encoding.PEM)], revocation_stale="insecure_allow"
    )
    assert saas.ask(saas.open()) == "revoked"
    kept = Gate(saas.store).hostnames.get(ACME)
    assert RevocationList(kept.lists[0]).number == 1  # type: ignore[arg-type]
    assert (kept.revocation.value, kept.revocation_unknown.value) == ("leaf", "deny")
    assert kept.revocation_stale.value == "insecure_allow"
    (status,) = saas.gate.revocation_status(ACME)
    assert status.source.startswith("given:")
    assert saas.gate.lists.status() == ()


USUAL: dict[str, Any] = {"trust": [MADE.acme.certificate], "server": MADE.servers[ACME], "revocation": "leaf"}
LIST = acme_list(1)
BAD: dict[str, tuple[dict[str, Any], type[MTLSError], str]] = {
    "other bytes": ({"lists": [b"nothing"]}, CertificateError, "one revocation list in PEM or DER, got 0"),
    "a list cut off": ({"lists": [LIST, LIST[:-1]]}, CertificateError, "revocation list in DER"),
    "a private key": ({"lists": [CLIENT.to_pem()]}, CertificateError, "holds a private key"),
    "a list that is no sequence": ({"lists": LIST}, ConfigurationError, "sequence of revocation lists, got bytes"),
    "a URL that is no sequence": ({"lists": "https://a.example/"}, ConfigurationError, "sequence of revocation lists"),
    "a path": ({"lists": ["acme.crl"]}, ConfigurationError, "https:, http: or file: URL, got 'acme.crl'"),
    "another scheme": ({"lists": ["ldap://a.example/"]}, ConfigurationError, "https:, http: or file: URL"),
    "a number": ({"lists": [7]}, ConfigurationError, "got int"),
    "too many": ({"lists": [f"file:///{n}" for n in range(17)]}, ConfigurationError, "at most 16 .* got 17"),
    "too long": (
        {"lists": [make_list(1, by=MADE.acme, revoked=tuple(range(1 << 100, (1 << 100) + 9000)))]},
        ConfigurationError, r"at most 262144 octets .* got \d+: give a longer one as a file"),
    "lists that are not asked": ({"revocation": "off", "lists": [LIST]}, ConfigurationError, "'leaf' or 'path'"),
    "lists for nobody": (
        {"client_auth": "none", "trust": [], "lists": [LIST]}, ConfigurationError, "policies nor lists"),
    "an unknown opt-out": ({"revocation_unknown": "allow"}, ConfigurationError, "revocation_unknown to be one of"),
    "another one": ({"revocation_stale": "allow"}, ConfigurationError, "revocation_stale to be one of"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
@pytest.mark.parametrize("verb", ["add", "replace"])
def test_bad_input_is_one_clear_error_and_nothing_is_written(case: str, verb: str) -> None:
    settings, kind, told = BAD[case]
    store = open_store("memory://")
    gate = Gate(store)
    if verb == "replace":
        gate.hostnames.add(ACME, **USUAL)
    before = [(str(each.pattern), each.version) for each in gate.hostnames]
    with pytest.raises(kind, match=told) as caught:
        getattr(gate.hostnames, verb)(ACME, **{**USUAL, **settings})
    assert "PRIVATE KEY---" not in str(caught.value)
    assert [(str(each.pattern), each.version) for each in gate.hostnames] == before
    gate.close()
    store.close()


def test_a_list_from_the_web_without_its_extra_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "httpx2", None)
    monkeypatch.delitem(sys.modules, "mtlskit.revocation.http", raising=False)
    store = open_store("memory://")
    gate = Gate(store)
    with pytest.raises(ConfigurationError, match="the extra 'fetch'"):
        gate.hostnames.add(ACME, **USUAL, lists=["https://crl.acme.example/"])
    assert list(gate.hostnames) == []
    gate.close()
    store.close()


def test_a_record_whose_list_cannot_be_read_denies(saas: Listed) -> None:
    with saas.store.transaction() as transaction:
        record = transaction.get("hostname", "", ACME)
        broken = record.value.replace(b'"url":"file', b'"url":"fail')
        assert broken != record.value
        transaction.replace("hostname", "", ACME, broken)
        transaction.touch(f"hostname:{ACME}")
    evidence = PeerEvidence(server_name=ACME, presented=CLIENT.presented())
    assert saas.gate.decide(evidence, ACME).reason.value == "store_unavailable"  # type: ignore[union-attr]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_worker_that_was_forked_after_loading_goes_on_reading(saas: Listed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mtlskit.gate.freshness._POLL_SECONDS", 0.01)
    connection = saas.open()
    assert saas.ask(connection) == "allow"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        told = 1
        try:
            if saas.ask(connection) == "allow":
                put(saas.path, acme_list(2, SERIAL))
                wait_until(lambda: saas.ask(connection) == "revoked")
                told = 0
        finally:
            os._exit(told)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0


def test_closing_a_gate_ends_its_reading_and_not_that_of_lists_it_was_given(backend: str, tmp_path: Path) -> None:
    put(tmp_path / "a", acme_list(1))
    store = open_store("memory://")
    lists = RevocationLists()
    own, given = Gate(store, backend=backend), Gate(store, backend=backend, lists=lists)
    own.hostnames.add(ACME, **USUAL, lists=[(tmp_path / "a").as_uri()])
    for gate in (own, given):
        gate.load_lists()
        gate.close()
    assert own.lists._worker is None
    assert lists._worker is not None
    assert lists._worker.is_alive
    changes = given.changes
    put(tmp_path / "a", acme_list(2))
    assert lists.refresh()[0].number == 2
    assert given.changes == changes
    lists.close()
    store.close()
