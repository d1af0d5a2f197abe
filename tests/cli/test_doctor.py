"""`doctor` shows bindings with the days that they have left, and touches nothing."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from mtlskit.authority import CertificateAuthority
from mtlskit.core.certificates import to_pem
from mtlskit.fetch import AuthorityUploads, CertificateUploads
from mtlskit.stores import open_store
from mtlskit.testing.certificates import Authority
from support.command_line import Command

ROOT = Authority.root()
NOW = datetime.now(UTC).replace(microsecond=0)
STORE = ("--store", "sqlite:///s.db")


def bound(days: float) -> None:
    """A store with an upload that ends in so many days, and a file that binds it."""
    store = open_store("sqlite:///s.db")
    start = NOW - timedelta(days=300)
    chain = ROOT.leaf("billing\x1b[31m", not_before=start, not_after=NOW + timedelta(days=days, hours=1))
    uploaded = CertificateUploads(store).upload(chain.to_pem())
    CertificateAuthority.create("Acme", store=store)
    store.close()
    Path("mtlskit.toml").write_text(
        f"""
        [bindings.BILLING]
        certificate_id = "{uploaded.id}"
        [bindings.GATEWAY]
        authority = "Acme"
        [environments.broken.bindings.A]
        certificate_id = "no-such"
        [environments.untrusted.trust]
        certificate_id = "no-such"
        """
    )


@pytest.mark.parametrize(("days", "urgency", "status"), [(100, "none", 0), (20, "month", 0), (5, "week", 1)])
def test_it_shows_bindings_and_what_of_the_store_ends(command: Command, days: int, urgency: str, status: int) -> None:
    bound(days)
    told = command("doctor", "mtlskit.toml", *STORE, "--json")
    document = json.loads(told.out)

    assert told.status == status
    assert [(each["binding"], each["urgency"]) for each in document["bindings"]] == [
        ("BILLING", urgency), ("GATEWAY", "none"),
    ]  # fmt: skip
    assert document["bindings"][0]["days_left"] == days
    assert len(document["endings"]) == (days < 30)
    told = command("doctor", "mtlskit.toml", *STORE)
    assert told.status == status
    assert "BILLING" in told.out
    assert "\x1b[31m" not in told.out


def test_it_issues_nothing(command: Command) -> None:
    bound(100)
    store = open_store("sqlite:///s.db")
    with store.snapshot() as snapshot:
        before = len(list(snapshot.scan_audit()))
    assert command("doctor", "mtlskit.toml", *STORE).status == 0
    with store.snapshot() as snapshot:
        assert len(list(snapshot.scan_audit())) == before
    store.close()


def test_without_a_file_it_shows_the_store(command: Command) -> None:
    bound(5)
    told = command("doctor", *STORE, "--json")
    document = json.loads(told.out)

    assert (told.status, document["bindings"], len(document["endings"])) == (1, [], 1)


def test_authorities_that_servers_are_trusted_by_are_told_of(command: Command) -> None:
    bound(100)
    store = open_store("sqlite:///s.db")
    soon = Authority.root("Partner\x1b[31m", not_after=NOW + timedelta(days=5))
    AuthorityUploads(store).upload(to_pem([soon.certificate]), name="partner")
    store.close()
    told = command("doctor", *STORE, "--json")
    (ending,) = json.loads(told.out)["endings"]

    assert (told.status, ending["what"], ending["name"]) == (1, "uploaded_ca", "partner")
    assert "\x1b[31m" not in command("doctor", *STORE).out


def test_what_cannot_be_bound_is_told(command: Command) -> None:
    bound(100)

    command("doctor", "mtlskit.toml", *STORE, "--environment", "broken").refused("no-such", "'A'")
    command("doctor", "mtlskit.toml", *STORE, "--environment", "untrusted").refused("no-such", "CA certificates")
    command("doctor", "missing.toml", *STORE).refused("missing.toml")
