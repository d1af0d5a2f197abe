"""`mtlskit issue client --names-from`: a file with names becomes a directory with a certificate and key for each."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any

import click
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mtlskit.authority import CertificateAuthority
from mtlskit.authority import files as private_files
from mtlskit.cli import batches
from mtlskit.cli.delivery import Delivery
from mtlskit.cli.name_lists import read_rows
from mtlskit.cli.options import Form
from mtlskit.cli.writing import Existing
from mtlskit.core.certificates import SigningChain, read_sans
from mtlskit.errors import ConfigurationError, Unavailable
from mtlskit.ports import Store
from support.command_line import Command, Done


def batch(acme: Command, *more: str, names: str = "names") -> Done:
    return acme("issue", "client", "--names-from", names, "--directory", "out", *more)


def issued(store: Store) -> int:
    with store.snapshot() as snapshot:
        return sum(row.event == "certificate.reserved" for row in snapshot.scan_audit())


def files() -> list[str]:
    return sorted(each.name for each in Path("out").iterdir())


def chain(name: str) -> SigningChain:
    path = Path("out") / name
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    return SigningChain.from_pem(path.read_bytes())


CSV = """common_name,dns,uris,emails,ips,lifetime
device-1,,urn:acme:1 urn:acme:one,,,10d
"device, 2",till.example,,a@b.example,10.0.0.1 ::1,
,,urn:acme:3,,,
"""
LINES = """
{"common_name": "device-1", "uris": ["urn:acme:1", "urn:acme:one"], "lifetime": "10d"}
{"common_name": "device, 2", "dns": "till.example", "emails": ["a@b.example"], "ips": ["10.0.0.1", "::1"]}

{"uris": ["urn:acme:3"]}
"""


@pytest.mark.parametrize(
    "content", [CSV, LINES, "\ufeff" + CSV, CSV.replace("\n", "\r\n")], ids=["csv", "json", "bom", "crlf"]
)
def test_every_line_gets_a_file(content: str, acme: Command, store: Store) -> None:
    Path("names").write_bytes(content.encode())
    done = batch(acme, "--lifetime", "20d")
    assert (done.status, done.out, done.err) == (0, "out: 3 issued, 0 there already, 0 refused\n", "")
    assert files() == ["device%2C%202.pem", "device-1.pem", "urn%3Aacme%3A3.pem"]
    assert stat.S_IMODE(Path("out").stat().st_mode) == 0o700
    one, two = chain("device-1.pem"), chain("device%2C%202.pem")
    assert list(map(str, read_sans(one.certificate))) == ["uri:urn:acme:1", "uri:urn:acme:one"]
    assert list(map(str, read_sans(two.certificate))) == [
        "dns:till.example",
        "email:a@b.example",
        "ip:10.0.0.1",
        "ip:::1",
    ]
    ends = [each.certificate.not_valid_after_utc - each.certificate.not_valid_before_utc for each in (one, two)]
    assert [each.days for each in ends] == [10, 20], "the line's own lifetime, or the option's"


def test_pkcs12_for_every_line(acme: Command) -> None:
    Path("names").write_text("common_name\none\ntwo\n")
    Path("password").write_text("secret")
    document = batch(acme, "--format", "pkcs12", "--password-file", "password", "--key-type", "ec-p384", "--json").json
    assert document == {"issued": 2, "there_already": 0, "refused": 0, "refusals": [], "directory": "out"}
    assert files() == ["one.p12", "two.p12"]
    SigningChain.from_pkcs12(Path("out/one.p12").read_bytes(), password=b"secret")


def test_what_is_there_is_left_out_and_a_name_counts_once(acme: Command, store: Store) -> None:
    Path("names").write_text("common_name\none\ntwo\none\n")
    assert batch(acme, "--json").json["there_already"] == 1
    before = chain("one.pem").serial_number
    Path("out/two.pem").unlink()
    document = batch(acme, "--json").json
    assert (document["issued"], document["there_already"]) == (1, 2)
    assert (chain("one.pem").serial_number, issued(store)) == (before, 3)
    assert batch(acme, "--json", "--replace").json["issued"] == 2
    assert chain("one.pem").serial_number != before


def test_a_run_that_was_cut_off_is_finished_by_the_same_command(
    acme: Command, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("names").write_text("common_name\n" + "".join(f"device-{each}\n" for each in range(250)))
    calls = iter(range(1_000))
    original = Delivery.write

    def write(self: Delivery, *arguments: Any) -> None:
        if next(calls) == 120:
            raise KeyboardInterrupt
        original(self, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(Delivery, "write", write)
        assert batch(acme).status == 130
    assert len(files()) == 120
    assert batch(acme, "--json").json["issued"] == 130
    assert len(files()) == 250
    assert issued(store) <= 250 + 100, "at most one batch was issued for nobody"


@pytest.mark.parametrize("ending", ["all", "cut off"])
def test_directories_are_on_the_disk_once_for_many_files_and_before_anything_is_told(
    ending: str, acme: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("names").write_text("common_name\n" + "".join(f"device-{each}\n" for each in range(10)))
    happened: list[str] = []
    replace, sync, echo = os.replace, private_files._sync_directory, click.echo

    def replacing(source: Path, target: Path) -> None:
        if ending == "cut off" and target.name == "device-9.pem":
            raise OSError(28, "No space left on device")
        replace(source, target)
        happened.append("written")

    def syncing(path: Path) -> None:
        sync(path)
        happened.append(str(path))

    monkeypatch.setattr(private_files.os, "replace", replacing)
    monkeypatch.setattr(private_files, "_sync_directory", syncing)
    monkeypatch.setattr(click, "echo", lambda text: (happened.append("told"), echo(text)))
    monkeypatch.setattr("mtlskit.cli.batches._SYNCED_TOGETHER", 4)
    done = batch(acme, "--key-directory", "keys")
    assert done.status == (0 if ending == "all" else 2)
    synced = [each for each in happened if each in ("keys", "out")]
    assert sorted(synced) == ["keys"] * 3 + ["out"] * 3
    last = happened.index("told") if ending == "all" else len(happened)
    assert sorted(happened[last - 2 : last]) == ["keys", "out"]
    assert happened.count("written") == (20 if ending == "all" else 19)


def test_what_the_authority_refuses_is_told_by_its_line_and_the_others_go_on(acme: Command) -> None:
    assert acme("ca", "create", "Pay", "--for-clients-of", "pay.example").status == 0
    Path("names").write_text("common_name,dns\none,a.pay.example\ntwo,till.example\nthree,pay.example\n")
    done = batch(acme, "--ca", "Pay", "--json")
    assert (done.status, files()) == (1, ["one.pem", "three.pem"])
    document = json.loads(done.out)
    assert (document["issued"], document["refused"]) == (2, 1)
    assert (document["refusals"][0]["line"], document["refusals"][0]["name"]) == (3, "two")
    assert done.err.startswith("mtlskit: line 3 ('two'): name_constraints: ")
    assert done.err.count("\n") == 1


def test_only_the_first_refusals_are_in_the_document(acme: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "_MOST_TOLD", 3)
    acme("ca", "create", "Pay", "--for-clients-of", "pay.example")
    Path("names").write_text("common_name,dns\n" + "".join(f"device-{each},till.example\n" for each in range(9)))
    done = batch(acme, "--ca", "Pay", "--json")
    assert (json.loads(done.out)["refused"], len(json.loads(done.out)["refusals"]), done.err.count("\n")) == (9, 3, 9)


BAD = {
    "common_name\none\n\ud800\n": "line 3",
    "name\none\n": "line 2: expected columns among common_name, dns, uris, emails, ips, lifetime, got 'name'",
    "common_name,dns\none\n": "line 2: expected 2 cells, got another number",
    "common_name\none,two\n": "line 2: expected 1 cells, got another number",
    "common_name,uris\none,no-uri\n": "line 2: uri: ",
    "common_name\none\n\n   \n": "line 4: common_name",
    "common_name,uris\none,urn:a:1\n,\n": "line 3: subject: expected a common name or a subject alternative name",
    "common_name,lifetime\none,soon\n": "line 2: expected a time as '30d'",
    'common_name\n"one\n': "line 2: expected CSV",
    'common_name\n"one"x\n': "line 2: expected CSV",
    '{"common_name": "one"}\n[1]\n': "line 2: expected a JSON object",
    '{"common_name": "one"}\n{"common_name"\n': "line 2: expected a JSON object",
    '{"common_name": 1}\n': "line 1: common_name: expected a str",
    '{"uris": [1]}\n': "line 1: expected a text or several, got list",
    '{"uris": {"a": 1}}\n': "line 1: expected a text or several, got dict",
    '{"common_name": "one", "profile": "ca"}\n': "line 1: expected columns among",
    '{"common_name": "one", "lifetime": 30}\n': "line 1: expected a time as '30d'",
    "{" * 50_000: "line 1: expected a JSON object",
    "x" * 65_537: "line 1: expected at most 65536 characters",
}


@pytest.mark.parametrize("content", [*BAD], ids=[*BAD.values()])
def test_a_line_that_cannot_be_is_told_before_anything_is_issued(content: str, acme: Command, store: Store) -> None:
    Path("names").write_bytes(content.encode("utf-8", "surrogatepass"))
    said = BAD[content]
    batch(acme).refused("it is no text in UTF-8" if "\ud800" in content else said)
    assert issued(store) == 0
    assert not Path("out").exists()


@pytest.mark.parametrize("content", ["", "\n\n", "common_name\n"])
def test_no_names_are_no_certificates(content: str, acme: Command) -> None:
    Path("names").write_text(content)
    assert batch(acme).out == "out: 0 issued, 0 there already, 0 refused\n"


@pytest.mark.parametrize(("arguments", "said"), [
    (("--names-from", "none", "--directory", "out"), "'none'"),
    (("--names-from", "/dev/null", "--directory", "out"), "expected a file that can be read twice"),
    (("--names-from", ".", "--directory", "out"), "expected a file that can be read twice"),
    (("--names-from", "names"), "expected --names-from and --directory together"),
    (("--directory", "out"), "expected --names-from and --directory together"),
    (("name", "--names-from", "names", "--directory", "out"), "without a name and --out"),
    (("--dns", "a.example", "--names-from", "names", "--directory", "out"), "without a name and --out"),
    (("--names-from", "names", "--directory", "out", "--out", "x"), "without a name and --out"),
    (("--names-from", "names", "--directory", "no/out"), "expected a directory at 'no/out'"),
    (("--names-from", "names", "--directory", "names"), "expected a directory"),
    (("--names-from", "names", "--directory", "out", "--format", "pkcs12"), "expected --password-file"),
])  # fmt: skip
def test_a_batch_that_cannot_be_is_bad_input(
    arguments: tuple[str, ...], said: str, acme: Command, store: Store
) -> None:
    Path("names").write_text("common_name\none\n")
    acme("issue", "client", *arguments).refused(said)
    assert issued(store) == 0


def test_a_signer_that_fails_ends_the_run_and_the_next_one_goes_on(
    acme: Command, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("names").write_text("common_name\n" + "".join(f"device-{each}\n" for each in range(5)))

    def fail(self: object, content: bytes) -> bytes:
        raise Unavailable("expected an answer of the token, got DeviceError")

    with monkeypatch.context() as patch:
        patch.setattr("mtlskit.authority.assembly.Assembly.sign", fail)
        done = batch(acme)
    assert (done.status, done.out) == (2, "")
    assert done.err.splitlines()[-1] == "mtlskit: expected an answer of the token, got DeviceError"
    assert batch(acme, "--json").json["issued"] == 5
    assert len(CertificateAuthority.open("Acme", store=store).pending()) == 5


def test_a_bar_is_shown_on_a_terminal_alone(acme: Command) -> None:
    assert batches._progress().disable, "the tests' stderr is no terminal"
    reader, terminal = os.openpty()
    with open(terminal, "w") as stderr, pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.stderr", stderr)
        patch.setenv("TERM", "xterm")
        with batches._progress() as progress:
            progress.update(progress.add_task("issuing", total=7), completed=3)
            progress.refresh()
    shown = os.read(reader, 65_536).decode()
    os.close(reader)
    assert "issuing" in shown
    assert "3/7" in shown


@given(st.text(min_size=1, max_size=300), st.text(min_size=1, max_size=300))
@example(".hidden", "..")
@example("a/b", "a%2Fb")
@example("../etc/passwd", "/etc/passwd")
@example("x" * 250, "x" * 251)
def test_a_name_stays_in_the_directory_and_names_one_file(one: str, other: str) -> None:
    if any("\ud800" <= character <= "\udfff" for character in one + other):
        return
    delivery = Delivery(form=Form.PEM, password=None, existing=Existing.REFUSE)
    first, second = delivery.place(Path("out"), one), delivery.place(Path("out"), other, Path("out"))
    assert second.key is not None
    files = list(map(Path, (first.certificate, second.certificate, second.key)))
    for each in files:
        assert each.parent == Path("out")
        assert each.name[0] != "."
        assert len(each.name) <= 230
        assert each.name.isascii()
    assert (files[0] == files[1]) == (one == other)
    assert files[2] not in files[:2], "no name's key is in the place of another one's certificate"


def test_rows_are_read_as_they_are_needed(tmp_path: Path) -> None:
    path = tmp_path / "names"
    path.write_text('{"common_name": "one"}\nnot json\n')
    rows = read_rows(str(path))
    assert next(rows).name == "one"
    with pytest.raises(ConfigurationError, match="line 2"):
        next(rows)
