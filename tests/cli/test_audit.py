"""`mtlskit audit`: a changed row, a missing one and a cut-off tail are found, and the first bad row is named."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from mtlskit.authority import CertificateAuthority
from mtlskit.errors import Unavailable
from mtlskit.ports import Store
from mtlskit.stores import SQLiteStore, open_store
from mtlskit.stores.audit import next_row, verify_audit
from support.command_line import Command

ROWS = 12


@pytest.fixture
def log(command: Command) -> Command:
    """As `command`, with a store whose log has `ROWS` rows."""
    store = open_store("sqlite:///mtlskit.db")
    for number in range(ROWS):
        with store.transaction() as transaction:
            event = "crl.signed" if number % 3 else "hostname.removed"
            transaction.append_audit(event, {"number": str(number)})
    store.close()
    return command


def tamper(*statements: str) -> None:
    """Changes the database past the store, and past the triggers that keep others from it."""
    with sqlite3.connect("mtlskit.db") as raw:
        raw.execute("DROP TRIGGER audit_is_append_only_u")
        raw.execute("DROP TRIGGER audit_is_append_only_d")
        for statement in statements:
            raw.execute(statement)
    raw.close()


def verdict(log: Command, *arguments: str) -> Any:
    """What `audit verify` says of a log that is not whole."""
    done = log("audit", "verify", "--json", *arguments)
    assert (done.status, done.err) == (1, "")
    told = log("audit", "verify", *arguments)
    document = json.loads(done.out)
    assert told.out.startswith(f"the log is not whole: row {document['row_at_fault']} is at fault (")
    assert document["whole"] is False
    return document


def test_a_log_that_is_whole(log: Command) -> None:
    document = log("audit", "verify", "--json").json
    assert (document["whole"], document["rows"], document["row_at_fault"], document["problem"]) == (
        True,
        ROWS,
        None,
        None,
    )
    told = log("audit", "verify")
    assert (told.status, told.out) == (0, f"the log is whole: {ROWS} rows, head {document['head']}\n")


def test_an_empty_log_is_whole(command: Command) -> None:
    open_store("sqlite:///mtlskit.db").close()
    assert command("audit", "verify").out == "the log is whole: 0 rows, head none\n"
    assert command("audit", "head").out == ""
    assert command("audit", "head", "--json").json == {"rows": 0, "head": None, "recorded_at": None}
    assert command("audit", "list", "--json").json == []


@pytest.mark.parametrize("change", [
    "details = '{\"number\":\"99\"}'", "event = 'nothing.done'", "recorded_at = '2020-01-01T00:00:00.000+00:00'",
    "recorded_at = 'long ago'", "hash = zeroblob(32)", "hash = 'text'", "previous_hash = x'0102'",
    "details = 'no json'", "details = '[1]'", "details = '{\"number\":7}'", "details = x'ff'", "event = NULL OR 1",
])  # fmt: skip
@pytest.mark.parametrize("row", [1, 5, ROWS])
def test_a_changed_row_is_named(change: str, row: int, log: Command) -> None:
    tamper(f"UPDATE audit SET {change} WHERE sequence = {row}")
    document = verdict(log)
    assert (document["row_at_fault"], document["rows"]) == (row, row - 1)


@pytest.mark.parametrize("row", [1, 5, ROWS - 1])
def test_a_missing_row_is_named(row: int, log: Command) -> None:
    tamper(f"DELETE FROM audit WHERE sequence = {row}")
    assert verdict(log)["row_at_fault"] == row


def test_a_row_that_was_put_in_is_named(log: Command) -> None:
    tamper(
        "UPDATE audit SET sequence = sequence + 100 WHERE sequence > 9",
        "UPDATE audit SET sequence = sequence - 99 WHERE sequence > 100",
        "INSERT INTO audit SELECT 10, recorded_at, event, details, previous_hash, hash FROM audit WHERE sequence = 9",
    )
    assert verdict(log)["row_at_fault"] == 10


@pytest.mark.parametrize("page", [1, 4, 12, 13])
def test_faults_are_found_whatever_a_page_holds(page: int, log: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mtlskit.cli.audit._PAGE", page)
    assert log("audit", "verify", "--json").json["rows"] == ROWS
    assert len(log("audit", "list", "--json").json) == ROWS
    tamper("DELETE FROM audit WHERE sequence = 5")
    assert verdict(log)["row_at_fault"] == 5


# --- the head -------------------------------------------------------------------------------------------------------


def test_a_cut_off_tail_shows_against_a_head_that_was_noted(log: Command) -> None:
    head = log("audit", "head").out.strip()
    assert log("audit", "head", "--json").json["head"] == head
    assert log("audit", "verify", "--head", head).status == 0
    tamper(f"DELETE FROM audit WHERE sequence > {ROWS - 3}")
    assert log("audit", "verify").status == 0, "by itself the rest is whole"
    document = verdict(log, "--head", head)
    assert (document["row_at_fault"], document["rows"]) == (ROWS - 2, ROWS - 3)


def test_a_log_that_was_written_anew_shows_against_a_head(log: Command) -> None:
    head = log("audit", "head").out.strip()
    tamper("DELETE FROM audit WHERE sequence > 3")
    with sqlite3.connect("mtlskit.db") as raw:
        for number in range(20):  # whoever can write to the database can make a chain that is whole by itself
            last = raw.execute("SELECT sequence, hash FROM audit ORDER BY sequence DESC LIMIT 1").fetchone()
            row, details = next_row(last, "thing.forged", {"number": str(number)})
            raw.execute(
                "INSERT INTO audit VALUES (?, ?, ?, ?, ?, ?)",
                (row.sequence, row.recorded_at, row.event, details, row.previous_hash, row.hash),
            )
    raw.close()
    assert log("audit", "verify").status == 0
    assert verdict(log, "--head", head)["row_at_fault"] == ROWS


def test_a_log_that_went_on_has_the_old_head(log: Command) -> None:
    head = log("audit", "head").out.strip()
    assert log("ca", "create", "Acme").status == 0
    assert log("audit", "verify", "--head", head, "--json").json["rows"] == ROWS + 1


@pytest.mark.parametrize(
    "head", ["", "12", "12:", "0:" + "00" * 32, "1:" + "0" * 63, "-1:" + "00" * 32, "1:" + "zz" * 32]
)
def test_a_head_that_is_none_is_bad_input(head: str, log: Command) -> None:
    log("audit", "verify", "--head", head).refused("expected a head as `audit head` prints it")


def test_the_head_of_a_log_that_is_not_whole_is_refused(log: Command) -> None:
    tamper("DELETE FROM audit WHERE sequence = 5")
    log("audit", "head").refused("expected audit row 5 after 4")


# --- list -----------------------------------------------------------------------------------------------------------


def test_rows_are_listed_by_event_and_time(log: Command) -> None:
    rows = log("audit", "list", "--json").json
    assert [row["details"]["number"] for row in rows] == [str(number) for number in range(ROWS)]
    assert [row["sequence"] for row in log("audit", "list", "--event", "hostname.removed", "--json").json] == [
        1,
        4,
        7,
        10,
    ]
    assert len(log("audit", "list", "--event", "crl.", "--event", "hostname.removed", "--json").json) == ROWS
    assert log("audit", "list", "--event", "crl.numbered", "--json").json == []
    first = log("audit", "list").out.splitlines()[0]
    assert first == f'1 {rows[0]["recorded_at"]} hostname.removed number="0"'
    later = f"{datetime.now(UTC) + timedelta(hours=1):%Y-%m-%dT%H:%M:%SZ}"
    assert log("audit", "list", "--since", later, "--json").json == []
    assert len(log("audit", "list", "--since", "2020-01-01T00:00:00+01:00", "--json").json) == ROWS
    log("audit", "list", "--since", "yesterday").refused("expected a moment as 2026-03-01T12:00:00Z")


@pytest.mark.parametrize("event", ["bogus", "crl", "crl.bogus", "bogus.", ".", "", "certificate.issued "])
def test_an_event_that_no_row_can_have_is_refused(event: str, log: Command) -> None:
    log("audit", "list", "--event", "crl.", "--event", event).refused("expected an event among authority.created, ")


def test_a_date_alone_begins_at_midnight_in_utc(log: Command) -> None:
    tamper("UPDATE audit SET recorded_at = '2026-11-21T23:59:59.999+00:00' WHERE sequence < 4")
    tampered = "UPDATE audit SET recorded_at = '2026-11-22T00:00:00.000+00:00' WHERE sequence >= 4"
    with sqlite3.connect("mtlskit.db") as raw:
        raw.execute(tampered)
    raw.close()
    assert log("audit", "list", "--since", "2026-11-22", "--json").json[0]["sequence"] == 4
    assert log("audit", "list", "--since", "2026-11-23", "--json").json == []
    for text in ("2026-11-32", "2026-1-2", "20261122", "2026-11-22T10:00"):
        log("audit", "list", "--since", text).refused("expected a moment as 2026-03-01T12:00:00Z")


def test_rows_are_listed_by_serial_number_and_authority(store: Store, acme: Command) -> None:
    authority = CertificateAuthority.open("Acme", store=store)
    other = CertificateAuthority.create("Other", store=store)
    device = authority.issue_client("device")
    other.issue_client("device")
    authority.revoke(device)
    serial = f"{device.serial_number:x}"
    for notation in (serial, serial.upper(), f"decimal:{device.serial_number}", f"0x{serial}"):
        rows = acme("audit", "list", "--serial", notation, "--json").json
        assert [row["event"] for row in rows] == ["certificate.reserved", "certificate.issued", "certificate.revoked"]
    assert {row["details"]["authority"] for row in acme("audit", "list", "--authority", "Other", "--json").json} == {
        "Other"
    }
    wanted = ("--authority", "Acme", "--serial", serial, "--event", "certificate.revoked")
    assert len(acme("audit", "list", *wanted, "--json").json) == 1
    assert acme("audit", "list", "--authority", "Other", "--serial", serial, "--json").json == []
    acme("audit", "list", "--authority", "Nobody").refused("unknown name 'Nobody'")
    acme("audit", "list", "--serial", "xyz").refused("serial: expected")


def test_what_strangers_wrote_moves_no_cursor(log: Command) -> None:
    store = open_store("sqlite:///mtlskit.db")
    with store.transaction() as transaction:
        transaction.append_audit("thing.done", {"subject": "CN=\x1b[31mred\u202e"})
    store.close()
    last = log("audit", "list").out.splitlines()[-1]
    assert last.endswith('subject="CN=\\u001b[31mred\\u202e"')


def test_a_row_that_cannot_be_read_ends_the_list(log: Command) -> None:
    tamper("UPDATE audit SET details = 'no json' WHERE sequence = 5")
    done = log("audit", "list")
    assert (done.status, len(done.out.splitlines())) == (2, 4)
    assert done.err == "mtlskit: expected a readable audit row after 4, got another\n"


def test_a_store_that_does_not_answer_is_no_verdict(log: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: object) -> None:
        raise Unavailable("expected an answer, got none")

    monkeypatch.setattr(SQLiteStore, "snapshot", fail)
    for name in ("verify", "head", "list"):
        log("audit", name).refused("expected an answer, got none")


@pytest.mark.parametrize("name", ["verify", "head", "list"])
def test_to_look_makes_no_store(name: str, command: Command) -> None:
    command("audit", name).refused("expected a store that is there")
    assert list(Path().iterdir()) == []


def test_a_reader_who_has_had_enough_is_no_error(store: Store) -> None:
    acme = CertificateAuthority.open("Acme", store=store)
    with store.transaction() as transaction:
        for number in range(5_000):
            transaction.append_audit("thing.done", {"number": str(number)})
    verify_audit(store)
    assert acme.name == "Acme"
    code = "import sys; from mtlskit.cli import main; sys.exit(main())"
    child = subprocess.Popen(
        [sys.executable, "-c", code, "audit", "list"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    assert child.stderr is not None
    assert child.stdout.readline().startswith("1 ")
    child.stdout.close()
    assert child.stderr.read() == ""
    child.stderr.close()
    assert child.wait(60) == 1
