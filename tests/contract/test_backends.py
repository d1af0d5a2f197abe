"""What every TLS backend must do, as server and as client, on TLS 1.2 and 1.3: in-memory handshakes, no socket."""

from __future__ import annotations

import contextlib
import itertools
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509

from mtlskit.backends import get_backend
from mtlskit.backends.reasons import reason_of
from mtlskit.backends.stdlib import load_signing_chain
from mtlskit.core.certificates import SigningChain
from mtlskit.core.evidence import Resumption, TLSVersion
from mtlskit.errors import ConfigurationError
from mtlskit.ports import ClientConfiguration, ServerConfiguration, Verification
from mtlskit.testing.certificates import SERVER_AUTH, Authority
from mtlskit.testing.handshake import Wire
from support.world import ACME, BACKENDS, VERSIONS, certificates

PAIRS = list(itertools.product(BACKENDS, BACKENDS, VERSIONS))
EVERY_PAIR = pytest.mark.parametrize(
    ("server", "client", "version"), PAIRS, ids=[f"{s}-server-{c}-client-{v.name}" for s, c, v in PAIRS]
)


def server_context(backend: str, **settings: Any) -> ssl.SSLContext:
    made = certificates()
    usual: dict[str, Any] = {
        "chain": made.servers[ACME],
        "verification": Verification.REQUIRED,
        "anchors": (made.acme.certificate,),
    }
    return get_backend(backend).server_context(ServerConfiguration(**{**usual, **settings}))


def client_context(
    backend: str, version: ssl.TLSVersion, chain: SigningChain | None, **settings: Any
) -> ssl.SSLContext:
    usual: dict[str, Any] = {"trust": (certificates().web.certificate,)}
    context = get_backend(backend).client_context(ClientConfiguration(chain=chain, **{**usual, **settings}))
    context.maximum_version = version
    return context


@EVERY_PAIR
def test_both_sides_agree_and_the_evidence_is_whole(server: str, client: str, version: ssl.TLSVersion) -> None:
    chain = certificates().clients["acme-deep"]
    wire = Wire.between(client_context(client, version, chain), server_context(server), ACME).handshake()
    evidence = wire.server.evidence()
    assert (evidence.server_name, evidence.resumed) == (ACME, False)
    assert evidence.tls_version == {ssl.TLSVersion.TLSv1_2: "TLSv1.2", ssl.TLSVersion.TLSv1_3: "TLSv1.3"}[version]
    assert evidence.presented == chain.presented()
    assert wire.client.version() == wire.server.version() == evidence.tls_version


@pytest.mark.invariant(13)
@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", ["acme", "acme-deep", None])
def test_i13_evidence_is_equal_field_by_field_on_both_backends(version: ssl.TLSVersion, name: str | None) -> None:
    chain = certificates().clients[name] if name else None
    found = [
        Wire.between(
            client_context("ssl", version, chain), server_context(backend, verification=Verification.OPTIONAL), ACME
        )
        .handshake()
        .server.evidence()
        for backend in BACKENDS
    ]
    assert found[0] == found[1]
    assert (found[0].presented is None) == (name is None)


@EVERY_PAIR
def test_data_arrives_whole_in_both_directions(server: str, client: str, version: ssl.TLSVersion) -> None:
    wire = Wire.between(
        client_context(client, version, certificates().clients["acme"]), server_context(server), ACME
    ).handshake()
    data = bytes(range(256)) * 1024
    assert wire.to_server(data) == data
    assert wire.to_client(data) == data
    with pytest.raises(ssl.SSLWantReadError):
        wire.server.read(1)


@EVERY_PAIR
def test_data_that_came_with_the_end_of_the_handshake_is_seen_as_pending(
    server: str, client: str, version: ssl.TLSVersion
) -> None:
    """uvloop reads only while something is pending: what lies in a backend's own buffer must be counted."""
    chain = certificates().clients["acme"]
    wire = Wire.between(client_context(client, version, chain), server_context(server), ACME)
    sent = b"first" * 10
    for _ in range(10):
        with contextlib.suppress(ssl.SSLWantReadError):
            wire.client.do_handshake()
            wire.client.write(sent)
            wire.client.write(sent)
        wire.server_incoming.write(wire.client_outgoing.read())
        with contextlib.suppress(ssl.SSLWantReadError):
            wire.server.do_handshake()
            break
        wire.client_incoming.write(wire.server_outgoing.read())
    if version is ssl.TLSVersion.TLSv1_2:  # the client ends this handshake, so it speaks later
        wire.client_incoming.write(wire.server_outgoing.read())
        wire.client.do_handshake()
        wire.client.write(sent)
        wire.client.write(sent)
        wire.server_incoming.write(wire.client_outgoing.read())
    read = b""
    while wire.server_incoming.pending or wire.server.pending():
        read += wire.server.read(65536)
    assert read == sent * 2
    assert wire.server.pending() == 0


@EVERY_PAIR
def test_alpn_is_negotiated(server: str, client: str, version: ssl.TLSVersion) -> None:
    chain = certificates().clients["acme"]
    wire = Wire.between(
        client_context(client, version, chain, alpn=("h2", "http/1.1")),
        server_context(server, alpn=("http/1.1",)),
        ACME,
    ).handshake()
    assert wire.client.selected_alpn_protocol() == wire.server.selected_alpn_protocol() == "http/1.1"


def _wrong(kind: str) -> SigningChain | None:
    made = certificates()
    moment = datetime.now(UTC)
    match kind:
        case "none":
            return None
        case "stranger" | "impostor":
            return made.clients[kind]
        case "expired":
            past = {"not_before": moment - timedelta(days=9), "not_after": moment - timedelta(days=1)}
            return made.acme.leaf("device", **past)
        case "future":
            return made.acme.leaf("device", not_before=moment + timedelta(days=1))
        case "purpose":
            return made.acme.leaf("device", usages=[SERVER_AUTH])
    raise AssertionError(kind)


REFUSED = {
    "none": "no_certificate",
    "stranger": "unknown_issuer",
    "impostor": "unknown_issuer",
    "expired": "expired",
    "future": "not_yet_valid",
    "purpose": "wrong_purpose",
}


@EVERY_PAIR
@pytest.mark.parametrize("kind", REFUSED)
def test_a_wrong_client_is_refused_with_its_reason_and_gets_an_alert(
    server: str, client: str, version: ssl.TLSVersion, kind: str
) -> None:
    wire = Wire.between(client_context(client, version, _wrong(kind)), server_context(server), ACME).handshake()
    assert isinstance(wire.server_error, ssl.SSLError)
    found = reason_of(wire.server_error).value
    # OpenSSL calls an impostor's signature what it is; `verify_path` knows it as no issuer at all.
    assert found in {REFUSED[kind], "bad_signature"} if kind == "impostor" else found == REFUSED[kind]
    seen = wire.client_sees()
    assert seen is not None
    assert "ALERT" in (seen.reason or ""), seen


@pytest.mark.parametrize("version", VERSIONS)
def test_a_rejected_certificate_refuses_even_if_the_callback_let_it_pass(
    version: ssl.TLSVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forgetful(connection: Any, _certificate: Any, code: int, _depth: int, ok: int) -> bool:
        if not ok:
            connection.get_app_data().note_rejected(code, None)
        return True

    monkeypatch.setattr("mtlskit.backends.pyopenssl._note_rejected", forgetful)
    stranger = certificates().clients["stranger"]
    wire = Wire.between(client_context("ssl", version, stranger), server_context("pyopenssl"), ACME).handshake()
    assert isinstance(wire.server_error, ssl.SSLCertVerificationError)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("version", VERSIONS)
def test_a_fault_above_the_leaf_leaves_no_session_behind(backend: str, version: ssl.TLSVersion) -> None:
    """OpenSSL tells of name constraints after it has walked the path: a callback that waits for the leaf is too late."""
    permitted = x509.NameConstraints([x509.DNSName("acme.example")], None)
    root = Authority.root("Constrained root", extensions=[(permitted, True)])
    outside = root.intermediate("Plant", sans=["dns:evil.example"]).leaf("device", sans=["dns:x.acme.example"])
    context = server_context(backend, anchors=(root.certificate,), resumption=Resumption.TICKETS)
    wire = Wire.between(client_context("ssl", version, outside), context, ACME).handshake()
    assert isinstance(wire.server_error, ssl.SSLCertVerificationError)
    seen = wire.client_sees()
    assert seen is not None
    assert "ALERT" in (seen.reason or "")
    assert version is ssl.TLSVersion.TLSv1_2 or not wire.client.session or not wire.client.session.has_ticket


@pytest.mark.invariant(12)
def test_i12_openssl_walks_no_long_chains_for_strangers() -> None:
    for verification, depth in ((Verification.REQUIRED, 8), (Verification.COLLECT, 0)):
        context: Any = server_context("pyopenssl", verification=verification)
        assert context._openssl_context().get_verify_depth() == depth


@pytest.mark.invariant(12)
def test_i12_chains_are_kept_only_where_sessions_are() -> None:
    chain = certificates().clients["acme-deep"]
    for resumption, kept in ((Resumption.NONE, 0), (Resumption.TICKETS, 1)):
        context: Any = server_context("pyopenssl", resumption=resumption)
        wire = Wire.between(client_context("ssl", ssl.TLSVersion.TLSv1_3, chain), context, ACME).handshake()
        assert wire.server.evidence().presented == chain.presented()
        assert len(context.chains._chains) == kept


@EVERY_PAIR
def test_a_client_refuses_a_server_of_another_name(server: str, client: str, version: ssl.TLSVersion) -> None:
    wire = Wire.between(client_context(client, version, None), server_context(server), "pay.other.example").handshake()
    assert isinstance(wire.client_error, ssl.SSLCertVerificationError)
    assert wire.client_error.verify_code == 62
    assert wire.server_error is not None or version is ssl.TLSVersion.TLSv1_3


@pytest.mark.parametrize("version", VERSIONS)
def test_a_server_whose_names_cannot_be_read_is_for_nobody(version: ssl.TLSVersion) -> None:
    # An x400Address beside the right name: OpenSSL passes over it, `cryptography` does not read such a SAN at all.
    names = b"\xa3\x02\x05\x00\x82" + bytes([len(ACME)]) + ACME.encode()
    san = x509.UnrecognizedExtension(x509.ObjectIdentifier("2.5.29.17"), b"\x30" + bytes([len(names)]) + names)
    chain = certificates().web.leaf("server", sans=[], usages=[SERVER_AUTH], extensions=[(san, False)])
    context = server_context("ssl", chain=chain, verification=Verification.NONE, anchors=())
    wire = Wire.between(client_context("pyopenssl", version, None), context, ACME).handshake()
    assert isinstance(wire.client_error, ssl.SSLCertVerificationError)


def test_a_chain_that_tls_cannot_take_is_one_clear_error() -> None:
    odd = x509.UnrecognizedExtension(x509.ObjectIdentifier("2.5.29.17"), b"\x30\x02\x05\x00")
    chain = certificates().web.leaf("server", sans=[], usages=[SERVER_AUTH], extensions=[(odd, False)])
    with pytest.raises(ConfigurationError, match="expected a certificate and key that OpenSSL takes"):
        server_context("ssl", chain=chain)  # OpenSSL 3 looks; the OpenSSL 4 of pyOpenSSL serves it as it is


@EVERY_PAIR
def test_a_client_refuses_a_server_that_it_does_not_trust(server: str, client: str, version: ssl.TLSVersion) -> None:
    other = Authority.root("Other root").certificate
    wire = Wire.between(client_context(client, version, None, trust=(other,)), server_context(server), ACME).handshake()
    assert isinstance(wire.client_error, ssl.SSLCertVerificationError)
    assert wire.client_error.verify_code in {19, 20, 21}


@EVERY_PAIR
def test_a_certificate_for_an_address_is_matched_as_an_address(
    server: str, client: str, version: ssl.TLSVersion
) -> None:
    made = certificates()
    for sans, good in ((["ip:127.0.0.1"], True), (["dns:127-0-0-1.example"], False)):
        chain = made.web.leaf("127.0.0.1", sans=sans, usages=[SERVER_AUTH])
        context = server_context(server, chain=chain, verification=Verification.NONE, anchors=())
        wire = Wire.between(client_context(client, version, None), context, "127.0.0.1").handshake()
        assert (wire.client_error is None) is good


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("client", BACKENDS)
def test_the_minimum_version_holds(backend: str, client: str) -> None:
    context = server_context(backend, minimum_version=TLSVersion.TLS_1_3)
    chain = certificates().clients["acme"]
    refused = Wire.between(client_context(client, ssl.TLSVersion.TLSv1_2, chain), context, ACME).handshake()
    assert refused.refused_at == "server"
    taken = Wire.between(client_context(client, ssl.TLSVersion.TLSv1_3, chain), context, ACME).handshake()
    assert taken.refused_at is None


@pytest.mark.parametrize("version", VERSIONS)
def test_collecting_takes_any_certificate_as_evidence(version: ssl.TLSVersion) -> None:
    context = server_context("pyopenssl", verification=Verification.COLLECT)
    stranger = certificates().clients["stranger"]
    wire = Wire.between(client_context("ssl", version, stranger), context, ACME).handshake()
    assert wire.refused_at is None
    assert wire.server.evidence().presented == stranger.presented()


def test_what_a_backend_cannot_do_it_refuses_to_be_configured_for() -> None:
    assert not get_backend("ssl").capabilities.collects_unverified
    with pytest.raises(ConfigurationError, match="collect"):
        server_context("ssl", verification=Verification.COLLECT)


@pytest.mark.parametrize("version", VERSIONS)
def test_the_names_of_the_anchors_are_sent_where_the_backend_can(version: ssl.TLSVersion) -> None:
    """Browsers and Java choose the certificate by these names; the standard library cannot send them."""
    for backend in BACKENDS:
        wire = Wire.between(client_context("ssl", version, None), server_context(backend), ACME)
        sent = b"".join(_server_flight(wire))
        if version is ssl.TLSVersion.TLSv1_2:  # in TLS 1.3 the request is encrypted
            name = certificates().acme.certificate.subject.public_bytes()
            assert (name in sent) is get_backend(backend).capabilities.sends_client_ca_names


def _server_flight(wire: Wire) -> Iterator[bytes]:
    with pytest.raises(ssl.SSLWantReadError):
        wire.client.do_handshake()
    wire.server_incoming.write(wire.client_outgoing.read())
    with pytest.raises(ssl.SSLWantReadError):
        wire.server.do_handshake()
    yield wire.server_outgoing.read()


@pytest.mark.parametrize("backend", BACKENDS)
def test_an_orderly_end_is_told_from_a_cut(backend: str) -> None:
    chain = certificates().clients["acme"]
    for orderly in (True, False):
        wire = Wire.between(
            client_context("ssl", ssl.TLSVersion.TLSv1_3, chain), server_context(backend), ACME
        ).handshake()
        wire.server_incoming.write(wire.client_outgoing.read())
        if orderly:
            with pytest.raises(ssl.SSLWantReadError):
                wire.client.unwrap()
            wire.server_incoming.write(wire.client_outgoing.read())
            assert wire.server.read(1) == b""
        else:
            wire.server_incoming.write_eof()
            with pytest.raises(ssl.SSLEOFError):
                wire.server.read(1)


def test_an_unknown_backend_is_one_clear_error() -> None:
    with pytest.raises(ConfigurationError, match="'ssl', 'pyopenssl' as TLS backend, got 'gnutls'"):
        get_backend("gnutls")


@pytest.mark.invariant(11)
def test_i11_the_standard_library_gets_the_key_without_a_plaintext_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    """Both ways are looked at in the moment in which the key is loaded."""
    import os
    import tempfile
    from pathlib import Path

    seen: list[bytes] = []
    modes: list[int] = []

    class Spy(ssl.SSLContext):
        def load_cert_chain(self, certfile: Any, keyfile: Any = None, password: Any = None) -> None:
            modes.append(os.stat(certfile).st_mode & 0o777)
            seen.extend(path.read_bytes() for path in tmp_path.iterdir())
            super().load_cert_chain(certfile, keyfile, password)

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    chain = certificates().servers[ACME]
    if hasattr(os, "memfd_create") and Path("/proc/self/fd").is_dir():
        load_signing_chain(Spy(ssl.PROTOCOL_TLS_SERVER), chain)
        assert seen == []
    monkeypatch.delattr(os, "memfd_create", raising=False)
    load_signing_chain(Spy(ssl.PROTOCOL_TLS_SERVER), chain)
    assert len(seen) == 1
    assert b"ENCRYPTED PRIVATE KEY" in seen[0]
    assert b"BEGIN PRIVATE KEY" not in seen[0]
    assert set(modes) == {0o600}
    assert list(tmp_path.iterdir()) == []
