"""`mtlskit verify` and `mtlskit explain`: the path as a tree, the refusal with its place, and bad input in one line."""

from __future__ import annotations

import base64
import json
import re
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp

from mtlskit.cli.commands import run
from mtlskit.core.certificates import to_der, to_pem
from mtlskit.gate import Gate
from mtlskit.stores import open_store
from mtlskit.testing.certificates import CLIENT_AUTH, SERVER_AUTH, Authority
from support.der import Fields, cn, der_of, extension, integer, name

NOW = datetime.now(UTC).replace(microsecond=0)
ROOT = Authority.root("Trees root")
MIDDLE = ROOT.intermediate(
    "Trees intermediate", path_length=0, extensions=[(x509.NameConstraints([x509.DNSName("example")], None), True)]
)
LEAF = MIDDLE.leaf("device-17", sans=("dns:device.example",), usages=(CLIENT_AUTH, SERVER_AUTH))
OTHER = Authority.root("Other root")


class Done(NamedTuple):
    """How a command ended."""

    status: int
    out: str
    err: str


Command = Callable[..., Done]


@pytest.fixture
def mtlskit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Runs the command line in a directory with the files of `FILES`."""
    monkeypatch.chdir(tmp_path)
    for file, data in FILES.items():
        Path(file).write_bytes(data)

    def command(*arguments: str) -> Done:
        monkeypatch.setattr(sys, "argv", ["mtlskit", *arguments])
        status = run()
        return Done(status, *capsys.readouterr())

    return command


def crl(by: Authority, *serials: int, end: datetime = NOW + timedelta(hours=1)) -> x509.CertificateRevocationList:
    builder = x509.CertificateRevocationListBuilder(by.certificate.subject, NOW - timedelta(hours=2), end)
    builder = builder.add_extension(x509.CRLNumber(1), False)
    for serial in serials:
        entry = x509.RevokedCertificateBuilder(serial, NOW - timedelta(hours=2))
        entry = entry.add_extension(x509.CRLReason(x509.ReasonFlags.key_compromise), False)
        builder = builder.add_revoked_certificate(entry.build())
    return builder.sign(by.key, hashes.SHA256())


def answer(status: ocsp.OCSPCertStatus) -> bytes:
    gone = status is ocsp.OCSPCertStatus.REVOKED
    builder = ocsp.OCSPResponseBuilder().add_response(
        LEAF.certificate, MIDDLE.certificate, hashes.SHA256(), status, NOW - timedelta(hours=2), NOW + timedelta(hours=1),
        NOW if gone else None, x509.ReasonFlags.key_compromise if gone else None,
    )  # fmt: skip
    builder = builder.responder_id(ocsp.OCSPResponderEncoding.HASH, MIDDLE.certificate)
    return builder.sign(MIDDLE.key, hashes.SHA256()).public_bytes(Encoding.DER)


def pem_of(der: bytes, label: str = "CERTIFICATE") -> bytes:
    return f"-----BEGIN {label}-----\n".encode() + base64.encodebytes(der) + f"-----END {label}-----\n".encode()


ODD = Fields.of(der_of(MIDDLE.leaf("x", sans=("dns:a.example",)).certificate))
FILES = {
    "good.ocsp": answer(ocsp.OCSPCertStatus.GOOD),
    "revoked.ocsp": answer(ocsp.OCSPCertStatus.REVOKED),
    "version1.pem": pem_of(Fields.of(der_of(ROOT.certificate)).but(version=b"").sign(ROOT.key)),
    "chain.pem": LEAF.chain_pem(),
    "leaf.pem": to_pem([LEAF.certificate]),
    "leaf.der": to_der(LEAF.certificate),
    "middle.pem": to_pem([MIDDLE.certificate]),
    "middle.der": to_der(MIDDLE.certificate),
    "root.pem": to_pem([ROOT.certificate]),
    "root.der": to_der(ROOT.certificate),
    "other.pem": to_pem([OTHER.certificate]),
    "both.pem": to_pem([OTHER.certificate, ROOT.certificate]),
    "empty.crl": crl(MIDDLE).public_bytes(Encoding.PEM),
    "revoked.crl": crl(MIDDLE, LEAF.serial_number).public_bytes(Encoding.PEM),
    "revoked.der": crl(MIDDLE, LEAF.serial_number).public_bytes(Encoding.DER),
    "stale.crl": crl(MIDDLE, end=NOW - timedelta(hours=1)).public_bytes(Encoding.PEM),
    "root.crl": crl(ROOT).public_bytes(Encoding.PEM),
    "key.pem": LEAF.to_pem(),
    "empty": b"",
    "text": b"a note, not a certificate\n",
    "broken.pem": b"-----BEGIN CERTIFICATE-----\n!!!\n-----END CERTIFICATE-----\n",
    "open.pem": b"-----BEGIN CERTIFICATE-----\nMIIB\n",
    "junk.pem": pem_of(b"\x30\x03\x02\x01\x07"),
    "second.pem": to_pem([LEAF.certificate]) + pem_of(b"\x30\x03\x02\x01\x07"),
    "cut.der": to_der(LEAF.certificate)[:-1],
    "written.pem": pem_of(ODD.but(subject=cn("\x1b[31mred\u202eder\n")).sign(MIDDLE.key)) + to_pem([MIDDLE.certificate]),
    "markup.pem": pem_of(ODD.but(subject=cn("[bold]not markup[/bold]")).sign(MIDDLE.key)) + to_pem([MIDDLE.certificate]),
    "unreadable.pem": pem_of(ODD.but(subject=name(("2.5.4.3", 0x0C, b"\xff"))).sign(MIDDLE.key)),
    "critical.pem": pem_of(ODD.plus(extension("1.2.3.4", b"\5\0", critical=True)).sign(MIDDLE.key)),
}  # fmt: skip
CHAIN = ("verify", "--cert", "chain.pem", "--ca", "root.pem")


def assert_bad_input(done: Done, *parts: str) -> None:
    """One line on stderr with these parts, nothing on stdout, exit status 2."""
    assert (done.status, done.out) == (2, "")
    assert done.err.startswith("mtlskit: ")
    assert done.err.count("\n") == 1
    for part in parts:
        assert part in done.err


# --- a path ---------------------------------------------------------------------------------------------------------


def test_the_path_is_a_tree_from_the_leaf_to_the_anchor(mtlskit: Command) -> None:
    done = mtlskit(*CHAIN)
    assert (done.status, done.err) == (0, "")
    places = re.findall(r"^([ │├└─]*)(leaf|intermediate|anchor): (.*)$", done.out, re.MULTILINE)
    assert [(place, subject) for _, place, subject in places] == [
        ("leaf", "CN=device-17"), ("intermediate", "CN=Trees intermediate"), ("anchor", "CN=Trees root"),
    ]  # fmt: skip
    assert [len(indent) for indent, _, _ in places] == [0, 4, 8]
    assert done.out.startswith("accepted for client_auth under compatible at ")


def test_each_certificate_says_what_was_checked(mtlskit: Command) -> None:
    leaf, middle, root = json.loads(mtlskit(*CHAIN, "--json").out)["path"]
    assert [each["place"] for each in (leaf, middle, root)] == ["leaf", "intermediate", "anchor"]
    common = {"time", "key", "signature", "critical extensions", "rules"}
    assert set(leaf["checks"]) == {*common, "purpose", "names", "revocation"}
    assert set(middle["checks"]) == {*common, "purpose", "ca", "names", "revocation"}
    assert set(root["checks"]) == {*common, "ca"}
    assert leaf["checks"]["signature"] == "verifies under the key of CN=Trees intermediate"
    assert leaf["checks"]["names"] == "permitted by every CA above; dns:device.example"
    assert middle["checks"]["ca"] == "cA, keyCertSign, path length 0"
    assert middle["checks"]["names"] == "constrains those below"
    assert "nameConstraints" in middle["checks"]["critical extensions"]
    assert root["checks"]["signature"].startswith("not looked at")


def test_json_is_one_document_with_moments_and_the_anchor(mtlskit: Command) -> None:
    moment = (NOW + timedelta(days=1)).isoformat()
    document = json.loads(mtlskit(*CHAIN, "--json", "--profile", "webpki", "--at", moment).out)
    path = document.pop("path")
    assert document == {
        "verdict": "accepted",
        "purpose": "client_auth",
        "profile": "webpki",
        "moment": f"{NOW + timedelta(days=1):%Y-%m-%dT%H:%M:%SZ}",
        "not_after": f"{LEAF.certificate.not_valid_after_utc:%Y-%m-%dT%H:%M:%SZ}",
        "anchor": ROOT.certificate.fingerprint(hashes.SHA256()).hex(),
    }
    assert path[0]["sha256"] == LEAF.certificate.fingerprint(hashes.SHA256()).hex()
    assert path[0]["serial"] == f"{LEAF.serial_number:x}"


@pytest.mark.parametrize("arguments", [
    ("--cert", "leaf.der", "--intermediate", "middle.der", "--ca", "root.der"),
    ("--cert", "leaf.pem", "--intermediate", "middle.pem", "--ca", "other.pem", "--ca", "root.pem"),
    ("--cert", "chain.pem", "--ca", "both.pem"),
    ("--cert", "leaf.pem", "--ca", "middle.pem"),
    ("--cert", "chain.pem", "--ca", "root.pem", "--purpose", "server_auth", "--hostname", "device.example"),
])  # fmt: skip
def test_files_may_be_pem_or_der_and_hold_several(arguments: tuple[str, ...], mtlskit: Command) -> None:
    assert mtlskit("verify", *arguments).status == 0


def test_the_reference_name_is_shown(mtlskit: Command) -> None:
    done = mtlskit(*CHAIN, "--purpose", "server_auth", "--hostname", "device.example")
    assert "has device.example" in done.out


@pytest.mark.parametrize(("arguments", "expected"), [
    ((), "not asked"),
    (("--crl", "empty.crl"), "good, by the list number 1 of {since}, until {until}"),
    (("--ocsp", "good.ocsp"), "good, by an OCSP response of {since}, until {until}"),
    (("--crl", "empty.crl", "--revocation", "off"), "not asked"),
])  # fmt: skip
def test_lists_are_asked_about_the_leaf_where_some_are_given(
    arguments: tuple[str, ...], expected: str, mtlskit: Command
) -> None:
    leaf, middle, _ = json.loads(mtlskit(*CHAIN, *arguments, "--json").out)["path"]
    since, until = (f"{NOW + timedelta(hours=hours):%Y-%m-%dT%H:%M:%SZ}" for hours in (-2, 1))
    told = expected.format(since=since, until=until)
    assert (leaf["checks"]["revocation"], middle["checks"]["revocation"]) == (told, "not asked")


def test_what_a_stranger_wrote_is_shown_escaped_and_is_no_markup(mtlskit: Command) -> None:
    done = mtlskit("verify", "--cert", "written.pem", "--ca", "root.pem")
    assert done.status == 0
    assert not {"\x1b", "\u202e"} & set(done.out)
    assert "\\x1b[31mred\\u202eder" in done.out
    assert "[bold]not markup[/bold]" in mtlskit("verify", "--cert", "markup.pem", "--ca", "root.pem").out


# --- refusals -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("arguments", "reason", "where", "facts"), [
    (("--cert", "chain.pem", "--ca", "other.pem"), "unknown_issuer", "presented certificate 2", set()),
    (("--cert", "leaf.pem", "--ca", "root.pem"), "unknown_issuer", "leaf", set()),
    ((*CHAIN[1:], "--purpose", "email"), "wrong_purpose", "leaf", {"wanted", "found"}),
    ((*CHAIN[1:], "--at", "2020-01-01T00:00:00Z"), "not_yet_valid", "leaf", {"moment", "not_before"}),
    ((*CHAIN[1:], "--at", "2090-01-01T00:00:00+05:00"), "expired", "leaf", {"moment", "not_after"}),
    ((*CHAIN[1:], "--crl", "revoked.crl"), "revoked", "leaf", {"why"}),
    ((*CHAIN[1:], "--crl", "revoked.der"), "revoked", "leaf", {"why"}),
    ((*CHAIN[1:], "--ocsp", "revoked.ocsp"), "revoked", "leaf", {"why"}),
    ((*CHAIN[1:], "--crl", "stale.crl"), "revocation_unknown", "leaf", {"standing"}),
    ((*CHAIN[1:], "--revocation", "leaf"), "revocation_unknown", "leaf", {"standing"}),
    ((*CHAIN[1:], "--crl", "empty.crl", "--revocation", "path"), "revocation_unknown", "presented certificate 2", {"standing"}),
    (("--cert", "chain.pem", "--ca", "version1.pem"), "malformed", "trust anchor", set()),
    ((*CHAIN[1:], "--purpose", "server_auth", "--hostname", "b.example"), "name_mismatch", "leaf", {"wanted"}),
    (("--cert", "critical.pem", "--intermediate", "middle.pem", "--ca", "root.pem"),
     "unsupported_critical_extension", "leaf", {"found"}),
    (("--cert", "junk.pem", "--ca", "root.pem"), "malformed", "leaf", {"position"}),
    (("--cert", "cut.der", "--ca", "root.pem"), "malformed", "leaf", {"position"}),
    (("--cert", "second.pem", "--ca", "root.pem"), "malformed", "presented certificate 2", {"position"}),
    (("--cert", "unreadable.pem", "--intermediate", "middle.pem", "--ca", "root.pem"), "malformed", "leaf", set()),
])  # fmt: skip
def test_a_refusal_says_why_and_where_it_stands(
    arguments: tuple[str, ...], reason: str, where: str, facts: set[str], mtlskit: Command
) -> None:
    done = mtlskit("verify", *arguments, "--json")
    document = json.loads(done.out)
    assert (done.status, done.err, document["verdict"]) == (1, "", "refused")
    assert (document["reason"], document["where"], set(document["facts"])) == (reason, where, facts)
    told = mtlskit("verify", *arguments)
    assert (told.status, told.err) == (1, "")
    assert told.out.startswith(f"refused: {reason}\nexpected ")
    assert f"at fault: {where}" in told.out


def test_an_anchor_at_fault_is_said_to_be_one(mtlskit: Command) -> None:
    old = Authority.root("Old", not_after=NOW - timedelta(days=1))
    Path("old.pem").write_bytes(to_pem([old.certificate]))
    Path("below.pem").write_bytes(old.leaf().chain_pem())
    document = json.loads(mtlskit("verify", "--cert", "below.pem", "--ca", "old.pem", "--json").out)
    assert (document["reason"], document["where"]) == ("expired", "trust anchor")
    assert document["certificate"]["subject"] == "CN=Old"


def test_a_helper_at_fault_is_said_to_be_one(mtlskit: Command) -> None:
    late = ROOT.intermediate("Late", not_after=NOW - timedelta(days=1))
    Path("late.pem").write_bytes(to_pem([late.certificate]))
    Path("below.pem").write_bytes(to_pem([late.leaf().certificate]))
    done = mtlskit("verify", "--cert", "below.pem", "--intermediate", "late.pem", "--ca", "root.pem", "--json")
    assert json.loads(done.out)["where"] == "intermediate"


# --- bad input ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("option", ["--cert", "--ca", "--intermediate", "--crl", "--ocsp"])
@pytest.mark.parametrize("file", ["missing.pem", ".", "empty", "text", "broken.pem", "open.pem", "a\0b"])
def test_a_file_that_cannot_be_used_is_one_line_that_names_it(option: str, file: str, mtlskit: Command) -> None:
    given = {"--cert": "chain.pem", "--ca": "root.pem", option: file}
    done = mtlskit("verify", *(part for pair in given.items() for part in pair))
    assert_bad_input(done, repr(file))


@pytest.mark.parametrize("option", ["--cert", "--ca", "--intermediate", "--crl", "--ocsp"])
@pytest.mark.parametrize("encoding", ["ascii", "utf-16"])
def test_a_private_key_is_refused_and_never_shown(option: str, encoding: str, mtlskit: Command) -> None:
    text = LEAF.to_pem().decode()
    Path("key.pem").write_bytes(text.encode(encoding))
    given = {"--cert": "chain.pem", "--ca": "root.pem", option: "key.pem"}
    done = mtlskit("verify", *(part for pair in given.items() for part in pair))
    assert_bad_input(done, "private key", "'key.pem'")
    assert not any(line in done.err for line in text.splitlines() if line)


@pytest.mark.parametrize("form", [serialization.PrivateFormat.PKCS8, serialization.PrivateFormat.TraditionalOpenSSL])
def test_a_private_key_in_der_is_no_certificate_and_never_shown(form: Any, mtlskit: Command) -> None:
    data = LEAF.private_key.private_bytes(Encoding.DER, form, serialization.NoEncryption())
    Path("key.der").write_bytes(data)
    done = mtlskit("verify", "--cert", "key.der", "--ca", "root.pem")
    assert (done.status, done.err) == (1, "")
    assert done.out.startswith("refused: malformed")
    assert data.hex()[-32:] not in done.out
    assert_bad_input(mtlskit("verify", "--cert", "chain.pem", "--ca", "key.der"), "trust anchor", "'key.der'")


@pytest.mark.parametrize("moment", [
    "yesterday", "2026-03-01", "2026-03-01T12:00:00", "20260301T120000Z", "2026-W10-1T12:00:00Z", "2026-02-30T12:00:00Z",
    "2026-03-01T12:00:00+0100", "2026-03-01T12:00:60Z", "0001-01-01T00:00:00+23:59", "\u0662026-03-01T12:00:00Z", "",
])  # fmt: skip
def test_a_moment_must_be_of_rfc_3339(moment: str, mtlskit: Command) -> None:
    assert_bad_input(mtlskit(*CHAIN, "--at", moment), "RFC 3339", repr(moment))


@pytest.mark.parametrize(
    "moment", ["{0:%Y-%m-%dT%H:%M:%S}Z", "{0:%Y-%m-%dt%H:%M:%S}z", "{0:%Y-%m-%d %H:%M:%S.5}-00:00"]
)
def test_every_form_of_rfc_3339_is_read(moment: str, mtlskit: Command) -> None:
    assert mtlskit(*CHAIN, "--at", moment.format(NOW)).status == 0


@pytest.mark.parametrize("arguments", [
    ("verify",),
    ("verify", "--cert", "chain.pem"),
    (*CHAIN, "--purpose", "code_signing"),
    (*CHAIN, "--profile", "mine"),
    (*CHAIN, "--revocation", "sometimes"),
    (*CHAIN, "--hostname", "device.example"),
    (*CHAIN, "--purpose", "server_auth"),
    (*CHAIN, "--purpose", "server_auth", "--hostname", "a b"),
    ("explain",),
])  # fmt: skip
def test_a_question_that_cannot_be_asked_is_bad_input(arguments: tuple[str, ...], mtlskit: Command) -> None:
    assert_bad_input(mtlskit(*arguments))


def test_a_file_over_the_limit_says_the_limit(mtlskit: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mtlskit.cli.files._LARGEST", 100)
    assert_bad_input(mtlskit(*CHAIN), "at most 100 bytes", "'chain.pem'")


def test_more_certificates_than_the_limits_are_a_refusal(mtlskit: Command) -> None:
    Path("many.pem").write_bytes(FILES["chain.pem"] * 40)
    done = mtlskit("verify", "--cert", "many.pem", "--ca", "root.pem", "--json")
    assert (done.status, json.loads(done.out)["reason"]) == (1, "limit_exceeded")


# --- explain --------------------------------------------------------------------------------------------------------


@pytest.fixture
def store_url(tmp_path: Path) -> str:
    """A store with one hostname that wants certificates of `ROOT`."""
    url = f"sqlite:///{tmp_path / 'gate.db'}"
    store = open_store(url)
    gate = Gate(store)
    gate.hostnames.add(
        "pay.example", trust=[ROOT.certificate], server=OTHER.leaf(sans=("dns:pay.example",), usages=(SERVER_AUTH,))
    )
    gate.close()
    store.close()
    return url


def test_explain_prints_the_gates_verdict(mtlskit: Command, store_url: str) -> None:
    done = mtlskit("explain", "--store", store_url, "pay.example", "--cert", "chain.pem", "--json")
    document = json.loads(done.out)
    assert (done.status, document["verdict"], document["hostname"]) == (0, "allow", "pay.example")
    assert document["path"] == ["CN=device-17", "CN=Trees intermediate", "CN=Trees root"]
    assert (document["subject"], document["sans"]) == ("CN=device-17", ["dns:device.example"])
    told = mtlskit("explain", "--store", store_url, "pay.example", "--cert", "chain.pem")
    assert told.status == 0
    assert told.out.startswith("allow at pay.example\n")


@pytest.mark.parametrize(("arguments", "reason"), [
    (("pay.example",), "no_certificate"),
    (("pay.example", "--cert", "leaf.pem"), "unknown_issuer"),
    (("pay.example", "--cert", "junk.pem"), "malformed"),
    (("other.example", "--cert", "chain.pem"), "server_name_unknown"),
    (("10.0.0.1", "--cert", "chain.pem"), "server_name_unknown"),
    (("", "--cert", "chain.pem"), "server_name_missing"),
])  # fmt: skip
def test_explain_prints_a_denial_with_its_reason(
    arguments: tuple[str, ...], reason: str, mtlskit: Command, store_url: str
) -> None:
    done = mtlskit("explain", "--store", store_url, *arguments, "--json")
    document = json.loads(done.out)
    assert (done.status, document["verdict"], document["reason"], document["status"]) == (1, "deny", reason, 403)
    told = mtlskit("explain", "--store", store_url, *arguments)
    assert (told.status, told.err) == (1, "")
    assert f"reason: {reason}" in told.out


def test_explain_makes_no_store(mtlskit: Command, tmp_path: Path) -> None:
    before = set(tmp_path.iterdir())
    assert_bad_input(mtlskit("explain", "--store", "sqlite:///typo.db", "pay.example"), "'sqlite:///typo.db'")
    assert set(tmp_path.iterdir()) == before
    assert_bad_input(mtlskit("explain", "--store", "redis://", "pay.example"), "store URL")


def test_explain_refuses_a_private_key(mtlskit: Command, store_url: str) -> None:
    done = mtlskit("explain", "--store", store_url, "pay.example", "--cert", "key.pem")
    assert_bad_input(done, "private key")


# --- as a process ---------------------------------------------------------------------------------------------------


def test_as_a_process_a_warning_of_the_parser_is_not_shown(tmp_path: Path) -> None:
    odd = Fields.of(der_of(LEAF.certificate)).but(serial=integer(0)).sign(MIDDLE.key)
    (tmp_path / "zero.pem").write_bytes(pem_of(odd) + FILES["middle.pem"])
    (tmp_path / "root.pem").write_bytes(FILES["root.pem"])
    code = "import sys; from mtlskit.cli import main; sys.exit(main())"
    command = [sys.executable, "-c", code, "verify", "--cert", "zero.pem", "--ca", "root.pem"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
