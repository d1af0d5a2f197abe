"""The two ports of the services: where state is kept, and what speaks TLS. Adapters live in `stores` and `backends`.

Store contract (one test suite holds every adapter to it)
---------------------------------------------------------
A store keeps records: bytes under (`kind`, `partition`, `key`), each with a version. It does not know what
they mean. All access is inside `transaction()`; a transaction is atomic, serialisable and durable when its
`with` block has ended without an error, and without effect when it raised. Transactions are short and do not nest.

* `insert` raises Conflict if the key exists; `replace` and `delete` raise NotFound without the key and Conflict
  if `version` is given and is not the record's; versions start at 1 and grow by one, and a deleted key that
  comes back starts above its old version.
* `get_many`, `insert_many` and `delete_many` do what they say in one step, which over a network is one round trip.
* `scan` gives a partition's records in the order of their keys (by code point), after `after`, at most `limit`.
* `increment` gives 1, 2, 3, ... per name: a number of a committed transaction never comes again, whatever crashed.
* `append_audit` adds a row to the append-only, hash-chained log, in the same transaction.
* `touch(topic)` marks the transaction as a change of `topic`; when it has committed, the subscribers of this process
  hear of it (at once, in the committing thread) and those of other processes when they `poll`, or before, in a thread
  of the store's. Who has not polled for so long that topics are forgotten hears EVERYTHING: whatever was remembered
  is to be dropped.
* `snapshot()` is for reading: it sees one committed state, takes no write lock and does not wait for one.
* Kinds, partitions, keys, names, topics and events are text without NUL and without lone surrogates. A counter's
  name has at most 2,000 bytes in UTF-8, and so have a new record's kind, partition and key together.
* Everything may be called from any thread; after a fork each process opens its own connections.
* Anything the medium raises becomes Unavailable.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol, runtime_checkable

from cryptography import x509

from mtlskit.core.certificates import SigningChain
from mtlskit.core.evidence import PeerEvidence, Resumption, TLSVersion


@dataclass(frozen=True, slots=True)
class Record:
    """One stored value."""

    key: str
    value: bytes
    version: int


EVERYTHING = "*"  # the topic that stands for all topics


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditRow:
    """One row of the audit log. `recorded_at` is RFC 3339 text in UTC; `hash` covers `previous_hash` and the rest."""

    sequence: int
    recorded_at: str
    event: str
    details: Mapping[str, str]
    previous_hash: bytes
    hash: bytes


class Snapshot(Protocol):
    """What can be read inside `Store.snapshot()` and `Store.transaction()`."""

    def get(self, kind: str, partition: str, key: str) -> Record | None:
        """The record, or None."""
        ...

    def get_many(self, kind: str, partition: str, keys: Collection[str]) -> Mapping[str, Record]:
        """Those of these records that there are, by their keys."""
        ...

    def scan(self, kind: str, partition: str, *, after: str = "", limit: int | None = None) -> Iterator[Record]:
        """The records of one partition in the order of their keys."""
        ...

    def scan_audit(self, *, after: int = 0) -> Iterator[AuditRow]:
        """The rows of the audit log from the oldest on, those with a `sequence` above `after`."""
        ...


class Transaction(Snapshot, Protocol):
    """What can be done inside `Store.transaction()`."""

    def insert(self, kind: str, partition: str, key: str, value: bytes) -> Record:
        """Adds a record; raises Conflict if there is one."""
        ...

    def insert_many(self, kind: str, partition: str, values: Mapping[str, bytes]) -> None:
        """Adds records; raises Conflict if there is one of them. Then the transaction is to be left."""
        ...

    def replace(self, kind: str, partition: str, key: str, value: bytes, *, version: int | None = None) -> Record:
        """Changes a record; raises NotFound, or Conflict if `version` is not the record's."""
        ...

    def delete(self, kind: str, partition: str, key: str, *, version: int | None = None) -> None:
        """Removes a record; raises NotFound, or Conflict if `version` is not the record's."""
        ...

    def delete_many(self, kind: str, partition: str, keys: Collection[str]) -> None:
        """Removes records; raises NotFound if one of them is not there. Then the transaction is to be left."""
        ...

    def increment(self, name: str) -> int:
        """The next number of the counter `name`, from 1 on."""
        ...

    def append_audit(self, event: str, details: Mapping[str, str]) -> None:
        """Adds a row to the hash-chained log. Never a secret."""
        ...

    def touch(self, topic: str) -> None:
        """Marks this transaction as a change of `topic`."""
        ...


@runtime_checkable
class Store(Protocol):
    """Where authorities, certificates, hostnames and uploads are kept. The contract is in the module's docstring."""

    def transaction(self) -> AbstractContextManager[Transaction]:
        """One atomic unit of work; raises Unavailable if the medium does not answer."""
        ...

    def snapshot(self) -> AbstractContextManager[Snapshot]:
        """One committed state, for reading only; cheap, and not held up by writers. Raises Unavailable."""
        ...

    def seal(self, plaintext: bytes, *, context: str) -> bytes:
        """Encrypts a secret at rest under the key-encryption key, bound to `context`."""
        ...

    def unseal(self, sealed: bytes, *, context: str) -> bytes:
        """Opens what `seal` made for the same `context`; raises StoreError."""
        ...

    def poll(self) -> None:
        """Looks for changes that other processes have committed and tells the subscribers."""
        ...

    def subscribe(self, callback: Callable[[frozenset[str]], None]) -> Callable[[], None]:
        """Calls `callback` with the topics of every committed change; gives the function that ends it."""
        ...

    def close(self) -> None:
        """Gives the connections back. Idempotent."""
        ...


class Verification(StrEnum):
    """What a server context does with client certificates in the handshake."""

    NONE = "none"  # none is asked for
    OPTIONAL = "optional"  # asked for; one that comes must verify
    REQUIRED = "required"  # one that verifies must come
    COLLECT = "collect"  # asked for and taken as evidence whatever it is; the verdict is given per request


class ServerTrust(StrEnum):
    """Named sets of roots a client context can trust."""

    CERTIFI = "certifi"
    SYSTEM = "system"


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerConfiguration:
    """Everything that one hostname's server context is made from."""

    chain: SigningChain
    verification: Verification = Verification.NONE
    anchors: tuple[x509.Certificate, ...] = ()
    intermediates: tuple[x509.Certificate, ...] = ()
    minimum_version: TLSVersion = TLSVersion.TLS_1_2
    alpn: tuple[str, ...] = ()
    resumption: Resumption = Resumption.NONE


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientConfiguration:
    """Everything that a client context is made from. The server is always verified, name included."""

    chain: SigningChain | None = None
    trust: ServerTrust | tuple[x509.Certificate, ...] = ServerTrust.CERTIFI
    minimum_version: TLSVersion = TLSVersion.TLS_1_2
    alpn: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What a backend can do beyond the contract; what it cannot do differs on the deny side only (I13)."""

    collects_unverified: bool
    sees_rejected_certificate: bool
    sends_client_ca_names: bool
    sees_certificate_requests: bool = False  # as a client, in the handshake (`backends.certificate_requests`)


@runtime_checkable
class Evident(Protocol):
    """What a server-side TLS object of a backend's context can say about its peer after the handshake."""

    def evidence(self) -> PeerEvidence:
        """The server name, the presented chain, the version, whether it was resumed."""
        ...


class Backend(Protocol):
    """A TLS library behind `ssl.SSLContext`'s own interface (`wrap_bio`, `wrap_socket`)."""

    @property
    def name(self) -> str:
        """The name it is chosen by."""
        ...

    @property
    def capabilities(self) -> Capabilities:
        """What it can do."""
        ...

    def server_context(self, configuration: ServerConfiguration) -> ssl.SSLContext:
        """One hostname's context. Its TLS objects are `Evident`. Raises ConfigurationError."""
        ...

    def client_context(self, configuration: ClientConfiguration) -> ssl.SSLContext:
        """A client's context that verifies the server. Raises ConfigurationError."""
        ...
