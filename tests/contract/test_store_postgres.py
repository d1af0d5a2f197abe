"""What only a server can get wrong: connections, processes, locks, rights, other people's schemas, and its own end."""

from __future__ import annotations

import base64
import gc
import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, closing, contextmanager, suppress

import pytest

pytest.importorskip("psycopg_pool", reason="the extra 'postgres' is not installed")

from mtlskit.authority import CertificateAuthority
from mtlskit.core.reasons import Reason
from mtlskit.core.verdict import Allow, Deny
from mtlskit.errors import ConfigurationError, StoreError, Unavailable
from mtlskit.gate import Gate
from mtlskit.ports import EVERYTHING, AuditRow
from mtlskit.stores import KeyEncryption, open_store, postgres_changes, postgres_connections, postgres_schema
from mtlskit.stores.audit import verify_audit
from mtlskit.stores.encryption import ENVIRONMENT_VARIABLE
from mtlskit.stores.postgres import PostgresStore
from mtlskit.stores.postgres_connections import Rows
from mtlskit.stores.postgres_connections import run as ask
from mtlskit.stores.postgres_locks import MOST_RECORDS
from mtlskit.stores.postgres_log import CHANGES_KEPT
from mtlskit.stores.postgres_schema import MIGRATIONS
from support.postgres import OwnPostgres, Postgres
from support.scripts import finish, run, start

KEY = bytes(range(32))
KEYS = KeyEncryption(KEY)
PASSWORD = "correct-horse"


@pytest.fixture
def store(postgres_url: str) -> Iterator[PostgresStore]:
    with opened(postgres_url) as store:
        yield store


@pytest.fixture
def other(postgres_url: str) -> Iterator[PostgresStore]:
    """Another process's store, as far as the first one can tell."""
    with opened(postgres_url) as store:
        yield store


@pytest.fixture
def schema(postgres_url: str) -> str:
    return postgres_url.rpartition("%3D")[2]


@pytest.fixture
def end_sessions(postgres: Postgres, schema: str) -> Callable[[], None]:
    """Ends every session of the stores."""
    return lambda: postgres.end_sessions(schema)


@pytest.fixture
def own(postgres: Postgres) -> OwnPostgres:
    """The server, where it is ours to stop and to make roles in."""
    if not isinstance(postgres, OwnPostgres):
        pytest.skip("the server belongs to somebody else")
    return postgres


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waits for locks are short."""
    quick = postgres_connections._SET_UP.replace("'lock_timeout', '10s'", "'lock_timeout', '100ms'")
    monkeypatch.setattr(postgres_connections, "_SET_UP", quick)


# Where it is.


@pytest.mark.parametrize(
    "url",
    [
        f"postgresql://user:{PASSWORD}@[::1/db", f"postgresql://u:{PASSWORD}@h/d?colour=blue", "postgres://%zz/",
        f"postgresql://user:p@{PASSWORD}@host/db", "postgresql://host/a\0b", "postgresql://host/\ud800",
    ],
)  # fmt: skip
def test_a_url_that_libpq_cannot_read_is_told_without_its_password(url: str) -> None:
    with pytest.raises(ConfigurationError, match="libpq") as raised:
        open_store(url, keys=KEYS)
    assert PASSWORD not in f"{raised.value} {raised.value.__cause__}"


@pytest.mark.invariant("I11")
def test_the_password_shows_nowhere(
    postgres_url: str, caplog: pytest.LogCaptureFixture, end_sessions: Callable[[], None]
) -> None:
    caplog.set_level(logging.DEBUG)
    url = postgres_url.replace("@", f":{PASSWORD}@", 1)
    with opened(url) as store:
        shown = [repr(store), repr(store._readers.target.parameters)]
        with pytest.raises(Unavailable) as raised, store.transaction() as transaction:
            end_sessions()
            transaction.insert("kind", "", "key", b"")
        shown.append(str(raised.value))
    with pytest.raises(Unavailable) as raised:
        open_store(f"postgresql://user:{PASSWORD}@127.0.0.1:1/db", keys=KEYS)
    assert "refused" in str(raised.value)
    assert PASSWORD not in " ".join([*shown, str(raised.value), caplog.text])


def test_both_spellings_of_the_scheme_are_one(postgres_url: str) -> None:
    with opened(postgres_url) as store:
        put(store, "a")
    with opened(postgres_url.replace("postgresql://", "postgres://")) as store:
        assert keys(store) == ["a"]


def test_an_absent_database_is_unavailable(postgres_url: str) -> None:
    with pytest.raises(Unavailable, match="does not exist"):
        open_store(postgres_url.replace("/postgres?", "/elsewhere?"), keys=KEYS)


def test_a_search_path_without_a_schema_is_told(postgres_url: str) -> None:
    with pytest.raises(ConfigurationError, match="search path"):
        open_store(f"{postgres_url}_not_there", keys=KEYS)


def test_a_role_that_may_not_make_tables_is_told(own: OwnPostgres, postgres_url: str, schema: str) -> None:
    own.execute("CREATE ROLE stranger LOGIN")
    own.execute(f"GRANT USAGE ON SCHEMA {schema} TO stranger")
    url = postgres_url.replace("mtlskit@", "stranger@")
    try:
        with pytest.raises(ConfigurationError, match="the right to make"):
            open_store(url, keys=KEYS)
        with opened(postgres_url), pytest.raises(ConfigurationError, match="the right to make"):
            open_store(url, keys=KEYS)
    finally:
        own.execute("DROP OWNED BY stranger; DROP ROLE stranger")


def test_the_documented_rights_are_enough_for_who_does_not_own_the_tables(
    own: OwnPostgres, postgres_url: str, schema: str
) -> None:
    with opened(postgres_url):
        own.execute("CREATE ROLE worker LOGIN")
    try:
        own.execute(f"""
            GRANT USAGE ON SCHEMA {schema} TO worker;
            GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO worker;
            GRANT INSERT, UPDATE, DELETE ON {schema}.mtlskit_records, {schema}.mtlskit_deleted TO worker;
            GRANT INSERT, UPDATE ON {schema}.mtlskit_counters TO worker;
            GRANT INSERT ON {schema}.mtlskit_audit TO worker;
            GRANT INSERT, DELETE ON {schema}.mtlskit_changes TO worker""")
        with opened(postgres_url.replace("mtlskit@", "worker@")) as store:
            for _ in range(2):
                put(store, "a")
                with store.transaction() as transaction:
                    transaction.replace("kind", "", "a", b"new")
                    transaction.delete("kind", "", "a")
                    transaction.increment("counter")
                    transaction.append_audit("event", {})
                    for number in range(600):  # so many that the log is cut
                        transaction.touch(f"topic:{number}")
            store.poll()
    finally:
        own.execute("DROP OWNED BY worker; DROP ROLE worker")


def test_tables_of_somebody_else_are_told_and_left_alone(postgres: Postgres, postgres_url: str, schema: str) -> None:
    postgres.execute(f"CREATE TABLE {schema}.mtlskit_records (theirs text)")
    with pytest.raises(ConfigurationError, match="tables of mtlskit"):
        open_store(postgres_url, keys=KEYS)
    assert postgres.execute(f"SELECT tablename FROM pg_tables WHERE schemaname = '{schema}'") == [("mtlskit_records",)]


def test_a_newer_schema_is_told(postgres: Postgres, postgres_url: str, schema: str) -> None:
    opened_once(postgres_url)
    newer = str(len(MIGRATIONS) + 1)
    postgres.execute(f"UPDATE {schema}.mtlskit_meta SET value = '{newer}' WHERE name = 'version'")
    with pytest.raises(ConfigurationError, match="schema version"):
        open_store(postgres_url, keys=KEYS)


def test_openers_at_once_make_one_set_of_tables(postgres: Postgres, postgres_url: str, schema: str) -> None:
    script = f"""
        from mtlskit.stores import KeyEncryption, open_store
        opened = open_store({postgres_url!r}, keys=KeyEncryption.generate())
        with opened.transaction() as transaction:
            print(transaction.increment("counter"), opened._identity.key_id.hex(), opened._identity.store_id.hex())
        opened.close()
        """
    waiting = f"SELECT 1 FROM pg_stat_activity WHERE application_name = '{schema}' AND wait_event = 'advisory'"
    with postgres.connection() as holding:
        holding.execute(f"SELECT pg_advisory_lock({postgres_schema._LOCK})")
        children = [start(script) for _ in range(4)]
        wait_until(lambda: len(postgres.execute(waiting)) == 4)
    said = [finish(child).split() for child in children]
    assert sorted(number for number, _, _ in said) == ["1", "2", "3", "4"]
    assert len({tuple(ids) for _, *ids in said}) == 1


def test_an_older_schema_is_brought_forward(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with opened(postgres_url) as store:
        put(store, "a")
        identity = store._identity
    newer = (*MIGRATIONS, ("ALTER TABLE mtlskit_records ADD COLUMN remark text",))
    monkeypatch.setattr("mtlskit.stores.postgres_schema.MIGRATIONS", newer)
    with ThreadPoolExecutor() as threads:
        for done in [threads.submit(opened_once, postgres_url) for _ in range(3)]:
            assert done.result() == identity
    with opened(postgres_url) as store:
        assert keys(store) == ["a"]


def test_two_schemas_are_two_stores(postgres: Postgres) -> None:
    with postgres.schema() as left, postgres.schema() as right, opened(left) as one, opened(right) as other:
        heard: list[frozenset[str]] = []
        other.subscribe(heard.append)
        other.poll()
        with one.transaction() as transaction:
            transaction.insert("kind", "", "a", b"")
            transaction.touch("topic")
            put(other, "a")  # waits for no lock of the other store
        other.poll()
        assert heard == []
        assert (keys(one), keys(other)) == (["a"], ["a"])


def test_a_table_further_down_the_search_path_is_not_ours(postgres: Postgres) -> None:
    with postgres.schema() as first, postgres.schema() as second:
        opened_once(first)
        both = f"{second},{first.rpartition('%3D')[2]}"
        with opened(both) as store, opened(first) as other:
            put(store, "a")
            assert store._identity != other._identity
            assert keys(other) == []
            postgres.execute(f"DROP TABLE {second.rpartition('%3D')[2]}.mtlskit_counters")
            with pytest.raises(Unavailable, match="mtlskit_counters"), store.transaction() as transaction:
                transaction.increment("counter")  # not the other's, now that ours is not there


# Keys.


@pytest.fixture
def _no_key_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(ENVIRONMENT_VARIABLE, raising=False)


@pytest.mark.usefixtures("_no_key_in_the_environment")
def test_a_new_store_needs_a_key(postgres: Postgres, postgres_url: str, schema: str) -> None:
    with pytest.raises(ConfigurationError, match="key-encryption key"):
        open_store(postgres_url)
    assert postgres.execute(f"SELECT tablename FROM pg_tables WHERE schemaname = '{schema}'") == []


@pytest.mark.usefixtures("_no_key_in_the_environment")
def test_without_the_key_everything_but_secrets_can_be_read(postgres_url: str) -> None:
    with opened(postgres_url) as store:
        put(store, "a")
    with closing(open_store(postgres_url)) as store:
        with store.snapshot() as snapshot:
            assert snapshot.get("kind", "", "a") is not None
        for attempt in (lambda: store.seal(b"", context="c"), lambda: store.unseal(b"", context="c")):
            with pytest.raises(ConfigurationError, match=ENVIRONMENT_VARIABLE):
                attempt()


def test_the_environment_s_key_is_used(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ENVIRONMENT_VARIABLE, base64.b64encode(KEY).decode())
    with closing(open_store(postgres_url)) as store:
        sealed = store.seal(b"secret", context="c")
    assert KEYS.unseal(sealed, context="c") == b"secret"


def test_a_key_of_another_store_seals_nothing_here(postgres_url: str) -> None:
    opened_once(postgres_url)
    store = open_store(postgres_url, keys=KeyEncryption(bytes(32)))
    with closing(store), pytest.raises(StoreError, match=KEYS.key_id.hex()):
        store.seal(b"", context="c")


# Durable.


def test_a_default_that_turns_durability_off_is_overridden(postgres_url: str) -> None:
    with opened(f"{postgres_url}%20-csynchronous_commit%3Doff%20-cdefault_transaction_read_only%3Don") as store:
        put(store, "a")
        assert of_session(store, "SELECT current_setting('synchronous_commit')") == [("on",)]
    with opened(f"{postgres_url}%20-csynchronous_commit%3Dremote_apply") as store:
        assert of_session(store, "SELECT current_setting('synchronous_commit')") == [("remote_apply",)]


@pytest.mark.parametrize("what", ["records", "audit", "nothing but reading"])
def test_what_was_committed_outlives_a_crash_of_the_server(own: OwnPostgres, postgres_url: str, what: str) -> None:
    with opened(postgres_url) as store, opened(postgres_url) as other:
        put(other, "before")
        with store.transaction() as transaction:
            if what == "records":
                transaction.insert("kind", "", "a", b"")
            elif what == "audit":
                transaction.insert("kind", "", "a", b"")
                transaction.append_audit("event", {})
            else:
                with other.transaction() as writing:
                    writing.insert("kind", "", "a", b"")
                    # As it is between the commit and the disk: seen, and not durable yet.
                    writing._open().ask(writing._log.last([])[0], ("COMMIT", {}), ("BEGIN", {}))  # type: ignore[attr-defined]
                    assert transaction.get("kind", "", "a") is not None
        own.stop(signal.SIGQUIT)
        own.start()
        assert "a" in keys(store)
        verify_audit(store)


def test_a_child_that_is_killed_inside_a_transaction_leaves_nothing(postgres_url: str) -> None:
    with opened(postgres_url) as store:
        child = start(f"""
            from mtlskit.stores import KeyEncryption, open_store
            opened = open_store({postgres_url!r}, keys=KeyEncryption(bytes(32)))
            with opened.transaction() as transaction:
                transaction.insert("kind", "", "a", b"")
                transaction.increment("counter")
                transaction.append_audit("event", dict())
                list(transaction.scan_audit())
                transaction.insert("kind", "", "b", b"")
                print("inside", flush=True)
                input()
            """)
        assert child.stdout is not None
        assert child.stdout.readline() == "inside\n"
        child.kill()
        child.communicate()
        with store.transaction() as transaction:
            assert list(transaction.scan("kind", "")) == []
            assert transaction.increment("counter") == 1
            transaction.append_audit("event", {})
        assert verify_audit(store) is not None


# A server that goes away.


def test_a_connection_that_is_lost_leaves_nothing_and_the_next_transaction_works(
    store: PostgresStore, end_sessions: Callable[[], None]
) -> None:
    with pytest.raises(Unavailable), store.transaction() as transaction:
        transaction.insert("kind", "", "a", b"")
        transaction.append_audit("event", {})
        end_sessions()
        transaction.insert("kind", "", "b", b"")
    assert keys(store) == []
    put(store, "c")
    assert verify_audit(store) is None


def test_a_connection_that_is_lost_at_the_commit_is_told(
    store: PostgresStore, end_sessions: Callable[[], None]
) -> None:
    with pytest.raises(Unavailable, match="commit"), store.transaction() as transaction:
        transaction.insert("kind", "", "a", b"")
        transaction.touch("topic")
        end_sessions()
    assert keys(store) == []


def test_a_failed_statement_fails_the_transaction_even_if_it_is_caught(
    store: PostgresStore, impatient: None, other: PostgresStore
) -> None:
    with other.transaction() as holding:
        holding.insert("kind", "", "a", b"")
        with pytest.raises(Unavailable, match="failed"), other_thread(store) as transaction:
            transaction.insert("kind", "", "b", b"")
            with pytest.raises(Unavailable, match="another transaction"):
                transaction.insert("kind", "", "a", b"")
    assert keys(store) == ["a"]


def test_a_server_that_is_stopped_and_started_again(
    own: OwnPostgres, store: PostgresStore, other: PostgresStore
) -> None:
    put(store, "before")
    heard: list[frozenset[str]] = []
    store.subscribe(heard.append)
    store.poll()
    with pytest.raises(Unavailable), store.transaction() as transaction:
        transaction.insert("kind", "", "during", b"")
        own.stop()
        transaction.insert("kind", "", "during too", b"")
    started = time.monotonic()
    for attempt in (store.transaction, store.snapshot):
        with pytest.raises(Unavailable, match="to answer"), attempt():
            pass
    with pytest.raises(Unavailable, match="to answer"):
        store.poll()
    assert time.monotonic() - started < 3
    own.start()
    put(store, "after")
    assert keys(store) == ["after", "before"]
    touch(other, "theirs")
    store.poll()
    assert heard == [frozenset({"theirs"})]


def test_connections_that_were_lost_while_nobody_used_them_are_not_noticed(
    own: OwnPostgres, store: PostgresStore
) -> None:
    with store.snapshot() as snapshot, ThreadPoolExecutor() as threads:
        list(threads.map(lambda number: put(store, str(number)), range(8)))
        snapshot.get("kind", "", "a")
    own.stop()
    own.start()
    for number in range(8, 16):
        put(store, str(number))
    assert len(keys(store)) == 16


# Several at once.


def test_two_processes_never_draw_the_same_number(postgres_url: str) -> None:
    script = f"""
        from mtlskit.stores import KeyEncryption, open_store
        opened = open_store({postgres_url!r}, keys=KeyEncryption(bytes(32)))
        for _ in range(100):
            with opened.transaction() as transaction:
                number = transaction.increment("counter")
                transaction.append_audit("drawn", dict(number=str(number)))
            print(number)
        opened.close()
        """
    with opened(postgres_url) as store:
        children = [start(script) for _ in range(2)]
        drawn = [list(map(int, finish(child).split())) for child in children]
        assert all(each == sorted(each) for each in drawn)
        assert sorted(drawn[0] + drawn[1]) == list(range(1, 201))
        last = verify_audit(store)
        assert last is not None
        assert last.sequence == 200


def test_eight_threads_make_one_chain(store: PostgresStore) -> None:
    def work(thread: int) -> None:
        for number in range(20):
            with store.transaction() as transaction:
                transaction.insert("kind", str(thread), str(number), b"")
                transaction.append_audit("event", {"thread": str(thread), "number": str(number)})
                transaction.append_audit("event", {"thread": str(thread), "number": str(number)})

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(work, range(8)))
    last = verify_audit(store)
    assert last is not None
    assert last.sequence == 320
    with store.snapshot() as snapshot:
        rows = list(snapshot.scan_audit())
    assert [row.recorded_at for row in rows] == sorted(row.recorded_at for row in rows)
    for thread in range(8):
        numbers = [int(row.details["number"]) for row in rows if row.details["thread"] == str(thread)]
        assert numbers == sorted(numbers)


def test_a_slow_transaction_does_not_hold_up_the_log(store: PostgresStore) -> None:
    with store.transaction() as slow:
        slow.insert("kind", "", "slow", b"")
        slow.append_audit("slow", {})
        with other_thread(store) as quick:
            quick.insert("kind", "", "quick", b"")
            quick.append_audit("quick", {})
    with store.snapshot() as snapshot:
        assert [row.event for row in snapshot.scan_audit()] == ["quick", "slow"]


def test_more_threads_than_connections_wait_for_each_other(postgres_url: str) -> None:
    with closing(PostgresStore(postgres_url, keys=KEYS, connections=2)) as store, ThreadPoolExecutor(12) as threads:
        list(threads.map(lambda number: put(store, str(number)), range(60)))
        assert len(keys(store)) == 60
        for connections in (store._writers, store._readers):
            assert connections._mine().pool.get_stats()["pool_size"] <= 2


def test_who_only_reads_waits_for_no_writer(postgres_url: str, other: PostgresStore) -> None:
    put(other, "a")
    with closing(PostgresStore(postgres_url, keys=KEYS, connections=2)) as store, ThreadPoolExecutor() as threads:
        with other.transaction() as holding:
            holding.replace("kind", "", "a", b"new")
            waiting = [threads.submit(replace, store, "a") for _ in range(4)]
            time.sleep(0.1)
            assert value(store, "a") == b""
            store.poll()
        assert sorted(each.result() for each in waiting) == [3, 4, 5, 6]


def test_who_gets_no_connection_is_told(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with closing(PostgresStore(postgres_url, keys=KEYS, connections=1)) as store:
        take = store._writers.take
        monkeypatch.setattr(store._writers, "take", lambda: take(0.2))
        with store.transaction(), pytest.raises(Unavailable, match="free connection"), other_thread(store):
            pass


def test_who_waits_too_long_for_a_record_is_told(impatient: None, store: PostgresStore, other: PostgresStore) -> None:
    put(store, "a")
    with store.transaction() as transaction:
        transaction.replace("kind", "", "a", b"new")
        with pytest.raises(Unavailable, match="another transaction"), other.transaction() as waiting:
            waiting.get("kind", "", "a")
        assert value(other, "a") == b""  # who only reads does not wait
    assert value(store, "a") == b"new"


def test_who_waits_too_long_for_the_log_is_told_and_has_written_nothing(
    impatient: None, store: PostgresStore, other: PostgresStore
) -> None:
    with store.transaction() as transaction:
        list(transaction.scan_audit())
        with pytest.raises(Unavailable, match="another transaction"), other.transaction() as waiting:
            waiting.insert("kind", "", "a", b"")
            waiting.append_audit("event", {})
    assert keys(store) == []


def test_two_that_wait_for_each_other_are_told_apart(store: PostgresStore) -> None:
    both = threading.Barrier(2)

    def work(first: str, second: str) -> str:
        try:
            with store.transaction() as transaction:
                transaction.insert("kind", "", first, b"")
                both.wait(10)
                transaction.insert("kind", "", second + first, b"")
                transaction.get("kind", "", second)
        except Unavailable as error:
            return str(error)
        return "done"

    with ThreadPoolExecutor() as threads:
        said = list(threads.map(work, "ab", "ba"))
    assert sorted(said)[0] == "done"
    assert "wait for each other" in sorted(said)[1]
    assert len(keys(store)) == 2


def test_very_many_records_of_one_transaction_take_few_locks(store: PostgresStore) -> None:
    with store.transaction() as transaction:
        for number in range(MOST_RECORDS + 50):
            transaction.insert("kind", "", f"{number:05}", b"")
        (count,) = transaction._open().ask(  # type: ignore[attr-defined]
            ("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()", {})
        )[0]
        assert count <= MOST_RECORDS + 2
    assert len(keys(store)) == MOST_RECORDS + 50


# News.


def test_another_process_s_change_is_heard_without_polling_again(postgres_url: str) -> None:
    with opened(postgres_url) as store:
        heard = Heard(store)
        store.poll()
        wait_for_listener(store)
        run(f"""
            from mtlskit.stores import KeyEncryption, open_store
            opened = open_store({postgres_url!r}, keys=KeyEncryption(bytes(32)))
            with opened.transaction() as transaction:
                transaction.touch("theirs")
            opened.close()
            """)
        heard.wait_for(1)
        assert heard.topics == [frozenset({"theirs"})]
        touch(store, "own")
        store.poll()
        assert heard.topics == [frozenset({"theirs"}), frozenset({"own"})]


def test_a_lost_listener_comes_back_and_misses_nothing(
    store: PostgresStore, other: PostgresStore, end_sessions: Callable[[], None]
) -> None:
    heard = Heard(store)
    store.poll()
    wait_for_listener(store)
    end_sessions()
    touch(other, "missed")
    heard.wait_for(1)
    touch(other, "heard")
    heard.wait_for(2)
    assert frozenset().union(*heard.topics) == {"missed", "heard"}


def test_changes_are_heard_once_and_all_of_them_whatever_the_order_of_commits(
    store: PostgresStore, other: PostgresStore
) -> None:
    heard = Heard(store)

    def work(thread: int) -> None:
        for number in range(25):
            touch(other, f"{thread}:{number}")

    with ThreadPoolExecutor(6) as threads:
        done = [threads.submit(work, thread) for thread in range(4)]
        while not all(each.done() for each in done):
            store.poll()
    store.poll()
    topics = [topic for each in heard.topics for topic in each]
    assert sorted(topics) == sorted(f"{thread}:{number}" for thread in range(4) for number in range(25))


def test_changes_are_heard_by_polling_alone(
    store: PostgresStore, monkeypatch: pytest.MonkeyPatch, other: PostgresStore
) -> None:
    monkeypatch.setattr(store._listener, "begin", lambda: None)
    heard = Heard(store)
    touch(other, "theirs")
    touch(store, "own")
    assert heard.topics == [frozenset({"own"})]
    store.poll()
    store.poll()
    assert heard.topics == [frozenset({"own"}), frozenset({"theirs"})]


def test_the_change_log_is_bounded_and_who_comes_too_late_hears_everything(
    store: PostgresStore, other: PostgresStore
) -> None:
    heard = Heard(store)
    touch(other, *(f"topic:{number}" for number in range(CHANGES_KEPT + 5)))
    assert of_session(other, "SELECT count(*) FROM mtlskit_changes") == [(CHANGES_KEPT,)]
    store.poll()
    store.poll()
    assert heard.topics == [frozenset({EVERYTHING})]


@pytest.fixture
def only_polling(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mtlskit.stores.postgres_listener.Listener.begin", lambda self: None)


@pytest.mark.usefixtures("only_polling")
@pytest.mark.parametrize("lost", ["sequence = 3", "sequence >= 2", "true"])
def test_who_finds_the_log_gone_back_hears_everything(store: PostgresStore, lost: str, other: PostgresStore) -> None:
    for topic in ("a", "b", "c"):
        touch(other, topic)
    store.poll()
    heard = Heard(store)
    of_session(other, f"DELETE FROM mtlskit_changes WHERE {lost} RETURNING 1")  # as a restored backup has it
    for topic in ("d", "e"):
        touch(other, topic)
    store.poll()
    assert heard.topics == [frozenset({EVERYTHING})]
    touch(other, "f")
    store.poll()
    assert heard.topics[1:] == [frozenset({"f"})]


def test_the_listener_ends_with_the_store(postgres_url: str) -> None:
    store = PostgresStore(postgres_url, keys=KEYS)
    store.poll()
    wait_for_listener(store)
    closed = store._listener._thread
    store.close()
    assert closed is not None
    assert not closed.is_alive()
    store = PostgresStore(postgres_url, keys=KEYS)
    store.poll()
    wait_for_listener(store)
    assert keys(store) == []
    dropped = store._listener._thread
    del store
    gc.collect()
    assert dropped is not None
    wait_until(lambda: not dropped.is_alive())


@pytest.mark.invariant("I6")
def test_a_gate_denies_what_an_authority_elsewhere_has_revoked(store: PostgresStore, other: PostgresStore) -> None:
    acme = CertificateAuthority.create("Acme", store=other)
    device = acme.issue_client("device-17")
    gate = Gate(store)
    gate.hostnames.add("pay.acme.example", trust=[acme.certificate])
    assert isinstance(gate.explain("pay.acme.example", certificate=device.chain_pem()), Allow)
    wait_for_listener(store)
    changes = gate.changes
    acme.revoke(device.serial_number, reason="key_compromise")
    wait_until(lambda: gate.changes != changes)  # without a request that would poll
    verdict = gate.explain("pay.acme.example", certificate=device.chain_pem())
    assert isinstance(verdict, Deny)
    assert verdict.reason is Reason.REVOKED
    assert [entry.serial_number for entry in acme.crl()] == [device.serial_number]
    gate.close()


# Forks and ends.


def test_a_fork_opens_its_own_connections_and_leaves_the_parent_s_alone(postgres_url: str) -> None:
    said = run(f"""
        import os, sys, time, warnings
        from mtlskit.stores import KeyEncryption, open_store
        warnings.simplefilter("ignore", DeprecationWarning)  # from 3.12 on, of a fork where threads are
        opened = open_store({postgres_url!r}, keys=KeyEncryption(bytes(32)))
        heard = []
        opened.subscribe(heard.append)
        opened.poll()
        with opened.transaction() as transaction:
            transaction.insert("kind", "", "parent", b"")
        with opened.transaction() as transaction:
            transaction.insert("kind", "", "both", b"")
            child = os.fork()
            if child == 0:
                try:
                    transaction.insert("kind", "", "stolen", b"")
                except Exception as error:
                    print(error, flush=True)
                    raise SystemExit(0)
        assert os.waitpid(child, 0)[1] == 0
        inherited = opened._readers._mine()
        child = os.fork()
        if child == 0:
            opened.poll()
            with opened.transaction() as transaction:
                transaction.insert("kind", "", "child", b"")
                transaction.touch("child")
            assert opened._readers._mine() is not inherited
            opened.close()
            sys.exit(0)  # the interpreter's whole end, finalizers too
        assert os.waitpid(child, 0)[1] == 0
        child = os.fork()
        if child == 0:
            sys.exit(0)  # without having used it
        assert os.waitpid(child, 0)[1] == 0
        opened.poll()
        deadline = time.monotonic() + 5
        while not heard and time.monotonic() < deadline:
            time.sleep(0.01)
        with opened.snapshot() as snapshot:
            print([record.key for record in snapshot.scan("kind", "")], heard)
        assert opened._readers._mine() is inherited
        opened.close()
        """)
    assert said.splitlines() == [
        "expected an open transaction, got one that has ended",
        "['both', 'child', 'parent'] [frozenset({'child'})]",
    ]


def test_a_store_that_is_never_closed_ends_with_the_process(postgres_url: str) -> None:
    started = time.monotonic()
    run(f"""
        from mtlskit.stores import KeyEncryption, open_store
        opened = open_store({postgres_url!r}, keys=KeyEncryption(bytes(32)))
        opened.subscribe(print)
        opened.poll()
        with opened.snapshot() as snapshot:
            snapshot.get("kind", "", "a")
        """)
    assert time.monotonic() - started < 5


def test_close_lets_who_is_inside_finish(store: PostgresStore, other: PostgresStore) -> None:
    with store.transaction() as transaction:
        transaction.insert("kind", "", "a", b"")
        store.close()
    assert keys(other) == ["a"]


# The audit log.


def test_a_changed_audit_row_shows(postgres: Postgres, store: PostgresStore, schema: str) -> None:
    head = audited(store, 5)
    for statement in ("UPDATE mtlskit_audit SET event = 'x'", "DELETE FROM mtlskit_audit", "TRUNCATE mtlskit_audit"):
        with pytest.raises(Unavailable, match="append-only"):
            of_session(store, statement)
    postgres.execute(f"""DROP TRIGGER mtlskit_audit_is_append_only ON {schema}.mtlskit_audit;
        UPDATE {schema}.mtlskit_audit SET details = '{{"n":"9"}}' WHERE sequence = 3""")
    with pytest.raises(StoreError, match="row 3 as it was written"):
        verify_audit(store, head=head)
    postgres.execute(f"DELETE FROM {schema}.mtlskit_audit WHERE sequence >= 3")
    with pytest.raises(StoreError, match="ends before"):
        verify_audit(store, head=head)


def test_a_transaction_reads_the_audit_rows_that_it_appends(store: PostgresStore) -> None:
    audited(store, 1)
    with store.transaction() as transaction:
        transaction.append_audit("event", {"n": "own"})
        assert [row.details["n"] for row in transaction.scan_audit()] == ["0", "own"]
        transaction.append_audit("event", {"n": "more"})
        assert [row.sequence for row in transaction.scan_audit(after=1)] == [2, 3]
    last = verify_audit(store)
    assert last is not None
    assert last.sequence == 3


class Heard:
    """What a store's subscriber has heard."""

    def __init__(self, store: PostgresStore) -> None:
        self.topics: list[frozenset[str]] = []
        store.subscribe(self.topics.append)

    def wait_for(self, count: int) -> None:
        wait_until(lambda: len(self.topics) >= count)


@contextmanager
def opened(url: str) -> Iterator[PostgresStore]:
    store = PostgresStore(url, keys=KEYS)
    try:
        yield store
    finally:
        store.close()


def opened_once(url: str) -> object:
    with opened(url) as store:
        return store._identity


@contextmanager
def other_thread(store: PostgresStore) -> Iterator[object]:
    """A transaction beside that of this thread: the store does not let them nest."""
    outer = store._inside
    store._inside = threading.local()
    try:
        with store.transaction() as transaction:
            yield transaction
    finally:
        store._inside = outer


def put(store: PostgresStore, key: str) -> None:
    with store.transaction() as transaction:
        transaction.insert("kind", "", key, b"")


def replace(store: PostgresStore, key: str) -> int:
    with store.transaction() as transaction:
        return transaction.replace("kind", "", key, b"newer").version


def touch(store: PostgresStore, *topics: str) -> None:
    with store.transaction() as transaction:
        for topic in topics:
            transaction.touch(topic)


def keys(store: PostgresStore) -> list[str]:
    with store.snapshot() as snapshot:
        return [record.key for record in snapshot.scan("kind", "")]


def value(store: PostgresStore, key: str) -> bytes | None:
    with store.snapshot() as snapshot:
        found = snapshot.get("kind", "", key)
    return None if found is None else found.value


def audited(store: PostgresStore, count: int) -> AuditRow | None:
    for number in range(count):
        with store.transaction() as transaction:
            transaction.append_audit("event", {"n": str(number)})
    return verify_audit(store)


def of_session(store: PostgresStore, statement: str) -> Rows:
    """What a connection of the store's answers."""
    with store._readers.using() as session:
        return ask(session, [(statement, {})], "the server")[0]


def wait_for_listener(store: PostgresStore) -> None:
    """Until the store's thread listens."""
    channel = store._log.channel
    asked = f"SELECT count(*) FROM pg_stat_activity WHERE query = 'LISTEN \"{channel}\"'"
    wait_until(lambda: of_session(store, asked)[0][0] >= 1)


def wait_until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.005)


@pytest.fixture
def silent(own: OwnPostgres) -> Callable[[], AbstractContextManager[None]]:
    """For a while, all sessions are there and say nothing, as those of a host that hangs."""

    @contextmanager
    def silent() -> Iterator[None]:
        rows = own.execute(
            "SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
        )
        assert rows
        try:
            for (number,) in rows:
                os.kill(number, signal.SIGSTOP)
            yield
        finally:
            for (number,) in rows:
                os.kill(number, signal.SIGCONT)

    return silent


@pytest.mark.parametrize("attempt", [PostgresStore.poll, lambda store: keys(store)], ids=["a poll", "a snapshot"])
def test_a_server_that_says_nothing_more_is_not_waited_for_for_ever(
    store: PostgresStore, silent: Callable[[], AbstractContextManager[None]], attempt: Callable[[PostgresStore], object],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """The server's own limits are of no help then, and whoever waits may be the event loop of a gate."""
    monkeypatch.setattr(postgres_changes, "_POLL_SECONDS", 0.2)
    monkeypatch.setattr(store._readers, "_patience", 0.2)
    put(store, "before")
    attempt(store)

    def try_it() -> None:
        with suppress(Unavailable):  # where the connection is one that is silent: another may be made
            attempt(store)

    with silent():
        trying = threading.Thread(target=try_it, daemon=True)
        trying.start()
        trying.join(4)
        assert not trying.is_alive()
        assert keys(store) == ["before"], "by another connection, to a process of the server that answers"
