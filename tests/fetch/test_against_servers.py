"""`fetch` against servers that are not made for it: our own gate under uvicorn, nginx, and OpenSSL's `s_server`.

What a server thinks of a certificate is told in its own way: by an alert, by the end of the connection, or by an HTTP
answer. The first two are a ClientCertificateRefused, the third is an answer like any other.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from fetch.programs import nginx, s_server
from mtlskit.authority import CertificateAuthority
from mtlskit.core.certificates import SigningChain
from mtlskit.errors import ClientCertificateRefused, HandshakeError, MTLSError
from mtlskit.gate import Gate
from mtlskit.gate.asgi import client_identity
from mtlskit.gate.servers import uvicorn as adapter
from mtlskit.stores import open_store
from mtlskit.testing.certificates import SERVER_AUTH, Authority
from revocation.crls import make_list

SERVERS, CLIENTS = Authority.root("Server root"), Authority.root("Client root")
SERVER = SERVERS.leaf("server", sans=("dns:localhost",), usages=(SERVER_AUTH,))
ALICE, BOB = CLIENTS.leaf("alice"), CLIENTS.intermediate().leaf("bob")
MALLORY = Authority.root("Client root").leaf("mallory")
BINDINGS = {"ALICE": ALICE, "BOB": BOB, "MALLORY": MALLORY}
TRUST = {"trust": [SERVERS.certificate]}
# What a server says of a certificate whose issuer it does not know, or whose issuer's name is that of another key.
REFUSALS = {"unknown_ca", "decrypt_error", "bad_certificate", "certificate_unknown"}
FetchAll = Callable[..., list[Any]]


# --- our own gate --------------------------------------------------------------------------------------------------


@dataclass
class Provider:
    """A gate whose hostname `localhost` lets in what the authority has issued, and another tenant's hostname."""

    acme: CertificateAuthority
    umbrella: CertificateAuthority
    gate: Gate
    port: int = 0

    def url(self, path: str = "/") -> str:
        return f"https://localhost:{self.port}{path}"

    async def app(self, scope: Any, receive: Any, send: Any) -> None:
        """Tells who is calling over which connection; `/revoke` has the caller's certificate revoked."""
        identity = client_identity(scope)
        assert identity is not None
        if scope["path"] == "/revoke":
            self.acme.revoke(identity.serial_number, reason="key_compromise")
        told = {"client": identity.common_name, "connection": scope["client"][1], "path": scope["path"]}
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": json.dumps(told).encode()})


@contextmanager
def running(provider: Provider) -> Iterator[Provider]:
    """Under uvicorn in a thread, on a free port."""
    listener = adapter.bind("127.0.0.1", 0)
    provider.port = listener.getsockname()[1]
    options = {"loop": "asyncio", "http": "h11", "log_level": "critical", "lifespan": "off"}
    server = adapter.Server(adapter.config(provider.app, provider.gate, **options))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        deadline = time.monotonic() + 10
        while not server.started and time.monotonic() < deadline:
            time.sleep(0.01)
        yield provider
    finally:
        server.should_exit = server.force_exit = True
        thread.join(10)
        listener.close()


@pytest.fixture(scope="module", params=["ssl", "pyopenssl"], ids="gate-{}".format)
def provider(request: pytest.FixtureRequest) -> Iterator[Provider]:
    store = open_store("memory://")
    acme, umbrella = (CertificateAuthority.create(name, store=store) for name in ("Acme", "Umbrella"))
    gate = Gate(store, backend=request.param)
    gate.hostnames.add("localhost", trust=[acme.certificate], server=SERVER)
    elsewhere = SERVERS.leaf("other", sans=("dns:pay.umbrella.example",), usages=(SERVER_AUTH,))
    gate.hostnames.add("pay.umbrella.example", trust=[umbrella.certificate], server=elsewhere)
    try:
        with running(Provider(acme, umbrella, gate)) as made:
            yield made
    finally:
        gate.close()
        store.close()


def test_a_gate_sees_each_binding_as_who_it_is(fetch_all: FetchAll, provider: Provider) -> None:
    bindings = {name: provider.acme.issue_client(name.lower()) for name in ("ONE", "OTHER")}
    calls = [(name, provider.url(f"/{number}"), {}) for number, name in enumerate(["ONE", "OTHER"] * 3)]

    found = [each.json() for each in fetch_all(bindings, *calls, **TRUST)]

    assert [(each["client"], each["path"]) for each in found] == [
        (name.lower(), f"/{number}") for number, name in enumerate(["ONE", "OTHER"] * 3)
    ]
    assert len({(each["client"], each["connection"]) for each in found}) == 2


@pytest.mark.parametrize("whose", ["a stranger's", "another tenant's"])
def test_a_gate_refuses_the_certificate_of_another_authority(
    fetch_all: FetchAll, provider: Provider, whose: str
) -> None:
    wrong = MALLORY if whose == "a stranger's" else provider.umbrella.issue_client("device")
    bindings = {"WRONG": wrong, "RIGHT": provider.acme.issue_client("right")}

    refused, good = fetch_all(bindings, ("WRONG", provider.url(), {}), ("RIGHT", provider.url(), {}), **TRUST)

    assert isinstance(refused, ClientCertificateRefused)
    assert refused.alert in {*REFUSALS, None}  # asyncio ends a connection without the alert
    assert good.json()["client"] == "right"


def test_a_revoked_certificate_is_refused_with_the_next_call_on_the_open_connection(
    fetch_all: FetchAll, provider: Provider
) -> None:
    bindings = {"A": provider.acme.issue_client("device")}
    calls = [("A", provider.url(path), {}) for path in ("/", "/revoke", "/again")]

    first, last, refused = fetch_all(bindings, *calls, **TRUST)

    assert first.json()["connection"] == last.json()["connection"]
    assert (refused.status, refused.json()["reason"]) == (403, "revoked")


# --- nginx ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("http2", ["", "http2"], ids=["http1", "http2"])
@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_nginx_sees_each_binding_as_who_it_is(fetch_all: FetchAll, tmp_path: Path, version: str, http2: str) -> None:
    with nginx(tmp_path, SERVER, CLIENTS, version=version, http2=http2) as url:
        calls = [(name, f"{url}/{number}", {}) for number, name in enumerate(["ALICE", "BOB"] * 3)]
        found = [each.text().split(" ") for each in fetch_all(BINDINGS, *calls, **TRUST)]

    assert [(who, path) for who, _, path in found] == [
        (f"CN={name.lower()}", f"/{number}") for number, name in enumerate(["ALICE", "BOB"] * 3)
    ]
    assert len({(who, connection) for who, connection, _ in found}) == 2


@pytest.mark.parametrize("http2", ["", "http2"], ids=["http1", "http2"])
@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_what_nginx_says_of_a_bad_certificate_is_its_answer(
    fetch_all: FetchAll, tmp_path: Path, version: str, http2: str
) -> None:
    # It ends the handshake well in any case, and says what it thinks with HTTP.
    with nginx(tmp_path, SERVER, CLIENTS, version=version, http2=http2) as url:
        bad, good = fetch_all(BINDINGS, ("MALLORY", url, {}), ("ALICE", url, {}), **TRUST)

    assert (bad.status, bad.ok) == (400, False)
    assert "The SSL certificate error" in bad.text()
    assert good.text().startswith("CN=alice ")


def test_what_nginx_says_of_no_certificate_is_its_answer(fetch_all: FetchAll, tmp_path: Path) -> None:
    folders = [tmp_path / "one", tmp_path / "other"]
    for folder in folders:
        folder.mkdir()
    with nginx(folders[0], SERVER, CLIENTS) as one, nginx(folders[1], SERVER, CLIENTS) as other:
        (found,) = fetch_all(BINDINGS, ("ALICE", f"{one}/away?to={other}/", {}), **TRUST)

    assert (found.status, found.redirected, found.url) == (400, True, f"{other}/")
    assert "No required SSL certificate was sent" in found.text()


def test_what_nginx_says_of_a_revoked_certificate_is_its_answer(fetch_all: FetchAll, tmp_path: Path) -> None:
    listed = make_list(1, by=CLIENTS, revoked=(ALICE.serial_number,), encoding=Encoding.PEM)
    (tmp_path / "clients.crl").write_bytes(listed)
    other = CLIENTS.leaf("other")
    with nginx(tmp_path, SERVER, CLIENTS, crl=f"ssl_crl {tmp_path}/clients.crl;") as url:
        bad, good = fetch_all({"ALICE": ALICE, "OTHER": other}, ("ALICE", url, {}), ("OTHER", url, {}), **TRUST)

    assert bad.status == 400
    assert good.text().startswith("CN=other ")


@pytest.mark.parametrize("http2", ["", "http2"], ids=["http1", "http2"])
def test_nginx_may_end_a_connection_after_every_few_requests(fetch_all: FetchAll, tmp_path: Path, http2: str) -> None:
    with nginx(tmp_path, SERVER, CLIENTS, requests="2", http2=http2) as url:
        found = fetch_all(BINDINGS, *[("ALICE", f"{url}/{number}", {}) for number in range(9)], **TRUST)

    assert [each for each in found if isinstance(each, Exception)] == []
    assert [each.text().split(" ")[2] for each in found] == [f"/{number}" for number in range(9)]


# --- OpenSSL's own -------------------------------------------------------------------------------------------------

VERSIONS = {"1.2": "-tls1_2", "1.3": "-tls1_3"}


def page(pem: bytes) -> str:
    return pem.decode("ascii").partition("-----END")[0].strip()


@pytest.mark.parametrize("version", VERSIONS)
def test_s_server_sees_each_binding_as_who_it_is(fetch_all: FetchAll, tmp_path: Path, version: str) -> None:
    with s_server(tmp_path, SERVER, CLIENTS, VERSIONS[version]) as url:
        found = fetch_all(BINDINGS, *[(name, url, {}) for name in ("ALICE", "BOB", "ALICE")], **TRUST)

    for response, chain in zip(found, (ALICE, BOB, ALICE), strict=True):
        assert response.status == 200
        assert page(chain.chain_pem()) in response.text()


@pytest.mark.parametrize("case", ["a stranger's", "a revoked one"])
@pytest.mark.parametrize("version", VERSIONS)
def test_what_s_server_refuses_is_told_with_its_alert(
    fetch_all: FetchAll, tmp_path: Path, version: str, case: str
) -> None:
    (tmp_path / "clients.crl").write_bytes(
        make_list(1, by=CLIENTS, revoked=(ALICE.serial_number,), encoding=Encoding.PEM)
    )
    wrong, good = ("MALLORY", "ALICE") if case == "a stranger's" else ("ALICE", "OTHER")
    options = [] if case == "a stranger's" else ["-CRL", f"{tmp_path}/clients.crl", "-crl_check"]
    bindings: dict[str, SigningChain] = {**BINDINGS, "OTHER": CLIENTS.leaf("other")}
    with s_server(tmp_path, SERVER, CLIENTS, VERSIONS[version], *options) as url:
        refused, taken = fetch_all(bindings, (wrong, url, {}), (good, url, {}), **TRUST)

    assert isinstance(refused, ClientCertificateRefused)
    assert refused.alert in (REFUSALS if case == "a stranger's" else {"certificate_revoked"})
    assert f"'CN={wrong.lower()}'" in str(refused)
    assert taken.status == 200


@pytest.mark.parametrize("version", VERSIONS)
def test_s_server_without_a_certificate_ends_in_the_handshake(
    fetch_all: FetchAll, tmp_path: Path, version: str
) -> None:
    folders = [tmp_path / "one", tmp_path / "other"]
    for folder in folders:
        folder.mkdir()
    with nginx(folders[0], SERVER, CLIENTS) as one, s_server(folders[1], SERVER, CLIENTS, VERSIONS[version]) as other:
        (found,) = fetch_all(BINDINGS, ("ALICE", f"{one}/away?to={other}/", {}), **TRUST)

    assert isinstance(found, HandshakeError)
    assert isinstance(found, MTLSError)
    assert found.alert in {40, 116}  # RFC 5246, 7.4.6: handshake_failure; RFC 8446, 4.4.2.4: certificate_required
