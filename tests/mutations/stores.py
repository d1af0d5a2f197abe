"""The protections of the stores."""

from mutations import Mutation

_STORE = "tests/contract/test_store.py"
_POSTGRES = "tests/contract/test_store_postgres.py"

MUTATIONS = [
    Mutation(
        "stores/postgres_work.py",
        "SELECT pg_logical_emit_message(true, 'mtlskit', '')",
        "SELECT 1",
        f"{_POSTGRES} -k outlives",
        "I10: a transaction ends when it is durable, and with it what it has read",
    ),
    Mutation(
        "stores/postgres_connections.py",
        "coalesce(nullif(current_setting('synchronous_commit'), 'off'), 'on')",
        "current_setting('synchronous_commit')",
        f"{_POSTGRES} -k durability",
        "I10: a role's default does not turn durability off",
    ),
    Mutation(
        "stores/postgres_work.py",
        "        if self._failed:",
        "        if False:",
        f"{_POSTGRES} -k caught",
        "I10: a commit that the server has turned into a rollback is told",
    ),
    Mutation(
        "stores/postgres_locks.py",
        ", pg_advisory_xact_lock(%(record)s::bigint)",
        "",
        f"{_STORE} -k nobody_s_change",
        "I10: a record is read and changed under its lock",
    ),
    Mutation(
        "stores/postgres_locks.py",
        "pg_advisory_xact_lock_shared(%(partition)s::bigint), ",
        "",
        f"{_STORE} -k stays_as_it_is",
        "I10: nothing comes into a partition that was scanned",
    ),
    Mutation(
        "stores/postgres_locks.py",
        "        self._whole.add(place)\n",
        "        return ()\n",
        f"{_STORE} -k empty_partition",
        "I10: a partition is scanned under its lock",
    ),
    Mutation(
        "stores/postgres_log.py",
        "SELECT set_config('synchronous_commit', 'off', true), pg_advisory_xact_lock(%(log)s::bigint)",
        "SELECT set_config('synchronous_commit', 'off', true)",
        f"{_POSTGRES} -k one_chain",
        "I10: one at a time appends to the audit log",
    ),
    Mutation(
        "stores/postgres_changes.py",
        "return bool(rows) and _last(rows[:1]) == seen",
        "return True",
        f"{_POSTGRES} -k hears_everything",
        "I6: a log of changes that was cut or has gone back is noticed",
    ),
    Mutation(
        "stores/postgres_connections.py",
        "quote_ident(current_schema()) || ', pg_temp'",
        "current_setting('search_path')",
        f"{_POSTGRES} -k further_down",
        "I1: another schema's tables are not taken for ours",
    ),
    Mutation(
        "stores/postgres_connections.py",
        'if given is None or "@" in str(given.get("host", ""))[1:]:',
        "if given is None:",
        f"{_POSTGRES} -k cannot_read",
        "I11: no part of a password is taken for a host",
    ),
    Mutation(
        "stores/__init__.py",
        'return re.sub(r"//.*@", "//...@", url, flags=re.DOTALL) if isinstance(url, str) else url',
        "return url",
        "tests/contract/test_store_sqlite.py -k password",
        "I11: the error of an unknown URL shows no password",
    ),
    Mutation(
        "stores/postgres.py",
        "        store._abandon()",
        "        pass",
        f"{_POSTGRES} -k fork",
        "a forked child leaves the parent's connections alone",
    ),
    Mutation(
        "stores/postgres_connections.py",
        "    if not poller.poll(0):\n        return True",
        "    return True",
        f"{_POSTGRES} -k not_noticed",
        "a connection that was lost meanwhile is replaced",
    ),
    Mutation(
        "stores/postgres_schema.py",
        "SELECT pg_advisory_xact_lock(%s), set_config",
        "SELECT %s, set_config",
        f"{_POSTGRES} -k at_once_make",
        "one opener makes the tables",
    ),
    # What is told to those who watch.
    Mutation(
        "stores/sqlite.py",
        "        data_version, connection.data_version = connection.data_version, None\n",
        "        data_version = connection.data_version\n",
        "tests/contract/test_store.py -k interrupts",
        "I6: SQLite: what interrupts the telling is told by the next poll",
    ),
    Mutation(
        "stores/origins.py",
        "        return origin in self._told\n",
        "        return self.is_ours(origin.hex())\n",
        "tests/contract/test_store.py -k answer_is_lost",
        "I6: a commit whose answer is lost is told all the same",
    ),
    Mutation(
        "stores/memory.py",
        "            self._tell(transaction, topics)\n\n    def subscribe",
        "            pass\n\n    def subscribe",
        "tests/contract/test_store.py -k interrupts",
        "I6: memory: what interrupts the telling is told by the next poll",
    ),
    Mutation(
        "stores/postgres_connections.py",
        "self.patience if timeout is None else timeout",
        "timeout",
        f"{_POSTGRES} -k says_nothing",
        "I3: a server that says nothing is not waited for for ever",
    ),
    Mutation(
        "stores/sqlite.py",
        "            return self._transaction\n        except BaseException:\n            self._transaction.roll_back()\n",
        "            return self._transaction\n        except BaseException:\n            pass\n",
        "tests/contract/test_store_sqlite.py -k signal_between",
        "a signal leaves no lock",
    ),
    Mutation(
        "stores/audit.py",
        "    if _encode(found) != details:\n",
        "    if False:\n",
        "tests/contract/test_store.py -k other_words",
        "the log's text is the text that was hashed",
    ),
]
