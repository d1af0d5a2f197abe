"""A partner's API on loopback, for the examples that call one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from mtlskit.authority import CertificateAuthority
from mtlskit.cli.demo.server import serving
from mtlskit.core.certificates import to_pem
from mtlskit.gate import Gate
from mtlskit.gate.servers.uvicorn import bind
from mtlskit.stores import open_store


@pytest.fixture
def partner(tmp_path: Path) -> Iterator[str]:
    """The API's host and port. `partner-root.pem`, `billing.pem` and `billing.key` are in the working directory."""
    store = open_store("memory://")
    servers = CertificateAuthority.create("Partner servers", store=store)
    clients = CertificateAuthority.create("Partner clients", store=store)
    (tmp_path / "partner-root.pem").write_bytes(to_pem([servers.certificate]))
    issued = clients.issue_client("billing")
    (tmp_path / "billing.pem").write_bytes(issued.chain_pem())
    (tmp_path / "billing.key").write_bytes(issued.to_pem().partition(b"-----BEGIN CERTIFICATE")[0])
    gate = Gate(store)
    gate.hostnames.add("localhost", trust=[clients.certificate], server=servers.issue_server("localhost"))
    with bind("127.0.0.1", 0) as listener, serving(gate, listener):
        yield f"localhost:{listener.getsockname()[1]}"
    gate.close()
