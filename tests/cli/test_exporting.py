"""`mtlskit ca export`: certificates for those who trust an authority, and its key for another place."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest

from mtlskit.authority import CertificateAuthority
from mtlskit.core.certificates import SigningChain, public_key_id, read_certificates, to_der, to_pem
from mtlskit.ports import Store
from support.command_line import Command


def events(store: Store) -> list[tuple[str, dict[str, str]]]:
    with store.snapshot() as snapshot:
        return [(row.event, dict(row.details)) for row in snapshot.scan_audit()]


def open_acme(store: Store) -> CertificateAuthority:
    return CertificateAuthority.open("Acme", store=store)


def test_certificates_are_exported_without_a_password(acme: Command, store: Store) -> None:
    CertificateAuthority.create("Below", store=store, parent=open_acme(store))
    done = acme("ca", "export", "Below")
    chain = read_certificates(done.out)
    assert [each.subject.rfc4514_string() for each in chain] == ["CN=Below G1", "CN=Acme G1"]
    told = acme("ca", "export", "Below", "--out", "below.pem").out.splitlines()
    assert told == [
        f"below.pem: {each.subject.rfc4514_string()}, serial {each.serial_number:x}, until {each.not_valid_after_utc:%FT%TZ}"
        for each in chain
    ]
    assert Path("below.pem").read_text() == done.out
    acme("ca", "export", "Below", "--out", "below.pem").refused("not there yet (or --replace)")
    assert acme("ca", "export", "Below", "--out", "below.pem", "--replace").status == 0
    document = acme("ca", "export", "Below", "--json").json
    assert "".join(each["pem"] for each in document) == done.out
    assert "authority.exported" not in [event for event, _ in events(store)]


def test_all_anchors_of_a_rotation_are_exported(acme: Command, store: Store) -> None:
    authority = open_acme(store)
    authority.rotation.prepare()
    assert acme("ca", "export", "Acme", "--anchors").out.encode() == open_acme(store).anchors_pem()


def test_the_key_is_exported_under_a_password_and_on_record(acme: Command, store: Store) -> None:
    Path("password").write_text("a password\n")
    arguments = ("ca", "export", "Acme", "--format", "pkcs12", "--password-file", "password", "--requester", "me")
    document = acme(*arguments, "--out", "acme.p12", "--json").json
    assert stat.S_IMODE(Path("acme.p12").stat().st_mode) == 0o600
    chain = SigningChain.from_pkcs12(Path("acme.p12").read_bytes(), password=b"a password")
    assert to_der(chain.certificate) == to_der(open_acme(store).certificate)
    assert "PRIVATE" not in json.dumps(document)
    event, details = events(store)[-1]
    assert (event, details["authority"], details["generation"], details["requester"]) == (
        "authority.exported",
        "Acme",
        "1",
        "me",
    )
    acme(*arguments, "--out", "acme.p12").refused("not there yet")
    assert acme(*arguments, "--out", "again.p12").out.startswith("again.p12: CN=Acme G1, serial ")
    assert [event for event, _ in events(store)].count("authority.exported") == 2, (
        "one that was refused was not exported"
    )


@pytest.mark.parametrize(("arguments", "said"), [
    (("--format", "pkcs12", "--out", "x"), "expected --password-file with --format pkcs12, got none"),
    (("--format", "pkcs12", "--password-file", "password"), "expected a file for the key"),
    (("--format", "pkcs12", "--password-file", "password", "--out", "-", "--json"), "expected a file for the key"),
    (("--format", "pkcs12", "--password-file", "empty", "--out", "x"), "a password of 1 to 1023 bytes"),
    (("--format", "pkcs12", "--password-file", "long", "--out", "x"), "a password of 1 to 1023 bytes"),
    (("--format", "pkcs12", "--password-file", "none", "--out", "x"), "'none'"),
    (("--format", "pkcs12", "--password-file", "password", "--out", "x", "--anchors"), "without --format pkcs12"),
    (("--password-file", "password"), "certificates are not encrypted"),
    (("--format", "pkcs12", "--password-file", "password", "--out", "no/x"), "that can be written to, got 'no'"),
    (("--out", "."), "got the directory '.'"),
])  # fmt: skip
def test_what_cannot_be_exported(arguments: tuple[str, ...], said: str, acme: Command, store: Store) -> None:
    Path("password").write_text("a password\n")
    Path("empty").write_text("\nno")
    Path("long").write_text("x" * 1024)
    acme("ca", "export", "Acme", *arguments).refused(said)
    assert "authority.exported" not in [event for event, _ in events(store)]
    assert not Path("x").exists()


def test_one_certificate_is_exported_in_der(acme: Command, store: Store) -> None:
    authority = open_acme(store)
    below = CertificateAuthority.create("Below", store=store, parent=authority)
    document = acme("ca", "export", "Below", "--format", "der", "--out", "below.cer", "--json").json
    assert Path("below.cer").read_bytes() == to_der(below.certificate)
    assert [each["subject"] for each in document] == ["CN=Below G1"], "DER knows no chains"
    assert acme("ca", "export", "Acme", "--format", "der", "--anchors", "--out", "acme.cer").status == 0
    authority.rotation.prepare()
    acme("ca", "export", "Acme", "--format", "der", "--anchors", "--out", "both.cer").refused("got 2")
    assert not Path("both.cer").exists()


def test_the_certificates_of_a_rotation_are_exported_one_by_one(acme: Command, store: Store) -> None:
    authority = open_acme(store)
    new = authority.rotation.prepare().certificate
    assert acme("ca", "export", "Acme", "--generation", "2").out.encode() == to_pem([new])
    found = acme("ca", "export", "Acme", "--cross-certificates").out
    assert found.encode() == to_pem(open_acme(store).cross_certificates)
    assert set(map(public_key_id, read_certificates(found))) == {authority.key_id, public_key_id(new)}
    authority.rotation.activate()
    assert acme("ca", "export", "Acme").out.encode() == to_pem([new])
    assert acme("ca", "export", "Acme", "--generation", "1").out.encode() == to_pem(
        [authority.generations[0].certificate]
    )


@pytest.mark.parametrize(("arguments", "said"), [
    (("--cross-certificates",), "got 'Acme', which has no cross-certificates"),
    (("--generation", "2"), "expected a generation of 'Acme', got the number 2"),
    (("--generation", "0"), "0"),
    (("--anchors", "--generation", "1"), "expected one of --anchors, --cross-certificates and --generation"),
    (("--anchors", "--cross-certificates"), "got several"),
    (("--format", "der", "--password-file", "password"), "certificates are not encrypted"),
    (("--format", "pkcs12", "--generation", "1", "--password-file", "password"), "without --format pkcs12"),
    (("--out", "pipe", "--replace"), "got 'pipe', which is something else"),
])  # fmt: skip
def test_what_there_is_not_cannot_be_exported(arguments: tuple[str, ...], said: str, acme: Command) -> None:
    os.mkfifo("pipe")
    Path("password").write_text("a password\n")
    acme("ca", "export", "Acme", "--out", "x", *arguments).refused(said)
    assert not Path("x").exists()
