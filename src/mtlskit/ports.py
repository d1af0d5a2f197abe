"""The two ports of the services: where state is kept, and what speaks TLS. Adapters live in `stores` and `backends`.

Store contract (one test suite holds every adapter to it)
---------------------------------------------------------
A store keeps records: bytes under (`kind`, `partition`, `key`), each with a version. It does not know what
they mean. All access is inside `transaction()`; a transaction is atomic, serialisable and durable when its
`with` block has ended without an error, and without effect when it raised. Transactions are short and do not nest.

* `insert` raises Conflict if the key exists; `replace` and `delete` raise NotFound without the key and Conflict
  if `version` is given and is not the record's; versions start at 1 and grow by one, and a deleted key that
  comes back starts above its old version.
* `scan` gives a partition's records in the order of their keys (by code point), after `after`, at most `limit`.
* `increment` gives 1, 2, 3, ... per name: never the same number twice, whatever crashed.
* `append_audit` adds a row to the append-only, hash-chained log, in the same transaction.
* `touch(topic)` marks the transaction as a change of `topic`; when it has committed, `changes` reports it, in this
  process (to subscribers, at once, in the committing thread) and to other processes that poll.
* Everything may be called from any thread; after a fork each process opens its own connections.
* Anything the medium raises becomes Unavailable.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol, runtime_checkable

from cryptography import x509

from mtlskit.core.certificates import SigningChain
from mtlskit.core.verdict import PeerEvidence


@dataclass(frozen=True, slots=True)
class Record:
    """One stored value."""

    key: str
    value: bytes
    version: int


class Transaction(Protocol):
    """What can be done inside `Store.transaction()`."""

    def get(self, kind: str, partition: str, key: str) -> Record | None:
        """The record, or None."""
        ...

    def scan(self, kind: str, partition: str, *, after: str = "", limit: int | None = None) -> Iterator[Record]:
        """The records of one partition in the order of their keys."""
        ...

    def insert(self, kind: str, partition: str, key: str, value: bytes) -> Record:
        """Adds a record; raises Conflict if there is one."""
        ...

    def replace(self, kind: str, partition: str, key: str, value: bytes, *, version: int | None = None) -> Record:
        """Changes a record; raises NotFound, or Conflict if `version` is not the record's."""
        ...

    def delete(self, kind: str, partition: str, key: str, *, version: int | None = None) -> None:
        """Removes a record; raises NotFound, or Conflict if `version` is not the record's."""
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


class Resumption(StrEnum):
    """Whether a server context hands out sessions. A resumed session is judged like a new one either way (I5)."""

    NONE = "none"
    TICKETS = "tickets"


class Verification(StrEnum):
    """What a server context does with client certificates in the handshake."""

    NONE = "none"  # none is asked for
    OPTIONAL = "optional"  # asked for; one that comes must verify
    REQUIRED = "required"  # one that verifies must come
    COLLECT = "collect"  # asked for and taken as evidence whatever it is; the verdict is given per request


class TLSVersion(StrEnum):
    """The oldest protocol version that is spoken."""

    TLS_1_2 = "1.2"
    TLS_1_3 = "1.3"


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
