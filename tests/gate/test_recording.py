"""What policies were asked is written down, and other policies are tried on it."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from gate.test_asgi import Peer
from mtlskit.core import rules
from mtlskit.core.certificates import ClientIdentity, Issuance
from mtlskit.core.policy import AccessPolicy, RecordedRequest, replay
from mtlskit.core.request import RequestFacts
from mtlskit.errors import ConfigurationError
from mtlskit.gate import Gate, Recording
from mtlskit.gate.connection import Connection
from support.world import ACME, World, certificates, world

ALLOW = AccessPolicy(decision="allow", include=[rules.common_name("device-17")])


@pytest.fixture
def provider() -> Iterator[World]:
    with world("ssl") as made:
        yield made


def allow(*require: rules.Rule, **parts: Any) -> AccessPolicy:
    return AccessPolicy(decision="allow", include=[rules.any_valid_certificate()], require=list(require), **parts)


def test_a_recording_has_what_policies_were_asked_and_can_be_replayed(tmp_path: Path, provider: World) -> None:
    umask = os.umask(0)
    recording = Recording(tmp_path / "requests.jsonl")
    os.umask(umask)
    gate = Gate(provider.store, recording=recording)
    provider.gate.hostnames.set_policies(ACME, [allow(exclude=[rules.path("/denied")])])
    connection = Connection(Peer("acme", ACME), lambda: None)

    for path in ("/a", "/b", "/b", "/denied"):
        gate.decide_on(
            connection,
            ACME,
            lambda name, at, path=path: RequestFacts.of(path=path, hostname=name, at=at),  # type: ignore[misc]
        )
    gate.decide_on(Connection(Peer("umbrella", ACME), lambda: None), ACME)  # was never asked about
    gate.close()
    recording.close()

    assert stat.S_IMODE((tmp_path / "requests.jsonl").stat().st_mode) == 0o600
    recorded = [RecordedRequest.from_json(line) for line in (tmp_path / "requests.jsonl").read_text().splitlines()]
    assert [(each.facts.path, each.allowed) for each in recorded] == [("/a", True), ("/b", True), ("/denied", False)]
    assert all(each.facts.hostname == ACME for each in recorded)
    identity = recorded[0].identity
    assert identity is not None
    assert identity.certificate == certificates().clients["acme"].certificate
    assert (identity.anchor_id, identity.presented) == (
        provider.gate.hostnames.get(ACME).trust.anchors[0].id, certificates().clients["acme"].presented(),
    )  # fmt: skip
    found = replay(recorded, [allow(rules.path("/a"))])
    assert (found.requests, [each.request.facts.path for each in found.shut_out], found.let_in) == (3, ["/b"], ())
    found = replay(recorded, [ALLOW])
    assert [each.request.facts.path for each in found.let_in] == ["/denied"]


def test_a_recording_ends_when_it_is_full_or_cannot_be_written(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    facts = [RequestFacts.of(path=f"/{number}") for number in range(5)]
    recording = Recording(tmp_path / "full.jsonl", most=2)
    for each in facts:
        recording.note(RecordedRequest(None, each, allowed=True))
    assert len((tmp_path / "full.jsonl").read_text().splitlines()) == 2
    broken = Recording(tmp_path / "broken.jsonl")
    broken.close()
    broken._file = open("/dev/full", "w", buffering=1)  # noqa: SIM115 - the recording closes it
    for each in facts:
        broken.note(RecordedRequest(None, each, allowed=True))
    broken.close()
    recording.close()
    assert "the recording of requests is full, and ends" in caplog.messages
    assert "the recording of requests ends: OSError" in caplog.messages
    for path in (tmp_path, tmp_path / "missing" / "r.jsonl"):
        with pytest.raises(ConfigurationError, match="can be written"):
            Recording(path)


@pytest.mark.parametrize("line", [
    "", "{", "[]", "{}", "null", '{"at":1}',
    '{"at":null,"hostname":null,"method":null,"path":null,"client_address":null,"client":{"path":["AAAA"]},"allowed":true}',
])  # fmt: skip
def test_a_line_that_is_no_recorded_request_is_one_clear_error(line: str) -> None:
    with pytest.raises(ConfigurationError, match="expected a recorded request"):
        RecordedRequest.from_json(line)


def test_a_recorded_request_survives_its_line() -> None:
    chain = certificates().clients["acme-deep"]
    identity = ClientIdentity.of(
        chain.certificate, hostname=ACME, anchor_id="a", issuers=[*chain.certificates[1:]], presented=chain.presented(),
        issuance=Issuance(authority=None, profile="client"),
    )  # fmt: skip
    facts = RequestFacts.of(
        at=datetime(2026, 3, 1, tzinfo=UTC), hostname=ACME, method="GET", path="/ä", client_address="2001:db8::1"
    )
    for one in (identity, None):
        request = RecordedRequest(one, facts, allowed=False)
        assert RecordedRequest.from_json(request.to_json()) == request
