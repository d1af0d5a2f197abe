"""`mtls-certificate` speaks wrangler's words."""

import json
import re

import pytest
from click.testing import CliRunner

from mtlskit.cli.certificates import mtls_certificate
from mtlskit.testing.certificates import Authority

ROOT = Authority.root("Test root")
LEAF = ROOT.leaf("device")
DATE = f"{LEAF.certificate.not_valid_after_utc:%Y-%m-%d}"


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cert.pem").write_bytes(LEAF.chain_pem())
    (tmp_path / "key.pem").write_bytes(LEAF.to_pem())
    (tmp_path / "locked.pem").write_bytes(LEAF.to_pem(password=b"secret"))
    (tmp_path / "password").write_bytes(b"secret\n")
    (tmp_path / "other.pem").write_bytes(ROOT.leaf().to_pem())

    def invoke(*arguments, answer=None):
        return CliRunner().invoke(mtls_certificate, ["--store", "sqlite:///state.db", *arguments], input=answer)

    return invoke


def upload(run, *more):
    return run("upload", "--cert", "cert.pem", "--key", "key.pem", *more)


def uploaded(run, *more):
    return json.loads(upload(run, *more, "--json").stdout)["id"]


def test_upload_speaks_as_wrangler(run):
    result = upload(run, "--name", "my-cert")

    assert result.exit_code == 0
    assert re.fullmatch(
        "Uploading mTLS Certificate my-cert...\n"
        "Success! Uploaded mTLS Certificate my-cert\n"
        f"ID: [0-9a-f-]{{36}}\nIssuer: CN=Test root\nExpires on {DATE}\n",
        result.stdout,
    )
    assert upload(run).stdout.startswith("Uploading mTLS Certificate...\nSuccess! Uploaded mTLS Certificate\n")


def test_an_encrypted_key_opens_with_the_password_of_a_file(run):
    arguments = ("upload", "--cert", "cert.pem", "--key", "locked.pem")

    assert run(*arguments).exit_code == 2
    assert run(*arguments, "--password-file", "password").exit_code == 0


def test_list_speaks_as_wrangler(run):
    assert run("list").stdout == ""
    one, other = uploaded(run, "--name", "my-cert"), uploaded(run)

    text = run("list").stdout

    assert re.fullmatch(
        rf"ID: {one}\nName: my-cert\nIssuer: CN=Test root\nCreated on: \d+-\d+-\d+\nExpires on: {DATE}\n\n"
        rf"ID: {other}\nIssuer: CN=Test root\nCreated on: \d+-\d+-\d+\nExpires on: {DATE}\n\n",
        text,
    )
    found = json.loads(run("list", "--json").stdout)
    assert [(each["id"], each["name"]) for each in found] == [(one, "my-cert"), (other, None)]
    assert found[0]["serial_number"] == f"{LEAF.serial_number:X}"


@pytest.mark.parametrize("by", ["--id", "--name"])
def test_delete_asks_first(run, by):
    certificate_id = uploaded(run, "--name", "my-cert")
    which = certificate_id if by == "--id" else "my-cert"

    kept = run("delete", by, which, answer="n\n")
    gone = run("delete", by, which, answer="y\n")

    question = f"Are you sure you want to delete certificate {certificate_id} (my-cert)?"
    assert question in kept.stdout
    assert kept.stdout.endswith("Not deleting\n")
    assert gone.stdout.endswith(f"Deleted certificate {certificate_id} (my-cert) successfully\n")
    assert json.loads(run("list", "--json").stdout) == []


def test_delete_in_json_asks_on_stderr_or_not_at_all(run):
    one, other = uploaded(run), uploaded(run)

    asked = run("delete", "--id", one, "--json", answer="y\n")
    silent = run("delete", "--id", other, "--json", "--yes")

    assert json.loads(asked.stdout) == {"id": one, "deleted": True}
    assert "Are you sure" in asked.stderr
    assert (json.loads(silent.stdout), silent.stderr) == ({"id": other, "deleted": True}, "")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("delete",), "must provide --id or --name."),
        (("delete", "--id", "x", "--name", "y"), "can't provide both --id and --name."),
        (("delete", "--name", "N"), 'certificate not found with name "N"'),
        (("delete", "--name", "twice"), 'multiple certificates found with name "twice"'),
        (("delete", "--id", "N"), 'certificate not found with id "N"'),
        (("upload", "--cert", "no.pem", "--key", "key.pem"), "Could not read file: no.pem"),
        (("upload", "--cert", "cert.pem", "--key", "no.pem"), "Could not read file: no.pem"),
        (("upload", "--cert", "cert.pem", "--key", "other.pem"), "expected the private key of 'CN=device'"),
        (("upload", "--cert", "password", "--key", "key.pem"), "expected a certificate chain in PEM"),
        (("upload", "--cert", "cert.pem", "--key", "key.pem", "--name", ""), "expected a name"),
    ],
)
def test_an_error_is_one_line_and_two(run, arguments, message):
    for _ in range(2):
        upload(run, "--name", "twice")
    before = run("list", "--json").stdout

    result = run(*arguments)

    assert result.exit_code == 2
    assert message in result.stderr
    assert result.stderr.count("\n") == 1
    assert run("list", "--json").stdout == before


def test_a_store_that_cannot_be_opened_is_one_line_too(run):
    result = CliRunner().invoke(mtls_certificate, ["--store", "mysql://x", "list"])

    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
