"""`mtlskit renew` and `rekey`: a certificate once more, for its own key or for another."""

from __future__ import annotations

import io
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

from mtlskit.authority import CertificateAuthority, IssuedCertificate
from mtlskit.core.certificates import SigningChain, read_certificates, read_private_key, read_sans, to_pem
from mtlskit.ports import Store
from mtlskit.stores import open_store
from support.command_line import Command, certification_request, request_pem


def open_acme(store: Store) -> CertificateAuthority:
    return CertificateAuthority.open("Acme", store=store)


@pytest.fixture
def device(store: Store) -> IssuedCertificate:
    """A certificate of Acme; `d.pem` has its chain and `r.pem` a request."""
    issued = open_acme(store).issue_client("device", uris=["urn:acme:17"], lifetime=timedelta(days=10))
    Path("d.pem").write_bytes(issued.chain_pem())
    Path("r.pem").write_bytes(request_pem())
    return issued


def renewals(store: Store) -> list[tuple[str, str]]:
    """Of each certificate that renews another: which one, and who wanted it."""
    with store.snapshot() as snapshot:
        rows = [row.details for row in snapshot.scan_audit() if row.event == "certificate.reserved"]
    return [(row["renews"], row["requester"]) for row in rows if "renews" in row]


# --- renew ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("by", ["serial", "file"])
def test_a_certificate_is_renewed_for_its_key(by: str, device: IssuedCertificate, acme: Command, store: Store) -> None:
    which = (f"{device.serial_number:X}",) if by == "serial" else ("--cert", "d.pem")
    done = acme("renew", *which, "--requester", "me")
    assert (done.status, done.err) == (0, "")
    (new,) = read_certificates(done.out)
    SigningChain(device.private_key, [new])
    assert (new.subject, read_sans(new)) == (device.certificate.subject, read_sans(device.certificate))
    assert new.not_valid_after_utc - new.not_valid_before_utc == timedelta(days=10, seconds=30)
    assert renewals(store) == [(f"{device.serial_number:x}", "me")]


def test_the_outputs_of_renew_are_those_of_sign(device: IssuedCertificate, acme: Command) -> None:
    serial = f"{device.serial_number:x}"
    told = acme("renew", serial, "--out", "new.pem", "--json", "--lifetime", "12h", "--ca", "Acme").json
    assert Path("new.pem").read_text() == told["chain"]
    assert (told["subject"], told["sans"]) == ("CN=device", ["uri:urn:acme:17"])
    ends = x509.load_pem_x509_certificate(told["chain"].encode()).not_valid_after_utc
    assert abs(ends - datetime.now(UTC) - timedelta(hours=12)) < timedelta(minutes=1)
    acme("renew", serial, "--out", "new.pem").refused("not there yet (or --replace)")
    done = acme("renew", serial, "--out", "new.pem", "--replace", "--format", "der")
    new = x509.load_der_x509_certificate(Path("new.pem").read_bytes())
    assert done.out == f"new.pem: CN=device, serial {new.serial_number:x}, until {new.not_valid_after_utc:%FT%TZ}\n"
    assert x509.load_der_x509_certificate(Path("new.pem").read_bytes()).subject == device.certificate.subject


def test_what_ended_is_renewed_only_where_that_is_said(acme: Command, store: Store) -> None:
    past = datetime.now(UTC) - timedelta(days=20)
    then = CertificateAuthority.create("Then", store=store, clock=lambda: past)
    serial = f"{then.issue_client('late', lifetime=timedelta(days=10)).serial_number:x}"
    acme("renew", serial, "--ca", "Then").refused("certificate: expected one that ended at most 0s ago")
    acme("renew", serial, "--ca", "Then", "--after-expiry", "9d").refused("expected one that ended at most 9d ago")
    assert len(read_certificates(acme("renew", serial, "--ca", "Then", "--after-expiry", "11d").out)) == 1
    done = acme("rekey", serial, "--ca", "Then", "--after-expiry", "11d", "--out", "late.pem")
    assert (done.status, done.err) == (0, "")


@pytest.mark.parametrize("verb", [("renew",), ("rekey", "--out", "x"), ("rekey", "--request", "r.pem")])
@pytest.mark.parametrize(("arguments", "said"), [
    ((), "expected a serial number or --cert, got both or neither"),
    (("12", "--cert", "d.pem"), "expected a serial number or --cert, got both or neither"),
    (("12",), "expected a certificate issued by 'Acme', got the serial number 12"),
    (("xyz",), "serial: expected"),
    (("--cert", "none"), "'none'"),
    (("--cert", "r.pem"), "expected a certificate"),
    (("--cert", "key.pem"), "a certificate in 'key.pem' in PEM, got no certificate"),
    (("--cert", "d.pem", "--profile", "server"), "profile: expected 'client', by which it was issued, got 'server'"),
    (("--cert", "d.pem", "--profile", "ca"), "'ca'"),
    (("--cert", "d.pem", "--lifetime", "99999w"), "lifetime"),
    (("--cert", "d.pem", "--after-expiry", "0d"), "expected a time as '30d'"),
    (("--cert", "d.pem", "--ca", "Nobody"), "'Nobody'"),
    (("--cert", "d.pem", "--out", "no/x"), "a directory that can be written to, got 'no'"),
    (("--cert", "d.pem", "--store", "sqlite:///none.db"), "expected a store that is there"),
])  # fmt: skip
def test_what_cannot_be_renewed_is_bad_input(
    verb: tuple[str, ...], arguments: tuple[str, ...], said: str, device: IssuedCertificate, acme: Command,
    store: Store,
) -> None:  # fmt: skip
    Path("key.pem").write_bytes(device.key_pem())
    acme(*verb, *arguments).refused(said)
    assert renewals(store) == []
    assert not Path("x").exists()


@pytest.mark.parametrize("verb", [("renew",), ("rekey", "--out", "x")])
def test_what_is_revoked_is_not_renewed(
    verb: tuple[str, ...], device: IssuedCertificate, acme: Command, store: Store
) -> None:
    assert acme("revoke", "--cert", "d.pem", "--reason", "certificate_hold").status == 0
    acme(*verb, "--cert", "d.pem").refused("expected one to renew that is not revoked")
    assert renewals(store) == []


# --- the file that `issue` makes ------------------------------------------------------------------------------------


@pytest.mark.parametrize("password", [None, b"secret"])
@pytest.mark.parametrize(("verb", "said"), [
    (("renew",), "-----BEGIN CERTIFICATE"), (("rekey", "--out", "new.pem"), "new.pem: CN=device, serial "),
    (("revoke",), "is revoked since"), (("release",), "is not on hold"),
])  # fmt: skip
def test_the_certificate_is_taken_from_beside_its_key(
    verb: tuple[str, ...], said: str, password: bytes | None, device: IssuedCertificate, acme: Command, store: Store
) -> None:
    Path("both.pem").write_bytes(device.to_pem(password=password))
    done = acme(*verb, "--cert", "both.pem")
    assert (done.status, said in done.out) == (0, True)
    assert Path("both.pem").read_bytes().count(b"PRIVATE KEY") == 2, "the key stays where it is"
    if verb[0] in ("renew", "rekey"):
        assert [renewed for renewed, _ in renewals(store)] == [f"{device.serial_number:x}"]


def test_the_first_certificate_is_the_one_wherever_the_key_stands(device: IssuedCertificate, acme: Command) -> None:
    other = CertificateAuthority.create("Other", store=open_store("memory://"))
    Path("chain.pem").write_bytes(device.chain_pem() + to_pem(other.anchors) + device.key_pem())
    assert acme("revoke", "--cert", "chain.pem").out.startswith(f"{device.serial_number:x} is revoked")


@pytest.mark.invariant("I11")
@pytest.mark.parametrize(
    "verb", [("renew", "--cert", "both.pem"), ("sign", "r.pem"), ("ca", "export", "Acme"), ("ca", "crl", "Acme")]
)
def test_no_key_is_written_over_by_what_has_none(
    verb: tuple[str, ...], device: IssuedCertificate, acme: Command, store: Store
) -> None:
    Path("both.pem").write_bytes(device.to_pem())
    more = () if verb[:2] == ("ca", "crl") else ("--replace",)
    acme(*verb, "--out", "both.pem", *more).refused("got 'both.pem': its key would be lost")
    assert Path("both.pem").read_bytes() == device.to_pem()
    assert renewals(store) == []


# --- rekey ----------------------------------------------------------------------------------------------------------


def test_a_new_key_is_made_and_written_as_issue_does(device: IssuedCertificate, acme: Command, store: Store) -> None:
    done = acme("rekey", "--cert", "d.pem", "--key-type", "ed25519", "--out", "new.pem", "--key-out", "new.key")
    assert done.out.startswith("new.pem, new.key: CN=device, serial ")
    chain = SigningChain(
        read_private_key(Path("new.key").read_bytes()), read_certificates(Path("new.pem").read_bytes())
    )
    assert chain.certificate.public_key() != device.certificate.public_key()
    assert read_sans(chain.certificate) == read_sans(device.certificate)
    assert [renewed for renewed, _ in renewals(store)] == [f"{device.serial_number:x}"]
    told = acme("rekey", f"{chain.serial_number:x}", "--out", "both.pem", "--json").json
    assert (told["key"], told["key_file"]) == ("secp256r1", "both.pem")
    acme("rekey", "--cert", "d.pem").refused("expected a file for the key (--out FILE, or --out - for stdout)")


def test_another_key_comes_in_a_request(
    device: IssuedCertificate, acme: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = certification_request("somebody else")
    content = asked.public_bytes(serialization.Encoding.PEM)
    Path("r.pem").write_bytes(content)
    (new,) = read_certificates(acme("rekey", "--cert", "d.pem", "--request", "r.pem").out)
    assert new.public_key() == asked.public_key()
    assert new.subject == device.certificate.subject, "of a request only the key counts"
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
    told = acme("rekey", "--cert", "d.pem", "--request", "-", "--out", "new.der", "--format", "der", "--json").json
    assert x509.load_der_x509_certificate(Path("new.der").read_bytes()).serial_number == int(told["serial"], 16)


@pytest.mark.parametrize(("arguments", "said"), [
    (("--request", "none"), "'none'"),
    (("--request", "d.pem"), "request: expected"),
    (("--request", "same.pem"), "public_key: expected another key than the one before, got the same"),
    (("--request", "r.pem", "--key-out", "x"), "expected --key-out without --request"),
    (("--request", "r.pem", "--key-type", "ec-p256"), "expected --key-type without --request"),
    (("--request", "r.pem", "--password-file", "d.pem"), "expected --password-file without --request"),
    (("--request", "r.pem", "--format", "pkcs12"), "expected --format pem or der for a key that somebody else has"),
])  # fmt: skip
def test_a_request_that_cannot_be_is_bad_input(
    arguments: tuple[str, ...], said: str, device: IssuedCertificate, acme: Command, store: Store
) -> None:
    builder = x509.CertificateSigningRequestBuilder(device.certificate.subject)
    same = builder.sign(device.private_key, hashes.SHA256())  # type: ignore[arg-type]
    Path("same.pem").write_bytes(same.public_bytes(serialization.Encoding.PEM))
    acme("rekey", "--cert", "d.pem", *arguments).refused(said)
    assert renewals(store) == []
    assert not Path("x").exists()


# --- below another --------------------------------------------------------------------------------------------------


def test_the_chain_of_an_authority_below_is_presented(acme: Command, store: Store) -> None:
    below = CertificateAuthority.create("Below", store=store, parent=open_acme(store))
    old = below.issue_server("pay.example")
    Path("s.pem").write_bytes(to_pem([old.certificate]))
    new, above = read_certificates(acme("renew", "--cert", "s.pem", "--ca", "Below").out)
    assert (new.issuer, above) == (below.certificate.subject, below.certificate)
