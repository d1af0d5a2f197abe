"""Eight processes issue, two revoke and four publish lists on one store: nothing is lost and no number comes twice."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mtlskit.authority import CertificateAuthority
from mtlskit.ports import Store
from mtlskit.stores import KeyEncryption, open_store
from mtlskit.stores.audit import verify_audit

KEY = bytes(range(32))
DRIVER = Path(__file__).with_name("process_driver.py")
ROLES = ["issue"] * 8 + ["revoke"] * 2 + ["publish"] * 4


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "postgres":
        return str(request.getfixturevalue("postgres_url"))
    return f"sqlite:///{tmp_path}/state.db"


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    opened = open_store(url, keys=KeyEncryption(KEY))
    yield opened
    opened.close()


def run(url: str, count: int) -> list[list[dict[str, Any]]]:
    """What each process said, in its order."""
    environment = {**os.environ, "MTLSKIT_KEY_ENCRYPTION_KEY": base64.b64encode(KEY).decode()}
    command = [sys.executable, str(DRIVER), url]
    processes = [
        subprocess.Popen(
            [*command, role, str(count)], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for role in ROLES
    ]
    try:
        said = [process.communicate(timeout=240) for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.wait()
    assert [error for _, error in said if error] == []
    return [[json.loads(line) for line in out.splitlines()] for out, _ in said]


def check(store: Store, url: str, count: int) -> None:
    authority = CertificateAuthority.create("Shared", store=store)
    said = run(url, count)
    lines = [line for process in said for line in process]
    assert len(lines) == count * len(ROLES)
    serials = [line["serial"] for line in lines if "serial" in line]
    assert len(set(serials)) == len(serials) == count * 10
    numbers = [[line["number"] for line in process if "number" in line] for process in said]
    assert all(each == sorted(each) for each in numbers)
    flat = sorted(number for each in numbers for number in each)
    assert flat == list(range(1, 4 * count + 1)), "each number once, and none is left out"
    assert authority.pending() == ()
    revoked = {line["serial"] for line in lines if line["role"] == "revoke"}
    assert {f"{entry.serial_number:x}" for entry in authority.crl()} == revoked
    # What is on a list stays on every list with a higher number.
    listed = {line["number"]: set(line["serials"]) for line in lines if "number" in line}
    for number in flat[1:]:
        assert listed[number - 1] <= listed[number]
    verify_audit(store)


def test_fourteen_processes(store: Store, url: str) -> None:
    check(store, url, 4)


@pytest.mark.slow
def test_fourteen_processes_for_longer(store: Store, url: str) -> None:
    check(store, url, 60)
