"""No octet of a private key shows (I11): not in a traceback with its locals, a log, a repr, a pickle, another file."""

from __future__ import annotations

import copy
import logging
import os
import pickle
import stat
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from mtlskit.authority import CertificateAuthority, CertificateOrder, IssuedCertificate, KeySigner, files
from mtlskit.authority.files import Secret
from mtlskit.errors import ConfigurationError, IssuanceError, MTLSError, Unavailable
from mtlskit.ports import Store
from mtlskit.stores import open_store
from support.exposure import exposed

pytestmark = pytest.mark.invariant("I11")


def forms(key: Any) -> list[str]:
    """The key in every form in which it could show."""
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    scalar = key.private_numbers().private_value
    octets = scalar.to_bytes(32, "big")
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    return [str(scalar), octets.hex(), octets.hex().upper(), repr(octets)[2:-1], *pem.splitlines()[1:-1]]


def shown(error: BaseException) -> str:
    """All that a report of the error would say, the locals of every frame among it."""
    return "".join(traceback.TracebackException.from_exception(error, capture_locals=True).format())


def assert_hidden(text: str, *keys: Any) -> None:
    for key in keys:
        for form in forms(key):
            assert form not in text
    assert "PRIVATE KEY" not in text


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The keys that are made from now on."""
    original, keys = ec.generate_private_key, []

    def generate(curve: Any) -> Any:
        keys.append(original(curve))
        return keys[-1]

    monkeypatch.setattr(ec, "generate_private_key", generate)
    return keys


@pytest.fixture
def device() -> IssuedCertificate:
    return CertificateAuthority.create("Acme", store=open_store("memory://")).issue_client("device-17")


def no_disk(*_: object) -> None:
    raise OSError(28, "No space left on device")


PASSWORD = b"correct horse"
SAVES: dict[str, Callable[[IssuedCertificate, Path], object]] = {
    "save": lambda device, path: device.save(path / "a.pem"),
    "save_encrypted": lambda device, path: device.save(path / "a.pem", password=PASSWORD),
    "save_pkcs12": lambda device, path: device.save_pkcs12(path / "a.p12", password=PASSWORD),
    "save_pair": lambda device, path: device.save_pair(path / "a.pem", path / "a.key"),
    "save_pair_encrypted": lambda device, path: device.save_pair(path / "a.pem", path / "a.key", password=PASSWORD),
    "save_der": lambda device, path: device.save_der(path / "a.cer", path / "a.key"),
    "save_der_encrypted": lambda device, path: device.save_der(path / "a.cer", path / "a.key", password=PASSWORD),
}


@pytest.mark.parametrize("save", SAVES)
@pytest.mark.parametrize("step", ["fsync", "fchmod", "replace", "open"])
def test_a_file_that_cannot_be_written_shows_no_key(
    tmp_path: Path, device: IssuedCertificate, monkeypatch: pytest.MonkeyPatch, save: str, step: str
) -> None:
    monkeypatch.setattr(files.os, step, no_disk)
    with pytest.raises(ConfigurationError, match="No space left") as failed:
        SAVES[save](device, tmp_path)
    monkeypatch.undo()
    assert_hidden(shown(failed.value), device.private_key)
    assert exposed(failed.value, PASSWORD) == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("save", SAVES)
def test_what_goes_wrong_unforeseen_shows_no_key_either(
    tmp_path: Path, device: IssuedCertificate, monkeypatch: pytest.MonkeyPatch, save: str
) -> None:
    monkeypatch.setattr(files.os, "fsync", lambda _: 1 / 0)
    with pytest.raises(ZeroDivisionError) as failed:
        SAVES[save](device, tmp_path)
    monkeypatch.undo()
    assert_hidden(shown(failed.value), device.private_key)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("password", [b"", PASSWORD * 99, PASSWORD.decode()])
def test_a_password_that_is_none_writes_nothing_and_shows_nothing(
    tmp_path: Path, device: IssuedCertificate, password: Any
) -> None:
    for save in (
        lambda: device.save(tmp_path / "a", password=password),
        lambda: device.save_pkcs12(tmp_path / "a", password=password),
        lambda: device.save_pair(tmp_path / "a", tmp_path / "b", password=password),
        lambda: device.save_der(tmp_path / "a", tmp_path / "b", password=password),
        lambda: device.key_pem(password=password),
        lambda: device.key_der(password=password),
    ):
        with pytest.raises(ConfigurationError, match="expected a password of 1 to 1023 bytes") as failed:
            save()
        assert_hidden(shown(failed.value), device.private_key)
        assert exposed(failed.value, PASSWORD) == []
    assert list(tmp_path.iterdir()) == []


ISSUES: dict[str, Callable[[CertificateAuthority, int], object]] = {
    "issue": lambda acme, _: acme.issue_client("device"),
    "issue_server": lambda acme, _: acme.issue_server("a.example"),
    "rekey": lambda acme, old: acme.rekey(old),
    "renew": lambda acme, old: acme.renew(old),
    "issue_many": lambda acme, _: list(acme.issue_many([CertificateOrder("a"), CertificateOrder("b")])),
    "create": lambda acme, _: CertificateAuthority.create("Below", store=acme._opened.store, parent=acme),
    "prepare": lambda acme, _: acme.rotation.prepare(),
}


@pytest.mark.parametrize("issue", ISSUES)
@pytest.mark.parametrize("step", ["sign", "reserve", "finish"])
def test_issuing_that_fails_shows_no_key(
    monkeypatch: pytest.MonkeyPatch, made: list[Any], caplog: pytest.LogCaptureFixture, issue: str, step: str
) -> None:
    caplog.set_level(logging.DEBUG)
    store = open_store("memory://")
    acme = CertificateAuthority.create("Acme", store=store)
    old = acme.issue_client("device").serial_number

    def fail(*_: object) -> None:
        raise OSError("pulled out") if step == "sign" else Unavailable("away")

    if step == "sign":
        monkeypatch.setattr(KeySigner, "sign", fail)
    else:
        monkeypatch.setattr(f"mtlskit.authority.issuance.{step}", fail)
    with pytest.raises((MTLSError, OSError)) as failed:
        ISSUES[issue](acme, old)
    assert len(made) >= 2
    assert_hidden(shown(failed.value) + caplog.text, *made)


def test_an_export_that_fails_shows_no_password(acme: CertificateAuthority, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise Unavailable("away")

    monkeypatch.setattr(type(acme._opened.store), "transaction", fail)
    with pytest.raises(Unavailable) as failed:
        acme.export_pkcs12(password=PASSWORD)
    assert exposed(failed.value, PASSWORD) == []


def test_an_outcome_of_many_shows_no_key(store: Store, acme: CertificateAuthority, made: list[Any]) -> None:
    outcomes = list(acme.issue_many([CertificateOrder("a"), CertificateOrder("")]))
    assert_hidden(repr(outcomes), *made)
    assert len(made) == 1
    with pytest.raises(TypeError, match="pickle"):
        pickle.dumps(outcomes)


def test_a_hook_that_fails_shows_no_key(store: Store, acme: CertificateAuthority, made: list[Any]) -> None:
    asked = CertificateAuthority.open(acme.name, store=store, authorize=lambda _: 1 / 0)  # type: ignore[arg-type,return-value]
    with pytest.raises(IssuanceError) as failed:
        asked.issue_client("device")
    assert_hidden(shown(failed.value), *made)


def test_reprs_and_copies_show_no_key(device: IssuedCertificate) -> None:
    assert_hidden(repr(device) + str(device) + repr(Secret(device.to_pem())), device.private_key)
    for value in (device, KeySigner(device.private_key)):
        for refused in (pickle.dumps, copy.copy, copy.deepcopy):
            with pytest.raises(TypeError, match="pickle"):
                refused(value)


@pytest.fixture
def _no_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


@pytest.mark.usefixtures("_no_umask")
@pytest.mark.parametrize("save", SAVES)
@pytest.mark.parametrize("umask", [0o000, 0o777])
def test_files_are_their_owner_s_alone_under_any_umask(
    tmp_path: Path, device: IssuedCertificate, monkeypatch: pytest.MonkeyPatch, save: str, umask: int
) -> None:
    original, modes = os.open, []

    def opened(path: Any, flags: int, mode: int = 0o777) -> int:
        descriptor = original(path, flags, mode)
        if flags & os.O_CREAT:
            modes.append((mode, stat.S_IMODE(os.fstat(descriptor).st_mode) & 0o077))
        return descriptor

    monkeypatch.setattr(files.os, "open", opened)
    os.umask(umask)
    SAVES[save](device, tmp_path)
    assert set(modes) == {(0o600, 0)}, "from the first octet on"
    written = list(tmp_path.iterdir())
    assert len(written) == len(modes)
    assert {stat.S_IMODE(path.stat().st_mode) for path in written} == {0o600}


@pytest.mark.parametrize("save", ["save_encrypted", "save_pkcs12"])
def test_an_encrypted_file_holds_no_plain_key(tmp_path: Path, device: IssuedCertificate, save: str) -> None:
    SAVES[save](device, tmp_path)
    device.save_pair(tmp_path / "chain.pem", tmp_path / "key.pem", password=b"secret")
    device.save_der(tmp_path / "leaf.cer", tmp_path / "key.der", password=b"secret")
    assert isinstance(device.private_key, ec.EllipticCurvePrivateKey)
    octets = device.private_key.private_numbers().private_value.to_bytes(32, "big")
    for path in tmp_path.iterdir():
        assert octets not in path.read_bytes()
        assert b"BEGIN PRIVATE KEY" not in path.read_bytes()
