"""Creating, finding and issuing: what comes out is what the profiles say, recorded, and good to those outside."""

from __future__ import annotations

import pickle
import shutil
import subprocess
import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID
from hypothesis import given
from hypothesis import strategies as st

from mtlskit.authority import CertificateAuthority, KeySigner, KeyType, crl_pem, desk
from mtlskit.authority.documents import dump
from mtlskit.authority.ledger import AUTHORITY_KEY, CERTIFICATE, CertificateRecord, Reservation
from mtlskit.authority.serials import serial_key
from mtlskit.core.certificates import common_name, public_key_id, read_sans, to_der, to_pem
from mtlskit.core.profiles import CLIENT, AuthorityConstraints, ExtendedKeyUsage
from mtlskit.core.validation import RFC5280, WEBPKI, Purpose, TrustStore, verify_path
from mtlskit.errors import ConfigurationError, Conflict, IssuanceError, NotFound, StoreError
from mtlskit.ports import Store
from mtlskit.stores import KeyEncryption, open_store
from mtlskit.stores.audit import verify_audit

DAY = timedelta(days=1)


def extension(certificate: x509.Certificate, kind: type[x509.ExtensionType]) -> x509.Extension[x509.ExtensionType]:
    return certificate.extensions.get_extension_for_class(kind)


def audit_events(store: Store) -> list[str]:
    with store.snapshot() as snapshot:
        return [row.event for row in snapshot.scan_audit()]


def test_a_root_is_what_rfc_5280_wants(acme: CertificateAuthority) -> None:
    root = acme.certificate
    assert common_name(root.subject) == "Acme devices G1"
    assert root.issuer == root.subject
    root.verify_directly_issued_by(root)
    constraints, usage = extension(root, x509.BasicConstraints), extension(root, x509.KeyUsage)
    assert (constraints.critical, constraints.value.ca, constraints.value.path_length) == (True, True, None)
    assert (usage.critical, usage.value.key_cert_sign, usage.value.crl_sign) == (True, True, True)
    assert not usage.value.digital_signature
    own = extension(root, x509.SubjectKeyIdentifier).value.digest
    assert extension(root, x509.AuthorityKeyIdentifier).value.key_identifier == own


@pytest.mark.parametrize(
    ("key_type", "kind"),
    [
        (KeyType.EC_P256, ec.EllipticCurvePublicKey),
        ("ec-p384", ec.EllipticCurvePublicKey),
        ("ed25519", ed25519.Ed25519PublicKey),
        ("rsa-2048", rsa.RSAPublicKey),
    ],
)
def test_every_key_type_issues_and_openssl_agrees(tmp_path: Path, key_type: str, kind: type) -> None:
    store = open_store("memory://")
    made = CertificateAuthority.create("Acme", store=store, key_type=key_type)
    assert isinstance(made.certificate.public_key(), kind)
    client = made.issue_client("device-17", uris=["urn:acme:device:17"])
    server = made.issue_server("pay.acme.example", "*.acme.example", ips=["127.0.0.1", "::1"])
    nameless = made.issue_client(uris=["spiffe://acme.example/device/17"])
    for issued in (client, server, nameless):
        issued.certificate.verify_directly_issued_by(made.certificate)
    judge(tmp_path, made, client.certificate, purpose="sslclient")
    judge(tmp_path, made, server.certificate, purpose="sslserver")
    judge(tmp_path, made, nameless.certificate, purpose="sslclient")
    store.close()


def test_our_own_validator_agrees_under_the_strict_profiles(acme: CertificateAuthority) -> None:
    trust, now = TrustStore([acme.certificate]), datetime.now(UTC)
    for names in ({"common_name": "device"}, {"uris": ["spiffe://acme.example/device"]}):
        client = acme.issue_client(**names)  # type: ignore[arg-type]
        verify_path(client.presented(), trust, purpose=Purpose.CLIENT_AUTH, now=now, profile=RFC5280)
    server = acme.issue_server("pay.acme.example", "*.acme.example", ips=["127.0.0.1"]).presented()
    for name in ("pay.acme.example", "www.acme.example", "127.0.0.1"):
        verify_path(server, trust, purpose=Purpose.SERVER_AUTH, now=now, profile=WEBPKI, reference_name=name)


def judge(directory: Path, made: CertificateAuthority, leaf: x509.Certificate, *, purpose: str) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("no openssl program")
    (directory / "ca.pem").write_bytes(to_pem([made.certificate]))
    (directory / "crl.pem").write_bytes(crl_pem(made.crl()))
    (directory / "leaf.pem").write_bytes(to_pem([leaf]))
    command = f"openssl verify -x509_strict -crl_check -CRLfile crl.pem -purpose {purpose} -CAfile ca.pem leaf.pem"
    done = subprocess.run(command.split(), cwd=directory, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_client_certificate_is_what_its_profile_says(acme: CertificateAuthority) -> None:
    issued = acme.issue_client(
        "device-17", dns=["A.example"], uris=["urn:x"], emails=["a@B.example"], ips=["10.0.0.1"], lifetime=30 * DAY
    )
    leaf = issued.certificate
    assert issued.certificates == (leaf,)
    assert common_name(leaf.subject) == "device-17"
    assert list(map(str, read_sans(leaf))) == ["dns:a.example", "uri:urn:x", "email:a@b.example", "ip:10.0.0.1"]
    assert leaf.not_valid_after_utc - leaf.not_valid_before_utc == 30 * DAY + timedelta(seconds=30)
    assert 0 < leaf.serial_number < 1 << 159
    usage, extended = extension(leaf, x509.KeyUsage), extension(leaf, x509.ExtendedKeyUsage)
    assert (usage.critical, usage.value.digital_signature, usage.value.key_cert_sign) == (True, True, False)
    assert (extended.critical, list(extended.value)) == (False, [ExtendedKeyUsageOID.CLIENT_AUTH])
    assert extension(leaf, x509.BasicConstraints).value.ca is False
    assert not extension(leaf, x509.SubjectAlternativeName).critical
    above = extension(acme.certificate, x509.SubjectKeyIdentifier).value.digest
    assert extension(leaf, x509.AuthorityKeyIdentifier).value.key_identifier == above


def test_a_server_certificate_is_what_its_profile_says(acme: CertificateAuthority) -> None:
    leaf = acme.issue_server("pay.acme.example", ips=["127.0.0.1"]).certificate
    assert common_name(leaf.subject) == "pay.acme.example"
    assert list(map(str, read_sans(leaf))) == ["dns:pay.acme.example", "ip:127.0.0.1"]
    assert list(extension(leaf, x509.ExtendedKeyUsage).value) == [ExtendedKeyUsageOID.SERVER_AUTH]


def test_a_server_name_too_long_for_a_common_name_stands_in_a_critical_san(acme: CertificateAuthority) -> None:
    hostname = "a" * 60 + ".acme.example"
    leaf = acme.issue_server(hostname).certificate
    assert list(leaf.subject) == []
    assert extension(leaf, x509.SubjectAlternativeName).critical


def test_what_was_issued_stands_in_the_store_byte_by_byte(acme: CertificateAuthority, store: Store) -> None:
    leaf = acme.issue_client("device", requester="alice").certificate
    with store.snapshot() as snapshot:
        found = snapshot.get(CERTIFICATE, acme.key_id.hex(), serial_key(leaf.serial_number))
    assert found is not None
    record = CertificateRecord.from_bytes(found.value)
    assert record.der == to_der(leaf)
    assert (record.reservation.profile, record.reservation.subject) == ("client", "CN=device")
    assert record.reservation.requester == "alice"
    assert record.reservation.not_after == leaf.not_valid_after_utc
    assert acme.pending() == ()
    assert audit_events(store) == ["authority.created", "certificate.reserved", "certificate.issued"]
    assert verify_audit(store) is not None


texts = st.text(max_size=40)


@given(texts, texts, texts, st.integers(1, (1 << 159) - 1))
def test_a_reservation_is_the_json_that_an_encoder_writes(profile: str, subject: str, who: str, serial: int) -> None:
    moment = datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC)
    one = Reservation(
        serial_number=serial, tbs_sha256="ab" * 32, profile=profile, subject=subject, requester=who, reserved_at=moment,
        not_after=moment + DAY, public_key="cd" * 32,
    )  # fmt: skip
    members = {
        "serial": serial_key(serial), "tbs_sha256": "ab" * 32, "profile": profile, "subject": subject, "requester": who,
        "reserved_at": "2026-05-04T03:02:01+00:00", "not_after": "2026-05-05T03:02:01+00:00",
        "public_key": "cd" * 32,
    }  # fmt: skip
    assert one.to_json() == dump(members)
    assert Reservation.from_json(one.to_json()) == one


def test_an_authority_is_found_again_with_its_key(acme: CertificateAuthority, store: Store) -> None:
    found = CertificateAuthority.open("Acme devices", store=store)
    assert (found.name, found.certificate, found.key_id) == (acme.name, acme.certificate, acme.key_id)
    found.issue_client("device").certificate.verify_directly_issued_by(acme.certificate)


def test_authorities_are_listed_by_name(acme: CertificateAuthority, store: Store) -> None:
    CertificateAuthority.create("Aachen", store=store)
    assert [one.name for one in CertificateAuthority.list(store)] == ["Aachen", "Acme devices"]


def test_an_unknown_authority_is_not_found(store: Store) -> None:
    with pytest.raises(NotFound, match="'nobody'"):
        CertificateAuthority.open("nobody", store=store)


def test_a_name_can_be_taken_once(acme: CertificateAuthority, store: Store) -> None:
    with pytest.raises(Conflict, match="Acme devices"):
        CertificateAuthority.create("Acme devices", store=store)
    assert CertificateAuthority.open("Acme devices", store=store).certificate == acme.certificate


@pytest.mark.parametrize("name", ["", " Acme", "Acme\n", "Ac\0me", "A" * 59, "Acme\u202e", None])
def test_a_name_that_is_none_is_refused(store: Store, name: str) -> None:
    with pytest.raises(IssuanceError, match="name: expected"):
        CertificateAuthority.create(name, store=store)
    assert CertificateAuthority.list(store) == ()


def test_an_unknown_key_type_is_told(store: Store) -> None:
    with pytest.raises(ConfigurationError, match="ec-p256"):
        CertificateAuthority.create("Acme", store=store, key_type="dsa-1024")


def test_a_leaf_does_not_outlive_its_authority(store: Store) -> None:
    short = CertificateAuthority.create("Short", store=store, lifetime=10 * DAY)
    end = short.certificate.not_valid_after_utc.isoformat().replace("+", r"\+")
    with pytest.raises(IssuanceError, match=rf"within the issuer's .* to {end}, got"):
        short.issue_client("device", lifetime=11 * DAY)
    short.issue_client("device", lifetime=9 * DAY)


def test_a_clock_set_back_issues_nothing(store: Store, acme: CertificateAuthority) -> None:
    late = CertificateAuthority.open("Acme devices", store=store, clock=lambda: datetime.now(UTC) - DAY)
    with pytest.raises(IssuanceError, match="within the issuer's"):
        late.issue_client("device")
    assert acme.pending() == ()


@pytest.mark.parametrize("lifetime", [timedelta(0), -DAY, 399 * DAY])
def test_a_lifetime_outside_the_profile_is_refused(acme: CertificateAuthority, lifetime: timedelta) -> None:
    with pytest.raises(IssuanceError, match="lifetime: expected"):
        acme.issue_server("pay.acme.example", lifetime=lifetime)


@pytest.mark.parametrize(
    ("names", "field"),
    [
        ({}, "subject"),
        ({"common_name": "a\0b"}, "common_name"),
        ({"common_name": "a" * 65}, "common_name"),
        ({"common_name": "a", "dns": ["a b"]}, "dns"),
        ({"common_name": "a", "dns": "a.example"}, "dns"),
        ({"common_name": "a", "dns": ["a.example\0.evil.example"]}, "dns"),
        ({"common_name": "a", "uris": ["no uri"]}, "uri"),
        ({"common_name": "a", "emails": ["nobody"]}, "email"),
        ({"common_name": "a", "ips": ["10.0.0.0/8"]}, "ip"),
        ({"common_name": "a", "ips": [1]}, "ip"),
        ({"uris": ["spiffe://a.example/x", "SPIFFE://b.example/y"]}, "subject_alternative_name"),
        ({"uris": [f"urn:{number}" for number in range(101)]}, "subject_alternative_name"),
    ],
)
def test_a_name_that_has_not_its_form_is_refused_by_its_field(
    acme: CertificateAuthority, store: Store, names: dict[str, object], field: str
) -> None:
    with pytest.raises(IssuanceError, match=rf"^{field}: expected"):
        acme.issue_client(**names)  # type: ignore[arg-type]
    assert audit_events(store) == ["authority.created"]


@pytest.mark.parametrize(
    ("hostnames", "field"),
    [((), "subject"), (("127.0.0.1",), "dns"), (("a_b.example",), "dns"), (("a.example:443",), "dns")],
)
def test_a_server_name_that_is_none_is_refused(
    acme: CertificateAuthority, hostnames: tuple[str, ...], field: str
) -> None:
    with pytest.raises(IssuanceError, match=rf"^{field}: expected"):
        acme.issue_server(*hostnames)


@pytest.mark.invariant("I10")
def test_a_serial_number_that_was_used_is_drawn_again(
    acme: CertificateAuthority, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = iter([acme.certificate.serial_number, 7, 7, 8])
    original = desk.issue
    monkeypatch.setattr(desk, "issue", lambda *given: original(*given, draw=lambda: next(drawn)))
    assert acme.issue_client("one").serial_number == 7
    assert acme.issue_client("two").serial_number == 8


@pytest.mark.invariant("I10")
def test_a_signer_that_fails_leaves_a_reservation_and_gives_nothing(
    acme: CertificateAuthority, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: KeySigner, data: bytes) -> bytes:
        raise OSError("the token was pulled out")

    with monkeypatch.context() as patched:
        patched.setattr(KeySigner, "sign", fail)
        with pytest.raises(IssuanceError, match="OSError"):
            acme.issue_client("device", requester="alice")
    (left,) = acme.pending()
    assert (left.subject, left.requester, left.profile) == ("CN=device", "alice", "client")
    acme.revoke(left.serial_number)
    assert acme.pending() == ()
    assert [entry.serial_number for entry in acme.crl()] == [left.serial_number]


@pytest.mark.invariant("I10")
def test_a_reservation_revoked_meanwhile_issues_nothing(
    acme: CertificateAuthority, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = KeySigner.sign

    def sign(self: KeySigner, data: bytes) -> bytes:
        monkeypatch.setattr(KeySigner, "sign", original)
        (reserved,) = acme.pending()
        acme.revoke(reserved.serial_number)
        return original(self, data)

    monkeypatch.setattr(KeySigner, "sign", sign)
    with pytest.raises(IssuanceError, match="revoked meanwhile"):
        acme.issue_client("device")


def test_threads_share_an_authority(acme: CertificateAuthority) -> None:
    serials: list[int] = []

    def issue() -> None:
        serials.extend(acme.issue_client("device").serial_number for _ in range(10))

    threads = [threading.Thread(target=issue) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(serials)) == 40


def test_another_key_encryption_key_opens_no_authority(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/state.db"
    store = open_store(url, keys=KeyEncryption(bytes(32)))
    CertificateAuthority.create("Acme", store=store)
    store.close()
    store = open_store(url, keys=KeyEncryption(bytes(31) + b"1"))
    found = CertificateAuthority.open("Acme", store=store)  # who only reads certificates needs no key
    with pytest.raises(StoreError, match="expected the key-encryption key with the id"):
        found.issue_client("device")
    store.close()


@pytest.mark.invariant("I11")
def test_the_private_key_is_nowhere_but_sealed(tmp_path: Path) -> None:
    store = open_store(f"sqlite:///{tmp_path}/state.db")
    made = CertificateAuthority.create("Acme", store=store)
    issued = made.issue_client("device")
    with store.snapshot() as snapshot:
        sealed = snapshot.get(AUTHORITY_KEY, "", made.key_id.hex())
    assert sealed is not None
    der = store.unseal(sealed.value, context=f"authority-key:{made.key_id.hex()}")
    key = serialization.load_der_private_key(der, None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    assert key.public_key() == made.certificate.public_key()
    written = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    store.close()
    for secret in (scalar(key), scalar(issued.private_key)):
        assert secret not in written
        assert secret not in b"".join(file.read_bytes() for file in tmp_path.iterdir())
        assert secret.hex() not in repr(made) + repr(issued) + repr(KeySigner(key))
    assert der not in written
    for value in (made, issued, KeySigner(key)):
        with pytest.raises(TypeError, match="pickle"):
            pickle.dumps(value)


def scalar(key: object) -> bytes:
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return key.private_numbers().private_value.to_bytes(32, "big")


def test_the_key_id_is_that_of_the_certificate(acme: CertificateAuthority) -> None:
    assert acme.key_id == public_key_id(acme.certificate)


def test_an_authority_below_is_bound_by_the_purposes_above_it(store: Store) -> None:
    root = CertificateAuthority.create(
        "Clients", store=store, constraints=AuthorityConstraints(extended_key_usages=(ExtendedKeyUsage.CLIENT_AUTH,))
    )
    below = CertificateAuthority.create("Below", store=store, parent=root)
    presented = below.issue_client("device").presented()
    now = datetime.now(UTC)
    verify_path(presented, TrustStore([root.certificate]), purpose=Purpose.CLIENT_AUTH, now=now, profile=RFC5280)
    with pytest.raises(IssuanceError, match="extended_key_usage: expected purposes among the issuer's clientAuth"):
        below.issue_server("pay.acme.example")
    with pytest.raises(IssuanceError, match="extended_key_usage: expected purposes among .* got any"):
        below.issue("device", profile=replace(CLIENT, name="any", extended_key_usages=()))
    servers = AuthorityConstraints(extended_key_usages=(ExtendedKeyUsage.SERVER_AUTH,))
    with pytest.raises(IssuanceError, match="extended_key_usage"):
        CertificateAuthority.create("Servers", store=store, parent=root, constraints=servers)
