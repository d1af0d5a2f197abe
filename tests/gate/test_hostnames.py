"""The registry of hostnames: what is kept, what is refused, and that nothing is half-written."""

from __future__ import annotations

import os
import signal
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from mtlskit.authority import CertificateAuthority
from mtlskit.core.certificates import public_key_id, to_der, to_pem
from mtlskit.core.evidence import PeerEvidence
from mtlskit.core.policy import AccessPolicy
from mtlskit.core.rules import common_name
from mtlskit.core.validation import Pinning, TrustAnchor
from mtlskit.core.verdict import Allow
from mtlskit.errors import CertificateError, ConfigurationError, Conflict, InvalidName, MTLSError, NotFound, StoreError
from mtlskit.gate import Gate
from mtlskit.gate.connection import Connection
from mtlskit.stores import open_store
from mtlskit.testing.certificates import SERVER_AUTH, Authority
from support.world import ACME, BACKENDS, UMBRELLA, certificates

NOW = datetime.now(UTC)
MADE = certificates()
ANCHOR = MADE.acme.certificate
USUAL: dict[str, Any] = {"trust": [ANCHOR], "server": MADE.servers[ACME]}


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Any]:
    url = "memory://" if request.param == "memory" else f"sqlite:///{tmp_path}/state.db"
    opened = open_store(url)
    yield opened
    opened.close()


@pytest.fixture
def gate(store: Any) -> Iterator[Gate]:
    made = Gate(store)
    yield made
    made.close()


def test_a_record_is_kept_whole(gate: Gate, store: Any) -> None:
    gate.hostnames.add(
        ACME,
        trust=[TrustAnchor(ANCHOR, id="acme-2026")],
        intermediates=[to_pem([MADE.acme.intermediate("Plant").certificate])],
        server=MADE.servers[ACME],
        policies=[AccessPolicy(decision="allow", include=[common_name("device-17")], name="one")],
        client_auth="optional",
        minimum_version="1.3",
        resumption="tickets",
        revocation="leaf",
        metadata={"plan": "gold"},
    )
    again = Gate(store).hostnames.get(ACME)
    assert (str(again.pattern), again.client_auth.value, again.minimum_version.value) == (ACME, "optional", "1.3")
    assert (again.resumption.value, again.revocation.value, again.metadata) == ("tickets", "leaf", {"plan": "gold"})
    assert [anchor.id for anchor in again.trust.anchors] == ["acme-2026"]
    assert len(again.trust.intermediates) == 1
    assert again.policies[0].name == "one"
    assert again.server is not None
    assert again.server.private_key_der() == MADE.servers[ACME].private_key_der()
    assert again.version == 1


def test_versions_grow_over_replacement_and_removal(gate: Gate) -> None:
    versions = [gate.hostnames.add(ACME, **USUAL).version, gate.hostnames.replace(ACME, **USUAL).version]
    gate.hostnames.remove(ACME)
    versions.append(gate.hostnames.add(ACME, **USUAL).version)
    assert versions == sorted(set(versions))


def test_an_exact_record_stands_before_a_wildcard(gate: Gate) -> None:
    wild = MADE.web.leaf("*", sans=["dns:*.acme.example"], usages=[SERVER_AUTH])
    gate.hostnames.add("*.acme.example", trust=[MADE.umbrella.certificate], server=wild)
    umbrella = MADE.clients["umbrella"].chain_pem()
    assert isinstance(gate.explain(ACME, certificate=umbrella), Allow)
    gate.hostnames.add(ACME, **USUAL)
    assert gate.explain(ACME, certificate=umbrella).reason.value == "wrong_tenant_issuer"  # type: ignore[union-attr]
    assert isinstance(gate.explain("shop.acme.example", certificate=umbrella), Allow)
    gate.hostnames.remove(ACME)
    assert isinstance(gate.explain(ACME, certificate=umbrella), Allow)


def test_another_gate_on_the_same_store_sees_changes_at_once(gate: Gate, store: Any) -> None:
    other = Gate(store)
    assert other.explain(ACME).reason.value == "server_name_unknown"  # type: ignore[union-attr]
    gate.hostnames.add(ACME, **USUAL)
    assert isinstance(other.explain(ACME, certificate=MADE.clients["acme"].chain_pem()), Allow)


def test_all_hostnames_are_listed(gate: Gate) -> None:
    gate.hostnames.add(UMBRELLA, client_auth="none", server=MADE.servers[UMBRELLA])
    gate.hostnames.add(ACME, **USUAL)
    assert [str(hostname.pattern) for hostname in gate.hostnames] == [ACME, UMBRELLA]


LEAF = MADE.clients["acme"]
OLD = Authority.root("Old", not_before=NOW - timedelta(days=2), not_after=NOW - timedelta(days=1))
LATER = Authority.root("Later", not_before=NOW + timedelta(days=1), not_after=NOW + timedelta(days=2))
WEAK = Authority.root("Weak", key=rsa.generate_private_key(public_exponent=65537, key_size=1024))
BAD: dict[str, tuple[dict[str, Any], type[MTLSError], str]] = {
    "a server certificate without its key": (
        {"server": MADE.servers[ACME].certificate}, ConfigurationError, "with its key .* got Certificate"),
    "a server certificate of another name": (
        {"server": MADE.servers[UMBRELLA]}, ConfigurationError, "server certificate for 'pay.acme.example'"),
    "a leaf as anchor": ({"trust": [LEAF.certificate]}, ConfigurationError, "trust anchor, got the end-entity"),
    "a leaf as anchor in DER": ({"trust": [to_der(LEAF.certificate)]}, ConfigurationError, "got the end-entity"),
    "a private key in the anchor's PEM": ({"trust": [LEAF.to_pem()]}, CertificateError, "holds a private key"),
    "two anchors in one text": (
        {"trust": [to_pem([ANCHOR, ANCHOR])]}, CertificateError, "trust anchor, got 2 certificates"),
    "no PEM": ({"trust": [b"nothing"]}, CertificateError, "trust anchor"),
    "an anchor that is no sequence": ({"trust": ANCHOR}, ConfigurationError, "a sequence of trust anchors"),
    "a path for an anchor": ({"trust": "acme.pem"}, ConfigurationError, "a sequence of trust anchors"),
    "no anchors": ({"trust": []}, ConfigurationError, "trust anchors for 'pay.acme.example'"),
    "anchors for nobody": ({"client_auth": "none"}, ConfigurationError, "neither trust anchors nor policies"),
    "a leaf as intermediate": ({"intermediates": [LEAF.certificate]}, ConfigurationError, "an intermediate, got"),
    "an expired anchor": ({"trust": [OLD.certificate]}, ConfigurationError, "has not ended, got one until 2"),
    "an anchor with a weak key": ({"trust": [WEAK.certificate]}, ConfigurationError, "an RSA modulus of 2048 to 8192 bits, got 1024"),
    "an expired intermediate": ({"intermediates": [OLD.certificate]}, ConfigurationError, "an intermediate that can be in a path"),
    "an unknown sharing": ({"shared_anchors": "perhaps"}, ConfigurationError, "shared_anchors to be one of"),
    "an unknown client_auth": ({"client_auth": "maybe"}, ConfigurationError, r"client_auth to be one of .* got 'maybe'"),
    "an unknown enforcement": ({"enforce": "never"}, ConfigurationError, "enforce to be one of"),
    "an unknown version": ({"minimum_version": "1.1"}, ConfigurationError, "minimum_version to be one of"),
    "an unknown resumption": ({"resumption": True}, ConfigurationError, "resumption to be one of"),
    "an unknown revocation": ({"revocation": "soft"}, ConfigurationError, "revocation to be one of"),
    "a policy as JSON": ({"policies": [{"decision": "allow"}]}, ConfigurationError, "access policies, got dict"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
@pytest.mark.parametrize("verb", ["add", "replace"])
def test_bad_input_is_one_clear_error_and_nothing_is_written(gate: Gate, case: str, verb: str) -> None:
    settings, kind, told = BAD[case]
    change: Callable[..., Any] = getattr(gate.hostnames, verb)
    if verb == "replace":
        gate.hostnames.add(ACME, **USUAL)
    before = [(str(each.pattern), each.version) for each in gate.hostnames]
    with pytest.raises(kind, match=told) as caught:
        change(ACME, **{**USUAL, **settings})
    assert "PRIVATE" not in str(caught.value)
    assert [(str(each.pattern), each.version) for each in gate.hostnames] == before


@pytest.mark.parametrize(
    "pattern", ["", "1.2.3.4", "[::1]", "a..b", "*", "*.example", f"{ACME}:443", "http://a.example", None]
)
def test_an_unknown_form_of_hostname_is_refused(gate: Gate, pattern: Any) -> None:
    for change in (gate.hostnames.add, gate.hostnames.replace):
        with pytest.raises(InvalidName):
            change(pattern, **USUAL)
    with pytest.raises(InvalidName):
        gate.hostnames.remove(pattern)


def test_what_is_there_or_is_not_is_said(gate: Gate) -> None:
    for change in (gate.hostnames.get, gate.hostnames.remove, lambda name: gate.hostnames.replace(name, **USUAL)):
        with pytest.raises(NotFound, match=ACME):
            change(ACME)
    gate.hostnames.add(ACME, **USUAL)
    with pytest.raises(Conflict):
        gate.hostnames.add(ACME.upper(), **USUAL)
    with pytest.raises(ConfigurationError, match="settings of a hostname, got .'polices'"):
        gate.hostnames.replace(ACME, **USUAL, polices=[])


def test_an_anchor_of_a_time_to_come_may_be_trusted_beforehand(gate: Gate) -> None:
    gate.hostnames.add(ACME, **{**USUAL, "trust": [ANCHOR, LATER.certificate]})
    assert len(gate.hostnames.get(ACME).trust.anchors) == 2


def test_another_customers_authority_is_flagged_or_refused_by_its_key(gate: Gate) -> None:
    """By its key, not by its name: the same key under another name lets in the same clients."""
    gate.hostnames.add(ACME, **USUAL)
    renamed = Authority.root("Another name", key=MADE.acme.key)
    settings: dict[str, Any] = {"trust": [renamed.certificate], "server": MADE.servers[UMBRELLA]}
    with pytest.raises(Conflict, match=f"alone, got a key of '{ACME}'"):
        gate.hostnames.add(UMBRELLA, **settings, shared_anchors="refuse")
    assert [str(each.pattern) for each in gate.hostnames] == [ACME]
    gate.hostnames.add(UMBRELLA, **settings)
    assert last_audit(gate)["shares_anchor_with"] == ACME
    gate.hostnames.replace(ACME, **USUAL)
    assert last_audit(gate)["shares_anchor_with"] == UMBRELLA
    with pytest.raises(Conflict):
        gate.hostnames.replace(ACME, **USUAL, shared_anchors="refuse")
    gate.hostnames.remove(UMBRELLA)
    gate.hostnames.replace(ACME, **USUAL, shared_anchors="refuse")
    assert "shares_anchor_with" not in last_audit(gate)


def last_audit(gate: Gate) -> Mapping[str, str]:
    with gate.store.snapshot() as snapshot:
        *_, row = snapshot.scan_audit()
    return row.details


def test_a_record_without_the_index_by_key_can_be_replaced_and_removed(gate: Gate) -> None:
    """As an older version wrote it."""
    gate.hostnames.add(ACME, **USUAL)
    with gate.store.transaction() as transaction:
        transaction.delete("hostname-anchor-key", public_key_id(ANCHOR).hex(), ACME)
    gate.hostnames.replace(ACME, **USUAL)
    gate.hostnames.remove(ACME)
    assert list(gate.hostnames) == []


def test_a_pinned_leaf_may_be_an_anchor_if_it_says_so(gate: Gate) -> None:
    gate.hostnames.add(ACME, trust=[TrustAnchor(LEAF.certificate, pinned=Pinning.PINNED)], server=MADE.servers[ACME])
    assert isinstance(gate.explain(ACME, certificate=LEAF.chain_pem()), Allow)
    other = MADE.acme.leaf("device-99").chain_pem()
    assert not isinstance(gate.explain(ACME, certificate=other), Allow)


def test_a_record_that_cannot_be_read_denies(gate: Gate, store: Any) -> None:
    gate.hostnames.add(ACME, **USUAL)
    with store.transaction() as transaction:
        transaction.replace("hostname", "", ACME, b'{"format": 1}')
        transaction.touch(f"hostname:{ACME}")
    with pytest.raises(StoreError, match="readable record"):
        gate.hostnames.get(ACME)
    assert gate.explain(ACME).reason.value == "store_unavailable"  # type: ignore[union-attr]


@pytest.mark.invariant(11)
def test_i11_a_servers_key_is_not_in_the_database(tmp_path: Path) -> None:
    store = open_store(f"sqlite:///{tmp_path}/state.db")
    try:
        Gate(store).hostnames.add(ACME, **USUAL)
        written = b"".join(path.read_bytes() for path in tmp_path.iterdir())
        scalar = MADE.servers[ACME].private_key.private_numbers().private_value  # type: ignore[union-attr]
        assert to_der(MADE.servers[ACME].certificate)[:20] not in written, "records hold base64"
        for secret in (scalar.to_bytes(32, "big"), MADE.servers[ACME].private_key_der()):
            import base64

            assert secret not in written
            assert base64.b64encode(secret)[4:-4] not in written
    finally:
        store.close()


@pytest.mark.parametrize("backend", BACKENDS)
def test_memory_is_bounded_by_most_hostnames(backend: str, store: Any) -> None:
    gate = Gate(store, backend=backend, most_hostnames=3)
    chain = MADE.web.leaf("*", sans=["dns:*.many.example"], usages=[SERVER_AUTH])
    gate.hostnames.add("*.many.example", client_auth="none", server=chain)
    for number in range(10):
        assert isinstance(gate.explain(f"h{number}.many.example"), Allow)
    assert len(gate._snapshot._resolved) == 3
    assert len(gate._snapshot._entries) == 1


@pytest.mark.invariant(12)
def test_i12_a_strangers_names_open_no_keys(gate: Gate, store: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key costs a tenth of a second with RSA: it is opened once per record, not per name or refused client."""
    chain = MADE.web.leaf("*", sans=["dns:*.many.example"], usages=[SERVER_AUTH])
    gate.hostnames.add("*.many.example", trust=[ANCHOR], server=chain)
    gate.hostnames.add(UMBRELLA, trust=[MADE.umbrella.certificate], server=MADE.servers[UMBRELLA])
    opened: list[str] = []
    unseal = store.unseal

    def counting(sealed: bytes, *, context: str) -> bytes:
        opened.append(context)
        return bytes(unseal(sealed, context=context))

    monkeypatch.setattr(store, "unseal", counting)
    stranger = MADE.clients["umbrella"].chain_pem()
    for number in range(20):
        verdict = gate.explain(f"h{number}.many.example", certificate=stranger)
        assert verdict.reason.value == "wrong_tenant_issuer"  # type: ignore[union-attr]
        gate.hostnames.replace(UMBRELLA, trust=[MADE.umbrella.certificate], server=None)
    assert opened == ["hostname-key:*.many.example"]


def test_a_change_of_one_hostname_leaves_its_neighbours_in_memory(gate: Gate) -> None:
    gate.hostnames.add(ACME, **USUAL)
    wild = MADE.web.leaf("*", sans=["dns:*.acme.example"], usages=[SERVER_AUTH])
    gate.hostnames.add("*.acme.example", client_auth="none", server=wild)
    gate.hostnames.add(UMBRELLA, trust=[MADE.umbrella.certificate], server=MADE.servers[UMBRELLA])
    for name in (ACME, "shop.acme.example", UMBRELLA):
        gate.explain(name)
    held = dict(gate._snapshot._resolved._items)
    gate.hostnames.replace("*.acme.example", client_auth="none", server=wild)
    assert gate._snapshot._resolved.get("shop.acme.example") is None
    gate.hostnames.replace(ACME, **USUAL)
    assert gate._snapshot._resolved.get(ACME) is None
    assert gate._snapshot._resolved.get(UMBRELLA) is held[UMBRELLA]


def test_a_clock_that_was_set_back_asks_again(gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    gate.hostnames.add(ACME, **USUAL)
    connection = Connection(Evidence(MADE.clients["acme"]), lambda: None)
    assert isinstance(gate.decide_on(connection, ACME), Allow)
    earlier = datetime.now(UTC) - timedelta(days=1)
    monkeypatch.setattr("mtlskit.gate.gate._now", lambda: earlier)
    monkeypatch.setattr("mtlskit.gate.gate.time.time", earlier.timestamp)
    assert gate.decide_on(connection, ACME).reason.value == "not_yet_valid"  # type: ignore[union-attr]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_child_of_a_fork_is_not_stopped_by_a_lock_that_another_thread_held(store: Any) -> None:
    gate = Gate(store)
    gate.hostnames.add(ACME, **USUAL)
    certificate = MADE.clients["acme"].chain_pem()
    held, release = threading.Event(), threading.Event()

    def hold() -> None:
        with gate._snapshot._lock, gate._freshness._lock, gate._revocations._lock:
            held.set()
            release.wait(10)

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait(5)
    with warnings.catch_warnings(action="ignore", category=DeprecationWarning):  # 3.12 warns of threads and fork
        child = os.fork()
    if child == 0:
        signal.alarm(5)
        os._exit(0 if isinstance(gate.explain(ACME, certificate=certificate), Allow) else 1)
    release.set()
    thread.join(5)
    assert os.waitpid(child, 0)[1] == 0
    gate.close()


def test_what_another_process_revokes_or_removes_is_denied_within_a_second(tmp_path: Path) -> None:
    """I6 across processes, here two stores on one database: nothing but the file tells the gate."""
    url = f"sqlite:///{tmp_path}/state.db"
    ours, theirs = open_store(url), open_store(url)
    try:
        authority = CertificateAuthority.create("Acme devices", store=theirs)
        device, other = authority.issue_client("device-17"), authority.issue_client("device-18")
        gate = Gate(ours)
        gate.hostnames.add(ACME, trust=[authority.certificate], server=MADE.servers[ACME])
        connections = [Connection(Evidence(chain), lambda: None) for chain in (device, other)]
        for connection in connections:
            assert isinstance(gate.decide_on(connection, ACME), Allow)
        authority.revoke(device.serial_number, reason="key_compromise")
        time.sleep(1.05)
        revoked, untouched = (gate.decide_on(connection, ACME) for connection in connections)
        assert revoked.reason.value == "revoked"  # type: ignore[union-attr]
        assert isinstance(untouched, Allow)
        Gate(theirs).hostnames.remove(ACME)
        time.sleep(1.05)
        assert gate.decide_on(connections[1], ACME).reason.value == "server_name_unknown"  # type: ignore[union-attr]
    finally:
        ours.close()
        theirs.close()


class Evidence:
    """Stands for a TLS object."""

    def __init__(self, chain: Any) -> None:
        self._evidence = PeerEvidence(server_name=ACME, presented=chain.presented())

    def evidence(self) -> PeerEvidence:
        return self._evidence
