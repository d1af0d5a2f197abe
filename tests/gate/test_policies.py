"""Policies at the gate: on every request, with what the server knows of it; rehearsed and explained."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from typing import Any

import pytest

import mtlskit
from gate.test_asgi import Call, Peer
from mtlskit.core import rules
from mtlskit.core.policy import AccessPolicy, Cause, Effect
from mtlskit.core.request import RequestFacts
from mtlskit.core.verdict import Allow, Deny
from mtlskit.errors import ConfigurationError, Conflict, MTLSError, NotFound
from mtlskit.gate import Gate, Unenforced, asgi
from mtlskit.gate.asgi import MTLSMiddleware, client_identity
from mtlskit.gate.connection import SCOPE_KEY, TARGET_KEY, Connection
from support.world import ACME, UMBRELLA, World, certificates, world

DEVICE = rules.common_name("device-17")
ALLOW = AccessPolicy(decision="allow", include=[DEVICE])


def allow(*require: rules.Rule, **parts: Any) -> AccessPolicy:
    return AccessPolicy(decision="allow", include=[rules.any_valid_certificate()], require=list(require), **parts)


@pytest.fixture
def provider() -> Iterator[World]:
    with world("ssl", client_auth="optional") as made:
        yield made


def set_policies(saas: World, *policies: AccessPolicy, **settings: Any) -> None:
    saas.gate.hostnames.set_policies(ACME, policies, **settings)


def paths(**known: Any) -> dict[str, Any]:
    """What a server puts into the scope for this path."""
    return {"raw_path": known["path"].encode(), "client": ("192.0.2.9", 50_000), **known}


# --- what is known of a request ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rule", "scope", "status"),
    [
        (rules.path(prefix="/pay"), paths(path="/pay/1"), 200),
        (rules.path(prefix="/pay"), paths(path="/admin"), 403),
        (rules.path(prefix="/pay"), paths(path="/pay/../admin"), 403),
        (rules.path(prefix="/pay"), paths(path="/pay/../admin", raw_path=b"/pay/%2e%2e/admin"), 403),
        (rules.path(prefix="/pay"), paths(path="/pay/a/b", raw_path=b"/pay/a%2fb"), 403),
        (rules.path(prefix="/pay"), paths(path="/pay/1", raw_path=b"/admin"), 403),  # the server reads it otherwise
        (rules.path(prefix="/pay"), paths(path="/pay/1", raw_path=b"/pay/1?x=/admin"), 200),
        (rules.path(prefix="/pay"), {"path": "/pay/1"}, 200),  # a server without raw paths
        (rules.path(prefix="/pay"), {}, 403),
        (rules.not_(rules.path(prefix="/admin")), paths(path="//admin"), 403),
        (rules.path("/ä"), paths(path="/ä", raw_path=b"/%C3%A4"), 200),
        (rules.method("GET"), paths(path="/", method="GET"), 200),
        (rules.method("GET"), paths(path="/", method="POST"), 403),
        (rules.client_address("192.0.2.0/24"), paths(path="/"), 200),
        (rules.client_address("192.0.2.0/24"), paths(path="/", client=("198.51.100.1", 1)), 403),
        (rules.client_address("192.0.2.0/24"), paths(path="/", client=("::ffff:192.0.2.1", 1)), 200),
        (rules.client_address("192.0.2.0/24"), paths(path="/", client=None), 403),
        (rules.client_address("0.0.0.0/0"), paths(path="/", client=("/run/app.sock", 0)), 403),
        (rules.hostname(ACME), paths(path="/"), 200),
        (rules.hostname(UMBRELLA), paths(path="/"), 403),
        (rules.expression(f'http.host eq "{ACME}" and ip.src eq 192.0.2.9'), paths(path="/"), 200),
    ],
)
def test_a_request_is_judged_by_what_the_server_knows(
    provider: World, rule: rules.Rule, scope: dict[str, Any], status: int
) -> None:
    set_policies(provider, allow(rule))

    assert Call(provider, "acme", ACME, **scope).status == status


@pytest.mark.invariant(8)
def test_i8_a_client_cannot_write_its_address(provider: World) -> None:
    set_policies(provider, allow(rules.client_address("10.0.0.0/8")))
    host, forged = (b"host", ACME.encode()), (b"x-forwarded-for", b"10.0.0.1")

    assert Call(provider, "acme", ACME, host, forged, (b"forwarded", b"for=10.0.0.1"), **paths(path="/")).status == 403


def test_a_target_that_is_no_path_is_unreadable(provider: World) -> None:
    set_policies(provider, allow(rules.path(prefix="/")))
    scope = paths(path="/", raw_path=f"https://{ACME}/".encode())

    assert Call(provider, "acme", ACME, **scope, **{TARGET_KEY: f"https://{ACME}/"}).status == 403


@pytest.mark.invariant(6)
def test_i6_each_request_of_an_open_connection_is_judged(provider: World) -> None:
    set_policies(provider, allow(rules.any_of(rules.path("/a"), rules.path("/b"))))
    connection = Connection(Peer("acme", ACME), lambda: None)

    for path, status in (("/a", 200), ("/c", 403), ("/b", 200), ("/c", 403)):
        assert Call(provider, "acme", ACME, **paths(path=path), **{SCOPE_KEY: connection}).status == status


@pytest.mark.invariant(6)
def test_i6_a_change_of_policies_holds_from_the_next_request_on_the_same_connection_on(provider: World) -> None:
    connection = Connection(Peer("acme", ACME), lambda: None)
    for policy, status in (
        (ALLOW, 200),
        (allow(rules.method("POST")), 403),
        (ALLOW, 200),
        (allow(exclude=[DEVICE]), 403),
    ):
        set_policies(provider, policy)
        assert Call(provider, "acme", ACME, **{SCOPE_KEY: connection}).status == status


@pytest.mark.invariant(6)
def test_i6_a_running_request_ends_when_its_window_closes(provider: World) -> None:
    closed: list[str] = []
    until = datetime.now(UTC) + timedelta(seconds=0.7)
    set_policies(provider, allow(rules.time_window(until=until), rules.path("/stream")))

    async def app(_scope: Any, _receive: Any, _send: Any) -> None:
        await asyncio.sleep(1.5)

    scope = {"type": "websocket", "headers": [(b"host", ACME.encode())], **paths(path="/stream")}
    scope[SCOPE_KEY] = Connection(Peer("acme", ACME), lambda: closed.append("acme"))
    asyncio.run(MTLSMiddleware(app, provider.gate)(scope, None, None))  # type: ignore[arg-type]

    assert closed
    assert datetime.now(UTC) > until


def test_a_running_request_that_is_still_allowed_goes_on(provider: World) -> None:
    closed: list[str] = []
    set_policies(provider, allow(rules.path("/stream"), rules.client_address("192.0.2.0/24"), rules.method("GET")))

    async def app(scope: Any, _receive: Any, _send: Any) -> None:
        scope["path"] = "/elsewhere"  # as an inner router may do
        await asyncio.sleep(1.2)

    scope = {"type": "websocket", "headers": [(b"host", ACME.encode())], **paths(path="/stream")}
    scope[SCOPE_KEY] = Connection(Peer("acme", ACME), lambda: closed.append("acme"))
    asyncio.run(MTLSMiddleware(app, provider.gate)(scope, None, None))  # type: ignore[arg-type]

    assert not closed


# --- without a certificate ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("policies", "status", "reason"),
    [
        ([AccessPolicy(decision="bypass", include=[rules.path(prefix="/public")])], 200, ""),
        ([AccessPolicy(decision="bypass", include=[rules.path(prefix="/private")])], 403, "no_certificate"),
        ([AccessPolicy(decision="allow", include=[rules.everyone()])], 403, "no_certificate"),
        ([AccessPolicy(decision="non_identity", include=[rules.everyone()])], 403, "no_certificate"),
        ([AccessPolicy(decision="bypass", include=[rules.any_valid_certificate()])], 403, "no_certificate"),
        (
            [
                AccessPolicy(decision="bypass", include=[rules.everyone()]),
                AccessPolicy(
                    decision="deny",
                    include=[rules.expression(f'(http.host in {{"{ACME}"}} and not cf.tls_client_auth.cert_verified)')],
                ),
            ],
            403,
            "policy_denied",
        ),
    ],
)
def test_of_those_without_a_certificate_only_a_bypass_lets_somebody_in(
    provider: World, policies: list[AccessPolicy], status: int, reason: str
) -> None:
    set_policies(provider, *policies)
    call = Call(provider, None, ACME, **paths(path="/public/logo.png"))

    assert call.status == status
    if status == 200:
        assert call.seen is not None
        assert client_identity(call.seen) is None
    else:
        assert call.problem["reason"] == reason


def test_where_certificates_are_required_no_policy_lets_in_without_one() -> None:
    with world("ssl") as saas:
        set_policies(saas, AccessPolicy(decision="bypass", include=[rules.everyone()]))
        assert Call(saas, None, ACME).problem["reason"] == "no_certificate"


@pytest.mark.parametrize("client", ["umbrella", "stranger"])
def test_a_bypass_takes_no_bad_certificate(provider: World, client: str) -> None:
    set_policies(provider, AccessPolicy(decision="bypass", include=[rules.everyone()]))

    assert Call(provider, client, ACME).status == 403


# --- rehearsals --------------------------------------------------------------------------------------------------


def test_what_is_only_monitored_passes_marked_and_is_told(provider: World, caplog: pytest.LogCaptureFixture) -> None:
    told: list[Unenforced] = []
    provider.gate.subscribe(told.append, kind=Unenforced)
    denying = AccessPolicy(decision="allow", include=[rules.any_valid_certificate()], exclude=[DEVICE], name="no 17")
    set_policies(provider, denying, policy_mode="monitor")
    connection = Connection(Peer("acme", ACME), lambda: None)

    with caplog.at_level(logging.INFO, "mtlskit.gate"):
        calls = [Call(provider, "acme", ACME, **{SCOPE_KEY: connection}) for _ in range(3)]

    for call in calls:
        assert call.status == 200
        assert call.seen is not None
        verdict = asgi.verdict(call.seen)
        assert (verdict.enforced, verdict.policy.path if verdict.policy else "") == (False, "policies[0].exclude[0]")
        assert client_identity(call.seen) is not None
    assert [(event.effect, event.cause, event.policy) for event in told] == [
        (Effect.DENY, Cause.EXCLUDED, "policies[0].exclude[0]")
    ] * 3
    assert told[0].subject == "CN=device-17"
    assert len({event.request_id for event in told}) == 3
    assert [record.getMessage() for record in caplog.records] == ["request unenforced: excluded"] * 3
    assert not provider.events


def test_what_would_pass_anyway_is_not_told(provider: World) -> None:
    told: list[Unenforced] = []
    provider.gate.subscribe(told.append, kind=Unenforced)
    set_policies(provider, ALLOW, policy_mode="monitor")
    call = Call(provider, "acme", ACME)

    assert call.seen is not None
    assert asgi.verdict(call.seen).enforced
    assert not told


@pytest.mark.invariant(1)
@pytest.mark.parametrize(("client", "reason"), [("umbrella", "wrong_tenant_issuer"), ("stranger", "unknown_issuer")])
def test_i1_a_monitor_verifies_certificates_as_ever(provider: World, client: str, reason: str) -> None:
    set_policies(provider, allow(exclude=[rules.everyone()]), policy_mode="monitor")

    assert Call(provider, client, ACME).problem["reason"] == reason


def test_a_bypass_is_told_and_marked(provider: World) -> None:
    told: list[Unenforced] = []
    provider.gate.subscribe(told.append, kind=Unenforced)
    set_policies(provider, AccessPolicy(decision="bypass", include=[rules.everyone()], name="open"))
    for client in ("acme", None):
        call = Call(provider, client, ACME)
        assert call.seen is not None
        assert not asgi.verdict(call.seen).enforced

    assert [(event.effect, event.policy_name, event.subject) for event in told] == [
        (Effect.ALLOW, "open", "CN=device-17"), (Effect.ALLOW, "open", ""),
    ]  # fmt: skip


@pytest.mark.invariant(4)
def test_i4_a_rule_that_fails_denies_and_in_a_monitor_is_told(provider: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> Any:
        raise RuntimeError("a fault")

    told: list[Unenforced] = []
    provider.gate.subscribe(told.append, kind=Unenforced)
    monkeypatch.setattr("mtlskit.core.rules.matching._is_between", broken)
    failing = allow(rules.time_window(since=datetime(2020, 1, 1, tzinfo=UTC)))
    set_policies(provider, ALLOW, failing)
    assert Call(provider, "acme-deep", ACME).status == 403
    set_policies(provider, failing, policy_mode="monitor")
    assert Call(provider, "acme-deep", ACME).status == 200
    assert [event.cause for event in told] == [Cause.ERROR]


def test_an_explanation_shows_every_rule_with_what_it_saw(provider: World) -> None:
    set_policies(provider, allow(rules.path(prefix="/pay"), exclude=[rules.client_address("10.0.0.0/8")], name="tills"))
    pem = certificates().clients["acme"].chain_pem()

    denied = provider.gate.explain(ACME, certificate=pem, request=RequestFacts.of(path="/admin"))
    allowed = provider.gate.explain(
        ACME, certificate=pem, request=RequestFacts.of(path="/pay", client_address="192.0.2.1")
    )

    assert isinstance(denied, Deny)
    assert denied.policy is not None
    assert (denied.policy.path, denied.policy.cause) == ("policies[0].require[0]", Cause.REQUIREMENT_MISSING)
    assert str(denied.explanation).splitlines() == [
        "deny: requirement_missing at policies[0].require[0]",
        "policies[0] 'tills': allow",
        '  include {"certificate": {}}: match, saw a verified certificate',
        '  require {"path": {"path": {"prefix": "/pay"}}}: no match, saw /admin',
        '  exclude {"ip": {"ip": "10.0.0.0/8"}}: unknown, saw unreadable',
    ]
    assert isinstance(allowed, Allow)
    assert "match, saw /pay" in str(allowed.explanation)
    refused = provider.gate.explain(ACME, certificate=certificates().clients["umbrella"].chain_pem())
    assert (refused.policy, refused.explanation) == (None, None)
    assert not provider.events


# --- records -----------------------------------------------------------------------------------------------------


def test_policies_are_changed_alone_and_by_version(provider: World) -> None:
    hostnames = provider.gate.hostnames
    before = hostnames.get(ACME)
    after = hostnames.set_policies(ACME.upper(), [ALLOW], policy_mode="monitor", version=before.version)

    assert (after.policies, after.policy_mode.value) == ((ALLOW,), "monitor")
    assert after.version > before.version
    assert (after.trust.anchors, after.client_auth) == (before.trust.anchors, before.client_auth)
    assert after.server is not None
    assert hostnames.set_policies(ACME, []).policy_mode.value == "monitor"
    with pytest.raises(Conflict):
        hostnames.set_policies(ACME, [], version=before.version)
    with pytest.raises(NotFound):
        hostnames.set_policies("nobody.example", [])
    with pytest.raises(ConfigurationError):
        hostnames.set_policies(ACME, ["allow"])  # type: ignore[list-item]
    with pytest.raises(ConfigurationError, match="policy_mode"):
        hostnames.set_policies(ACME, [], policy_mode="off")
    assert hostnames.get(ACME).policies == ()


def test_profiles_and_authorities_are_the_stores(tmp_path: Path) -> None:
    store = mtlskit.open_store(f"sqlite:///{tmp_path}/s.db")
    acme = mtlskit.CertificateAuthority.create("Acme devices", store=store)
    elsewhere = mtlskit.CertificateAuthority.create("Acme devices", store=mtlskit.open_store("memory://"))
    till = acme.issue(profile=mtlskit.profiles.spiffe("acme.example"), uris=["spiffe://acme.example/till"])
    gate = Gate(store)
    trust = [acme.certificate, elsewhere.certificate]

    def reason(policy: AccessPolicy, certificate: Any) -> Any:
        gate.hostnames.set_policies(ACME, [policy])
        verdict = gate.explain(ACME, certificate=certificate.chain_pem())
        return verdict.reason.value if isinstance(verdict, Deny) else "allowed"

    gate.hostnames.add(ACME, trust=trust)
    foreign, device = elsewhere.issue_client("device-17"), acme.issue_client("device-17")
    by_profile = AccessPolicy(decision="allow", include=[rules.profile("spiffe")])
    by_authority = AccessPolicy(decision="allow", include=[rules.authority("Acme devices")])
    for policy, certificate, expected in (
        (by_profile, till, "allowed"), (by_profile, device, "policy_denied"), (by_profile, foreign, "policy_denied"),
        (by_authority, till, "allowed"), (by_authority, device, "allowed"), (by_authority, foreign, "policy_denied"),
    ):  # fmt: skip
        assert reason(policy, certificate) == expected
    acme.rotation.prepare()
    acme.rotation.activate()
    gate.hostnames.replace(ACME, trust=[*trust, acme.certificate])
    assert reason(by_authority, acme.issue_client("device-18")) == "allowed"
    gate.close()
    store.close()


@pytest.mark.invariant(4)
def test_i4_a_store_that_cannot_say_who_issued_a_certificate_denies(
    provider: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_policies(provider, AccessPolicy(decision="allow", include=[rules.not_(rules.profile("server"))]))
    assert Call(provider, "acme", ACME).status == 200

    def gone(*_: Any) -> Any:
        raise MTLSError("expected a store, got none")

    monkeypatch.setattr("mtlskit.gate.gate.issuance_of", gone)
    gate = Gate(provider.store)
    verdict = gate.explain(ACME, certificate=certificates().clients["acme"].chain_pem())
    assert isinstance(verdict, Deny)
    gate.close()


def test_a_window_of_the_day_holds_for_its_hostname_alone(provider: World) -> None:
    never = rules.time_window(start=time(0), end=time(0), until=datetime(2020, 1, 1, tzinfo=UTC))
    set_policies(provider, allow(never))

    assert Call(provider, "acme", ACME).status == 403
    assert Call(provider, "umbrella", UMBRELLA).status == 200
