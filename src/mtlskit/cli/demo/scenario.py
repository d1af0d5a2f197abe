"""The provider's state: authorities, devices, hostnames, uploads and bindings, in a directory of its own."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from mtlskit.authority import CertificateAuthority, IssuedCertificate
from mtlskit.core import rules
from mtlskit.core.certificates import to_pem
from mtlskit.core.policy import AccessPolicy
from mtlskit.errors import ConfigurationError
from mtlskit.fetch import CertificateUploads
from mtlskit.gate import Gate
from mtlskit.ports import Store
from mtlskit.stores import open_store

ACME, UMBRELLA, OPEN = "pay.acme.example", "pay.umbrella.example", "www.saas.example"
PARTNER_API = "localhost"  # what the bindings call: the one name here that resolves without help
UNKNOWN = "pay.nobody.example"
DEVICE, SECOND_DEVICE, UNWANTED_DEVICE = "device-17", "device-18", "device-99"
STATE = "mtlskit.db"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """What was made, and where. `settings` are those of `gate.hostnames.add` by hostname."""

    directory: Path
    store: Store
    acme: CertificateAuthority
    server_root: CertificateAuthority
    settings: dict[str, dict[str, Any]]
    expired_after: datetime

    def device(self, name: str) -> Path:
        """The file with a device's key and chain."""
        return self.directory / f"{name}.pem"

    @property
    def server_root_file(self) -> Path:
        """The root certificate that the clients trust."""
        return self.directory / "server-root.pem"

    @property
    def bindings_file(self) -> Path:
        """The file of the two bindings."""
        return self.directory / "wrangler.toml"

    def wait_until_expired(self) -> None:
        """Returns when the short-lived device certificate has expired; the second in its notAfter is still good."""
        while datetime.now(UTC) < self.expired_after + timedelta(seconds=1):
            time.sleep(0.05)


def prepare_directory(given: Path | None) -> Path:
    """The directory for the state: `given`, made if need be, or a new temporary one that stays.

    Raises ConfigurationError where an earlier demo's state is in it, or where it cannot be made.
    """
    try:
        if given is None:
            return Path(tempfile.mkdtemp(prefix="mtlskit-demo-"))
        given.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(
            f"expected a directory that can be made, got {str(given)!r}: {error.strerror}"
        ) from None
    if (given / STATE).exists():
        raise ConfigurationError(f"expected a directory without an earlier demo in it, got {str(given)!r} with {STATE}")
    return given.absolute()


def make_scenario(directory: Path, port: int) -> Scenario:
    """Makes everything but the server."""
    store = open_store(f"sqlite:///{directory / STATE}")
    acme, umbrella, partners, web = (
        CertificateAuthority.create(name, store=store)
        for name in ("Acme devices", "Umbrella devices", "Partner services", "Demo servers")
    )
    expired = _make_devices(directory, acme, umbrella)
    scenario = Scenario(
        directory=directory,
        store=store,
        acme=acme,
        server_root=web,
        settings=_hostname_settings(acme, umbrella, partners, web.issue_server),
        expired_after=expired.certificate.not_valid_after_utc,
    )
    scenario.server_root_file.write_bytes(to_pem([web.certificate]))
    _bind_uploads(scenario, partners, f"https://{PARTNER_API}:{port}")
    _add_hostnames(scenario)
    return scenario


def _make_devices(directory: Path, acme: CertificateAuthority, umbrella: CertificateAuthority) -> IssuedCertificate:
    expired = acme.issue_client(DEVICE, uris=["urn:acme:device:17"], lifetime=timedelta(seconds=1))
    devices = {
        DEVICE: acme.issue_client(DEVICE, uris=["urn:acme:device:17"]),
        UNWANTED_DEVICE: acme.issue_client(UNWANTED_DEVICE, uris=["urn:acme:device:99"]),
        "neighbour": umbrella.issue_client("till-3", uris=["urn:umbrella:till:3"]),
        "expired": expired,
        "impostor": _impostor(acme.name).issue_client(DEVICE, uris=["urn:acme:device:17"]),
    }
    for name, certificate in devices.items():
        certificate.save(directory / f"{name}.pem")
    return expired


def _impostor(name: str) -> CertificateAuthority:
    """An authority of exactly that name, subject included, with a key of its own. It lives somewhere else."""
    return CertificateAuthority.create(name, store=open_store("memory://"))


def _hostname_settings(
    acme: CertificateAuthority,
    umbrella: CertificateAuthority,
    partners: CertificateAuthority,
    server: Callable[[str], IssuedCertificate],
) -> dict[str, dict[str, Any]]:
    named = [rules.common_name(DEVICE), rules.common_name(SECOND_DEVICE)]
    return {
        ACME: {
            "client_auth": "required",
            "trust": [acme.certificate],
            "server": server(ACME),
            "policies": [AccessPolicy(name="tills", decision="allow", include=named)],
        },
        UMBRELLA: {"client_auth": "required", "trust": [umbrella.certificate], "server": server(UMBRELLA)},
        OPEN: {"client_auth": "none", "server": server(OPEN)},
        PARTNER_API: {"client_auth": "required", "trust": [partners.certificate], "server": server(PARTNER_API)},
    }


def _add_hostnames(scenario: Scenario) -> None:
    gate = Gate(scenario.store)
    for hostname, settings in scenario.settings.items():
        gate.hostnames.add(hostname, **settings)
    gate.close()


def _bind_uploads(scenario: Scenario, partners: CertificateAuthority, origin: str) -> None:
    uploads = CertificateUploads(scenario.store)
    entries = []
    for binding, service in (("MY_CERT", "billing-service"), ("OTHER_CERT", "reports-service")):
        chain = partners.issue_client(service)
        uploaded = uploads.upload(chain.to_pem(), name=service)
        entries.append(
            f'  {{ binding = "{binding}", certificate_id = "{uploaded.id}", origins = ["{origin}"] }},  # {service}\n'
        )
    scenario.bindings_file.write_text(f"mtls_certificates = [\n{''.join(entries)}]\n", encoding="utf-8")
