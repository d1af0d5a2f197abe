"""The hostname gate: whose client gets in where. Holds no opinion of its own; `core.verdict.decide` does."""

from __future__ import annotations

import itertools
import logging
import ssl
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from secrets import token_hex
from typing import Any, TypeAlias, overload

from mtlskit.authority.issuances import issuance_of
from mtlskit.authority.records import RevokedSerials
from mtlskit.backends import get_backend
from mtlskit.backends.router import RoutedContext
from mtlskit.core.certificates import PresentedChain
from mtlskit.core.custom_hostname import CustomHostname, Enforcement
from mtlskit.core.evidence import PeerEvidence
from mtlskit.core.names import Hostname
from mtlskit.core.policy import RecordedRequest, explain
from mtlskit.core.reasons import Reason
from mtlskit.core.request import RequestFacts
from mtlskit.core.verdict import Allow, Deny, decide, facts_for, server_name_of
from mtlskit.errors import (
    ConfigurationError,
    InvalidName,
    MTLSError,
    Unavailable,
)
from mtlskit.gate.connection import Allowed, Connection
from mtlskit.gate.contexts import server_configuration
from mtlskit.gate.events import Event, Events, Refused, Stage, Unenforced, refused, unenforced
from mtlskit.gate.freshness import Freshness
from mtlskit.gate.handshakes import Handshakes
from mtlskit.gate.hostnames import TOPIC, Hostnames
from mtlskit.gate.neighbours import stranger_reason
from mtlskit.gate.recording import Recording
from mtlskit.gate.snapshot import Entry, Snapshot, watched
from mtlskit.ports import EVERYTHING, Backend, Store
from mtlskit.revocation import ListStatus, RevocationLists, WatchedLists

Facts: TypeAlias = Callable[[str | None, datetime], RequestFacts]
"""What is known of a request, with the hostname and the moment that the gate says."""

_LOGGER = logging.getLogger("mtlskit.gate")
_LONGEST_MEMORY_SECONDS = 60.0


def unknown_facts(hostname: str | None, at: datetime) -> RequestFacts:
    """Of a request of which nothing is known beside its connection."""
    return RequestFacts(hostname=hostname, at=at)


class Gate:
    """The gate over one store. May be shared between threads and tasks, and survives a fork.

    `backend` is "ssl", "pyopenssl" or None for the default. `most_hostnames` bounds how many records and TLS contexts
    are held in memory at once; more may be in the store. `lists` reads the hostnames' revocation lists; give one of
    your own for another schedule, other limits or a directory that keeps the lists over a restart (`keep_in`), and
    close it yourself. `recording` writes down what policies are asked, for rehearsals, which costs: no answer is then
    remembered. Close the store, and the recording, when the gate is not used any more.
    """

    def __init__(
        self,
        store: Store,
        *,
        backend: str | Backend | None = None,
        most_hostnames: int = 10_000,
        lists: RevocationLists | None = None,
        recording: Recording | None = None,
    ) -> None:
        self.store = store
        self._recording = recording
        self.backend = get_backend(backend)
        self.alpn: tuple[str, ...] = ("http/1.1",)
        self._revocations = RevokedSerials(store)
        self.hostnames = Hostnames(store, self._check, self._revocations)
        self._events = Events()
        self.lists = RevocationLists() if lists is None else lists
        self._owns_lists = lists is None
        self._loaded: dict[str, WatchedLists] = {}
        self._snapshot = Snapshot(
            self.hostnames,
            self._revocations,
            partial(issuance_of, store),
            self.lists,
            most_hostnames=most_hostnames,
        )
        self._count = itertools.count(1)
        self._changes = 0
        self._freshness = Freshness(self._poll)
        self._unsubscribe = store.subscribe(self._changed)
        self._unsubscribe_lists = self.lists.subscribe(lambda _source: self._note_change())

    @property
    def changes(self) -> int:
        """A number that is another after every change that could turn a verdict. Cheap to compare."""
        return self._changes

    def close(self) -> None:
        """Stops reading lists and listening to the store, which stays open. Idempotent."""
        self._unsubscribe()
        self._unsubscribe_lists()
        if self._owns_lists:
            self.lists.close()
        self._revocations.close()

    @overload
    def subscribe(self, subscriber: Callable[[Refused], None]) -> Callable[[], None]: ...

    @overload
    def subscribe(self, subscriber: Callable[[Unenforced], None], kind: type[Unenforced]) -> Callable[[], None]: ...

    @overload
    def subscribe(self, subscriber: Callable[[Refused], None], kind: type[Refused]) -> Callable[[], None]: ...

    def subscribe(self, subscriber: Callable[[Any], None], kind: type[Event] = Refused) -> Callable[[], None]:
        """Calls `subscriber` with every event of that kind; gives the function that ends it."""
        return self._events.subscribe(subscriber, kind)

    def ssl_context(self) -> ssl.SSLContext:
        """The listener's context, for any server that takes an `ssl.SSLContext`. It finds each hostname's own."""
        return RoutedContext(
            Handshakes(
                find=self._current_entry,
                make_context=self._make_context,
                stranger=self._stranger,
                tell=self._events.publish,
            )
        )

    def decide(self, evidence: PeerEvidence, authority: str | None, facts: Facts = unknown_facts) -> Allow | Deny:
        """The verdict on one request to `authority` over a connection of which `evidence` is known, now.

        `facts` gives what else is known of the request, and is called where policies ask for it. Never raises. A
        refusal is not reported here: see `report`.
        """
        return self._judged(evidence, authority, facts)[0]

    def decide_on(self, connection: Connection, authority: str | None, facts: Facts = unknown_facts) -> Allow | Deny:
        """As `decide`, for one of many requests on a connection.

        What was allowed is allowed again at once while no change has been committed and no certificate has expired
        since: the verdict is a function of nothing else. Only where policies ask for more than the client, they are
        asked again. What was denied is looked at anew.
        """
        allowed = connection.allowed
        if (
            allowed is not None
            and self._is_fresh()
            and allowed.changes == self._changes
            and allowed.authority == authority
            and allowed.since <= time.time() < allowed.until
        ):
            again = allowed.verdict.again
            return allowed.verdict if again is None else self._asked(again, connection.evidence, facts)
        changes = self._changes  # read before the verdict: a change meanwhile makes it stale
        verdict = self.decide(connection.evidence, authority, facts)
        if isinstance(verdict, Allow) and self._recording is None:
            connection.allowed = Allowed(verdict, authority, changes, time.time(), _until(verdict))
        return verdict

    def _asked(
        self, policies: Callable[[RequestFacts], Allow | Deny], evidence: PeerEvidence, facts: Facts
    ) -> Allow | Deny:
        """What the policies say of another request of a client who is verified still."""
        try:
            now = _now()
            return policies(facts_for(evidence, facts(server_name_of(evidence), now), now))
        except Exception:  # as in `_judged`
            _LOGGER.exception("a request could not be judged")
            return Deny(reason=Reason.INTERNAL_ERROR)

    def _is_fresh(self) -> bool:
        try:
            self.refresh()
        except Unavailable:
            return False
        return True

    def _judged(
        self, evidence: PeerEvidence, authority: str | None, facts: Facts
    ) -> tuple[Allow | Deny, CustomHostname | None]:
        """The verdict, and the record that it was found by."""
        try:
            self.refresh()
            entry = self._entry(evidence.server_name)
            return self._decided(entry, evidence, authority, facts), None if entry is None else entry.hostname
        except MTLSError as error:
            return Deny(reason=Reason.STORE_UNAVAILABLE, detail=str(error)), None
        except Exception:  # a gate that fails denies (I4)
            _LOGGER.exception("a request could not be judged")
            return Deny(reason=Reason.INTERNAL_ERROR), None

    def _decided(
        self, entry: Entry | None, evidence: PeerEvidence, authority: str | None, facts: Facts
    ) -> Allow | Deny:
        if entry is None:
            return decide(None, evidence, authority, now=_now())
        now, recording = _now(), self._recording
        is_asked = entry.hostname.judges_each_request or recording is not None
        request = facts_for(evidence, facts(server_name_of(evidence), now), now) if is_asked else None
        verdict = decide(entry.hostname, evidence, authority, now=now, request=request, verify=entry.verify)
        if recording is not None and request is not None and verdict.policy is not None:
            recording.note(RecordedRequest(verdict.identity, request, verdict.policy.allowed))
        if isinstance(verdict, Deny) and verdict.reason is Reason.UNKNOWN_ISSUER:
            return Deny(reason=self._stranger(entry.hostname, evidence.presented), detail=verdict.detail)
        if isinstance(verdict, Deny) and verdict.reason is Reason.REVOCATION_UNKNOWN:
            return Deny(reason=verdict.reason, detail="; ".join([verdict.detail, *map(str, entry.list_status())]))
        return verdict

    def explain(
        self,
        hostname: str,
        *,
        certificate: bytes | str | PresentedChain | None = None,
        request: RequestFacts | None = None,
    ) -> Allow | Deny:
        """What would happen to a client of `hostname` with this chain (PEM, leaf first) or with none, now.

        `request` is what policies may ask for beside the client. Where the policies were reached, the verdict's
        `explanation` has every rule with what it saw.
        """
        presented = PresentedChain.from_pem(certificate) if isinstance(certificate, bytes | str) else certificate
        evidence = PeerEvidence(server_name=hostname, presented=presented)
        verdict, record = self._judged(evidence, hostname, lambda _hostname, _at: request or RequestFacts())
        if verdict.policy is None or record is None:
            return verdict
        told = explain(record.policies, verdict.identity, facts_for(evidence, request, _now()))
        return replace(verdict, explanation=told)

    def load_lists(self, timeout: float = 30.0) -> tuple[ListStatus, ...]:
        """Reads the revocation lists of every hostname in the store before there are clients; the status of each.

        Without it a list is read when its hostname is first named, and who comes before it is there is refused as
        `revocation_unknown`. Waits at most `timeout` seconds. It blocks: in an event loop, call it in a thread.
        """
        for hostname in self.hostnames.readable():
            found = watched(hostname, self.lists)
            if found is not None:
                self._loaded[str(hostname.pattern)] = found
        return self.lists.load(timeout)

    def revocation_status(self, hostname: str | None = None) -> tuple[ListStatus, ...]:
        """What the sources of revocation lists say of themselves: those of one hostname, or all that are read."""
        if hostname is None:
            return self.lists.status()
        entry = self._entry(hostname)
        return () if entry is None else entry.list_status()

    def report(self, evidence: PeerEvidence, verdict: Deny) -> Refused:
        """Tells the operator of a refused request; gives the event, whose `request_id` may be told to the client."""
        event = refused(
            Stage.REQUEST,
            verdict.reason,
            evidence.server_name,
            evidence.presented,
            detail=verdict.detail,
            request_id=token_hex(8),
        )
        self._events.publish(event)
        return event

    def report_unenforced(self, evidence: PeerEvidence, verdict: Allow) -> Unenforced:
        """Tells the operator of a request that passed by a bypass, or that the policies would have denied."""
        event = unenforced(evidence.server_name, verdict, request_id=token_hex(8))
        self._events.publish(event)
        return event

    def refresh(self) -> None:
        """Looks, at most once a second, for what other processes changed in the store.

        Raises Unavailable when the store has not answered for five seconds: a revocation may have been missed (I6).
        """
        self._freshness.look()

    def _poll(self) -> None:
        self.lists.keep_running()
        self.store.poll()

    def _current_entry(self, server_name: str | None) -> Entry | None:
        self.refresh()
        return self._entry(server_name)

    def _entry(self, server_name: str | None) -> Entry | None:
        try:
            name = Hostname.parse(server_name or "")
        except InvalidName:
            return None
        return self._snapshot.entry(name)

    def _stranger(self, hostname: CustomHostname, presented: PresentedChain | None) -> Reason:
        return stranger_reason(hostname, presented, self.hostnames, _now())

    def _make_context(self, hostname: CustomHostname) -> ssl.SSLContext:
        return self.backend.server_context(server_configuration(hostname, self.alpn))

    def _check(self, hostname: CustomHostname) -> None:
        if hostname.enforce is Enforcement.REQUEST and not self.backend.capabilities.collects_unverified:
            raise ConfigurationError(
                f"expected a backend that can enforce per request for {str(hostname.pattern)!r}, "
                f"got {self.backend.name!r}"
            )
        if hostname.server is not None:
            self._make_context(hostname)  # what TLS cannot use is refused now, not at the first handshake

    def _changed(self, topics: frozenset[str]) -> None:
        if EVERYTHING in topics:
            self._snapshot.forget_all()
        for topic in topics:
            if topic.startswith(TOPIC):
                self._snapshot.forget(topic.removeprefix(TOPIC))
                self._loaded.pop(topic.removeprefix(TOPIC), None)
        self._note_change()

    # A lock could be held by another thread when this process is forked; a count cannot. No number comes twice.
    def _note_change(self) -> None:
        self._changes = next(self._count)


def _until(verdict: Allow) -> float:
    longest = time.time() + _LONGEST_MEMORY_SECONDS
    return longest if verdict.path is None else min(longest, verdict.path.not_after.timestamp())


def _now() -> datetime:
    return datetime.now(UTC)
