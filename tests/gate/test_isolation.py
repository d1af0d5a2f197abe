"""A client of one hostname never reaches another: whole handshakes with the gate's listener, then its verdict."""

from __future__ import annotations

import itertools
import ssl
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from mtlskit.authority import RevokedSerials
from mtlskit.core.evidence import PeerEvidence, Source
from mtlskit.core.reasons import Reason
from mtlskit.core.verdict import Allow, Deny
from mtlskit.errors import ConfigurationError, Unavailable
from mtlskit.gate.connection import Connection
from mtlskit.testing.certificates import Authority, new_key
from mtlskit.testing.handshake import Wire
from support.world import ACME, BACKENDS, PUBLIC, UMBRELLA, VERSIONS, World, certificates, world

TICKETS = {"resumption": "tickets"}
every_version = pytest.mark.parametrize("version", VERSIONS, ids=lambda version: version.name)
every_client = pytest.mark.parametrize("client", BACKENDS, ids=lambda client: f"{client}-client")


def denied(verdict: Any, reason: str) -> bool:
    return isinstance(verdict, Deny) and verdict.reason.value == reason


@every_version
@every_client
@pytest.mark.invariant(1)
def test_i1_each_client_gets_in_at_its_own_hostname_only(saas: World, client: str, version: ssl.TLSVersion) -> None:
    for name, hostname in itertools.product(("acme", "acme-deep", "umbrella", "umbrella-deep"), (ACME, UMBRELLA)):
        wire = saas.connect(saas.client(name, backend=client, version=version), hostname)
        at_home = name.split("-")[0] == hostname.split(".")[1]
        assert (wire.refused_at is None) is at_home, (name, hostname)
        if at_home:
            verdict = saas.verdict(wire, hostname)
            assert isinstance(verdict, Allow)
            assert verdict.identity is not None
            assert verdict.identity.hostname == hostname


@every_version
@pytest.mark.invariant(1)
def test_i1_an_anchor_of_the_same_name_with_another_key_vouches_for_nobody(
    saas: World, version: ssl.TLSVersion
) -> None:
    assert saas.connect(saas.client("impostor", version=version), ACME).refused_at == "server"
    presented = certificates().clients["impostor"].presented()
    assert denied(saas.gate.decide(PeerEvidence(server_name=ACME, presented=presented), ACME), "unknown_issuer")


@pytest.mark.invariant(1)
def test_i1_the_verdict_does_not_lean_on_the_handshake(saas: World) -> None:
    """Evidence that TLS should have refused is refused again: OpenSSL and `verify_path` must both agree."""
    for name in ("umbrella", "umbrella-deep", "stranger", "impostor"):
        evidence = PeerEvidence(server_name=ACME, presented=certificates().clients[name].presented())
        assert isinstance(saas.gate.decide(evidence, ACME), Deny)


@pytest.mark.invariant(1)
def test_i1_the_anchors_of_now_decide_on_an_open_connection(saas: World) -> None:
    wire = saas.connect(saas.client("acme"), ACME)
    assert isinstance(saas.verdict(wire, ACME), Allow)
    made = certificates()
    saas.gate.hostnames.replace(ACME, trust=[Authority.root("Acme root").certificate], server=made.servers[ACME])
    assert denied(saas.verdict(wire, ACME), "unknown_issuer")
    saas.gate.hostnames.remove(ACME)
    assert denied(saas.verdict(wire, ACME), "server_name_unknown")


def test_the_neighbours_client_is_told_from_a_stranger(saas: World) -> None:
    for name in ("umbrella", "umbrella-deep", "stranger"):
        saas.connect(saas.client(name), ACME)
    if saas.gate.backend.capabilities.sees_rejected_certificate:
        # The intermediate of umbrella-deep is lost in the rejection; its issuer is still not one of acme's.
        assert saas.reasons == ["wrong_tenant_issuer", "unknown_issuer", "unknown_issuer"]
        assert saas.events[0].unverified_subject == "CN=device-17"
    else:
        assert saas.reasons == ["unknown_issuer"] * 3
        assert saas.events[0].unverified_subject == ""
    presented = certificates().clients["umbrella-deep"].presented()
    verdict = saas.gate.decide(PeerEvidence(server_name=ACME, presented=presented), ACME)
    assert denied(verdict, "wrong_tenant_issuer")


@every_version
def test_a_refused_handshake_is_one_event(saas: World, version: ssl.TLSVersion) -> None:
    wire = saas.connect(saas.client(None, version=version), ACME)
    for _ in range(3):
        with pytest.raises(ssl.SSLError):
            wire.server.do_handshake()
    assert [(event.stage.value, event.hostname, event.reason.value) for event in saas.events] == [
        ("handshake", ACME, "no_certificate")
    ]


SPELLINGS = {
    ACME: True,
    "PAY.Acme.Example": True,
    f"{ACME}.": True,
    f"{ACME}:8443": True,
    f"{ACME}.:443": True,
    UMBRELLA: False,
    f"{ACME}..": False,
    f" {ACME}": False,
    f"{ACME}:": False,
    f"{ACME}:443:443": False,
    f"{ACME}\0": False,
    f"{ACME}\0.evil.example": False,
    f"user@{ACME}": False,
    f"{ACME}/": False,
    "127.0.0.1": False,
    "": False,
    "ｐａｙ.acme.example": False,
}  # fmt: skip


@pytest.mark.invariant(2)
@pytest.mark.parametrize("authority", SPELLINGS, ids=ascii)
def test_i2_only_the_server_name_itself_in_any_spelling_is_the_authority(saas: World, authority: str) -> None:
    wire = saas.connect(saas.client("acme"), ACME)
    verdict = saas.verdict(wire, authority)
    if SPELLINGS[authority]:
        assert isinstance(verdict, Allow)
    else:
        assert denied(verdict, "authority_mismatch")
        assert verdict.status == 421


@pytest.mark.invariant(2)
def test_i2_a_hostname_without_client_authentication_is_no_way_round(saas: World) -> None:
    wire = saas.connect(saas.client(None), PUBLIC)
    assert isinstance(saas.verdict(wire, PUBLIC), Allow)
    assert denied(saas.verdict(wire, ACME), "authority_mismatch")


@pytest.mark.invariant(2)
def test_i2_two_names_under_one_wildcard_are_two_authorities(backend: str) -> None:
    made = certificates()
    chain = made.web.leaf("*.shop.example", sans=["dns:*.shop.example"], usages=[])
    with world(backend) as saas:
        saas.gate.hostnames.add("*.shop.example", trust=[made.acme.certificate], server=chain)
        wire = saas.connect(saas.client("acme"), "one.shop.example")
        assert isinstance(saas.verdict(wire, "one.shop.example"), Allow)
        assert denied(saas.verdict(wire, "two.shop.example"), "authority_mismatch")


@every_version
@pytest.mark.invariant(3)
@pytest.mark.parametrize("name", ["unknown.example", "acme.example", "deep.pay.acme.example", "127.0.0.1"])
def test_i3_an_unknown_missing_or_literal_server_name_is_refused(
    saas: World, version: ssl.TLSVersion, name: str
) -> None:
    wire = saas.connect(saas.client("acme", version=version), name)
    assert wire.refused_at == "server"
    seen = wire.client_sees()
    assert seen is not None
    assert "UNRECOGNIZED_NAME" in (seen.reason or "")
    expected = "server_name_missing" if name[0].isdigit() else "server_name_unknown"
    assert saas.reasons == [expected]


@pytest.mark.invariant(3)
@pytest.mark.parametrize("name", [None, "", "127.0.0.1", "[::1]", "1.2.3", "0x7f.1", "pay..acme.example", "a" * 300])
def test_i3_evidence_without_a_usable_server_name_is_denied(saas: World, name: str | None) -> None:
    evidence = PeerEvidence(server_name=name, presented=certificates().clients["acme"].presented())
    assert saas.gate.decide(evidence, name or ACME).reason in {  # type: ignore[union-attr]
        Reason.SERVER_NAME_MISSING,
        Reason.SERVER_NAME_UNKNOWN,
    }


@pytest.mark.invariant(3)
def test_i3_a_store_that_fails_refuses(saas: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(*_arguments: object, **_options: object) -> Any:
        raise Unavailable("expected a store that answers, got none")

    monkeypatch.setattr(saas.store, "snapshot", gone)
    monkeypatch.setattr(saas.store, "transaction", gone)
    evidence = PeerEvidence(server_name=ACME, presented=certificates().clients["acme"].presented())
    assert denied(saas.gate.decide(evidence, ACME), "store_unavailable")
    assert saas.connect(saas.client("acme"), ACME).refused_at == "server"
    assert saas.reasons == ["store_unavailable"]


@pytest.mark.invariant(3)
def test_i3_a_store_that_has_not_answered_for_five_seconds_refuses(
    saas: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is remembered could be served for ever; but a revocation by another process would be missed."""
    connection = Connection(saas.connect(saas.client("acme"), ACME).server, lambda: None)
    moment = [time.monotonic()]

    def gone() -> None:
        raise Unavailable("expected a store that answers, got none")

    monkeypatch.setattr("mtlskit.gate.gate.time.monotonic", lambda: moment[0])
    assert isinstance(saas.gate.decide_on(connection, ACME), Allow)
    with monkeypatch.context() as patch:
        patch.setattr(saas.store, "poll", gone)
        moment[0] += 3
        assert isinstance(saas.gate.decide_on(connection, ACME), Allow)
        for _ in range(3):
            moment[0] += 3
            assert denied(saas.gate.decide_on(connection, ACME), "store_unavailable")
            assert denied(saas.gate.decide_on(connection, ACME), "store_unavailable")
        assert saas.connect(saas.client("acme"), ACME).refused_at == "server"
    moment[0] += 1.1
    assert isinstance(saas.gate.decide_on(connection, ACME), Allow)


@pytest.mark.invariant(1)
def test_i1_what_was_allowed_on_a_connection_is_asked_again_after_a_change(
    saas: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = Connection(saas.connect(saas.client("acme"), ACME).server, lambda: None)
    first = saas.gate.decide_on(connection, ACME)
    assert isinstance(first, Allow)
    assert saas.gate.decide_on(connection, ACME) is first
    assert denied(saas.gate.decide_on(connection, UMBRELLA), "authority_mismatch")
    assert saas.gate.decide_on(connection, ACME) is first
    later = time.time() + 61
    with monkeypatch.context() as patch:
        patch.setattr("mtlskit.gate.gate.time.time", lambda: later)
        assert saas.gate.decide_on(connection, ACME) is not first
    again = saas.gate.decide_on(connection, ACME)
    assert saas.gate.decide_on(connection, ACME) is again, "it is remembered when the change comes"
    made = certificates()
    saas.gate.hostnames.replace(ACME, trust=[made.umbrella.certificate], server=made.servers[ACME])
    assert denied(saas.gate.decide_on(connection, ACME), "unknown_issuer")


@pytest.mark.invariant(4)
def test_i4_an_exception_anywhere_denies(saas: World, monkeypatch: pytest.MonkeyPatch) -> None:
    wire = saas.connect(saas.client("acme"), ACME)

    def broken(*_arguments: object, **_options: object) -> Any:
        raise RuntimeError("boom")

    for target, name in (
        ("mtlskit.core.verdict", "_untrusted_source"),
        ("mtlskit.gate.snapshot", "verify_client"),
        ("mtlskit.gate.gate", "decide"),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(f"{target}.{name}", broken)
            assert denied(saas.verdict(wire, ACME), "internal_error"), name
    with monkeypatch.context() as patch:
        patch.setattr(RevokedSerials, "reason_of", broken)
        assert denied(saas.verdict(wire, ACME), "store_unavailable")
    with monkeypatch.context() as patch:
        patch.setattr(saas.gate, "_entry", broken)
        assert denied(saas.verdict(wire, ACME), "internal_error")
        assert saas.connect(saas.client("acme"), ACME).refused_at == "server"
    assert isinstance(saas.verdict(wire, ACME), Allow)


@pytest.mark.invariant(4)
def test_i4_a_forwarded_certificate_without_a_trusted_proxy_is_denied(saas: World) -> None:
    presented = certificates().clients["acme"].presented()
    evidence = PeerEvidence(server_name=ACME, presented=presented, source=Source.FORWARDED)
    assert denied(saas.gate.decide(evidence, ACME), "untrusted_source")


def session_of(wire: Wire) -> Any:
    """The session that the client could resume: in TLS 1.3 the ticket comes after the handshake."""
    wire.client_incoming.write(wire.server_outgoing.read())
    with pytest.raises(ssl.SSLWantReadError):
        wire.client.read(1)
    return wire.client.session


@every_version
@every_client
@pytest.mark.invariant(5)
def test_i5_a_session_of_one_hostname_is_not_resumed_at_another(
    backend: str, client: str, version: ssl.TLSVersion
) -> None:
    """FACTS 1.2: the bypass of nginx, Apache and the context-swapping recipe, in each form, with tickets turned on."""
    with world(backend, **TICKETS) as saas:
        context = saas.client("acme", backend=client, version=version)
        first = saas.connect(context, ACME)
        session = session_of(first)
        again = saas.connect(context, ACME, session=session)
        assert again.server.evidence().resumed, "resumption at home works, so the rest is no vacuous test"
        assert isinstance(saas.verdict(again, ACME), Allow)
        crossed = saas.connect(context, UMBRELLA, session=session)
        assert crossed.refused_at == "server"
        assert not crossed.server.session_reused
        assert saas.reasons[-1] in {"unknown_issuer", "wrong_tenant_issuer"}
        public = saas.connect(context, PUBLIC, session=session)
        assert public.refused_at is None
        assert not public.server.evidence().resumed
        assert denied(saas.verdict(public, ACME), "authority_mismatch")


@every_version
@every_client
@pytest.mark.invariant(5)
def test_i5_without_tickets_nothing_crosses_either(saas: World, client: str, version: ssl.TLSVersion) -> None:
    context = saas.client("acme", backend=client, version=version)
    first = saas.connect(context, ACME)
    first.client_incoming.write(first.server_outgoing.read())
    session = first.client.session
    if session is not None:
        assert saas.connect(context, UMBRELLA, session=session).refused_at == "server"
        again = saas.connect(context, ACME, session=session)
        if version is ssl.TLSVersion.TLSv1_3:
            assert not again.server.evidence().resumed


@every_version
@pytest.mark.invariant(5)
def test_i5_a_session_does_not_outlive_a_change_of_the_anchors(backend: str, version: ssl.TLSVersion) -> None:
    with world(backend, **TICKETS) as saas:
        context = saas.client("acme", version=version)
        session = session_of(saas.connect(context, ACME))
        made = certificates()
        both = [made.acme.certificate, Authority.root("New root").certificate]
        saas.gate.hostnames.replace(ACME, trust=both, server=made.servers[ACME], **TICKETS)
        again = saas.connect(context, ACME, session=session)
        assert again.refused_at is None
        assert not again.server.evidence().resumed


@every_version
@pytest.mark.invariant(5)
def test_i5_a_resumed_session_is_judged_like_a_new_one(backend: str, version: ssl.TLSVersion) -> None:
    """Rolled for ever (FACTS 1.2), also with an intermediate, whose certificate resumption loses."""
    with world(backend, **TICKETS) as saas:
        for name in ("acme", "acme-deep"):
            context = saas.client(name, version=version)
            wire = saas.connect(context, ACME)
            for _ in range(3):
                wire = saas.connect(context, ACME, session=session_of(wire))
                assert wire.server.evidence().resumed
                assert isinstance(saas.verdict(wire, ACME), Allow)
        saas.gate.hostnames.replace(ACME, trust=[certificates().umbrella.certificate], server=None)
        assert denied(saas.verdict(wire, ACME), "unknown_issuer")


@every_version
@pytest.mark.invariant(5)
def test_i5_a_certificate_that_expires_ends_a_session_that_is_rolled(
    backend: str, version: ssl.TLSVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    """OpenSSL looks at the dates in full handshakes only; the gate on every request."""
    short = certificates().acme.leaf("device", not_after=datetime.now(UTC) + timedelta(minutes=2))
    with world(backend, **TICKETS) as saas:
        context = saas.client_with(short, version=version)
        wire = saas.connect(context, ACME)
        assert isinstance(saas.verdict(wire, ACME), Allow)
        session = session_of(wire)
        later = datetime.now(UTC) + timedelta(minutes=3)  # sooner than a remembered path is forgotten anyway
        monkeypatch.setattr("mtlskit.gate.gate._now", lambda: later)
        assert denied(saas.verdict(wire, ACME), "expired")
        again = saas.connect(context, ACME, session=session)
        assert again.server.evidence().resumed
        assert denied(saas.verdict(again, ACME), "expired")


@pytest.mark.invariant(5)
def test_i5_a_session_under_one_wildcard_is_not_another_names(backend: str) -> None:
    """TLS 1.2 reports the old name on resumption: a difference to the routed one refuses."""
    made = certificates()
    chain = made.web.leaf("*.shop.example", sans=["dns:*.shop.example"], usages=[])
    with world(backend) as saas:
        saas.gate.hostnames.add("*.shop.example", trust=[made.acme.certificate], server=chain, **TICKETS)
        for version in VERSIONS:
            context = saas.client("acme", version=version)
            session = session_of(saas.connect(context, "one.shop.example"))
            wire = saas.connect(context, "two.shop.example", session=session)
            if wire.refused_at is None:
                assert wire.server.evidence().server_name == "two.shop.example"
                assert denied(saas.verdict(wire, "one.shop.example"), "authority_mismatch")


@pytest.mark.parametrize("way", ["add", "replace"])
def test_enforcement_per_request_needs_a_backend_that_collects(saas: World, way: str) -> None:
    made = certificates()
    settings: dict[str, Any] = {"trust": [made.acme.certificate], "server": made.servers[ACME], "enforce": "request"}
    if way == "add":
        saas.gate.hostnames.remove(ACME)
    change = getattr(saas.gate.hostnames, way)
    if not saas.gate.backend.capabilities.collects_unverified:
        with pytest.raises(ConfigurationError, match="enforce per request"):
            change(ACME, **settings)
        return
    change(ACME, **settings)
    for name, reason in ((None, "no_certificate"), ("umbrella", "wrong_tenant_issuer"), ("stranger", "unknown_issuer")):
        wire = saas.connect(saas.client(name), ACME)
        assert wire.refused_at is None
        assert denied(saas.verdict(wire, ACME), reason)
    assert isinstance(saas.verdict(saas.connect(saas.client("acme"), ACME), ACME), Allow)


@pytest.mark.invariant(13)
@every_version
def test_i13_both_backends_give_the_same_verdict(version: ssl.TLSVersion) -> None:
    for name, hostname, authority in itertools.product(
        ("acme", "acme-deep", "umbrella", "impostor", "stranger", None), (ACME, PUBLIC), (ACME, UMBRELLA, PUBLIC)
    ):
        outcomes = []
        for backend in BACKENDS:
            with world(backend) as saas:
                wire = saas.connect(saas.client(name, version=version), hostname)
                verdict = None if wire.refused_at else saas.verdict(wire, authority)
                outcomes.append((wire.refused_at, type(verdict), getattr(verdict, "reason", None)))
        assert outcomes[0] == outcomes[1], (name, hostname, authority)


def test_the_same_key_under_another_subject_is_another_certificate(saas: World) -> None:
    key = new_key()
    made = certificates()
    for authority, hostname, good in ((made.acme, ACME, True), (made.umbrella, ACME, False)):
        evidence = PeerEvidence(server_name=hostname, presented=authority.leaf("device", key=key).presented())
        assert isinstance(saas.gate.decide(evidence, hostname), Allow) is good
