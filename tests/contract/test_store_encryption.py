"""Secrets at rest: which key opens them, where it comes from, and that it shows nowhere."""

from __future__ import annotations

import base64
import os
import pickle
import stat
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from mtlskit.errors import ConfigurationError, StoreError, Unavailable
from mtlskit.stores import KeyEncryption, open_store
from mtlskit.stores.encryption import ENVIRONMENT_VARIABLE, PREVIOUS_VARIABLE
from support.exposure import exposed

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


def provided(answer: Any) -> Any:
    def provider() -> Any:
        if isinstance(answer, Exception):
            raise answer
        return answer

    return provider


@pytest.mark.parametrize("answer", [KEY, KeyEncryption(KEY)], ids=["bytes", "keys"])
def test_a_callable_gives_the_key_and_is_asked_once(tmp_path: Path, answer: Any) -> None:
    asked: list[object] = []

    def provider() -> Any:
        asked.append(None)
        return answer

    with closing(open_store(f"sqlite:///{tmp_path}/state.db", keys=provider)) as store:
        sealed = store.seal(b"secret", context="c")
        assert store.unseal(sealed, context="c") == b"secret"
    assert len(asked) == 1
    assert KeyEncryption(KEY).unseal(sealed, context="c") == b"secret"
    assert not (tmp_path / "state.db.key").exists()


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        (provided(b"short"), "expected a key-encryption key of 32 bytes"),
        (provided("text"), "expected a key-encryption key of 32 bytes"),
        (provided(None), "expected a key-encryption key of 32 bytes"),
        (provided(OSError("SECRET")), "expected a key-encryption key from its provider, got OSError"),
        (b"bytes", "expected a KeyEncryption or a callable that gives one as keys, got bytes"),
    ],
)
def test_what_gives_no_key_opens_nothing(tmp_path: Path, keys: Any, words: str) -> None:
    with pytest.raises((ConfigurationError, Unavailable), match=words) as caught:
        open_store(f"sqlite:///{tmp_path}/state.db", keys=keys)
    assert list(tmp_path.iterdir()) == []
    assert exposed(caught.value, "SECRET", "short") == []


def test_a_key_file_of_one_s_own_choice(tmp_path: Path) -> None:
    path = tmp_path / "kek"
    path.write_bytes(base64.b64encode(KEY) + b"\n")
    path.chmod(0o600)
    assert KeyEncryption.from_file(path).key_id == KeyEncryption(KEY).key_id
    path.chmod(0o640)
    with pytest.raises(ConfigurationError, match="with mode 0600, got 0640"):
        KeyEncryption.from_file(str(path))
    with pytest.raises(Unavailable, match="expected a readable key file"):
        KeyEncryption.from_file(tmp_path / "none")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_key_file_that_somebody_else_made_is_refused(tmp_path: Path) -> None:
    """He may know what is in it: in a directory where anybody can make files he only has to be first."""
    path = tmp_path / "state.db.key"
    path.write_bytes(base64.b64encode(KEY))
    path.chmod(0o600)
    os.chown(path, 12345, -1)
    with pytest.raises(ConfigurationError, match="expected a key file of our own"):
        open_store(f"sqlite:///{tmp_path}/state.db")
    assert not (tmp_path / "state.db").exists()


def test_older_keys_in_the_environment_open_what_they_sealed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old, older = bytes(32), bytes([7]) * 32
    monkeypatch.setenv(ENVIRONMENT_VARIABLE, base64.b64encode(KEY).decode())
    monkeypatch.setenv(PREVIOUS_VARIABLE, " ".join(base64.b64encode(each).decode() for each in (old, older)))
    found = KeyEncryption.from_environment()
    assert found is not None
    assert found.key_id == KeyEncryption(KEY).key_id
    for each in (KEY, old, older):
        assert found.unseal(KeyEncryption(each).seal(b"secret", context="c"), context="c") == b"secret"
    monkeypatch.setenv(PREVIOUS_VARIABLE, "SECRETkey")
    with pytest.raises(ConfigurationError, match=f"in {PREVIOUS_VARIABLE}, got something else") as caught:
        KeyEncryption.from_environment()
    assert exposed(caught.value, "SECRETkey") == []


@pytest.mark.invariant(11)
@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_no_traceback_has_a_key(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as caught:
        KeyEncryption(b"SECRET-bytes")
    assert exposed(caught.value, b"SECRET-bytes") == []
    with pytest.raises(ConfigurationError) as caught:
        KeyEncryption.from_base64("SECRET-text", source="a test")
    assert exposed(caught.value, "SECRET-text") == []
    url = f"sqlite:///{tmp_path}/state.db" if kind == "sqlite" else str(request.getfixturevalue("postgres_url"))
    open_store(url, keys=KeyEncryption(KEY)).close()
    with closing(open_store(url, keys=KeyEncryption(bytes(32)))) as store:
        with pytest.raises(StoreError) as wrong:
            store.seal(b"SECRET-key", context="c")
        assert exposed(wrong.value, b"SECRET-key") == []
