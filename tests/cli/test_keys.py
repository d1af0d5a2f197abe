"""`mtlskit keys`: the key-encryption key of a store, counted and rotated; it comes from files and the environment."""

from __future__ import annotations

import base64
import os
import stat
from pathlib import Path

import pytest

from mtlskit.authority import CertificateAuthority
from mtlskit.ports import Store
from mtlskit.stores import KeyEncryption, open_store
from support.command_line import Command

NEW, OTHER = (bytes([each]) * 32 for each in (1, 2))
CURRENT, PREVIOUS = "MTLSKIT_KEY_ENCRYPTION_KEY", "MTLSKIT_PREVIOUS_KEY_ENCRYPTION_KEYS"


def text(key: bytes) -> str:
    return base64.b64encode(key).decode()


def key_id(key: bytes) -> str:
    return KeyEncryption(key).key_id.hex()


def file(name: str, key: bytes, mode: int = 0o600) -> str:
    path = Path(name)
    path.write_text(text(key) + "\n")
    path.chmod(mode)
    return name


@pytest.fixture(autouse=True)
def no_previous(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(PREVIOUS, raising=False)


def test_a_key_is_made_for_its_owner_alone(command: Command) -> None:
    document = command("keys", "new", "--out", "key", "--json").json
    key = base64.b64decode(Path("key").read_text())
    assert stat.S_IMODE(Path("key").stat().st_mode) == 0o600
    assert (len(key), document) == (32, {"key_id": key_id(key), "file": "key"})
    command("keys", "new", "--out", "key").refused("not there yet")
    command("keys", "new", "--out", "-", "--json").refused("expected a file for the key with --json")
    shown = command("keys", "new", "--out", "-").out
    assert len(base64.b64decode(shown)) == 32
    assert base64.b64decode(shown) != key
    command("keys", "new").refused("--out")


def test_what_is_sealed_is_counted_with_and_without_the_key(acme: Command, store: Store) -> None:
    old = base64.b64decode(Path("mtlskit.db.key").read_text())
    document = acme("keys", "status", "--json").json
    kind = {"kind": "authority-key", "what": "authorities' keys", "key_id": key_id(old), "count": 1}
    assert document == {"key_in_use": key_id(old), "sealed": [kind]}
    assert f"in use: {key_id(old)}" in acme("keys", "status").out
    Path("mtlskit.db.key").rename("elsewhere")
    assert acme("keys", "status", "--json").json == {"key_in_use": None, "sealed": [kind]}
    assert "in use: none" in acme("keys", "status").out
    assert acme("keys", "status", "--key-file", "elsewhere", "--json").json["key_in_use"] == key_id(old)


def test_everything_is_resealed_from_file_to_file(acme: Command) -> None:
    file("next", NEW)
    arguments = ("keys", "reseal", "--key-file", "next", "--previous-file", "mtlskit.db.key")
    assert acme(*arguments).out == f"sealed 1 under {key_id(NEW)}\n"
    again = acme(*arguments, "--json").json
    assert again == {
        "key_id": key_id(NEW), "resealed": {"authority-key": 0, "hostname": 0, "client-certificate": 0}, "left": [],
    }  # fmt: skip
    old = base64.b64decode(Path("mtlskit.db.key").read_text())
    both = open_store("sqlite:///mtlskit.db", keys=KeyEncryption(NEW, previous=[old]))
    assert CertificateAuthority.open("Acme", store=both).issue_client("device")
    both.close()


def test_afterwards_the_new_key_file_takes_the_place_of_the_old_one(acme: Command) -> None:
    file("next", NEW)
    assert acme("keys", "reseal", "--key-file", "next", "--previous-file", "mtlskit.db.key").status == 0
    os.replace("next", "mtlskit.db.key")
    assert acme("keys", "status", "--json").json["key_in_use"] == key_id(NEW)
    assert acme("issue", "client", "device", "--out", "device.pem").status == 0


def test_everything_is_resealed_from_environment_to_environment(acme: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PREVIOUS, f"{text(OTHER)}\n {Path('mtlskit.db.key').read_text()}")
    monkeypatch.setenv(CURRENT, text(NEW))
    assert acme("keys", "reseal").out == f"sealed 1 under {key_id(NEW)}\n"


def test_what_is_left_is_told_and_status_one(acme: Command, store: Store) -> None:
    with store.transaction() as transaction:
        transaction.insert("authority-key", "", "11" * 32, KeyEncryption(OTHER).seal(b"secret", context="x"))
        transaction.insert("authority-key", "", "22" * 32, b"no envelope")
    file("next", NEW)
    done = acme("keys", "reseal", "--key-file", "next", "--previous-file", "mtlskit.db.key")
    assert done.status == 1
    assert done.out.splitlines() == [
        f"sealed 1 under {key_id(NEW)}", "left: 1 of authorities' keys under (unreadable)",
        f"left: 1 of authorities' keys under {key_id(OTHER)}",
    ]  # fmt: skip


@pytest.mark.parametrize(("arguments", "said"), [
    (("reseal",), f"expected the new key in {CURRENT} or --key-file, got neither"),
    (("reseal", "--key-file", "none"), "'none'"),
    (("reseal", "--key-file", "open"), "expected the key file 'open' with mode 0600, got 0644"),
    (("reseal", "--key-file", "short"), "expected 32 bytes in base64 in 'short'"),
    (("reseal", "--key-file", "text"), "expected 32 bytes in base64 in 'text'"),
    (("reseal", "--key-file", "next"), "expected the key-encryption key with the id"),
    (("reseal", "--key-file", "next", "--previous-file", "open"), "with mode 0600"),
    (("reseal", "--key-file", "next", "--store", "sqlite:///no.db"), "expected a store that is there"),
    (("status", "--key-file", "open"), "with mode 0600"),
    (("status", "--store", "sqlite:///no.db"), "expected a store that is there"),
])  # fmt: skip
def test_keys_that_cannot_be_used_are_bad_input(arguments: tuple[str, ...], said: str, acme: Command) -> None:
    file("next", NEW)
    file("open", OTHER, 0o644)
    file("short", bytes(31))
    Path("text").write_text("no key at all, and not base64 either")
    Path("text").chmod(0o600)
    before = acme("keys", "status", "--json").json
    done = acme("keys", *arguments)
    done.refused(said)
    assert text(OTHER) not in done.err
    assert acme("keys", "status", "--json").json == before


@pytest.mark.parametrize(
    ("name", "value"), [(CURRENT, "no key"), (PREVIOUS, f"{text(OTHER)} no"), (PREVIOUS, text(bytes(16)))]
)
def test_a_key_in_the_environment_that_is_none(
    name: str, value: str, acme: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(CURRENT, text(NEW))
    monkeypatch.setenv(name, value)
    acme("keys", "reseal").refused(f"expected 32 bytes in base64 in {name}, got something else")
