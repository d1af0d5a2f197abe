"""`mtlskit policy`, and `explain` where a hostname has policies: what they say of clients, and files of policies."""

from __future__ import annotations

import io
import json
import sys
import tomllib
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from mtlskit.core.certificates import ClientIdentity, SigningChain, to_der, to_pem
from mtlskit.core.policy import AccessPolicy, RecordedRequest, policies_from_text
from mtlskit.core.request import RequestFacts
from mtlskit.core.rules import any_valid_certificate, common_name
from mtlskit.gate import Gate
from mtlskit.stores import open_store
from mtlskit.testing.certificates import CLIENT_AUTH, SERVER_AUTH, Authority
from support.command_line import Command, Done
from support.der import Fields, der_of, name

NOW = datetime.now(UTC).replace(microsecond=0)
HOST = "pay.acme.example"
ROOT = Authority.root("Devices root")
MIDDLE = ROOT.intermediate("Devices intermediate")
TILL = MIDDLE.leaf("till-17", sans=("dns:till.acme.example",), usages=(CLIENT_AUTH,))
KIOSK = MIDDLE.leaf("kiosk-3", usages=(CLIENT_AUTH,))
HOSTILE = MIDDLE.leaf("\x1b[31mred\u202eder", usages=(CLIENT_AUTH,))
SERVER = Authority.root("Other root").leaf(sans=(f"dns:{HOST}",), usages=(SERVER_AUTH,))
UNREADABLE = Fields.of(der_of(TILL.certificate)).but(subject=name(("2.5.4.3", 0x0C, b"\xff"))).sign(MIDDLE.key)
TILLS = {
    "name": "tills",
    "decision": "allow",
    "include": [{"common_name": {"common_name": {"prefix": "till-"}}}],
    "require": [{"path": {"path": {"prefix": "/pay"}}}, {"ip": {"ip": "192.0.2.0/24"}}],
}
EVERY = {"name": "every", "decision": "allow", "include": [{"certificate": {}}]}
FILES: dict[str, bytes] = {
    "till.pem": TILL.chain_pem(),
    "kiosk.pem": KIOSK.chain_pem(),
    "hostile.pem": HOSTILE.chain_pem(),
    "junk.der": to_der(TILL.certificate)[:-1],
    "unreadable.der": UNREADABLE,
    "root.pem": to_pem([ROOT.certificate]),
    "other.pem": to_pem([Authority.root("Others").certificate]),
    "tills.json": json.dumps({"policies": [TILLS]}).encode(),
    "tills.toml": b'[[policies]]\nname = "tills"\ndecision = "allow"\ninclude = [{common_name = {common_name = {prefix = '
    b'"till-"}}}]\nrequire = [{path = {path = {prefix = "/pay"}}}, {ip = {ip = "192.0.2.0/24"}}]\n',
    "every.json": json.dumps([EVERY]).encode(),
    "none.json": b"[]",
    "typo.json": json.dumps([TILLS, {**EVERY, "require": [{"emial": {"email": "a@b.example"}}]}]).encode(),
    "field.toml": b'[[policies]]\ndecision = "allow"\ninclude = [{certificate = {}}]\nexlude = []\n',
    "broken.json": b'{"policies": [',
    "tills.txt": b"",
}
REQUEST = ("--host", HOST, "--method", "POST", "--path", "/pay/1", "--client-address", "192.0.2.7")
TEST = ("policy", "test", "tills.json", "--cert", "till.pem", *REQUEST)


@pytest.fixture
def mtlskit(command: Command) -> Command:
    """As `command`, in a directory with the files of `FILES`."""
    for file, data in FILES.items():
        Path(file).write_bytes(data)
    return command


@pytest.fixture
def gate(mtlskit: Command) -> Iterator[Gate]:
    """The gate over the commands' store, in which `HOST` trusts the devices and has no policies."""
    store = open_store("sqlite:///mtlskit.db")
    with closing(store), closing(Gate(store)) as gate:
        gate.hostnames.add(HOST, trust=[ROOT.certificate], server=SERVER)
        yield gate


def answered(done: Done, status: int) -> Any:
    """The one document of a command whose answer has that exit status."""
    assert (done.status, done.err) == (status, ""), done
    return json.loads(done.out)


# --- test -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("file", ["tills.json", "tills.toml"])
def test_a_client_that_gets_in_is_shown_with_what_every_rule_saw(file: str, mtlskit: Command) -> None:
    done = mtlskit("policy", "test", file, "--cert", "till.pem", *REQUEST)
    assert (done.status, done.err) == (0, "")
    assert done.out.startswith(f"allow at {HOST}\n  subject: CN=till-17\n")
    assert "the certificate itself was not judged" in done.out
    assert "allow: policy at policies[0].include[0]\npolicies[0] 'tills': allow\n" in done.out
    assert 'require {"ip": {"ip": "192.0.2.0/24"}}: match, saw 192.0.2.7' in done.out


@pytest.mark.parametrize(("arguments", "cause", "path"), [
    (("--cert", "kiosk.pem", *REQUEST), "not_included", "policies[0].include"),
    (("--cert", "till.pem", *REQUEST, "--path", "/payroll"), "requirement_missing", "policies[0].require[0]"),
    (("--cert", "till.pem", *REQUEST, "--path", "/pay/../admin"), "requirement_missing", "policies[0].require[0]"),
    (("--cert", "till.pem", *REQUEST, "--client-address", "2001:db8::7"), "requirement_missing", "policies[0].require[1]"),
    (("--cert", "till.pem", "--host", HOST), "requirement_missing", "policies[0].require[0]"),
    (REQUEST, "no_certificate", ""),
])  # fmt: skip
def test_a_client_that_does_not_get_in_is_shown_where_it_failed(
    arguments: tuple[str, ...], cause: str, path: str, mtlskit: Command
) -> None:
    document = answered(mtlskit("policy", "test", "tills.json", *arguments, "--json"), 1)
    outcome = document["explanation"]["outcome"]
    assert (document["verdict"], outcome["decision"], outcome["cause"], outcome["path"]) == (
        "deny",
        "deny",
        cause,
        path,
    )
    told = mtlskit("policy", "test", "tills.json", *arguments)
    assert (told.status, told.err) == (1, "")
    assert told.out.startswith(f"deny at {HOST}\n")


def test_json_says_who_was_judged_by_what_and_when(mtlskit: Command) -> None:
    moment = NOW + timedelta(hours=1)
    document = answered(mtlskit(*TEST, "--ca", "root.pem", "--at", moment.isoformat(), "--json"), 0)
    assert document.pop("certificate")["subject"] == "CN=till-17"
    assert set(document.pop("explanation")) == {"outcome", "policies"}
    assert len(document.pop("anchor")) == 64
    assert document == {
        "verdict": "allow",
        "hostname": HOST,
        "moment": f"{moment:%Y-%m-%dT%H:%M:%SZ}",
        "certificate_judged": True,
    }
    assert answered(mtlskit(*TEST, "--json"), 0)["certificate_judged"] is False
    assert "not judged" not in mtlskit(*TEST, "--ca", "root.pem").out


@pytest.mark.parametrize(("arguments", "reason"), [
    (("--ca", "other.pem"), "unknown_issuer"), (("--ca", "root.pem", "--at", "2090-01-01T00:00:00Z"), "expired"),
])  # fmt: skip
def test_with_an_anchor_a_bad_certificate_is_refused_first(
    arguments: tuple[str, ...], reason: str, mtlskit: Command
) -> None:
    document = answered(mtlskit(*TEST, *arguments, "--json"), 1)
    assert (document["verdict"], document["reason"]) == ("refused", reason)
    assert mtlskit(*TEST, *arguments).out.startswith(f"refused: {reason}\n")


@pytest.mark.parametrize("rule", [{"anchor": {"id": "a"}}, {"not": {"anchor": {"id": "a"}}}])
def test_without_an_anchor_no_rule_is_certain_of_it(rule: dict[str, Any], mtlskit: Command) -> None:
    Path("anchor.json").write_text(json.dumps([{"decision": "allow", "include": [rule]}]))
    document = answered(mtlskit("policy", "test", "anchor.json", "--cert", "till.pem", *REQUEST, "--json"), 1)
    assert document["explanation"]["policies"][0]["include"][0]["match"] == "unknown"


def test_a_hostile_name_is_shown_escaped(mtlskit: Command) -> None:
    for rule in (
        {"common_name": {"common_name": "x"}},
        {"expression": {"text": 'cf.tls_client_auth.cert_subject_dn eq "x"'}},
    ):
        Path("who.json").write_text(json.dumps([{"name": "\x1b\u202e", "decision": "deny", "include": [rule]}]))
        for more in ((), ("--json",), ("--ca", "root.pem"), ("--ca", "root.pem", "--at", "2090-01-01T00:00:00Z")):
            done = mtlskit("policy", "test", "who.json", "--cert", "hostile.pem", *REQUEST, *more)
            assert (done.status, done.err) == (1, "")
            assert "red" in done.out
            assert not {"\x1b", "\u202e"} & set(done.out)


@pytest.mark.parametrize(("arguments", "parts"), [
    (("--path", "pay"), ("slash", "'pay'")),
    (("--path", "/pay?to=me"), ("query", "'/pay?to=me'")),
    (("--method", "G ET"), ("method", "'G ET'")),
    (("--method", ""), ("method",)),
    (("--client-address", "192.0.2.7:80"), ("address", "'192.0.2.7:80'")),
    (("--client-address", "till.example"), ("address",)),
    (("--host", f"{HOST}:443"), ("without a port", f"'{HOST}:443'")),
    (("--host", "192.0.2.1"), ("hostname",)),
    (("--host", ""), ("hostname",)),
    (("--at", "today"), ("RFC 3339", "'today'")),
    (("--cert", "missing.pem"), ("'missing.pem'",)),
    (("--cert", "junk.der"), ("certificate",)),
    (("--cert", "unreadable.der"), ("names can be read",)),
    (("--ca", "tills.json"), ("trust anchor", "'tills.json'")),
])  # fmt: skip
def test_what_no_request_has_is_one_clear_error(
    arguments: tuple[str, ...], parts: tuple[str, ...], mtlskit: Command
) -> None:
    mtlskit(*TEST, *arguments).refused(*parts)


def test_an_anchor_needs_a_certificate_to_judge(mtlskit: Command) -> None:
    mtlskit("policy", "test", "tills.json", *REQUEST, "--ca", "root.pem").refused("--cert")


# --- files ----------------------------------------------------------------------------------------------------------

READING: list[tuple[str, ...]] = [
    ("test", "--host", HOST), ("replay", "--requests", "r.jsonl"), ("convert", "--to", "json"), ("set", HOST),
]  # fmt: skip


@pytest.mark.parametrize("arguments", READING, ids=lambda each: each[0])
@pytest.mark.parametrize(("file", "parts"), [
    ("typo.json", ("policies[1].require[0].emial", "'typo.json'")),
    ("field.toml", ("policies[0].exlude", "'field.toml'")),
    ("broken.json", ("JSON", "'broken.json'")),
    ("missing.json", ("'missing.json'",)),
    ("tills.txt", ("--form", "'tills.txt'")),
    ("-", ("--form", "'-'")),
])  # fmt: skip
def test_a_file_that_is_wrong_is_told_by_its_path(
    arguments: tuple[str, ...], file: str, parts: tuple[str, ...], mtlskit: Command
) -> None:
    command, *others = arguments
    given = [*others, file] if command == "set" else [file, *others]
    mtlskit("policy", command, *given).refused(*parts)


def test_files_may_come_from_stdin(mtlskit: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    for form in ("json", "toml"):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(FILES[f"tills.{form}"])))
        assert mtlskit("policy", "test", "-", "--form", form, "--cert", "till.pem", *REQUEST).status == 0
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(recorded(KIOSK).to_json().encode())))
    assert mtlskit("policy", "replay", "tills.json", "--requests", "-").status == 1
    Path("named").write_bytes(FILES["tills.toml"])
    assert mtlskit("policy", "test", "named", "--form", "toml", "--cert", "till.pem", *REQUEST).status == 0


def test_convert_writes_the_other_form_and_back(mtlskit: Command) -> None:
    converted = mtlskit("policy", "convert", "tills.json", "--to", "toml")
    assert (converted.status, converted.err) == (0, "")
    Path("there.toml").write_text(converted.out)
    back = mtlskit("policy", "convert", "there.toml", "--to", "json").json
    assert back == mtlskit("policy", "convert", "tills.json", "--to", "json").json
    assert policies_from_text(json.dumps(back), "json") == (AccessPolicy.from_dict(TILLS),)
    document = mtlskit("policy", "convert", "tills.json", "--to", "toml", "--json").json
    assert document == {"form": "toml", "out": "-", "policies": 1, "content": converted.out}


def test_convert_writes_to_a_file_that_is_not_there_yet(mtlskit: Command) -> None:
    arguments = ("policy", "convert", "tills.json", "--to", "toml", "--out", "new.toml")
    assert mtlskit(*arguments).out == "new.toml: 1 policy\n"
    written = Path("new.toml").read_bytes()
    assert policies_from_text(written, "toml") == (AccessPolicy.from_dict(TILLS),)
    mtlskit(*arguments).refused("--replace", "'new.toml'")
    assert mtlskit(*arguments, "--replace", "--json").json["out"] == "new.toml"
    mtlskit("policy", "convert", "tills.json").refused("--to")


@pytest.mark.parametrize("form", ["json", "toml"])
def test_what_moves_a_cursor_is_written_as_an_escape_that_reads_back(form: str, mtlskit: Command) -> None:
    policy = {**EVERY, "name": "a\\\x1b\u202e\x9b\x7f\U000e0001\nü"}
    Path("odd.json").write_text(json.dumps([policy]))
    text = mtlskit("policy", "convert", "odd.json", "--to", form).out
    assert not {"\x1b", "\u202e", "\x9b", "\x7f", "\U000e0001"} & set(text)
    read: Callable[[str], Any] = tomllib.loads if form == "toml" else json.loads
    assert read(text)["policies"][0]["name"] == policy["name"]


def test_half_a_surrogate_pair_cannot_be_written_in_toml(mtlskit: Command) -> None:
    Path("half.json").write_text('[{"name": "\\ud800", "decision": "deny", "include": [{"everyone": {}}]}]')
    mtlskit("policy", "convert", "half.json", "--to", "toml").refused("TOML")
    assert mtlskit("policy", "convert", "half.json", "--to", "json").json["policies"][0]["name"] == "\ud800"


# --- replay ---------------------------------------------------------------------------------------------------------


def recorded(chain: SigningChain | None, *, allowed: bool = True, hours: int = 0, **facts: str) -> RecordedRequest:
    """A request to `HOST`, as a gate records it."""
    identity = chain and ClientIdentity.of(
        chain.certificate, hostname=HOST, anchor_id="a", issuers=[MIDDLE.certificate, ROOT.certificate]
    )
    moment = NOW + timedelta(hours=hours)
    return RecordedRequest(identity, RequestFacts(hostname=HOST, at=moment, **facts), allowed)  # type: ignore[arg-type]


def record(*requests: RecordedRequest) -> None:
    Path("r.jsonl").write_text("".join(f"{each.to_json()}\n" for each in requests))


def test_who_would_be_shut_out_and_who_let_in_is_listed(mtlskit: Command) -> None:
    record(
        recorded(TILL, method="GET", path="/x"),
        recorded(KIOSK, method="GET", path="/x", hours=1),
        recorded(KIOSK, method="PUT", path="/y", hours=2),
        recorded(None, allowed=False, method="GET", path="/z"),
        recorded(TILL, allowed=False, method="GET", path="/z"),
    )
    till = {**EVERY, "name": "one", "include": [{"common_name": {"common_name": "till-17"}}]}
    Path("till.json").write_text(json.dumps([till]))
    document = answered(mtlskit("policy", "replay", "till.json", "--requests", "r.jsonl", "--json"), 1)
    shut_out, let_in = document["shut_out"], document["let_in"]
    assert (document["requests"], shut_out["requests"], shut_out["clients"], let_in["requests"]) == (5, 2, 1, 1)
    (kiosk,) = shut_out["by_client"]
    assert kiosk.pop("client").startswith("CN=kiosk-3 (")
    assert kiosk.pop("sha256") == recorded(KIOSK).identity.fingerprint_sha256  # type: ignore[union-attr]
    assert kiosk == {
        "requests": 2, "hostname": HOST, "method": "GET", "path": "/x", "client_address": None,
        "at": f"{NOW + timedelta(hours=1):%Y-%m-%dT%H:%M:%SZ}",
        "last_at": f"{NOW + timedelta(hours=2):%Y-%m-%dT%H:%M:%SZ}",
        "outcomes": [{"cause": "not_included", "path": "policies[0].include", "policy": "one", "requests": 2}],
    }  # fmt: skip
    assert let_in["by_client"][0]["outcomes"][0]["path"] == "policies[0].include[0]"
    told = mtlskit("policy", "replay", "till.json", "--requests", "r.jsonl")
    assert (told.status, told.err) == (1, "")
    assert told.out.startswith("of 5 requests, 2 would be shut out and 1 let in\n")
    assert "not_included at policies[0].include 'one'" in told.out
    one = mtlskit("policy", "replay", "none.json", "--requests", "r.jsonl", "--most", "1", "--json")
    assert answered(one, 0)["let_in"]["left_out"] == 0


def test_nobody_shut_out_is_a_yes(mtlskit: Command) -> None:
    record(recorded(TILL), recorded(KIOSK, allowed=False))
    document = mtlskit("policy", "replay", "every.json", "--requests", "r.jsonl", "--json").json
    assert (document["shut_out"]["clients"], document["let_in"]["clients"]) == (0, 1)
    record()
    told = mtlskit("policy", "replay", "every.json", "--requests", "r.jsonl")
    assert (told.status, told.out) == (0, "of 0 requests, 0 would be shut out and 0 let in\n")


def test_each_client_is_one_row_however_many_its_requests(mtlskit: Command) -> None:
    line, other = (f"{recorded(each, path='/x').to_json()}\n" for each in (KIOSK, HOSTILE))
    Path("r.jsonl").write_text(line * 5_000 + other)
    document = answered(mtlskit("policy", "replay", "tills.json", "--requests", "r.jsonl", "--most", "1", "--json"), 1)
    assert document["shut_out"]["left_out"] == 1
    assert [each["requests"] for each in document["shut_out"]["by_client"]] == [5_000]
    assert document["requests"] == 5_001
    assert "and 1 more" in mtlskit("policy", "replay", "tills.json", "--requests", "r.jsonl", "--most", "1").out


def test_only_a_batch_of_requests_is_held_at_once(mtlskit: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    from mtlskit.cli import policy_replays

    sizes, replay = [], policy_replays.replay

    def watched(requests: Sequence[RecordedRequest], policies: Sequence[AccessPolicy]) -> Any:
        sizes.append(len(requests))
        return replay(requests, policies)

    monkeypatch.setattr(policy_replays, "replay", watched)
    monkeypatch.setattr(policy_replays, "_BATCH", 10)
    record(*[recorded(None, allowed=False)] * 25)
    assert mtlskit("policy", "replay", "every.json", "--requests", "r.jsonl", "--json").json["requests"] == 25
    assert sizes == [10, 10, 5]


def test_what_a_stranger_asked_for_is_shown_escaped(mtlskit: Command) -> None:
    record(recorded(HOSTILE, method="\x1b[1m", path="/\u202e\x9b"))
    for more in ((), ("--json",)):
        done = mtlskit("policy", "replay", "tills.json", "--requests", "r.jsonl", *more)
        assert (done.status, done.err) == (1, "")
        assert "\\u202e" in done.out
        assert not {"\x1b", "\u202e", "\x9b"} & set(done.out)


@pytest.mark.parametrize(("line", "part"), [
    (b"{", "recorded request"), (b"[]", "recorded request"), (b"\xff", "UTF-8"), (b"{}", "recorded request"),
    (b'{"at":null,"hostname":5,"method":null,"path":null,"client_address":null,"client":null,"allowed":true}', "TypeError"),
    (b'{"at":null,"hostname":"a","method":null,"path":null,"client_address":5,"client":null,"allowed":true}', "TypeError"),
    (b'{"at":null,"hostname":"a","method":null,"path":null,"client_address":null,"client":null,"allowed":"yes"}', "TypeError"),
    (b" " * (1024 * 1024 + 1), "at most"),
])  # fmt: skip
def test_a_line_that_cannot_be_used_is_told_by_its_number(line: bytes, part: str, mtlskit: Command) -> None:
    good = recorded(TILL).to_json().encode()
    Path("r.jsonl").write_bytes(good + b"\n\n" + line + b"\n" + good)
    mtlskit("policy", "replay", "every.json", "--requests", "r.jsonl").refused("'r.jsonl', line 3: ", part)


def test_recorded_requests_that_are_not_there_are_bad_input(mtlskit: Command) -> None:
    for file in ("missing.jsonl", ".", "a\0b"):
        mtlskit("policy", "replay", "every.json", "--requests", file).refused(repr(file))
    mtlskit("policy", "replay", "-", "--form", "json", "--requests", "-").refused("stdin")


# --- show, set and explain ------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("gate")
def test_policies_that_are_set_are_shown(mtlskit: Command) -> None:
    told = mtlskit("policy", "set", HOST.upper(), "tills.json")
    assert (told.status, told.out, told.err) == (0, f"{HOST}: 1 policy, mode enforce, version 2\n", "")
    shown = mtlskit("policy", "show", HOST, "--json").json
    policies = shown.pop("policies")
    assert shown == {"hostname": HOST, "version": 2, "mode": "enforce"}
    assert [AccessPolicy.from_dict(each) for each in policies] == [AccessPolicy.from_dict(TILLS)]
    for form in ("json", "toml"):
        text = mtlskit("policy", "show", HOST, "--to", form).out
        assert policies_from_text(text, form) == (AccessPolicy.from_dict(TILLS),)
    mtlskit("policy", "set", HOST, "none.json").refused("--open")
    assert "gets in" in mtlskit("policy", "set", HOST, "none.json", "--open").out


def test_monitor_mode_is_set_shown_and_told_by_explain(mtlskit: Command, gate: Gate) -> None:
    done = mtlskit("policy", "set", HOST, "tills.json", "--mode", "monitor", "--requester", "ann", "--json")
    assert done.json == {"hostname": HOST, "version": 2, "mode": "monitor", "policies": 1}
    assert mtlskit("policy", "set", HOST, "tills.toml", "--json").json["mode"] == "monitor"
    assert mtlskit("policy", "show", HOST, "--json").json["mode"] == "monitor"
    with gate.store.snapshot() as snapshot:
        rows = [row.details for row in snapshot.scan_audit() if row.event == "hostname.replaced"]
    assert rows[0]["requester"] == "ann"
    document = mtlskit("explain", HOST, "--cert", "kiosk.pem", "--json").json
    assert (document["verdict"], document["enforced"]) == ("allow", False)
    assert document["explanation"]["outcome"]["decision"] == "deny"
    assert "not enforced" in mtlskit("explain", HOST, "--cert", "kiosk.pem").out


@pytest.mark.usefixtures("gate")
def test_a_version_that_is_gone_changes_nothing(mtlskit: Command) -> None:
    assert mtlskit("policy", "set", HOST, "tills.json", "--version", "1").status == 0
    mtlskit("policy", "set", HOST, "every.json", "--version", "1").refused("1")
    assert mtlskit("policy", "show", HOST, "--json").json["policies"][0]["name"] == "tills"


@pytest.mark.usefixtures("gate")
@pytest.mark.parametrize("arguments", [
    ("show", "other.example"), ("set", "other.example", "tills.json"), ("show", f"{HOST}:443"),
    ("set", f"{HOST}:443", "tills.json"), ("set", HOST, "tills.json", "--mode", "off"),
    ("set", HOST, "tills.json", "--version", "0"), ("show", HOST, "--to", "toml", "--json"),
    ("show", HOST, "--store", "sqlite:///typo.db"), ("set", HOST, "tills.json", "--store", "sqlite:///typo.db"),
])  # fmt: skip
def test_what_cannot_be_shown_or_set_is_bad_input(arguments: tuple[str, ...], mtlskit: Command) -> None:
    mtlskit("policy", *arguments).refused()
    assert not Path("typo.db").exists()


def test_explain_shows_what_every_rule_saw_of_the_request(mtlskit: Command, gate: Gate) -> None:
    assert mtlskit("explain", HOST, "--cert", "till.pem", "--json").json["explanation"]["policies"] == []
    gate.hostnames.set_policies(HOST, [AccessPolicy.from_dict(TILLS)])
    request = REQUEST[2:]
    document = mtlskit("explain", HOST, "--cert", "till.pem", *request, "--json").json
    assert (document["verdict"], document["enforced"]) == ("allow", True)
    assert document["policy"] == "policy by policy 0 'tills'"
    assert document["explanation"]["policies"][0]["require"][0]["saw"] == "/pay/1"
    told = mtlskit("explain", HOST, "--cert", "till.pem", *request)
    assert (told.status, told.err) == (0, "")
    assert "allow: policy at policies[0].include[0]\npolicies[0] 'tills': allow\n" in told.out


@pytest.mark.parametrize(("arguments", "reason", "is_explained"), [
    (("--cert", "till.pem"), "policy_denied", True),
    (("--cert", "hostile.pem"), "policy_denied", True),
    (("--cert", "junk.der"), "malformed", False),
    ((), "no_certificate", False),
])  # fmt: skip
def test_explain_of_a_client_that_is_denied(
    arguments: tuple[str, ...], reason: str, is_explained: bool, mtlskit: Command, gate: Gate
) -> None:
    gate.hostnames.set_policies(HOST, [AccessPolicy.from_dict(TILLS)])
    done = mtlskit("explain", HOST, *arguments, "--path", "/other", "--json")
    document = answered(done, 1)
    assert (document["reason"], "explanation" in document) == (reason, is_explained)
    told = mtlskit("explain", HOST, *arguments, "--path", "/other")
    assert (told.status, told.err) == (1, "")
    assert ("policies[0] 'tills': allow" in told.out) is is_explained
    assert not {"\x1b", "\u202e"} & {*done.out, *told.out}


def test_explain_of_a_client_without_a_certificate_that_policies_are_asked_about(mtlskit: Command, gate: Gate) -> None:
    policies = [AccessPolicy(decision="allow", include=[any_valid_certificate()], exclude=[common_name("x")])]
    gate.hostnames.replace(HOST, trust=[ROOT.certificate], client_auth="optional", policies=policies)
    document = answered(mtlskit("explain", HOST, "--json"), 1)
    assert document["explanation"]["outcome"]["cause"] == "no_certificate"


@pytest.mark.parametrize("arguments", [("--path", "x"), ("--client-address", "x"), ("--method", "a b")])
def test_explain_takes_no_request_that_there_is_not(arguments: tuple[str, ...], mtlskit: Command) -> None:
    mtlskit("explain", HOST, *arguments).refused(repr(arguments[1]))
