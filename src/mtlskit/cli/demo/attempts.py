"""What is tried, and what must come of it. Each attempt is a small function from the stage to what happened."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from mtlskit.cli.demo.client import Peer, Reply
from mtlskit.cli.demo.scenario import (
    ACME,
    DEVICE,
    OPEN,
    PARTNER_API,
    SECOND_DEVICE,
    UMBRELLA,
    UNKNOWN,
    UNWANTED_DEVICE,
    Scenario,
)
from mtlskit.core.reasons import Reason
from mtlskit.errors import OriginNotAllowed
from mtlskit.fetch import AsyncEnvironment, Environment, Response
from mtlskit.gate import Gate

ALERT, NOT_SENT, FAILED = "TLS alert", "not sent", "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How an attempt ended: a status, or `ALERT`, `NOT_SENT`, `FAILED`; and who was let in, or why nobody was."""

    ended: str
    identity: str | None = None
    reason: Reason | None = None

    def __str__(self) -> str:
        return " ".join(filter(None, (self.ended, self.identity, self.reason and self.reason.value)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Happened:
    """What an attempt saw; the reason of a refusal is told by the gate, not by the client. `told` is for people."""

    ended: str
    identity: str | None = None
    told: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """What an attempt works with."""

    scenario: Scenario
    gate: Gate
    port: int

    def peer(self, device: str | None = None, version: ssl.TLSVersion | None = None) -> Peer:
        """A client with a device's certificate, or with none."""
        certificate = None if device is None else self.scenario.device(device)
        return Peer(self.port, self.scenario.server_root_file, certificate, version)

    def bindings(self) -> dict[str, Any]:
        """The arguments of `Environment.from_file`."""
        trust = [self.scenario.server_root.certificate]
        return {
            "path": self.scenario.bindings_file,
            "store": self.scenario.store,
            "backend": self.gate.backend,
            "trust": trust,
        }

    @property
    def api(self) -> str:
        """What the bindings call."""
        return f"https://{PARTNER_API}:{self.port}/invoices"

    @contextmanager
    def tickets(self) -> Iterator[None]:
        """Both customers hand out TLS sessions while the block runs: without, there is nothing to resume."""
        settings = {name: self.scenario.settings[name] for name in (ACME, UMBRELLA)}
        for name, each in settings.items():
            self.gate.hostnames.replace(name, **each, resumption="tickets")
        try:
            yield
        finally:
            for name, each in settings.items():
                self.gate.hostnames.replace(name, **each)


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One row."""

    title: str
    expected: Outcome
    act: Callable[[Stage], Happened]
    note: str = ""


def attempts(gate: Gate) -> list[Attempt]:
    """All of them, with what is expected of the backend that `gate` has."""
    return [*_at_the_gate(gate), *_resumptions(gate), *_fetches()]


BLIND = (
    "the standard library's ssl shows nothing of a certificate that it refused: a neighbour's device is a stranger's"
)


def _stranger(gate: Gate) -> Reason:
    sees = gate.backend.capabilities.sees_rejected_certificate
    return Reason.WRONG_TENANT_ISSUER if sees else Reason.UNKNOWN_ISSUER


def _refused(reason: Reason) -> Outcome:
    return Outcome(ended=ALERT, reason=reason)


def _at_the_gate(gate: Gate) -> list[Attempt]:
    neighbour = _stranger(gate)
    note = BLIND if neighbour is Reason.UNKNOWN_ISSUER else ""
    return [
        _attempt(f"acme's {DEVICE} at acme", Outcome(ended="200", identity=DEVICE), partial(_get, ACME, DEVICE)),
        _attempt("no certificate at acme", _refused(Reason.NO_CERTIFICATE), partial(_get, ACME, None)),
        _attempt(
            "umbrella's till-3 at umbrella",
            Outcome(ended="200", identity="till-3"),
            partial(_get, UMBRELLA, "neighbour"),
        ),
        Attempt(
            title="umbrella's till-3 at acme",
            expected=_refused(neighbour),
            act=partial(_get, ACME, "neighbour"),
            note=note,
        ),
        _attempt("an expired certificate of acme", _refused(Reason.EXPIRED), partial(_get, ACME, "expired")),
        _attempt("a CA of the same subject name", _refused(Reason.UNKNOWN_ISSUER), partial(_get, ACME, "impostor")),
        _attempt(
            "acme's device that no policy names",
            Outcome(ended="403", reason=Reason.POLICY_DENIED),
            partial(_get, ACME, UNWANTED_DEVICE),
        ),
        _attempt(
            "acme's connection, umbrella's Host",
            Outcome(ended="421", reason=Reason.AUTHORITY_MISMATCH),
            partial(_get, ACME, DEVICE, host=UMBRELLA),
        ),
        _attempt("an unknown server name", _refused(Reason.SERVER_NAME_UNKNOWN), partial(_get, UNKNOWN, DEVICE)),
        _attempt("no server name", _refused(Reason.SERVER_NAME_MISSING), _no_server_name),
        _attempt("anybody at the open hostname", Outcome(ended="200"), partial(_get, OPEN, None)),
        _attempt(
            "revoked while its connection is open", Outcome(ended="403", reason=Reason.REVOKED), _revoked_meanwhile
        ),
    ]


def _resumptions(gate: Gate) -> list[Attempt]:
    found = []
    for name, version in (("1.2", ssl.TLSVersion.TLSv1_2), ("1.3", ssl.TLSVersion.TLSv1_3)):
        found += [
            _attempt(
                f"acme's session resumed at acme, TLS {name}",
                Outcome(ended="200 resumed", identity=DEVICE),
                partial(_resumed, ACME, version),
            ),
            Attempt(
                title=f"acme's session resumed at umbrella, TLS {name}",
                expected=_refused(_stranger(gate)),
                act=partial(_resumed, UMBRELLA, version),
                note=BLIND if _stranger(gate) is Reason.UNKNOWN_ISSUER else "",
            ),
        ]
    return found


def _fetches() -> list[Attempt]:
    mine = Outcome(ended="200", identity="billing-service")
    return [
        _attempt("env.MY_CERT.fetch(...)", mine, partial(_fetch, "MY_CERT")),
        _attempt("await env.MY_CERT.fetch(...)", mine, partial(_fetch_async, "MY_CERT")),
        _attempt(
            "env.OTHER_CERT.fetch(...)",
            Outcome(ended="200", identity="reports-service"),
            partial(_fetch, "OTHER_CERT"),
        ),
        _attempt("env.MY_CERT.fetch(...) to an origin that is not bound", Outcome(ended=NOT_SENT), _fetch_elsewhere),
    ]


def _attempt(title: str, expected: Outcome, act: Callable[[Stage], Happened]) -> Attempt:
    return Attempt(title=title, expected=expected, act=act)


def _get(server_name: str, device: str | None, stage: Stage, *, host: str | None = None) -> Happened:
    return _seen(stage.peer(device).get(server_name, host=host))


def _no_server_name(stage: Stage) -> Happened:
    return _seen(stage.peer(DEVICE).without_server_name().get(None, host=ACME))


def _revoked_meanwhile(stage: Stage) -> Happened:
    name = f"{SECOND_DEVICE}-{stage.gate.backend.name}"
    device = stage.scenario.acme.issue_client(SECOND_DEVICE, uris=["urn:acme:device:18"])
    device.save(stage.scenario.device(name))
    with stage.peer(name).connected(ACME) as connection:
        before = connection.get(ACME)
        stage.scenario.acme.revoke(device.serial_number, reason="key_compromise")
        after = connection.get(ACME)
    if (before.status, before.identity) != (200, SECOND_DEVICE):
        return Happened(ended=FAILED, told=f"before: {before.status} {before.ended}")
    return replace(_seen(after), told="200, revoked, then")


def _resumed(server_name: str, version: ssl.TLSVersion, stage: Stage) -> Happened:
    peer = stage.peer(DEVICE, version)
    with stage.tickets():
        with peer.connected(ACME) as first:
            before, session = first.get(ACME), first.session
        if before.status != 200 or session is None:
            return Happened(ended=FAILED, told="acme gave no session to resume")
        try:
            with peer.connected(server_name, session=session) as second:
                seen = _seen(second.get(server_name))
                return replace(seen, ended=f"{seen.ended} resumed") if second.resumed else seen
        except ssl.SSLError as error:
            return _seen(Reply.of(error))


def _fetch(binding: str, stage: Stage) -> Happened:
    with Environment.from_file(**stage.bindings()) as env:
        return _fetched(env[binding].fetch(stage.api))


def _fetch_async(binding: str, stage: Stage) -> Happened:
    async def fetch() -> Response:
        async with AsyncEnvironment.from_file(**stage.bindings()) as env:
            return await env[binding].fetch(stage.api)

    return _fetched(asyncio.run(fetch()))


def _fetch_elsewhere(stage: Stage) -> Happened:
    with Environment.from_file(**stage.bindings()) as env:
        try:
            return _fetched(env.MY_CERT.fetch(f"https://{ACME}:{stage.port}/"))
        except OriginNotAllowed as error:
            return Happened(ended=NOT_SENT, told=type(error).__name__)


def _seen(reply: Reply) -> Happened:
    if reply.status is None:
        return Happened(ended=ALERT if reply.ended.startswith(ALERT) else FAILED, told=reply.ended)
    return Happened(ended=str(reply.status), identity=reply.identity)


def _fetched(response: Response) -> Happened:
    identity = response.json().get("identity") or {}
    return Happened(ended=str(response.status), identity=identity.get("common_name"))
