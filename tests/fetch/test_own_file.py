"""`mtlskit.toml`: bindings to uploads, files and authorities, whole or refused with the place that is wrong."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mtlskit.authority import CertificateAuthority
from mtlskit.errors import ConfigurationError
from mtlskit.fetch import AsyncEnvironment, CertificateUploads, Environment
from mtlskit.stores import open_store
from mtlskit.testing.certificates import Authority

ROOT = Authority.root()
ONE, OTHER = ROOT.leaf("one"), ROOT.leaf("other")


@pytest.fixture
def store() -> Iterator[Any]:
    opened = open_store("memory://")
    yield opened
    opened.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "one.pem").write_bytes(ONE.chain_pem())
    (tmp_path / "one.key").write_bytes(ONE.to_pem(password=b"secret"))
    (tmp_path / "one.p12").write_bytes(ONE.to_pkcs12(password=b"secret"))
    (tmp_path / "password").write_bytes(b"secret\n")
    (tmp_path / "long").write_bytes(b"secret" * 200)
    (tmp_path / "empty").write_bytes(b"\n")
    return tmp_path


def load(folder: Path, store: Any, text: str, **options: Any) -> Environment:
    (folder / "mtlskit.toml").write_text(text)
    return Environment.from_file(folder / "mtlskit.toml", store=store, **options)


def test_bindings_are_uploads_files_and_authorities(folder: Path, store: Any) -> None:
    uploaded = CertificateUploads(store).upload(OTHER.to_pem())
    acme = CertificateAuthority.create("Acme devices", store=store)
    env = load(
        folder,
        store,
        f"""
        [bindings.UPLOADED]
        certificate_id = "{uploaded.id}"
        origins = ["https://api.partner.example", "https://*.partner.example:8443"]
        [bindings.PEM]
        chain = "one.pem"
        key = "one.key"
        password_file = "password"
        [bindings.PKCS12]
        pkcs12 = "one.p12"
        password_file = "password"
        [bindings.ISSUED]
        authority = "Acme devices"
        common_name = "gateway"
        uris = ["urn:acme:gateway"]
        lifetime = "1d"
        key_type = "ec-p384"
        """,
    )

    assert list(env) == ["UPLOADED", "PEM", "PKCS12", "ISSUED"]
    assert env.UPLOADED.certificate == OTHER.certificate
    assert [str(origin) for origin in env.UPLOADED.origins.patterns] == [
        "https://api.partner.example", "https://*.partner.example:8443",
    ]  # fmt: skip
    assert env.PEM.certificate == env.PKCS12.certificate == ONE.certificate
    issued = env.ISSUED.certificate
    issued.verify_directly_issued_by(acme.certificate)
    assert issued.subject.rfc4514_string() == "CN=gateway"
    assert (issued.not_valid_after_utc - issued.not_valid_before_utc).total_seconds() < 90_000
    assert issued.public_key().curve.name == "secp384r1"


@pytest.mark.parametrize("kind", [Environment, AsyncEnvironment])
def test_a_named_environment_does_not_inherit(folder: Path, store: Any, kind: Any) -> None:
    (folder / "mtlskit.toml").write_text(
        """
        bindings.TOP.pkcs12 = "one.p12"
        bindings.TOP.password_file = "password"
        [environments.staging.bindings.STAGING]
        pkcs12 = "one.p12"
        password_file = "password"
        [environments.production]
        """
    )
    found = {
        name: list(kind.from_file(folder / "mtlskit.toml", store=store, environment=name))
        for name in (None, "staging", "production")
    }

    assert found == {None: ["TOP"], "staging": ["STAGING"], "production": []}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("binding = 1", "binding"),
        ("bindings = 1", "expected a table at bindings"),
        ("bindings.A = 1", "bindings.A"),
        ("[bindings.A]", "got 0 of them"),
        ('bindings.A = { certificate_id = "x", pkcs12 = "one.p12" }', "got 2 of them"),
        ('bindings.A = { certificate = "x" }', "bindings.A.certificate"),
        ('bindings.A = { certificate_id = "no-such" }', "binding 'A', got 'no-such'"),
        ("bindings.A = { certificate_id = 7 }", "certificate_id as text, got 7 at bindings.A"),
        ('bindings.A = { pkcs12 = "one.p12" }', "for the binding 'A'"),
        ('bindings.A = { chain = "missing.pem" }', "missing.pem"),
        ('bindings.A = { key = "one.key" }', "for the binding 'A'"),
        ('bindings.A = { pkcs12 = "one.p12", password_file = "missing" }', "password file"),
        ('bindings.A = { pkcs12 = "one.p12", password_file = "long" }', "a password of 1 to 1023 bytes"),
        ('bindings.A = { pkcs12 = "one.p12", password_file = "empty" }', "a password of 1 to 1023 bytes"),
        ('bindings.A = { authority = "Nobody" }', "for the binding 'A'"),
        ('bindings.A = { common_name = "gateway" }', "the name of an authority"),
        ('bindings.A = { authority = "Acme", lifetime = "soon" }', "'soon' at bindings.A"),
        ('bindings.A = { authority = "Acme", uris = "urn:a:b" }', "uris as a list of texts"),
        ('bindings.A = { pkcs12 = "one.p12", password_file = "password", origins = ["http://a.example"] }', "origins"),
        ("environments.staging.binding.A = 1", "environments.staging.binding"),
    ],
)
def test_what_is_wrong_is_told_with_file_and_place(folder: Path, store: Any, text: str, told: str) -> None:
    CertificateAuthority.create("Acme", store=store)
    with pytest.raises(ConfigurationError) as caught:
        load(folder, store, text, environment="staging" if text.startswith("environments") else None)

    assert str(caught.value).startswith(f"{folder / 'mtlskit.toml'}: ")
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "secret" not in str(caught.value)


def test_an_environment_that_is_not_there_is_refused(folder: Path, store: Any) -> None:
    with pytest.raises(ConfigurationError, match="the environment 'staging'"):
        load(folder, store, "", environment="staging")
