"""Fifty threads, and fifty tasks, over three bindings to one origin: each call is answered as who it went out as.

No call is lost or sent twice, and no connection is shared by two certificates. The same while the certificates are
replaced.
"""

from __future__ import annotations

import threading
from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from fetch.loads import KINDS, Call, Load, faults, open_sockets, plans, wait_until
from fetch.programs import nginx
from fetch.servers import Server, context_of, serving
from mtlskit.core.certificates import SigningChain, common_name
from mtlskit.fetch import CertificateUploads, ChainFiles, RenewedChain, sources
from mtlskit.stores import open_store
from mtlskit.testing.certificates import SERVER_AUTH, Authority

SERVERS, CLIENTS = Authority.root("Server root"), Authority.root("Client root")
SERVER = SERVERS.leaf("server", sans=("dns:localhost",), usages=(SERVER_AUTH,))
BINDINGS = {name: CLIENTS.leaf(name.lower()) for name in ("ALICE", "BOB", "CAROL")}
TRUST = {"trust": [SERVERS.certificate]}
WORKERS = 50
EACH = [pytest.param(3, id="few"), pytest.param(200, id="many", marks=pytest.mark.slow)]


@pytest.fixture
def server() -> Iterator[Server]:
    with serving(context_of(SERVER, CLIENTS.certificate)) as running:
        yield running


def check_all_arrived_once(server: Server, calls: list[Call]) -> None:
    """As the server saw it, and as the callers were told."""
    assert faults(calls) == []
    assert [call.outcome.json()["path"] for call in calls] == [call.path for call in calls]
    assert Counter(seen.path for seen in server.seen) == Counter(call.path for call in calls)


def connections(server: Server) -> dict[str, set[int]]:
    """The connections over which each client was seen."""
    found: defaultdict[str, set[int]] = defaultdict(set)
    for seen in server.seen:
        found[str(seen.client)].add(seen.connection)
    return found


@pytest.mark.invariant(14)
@pytest.mark.parametrize("each", EACH)
@pytest.mark.parametrize("kind", KINDS)
def test_every_call_is_answered_as_who_it_went_out_as(backend: str, server: Server, kind: str, each: int) -> None:
    work = plans(list(BINDINGS), server.url(""), workers=WORKERS, each=each)
    calls = Load().send(kind, BINDINGS, work, backend=backend, **TRUST)

    check_all_arrived_once(server, calls)
    assert [call.outcome.json()["client"] for call in calls] == [call.name.lower() for call in calls]
    used = connections(server)
    assert len(set.union(*used.values())) == sum(map(len, used.values())), "one was shared by two certificates"


@pytest.mark.parametrize("names", [["ALICE"], list(BINDINGS)], ids=["one binding", "three bindings"])
@pytest.mark.parametrize("kind", KINDS)
def test_no_more_connections_are_made_than_calls_are_under_way_at_once(
    backend: str, server: Server, kind: str, names: list[str]
) -> None:
    # Not of many calls: what was idle for some seconds is closed, and made again when it is needed.
    load = Load()
    work = plans(names, server.url(""), workers=WORKERS, each=4)
    check_all_arrived_once(server, load.send(kind, BINDINGS, work, backend=backend, **TRUST))

    used = connections(server)
    for name in names:
        assert len(used[name.lower()]) <= load.most[name] <= WORKERS
    wait_until(lambda: open_sockets(server.port) == 0)


@pytest.mark.invariant(14)
@pytest.mark.parametrize("each", EACH)
@pytest.mark.parametrize("http2", ["", "http2"], ids=["http1", "http2"])
@pytest.mark.parametrize("kind", KINDS)
def test_every_call_to_nginx_is_answered_as_who_it_went_out_as(
    backend: str, tmp_path: Path, kind: str, http2: str, each: int
) -> None:
    # A connection is ended by nginx after a few requests, while others are under way.
    with nginx(tmp_path, SERVER, CLIENTS, http2=http2, requests="17") as url:
        work = plans(list(BINDINGS), url, workers=WORKERS, each=each)
        calls = Load().send(kind, BINDINGS, work, backend=backend, **TRUST)

    assert faults(calls) == []
    told = [call.outcome.text().split(" ") for call in calls]
    assert [(who, path) for who, _, path in told] == [(f"CN={call.name.lower()}", call.path) for call in calls]
    assert len({connection for _, connection, _ in told}) == len({(who, connection) for who, connection, _ in told})


# --- while certificates change -------------------------------------------------------------------------------------

TURNS = 6
START = datetime.now(UTC).replace(microsecond=0) - timedelta(days=290)


class Rotation:
    """Three bindings whose certificates are replaced together: `done` is the version that all have by now, `begun`
    the one that they may have already."""

    def __init__(self, folder: Path) -> None:
        self.done = self.begun = 0
        self._store = open_store("memory://")
        self._uploads = CertificateUploads(self._store)
        self._id = self._uploads.upload(self._chain("upload").to_pem()).id
        self._file = folder / "chain.pem"
        self._file.write_bytes(self._chain("file").to_pem())
        self._issued = 0
        self._renewed = RenewedChain(self._issue, clock=self._clock)
        self.bindings = {"UPLOAD": self._id, "FILE": ChainFiles(self._file), "RENEWED": self._renewed}
        self.environment = {"store": self._store, **TRUST}

    def close(self) -> None:
        self._store.close()

    def turn(self) -> None:
        """Replaces the certificates; when it is over, all that begins goes out with the new ones."""
        self.begun += 1
        self._uploads.replace(self._id, self._chain("upload").to_pem())
        beside = self._file.with_name("new.pem")
        beside.write_bytes(self._chain("file").to_pem())
        beside.replace(self._file)
        wait_until(lambda: common_name(self._renewed.current().certificate.subject) == f"renewed {self.begun}")
        self.done = self.begun

    def _chain(self, name: str) -> SigningChain:
        return CLIENTS.leaf(f"{name} {self.begun}")

    # Certificates of 300 days, all of them valid now: of two that follow, the later one begins 40 days after the other.
    # So there is a moment at which the one is to be renewed, whatever the jitter, and the other is not.
    def _issue(self) -> SigningChain:
        begins = START + timedelta(days=40 * self._issued)
        chain = CLIENTS.leaf(f"renewed {self._issued}", not_before=begins, not_after=begins + timedelta(days=300))
        self._issued += 1
        return chain

    def _clock(self) -> datetime:
        return START + timedelta(days=180 + 40 * self.begun)


class Turning(threading.Thread):
    """Turns while the load runs, evenly over its calls."""

    def __init__(self, rotation: Rotation, load: Load, total: int) -> None:
        super().__init__()
        self._rotation, self._load, self._total = rotation, load, total
        self.raised: list[BaseException] = []

    def run(self) -> None:
        try:
            for number in range(1, TURNS + 1):
                wait_until(lambda: self._load.over >= self._total * number / (TURNS + 1), seconds=300)  # noqa: B023
                self._rotation.turn()
        except BaseException as error:
            self.raised.append(error)


@pytest.fixture
def rotation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Rotation]:
    monkeypatch.setattr(sources, "_LOOK_SECONDS", 0.0)  # the file is looked at with every call
    made = Rotation(tmp_path)
    yield made
    made.close()


def version_of(call: Call) -> int:
    name, _, version = call.outcome.json()["client"].partition(" ")
    assert name == call.name.lower()
    return int(version)


@pytest.mark.invariant(14)
@pytest.mark.parametrize("each", EACH)
@pytest.mark.parametrize("kind", KINDS)
def test_no_call_is_lost_nor_goes_out_with_an_old_certificate_while_they_are_replaced(
    backend: str, server: Server, rotation: Rotation, kind: str, each: int
) -> None:
    load = Load(look=lambda _name: (rotation.done, rotation.begun))
    work = plans(list(rotation.bindings), server.url(""), workers=WORKERS, each=each)
    last = plans(list(rotation.bindings), server.url("/last"), workers=1, each=3)
    turning = Turning(rotation, load, WORKERS * each)

    def only_the_newest_are_connected() -> None:
        newest = [
            connection for who, used in connections(server).items() if who.endswith(f" {TURNS}") for connection in used
        ]
        wait_until(lambda: open_sockets(server.port) <= len(newest))

    turning.start()
    calls = load.send(
        kind, rotation.bindings, work, turning.join, last, only_the_newest_are_connected,
        backend=backend, **rotation.environment,
    )  # fmt: skip

    assert turning.raised == []
    check_all_arrived_once(server, calls)
    for call in calls:
        (newest_when_it_began, _), (_, newest_when_it_ended) = call.before, call.after
        assert newest_when_it_began <= version_of(call) <= newest_when_it_ended
    assert {version_of(call) for call in calls} > {0, TURNS}
    used = connections(server)
    assert len(set.union(*used.values())) == sum(map(len, used.values()))
    wait_until(lambda: open_sockets(server.port) == 0)
