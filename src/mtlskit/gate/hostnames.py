"""The custom hostnames of a gate, in its store: add, replace, remove, get. Their form is in `hostname_records.py`.

Beside each record stands the index of its trust anchors (`anchor_index.py`). The topic of every change is
`hostname:<pattern>`. The audit log's rows are `hostname.added`, `hostname.replaced` and `hostname.removed`, each with
who asked for it; the first two say the SHA-256 of what stands now, all but the private key, the second what `changed`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from cryptography import x509

from mtlskit.core.certificates import SigningChain
from mtlskit.core.custom_hostname import ClientAuth, CustomHostname, Enforcement, PolicyMode
from mtlskit.core.evidence import Resumption, TLSVersion
from mtlskit.core.given import member
from mtlskit.core.names import HostnamePattern
from mtlskit.core.policy import AccessPolicy
from mtlskit.core.validation import RevocationFallback, RevocationMode, Revocations, TrustStore
from mtlskit.errors import ConfigurationError, Conflict, NotFound, StoreError
from mtlskit.gate import anchor_index
from mtlskit.gate import settings as read
from mtlskit.gate.anchor_index import SharedAnchors
from mtlskit.gate.hostname_records import KIND, changed, digest, parsed, parsed_but_policies, written
from mtlskit.gate.settings import Anchor
from mtlskit.ports import Record, Snapshot, Store, Transaction
from mtlskit.revocation.sources import Given

_LOGGER = logging.getLogger("mtlskit.gate")
TOPIC = "hostname:"
_PARTITION = ""


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
        policy_mode: PolicyMode | str = PolicyMode.ENFORCE,
        enforce: Enforcement | str = Enforcement.HANDSHAKE,
        minimum_version: TLSVersion | str = TLSVersion.TLS_1_2,
        resumption: Resumption | str = Resumption.NONE,
        revocation: RevocationMode | str = RevocationMode.OFF,
        revocation_unknown: RevocationFallback | str = RevocationFallback.DENY,
        revocation_stale: RevocationFallback | str = RevocationFallback.DENY,
        lists: Sequence[Given] = (),
        metadata: Mapping[str, str] | None = None,
        shared_anchors: SharedAnchors | str = SharedAnchors.FLAG,
        requester: str = "",
    ) -> CustomHostname:
        """Adds a hostname (`pay.acme.example`) or one-label wildcard (`*.acme.example`).

        `trust` holds the CA certificates (parsed, or one in PEM or DER each) whose clients are let in, `server` the
        chain and key that are served. `lists` are the revocation lists to be asked: each in PEM or DER, or where it
        is, an `https:`, `http:` or `file:` URL that is read again and again. A trust anchor whose key another hostname
        trusts too lets the clients of the one in at the other: the audit row names such hostnames, or with
        `shared_anchors="refuse"` it is a Conflict. Only equal keys are seen: who trusts a root lets in the clients of
        every authority below it, of which another hostname may trust one. `requester` is for the audit log.

        Raises Conflict if the pattern is there already, InvalidName, CertificateError or ConfigurationError for what
        cannot be used; then nothing is written.
        """
        hostname, sharing = self._made(settings := locals()), read.shared_anchors(settings["shared_anchors"])
        with self._store.transaction() as transaction:
            record = transaction.insert(KIND, _PARTITION, str(hostname.pattern), written(hostname, self._store))
            others = _checked_sharing(transaction, hostname, sharing)
            anchor_index.add(transaction, hostname)
            details = {"sha256": digest(hostname), **_shared_with(others)}
            _noted(transaction, "hostname.added", hostname.pattern, requester, details)
            return self._read(record)  # before the commit: what could not be read again is not written

    def replace(self, pattern: str, **settings: Any) -> CustomHostname:
        """Replaces the whole record by new `settings` (those of `add`); raises NotFound if there is none."""
        wanted = {**_DEFAULTS, **_known(settings), "pattern": pattern}
        hostname, sharing = self._made(wanted), read.shared_anchors(wanted["shared_anchors"])
        with self._store.transaction() as transaction:
            before = _found(transaction, str(hostname.pattern))
            anchor_index.remove(transaction, parsed_but_policies(before, self._revocations))
            record = transaction.replace(KIND, _PARTITION, before.key, written(hostname, self._store))
            others = _checked_sharing(transaction, hostname, sharing)
            anchor_index.add(transaction, hostname)
            differing = ", ".join(changed(before, hostname))
            details = {"sha256": digest(hostname), "changed": differing, **_shared_with(others)}
            _noted(transaction, "hostname.replaced", hostname.pattern, wanted["requester"], details)
            return self._read(record)

    def set_policies(
        self,
        pattern: str,
        policies: Sequence[AccessPolicy],
        *,
        policy_mode: PolicyMode | str | None = None,
        version: int | None = None,
        requester: str = "",
    ) -> CustomHostname:
        """Replaces the policies of a record, and the mode if it is given, and leaves the rest as it is.

        `version` is the record's that the caller has read: raises Conflict where it has changed since. Also raises
        NotFound and ConfigurationError; then nothing is written.
        """
        wanted: dict[str, Any] = {"policies": read.policies(policies)}
        if policy_mode is not None:
            wanted["policy_mode"] = member(PolicyMode, policy_mode, "policy_mode")
        with self._store.transaction() as transaction:
            before = _found(transaction, str(HostnamePattern.parse(pattern)))
            hostname = replace(self._read(before), **wanted)
            value = written(hostname, self._store)
            record = transaction.replace(
                KIND, _PARTITION, before.key, value, version=before.version if version is None else version
            )
            details = {"sha256": digest(hostname), "changed": ", ".join(changed(before, hostname))}
            _noted(transaction, "hostname.replaced", hostname.pattern, requester, details)
            return self._read(record)

    def remove(self, pattern: str, *, requester: str = "") -> None:
        """Removes the record; raises NotFound if there is none."""
        with self._store.transaction() as transaction:
            before = _found(transaction, str(HostnamePattern.parse(pattern)))
            found = parsed_but_policies(before, self._revocations)
            anchor_index.remove(transaction, found)
            transaction.delete(KIND, _PARTITION, before.key)
            _noted(transaction, "hostname.removed", found.pattern, requester)

    def get(self, pattern: str) -> CustomHostname:
        """The record of exactly this pattern; raises NotFound."""
        with self._store.snapshot() as snapshot:
            return self._read(_found(snapshot, str(HostnamePattern.parse(pattern))))

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
        return [self._read_but_server(record) for record in records if record is not None]

    def __iter__(self) -> Iterator[CustomHostname]:
        """All of them, in the order of their patterns, a page at a time. Raises StoreError for what cannot be read."""
        return map(self._read, self._records())

    def readable(self) -> Iterator[CustomHostname]:
        """As iterating, without those that cannot be read, which stand in the log: their clients are refused."""
        for record in self._records():
            try:
                yield self._read(record)
            except StoreError as error:
                _LOGGER.error("a hostname could not be read: %s", error)  # noqa: TRY400 - the error says all

    def _records(self) -> Iterator[Record]:
        after = ""
        while True:
            with self._store.snapshot() as snapshot:
                page = list(snapshot.scan(KIND, _PARTITION, after=after, limit=256))
            if not page:
                return
            yield from page
            after = page[-1].key

    def _made(self, settings: Mapping[str, Any]) -> CustomHostname:
        hostname = CustomHostname(
            pattern=HostnamePattern.parse(settings["pattern"]),
            client_auth=member(ClientAuth, settings["client_auth"], "client_auth"),
            trust=TrustStore(
                list(map(read.anchor, read.sequence(settings["trust"], "trust anchors"))),
                intermediates=[read.issuer(item, "an intermediate") for item in settings["intermediates"]],
                revocations=self._revocations,
            ),
            enforce=member(Enforcement, settings["enforce"], "enforce"),
            policies=read.policies(settings["policies"]),
            policy_mode=member(PolicyMode, settings["policy_mode"], "policy_mode"),
            server=read.server_chain(settings["server"]),
            minimum_version=member(TLSVersion, settings["minimum_version"], "minimum_version"),
            resumption=member(Resumption, settings["resumption"], "resumption"),
            revocation=member(RevocationMode, settings["revocation"], "revocation"),
            revocation_unknown=member(RevocationFallback, settings["revocation_unknown"], "revocation_unknown"),
            revocation_stale=member(RevocationFallback, settings["revocation_stale"], "revocation_stale"),
            lists=read.lists(settings["lists"]),
            metadata=dict(settings["metadata"] or {}),
        )
        self._check(hostname)
        return hostname

    def _read(self, record: Record) -> CustomHostname:
        return parsed(record, self._revocations, self._store)

    def _read_but_server(self, record: Record) -> CustomHostname:
        return parsed(record, self._revocations, None)


_DEFAULTS: dict[str, Any] = dict(Hostnames.add.__kwdefaults__ or {})


def _known(settings: Mapping[str, Any]) -> Mapping[str, Any]:
    unknown = sorted(set(settings) - set(_DEFAULTS))
    if unknown:
        raise ConfigurationError(f"expected settings of a hostname, got {unknown!r}")
    return settings


def _found(snapshot: Snapshot, key: str) -> Record:
    record = snapshot.get(KIND, _PARTITION, key)
    if record is None:
        raise NotFound(f"expected a hostname that was added, got {key!r}")
    return record


def _checked_sharing(transaction: Transaction, hostname: CustomHostname, wanted: SharedAnchors) -> tuple[str, ...]:
    anchors = [anchor.certificate for anchor in hostname.trust.anchors]
    others = anchor_index.sharing(transaction, str(hostname.pattern), anchors)
    if others and wanted is SharedAnchors.REFUSE:
        raise Conflict(f"expected trust anchors for {str(hostname.pattern)!r} alone, got a key of {others[0]!r}")
    return others


def _shared_with(others: Sequence[str]) -> Mapping[str, str]:
    return {"shares_anchor_with": ", ".join(others)} if others else {}


def _noted(
    transaction: Transaction,
    event: str,
    pattern: HostnamePattern,
    requester: str,
    details: Mapping[str, str] = MappingProxyType({}),
) -> None:
    transaction.append_audit(event, {"hostname": str(pattern), "requester": requester, **details})
    transaction.touch(f"{TOPIC}{pattern}")
