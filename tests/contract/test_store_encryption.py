"""Secrets at rest: which key opens them, where it comes from, and that it shows nowhere."""

from __future__ import annotations

import base64
import os
import pickle
import stat
from pathlib import Path

import pytest

from mtlskit.errors import ConfigurationError, StoreError
from mtlskit.stores import KeyEncryption, open_store
from mtlskit.stores.encryption import ENVIRONMENT_VARIABLE

KEY = bytes(range(32))
OTHER = bytes(32)


@pytest.fixture(autouse=True)
def _no_key_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(ENVIRONMENT_VARIABLE, raising=False)


def test_an_envelope_says_its_version_and_key() -> None:
    keys = KeyEncryption(KEY)
    sealed = keys.seal(b"secret", context="c")
    assert sealed[0] == 1
    assert sealed[1:9] == keys.key_id


def test_another_key_is_told_by_its_id_and_not_by_a_byte() -> None:
    sealed = KeyEncryption(KEY).seal(b"secret", context="c")
    with pytest.raises(StoreError, match=KeyEncryption(KEY).key_id.hex()) as raised:
        KeyEncryption(OTHER).unseal(sealed, context="c")
    assert KeyEncryption(OTHER).key_id.hex() in str(raised.value)


def test_a_previous_key_still_opens_what_it_sealed() -> None:
    sealed = KeyEncryption(KEY).seal(b"secret", context="c")
    rotated = KeyEncryption(OTHER, previous=[KEY])
    assert rotated.unseal(sealed, context="c") == b"secret"
    assert rotated.seal(b"", context="c")[1:9] == KeyEncryption(OTHER).key_id


@pytest.mark.parametrize("key", [b"", b"x" * 31, "text" * 8, bytearray(32)])
def test_a_key_is_32_bytes(key: bytes) -> None:
    with pytest.raises(ConfigurationError, match="32 bytes"):
        KeyEncryption(key)


@pytest.mark.invariant("I11")
def test_the_key_shows_in_no_repr_and_no_pickle() -> None:
    keys = KeyEncryption(KEY)
    assert KEY.hex() not in repr(keys)
    with pytest.raises(TypeError, match="pickle"):
        pickle.dumps(keys)


@pytest.mark.parametrize("text", ["", "not base64!", base64.b64encode(b"short").decode()])
def test_a_wrong_environment_is_told_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setenv(ENVIRONMENT_VARIABLE, text)
    with pytest.raises(ConfigurationError, match=ENVIRONMENT_VARIABLE):
        open_store(f"sqlite:///{tmp_path}/state.db")
    assert list(tmp_path.iterdir()) == []


def test_the_environment_s_key_is_used_and_no_file_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ENVIRONMENT_VARIABLE, base64.b64encode(KEY).decode())
    store = open_store(f"sqlite:///{tmp_path}/state.db")
    sealed = store.seal(b"secret", context="c")
    store.close()
    assert KeyEncryption(KEY).unseal(sealed, context="c") == b"secret"
    assert not (tmp_path / "state.db.key").exists()


@pytest.mark.invariant("I11")
def test_without_a_key_a_file_is_made_with_0600_and_said_so_without_the_key(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    before = os.umask(0)
    try:
        open_store(f"sqlite:///{tmp_path}/state.db").close()
        open_store(f"sqlite:///{tmp_path}/state.db").close()
    finally:
        os.umask(before)
    file = tmp_path / "state.db.key"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert sorted(path.name for path in tmp_path.iterdir()) == ["state.db", "state.db.key"]
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "state.db.key" in caplog.text
    assert file.read_text().strip() not in caplog.text


@pytest.mark.invariant("I11")
def test_the_modes_are_there_when_the_files_come_into_being(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fchmod", lambda descriptor, mode: None)
    before = os.umask(0)
    try:
        open_store(f"sqlite:///{tmp_path}/state.db").close()
    finally:
        os.umask(before)
    assert {stat.S_IMODE(file.stat().st_mode) for file in tmp_path.iterdir()} == {0o600}


def test_the_key_file_opens_what_an_earlier_process_sealed(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/state.db"
    first = open_store(url)
    sealed = first.seal(b"secret", context="c")
    first.close()
    second = open_store(url)
    assert second.unseal(sealed, context="c") == b"secret"
    second.close()


def test_a_lost_key_file_is_told_and_not_made_anew(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/state.db"
    open_store(url).close()
    (tmp_path / "state.db.key").unlink()
    store = open_store(url)
    with pytest.raises(StoreError, match="got neither"):
        store.seal(b"", context="c")
    store.close()
    assert not (tmp_path / "state.db.key").exists()


def test_a_key_of_another_database_seals_nothing_here(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/state.db"
    open_store(url, keys=KeyEncryption(KEY)).close()
    store = open_store(url, keys=KeyEncryption(OTHER))
    for attempt in (lambda: store.seal(b"", context="c"), lambda: store.unseal(b"", context="c")):
        with pytest.raises(StoreError, match=KeyEncryption(KEY).key_id.hex()):
            attempt()
    store.close()


def test_a_key_file_that_others_can_read_is_refused(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/state.db"
    open_store(url).close()
    (tmp_path / "state.db.key").chmod(0o640)
    store = open_store(url)
    with pytest.raises(ConfigurationError, match="0640"):
        store.seal(b"", context="c")
    store.close()


def test_a_key_file_with_something_else_in_it_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "state.db.key"
    file.write_bytes(b"not a key")
    file.chmod(0o600)
    with pytest.raises(ConfigurationError, match=r"state\.db\.key"):
        open_store(f"sqlite:///{tmp_path}/state.db")
    assert not (tmp_path / "state.db").exists()
