"""What attackers found: spellings that policies and apps read differently, and records that say more than is read."""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import mtlskit
from gate.test_asgi import Call, Peer
from gate.test_policies import paths
from mtlskit.core import rules
from mtlskit.core.certificates import SigningChain
from mtlskit.core.policy import AccessPolicy, RecordedRequest, policies_from_text
from mtlskit.core.request import RequestFacts
from mtlskit.core.verdict import Allow, Deny
from mtlskit.errors import ConfigurationError, NotFound, StoreError
from mtlskit.gate import Gate, Recording, Unenforced
from mtlskit.gate.connection import Connection
from mtlskit.gate.hostname_records import KIND
from mtlskit.testing.certificates import Authority
from support.twins import with_another_signature
from support.world import ACME, World, certificates, world

ANY = AccessPolicy(decision="allow", include=[rules.any_valid_certificate()])


def denying(*what: rules.Rule) -> list[AccessPolicy]:
    return [AccessPolicy(decision="deny", include=list(what)), ANY]


@pytest.fixture
def provider() -> Iterator[World]:
    with world("ssl", client_auth="optional") as made:
        yield made


# --- another spelling of the certificate -------------------------------------------------------------------------


@pytest.mark.invariant(9)
def test_i9_a_client_cannot_write_its_certificate_so_that_a_deny_does_not_see_it() -> None:
    store = mtlskit.open_store("memory://")
    acme = mtlskit.CertificateAuthority.create("Acme devices", store=store)
    device = acme.issue_client("device-17")
    twin = mtlskit.PresentedChain.from_certificates(with_another_signature(device.certificate))
    gate = Gate(store)
    gate.hostnames.add(ACME, trust=[acme.certificate])
    assert isinstance(gate.explain(ACME, certificate=twin), Allow)

    for rule in (
        rules.profile("client"), rules.authority("Acme devices"), rules.serial(device.serial_number),
        rules.fingerprint(device.presented().fingerprint.hex()),
    ):  # fmt: skip
        gate.hostnames.set_policies(ACME, denying(rule))
        for chain in (device.presented(), twin):
            assert isinstance(gate.explain(ACME, certificate=chain), Deny), rule
    gate.close()


def test_what_is_recorded_later_is_known_from_the_next_request_on() -> None:
    store = mtlskit.open_store("memory://")
    root = Authority.root("Legacy")
    legacy = mtlskit.CertificateAuthority.take_over("Legacy", SigningChain(root.key, [root.certificate]), store=store)
    device = root.leaf("device-17")
    gate = Gate(store)
    gate.hostnames.add(ACME, trust=[root.certificate], policies=denying(rules.profile("client")))
    connection = Connection(_Peer(device), lambda: None)
    assert isinstance(gate.decide_on(connection, ACME), Deny)  # who issued it is known, how is not

    gate.hostnames.set_policies(ACME, [AccessPolicy(decision="allow", include=[rules.profile("recorded")])])
    assert isinstance(gate.decide_on(connection, ACME), Deny)
    legacy.record([device.certificate])
    assert isinstance(gate.decide_on(connection, ACME), Allow)
    gate.close()


class _Peer:
    def __init__(self, chain: SigningChain) -> None:
        self._evidence = mtlskit.PeerEvidence(server_name=ACME, presented=chain.presented())

    def evidence(self) -> mtlskit.PeerEvidence:
        return self._evidence


# --- another spelling of the request -----------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["delete", "Delete", "dELETE"])
def test_a_method_that_frameworks_take_for_another_is_unreadable(provider: World, method: str) -> None:
    provider.gate.hostnames.set_policies(ACME, denying(rules.method("DELETE")))
    assert Call(provider, "acme", ACME, **paths(path="/"), method=method).status == 403
    with pytest.raises(ConfigurationError, match="upper case"):
        rules.method(method)


@pytest.mark.parametrize("path", ["/admin;x=1", "/x/..;/admin", "/admin?x", "/admin#x"])
def test_a_path_that_ends_at_different_places_for_different_readers_is_unreadable(provider: World, path: str) -> None:
    provider.gate.hostnames.set_policies(ACME, denying(rules.path(prefix="/admin")))
    raw = path.replace("?", "%3F").encode()
    assert Call(provider, "acme", ACME, path=path, raw_path=raw, client=None).status == 403


@pytest.mark.parametrize(
    ("scope", "status"),
    [
        ({"root_path": "/api", "path": "/api/admin/x", "raw_path": b"/api/admin/x"}, 403),
        ({"root_path": "/api/", "path": "/api/admin", "raw_path": b"/api/admin"}, 403),
        ({"root_path": "/api", "path": "/api/public", "raw_path": b"/api/public"}, 200),
        ({"root_path": "/api", "path": "/public", "raw_path": b"/public"}, 403),  # not below: unreadable
        ({"root_path": "", "path": "/public", "raw_path": b"/public"}, 200),
    ],
)
def test_the_servers_root_path_is_no_part_of_what_the_client_asked_for(
    provider: World, scope: dict[str, Any], status: int
) -> None:
    provider.gate.hostnames.set_policies(ACME, denying(rules.path(prefix="/admin")))
    assert Call(provider, "acme", ACME, **scope).status == status


def test_a_target_that_cannot_be_taken_apart_is_another_authority(provider: World) -> None:
    assert Call(provider, "acme", ACME, path="http://[", raw_path=b"http://[").status == 421


def test_the_gate_says_the_hostname_and_the_moment_on_every_request(provider: World) -> None:
    over = datetime.now(UTC) - timedelta(days=1)
    policy = AccessPolicy(decision="allow", include=[ANY.include[0]], require=[rules.time_window(until=over)])
    opened = AccessPolicy(decision="allow", include=[rules.hostname(ACME)], require=[rules.method("GET")])
    connection = Connection(Peer("acme", ACME), lambda: None)

    def old(*_: Any) -> RequestFacts:
        return RequestFacts(method="GET", hostname="other.example", at=over - timedelta(days=1))

    provider.gate.hostnames.set_policies(ACME, [opened])
    assert [type(provider.gate.decide_on(connection, ACME, old)) for _ in range(2)] == [Allow, Allow]
    provider.gate.hostnames.set_policies(ACME, [policy])
    assert [type(provider.gate.decide_on(connection, ACME, old)) for _ in range(2)] == [Deny, Deny]


# --- records -----------------------------------------------------------------------------------------------------


def rewritten(saas: World, **changes: Any) -> None:
    """The record of ACME as another version would write it."""
    with saas.store.transaction() as transaction:
        record = transaction.get(KIND, "", ACME)
        document = {**json.loads(record.value), **changes}
        transaction.replace(KIND, "", ACME, json.dumps(document).encode())
        transaction.touch(f"hostname:{ACME}")


@pytest.mark.invariant(4)
@pytest.mark.parametrize("changes", [
    {"format": 2}, {"deny_all_until": "2030-01-01"}, {"policy_mode": "observe"}, {"policies": [{"decision": "allow"}]},
    {"policies": [{"decision": "deny", "include": [{"newer": {}}]}]},
])  # fmt: skip
def test_i4_a_record_of_a_newer_version_denies_and_can_be_replaced_and_removed(
    provider: World, changes: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    rewritten(provider, **changes)
    assert Call(provider, "acme", ACME).problem["reason"] == "store_unavailable"
    with pytest.raises(StoreError, match="readable record"):
        provider.gate.hostnames.get(ACME)
    provider.gate.load_lists()
    assert "could not be read" in caplog.text
    made = certificates()
    provider.gate.hostnames.replace(ACME, trust=[made.acme.certificate], server=made.servers[ACME])
    assert Call(provider, "acme", ACME).status == 200
    rewritten(provider, **changes)
    provider.gate.hostnames.remove(ACME)
    with pytest.raises(NotFound):
        provider.gate.hostnames.get(ACME)


@pytest.mark.parametrize("seconds", [1, 999_999_999, 1_000_000_001, 86_399_999_999_999])
def test_every_policy_that_is_written_can_be_read_again(provider: World, seconds: int) -> None:
    policy = AccessPolicy(decision="allow", include=[rules.lifetime(at_most=timedelta(seconds=seconds))])
    assert provider.gate.hostnames.set_policies(ACME, [policy]).policies == (policy,)


def test_groups_in_groups_do_not_grow_without_end() -> None:
    groups = [{"id": "g0", "include": [{"everyone": {}}]}]
    for number in range(1, 21):
        groups.append({"id": f"g{number}", "include": [{"group": {"id": f"g{number - 1}"}}] * 4})
    document = {"groups": groups, "policies": [{"decision": "allow", "include": [{"group": {"id": "g20"}}]}]}
    start = time.perf_counter()
    with pytest.raises(ConfigurationError, match="at most 100000 rules"):
        policies_from_text(json.dumps(document), "json")
    assert time.perf_counter() - start < 5


def test_a_member_that_comes_twice_is_found_in_one_go() -> None:
    members = ",".join(f'"m{number}":0' for number in [*range(50_000), 0])
    start = time.perf_counter()
    with pytest.raises(ConfigurationError, match="'m0' twice"):
        policies_from_text(f"{{{members}}}", "json")
    assert time.perf_counter() - start < 5


# --- recordings and events ---------------------------------------------------------------------------------------


def test_a_recording_is_bounded_in_octets_and_remembers_no_paths(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    recording = Recording(tmp_path / "r.jsonl", most_octets=100_000)
    for number in range(100):
        recording.note(RecordedRequest(None, RequestFacts(path=f"/{number:08000}"), allowed=False))
    assert (tmp_path / "r.jsonl").stat().st_size <= 100_000
    assert "full" in caplog.text
    assert {len(key) for key in recording._seen} == {32}


@pytest.mark.parametrize("kind", ["open to all", "linked", "fifo", "device", "directory", "symbolic link"])
def test_a_recording_is_a_plain_file_of_its_owner(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "r.jsonl"
    match kind:
        case "open to all":
            path.write_text("")
            path.chmod(0o640)
        case "linked":
            (tmp_path / "other").touch(0o600)
            os.link(tmp_path / "other", path)
        case "fifo":
            os.mkfifo(path, 0o600)
        case "device":
            path = Path("/dev/full")
        case "directory":
            path.mkdir()
        case _:
            (tmp_path / "other").touch(0o600)
            path.symlink_to(tmp_path / "other")
    with pytest.raises(ConfigurationError, match="expected a"):
        Recording(path)


def test_a_recording_goes_on_behind_a_line_that_was_not_ended(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    path.touch(0o600)
    path.write_text('{"at":')
    recording = Recording(path)
    recording.note(RecordedRequest(None, RequestFacts(path="/a"), allowed=True))
    recording.close()
    torn, whole = path.read_text().splitlines()
    assert (torn, RecordedRequest.from_json(whole).facts.path) == ('{"at":', "/a")


def test_the_names_of_policies_are_escaped_in_events(provider: World, caplog: pytest.LogCaptureFixture) -> None:
    told: list[Unenforced] = []
    provider.gate.subscribe(told.append, kind=Unenforced)
    name = "a\n\x1b[31m" + "b" * 1000
    provider.gate.hostnames.set_policies(ACME, [AccessPolicy(decision="bypass", include=[rules.everyone()], name=name)])
    with caplog.at_level(logging.INFO, "mtlskit.gate"):
        Call(provider, None, ACME)
    assert told[0].policy_name.isprintable()
    assert len(told[0].policy_name) < 400
