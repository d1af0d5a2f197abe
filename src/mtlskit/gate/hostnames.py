"""The custom hostnames of a gate, in its store: add, replace, remove, get. Owns how a record is written down.

Beside each record stands the index of its trust anchors (`anchor_index.py`). The topic of every change is
`hostname:<pattern>`.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from enum import Enum, auto
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from mtlskit.core.certificates import SigningChain, to_der
from mtlskit.core.custom_hostname import ClientAuth, CustomHostname, Enforcement
from mtlskit.core.evidence import Resumption, TLSVersion
from mtlskit.core.names import HostnamePattern
from mtlskit.core.policy import AccessPolicy, read_policies
from mtlskit.core.validation import Pinning, RevocationFallback, RevocationMode, Revocations, TrustAnchor, TrustStore
from mtlskit.errors import ConfigurationError, Conflict, NotFound, StoreError
from mtlskit.gate import anchor_index
from mtlskit.gate import settings as read
from mtlskit.gate.anchor_index import SharedAnchors
from mtlskit.gate.settings import Anchor
from mtlskit.ports import Record, Snapshot, Store, Transaction
from mtlskit.revocation.sources import Given

TOPIC = "hostname:"
KIND = "hostname"
_PARTITION = ""


class _Server(Enum):
    READ = auto()
    LEFT_OUT = auto()  # to judge a client it is not needed, and its key costs time to open


class Hostnames:
    """The registry. Every method may be called from any thread; changes hold from the next request on."""

    def __init__(self, store: Store, check: Callable[[CustomHostname], None], revocations: Revocations) -> None:
        self._store = store
        self._check = check
        self._revocations = revocations

    def add(
        self,
        pattern: str,
        *,
        client_auth: ClientAuth | str = ClientAuth.REQUIRED,
        trust: Sequence[Anchor] = (),
        intermediates: Sequence[x509.Certificate | bytes | str] = (),
        server: SigningChain | None = None,
        policies: Sequence[AccessPolicy] = (),
        enforce: Enforcement | str = Enforcement.HANDSHAKE,
        minimum_version: TLSVersion | str = TLSVersion.TLS_1_2,
        resumption: Resumption | str = Resumption.NONE,
        revocation: RevocationMode | str = RevocationMode.OFF,
        revocation_unknown: RevocationFallback | str = RevocationFallback.DENY,
        revocation_stale: RevocationFallback | str = RevocationFallback.DENY,
        lists: Sequence[Given] = (),
        metadata: Mapping[str, str] | None = None,
        shared_anchors: SharedAnchors | str = SharedAnchors.FLAG,
    ) -> CustomHostname:
        """Adds a hostname (`pay.acme.example`) or one-label wildcard (`*.acme.example`).

        `trust` holds the CA certificates (parsed, or one in PEM or DER each) whose clients are let in, `server` the
        chain and key that are served. `lists` are the revocation lists to be asked: each in PEM or DER, or where it
        is, an `https:`, `http:` or `file:` URL that is read again and again. A trust anchor whose key another hostname
        trusts too lets the clients of the one in at the other: the audit row names such hostnames, or with
        `shared_anchors="refuse"` it is a Conflict. Raises Conflict if the pattern is there already, InvalidName,
        CertificateError or ConfigurationError for what cannot be used; then nothing is written.
        """
        hostname, sharing = self._made(settings := locals()), read.shared_anchors(settings["shared_anchors"])
        with self._store.transaction() as transaction:
            record = transaction.insert(KIND, _PARTITION, str(hostname.pattern), self._written(hostname))
            others = _checked_sharing(transaction, hostname, sharing)
            anchor_index.add(transaction, hostname)
            _noted(transaction, "hostname_added", hostname.pattern, others)
        return self._read(record)

    def replace(self, pattern: str, **settings: Any) -> CustomHostname:
        """Replaces the whole record by new `settings` (those of `add`); raises NotFound if there is none."""
        wanted = {**_DEFAULTS, **_known(settings), "pattern": pattern}
        hostname, sharing = self._made(wanted), read.shared_anchors(wanted["shared_anchors"])
        with self._store.transaction() as transaction:
            anchor_index.remove(transaction, self._stored(transaction, str(hostname.pattern)))
            record = transaction.replace(KIND, _PARTITION, str(hostname.pattern), self._written(hostname))
            others = _checked_sharing(transaction, hostname, sharing)
            anchor_index.add(transaction, hostname)
            _noted(transaction, "hostname_replaced", hostname.pattern, others)
        return self._read(record)

    def remove(self, pattern: str) -> None:
        """Removes the record; raises NotFound if there is none."""
        key = str(HostnamePattern.parse(pattern))
        with self._store.transaction() as transaction:
            found = self._stored(transaction, key)
            anchor_index.remove(transaction, found)
            transaction.delete(KIND, _PARTITION, key)
            _noted(transaction, "hostname_removed", found.pattern)

    def get(self, pattern: str) -> CustomHostname:
        """The record of exactly this pattern; raises NotFound."""
        with self._store.snapshot() as snapshot:
            return self._stored(snapshot, str(HostnamePattern.parse(pattern)))

    def look_up(self, keys: Iterable[str]) -> Record | None:
        """The stored record of the first of these pattern texts that has one. `read` makes a hostname of it."""
        with self._store.snapshot() as snapshot:
            found = (snapshot.get(KIND, _PARTITION, key) for key in keys)
            return next((record for record in found if record is not None), None)

    def read(self, record: Record) -> CustomHostname:
        """The hostname that a stored record says; raises StoreError."""
        return self._read(record)

    def trusting(self, issuer: x509.Name, *, limit: int) -> list[CustomHostname]:
        """Hostnames, at most `limit`, with an anchor of exactly this subject; without their server chains."""
        with self._store.snapshot() as snapshot:
            keys = anchor_index.with_subject(snapshot, issuer, limit=limit)
            records = [snapshot.get(KIND, _PARTITION, key) for key in keys]
        return [self._read(record, server=_Server.LEFT_OUT) for record in records if record is not None]

    def __iter__(self) -> Iterator[CustomHostname]:
        """All of them, in the order of their patterns, read a page at a time."""
        after = ""
        while True:
            with self._store.snapshot() as snapshot:
                page = list(snapshot.scan(KIND, _PARTITION, after=after, limit=256))
            if not page:
                return
            yield from map(self._read, page)
            after = page[-1].key

    def _stored(self, snapshot: Snapshot, key: str) -> CustomHostname:
        record = snapshot.get(KIND, _PARTITION, key)
        if record is None:
            raise NotFound(f"expected a hostname that was added, got {key!r}")
        return self._read(record)

    def _made(self, settings: Mapping[str, Any]) -> CustomHostname:
        hostname = CustomHostname(
            pattern=HostnamePattern.parse(settings["pattern"]),
            client_auth=read.member(ClientAuth, settings["client_auth"], "client_auth"),
            trust=TrustStore(
                list(map(read.anchor, read.sequence(settings["trust"], "trust anchors"))),
                intermediates=[read.issuer(item, "an intermediate") for item in settings["intermediates"]],
                revocations=self._revocations,
            ),
            enforce=read.member(Enforcement, settings["enforce"], "enforce"),
            policies=read.policies(settings["policies"]),
            server=read.server_chain(settings["server"]),
            minimum_version=read.member(TLSVersion, settings["minimum_version"], "minimum_version"),
            resumption=read.member(Resumption, settings["resumption"], "resumption"),
            revocation=read.member(RevocationMode, settings["revocation"], "revocation"),
            revocation_unknown=read.member(RevocationFallback, settings["revocation_unknown"], "revocation_unknown"),
            revocation_stale=read.member(RevocationFallback, settings["revocation_stale"], "revocation_stale"),
            lists=read.lists(settings["lists"]),
            metadata=dict(settings["metadata"] or {}),
        )
        self._check(hostname)
        return hostname

    def _written(self, hostname: CustomHostname) -> bytes:
        document = {
            "format": 1,
            "pattern": str(hostname.pattern),
            "client_auth": hostname.client_auth.value,
            "enforce": hostname.enforce.value,
            "anchors": [
                {"id": anchor.id, "pinned": anchor.pinned.value, "der": _text(to_der(anchor.certificate))}
                for anchor in hostname.trust.anchors
            ],
            "intermediates": [_text(to_der(item)) for item in hostname.trust.intermediates],
            "policies": [policy.to_dict() for policy in hostname.policies],
            "server": self._written_server(hostname),
            "minimum_version": hostname.minimum_version.value,
            "resumption": hostname.resumption.value,
            "revocation": hostname.revocation.value,
            "revocation_unknown": hostname.revocation_unknown.value,
            "revocation_stale": hostname.revocation_stale.value,
            "lists": [{"url": item} if isinstance(item, str) else {"der": _text(item)} for item in hostname.lists],
            "metadata": dict(hostname.metadata),
        }
        return json.dumps(document, separators=(",", ":")).encode()

    def _written_server(self, hostname: CustomHostname) -> Any:
        if hostname.server is None:
            return None
        sealed = self._store.seal(hostname.server.private_key_der(), context=key_context(str(hostname.pattern)))
        return {"chain": [_text(to_der(item)) for item in hostname.server.certificates], "key": _text(sealed)}

    def _read(self, record: Record, server: _Server = _Server.READ) -> CustomHostname:
        try:
            return self._parsed(json.loads(record.value), record, server)
        except (ValueError, KeyError, TypeError) as error:
            raise StoreError(
                f"expected a readable record of hostname {record.key!r}, got {type(error).__name__}"
            ) from error

    def _parsed(self, document: Mapping[str, Any], record: Record, server: _Server) -> CustomHostname:
        return CustomHostname(
            pattern=HostnamePattern.parse(document["pattern"]),
            client_auth=ClientAuth(document["client_auth"]),
            trust=TrustStore(
                [
                    TrustAnchor(_parse(item["der"]), id=item["id"], pinned=Pinning(item["pinned"]))
                    for item in document["anchors"]
                ],
                intermediates=list(map(_parse, document["intermediates"])),
                revocations=self._revocations,
            ),
            enforce=Enforcement(document["enforce"]),
            policies=read.policies(read_policies(document["policies"])),
            server=self._parsed_server(document["server"], record.key) if server is _Server.READ else None,
            minimum_version=TLSVersion(document["minimum_version"]),
            resumption=Resumption(document["resumption"]),
            revocation=RevocationMode(document["revocation"]),
            revocation_unknown=RevocationFallback(document.get("revocation_unknown", RevocationFallback.DENY)),
            revocation_stale=RevocationFallback(document.get("revocation_stale", RevocationFallback.DENY)),
            lists=tuple(map(_parsed_list, document.get("lists", ()))),
            metadata=document["metadata"],
            version=record.version,
        )

    def _parsed_server(self, server: Mapping[str, Any] | None, key: str) -> SigningChain | None:
        if server is None:
            return None
        chain = tuple(map(_parse, server["chain"]))
        # The key was looked at when it was added, and the seal says that it is the same: to look again would cost
        # a tenth of a second with RSA, whenever a stranger names a hostname that is not in memory (I12).
        private_key: Any = serialization.load_der_private_key(
            self._store.unseal(base64.b64decode(server["key"]), context=key_context(key)),
            None,
            unsafe_skip_rsa_key_validation=True,
        )
        return SigningChain(private_key, chain)


_DEFAULTS: dict[str, Any] = dict(Hostnames.add.__kwdefaults__ or {})


def _known(settings: Mapping[str, Any]) -> Mapping[str, Any]:
    unknown = sorted(set(settings) - set(_DEFAULTS))
    if unknown:
        raise ConfigurationError(f"expected settings of a hostname, got {unknown!r}")
    return settings


def _checked_sharing(transaction: Transaction, hostname: CustomHostname, wanted: SharedAnchors) -> tuple[str, ...]:
    anchors = [anchor.certificate for anchor in hostname.trust.anchors]
    others = anchor_index.sharing(transaction, str(hostname.pattern), anchors)
    if others and wanted is SharedAnchors.REFUSE:
        raise Conflict(f"expected trust anchors for {str(hostname.pattern)!r} alone, got a key of {others[0]!r}")
    return others


def _noted(transaction: Transaction, event: str, pattern: HostnamePattern, sharing: Sequence[str] = ()) -> None:
    shared = {"shares_anchor_with": ", ".join(sharing)} if sharing else {}
    transaction.append_audit(event, {"hostname": str(pattern), **shared})
    transaction.touch(f"{TOPIC}{pattern}")


def key_context(pattern: str) -> str:
    """What the sealed server key of that pattern is bound to."""
    return f"hostname-key:{pattern}"


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _parse(text: str) -> x509.Certificate:
    return x509.load_der_x509_certificate(base64.b64decode(text))


def _parsed_list(item: Mapping[str, str]) -> bytes | str:
    return item["url"] if "url" in item else base64.b64decode(item["der"])
