"""`mtlskit expiry`: what stops working when; exit status 1 if something does."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pytest

from mtlskit.authority import CertificateAuthority
from mtlskit.gate import Gate
from mtlskit.ports import Store
from support.command_line import Command


def test_nothing_ends(acme: Command) -> None:
    done = acme("expiry")
    assert (done.status, done.err) == (0, "")
    assert done.out.startswith("nothing ends until ")
    document = acme("expiry", "--json").json
    assert (document["endings"], document["certificates"], document["left_out"]) == ([], [], 0)


def test_what_ends_is_told_with_its_moment_and_what_then_happens(acme: Command, store: Store) -> None:
    soon = CertificateAuthority.create("Soon", store=store, lifetime=timedelta(days=20))
    soon.issue_client("one", lifetime=timedelta(days=5))
    soon.issue_client("two", lifetime=timedelta(days=6))
    gate = Gate(store)
    gate.hostnames.add("pay.example", trust=[soon.certificate])
    gate.close()
    done = acme("expiry", "--json")
    document = json.loads(done.out)
    assert (done.status, done.err) == (1, "")
    assert {(each["what"], each["name"], each["subject"]) for each in document["endings"]} == {
        ("authority", "Soon G1 (active)", "CN=Soon G1"), ("last_anchor", "pay.example", "CN=Soon G1"),
    }  # fmt: skip
    assert [(each["authority"], each["count"]) for each in document["certificates"]] == [("Soon", 2)]
    told = acme("expiry")
    assert told.status == 1
    assert "no client certificate is good any more" in told.out
    assert "Soon: 2 certificates end without one that follows, from " in told.out
    assert acme("expiry", "--within", "4d").status == 0
    assert acme("expiry", "--within", "5h").status == 0
    few = acme("expiry", "--most", "1")
    assert "and 1 more" in few.out
    assert json.loads(acme("expiry", "--most", "1", "--json").out)["left_out"] == 1


def test_what_strangers_wrote_is_shown_escaped(acme: Command, store: Store) -> None:
    from mtlskit.testing.certificates import Authority

    gate = Gate(store)
    gate.hostnames.add("pay.example", trust=[Authority.root("\x1b[31mred\u202e").certificate])
    gate.close()
    done = acme("expiry", "--within", "60d")
    assert done.status == 1
    assert "\x1b[31m" not in done.out
    assert "\u202e" not in done.out


@pytest.mark.parametrize(("arguments", "said"), [
    (("--within", "30"), "expected a time as '30d'"),
    (("--within", "-1d"), "expected a time as '30d'"),
    (("--most", "0"), "0"),
    (("--store", "sqlite:///no.db"), "expected a store that is there"),
])  # fmt: skip
def test_bad_input(arguments: tuple[str, ...], said: str, acme: Command) -> None:
    acme("expiry", *arguments).refused(said)
    assert not Path("no.db").exists()
