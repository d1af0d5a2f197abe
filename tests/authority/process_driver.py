"""One of several processes on one store: issues, revokes or publishes so many times, and says so line by line.

`python process_driver.py URL ROLE COUNT`; the key-encryption key is in the environment.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable

from cryptography import x509

from mtlskit.authority import CertificateAuthority
from mtlskit.stores import open_store


def issue(authority: CertificateAuthority, number: int) -> dict[str, object]:
    """A certificate."""
    certificate = authority.issue_client(f"device-{number}").certificate
    return {"serial": f"{certificate.serial_number:x}"}


def revoke(authority: CertificateAuthority, number: int) -> dict[str, object]:
    """A certificate that is revoked: acknowledged when the line is out."""
    certificate = authority.issue_client(f"lost-{number}").certificate
    authority.revoke(certificate.serial_number, reason="key_compromise")
    return {"serial": f"{certificate.serial_number:x}"}


def publish(authority: CertificateAuthority, _: int) -> dict[str, object]:
    """A list: its number, and what is on it."""
    found = authority.crl()
    number = found.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
    return {"number": number, "serials": [f"{entry.serial_number:x}" for entry in found]}


ROLES: dict[str, Callable[[CertificateAuthority, int], dict[str, object]]] = {
    "issue": issue, "revoke": revoke, "publish": publish,
}  # fmt: skip


def main(url: str, role: str, count: str) -> None:
    store = open_store(url)
    authority = CertificateAuthority.open("Shared", store=store)
    for number in range(int(count)):
        print(json.dumps({"role": role, **ROLES[role](authority, number)}), flush=True)
    store.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
