"""Stores and an authority for the tests of the authority."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from mtlskit.authority import CertificateAuthority
from mtlskit.ports import Store
from mtlskit.stores import KeyEncryption, open_store

KEYS = KeyEncryption(bytes(32))


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    url = "memory://" if request.param == "memory" else f"sqlite:///{tmp_path}/state.db"
    opened = open_store(url, keys=KEYS)
    yield opened
    opened.close()


@pytest.fixture
def acme(store: Store) -> CertificateAuthority:
    return CertificateAuthority.create("Acme devices", store=store)
