"""A small world for tests: a SaaS provider, two tenants that want certificates, one hostname that wants none."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from mtlskit.backends import get_backend
from mtlskit.core.certificates import SigningChain
from mtlskit.gate import Gate, Refused
from mtlskit.ports import ClientConfiguration
from mtlskit.stores import open_store
from mtlskit.testing.certificates import SERVER_AUTH, Authority
from mtlskit.testing.handshake import Wire

ACME, UMBRELLA, PUBLIC = "pay.acme.example", "pay.umbrella.example", "www.saas.example"
BACKENDS = ("ssl", "pyopenssl")
VERSIONS = (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3)


@dataclass(frozen=True)
class Certificates:
    """Made once: keys cost time."""

    web: Authority
    acme: Authority
    umbrella: Authority
    servers: dict[str, SigningChain]
    clients: dict[str, SigningChain]


@cache
def certificates() -> Certificates:
    web, acme, umbrella = (Authority.root(f"{name} root") for name in ("Web", "Acme", "Umbrella"))
    names = (ACME, UMBRELLA, PUBLIC)
    return Certificates(
        web,
        acme,
        umbrella,
        {name: web.leaf(name, sans=[f"dns:{name}"], usages=[SERVER_AUTH]) for name in names},
        {
            "acme": acme.leaf("device-17", sans=["uri:urn:acme:device:17"]),
            "acme-deep": acme.intermediate("Acme plant").leaf("device-18"),
            "umbrella": umbrella.leaf("device-17", sans=["uri:urn:acme:device:17"]),
            "umbrella-deep": umbrella.intermediate("Umbrella plant").leaf("device-17"),
            "stranger": Authority.root("Stranger root").leaf("device-17"),
            "impostor": Authority.root("Acme root").leaf("device-17", sans=["uri:urn:acme:device:17"]),
        },
    )


@dataclass
class World:
    """A gate on one backend with its hostnames, and the events that it published."""

    gate: Gate
    store: Any
    events: list[Refused] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.gate.subscribe(self.events.append)

    def client(
        self,
        name: str | None,
        *,
        backend: str = "ssl",
        version: ssl.TLSVersion | None = None,
        alpn: tuple[str, ...] = (),
    ) -> ssl.SSLContext:
        """A client's context with one of the world's client certificates, or none."""
        chain = certificates().clients[name] if name else None
        return self.client_with(chain, backend=backend, version=version, alpn=alpn)

    def client_with(
        self,
        chain: SigningChain | None,
        *,
        backend: str = "ssl",
        version: ssl.TLSVersion | None = None,
        alpn: tuple[str, ...] = (),
    ) -> ssl.SSLContext:
        context = get_backend(backend).client_context(
            ClientConfiguration(chain=chain, trust=(certificates().web.certificate,), alpn=alpn)
        )
        if version is not None:
            context.maximum_version = version
        return context

    def connect(self, client: ssl.SSLContext, server_hostname: str, **options: Any) -> Wire:
        """A finished in-memory handshake with the gate's listener."""
        return Wire.between(client, self.gate.ssl_context(), server_hostname, **options).handshake()

    def verdict(self, wire: Wire, authority: str) -> Any:
        """The gate's verdict on a request to `authority` over that connection."""
        return self.gate.decide(wire.server.evidence(), authority)

    @property
    def reasons(self) -> list[str]:
        """The reason codes of the events so far."""
        return [event.reason.value for event in self.events]


@contextmanager
def world(backend: str, **settings: Any) -> Iterator[World]:
    """A world; `settings` go to the two hostnames that want certificates."""
    store = open_store("memory://")
    gate = Gate(store, backend=backend)
    made = certificates()
    gate.hostnames.add(ACME, trust=[made.acme.certificate], server=made.servers[ACME], **settings)
    gate.hostnames.add(UMBRELLA, trust=[made.umbrella.certificate], server=made.servers[UMBRELLA], **settings)
    gate.hostnames.add(PUBLIC, client_auth="none", server=made.servers[PUBLIC])
    try:
        yield World(gate, store)
    finally:
        gate.close()
        store.close()
