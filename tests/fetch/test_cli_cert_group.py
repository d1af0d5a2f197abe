"""`cert`, which knows both kinds of uploads; and what either group asks before it deletes."""

import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from mtlskit.cli.certificates import cert, mtls_certificate
from mtlskit.core.certificates import to_der, to_pem
from mtlskit.fetch import CertificateUploads
from mtlskit.stores import open_store
from mtlskit.testing.certificates import Authority, name_of

ROOT = Authority.root("Test root")
OTHER = Authority.root("Other root")
LEAF = ROOT.intermediate("Test intermediate").leaf("device")
DATE = f"{ROOT.certificate.not_valid_after_utc:%Y-%m-%d}"
STORE = "sqlite:///state.db"
FILES = ("--cert", "cert.pem", "--key", "key.pem")


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, content in {
        "cert.pem": LEAF.chain_pem(),
        "key.pem": LEAF.to_pem(),
        "root.pem": to_pem([ROOT.certificate]),
        "other.pem": to_pem([OTHER.certificate]),
        "leaf.der": to_der(LEAF.certificate),
    }.items():
        (tmp_path / name).write_bytes(content)

    def invoke(*arguments, answer=None, group=mtls_certificate):
        return CliRunner().invoke(group, ["--store", STORE, *arguments], input=answer)

    return invoke


def of_group(run, *arguments, answer=None):
    return run(*arguments, answer=answer, group=cert)


def uploaded(run, *more):
    return json.loads(run("upload", *FILES, *more, "--json").stdout)["id"]


def authority(run, *more):
    done = of_group(run, "upload", "certificate-authority", "--ca-cert", "root.pem", *more, "--json")
    return json.loads(done.stdout)["id"]


def audit():
    store = open_store(STORE)
    with store.snapshot() as snapshot:
        found = [(row.event, row.details["requester"]) for row in snapshot.scan_audit()]
    store.close()
    return found


# --- delete ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("more", [(), ("--json",)])
@pytest.mark.parametrize("group", [mtls_certificate, cert])
def test_a_question_that_nobody_answers_is_an_error_and_deletes_nothing(run, group, more):
    certificate_id = uploaded(run)

    result = run("delete", "--id", certificate_id, *more, answer="", group=group)

    assert result.exit_code == 2
    assert result.stderr.endswith("Error: expected an answer on stdin, or --yes, got neither\n")
    assert certificate_id in run("list").stdout


def test_who_interrupts_a_question_is_told_nothing_more(run, monkeypatch):
    monkeypatch.setattr("mtlskit.cli.upload_files._is_terminal", lambda: True)
    certificate_id = uploaded(run)
    result = run("delete", "--id", certificate_id, answer="")
    assert "expected" not in result.stderr
    assert result.exit_code == 1
    assert certificate_id in run("list").stdout


def test_what_is_deleted_while_the_question_stands_is_not_found(run, monkeypatch):
    certificate_id = uploaded(run)

    def confirm(*_, **__):
        store = open_store(STORE)
        CertificateUploads(store).delete(certificate_id)
        store.close()
        return True

    monkeypatch.setattr("click.confirm", confirm)
    result = run("delete", "--id", certificate_id)
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
    assert "expected the id of an uploaded certificate" in result.stderr


def test_who_asked_stands_in_the_audit_log(run):
    one, other = uploaded(run, "--requester", "alice"), authority(run, "--requester", "bob")
    run("delete", "--id", one, "-y", "--requester", "carol")
    of_group(run, "delete", "--id", other, "-y", "--requester", "dave")
    assert audit() == [
        ("client_certificate.uploaded", "alice"), ("ca_certificate.uploaded", "bob"),
        ("client_certificate.deleted", "carol"), ("ca_certificate.deleted", "dave"),
    ]  # fmt: skip


# --- cert -----------------------------------------------------------------------------------------------------------


def test_the_newer_group_uploads_as_the_older(run):
    done = of_group(run, "upload", "mtls-certificate", *FILES, "--name", "my-cert")
    assert done.stdout.startswith("Uploading mTLS Certificate my-cert...\nSuccess! Uploaded mTLS Certificate my-cert\n")
    assert "Name: my-cert\n" in run("list").stdout


def test_ca_certificates_are_uploaded_in_wranglers_words(run):
    done = of_group(run, "upload", "certificate-authority", "--ca-cert", "root.pem", "--name", "roots")
    assert re.fullmatch(
        "Uploading CA Certificate roots...\nSuccess! Uploaded CA Certificate roots\n"
        f"ID: [0-9a-f-]{{36}}\nIssuer: CN=Test root\nExpires on {DATE}\n",
        done.stdout,
    )
    unnamed = of_group(run, "upload", "certificate-authority", "--ca-cert", "root.pem")
    assert unnamed.stdout.startswith("Uploading CA Certificate...\nSuccess! Uploaded CA Certificate\n")


def test_both_kinds_are_listed_in_the_order_of_their_upload(run):
    one, two, three = uploaded(run), authority(run, "--name", "roots"), uploaded(run, "--name", "my-cert")

    text, found = of_group(run, "list").stdout, json.loads(of_group(run, "list", "--json").stdout)

    assert re.findall("^ID: (.*)$", text, re.MULTILINE) == [each["id"] for each in found] == [one, two, three]
    assert [each["ca"] for each in found] == [False, True, False]
    assert text.count("CA: true\n\n") == text.count("CA:") == 1
    assert two not in run("list").stdout


def test_either_kind_is_deleted(run):
    one, two = uploaded(run, "--name", "both"), authority(run, "--name", "both")

    twice = of_group(run, "delete", "--name", "both", "-y")
    kept = of_group(run, "delete", "--id", two, answer="n\n")
    by_id = of_group(run, "delete", "--id", two, answer="y\n")
    by_name = of_group(run, "delete", "--name", "both", "--yes", "--json")

    assert 'multiple certificates found with name "both"' in twice.stderr
    assert kept.stdout.endswith("Not deleting\n")
    assert f"Are you sure you want to delete certificate {two} (both)?" in by_id.stdout
    assert by_id.stdout.endswith(f"Deleted certificate {two} (both) successfully\n")
    assert json.loads(by_name.stdout) == {"id": one, "deleted": True}
    assert of_group(run, "list").stdout == ""


def test_either_kind_is_replaced_under_its_id(run):
    one, two = uploaded(run, "--name", "my-cert"), authority(run, "--name", "roots")

    client = of_group(run, "replace", "mtls-certificate", "--id", one, *FILES)
    done = of_group(
        run, "replace", "certificate-authority", "--id", two, "--ca-cert", "other.pem", "--requester", "eve"
    )
    again = of_group(
        run, "replace", "certificate-authority", "--id", two, "--ca-cert", "root.pem", "--name", "new", "--json"
    )

    assert f"Replaced mTLS Certificate {one}\n" in client.stdout
    assert done.stdout.startswith(
        f"Replacing CA Certificate {two}...\nSuccess! Replaced CA Certificate {two}\nID: {two}\nIssuer: CN=Other root\n"
    )
    assert (json.loads(again.stdout)["id"], json.loads(again.stdout)["name"]) == (two, "new")
    assert audit()[3] == ("ca_certificate.replaced", "eve")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("replace", "certificate-authority", "--id", "no", "--ca-cert", "root.pem"), 'not found with id "no"'),
        (("replace", "certificate-authority", "--id", "no", "--ca-cert", "no.pem"), "Could not read file: no.pem"),
        (("delete",), "Must provide --id or --name."),
        (("delete", "--id", "x", "--name", "y"), "Can't provide both --id and --name."),
        (("delete", "--name", "N"), 'certificate not found with name "N"'),
        (("upload", "certificate-authority", "--ca-cert", "no.pem"), "Could not read file: no.pem"),
        (("upload", "certificate-authority", "--ca-cert", "key.pem"), "got PEM that holds a private key"),
        (("upload", "certificate-authority", "--ca-cert", "cert.pem"), "not_a_ca"),
        (("upload", "certificate-authority", "--ca-cert", "leaf.der"), "got DER"),
        (("upload", "certificate-authority", "--ca-cert", "root.pem", "--name", ""), "expected a name"),
    ],
)
def test_an_error_of_the_newer_group_is_one_line_and_two(run, arguments, message):
    result = of_group(run, *arguments)
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
    assert message in result.stderr
    assert list(Path().glob("state*")) == []


@pytest.mark.parametrize(
    ("file", "message"), [("key.pem", "holds a private key"), ("cert.pem", "not_a_ca"), ("leaf.der", "got DER")]
)
def test_what_cannot_be_trusted_replaces_nothing(run, file, message):
    kept = authority(run)
    result = of_group(run, "replace", "certificate-authority", "--id", kept, "--ca-cert", file)
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
    assert message in result.stderr
    assert [event for event, _ in audit()] == ["ca_certificate.uploaded"]


def test_a_client_certificate_is_not_replaced_by_an_authority(run):
    kept = uploaded(run)
    result = of_group(run, "replace", "certificate-authority", "--id", kept, "--ca-cert", "root.pem")
    assert (result.exit_code, f'certificate not found with id "{kept}"' in result.stderr) == (2, True)


def test_a_certificate_cannot_write_lines_of_its_own(run):
    hostile = Authority.root("x\nID: forged\x1b[31m")
    assert hostile.certificate.issuer == name_of("x\nID: forged\x1b[31m")
    Path("hostile.pem").write_bytes(hostile.leaf("device").to_pem())
    run("upload", "--cert", "hostile.pem", "--key", "hostile.pem", "--name", "hostile")
    for text in (run("list").stdout, of_group(run, "list").stdout, run("show", "--name", "hostile").stdout):
        assert "\x1b" not in text
        assert text.count("\nID: ") == 0
        assert "Issuer: CN=x\\nID: forged" in text
