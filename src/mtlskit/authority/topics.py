"""The topics of store changes: what `Transaction.touch` marks and subscribers hear of. Those of others are named too.

* `authority:<name>`: the authority of that name was made or changed.
* `revocation:<issuer key id>`: a certificate of that issuer was revoked; the id is SHA-256 over the issuer's
  SubjectPublicKeyInfo (`core.certificates.public_key_id`) in 64 lower-case hexadecimal digits.
* `hostname:<pattern>`: the custom hostname of that pattern was added, changed or removed (`gate/hostnames.py`).
* `*` (`ports.EVERYTHING`): changes were missed; whatever was remembered is to be dropped.
"""

from __future__ import annotations

from typing import Final

AUTHORITY: Final = "authority:"
REVOCATION: Final = "revocation:"


def authority_topic(name: str) -> str:
    """The topic of the authority `name`."""
    return AUTHORITY + name


def revocation_topic(issuer_key: bytes) -> str:
    """The topic of the revocations of the issuer with that key id (32 bytes)."""
    return REVOCATION + issuer_key.hex()
