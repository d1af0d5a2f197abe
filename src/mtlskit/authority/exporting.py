"""An authority's certificate and key, for another place: nothing leaves before the log says so."""

from __future__ import annotations

from typing import Final

from mtlskit.authority.creation import open_signer
from mtlskit.authority.generations import KeyPlace
from mtlskit.authority.opened import OpenedAuthority
from mtlskit.core.pem import Secret
from mtlskit.errors import ConfigurationError

EVENT: Final = "authority.exported"


def export_pkcs12(opened: OpenedAuthority, password: Secret, *, requester: str = "") -> bytes:
    """The active certificate, those above it and its key as PKCS #12 (RFC 7292) under `password`.

    An audit row (`authority.exported`) is durable before the key is out. Raises ConfigurationError for an empty
    password and for a key that the store has not.
    """
    if not password.is_octets():
        raise ConfigurationError("expected a password of at least one byte for the key, as bytes, got another")
    active = opened.latest().active
    if active.key_place is not KeyPlace.STORE:
        raise ConfigurationError(f"expected the key of {opened.name!r} in the store, got one that its signer keeps")
    chain = open_signer(opened.store, active.key_id).signing_chain((active.certificate, *active.above))
    content = Secret(chain.to_pkcs12(password=password.octets(), name=opened.name))
    with opened.store.transaction() as transaction:
        transaction.append_audit(
            EVENT,
            {
                "authority": opened.name,
                "issuer_key": active.key_id,
                "generation": str(active.number),
                "serial": f"{active.certificate.serial_number:x}",
                "requester": requester,
            },
        )
    return content.octets()
