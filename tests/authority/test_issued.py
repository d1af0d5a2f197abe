"""Files of issued certificates: mode 0600 from the first byte, whole or not at all."""

from __future__ import annotations

import os
import ssl
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from mtlskit.authority import CertificateAuthority, IssuedCertificate, files
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

    monkeypatch.setattr(files.os, "replace", watched)
    device.save(tmp_path / "device.pem")
    device.save_pkcs12(tmp_path / "device.p12", password=b"secret")
    assert set(seen) == {0o600}
    assert {file.name for file in tmp_path.iterdir()} == {"device.pem", "device.p12"}
    assert {stat.S_IMODE(file.stat().st_mode) for file in tmp_path.iterdir()} == {0o600}


@pytest.mark.invariant("I11")
def test_the_mode_is_there_when_the_file_comes_into_being(
    tmp_path: Path, device: IssuedCertificate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files.os, "fchmod", lambda descriptor, mode: None)
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

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(ConfigurationError, match="No space left"):
        device.save(tmp_path / "device.pem")
    assert list(tmp_path.iterdir()) == []


# --- DER, and chain and key apart -----------------------------------------------------------------------------------


def test_the_forms_in_der_and_pem_are_the_same_certificate_and_key(device: IssuedCertificate) -> None:
    assert x509.load_der_x509_certificate(device.certificate_der()) == device.certificate
    plain = serialization.load_der_private_key(device.key_der(), None)
    sealed = serialization.load_der_private_key(device.key_der(password=b"secret"), b"secret")
    assert plain.public_key() == sealed.public_key() == device.certificate.public_key()
    assert device.key_der() == device.private_key_der()
    assert device.key_pem().startswith(b"-----BEGIN PRIVATE KEY-----")
    assert device.key_pem(password=b"secret").startswith(b"-----BEGIN ENCRYPTED PRIVATE KEY-----")
    with pytest.raises(ValueError, match="password"):
        serialization.load_der_private_key(device.key_der(password=b"secret"), b"other")


@pytest.mark.parametrize("password", [None, b"secret"])
def test_a_pair_is_read_again(tmp_path: Path, device: IssuedCertificate, password: bytes | None) -> None:
    chain, key = tmp_path / "chain.pem", tmp_path / "key.pem"
    device.save_pair(chain, str(key), password=password)
    assert {file.name for file in tmp_path.iterdir()} == {"chain.pem", "key.pem"}
    assert b"PRIVATE KEY" not in chain.read_bytes()
    assert b"CERTIFICATE" not in key.read_bytes()
    read = SigningChain.from_pem(chain.read_bytes(), key.read_bytes(), password=password)
    assert read.fingerprint() == device.fingerprint()
    ssl.create_default_context().load_cert_chain(chain, key, password=password)


def test_a_pair_in_der_is_read_again(tmp_path: Path, device: IssuedCertificate) -> None:
    device.save_der(tmp_path / "leaf.cer", tmp_path / "key.der", password=b"secret")
    assert x509.load_der_x509_certificate((tmp_path / "leaf.cer").read_bytes()) == device.certificate
    key = serialization.load_der_private_key((tmp_path / "key.der").read_bytes(), b"secret")
    assert key.public_key() == device.certificate.public_key()


def test_the_chain_of_a_pair_has_what_is_presented(tmp_path: Path) -> None:
    store = open_store("memory://")
    below = CertificateAuthority.create("Below", store=store, parent=CertificateAuthority.create("Acme", store=store))
    below.issue_client("device").save_pair(tmp_path / "chain.pem", tmp_path / "key.pem")
    assert (tmp_path / "chain.pem").read_bytes().count(b"BEGIN CERTIFICATE") == 2


@pytest.mark.parametrize("other", ["same.pem", "../{}/same.pem"])
def test_a_pair_needs_two_files(tmp_path: Path, device: IssuedCertificate, other: str) -> None:
    with pytest.raises(ConfigurationError, match="expected a file of its own for each"):
        device.save_pair(tmp_path / "same.pem", tmp_path / other.format(tmp_path.name))
    assert list(tmp_path.iterdir()) == []


def pair_in(directory: Path) -> str:
    """What a reader finds: a pair that fits, one that does not (and is refused as such), or none."""
    try:
        SigningChain.from_pem((directory / "chain.pem").read_bytes(), (directory / "key.pem").read_bytes())
    except FileNotFoundError:
        return "none"
    except CertificateError as error:
        assert "another key" in str(error)
        with pytest.raises(ssl.SSLError, match="(?i)mismatch"):
            ssl.create_default_context().load_cert_chain(directory / "chain.pem", directory / "key.pem")
        return "refused"
    return "fits"


@pytest.mark.parametrize("before", ["nothing", "a pair"])
def test_a_reader_meets_a_pair_that_fits_or_notices(
    tmp_path: Path, device: IssuedCertificate, monkeypatch: pytest.MonkeyPatch, before: str
) -> None:
    if before == "a pair":
        another = CertificateAuthority.create("Other", store=open_store("memory://")).issue_client("device")
        another.save_pair(tmp_path / "chain.pem", tmp_path / "key.pem")
    original, seen = os.replace, [pair_in(tmp_path)]

    def replace(source: Path, target: Path) -> None:
        drafts = [path for path in tmp_path.iterdir() if path.name.startswith(".")]
        assert len(drafts) >= len({"key.pem", "chain.pem"}) - len(seen) + 1, "all are on the disk before the first"
        original(source, target)
        seen.append(pair_in(tmp_path))

    monkeypatch.setattr(files.os, "replace", replace)
    device.save_pair(tmp_path / "chain.pem", tmp_path / "key.pem")
    assert seen == (["none", "none", "fits"] if before == "nothing" else ["fits", "refused", "fits"])


@pytest.mark.parametrize("before", ["nothing", "a pair"])
@pytest.mark.parametrize("at", [0, 1])
def test_a_pair_that_cannot_be_saved_leaves_the_one_before(
    tmp_path: Path, device: IssuedCertificate, monkeypatch: pytest.MonkeyPatch, before: str, at: int
) -> None:
    if before == "a pair":
        another = CertificateAuthority.create("Other", store=open_store("memory://")).issue_client("device")
        another.save_pair(tmp_path / "chain.pem", tmp_path / "key.pem")
    contents = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    original, count = os.replace, iter(range(10))

    def replace(source: Path, target: Path) -> None:
        if next(count) == at:
            raise OSError(13, "Permission denied")
        original(source, target)

    monkeypatch.setattr(files.os, "replace", replace)
    with pytest.raises(ConfigurationError, match="Permission denied"):
        device.save_pair(tmp_path / "chain.pem", tmp_path / "key.pem")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == contents


@pytest.mark.parametrize("names", [("directory", "key.pem"), ("chain.pem", "directory"), ("missing/a", "key.pem")])
def test_a_pair_with_a_place_that_is_none_writes_nothing(
    tmp_path: Path, device: IssuedCertificate, names: tuple[str, str]
) -> None:
    (tmp_path / "directory").mkdir()
    with pytest.raises(ConfigurationError, match="expected to write"):
        device.save_pair(tmp_path / names[0], tmp_path / names[1])
    assert [path.name for path in tmp_path.iterdir()] == ["directory"]


def test_a_link_to_a_key_is_replaced_in_a_pair_too(tmp_path: Path, device: IssuedCertificate) -> None:
    other = tmp_path / "other"
    other.write_text("other")
    (tmp_path / "key.pem").symlink_to(other)
    device.save_pair(tmp_path / "chain.pem", tmp_path / "key.pem")
    assert other.read_text() == "other"
    assert not (tmp_path / "key.pem").is_symlink()
