"""An authority's key leaves under a password alone, and not before the audit log says so."""

from __future__ import annotations

from typing import Any

import pytest

from mtlskit.authority import CertificateAuthority
from mtlskit.authority.signers import KeySigner, KeyType, generate_key
from mtlskit.core.certificates import SigningChain, to_der
from mtlskit.errors import CertificateError, ConfigurationError, StoreError, Unavailable
from mtlskit.ports import Store
from mtlskit.stores import KeyEncryption, open_store
from mtlskit.stores.audit import verify_audit


def exports(store: Store) -> list[dict[str, str]]:
    with store.snapshot() as snapshot:
        return [dict(row.details) for row in snapshot.scan_audit() if row.event == "authority.exported"]


@pytest.mark.parametrize("key_type", ["ec-p256", "ed25519", "rsa-2048"])
def test_what_is_exported_can_be_taken_over_elsewhere(key_type: str, store: Store) -> None:
    root = CertificateAuthority.create("Root", store=store)
    acme = CertificateAuthority.create("Acme", store=store, parent=root, key_type=key_type)
    content = acme.export_pkcs12(password=b"a password", requester="me")
    chain = SigningChain.from_pkcs12(content, password=b"a password")
    assert list(map(to_der, chain.certificates)) == list(map(to_der, (acme.certificate, root.certificate)))
    taken = CertificateAuthority.take_over("Acme", chain, store=open_store("memory://"))
    assert taken.issue_client("device").certificate.issuer == acme.certificate.subject
    assert exports(store) == [
        {
            "authority": "Acme", "issuer_key": acme.key_id.hex(), "generation": "1",
            "serial": f"{acme.certificate.serial_number:x}", "requester": "me",
        }
    ]  # fmt: skip
    verify_audit(store)
    with pytest.raises(CertificateError):
        SigningChain.from_pkcs12(content, password=b"another")


def test_the_active_generation_is_exported(store: Store, acme: CertificateAuthority) -> None:
    seen = CertificateAuthority.open("Acme devices", store=store)  # before the rotation
    acme.rotation.prepare()
    acme.rotation.activate()
    chain = SigningChain.from_pkcs12(seen.export_pkcs12(password=b"x"), password=b"x")
    assert to_der(chain.certificate) == to_der(acme.certificate)
    assert exports(store)[0]["generation"] == "2"


@pytest.mark.parametrize("password", [b"", None, "text"])
def test_without_a_password_there_is_no_key(password: Any, acme: CertificateAuthority, store: Store) -> None:
    with pytest.raises(ConfigurationError, match="expected a password of at least one byte"):
        acme.export_pkcs12(password=password)
    assert exports(store) == []


def test_a_key_that_a_signer_keeps_is_not_exported(store: Store) -> None:
    signer = KeySigner(generate_key(KeyType.EC_P256))
    acme = CertificateAuthority.create("Acme", store=store, signer=signer)
    with pytest.raises(ConfigurationError, match="got one that its signer keeps"):
        acme.export_pkcs12(password=b"x")
    assert exports(store) == []


def test_a_key_that_does_not_open_is_not_exported(tmp_path: Any) -> None:
    url = f"sqlite:///{tmp_path}/state.db"
    CertificateAuthority.create("Acme", store=open_store(url, keys=KeyEncryption(bytes(32))))
    other = open_store(url, keys=KeyEncryption(b"1" * 32))
    with pytest.raises(StoreError):
        CertificateAuthority.open("Acme", store=other).export_pkcs12(password=b"x")
    assert exports(other) == []
    other.close()


def test_nothing_leaves_where_the_log_cannot_be_written(
    acme: CertificateAuthority, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: object) -> None:
        raise Unavailable("expected the disk, got it full")

    monkeypatch.setattr(type(store), "transaction", fail)
    with pytest.raises(Unavailable):
        acme.export_pkcs12(password=b"x")
