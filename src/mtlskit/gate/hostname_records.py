"""How a custom hostname is written down: one JSON document, in which only the server's private key is sealed."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from mtlskit.core.certificates import SigningChain, to_der
from mtlskit.core.custom_hostname import ClientAuth, CustomHostname, Enforcement, PolicyMode
from mtlskit.core.evidence import Resumption, TLSVersion
from mtlskit.core.names import HostnamePattern
from mtlskit.core.policy import read_policies
from mtlskit.core.validation import Pinning, RevocationFallback, RevocationMode, Revocations, TrustAnchor, TrustStore
from mtlskit.errors import ConfigurationError, InvalidName, MTLSError, StoreError
from mtlskit.gate import settings
from mtlskit.ports import Record, Store

KIND = "hostname"
_FORMAT = 1
_FIELDS = frozenset(
    {
        "format", "pattern", "client_auth", "enforce", "anchors", "intermediates", "policies", "policy_mode", "server",
        "minimum_version", "resumption", "revocation", "revocation_unknown", "revocation_stale", "lists", "metadata",
    }
)  # fmt: skip


def written(hostname: CustomHostname, store: Store) -> bytes:
    """The stored form, with the server's private key sealed by the store."""
    document = _document(hostname)
    if hostname.server is not None:
        sealed = store.seal(hostname.server.private_key_der(), context=key_context(str(hostname.pattern)))
        document["server"]["key"] = _text(sealed)
    return _encoded(document)


def digest(hostname: CustomHostname) -> str:
    """SHA-256 in hexadecimal over the stored form without the server's private key."""
    return hashlib.sha256(_encoded(_document(hostname))).hexdigest()


def changed(before: Record, after: CustomHostname) -> list[str]:
    """The names of what is different from the record; a server's private key is known by its certificate."""
    known = json.loads(before.value)
    if known["server"] is not None:
        del known["server"]["key"]
    return [name for name, value in _document(after).items() if known.get(name) != value]


def parsed(record: Record, revocations: Revocations, store: Store | None) -> CustomHostname:
    """The hostname that a record says; raises StoreError.

    Without a store the server's chain is left out: to judge a client it is not needed, and its key costs time to open.
    """
    try:
        document = json.loads(record.value)
        _check_form(document)
        return _parsed(document, record, revocations, store)
    except (ValueError, KeyError, TypeError, ConfigurationError, InvalidName) as error:
        raise _unreadable(record, error) from error


def _unreadable(record: Record, error: Exception) -> StoreError:
    return StoreError(f"expected a readable record of hostname {record.key!r}, got {type(error).__name__}: {error}")


# What a newer version has written may be a restriction: it is not passed over.
def _check_form(document: Mapping[str, Any]) -> None:
    unknown = sorted(set(document) - _FIELDS)
    if document["format"] != _FORMAT or unknown:
        raise ValueError(f"format {document['format']!r:.20} with {unknown!r:.80}")


def parsed_but_policies(record: Record, revocations: Revocations) -> CustomHostname:
    """As `parsed` without the server's chain, and without the policies: for a record whose policies cannot be read."""
    try:
        document = {**json.loads(record.value), "policies": [], "policy_mode": PolicyMode.ENFORCE}
        return _parsed(document, record, revocations, None)
    except (ValueError, KeyError, TypeError, MTLSError) as error:
        raise _unreadable(record, error) from error


def key_context(pattern: str) -> str:
    """What the sealed server key of that pattern is bound to."""
    return f"hostname-key:{pattern}"


def _document(hostname: CustomHostname) -> dict[str, Any]:
    server = hostname.server
    return {
        "format": _FORMAT,
        "pattern": str(hostname.pattern),
        "client_auth": hostname.client_auth.value,
        "enforce": hostname.enforce.value,
        "anchors": [
            {"id": anchor.id, "pinned": anchor.pinned.value, "der": _text(to_der(anchor.certificate))}
            for anchor in hostname.trust.anchors
        ],
        "intermediates": [_text(to_der(item)) for item in hostname.trust.intermediates],
        "policies": [policy.to_dict() for policy in hostname.policies],
        "policy_mode": hostname.policy_mode.value,
        "server": None if server is None else {"chain": [_text(to_der(item)) for item in server.certificates]},
        "minimum_version": hostname.minimum_version.value,
        "resumption": hostname.resumption.value,
        "revocation": hostname.revocation.value,
        "revocation_unknown": hostname.revocation_unknown.value,
        "revocation_stale": hostname.revocation_stale.value,
        "lists": [{"url": item} if isinstance(item, str) else {"der": _text(item)} for item in hostname.lists],
        "metadata": dict(hostname.metadata),
    }


def _parsed(
    document: Mapping[str, Any], record: Record, revocations: Revocations, store: Store | None
) -> CustomHostname:
    return CustomHostname(
        pattern=HostnamePattern.parse(document["pattern"]),
        client_auth=ClientAuth(document["client_auth"]),
        trust=TrustStore(
            [
                TrustAnchor(_certificate(item["der"]), id=item["id"], pinned=Pinning(item["pinned"]))
                for item in document["anchors"]
            ],
            intermediates=list(map(_certificate, document["intermediates"])),
            revocations=revocations,
        ),
        enforce=Enforcement(document["enforce"]),
        policies=settings.policies(read_policies(document["policies"])),
        policy_mode=PolicyMode(document.get("policy_mode", PolicyMode.ENFORCE)),
        server=None if store is None else _server(document["server"], record.key, store),
        minimum_version=TLSVersion(document["minimum_version"]),
        resumption=Resumption(document["resumption"]),
        revocation=RevocationMode(document["revocation"]),
        revocation_unknown=RevocationFallback(document.get("revocation_unknown", RevocationFallback.DENY)),
        revocation_stale=RevocationFallback(document.get("revocation_stale", RevocationFallback.DENY)),
        lists=tuple(map(_list, document.get("lists", ()))),
        metadata=document["metadata"],
        version=record.version,
    )


def _server(server: Mapping[str, Any] | None, key: str, store: Store) -> SigningChain | None:
    if server is None:
        return None
    chain = tuple(map(_certificate, server["chain"]))
    # The key was looked at when it was added, and the seal says that it is the same: to look again would cost
    # a tenth of a second with RSA, whenever a stranger names a hostname that is not in memory (I12).
    private_key: Any = serialization.load_der_private_key(
        store.unseal(base64.b64decode(server["key"]), context=key_context(key)),
        None,
        unsafe_skip_rsa_key_validation=True,
    )
    return SigningChain(private_key, chain)


def _encoded(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document, separators=(",", ":")).encode()


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _certificate(text: str) -> x509.Certificate:
    return x509.load_der_x509_certificate(base64.b64decode(text))


def _list(item: Mapping[str, str]) -> bytes | str:
    return item["url"] if "url" in item else base64.b64decode(item["der"])
