"""The names that a newcomer guesses are there, and everything public says what it does."""

from __future__ import annotations

import dataclasses
import enum
import inspect
from collections.abc import Iterator
from importlib import import_module
from typing import Any

import pytest

import mtlskit
import mtlskit.authority
import mtlskit.core.policy
import mtlskit.core.profiles
import mtlskit.fetch
import mtlskit.gate
import mtlskit.ports
import mtlskit.stores

pytestmark = pytest.mark.bare

PACKAGES = (
    mtlskit, mtlskit.authority, mtlskit.fetch, mtlskit.gate, mtlskit.stores, mtlskit.core.policy, mtlskit.core.profiles,
)  # fmt: skip
ATTRIBUTES = (
    "AccessPolicy.from_dict",
    "AsyncEnvironment.from_file",
    "CertificateAuthority.create",
    "CertificateAuthority.crl",
    "CertificateAuthority.issue_client",
    "CertificateAuthority.issue_server",
    "CertificateAuthority.open",
    "CertificateAuthority.revoke",
    "CertificateAuthority.sign_request",
    "Environment.from_file",
    "Gate.explain",
    "IssuedCertificate.save",
    "IssuedCertificate.save_pkcs12",
    "PresentedChain.from_pem",
    "gate.asgi.MTLSMiddleware",
    "gate.asgi.client_identity",
    "open_store",
    "profiles.CLIENT",
    "profiles.SERVER",
    "profiles.Profile",
    "profiles.SanRule",
    "profiles.SanType",
    "rules.any_valid_certificate",
    "rules.common_name",
    "rules.dns",
    "rules.email",
    "rules.fingerprint",
    "rules.ip",
    "rules.san",
    "rules.serial",
    "rules.uri",
    "verify_path",
)


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.__name__)
def test_what_a_package_names_is_there_in_order_and_once(package: Any) -> None:
    names = package.__all__
    assert all(hasattr(package, name) for name in names)
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("dotted", ATTRIBUTES)
def test_a_newcomers_guess_is_right(dotted: str) -> None:
    found: Any = mtlskit
    for part in dotted.split("."):
        found = getattr(found, part)


@pytest.mark.parametrize("name", ["add", "replace", "remove", "get"])
def test_a_gates_hostnames_can_be_changed(name: str) -> None:
    gate = mtlskit.Gate(mtlskit.open_store("memory://"))
    assert callable(getattr(gate.hostnames, name))


def test_the_uvicorn_adapter_has_the_three_names_of_a_server_adapter() -> None:
    pytest.importorskip("uvicorn")
    adapter = import_module("mtlskit.gate.servers.uvicorn")
    assert all(callable(getattr(adapter, name)) for name in ("run", "config", "Server"))


def public() -> Iterator[tuple[str, Any]]:
    """Every public class, function, method and property that a package names."""
    for package in (*PACKAGES, mtlskit.ports):
        for name in getattr(package, "__all__", [each for each in vars(package) if not each.startswith("_")]):
            found = getattr(package, name)
            if getattr(found, "__module__", "").startswith("mtlskit") and callable(found):
                yield f"{package.__name__}.{name}", found
                if inspect.isclass(found):
                    yield from _members(f"{package.__name__}.{name}", found)


def _members(name: str, kind: type) -> Iterator[tuple[str, Any]]:
    for key, value in vars(kind).items():
        member = getattr(value, "__func__", value)
        if not key.startswith("_") and (inspect.isfunction(member) or isinstance(member, property)):
            yield f"{name}.{key}", member


PUBLIC = dict(public())


@pytest.mark.parametrize("name", sorted(PUBLIC))
def test_everything_public_has_a_docstring(name: str) -> None:
    found = PUBLIC[name]
    written = found.__dict__.get("__doc__") if inspect.isclass(found) else found.__doc__
    assert written, f"{name} has no docstring"
    if dataclasses.is_dataclass(found) and not issubclass(found, enum.Enum):
        assert not written.startswith(f"{found.__name__}("), f"{name} has only the docstring that dataclasses make"


def test_every_error_is_ours() -> None:
    errors = [getattr(mtlskit, name) for name in mtlskit.__all__ if inspect.isclass(getattr(mtlskit, name))]
    raised = [error for error in errors if issubclass(error, BaseException)]
    assert len(raised) > 10
    assert all(issubclass(error, mtlskit.MTLSError) for error in raised)
