"""Files of issued certificates: mode 0600 from the first byte, whole or not at all."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from mtlskit.authority import CertificateAuthority, IssuedCertificate, issued
from mtlskit.core.certificates import SigningChain
from mtlskit.errors import CertificateError, ConfigurationError
from mtlskit.stores import open_store


@pytest.fixture
def device() -> IssuedCertificate:
    return CertificateAuthority.create("Acme", store=open_store("memory://")).issue_client("device-17")


@pytest.fixture(autouse=True)
def _no_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


@pytest.mark.invariant("I11")
def test_a_file_is_never_open_to_others(
    tmp_path: Path, device: IssuedCertificate, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    replace = os.replace

    def watched(source: Path, target: Path) -> None:
        seen.extend(stat.S_IMODE(file.stat().st_mode) for file in tmp_path.iterdir())
        replace(source, target)

    monkeypatch.setattr(issued.os, "replace", watched)
    device.save(tmp_path / "device.pem")
    device.save_pkcs12(tmp_path / "device.p12", password=b"secret")
    assert set(seen) == {0o600}
    assert {file.name for file in tmp_path.iterdir()} == {"device.pem", "device.p12"}
    assert {stat.S_IMODE(file.stat().st_mode) for file in tmp_path.iterdir()} == {0o600}


@pytest.mark.invariant("I11")
def test_the_mode_is_there_when_the_file_comes_into_being(
    tmp_path: Path, device: IssuedCertificate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(issued.os, "fchmod", lambda descriptor, mode: None)
    device.save(tmp_path / "device.pem")
    assert stat.S_IMODE((tmp_path / "device.pem").stat().st_mode) == 0o600


def test_what_was_saved_can_be_read_again(tmp_path: Path, device: IssuedCertificate) -> None:
    device.save(str(tmp_path / "device.pem"))
    read = SigningChain.from_pem((tmp_path / "device.pem").read_bytes())
    assert read.fingerprint() == device.fingerprint()
    device.save_pkcs12(tmp_path / "device.p12", password=b"secret")
    read = SigningChain.from_pkcs12((tmp_path / "device.p12").read_bytes(), password=b"secret")
    assert read.fingerprint() == device.fingerprint()


def test_a_password_closes_the_key(tmp_path: Path, device: IssuedCertificate) -> None:
    device.save(tmp_path / "device.pem", password=b"secret")
    pem = (tmp_path / "device.pem").read_bytes()
    assert b"BEGIN ENCRYPTED PRIVATE KEY" in pem
    with pytest.raises(CertificateError, match="password"):
        SigningChain.from_pem(pem)
    assert SigningChain.from_pem(pem, password=b"secret").fingerprint() == device.fingerprint()


def test_a_file_that_is_there_is_replaced_with_its_mode(tmp_path: Path, device: IssuedCertificate) -> None:
    target = tmp_path / "device.pem"
    target.write_text("old")
    target.chmod(0o644)
    device.save(target)
    assert stat.S_IMODE(target.stat().st_mode) == 0o600


def test_a_link_is_replaced_and_not_followed(tmp_path: Path, device: IssuedCertificate) -> None:
    other = tmp_path / "other"
    other.write_text("other")
    (tmp_path / "device.pem").symlink_to(other)
    device.save(tmp_path / "device.pem")
    assert other.read_text() == "other"


@pytest.mark.parametrize("place", ["missing/device.pem", "directory"])
def test_what_cannot_be_written_is_told_and_leaves_nothing(
    tmp_path: Path, device: IssuedCertificate, place: str
) -> None:
    (tmp_path / "directory").mkdir()
    with pytest.raises(ConfigurationError, match="expected to write") as raised:
        device.save(tmp_path / place)
    assert "PRIVATE" not in str(raised.value)
    assert [file.name for file in tmp_path.iterdir()] == ["directory"]


def test_a_full_disk_leaves_nothing(tmp_path: Path, device: IssuedCertificate, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(issued.os, "fsync", full)
    with pytest.raises(ConfigurationError, match="No space left"):
        device.save(tmp_path / "device.pem")
    assert list(tmp_path.iterdir()) == []
