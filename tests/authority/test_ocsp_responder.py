"""The responder says what the store says, to our validator and to OpenSSL, and nothing about anybody else's."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, make_server

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp

from mtlskit.authority import CertificateAuthority, KeySigner, KeyType, RevocationReason
from mtlskit.authority.ledger import RESERVATION, Reservation
from mtlskit.authority.publishing import OCSPResponder, StatusService, WSGIApp
from mtlskit.authority.serials import serial_key
from mtlskit.authority.signers import generate_key
from mtlskit.core.certificates import PresentedChain, SigningChain, to_pem
from mtlskit.core.profiles import CLIENT, OCSP_RESPONDER, AuthorityConstraints, ExtendedKeyUsage
from mtlskit.core.revocation import OCSPEvidence
from mtlskit.core.validation import TrustStore, verify_path
from mtlskit.errors import ConfigurationError, IssuanceError, PathError
from mtlskit.ports import Store
from mtlskit.stores import open_store
from mtlskit.testing.certificates import CLIENT_AUTH, Authority

from .checking import needs_openssl, openssl, standing
from .conftest import KEYS
from .test_lists import Refusing
from .test_ocsp_messages import built

HASHES: list[Any] = [hashes.SHA1(), hashes.SHA256(), hashes.SHA384(), hashes.SHA512()]
SUCCESSFUL = ocsp.OCSPResponseStatus.SUCCESSFUL
OCSP_SIGNING = x509.ExtendedKeyUsageOID.OCSP_SIGNING


def ask(
    certificate: x509.Certificate, issuer: x509.Certificate, *, algorithm: Any = HASHES[0], nonce: bytes | None = None
) -> bytes:
    """A request about one certificate."""
    builder = ocsp.OCSPRequestBuilder().add_certificate(certificate, issuer, algorithm)
    if nonce is not None:
        builder = builder.add_extension(x509.OCSPNonce(nonce), False)
    return builder.build().public_bytes(Encoding.DER)


def certificate_ids(*requests: bytes) -> list[bytes]:
    """What each asks for, to be asked together."""
    from mtlskit.authority.publishing.messages import read_request

    return [each.der for request in requests for each in read_request(request).certificates]


def read(response: bytes) -> ocsp.OCSPResponse:
    return ocsp.load_der_ocsp_response(response)


def about(acme: CertificateAuthority, device: SigningChain, **options: Any) -> bytes:
    return ask(device.certificate, acme.certificate, **options)


@pytest.mark.parametrize("algorithm", HASHES, ids=lambda each: each.name)
def test_our_validator_takes_what_the_responder_says(acme: CertificateAuthority, algorithm: Any) -> None:
    responder, device = OCSPResponder(acme), acme.issue_client("device")

    def said() -> str:
        answer = responder.answer(about(acme, device, algorithm=algorithm))
        assert answer.next_update is not None
        return standing(acme, device.certificate, ocsp=[answer.response])

    assert said() == "good"
    acme.revoke(device, reason="certificate_hold")
    assert said() == "revoked"
    acme.release(device)
    assert said() == "good"
    acme.revoke(device, reason="key_compromise")
    assert said() == "revoked"


@pytest.mark.parametrize("reason", list(RevocationReason))
def test_a_revocation_is_told_with_its_reason_and_date(acme: CertificateAuthority, reason: RevocationReason) -> None:
    device = acme.issue_client("device")
    revocation = acme.revoke(device, reason=reason)
    (single,) = read(OCSPResponder(acme).answer(about(acme, device)).response).responses
    assert single.certificate_status is ocsp.OCSPCertStatus.REVOKED
    assert single.revocation_time_utc == revocation.revoked_at
    told = None if single.revocation_reason is None else single.revocation_reason.name
    assert told == (None if reason == "unspecified" else reason.value)


@pytest.mark.parametrize("key_type", ["ec-p256", "ec-p384", "ed25519", "rsa-2048"])
def test_every_kind_of_key_signs_responses(store: Store, key_type: str) -> None:
    acme = CertificateAuthority.create("Acme", store=store, key_type=key_type)
    device = acme.issue_client("device")
    assert standing(acme, device.certificate, ocsp=[OCSPResponder(acme).answer(about(acme, device)).response]) == "good"


def test_several_certificates_get_one_answer(acme: CertificateAuthority) -> None:
    devices = [acme.issue_client(f"device-{number}") for number in range(5)]
    acme.revoke(devices[3])
    ids = certificate_ids(*(about(acme, each, algorithm=HASHES[number % 2]) for number, each in enumerate(devices)))
    answer = OCSPResponder(acme).answer(built(ids=ids))
    assert [each.serial_number for each in read(answer.response).responses] == [each.serial_number for each in devices]
    found = [standing(acme, each.certificate, ocsp=[answer.response]) for each in devices]
    assert found == ["good"] * 3 + ["revoked", "good"]


def test_what_was_never_issued_is_unknown(store: Store, acme: CertificateAuthority) -> None:
    issuer, now = acme.key_id.hex(), acme.certificate.not_valid_before_utc
    pending = Reservation(
        serial_number=7, tbs_sha256="", profile="client", subject="", requester="", reserved_at=now, not_after=now
    )
    with store.transaction() as transaction:
        transaction.insert(RESERVATION, issuer, serial_key(7), pending.to_json())
    responder, device = OCSPResponder(acme), acme.issue_client("device")
    ours = ocsp.load_der_ocsp_request(about(acme, device))

    def status(serial: int) -> str:
        builder = ocsp.OCSPRequestBuilder().add_certificate_by_hash(
            ours.issuer_name_hash, ours.issuer_key_hash, serial, HASHES[0]
        )
        answer = responder.answer(builder.build().public_bytes(Encoding.DER))
        assert answer.is_reusable == (read(answer.response).certificate_status is not ocsp.OCSPCertStatus.UNKNOWN)
        return str(read(answer.response).certificate_status.name)

    assert [status(serial) for serial in (7, 8, (1 << 160) - 1, 1 << 161, device.serial_number)] == ["UNKNOWN"] * 4 + [
        "GOOD"
    ]
    acme.revoke(7, reason="certificate_hold")
    assert status(7) == "REVOKED"
    acme.release(7)
    assert status(7) == "UNKNOWN"  # it never was a certificate


def test_what_another_authority_issued_is_not_answered(store: Store, acme: CertificateAuthority) -> None:
    other = CertificateAuthority.create("Umbrella", store=store)
    theirs, ours = other.issue_client("device"), acme.issue_client("device")
    mixed = built(ids=certificate_ids(about(acme, ours), about(other, theirs)))
    name, key = (ocsp.load_der_ocsp_request(about(each, ours)) for each in (acme, other))
    spliced = ocsp.OCSPRequestBuilder().add_certificate_by_hash(
        name.issuer_name_hash, key.issuer_key_hash, ours.serial_number, HASHES[0]
    )
    for request in (about(other, theirs), mixed, spliced.build().public_bytes(Encoding.DER)):
        answer = OCSPResponder(acme).answer(request)
        assert answer.status.name == "UNAUTHORIZED"
        assert read(answer.response).response_status is ocsp.OCSPResponseStatus.UNAUTHORIZED


def test_a_hash_that_is_not_known_is_not_answered(acme: CertificateAuthority) -> None:
    request = about(acme, acme.issue_client("device"))
    other = request.replace(bytes.fromhex("06052b0e03021a"), bytes.fromhex("06052b0e03021b"))
    assert OCSPResponder(acme).answer(other).status.name == "UNAUTHORIZED"


def test_every_generation_is_answered_by_its_own_key(acme: CertificateAuthority) -> None:
    responder, old = OCSPResponder(acme), acme.issue_client("old")
    first = acme.certificate
    acme.rotation.prepare()
    acme.rotation.activate()
    new = acme.issue_client("new")
    acme.revoke(old)
    answers = [
        responder.answer(ask(each.certificate, issuer)).response
        for each, issuer in ((old, first), (new, acme.certificate))
    ]
    for answer, issuer in zip(answers, (first, acme.certificate), strict=True):
        key: Any = issuer.public_key()
        found = read(answer)
        key.verify(found.signature, found.tbs_response_bytes, _ecdsa())
    assert [
        standing(acme, each.certificate, ocsp=[answer]) for each, answer in zip((old, new), answers, strict=True)
    ] == ["revoked", "good"]
    both = built(ids=certificate_ids(ask(old.certificate, first), ask(new.certificate, acme.certificate)))
    assert responder.answer(both).status.name == "UNAUTHORIZED"  # no one key speaks for both


def _ecdsa() -> Any:
    from cryptography.hazmat.primitives.asymmetric import ec

    return ec.ECDSA(hashes.SHA256())


@pytest.mark.parametrize("octets", [1, 16, 32])
def test_a_nonce_comes_back(acme: CertificateAuthority, octets: int) -> None:
    device, nonce = acme.issue_client("device"), b"n" * octets
    answer = OCSPResponder(acme).answer(about(acme, device, nonce=nonce))
    assert not answer.is_reusable
    assert read(answer.response).extensions.get_extension_for_class(x509.OCSPNonce).value.nonce == nonce
    for sent, wanted in ((nonce, "good"), (b"another", "revocation_unknown")):
        try:
            verify_path(
                device.presented(), TrustStore(acme.anchors), purpose="client_auth", now=datetime.now(UTC),
                revocation="leaf", ocsp=[OCSPEvidence(answer.response, sent)],
            )  # fmt: skip
        except Exception as error:
            assert str(getattr(error, "reason", "")) == wanted
        else:
            assert wanted == "good"


def test_a_response_serves_again_while_it_is_true_and_young(store: Store) -> None:
    now = [datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)]
    acme = CertificateAuthority.create("Acme", store=store, clock=lambda: now[0])
    responder, device = OCSPResponder(acme, lifetime=timedelta(hours=2)), acme.issue_client("device")
    request = about(acme, device)
    first = responder.answer(request)
    now[0] += timedelta(minutes=59)
    assert responder.answer(request) == first
    assert responder.answer(about(acme, device, nonce=b"n")) != first
    assert responder.answer(about(acme, device, algorithm=HASHES[1])) != first
    acme.revoke(device, reason="certificate_hold")
    held = responder.answer(request)
    assert read(held.response).certificate_status is ocsp.OCSPCertStatus.REVOKED
    assert responder.answer(request) == held
    acme.revoke(device, reason="superseded")
    assert read(responder.answer(request).response).revocation_reason is x509.ReasonFlags.superseded
    now[0] += timedelta(hours=1)
    again = responder.answer(request)
    assert again.this_update == now[0]
    assert again.next_update == now[0] + timedelta(hours=2)
    now[0] -= timedelta(hours=1)  # a clock that goes back gets none of the future
    earlier = responder.answer(request).this_update
    assert earlier is not None
    assert earlier <= now[0]


def test_what_is_remembered_is_bounded(acme: CertificateAuthority, monkeypatch: pytest.MonkeyPatch) -> None:
    from mtlskit.authority.publishing import responder as module

    monkeypatch.setattr(module, "_MOST_REMEMBERED", 3)
    responder = OCSPResponder(acme)
    for number in range(8):
        assert responder.answer(about(acme, acme.issue_client(f"device-{number}"))).is_reusable
        assert len(responder._remembered) <= 3


def test_no_response_outlasts_its_key(store: Store) -> None:
    now = [datetime(2030, 1, 1, tzinfo=UTC)]
    acme = CertificateAuthority.create("Acme", store=store, lifetime=timedelta(days=1), clock=lambda: now[0])
    request = about(acme, acme.issue_client("device", lifetime=timedelta(hours=23)))
    now[0] += timedelta(hours=23, minutes=30)
    assert OCSPResponder(acme).answer(request).next_update == acme.certificate.not_valid_after_utc
    now[0] += timedelta(hours=1)
    assert OCSPResponder(acme).answer(request).status.name == "UNAUTHORIZED"


@pytest.mark.parametrize("request_", [b"", b"\x30\x00", b"x" * 100, built(ids=[])])
def test_what_is_no_request_is_malformed(acme: CertificateAuthority, request_: bytes) -> None:
    answer = OCSPResponder(acme).answer(request_)
    assert read(answer.response).response_status is ocsp.OCSPResponseStatus.MALFORMED_REQUEST
    assert not answer.is_reusable


def test_a_store_that_is_away_is_told_as_try_later(
    acme: CertificateAuthority, caplog: pytest.LogCaptureFixture
) -> None:
    responder, request = OCSPResponder(acme), about(acme, acme.issue_client("device"))
    acme._opened.store.close()
    with caplog.at_level(logging.WARNING, logger="mtlskit.authority"):
        answer = responder.answer(request)
    assert read(answer.response).response_status is ocsp.OCSPResponseStatus.TRY_LATER
    assert "could not be answered" in caplog.text


def test_a_signer_that_fails_is_told_as_an_internal_error(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    signer = Refusing()
    acme = CertificateAuthority.create("Acme", store=store, signer=signer)
    responder, request = OCSPResponder(acme), about(acme, acme.issue_client("device"))
    signer.refuses = True
    with caplog.at_level(logging.ERROR, logger="mtlskit.authority"):
        assert read(responder.answer(request).response).response_status is ocsp.OCSPResponseStatus.INTERNAL_ERROR
    assert "the token is gone" in caplog.text
    assert "Traceback" not in caplog.text, "whoever asks decides how often it is told"
    signer.refuses = False
    assert read(responder.answer(request).response).response_status is SUCCESSFUL


@pytest.mark.parametrize("lifetime", [timedelta(0), timedelta(seconds=59), 3600])
def test_a_lifetime_is_a_minute_or_more(acme: CertificateAuthority, lifetime: Any) -> None:
    with pytest.raises(ConfigurationError, match="lifetime"):
        OCSPResponder(acme, lifetime=lifetime)


class Delegating:
    """An authority whose key the test has, so that it can make responders."""

    def __init__(self, store: Store) -> None:
        key = generate_key(KeyType.EC_P256)
        self.acme = CertificateAuthority.create("Acme", store=store, signer=KeySigner(key))
        self._maker = Authority(self.acme.certificate, key)

    def responder(self, usage: x509.ObjectIdentifier = OCSP_SIGNING, **options: Any) -> SigningChain:
        return self._maker.leaf("responder", usages=[usage], extensions=[(x509.OCSPNoCheck(), False)], **options)


def test_a_delegate_answers_for_the_generation_that_made_it(store: Store) -> None:
    made = Delegating(store)
    delegate, device = made.responder(), made.acme.issue_client("device")
    responder = OCSPResponder(made.acme, delegates=[delegate])
    request = about(made.acme, device)
    answer = read(responder.answer(request).response)
    assert answer.certificates == [delegate.certificate]
    key: Any = delegate.certificate.public_key()
    key.verify(answer.signature, answer.tbs_response_bytes, _ecdsa())
    assert answer.responder_key_hash == x509.SubjectKeyIdentifier.from_public_key(key).digest
    assert standing(made.acme, device.certificate, ocsp=[responder.answer(request).response]) == "good"
    made.acme.revoke(device)
    assert standing(made.acme, device.certificate, ocsp=[responder.answer(request).response]) == "revoked"


def test_a_delegate_that_has_ended_says_nothing(store: Store) -> None:
    now = [datetime.now(UTC)]
    made = Delegating(store)
    acme = CertificateAuthority.open(
        "Acme", store=store, signer=made.acme._opened.issuing().assembly._signer, clock=lambda: now[0]
    )
    delegate, request = made.responder(), about(acme, acme.issue_client("device"))
    responder = OCSPResponder(acme, delegates=[delegate])
    now[0] = delegate.certificate.not_valid_after_utc - timedelta(minutes=2)
    assert responder.answer(request).next_update == delegate.certificate.not_valid_after_utc
    now[0] += timedelta(minutes=3)
    assert responder.answer(request).status.name == "UNAUTHORIZED"


def test_who_was_not_made_a_delegate_is_none(store: Store) -> None:
    made, stranger = Delegating(store), Authority.root("Acme G1")
    forged = stranger.leaf("responder", usages=[OCSP_SIGNING])
    for wrong in (forged, made.responder(usage=CLIENT_AUTH), made.acme.issue_client("device"), made.acme.certificate):
        with pytest.raises(ConfigurationError, match="a responder"):
            OCSPResponder(made.acme, delegates=[wrong])  # type: ignore[list-item]


# --- delegates that are issued here ---------------------------------------------------------------------------------


def issued_responder(acme: CertificateAuthority) -> SigningChain:
    return acme.issue("Acme OCSP 1", profile=OCSP_RESPONDER)


def test_an_authority_issues_its_own_responder(acme: CertificateAuthority) -> None:
    delegate, device = issued_responder(acme), acme.issue_client("device")
    responder = OCSPResponder(acme, delegates=[delegate])
    assert read(responder.answer(about(acme, device)).response).certificates == [delegate.certificate]
    assert standing(acme, device.certificate, ocsp=[responder.answer(about(acme, device)).response]) == "good"
    acme.revoke(device)
    assert standing(acme, device.certificate, ocsp=[responder.answer(about(acme, device)).response]) == "revoked"
    with pytest.raises(PathError, match="wrong_purpose"):
        verify_path(delegate.presented(), TrustStore(acme.anchors), purpose="client_auth", now=datetime.now(UTC))


def test_a_responder_s_key_may_stay_where_it_is(acme: CertificateAuthority) -> None:
    key, device = generate_key(KeyType.ED25519), acme.issue_client("device")
    request = x509.CertificateSigningRequestBuilder(x509.Name([])).sign(key, None)  # type: ignore[arg-type]
    chain = acme.sign_request(
        request.public_bytes(Encoding.DER), profile=OCSP_RESPONDER, common_name="Acme OCSP 1"
    ).certificates()
    responder = OCSPResponder(acme, delegates=[SigningChain(key, chain)])
    assert standing(acme, device.certificate, ocsp=[responder.answer(about(acme, device)).response]) == "good"


@pytest.mark.parametrize("purpose", ["client", "server"])
def test_an_authority_for_one_purpose_has_a_responder_too(store: Store, purpose: str) -> None:
    root = CertificateAuthority.create("Root", store=store)
    constraints = getattr(AuthorityConstraints, f"for_{purpose}s_of")("pay.acme.example")
    acme = CertificateAuthority.create("Acme", store=store, parent=root, constraints=constraints)
    leaf = acme.issue_client("device") if purpose == "client" else acme.issue_server("pay.acme.example")
    answer = OCSPResponder(acme, delegates=[issued_responder(acme)]).answer(about(acme, leaf))
    verify_path(
        PresentedChain.from_certificates(leaf.certificate, acme.certificate), TrustStore(root.anchors),
        purpose=f"{purpose}_auth", now=datetime.now(UTC), revocation="leaf", ocsp=[answer.response],
        reference_name="pay.acme.example" if purpose == "server" else None,
    )  # fmt: skip
    # What it is not for does not come in with it, nor a name that is not below its own.
    both = replace(CLIENT, name="both", extended_key_usages=tuple(ExtendedKeyUsage))
    with pytest.raises(IssuanceError, match="^extended_key_usage: expected purposes among the issuer's"):
        acme.issue("device", profile=both)
    with pytest.raises(IssuanceError, match="^name_constraints"):
        acme.issue("ocsp.umbrella.example", profile=OCSP_RESPONDER)


@pytest.mark.parametrize("usage", [ExtendedKeyUsage.OCSP_SIGNING, OCSP_SIGNING])
def test_no_authority_answers_for_the_one_above_it(store: Store, acme: CertificateAuthority, usage: Any) -> None:
    constraints = AuthorityConstraints(extended_key_usages=(ExtendedKeyUsage.CLIENT_AUTH, usage))
    with pytest.raises(IssuanceError, match="^extended_key_usage: expected purposes without OCSPSigning"):
        CertificateAuthority.create("Below", store=store, parent=acme, constraints=constraints)
    rooted = CertificateAuthority.create("Rooted", store=store, constraints=constraints)
    rooted.rotation.prepare()  # its next key may answer for its last one
    assert len(rooted.cross_certificates) == 2


@pytest.mark.invariant("I6")
def test_a_responder_that_was_revoked_says_nothing_any_more(acme: CertificateAuthority, store: Store) -> None:
    delegate, device = issued_responder(acme), acme.issue_client("device")
    responder, request = OCSPResponder(acme, delegates=[delegate]), about(acme, device)

    def speakers() -> list[list[x509.Certificate]]:
        answers = [responder.answer(each) for each in (request, about(acme, device, nonce=b"n"))]
        assert all(standing(acme, device.certificate, ocsp=[each.response]) == "good" for each in answers)
        return [read(each.response).certificates for each in answers]

    assert speakers() == [[delegate.certificate]] * 2
    acme.revoke(delegate, reason="certificate_hold")
    assert speakers() == [[], []]
    acme.release(delegate)
    assert speakers() == [[delegate.certificate]] * 2
    acme.revoke(delegate, reason="key_compromise")
    assert speakers() == [[], []]
    responder = OCSPResponder(acme, delegates=[delegate])
    assert speakers() == [[], []]
    with store.snapshot() as snapshot:
        signers = [row.details["signer"] for row in snapshot.scan_audit() if row.event == "ocsp.started"]
    assert signers == ["delegate", "issuer", "issuer"]


class _Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *arguments: object) -> None:
        pass


@contextmanager
def serving(service: StatusService) -> Iterator[str]:
    """The URL of a real server on loopback."""
    server = make_server("127.0.0.1", 0, WSGIApp(service), handler_class=_Quiet)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@needs_openssl
@pytest.mark.parametrize("algorithm", ["-sha1", "-sha256"])
@pytest.mark.parametrize("nonce", ["-nonce", "-no_nonce"])
def test_openssl_asks_and_verifies(tmp_path: Path, algorithm: str, nonce: str) -> None:
    store = open_store("memory://", keys=KEYS)
    made = Delegating(store)
    acme = made.acme
    devices = {name: acme.issue_client(name) for name in ("good", "bad", "held")}
    acme.revoke(devices["bad"], reason="key_compromise")
    acme.revoke(devices["held"], reason="certificate_hold")
    (tmp_path / "ca.pem").write_bytes(acme.anchors_pem())
    for name, device in devices.items():
        (tmp_path / f"{name}.pem").write_bytes(to_pem([device.certificate]))
    named = [word for name in devices for word in ("-cert", f"{name}.pem")]
    for delegates in ([], [made.responder()], [issued_responder(acme)]):
        with serving(StatusService(acme, responder=OCSPResponder(acme, delegates=delegates))) as url:
            done = openssl(
                "ocsp", "-CAfile", "ca.pem", "-issuer", "ca.pem", algorithm, *named, "-url", f"{url}/ocsp", nonce,
                directory=tmp_path,
            )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert "Response verify OK" in done.stdout + done.stderr
        assert "WARNING: no nonce" not in done.stdout + done.stderr
        lines = {line for line in done.stdout.splitlines() if line[0] != "\t"}
        assert {"good.pem: good", "bad.pem: revoked", "held.pem: revoked"} <= lines
        assert "Reason: keyCompromise" in done.stdout
        assert "Reason: certificateHold" in done.stdout


@needs_openssl
@pytest.mark.parametrize("purpose", ["client", "server"])
def test_openssl_takes_the_responder_of_an_authority_for_one_purpose(tmp_path: Path, purpose: str) -> None:
    store = open_store("memory://", keys=KEYS)
    root = CertificateAuthority.create("Root", store=store)
    usage = ExtendedKeyUsage(f"{purpose}_auth")
    acme = CertificateAuthority.create(
        "Acme", store=store, parent=root, constraints=AuthorityConstraints(extended_key_usages=(usage,))
    )
    leaf = acme.issue_client("device") if purpose == "client" else acme.issue_server("a.example")
    acme.revoke(leaf, reason="key_compromise")
    for name, certificate in (("root", root.certificate), ("acme", acme.certificate), ("leaf", leaf.certificate)):
        (tmp_path / f"{name}.pem").write_bytes(to_pem([certificate]))
    with serving(StatusService(acme, responder=OCSPResponder(acme, delegates=[issued_responder(acme)]))) as url:
        done = openssl(
            "ocsp", "-CAfile", "root.pem", "-issuer", "acme.pem", "-verify_other", "acme.pem", "-cert", "leaf.pem",
            "-url", f"{url}/ocsp", directory=tmp_path,
        )  # fmt: skip
    assert "Response verify OK" in done.stdout + done.stderr
    assert "leaf.pem: revoked" in done.stdout


@needs_openssl
def test_openssl_is_told_of_what_is_not_ours(store: Store, tmp_path: Path) -> None:
    acme, other = (CertificateAuthority.create(name, store=store) for name in ("Acme", "Umbrella"))
    (tmp_path / "ca.pem").write_bytes(other.anchors_pem())
    (tmp_path / "leaf.pem").write_bytes(to_pem([other.issue_client("device").certificate]))
    with serving(StatusService(acme)) as url:
        done = openssl(
            "ocsp",
            "-CAfile",
            "ca.pem",
            "-issuer",
            "ca.pem",
            "-cert",
            "leaf.pem",
            "-url",
            f"{url}/ocsp",
            directory=tmp_path,
        )
    assert "unauthorized (6)" in done.stdout + done.stderr
