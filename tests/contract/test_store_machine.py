"""Any sequence of transactions: every store answers and ends as the memory store does, which is the model."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from mtlskit.errors import MTLSError
from mtlskit.ports import Snapshot, Store, Transaction
from mtlskit.stores import KeyEncryption, open_store
from mtlskit.stores.audit import verify_audit
from support.postgres import Postgres

KEYS = KeyEncryption(bytes(32))
KINDS, PARTITIONS = ("kind", "other"), ("", "p")
# By code point: upper before lower case, beyond the basic plane last.
NAMES = ("", "A", "a", "a\x7f", "b", "ä", "\uffff", "\U00010000")

kinds, partitions, keys = st.sampled_from(KINDS), st.sampled_from(PARTITIONS), st.sampled_from(NAMES)
values = st.binary(max_size=40)
versions = st.none() | st.integers(1, 4)

Step = Callable[[Transaction], Any]
Place = Callable[[], AbstractContextManager[str]]  # of a fresh store: its URL
_MANY = 300


def insert(kind: str, partition: str, key: str, value: bytes) -> Step:
    return lambda transaction: transaction.insert(kind, partition, key, value)


def replace(kind: str, partition: str, key: str, value: bytes, version: int | None) -> Step:
    return lambda transaction: transaction.replace(kind, partition, key, value, version=version)


def delete(kind: str, partition: str, key: str, version: int | None) -> Step:
    return lambda transaction: transaction.delete(kind, partition, key, version=version)


def get(kind: str, partition: str, key: str) -> Step:
    return lambda transaction: transaction.get(kind, partition, key)


def scan(kind: str, partition: str, after: str, limit: int | None) -> Step:
    return lambda transaction: list(transaction.scan(kind, partition, after=after, limit=limit))


def increment(name: str) -> Step:
    return lambda transaction: transaction.increment(name)


def audit(event: str, detail: str) -> Step:
    return lambda transaction: transaction.append_audit(event, {"detail": detail})


def touch(topic: str) -> Step:
    return lambda transaction: transaction.touch(topic)


steps: st.SearchStrategy[Step] = st.one_of(
    st.builds(insert, kinds, partitions, keys, values),
    st.builds(replace, kinds, partitions, keys, values, versions),
    st.builds(delete, kinds, partitions, keys, versions),
    st.builds(get, kinds, partitions, keys),
    st.builds(scan, kinds, partitions, keys, st.none() | st.integers(0, 3)),
    st.builds(increment, st.sampled_from(["crl:a", "crl:b"])),
    st.builds(
        audit,
        st.sampled_from(["certificate.reserved", "hostname.added"]),
        st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=5),
    ),
    st.builds(touch, st.sampled_from(["authority:a", "hostname:b"])),
)


class Abandoned(Exception):
    """Raised in the middle of a transaction."""


def outcome(step: Step, transaction: Transaction) -> object:
    """What a step gives, or the kind of our error."""
    try:
        return step(transaction)
    except MTLSError as error:
        return type(error)


def everything(snapshot: Snapshot) -> object:
    records = [[list(snapshot.scan(kind, partition)) for partition in PARTITIONS] for kind in KINDS]
    return records, [(row.sequence, row.event, dict(row.details)) for row in snapshot.scan_audit()]


class Machine(RuleBasedStateMachine):
    """One store and the model; a second handle of the store hears of the changes of the first."""

    place: ClassVar[Place]

    def __init__(self) -> None:
        super().__init__()
        self.ending = ExitStack()
        self.location = self.ending.enter_context(type(self).place())
        self.model: Store = open_store("memory://", keys=KEYS)
        self.store = open_store(self.location, keys=KEYS)
        self.other = open_store(self.location, keys=KEYS)
        self.heard: set[str] = set()
        self.expected: set[str] = set()
        self.other.subscribe(self.heard.update)
        self.model.subscribe(self.expected.update)

    @rule(wanted=st.lists(steps, max_size=8), is_abandoned=st.booleans())
    def transact(self, wanted: list[Step], is_abandoned: bool) -> None:
        """The same steps in both; each gives the same; then both commit, or neither."""
        with ending(self.model, is_abandoned) as model, ending(self.store, is_abandoned) as store:
            for step in wanted:
                assert outcome(step, store) == outcome(step, model)

    @rule(wanted=st.lists(steps, max_size=4))
    def transact_elsewhere(self, wanted: list[Step]) -> None:
        """Through the second handle: the first sees it at once."""
        with ending(self.model, False) as model, ending(self.other, False) as store:
            for step in wanted:
                assert outcome(step, store) == outcome(step, model)
        # It may hear of its own changes without a poll.

    @rule()
    def reopen(self) -> None:
        """As after a restart."""
        self.store.close()
        self.store = open_store(self.location, keys=KEYS)

    @rule(secret=values)
    def seal(self, secret: bytes) -> None:
        """Any handle opens what another has sealed, in its context alone."""
        sealed = self.store.seal(secret, context="here")
        assert self.other.unseal(sealed, context="here") == secret
        with pytest.raises(MTLSError):
            self.other.unseal(sealed, context="there")

    @rule()
    def poll(self) -> None:
        """The second handle has heard of everything that was touched, and of nothing else."""
        self.other.poll()
        assert self.heard == self.expected or "*" in self.heard

    @invariant()
    def both_are_alike(self) -> None:
        with self.model.snapshot() as model, self.store.snapshot() as store, self.other.snapshot() as other:
            assert everything(store) == everything(other) == everything(model)

    @rule()
    def the_log_is_whole(self) -> None:
        verify_audit(self.store)

    def teardown(self) -> None:
        for each in (self.store, self.other, self.model):
            each.close()
        self.ending.close()


@contextmanager
def ending(store: Store, is_abandoned: object) -> Iterator[Transaction]:
    try:
        with store.transaction() as transaction:
            yield transaction
            if is_abandoned:
                raise Abandoned
    except Abandoned:
        pass


def run(place: Place, examples: int) -> None:
    machine = type("StoreMachine", (Machine,), {"place": staticmethod(place)})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples, stateful_step_count=20, deadline=None, derandomize=examples < _MANY,
            suppress_health_check=list(HealthCheck),
        ),
    )  # fmt: skip


@contextmanager
def a_database() -> Iterator[str]:
    with tempfile.TemporaryDirectory() as directory:
        yield f"sqlite:///{directory}/state.db"


def test_sqlite_is_as_memory() -> None:
    run(a_database, 25)


@pytest.mark.slow
def test_sqlite_is_as_memory_for_longer() -> None:
    run(a_database, _MANY)


def test_postgresql_is_as_memory(postgres: Postgres) -> None:
    run(postgres.schema, 4)


@pytest.mark.slow
def test_postgresql_is_as_memory_for_longer(postgres: Postgres) -> None:
    run(postgres.schema, _MANY)
