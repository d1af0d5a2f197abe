"""`mtls-certificate` beyond wrangler: PKCS #12, passwords, roots, show, replace."""

import json
import re
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from mtlskit.cli.certificates import cert, mtls_certificate
from mtlskit.core.certificates import to_der, to_pem
from mtlskit.stores import open_store
from mtlskit.testing.certificates import Authority
from support.exposure import exposed

ROOT = Authority.root("Test root")
LEAF = ROOT.intermediate("Test intermediate").leaf("device")
DATE = f"{LEAF.certificate.not_valid_after_utc:%Y-%m-%d}"
STORE = "sqlite:///state.db"
FILES = ("--cert", "cert.pem", "--key", "key.pem")


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, content in {
        "cert.pem": LEAF.chain_pem(),
        "key.pem": LEAF.to_pem(),
        "locked.pem": LEAF.to_pem(password=b"secret"),
        "device.p12": LEAF.to_pkcs12(password=b"secret"),
        "password": b"secret\nsecond line\n",
        "empty": b"\n",
        "root.pem": to_pem([ROOT.certificate]),
        "stranger.pem": to_pem([Authority.root("Test root").certificate]),
        "leaf.der": to_der(LEAF.certificate),
        "new.pem": ROOT.leaf("new").to_pem(),
        "garbage": b"\0" * 10_485_760,
    }.items():
        (tmp_path / name).write_bytes(content)

    def invoke(*arguments, answer=None, group=mtls_certificate):
        return CliRunner().invoke(group, ["--store", STORE, *arguments], input=answer)

    return invoke


def uploaded(run, *more):
    return json.loads(run("upload", *FILES, *more, "--json").stdout)["id"]


def audit():
    store = open_store(STORE)
    with store.snapshot() as snapshot:
        found = [(row.event, row.details["requester"]) for row in snapshot.scan_audit()]
    store.close()
    return found


# --- what is read ---------------------------------------------------------------------------------------------------


def test_pkcs12_opens_with_the_password_of_a_file(run):
    done = run("upload", "--pkcs12", "device.p12", "--password-file", "password", "--name", "p12")
    assert (done.exit_code, done.stderr) == (0, "")
    assert done.stdout.startswith("Uploading mTLS Certificate p12...\nSuccess! Uploaded mTLS Certificate p12\nID: ")


@pytest.mark.parametrize("given", [("--pkcs12", "device.p12"), ("--cert", "cert.pem", "--key", "locked.pem")])
def test_a_password_is_asked_for_on_a_terminal_and_not_shown(run, given, monkeypatch):
    refused = run("upload", *given, answer="secret\n")
    monkeypatch.setattr("mtlskit.cli.upload_files._is_terminal", lambda: True)
    done, wrong, none = (run("upload", *given, "--json", answer=answer) for answer in ("secret\n", "horse\n", "\n"))

    assert refused.exit_code == wrong.exit_code == none.exit_code == 2
    assert "password" in refused.stderr
    assert done.exit_code == 0
    assert f"Password of {given[-1]}: " in done.stderr
    assert "secret" not in done.stderr + done.stdout
    assert json.loads(done.stdout)["ca"] is False


def test_nobody_is_asked_for_a_password_that_is_not_needed(run, monkeypatch):
    monkeypatch.setattr("mtlskit.cli.upload_files._is_terminal", lambda: True)
    assert "Password" not in run("upload", *FILES).stderr


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("--cert", "cert.pem"), "Missing option '--key' (or '--pkcs12')"),
        (("--key", "key.pem"), "Missing option '--cert' (or '--pkcs12')"),
        ((), "Missing option '--cert'"),
        (("--pkcs12", "device.p12", "--key", "key.pem"), "can't provide both --pkcs12 and --cert or --key."),
        (("--pkcs12", "no.p12"), "Could not read file: no.p12"),
        (("--pkcs12", "device.p12", "--password-file", "no"), "Could not read file: no"),
        (("--pkcs12", "device.p12", "--password-file", "empty"), "a password in the first line of empty, got none"),
        (("--pkcs12", "cert.pem", "--password-file", "password"), "expected PKCS#12 and its password"),
        (("--pkcs12", "garbage"), "expected PKCS#12 of at most 1048576 bytes"),
        (("--cert", ".", "--key", "key.pem"), "Could not read file: ."),
        (("--cert", "x\x1b[31m", "--key", "key.pem"), "Could not read file: x\\x1b[31m"),
        (("--cert", "leaf.der", "--key", "key.pem"), "expected a certificate chain in PEM, got DER"),
        (("--cert", "garbage", "--key", "key.pem"), "of at most 1048576 bytes"),
        (("--cert", "cert.pem", "--key", "cert.pem"), "expected a private key in PEM"),
        (("--cert", "cert.pem", "--key", "new.pem"), "expected the private key of 'CN=device'"),
        (("--cert", "root.pem", "--key", "key.pem"), "expected the private key of 'CN=Test root'"),
        ((*FILES, "--trust", "stranger.pem"), "unknown_issuer"),
        ((*FILES, "--trust", "key.pem"), "a file that holds a private key"),
        ((*FILES, "--name", "a\x1b[31mb"), "expected a name of printable text"),
    ],
)
@pytest.mark.parametrize("command", ["upload", "replace"])
def test_bad_input_is_one_line_without_a_secret_and_changes_nothing(run, command, given, said):
    place = ("--id", uploaded(run, "--name", "before")) if command == "replace" else ()
    before = run("list", "--json").stdout

    result = run(command, *place, *given)

    assert result.exit_code == 2
    assert said in result.stderr
    # In a group that is run by itself, click puts its usage above what is missing.
    assert result.stderr.count("\n") == (4 if "Missing" in said else 1)
    assert "\x1b" not in result.stdout + result.stderr
    assert run("list", "--json").stdout == before


@pytest.mark.invariant("I11")
def test_no_local_variable_of_a_command_that_failed_has_a_secret(run):
    key = LEAF.to_pem().splitlines()[1]
    for given in (
        ("--cert", "root.pem", "--key", "key.pem"),
        ("--cert", "key.pem", "--key", "locked.pem", "--password-file", "no"),
        ("--cert", "new.pem", "--key", "locked.pem", "--password-file", "password"),
        ("--pkcs12", "cert.pem", "--password-file", "password"),
    ):
        with pytest.raises(click.ClickException) as caught:
            mtls_certificate.main(["--store", STORE, "upload", *given], standalone_mode=False)
        assert exposed(caught.value, key, "secret") == [], given


def test_the_chain_must_lead_to_a_root_that_is_named(run):
    assert run("upload", *FILES, "--trust", "stranger.pem", "--trust", "root.pem").exit_code == 0


@pytest.mark.parametrize("place", ["before", "behind", "environment"])
def test_the_store_may_be_named_in_three_places(run, place, monkeypatch):
    uploaded(run, "--name", "here")
    if place == "environment":
        monkeypatch.setenv("MTLSKIT_STORE", STORE)
    arguments = {"before": ["--store", STORE, "list"], "behind": ["list", "--store", STORE], "environment": ["list"]}
    for group in (mtls_certificate, cert):
        assert "Name: here" in CliRunner().invoke(group, arguments[place]).stdout


# --- show, replace --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("by", ["--id", "--name"])
def test_show_tells_all_but_the_key(run, by):
    certificate_id = uploaded(run, "--name", "my-cert")
    which = certificate_id if by == "--id" else "my-cert"

    text, document = run("show", by, which).stdout, json.loads(run("show", by, which, "--json").stdout)

    assert text.startswith(f"ID: {certificate_id}\nName: my-cert\nIssuer: CN=Test intermediate\nCreated on: ")
    assert text.endswith("Certificate 1: CN=device\nCertificate 2: CN=Test intermediate\n")
    assert document["certificates"].encode() == LEAF.chain_pem()
    assert "PRIVATE" not in text + str(document)


def test_replace_keeps_the_id_and_the_name(run):
    certificate_id = uploaded(run, "--name", "my-cert")

    result = run("replace", "--id", certificate_id, "--cert", "new.pem", "--key", "new.pem", "--requester", "alice")
    again = run("replace", "--id", certificate_id, *FILES, "--name", "other", "--json")

    assert re.fullmatch(
        f"Replacing mTLS Certificate {certificate_id}...\nSuccess! Replaced mTLS Certificate {certificate_id}\n"
        f"ID: {certificate_id}\nIssuer: CN=Test root\nExpires on {DATE}\n",
        result.stdout,
    )
    assert (json.loads(again.stdout)["id"], json.loads(again.stdout)["name"]) == (certificate_id, "other")
    assert audit()[1] == ("client_certificate.replaced", "alice")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("show",), "must provide --id or --name."),
        (("show", "--id", "x", "--name", "y"), "can't provide both --id and --name."),
        (("show", "--name", "N"), 'certificate not found with name "N"'),
        (("show", "--name", "N\n"), 'certificate not found with name "N\\n"'),
        (("replace", "--id", "N", *FILES), 'certificate not found with id "N"'),
        (("replace", "--id", "", *FILES), 'certificate not found with id ""'),
    ],
)
def test_what_is_not_there_is_one_line_and_two_and_makes_no_store(run, arguments, message):
    for _ in range(2):
        result = run(*arguments)
        assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
        assert message in result.stderr
        assert list(Path().glob("state*")) == []
