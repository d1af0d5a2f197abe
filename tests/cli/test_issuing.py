"""`mtlskit issue`, `sign` and `revoke`: one certificate at a time."""

from __future__ import annotations

import io
import stat
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization

from mtlskit.authority import CertificateAuthority
from mtlskit.authority.ledger import REVOCATION
from mtlskit.core.certificates import SigningChain, public_key_id, read_certificates, to_der, to_pem
from mtlskit.errors import CertificateError
from mtlskit.ports import Store
from support.command_line import Command, certification_request, request_pem


def subjects(store: Store) -> list[str]:
    """Who has certificates of Acme: what was issued, with what was only begun."""
    assert CertificateAuthority.open("Acme", store=store).pending() == ()
    with store.snapshot() as snapshot:
        return [row.details["subject"] for row in snapshot.scan_audit() if row.event == "certificate.reserved"]


def load(path: str, password: bytes | None = None) -> SigningChain:
    assert stat.S_IMODE(Path(path).stat().st_mode) == 0o600
    return SigningChain.from_pem(Path(path).read_bytes(), password=password)


# --- issue ----------------------------------------------------------------------------------------------------------


def test_a_client_certificate_with_every_kind_of_name(acme: Command, store: Store) -> None:
    names = (
        "--uri",
        "urn:acme:17",
        "--uri",
        "urn:acme:18",
        "--dns",
        "till.example",
        "--email",
        "a@b.example",
        "--ip",
        "10.0.0.1",
    )
    done = acme("issue", "client", "device-17", *names, "--lifetime", "12h", "--out", "d.pem", "--requester", "me")
    assert (done.status, done.err) == (0, "")
    chain = load("d.pem")
    assert done.out.startswith(f"d.pem: CN=device-17, serial {chain.serial_number:x}, until ")
    end = chain.certificate.not_valid_after_utc
    assert abs(end - datetime.now(UTC) - timedelta(hours=12)) < timedelta(minutes=1)
    document = acme("issue", "client", "--uri", "urn:acme:19", "--out", "e.pem", "--ca", "Acme", "--json").json
    assert (document["subject"], document["sans"], document["file"]) == ("", ["uri:urn:acme:19"], "e.pem")
    assert len(subjects(store)) == 2


def test_a_server_certificate(acme: Command) -> None:
    document = acme(
        "issue",
        "server",
        "pay.example",
        "*.pay.example",
        "--ip",
        "::1",
        "--key-type",
        "ed25519",
        "--out",
        "s.pem",
        "--json",
    ).json
    assert (document["subject"], document["key"]) == ("CN=pay.example", "ed25519")
    assert document["sans"] == ["dns:pay.example", "dns:*.pay.example", "ip:::1"]
    assert load("s.pem").serial_number == int(document["serial"], 16)


def test_a_key_goes_to_stdout_only_where_it_was_asked_for(acme: Command) -> None:
    acme("issue", "client", "a").refused("expected a file for the key (--out FILE, or --out - for stdout), got none")
    acme("issue", "client", "a", "--out", "-", "--json").refused("expected a file for the key")
    done = acme("issue", "client", "a", "--out", "-")
    assert (done.status, done.err) == (0, "")
    assert SigningChain.from_pem(done.out).certificate.subject.rfc4514_string() == "CN=a"


def test_the_umask_cannot_open_a_file(acme: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    old = os.umask(0)
    try:
        assert acme("issue", "client", "a", "--out", "a.pem").status == 0
        assert acme("keys", "new", "--out", "key").status == 0
    finally:
        os.umask(old)
    load("a.pem")
    assert stat.S_IMODE(Path("key").stat().st_mode) == 0o600


def test_a_key_under_a_password(acme: Command) -> None:
    Path("password").write_text("a password\nnot this\n")
    assert acme("issue", "client", "a", "--out", "a.pem", "--password-file", "password").status == 0
    with pytest.raises(CertificateError):
        load("a.pem")
    load("a.pem", b"a password")
    arguments = ("--format", "pkcs12", "--password-file", "password")
    assert acme("issue", "client", "a", "--out", "a.p12", *arguments).status == 0
    assert SigningChain.from_pkcs12(Path("a.p12").read_bytes(), password=b"a password").certificate.subject
    acme("issue", "client", "a", "--out", "b.p12", "--format", "pkcs12").refused("expected --password-file")


def test_a_file_that_is_there_stays_unless_it_is_to_be_replaced(acme: Command, store: Store) -> None:
    acme("issue", "client", "a", "--out", "a.pem")
    first = load("a.pem")
    acme("issue", "client", "b", "--out", "a.pem").refused("not there yet (or --replace), got 'a.pem'")
    assert (load("a.pem").serial_number, subjects(store)) == (first.serial_number, ["CN=a"]), "nothing was issued"
    assert acme("issue", "client", "b", "--out", "a.pem", "--replace").status == 0
    assert load("a.pem").serial_number != first.serial_number


@pytest.mark.parametrize(("arguments", "said"), [
    (("client",), "expected a file for the key"),
    (("client", "--out", "x"), "expected a common name or a subject alternative name"),
    (("client", "a", "--out", "no/x"), "a directory that can be written to, got 'no'"),
    (("client", "a", "--out", "directory"), "got the directory 'directory'"),
    (("client", "a", "--out", "x", "--uri", "no uri"), "uri: "),
    (("client", "a", "--out", "x", "--lifetime", "99999w"), "lifetime"),
    (("client", "a", "--out", "x", "--ca", "Nobody"), "'Nobody'"),
    (("client", "a", "--out", "x", "--names-from", "names.csv"), "expected --names-from and --directory together"),
    (("client", "a", "--out", "x", "--directory", "d"), "expected --names-from and --directory together"),
    (("client", "a\nb", "--out", "x"), "common_name"),
    (("server", "--out", "x"), "expected"),
    (("server", "a b", "--out", "x"), "dns: "),
    (("server", "a.example"), "expected a file for the key"),
])  # fmt: skip
def test_what_cannot_be_issued_is_bad_input(arguments: tuple[str, ...], said: str, acme: Command, store: Store) -> None:
    Path("directory").mkdir()
    acme("issue", *arguments).refused(said)
    assert subjects(store) == []
    assert not Path("x").exists()


def test_of_several_authorities_one_has_to_be_named(acme: Command) -> None:
    assert acme("ca", "create", "Other").status == 0
    acme("issue", "client", "a", "--out", "a.pem").refused("the name of one of several authorities (--ca), got none")
    assert acme("issue", "client", "a", "--out", "a.pem", "--ca", "Other").status == 0
    assert acme("mtls-certificate", "--store", "sqlite:///empty.db", "list").status == 0
    acme("issue", "client", "a", "--out", "b.pem", "--store", "sqlite:///empty.db").refused(
        "expected an authority in the store, got none"
    )


# --- sign -----------------------------------------------------------------------------------------------------------


def test_a_request_is_signed_with_its_own_names_or_those_given(acme: Command) -> None:
    asked = certification_request(dns="asked.example")
    Path("r.pem").write_bytes(asked.public_bytes(serialization.Encoding.PEM))
    Path("r.der").write_bytes(asked.public_bytes(serialization.Encoding.DER))
    (own,) = read_certificates(acme("sign", "r.pem").out)
    assert own.subject.rfc4514_string() == "CN=asked"
    assert own.public_key() == asked.public_key()
    given = acme(
        "sign",
        "r.der",
        "--profile",
        "server",
        "--dns",
        "pay.example",
        "--common-name",
        "pay.example",
        "--out",
        "c.pem",
        "--json",
    ).json
    assert (given["subject"], given["sans"]) == ("CN=pay.example", ["dns:pay.example"])
    assert Path("c.pem").read_text() == given["chain"]
    acme("sign", "r.pem", "--out", "c.pem").refused("not there yet (or --replace)")
    assert acme("sign", "r.pem", "--out", "c.pem", "--replace").status == 0
    assert acme("sign", "r.pem", "--json").json["chain"].startswith("-----BEGIN CERTIFICATE")


def test_a_request_comes_on_stdin(acme: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    content = request_pem()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
    assert len(read_certificates(acme("sign", "-").out)) == 1


@pytest.mark.parametrize(("arguments", "said"), [
    (("none",), "'none'"),
    (("text",), "expected"),
    (("long",), "at most 65536 bytes"),
    (("r.pem", "--profile", "ca"), "'ca'"),
    (("r.pem", "--profile", "server"), "subject"),
    (("r.pem", "--out", "no/x"), "a directory that can be written to"),
])  # fmt: skip
def test_what_cannot_be_signed(arguments: tuple[str, ...], said: str, acme: Command, store: Store) -> None:
    Path("r.pem").write_bytes(request_pem())
    Path("text").write_text("no request")
    Path("long").write_bytes(b"0" * 65_537)
    acme("sign", *arguments).refused(said)
    assert subjects(store) == []


# --- revoke ---------------------------------------------------------------------------------------------------------


def test_a_serial_number_in_any_notation(acme: Command, store: Store) -> None:
    authority = CertificateAuthority.open("Acme", store=store)
    serial = authority.issue_client("device").serial_number
    done = acme("revoke", f"{serial:x}", "--reason", "key_compromise", "--json").json
    assert (done["serial"], done["reason"]) == (f"{serial:x}", "key_compromise")
    pairs = f"{serial:040x}"
    for text in (
        f"0x{serial:X}",
        ":".join(pairs[each : each + 2] for each in range(0, 40, 2)),
        f"decimal:{serial}",
        pairs.upper(),
    ):
        again = acme("revoke", text, "--json").json
        assert again == done, "a second time changes nothing"
    with store.snapshot() as snapshot:
        (record,) = snapshot.scan(REVOCATION, authority.key_id.hex())
    assert int(record.key, 16) == serial


def test_a_certificate_in_a_file(acme: Command, store: Store) -> None:
    device = CertificateAuthority.open("Acme", store=store).issue_client("device")
    Path("d.pem").write_bytes(to_pem([device.certificate]))
    Path("d.der").write_bytes(to_der(device.certificate))
    done = acme("revoke", "--cert", "d.pem")
    assert done.out.startswith(f"{device.serial_number:x} is revoked since ")
    assert done.out.endswith(": unspecified\n")
    assert acme("revoke", "--cert", "d.der", "--ca", "Acme").out == done.out
    acme("revoke", "--cert", "d.pem", "12").refused("got both or neither")
    assert public_key_id(device.certificate)


def test_a_decimal_number_without_its_word_is_told_how_it_is_written(acme: Command, store: Store) -> None:
    digits = str(CertificateAuthority.open("Acme", store=store).issue_client("device").serial_number)
    assert len(digits) > 40, "but for one in ten million"
    acme("revoke", digits).refused(f"got {len(digits)} decimal digits: a decimal number has 'decimal:' before it")
    assert acme("revoke", f"decimal:{digits}").status == 0


@pytest.mark.parametrize("lifetime", ["4000d", "99999h"])
def test_lifetimes_are_told_as_they_are_written(lifetime: str, acme: Command) -> None:
    said = f"lifetime: expected 1s to 3650d for the profile 'client', got {lifetime}"
    acme("issue", "client", "a", "--out", "a.pem", "--lifetime", lifetime).refused(said)


@pytest.mark.parametrize(("arguments", "said"), [
    ((), "expected a serial number or --cert, got both or neither"),
    (("",), "serial"),
    (("12",), "expected a certificate issued by 'Acme', got the serial number 12"),
    (("xyz",), "serial: expected"),
    (("12", "--reason", "because"), "'because'"),
    (("--cert", "none"), "'none'"),
])  # fmt: skip
def test_what_cannot_be_revoked(arguments: tuple[str, ...], said: str, acme: Command) -> None:
    acme("revoke", *arguments).refused(said)
