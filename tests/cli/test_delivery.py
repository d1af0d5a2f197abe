"""Where `mtlskit issue`, `sign`, `renew` and `rekey` put keys and certificates, and what is there when they cannot."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_der_private_key

from mtlskit.authority import CertificateAuthority, KeySigner
from mtlskit.cli.delivery import Delivery
from mtlskit.cli.options import Form
from mtlskit.cli.writing import Existing
from mtlskit.core.certificates import SigningChain, public_key_id, read_certificates, read_private_key, spki_id
from mtlskit.ports import Store
from support.command_line import Command, request_pem

PASSWORD = "a password that nobody is shown"
PAIR = ("--out", "d.pem", "--key-out", "d.key")


@pytest.fixture(autouse=True)
def _password_file(acme: Command) -> None:
    Path("password").write_text(f"{PASSWORD}\n")


def mode(path: str) -> int:
    return stat.S_IMODE(Path(path).stat().st_mode)


def issued(store: Store) -> int:
    with store.snapshot() as snapshot:
        return sum(row.event == "certificate.reserved" for row in snapshot.scan_audit())


def listing() -> list[str]:
    """What is in the working directory, but for the store and what the tests put there."""
    return sorted(each.name for each in Path().iterdir() if not each.name.startswith(("mtlskit.db", "password")))


# --- two files ------------------------------------------------------------------------------------------------------


def test_a_key_goes_to_a_file_of_its_own(acme: Command, store: Store) -> None:
    authority = CertificateAuthority.open("Acme", store=store)
    CertificateAuthority.create("Below", store=store, parent=authority)
    done = acme("issue", "client", "device", "--ca", "Below", *PAIR)
    assert done.out.startswith("d.pem, d.key: CN=device, serial ")
    chain, key = Path("d.pem").read_bytes(), Path("d.key").read_bytes()
    assert b"PRIVATE" not in chain
    assert b"CERTIFICATE" not in key
    assert SigningChain(read_private_key(key), read_certificates(chain)).certificates[1].subject
    assert (mode("d.pem"), mode("d.key")) == (0o600, 0o600)


def test_both_files_are_told_in_json(acme: Command) -> None:
    told = acme("issue", "server", "a.example", *PAIR, "--json").json
    assert (told["file"], told["key_file"]) == ("d.pem", "d.key")
    told = acme("issue", "server", "a.example", "--out", "both.pem", "--json").json
    assert (told["file"], told["key_file"]) == ("both.pem", "both.pem")


def test_a_key_of_its_own_is_encrypted_under_a_password(acme: Command) -> None:
    assert acme("issue", "client", "device", *PAIR, "--password-file", "password").status == 0
    key = read_private_key(Path("d.key").read_bytes(), password=PASSWORD.encode())
    (leaf,) = read_certificates(Path("d.pem").read_bytes())
    assert spki_id(key.public_key()) == public_key_id(leaf)


@pytest.mark.parametrize("password", [None, PASSWORD])
def test_der_has_the_certificate_and_the_key(password: str | None, acme: Command) -> None:
    protected = () if password is None else ("--password-file", "password")
    files = ("--out", "d.cer", "--key-out", "d.key", "--format", "der")
    assert acme("issue", "client", "device", *files, *protected).status == 0
    leaf = x509.load_der_x509_certificate(Path("d.cer").read_bytes())
    key: Any = load_der_private_key(
        Path("d.key").read_bytes(), password=None if password is None else password.encode()
    )
    assert spki_id(key.public_key()) == public_key_id(leaf)
    assert mode("d.key") == 0o600


@pytest.mark.parametrize(("arguments", "said"), [
    (("--key-out", "x.key"), "expected a file for the key (--out FILE"),
    (("--out", "-", "--key-out", "x.key"), "expected a file each for --out and --key-out, got stdout"),
    (("--out", "x.pem", "--key-out", "-"), "expected a file each for --out and --key-out, got stdout"),
    (("--out", "x.pem", "--key-out", "x.pem"), "expected another file for --key-out than for --out, got 'x.pem' twice"),
    (("--out", "x.pem", "--key-out", "./x.pem"), "got './x.pem' twice"),
    (("--out", "x.pem", "--key-out", "link/x.pem"), "got 'link/x.pem' twice"),
    (("--out", "x.pem", "--key-out", "no/x.key"), "a directory that can be written to, got 'no'"),
    (("--out", "no/x.pem", "--key-out", "x.key"), "a directory that can be written to, got 'no'"),
    (("--out", "x.pem", "--key-out", "there"), "not there yet (or --replace), got 'there'"),
    (("--out", "there", "--key-out", "x.key"), "not there yet (or --replace), got 'there'"),
    (("--out", "x.pem", "--key-out", "link", "--replace"), "got the directory 'link'"),
    (("--out", "pipe", "--replace"), "expected the name of a file, got 'pipe', which is something else"),
    (("--out", "x" * 231), "at most 230 bytes"),
    (("--out", "x" * 300 + "/y"), "expected a directory that can be written to"),
    (("--out", "x.der", "--format", "der"), "expected --key-out with --format der"),
    (("--out", "x.p12", "--format", "pkcs12"), "expected --password-file with --format pkcs12"),
    (
        ("--out", "x.p12", "--key-out", "x.key", "--format", "pkcs12", "--password-file", "password"),
        "expected --format pkcs12 without --key-out",
    ),
    (("--out", "x.pem", "--format", "jks"), "'jks'"),
    (("--out", "x.pem", "--key-directory", "keys"), "expected --names-from and --directory together"),
])  # fmt: skip
def test_what_cannot_be_written_is_told_before_anything_is_issued(
    arguments: tuple[str, ...], said: str, acme: Command, store: Store
) -> None:
    Path("there").write_text("as before")
    Path("link").symlink_to(".")
    os.mkfifo("pipe")
    acme("issue", "client", "device", *arguments).refused(said)
    assert (issued(store), Path("there").read_text()) == (0, "as before")
    assert listing() == ["link", "pipe", "there"]


@pytest.mark.invariant("I11")
def test_where_the_second_file_cannot_be_written_neither_is(
    acme: Command, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert acme("issue", "client", "device", *PAIR).status == 0
    before = Path("d.pem").read_bytes(), Path("d.key").read_bytes()
    replace = os.replace

    def fail(source: str | os.PathLike[str], target: str | os.PathLike[str]) -> None:
        if os.path.basename(target) == "d.pem":
            raise OSError(28, "No space left on device")
        replace(source, target)

    with monkeypatch.context() as patch:
        patch.setattr("mtlskit.authority.files.os.replace", fail)
        done = acme("issue", "client", "device", *PAIR, "--replace")
    with store.snapshot() as snapshot:
        serial = [row.details["serial"] for row in snapshot.scan_audit() if row.event == "certificate.issued"][-1]
    done.refused("expected to write 'd.pem', got 'No space left on device'", f"issued all the same is serial {serial}")
    assert (Path("d.pem").read_bytes(), Path("d.key").read_bytes()) == before
    assert listing() == ["d.key", "d.pem"]
    assert acme("revoke", serial).status == 0


def test_a_chain_that_cannot_be_written_leaves_the_one_before(acme: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("r.pem").write_bytes(request_pem())
    Path("c.pem").write_text("as before")

    def fail(self: Path, target: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", fail)
    acme("sign", "r.pem", "--out", "c.pem", "--replace").refused("expected to write 'c.pem'", "issued all the same")
    assert Path("c.pem").read_text() == "as before"
    assert listing() == ["c.pem", "r.pem"]


@pytest.mark.parametrize(("umask", "mode_of_new"), [(0o000, 0o644), (0o022, 0o644), (0o027, 0o640), (0o077, 0o600)])
@pytest.mark.parametrize("there", [None, 0o600, 0o640, 0o644, 0o664, 0o400])
def test_a_chain_has_the_rights_of_the_one_before(
    umask: int, mode_of_new: int, there: int | None, acme: Command
) -> None:
    Path("r.pem").write_bytes(request_pem())
    if there is not None:
        Path("c.pem").write_text("before")
        Path("c.pem").chmod(there)
    old = os.umask(umask)
    try:
        assert acme("sign", "r.pem", "--out", "c.pem", "--replace").status == 0
        assert acme("issue", "client", "a", "--out", "both.pem").status == 0
        assert acme("ca", "crl", "Acme", "--out", "list.pem").status == 0
    finally:
        os.umask(old)
    assert mode("c.pem") == (mode_of_new if there is None else there)
    assert (mode("both.pem"), mode("list.pem")) == (0o600, mode_of_new)


def test_a_chain_that_is_written_has_the_rights_of_no_program(acme: Command) -> None:
    Path("r.pem").write_bytes(request_pem())
    Path("c.pem").write_text("before")
    Path("c.pem").chmod(0o4755)
    assert acme("sign", "r.pem", "--out", "c.pem", "--replace").status == 0
    assert mode("c.pem") == 0o755


@pytest.mark.parametrize("out", ["-", "c.pem"])
def test_what_is_signed_into_a_file_is_told(out: str, acme: Command) -> None:
    Path("r.pem").write_bytes(request_pem())
    done = acme("sign", "r.pem", "--out", out)
    (leaf,) = read_certificates(done.out if out == "-" else Path(out).read_bytes())
    if out != "-":
        told = f"c.pem: CN=asked, serial {leaf.serial_number:x}, until {leaf.not_valid_after_utc:%FT%TZ}\n"
        assert (done.out, done.err) == (told, "")


@pytest.mark.invariant("I11")
def test_no_password_shows_in_a_repr() -> None:
    delivery = Delivery(form=Form.PEM, password=PASSWORD.encode(), existing=Existing.REFUSE)
    assert PASSWORD not in repr(delivery)


def test_a_name_that_is_no_text_is_told_with_escapes(acme: Command) -> None:
    done = acme("issue", "client", "device", "--out", os.fsdecode(b"d\xff\x1b[2J.pem"))
    assert (done.status, done.err) == (0, "")
    assert done.out.startswith("d\\udcff\\x1b[2J.pem: CN=device")


# --- many -----------------------------------------------------------------------------------------------------------


def batch(acme: Command, *more: str) -> Any:
    Path("names").write_text("common_name\none\ntwo\n")
    return acme("issue", "client", "--names-from", "names", "--directory", "out", "--key-directory", "keys", *more)


@pytest.mark.parametrize(("form", "ending"), [("pem", "pem"), ("der", "der")])
def test_many_keys_go_to_a_directory_of_their_own(form: str, ending: str, acme: Command) -> None:
    assert batch(acme, "--format", form).out == "out: 2 issued, 0 there already, 0 refused\n"
    assert sorted(each.name for each in Path("out").iterdir()) == [f"one.{ending}", f"two.{ending}"]
    assert sorted(each.name for each in Path("keys").iterdir()) == ["one.key", "two.key"]
    assert (mode("keys"), mode("keys/one.key")) == (0o700, 0o600)
    if form == "pem":
        SigningChain(
            read_private_key(Path("keys/one.key").read_bytes()), read_certificates(Path("out/one.pem").read_bytes())
        )
    assert batch(acme, "--format", form).out == "out: 0 issued, 2 there already, 0 refused\n"


def test_a_key_without_its_certificate_is_not_written_over(acme: Command, store: Store) -> None:
    Path("keys").mkdir()
    Path("keys/one.key").write_text("somebody's key")
    done = batch(acme)
    assert (done.status, done.out) == (1, "out: 1 issued, 0 there already, 1 refused\n")
    assert "line 2 ('one'): expected a file that is not there yet (or --replace), got 'keys/one.key'" in done.err
    assert Path("keys/one.key").read_text() == "somebody's key"
    assert issued(store) == 1
    assert batch(acme, "--replace").status == 0
    assert b"PRIVATE KEY" in Path("keys/one.key").read_bytes()


@pytest.mark.parametrize(("arguments", "said"), [
    (("--format", "pkcs12", "--password-file", "password"), "expected --format pkcs12 without --key-directory"),
    (("--key-out", "x.key"), "without a name and --out, --key-out"),
])  # fmt: skip
def test_many_keys_that_have_no_place(arguments: tuple[str, ...], said: str, acme: Command, store: Store) -> None:
    batch(acme, *arguments).refused(said)
    assert (issued(store), listing()) == (0, ["names"])


def test_der_for_many_needs_a_directory_for_the_keys(acme: Command, store: Store) -> None:
    Path("names").write_text("common_name\none\n")
    acme("issue", "client", "--names-from", "names", "--directory", "out", "--format", "der").refused(
        "expected --key-directory with --format der"
    )
    assert (issued(store), listing()) == (0, ["names"])


# --- chains ---------------------------------------------------------------------------------------------------------


def test_a_chain_in_der_is_the_certificate_alone(acme: Command) -> None:
    Path("r.pem").write_bytes(request_pem())
    told = acme("sign", "r.pem", "--format", "der", "--out", "c.der", "--json").json
    assert x509.load_der_x509_certificate(Path("c.der").read_bytes()).serial_number == int(told["serial"], 16)
    assert told["chain"].startswith("-----BEGIN CERTIFICATE")
    acme("sign", "r.pem", "--format", "pkcs12").refused("'pkcs12'")


def test_a_signer_s_failure_is_one_line_and_leaves_no_file(
    acme: Command, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: object, data: bytes) -> bytes:
        raise RuntimeError(PASSWORD)

    monkeypatch.setattr(KeySigner, "sign", fail)
    done = acme("issue", "client", "device", *PAIR)
    done.refused("expected a signature, got RuntimeError from the signer")
    assert PASSWORD not in done.err
    assert listing() == []
