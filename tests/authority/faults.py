"""The ways in which a store breaks, and the steps at which it does."""

from __future__ import annotations

import resource
import selectors
import shutil
import signal
import socket
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol

from mtlskit.errors import Unavailable
from mtlskit.ports import Snapshot, Store, Transaction
from mtlskit.stores.sqlite import SQLiteStore
from support.postgres import OwnPostgres, Postgres

Step = Callable[[str], object]
# What ends a transaction or a reading, and what begins one: between any two of them nothing of the store is at work.
EDGES = frozenset({"begin", "commit", "committed", "read"})


class Fault(Protocol):
    """Something that breaks and is mended."""

    def begin(self) -> None: ...

    def end(self) -> None: ...


class Stepping:
    """As the store; `step` is called with the name of each step before it is done."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.step: Step = _nothing

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        self.step("begin")
        with self._store.transaction() as transaction:
            yield _Stepped(transaction, self)  # type: ignore[misc]
            self.step("commit")
        self.step("committed")

    @contextmanager
    def snapshot(self) -> Iterator[Snapshot]:
        self.step("read")
        with self._store.snapshot() as snapshot:
            yield _Stepped(snapshot, self)  # type: ignore[misc]

    @contextmanager
    def at(self, step: Step) -> Iterator[None]:
        """Within it, `step` is called."""
        self.step = step
        try:
            yield
        finally:
            self.step = _nothing

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


class _Stepped:
    def __init__(self, inner: Snapshot, stepping: Stepping) -> None:
        self._inner = inner
        self._stepping = stepping

    def __getattr__(self, name: str) -> Any:
        self._stepping.step(name)
        return getattr(self._inner, name)


class Breaking:
    """Breaks at the so-manieth step (from 0 on) of those that count, and stays broken."""

    def __init__(self, fault: Fault, at: int, only: frozenset[str] | None) -> None:
        self._fault, self._left, self._only = fault, at, only
        self.begun = False

    def __call__(self, name: str) -> None:
        if self.begun or (self._only is not None and name not in self._only):
            return
        if self._left == 0:
            self.begun = True
            self._fault.begin()
        self._left -= 1


def _nothing(_step: str) -> None:
    pass


# Of any store.


class Refusing:
    """Says once that it is unavailable. After a commit, that is the commit of which nobody can tell whether it holds."""

    def begin(self) -> None:
        raise Unavailable("expected the store, got a fault")

    def end(self) -> None:
        pass


# Of SQLite.


class Pragma:
    """A pragma of this thread's connection, and the one that mends it."""

    def __init__(self, store: SQLiteStore, broken: str, mended: str) -> None:
        self._store, self._broken, self._mended = store, broken, mended

    def begin(self) -> None:
        self._execute(self._broken)

    def end(self) -> None:
        self._execute(self._mended)

    def _execute(self, pragma: str) -> None:
        self._store._connections.mine().raw.execute(f"PRAGMA {pragma}").fetchall()


class Unwritable:
    """No file of this process gets an octet beyond so many (EFBIG), whichever file of the database it is."""

    def __init__(self, octets: int = 0) -> None:
        self._octets = octets

    def begin(self) -> None:
        self._limit(self._octets)

    def end(self) -> None:
        self._limit(resource.getrlimit(resource.RLIMIT_FSIZE)[1])

    @staticmethod
    def _limit(octets: int) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (octets, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))


# Of PostgreSQL.


class Terminated:
    """Every session of the store is ended at that moment; those that come after it are not."""

    def __init__(self, postgres: Postgres, schema: str) -> None:
        self._postgres, self._schema = postgres, schema

    def begin(self) -> None:
        self._postgres.end_sessions(self._schema)

    def end(self) -> None:
        pass


class Stopped:
    """The server crashes, and is started again."""

    def __init__(self, postgres: OwnPostgres) -> None:
        self._postgres = postgres
        self._stopped = False

    def begin(self) -> None:
        self._stopped = True
        self._postgres.stop(signal.SIGQUIT)

    def end(self) -> None:
        if self._stopped:
            self._stopped = False
            self._postgres.start()


class Standby(Stopped):
    """The server comes back as one that only reads."""

    def begin(self) -> None:
        self._restart(Path.touch)

    def end(self) -> None:
        if self._stopped:
            self._restart(Path.unlink)
            self._stopped = False

    def _restart(self, change: Callable[[Path], object]) -> None:
        self._postgres.stop()
        change(self._postgres._directory / "data" / "standby.signal")
        self._postgres.start()
        self._stopped = True


class Withdrawn:
    """The store's role may only read."""

    def __init__(self, postgres: Postgres, schema: str) -> None:
        self._postgres, self._place = postgres, f"ON ALL TABLES IN SCHEMA {schema}"
        self._role = postgres.execute(f"SELECT nspowner::regrole FROM pg_namespace WHERE nspname = '{schema}'")[0][0]

    def begin(self) -> None:
        self._postgres.execute(f"REVOKE INSERT, UPDATE, DELETE {self._place} FROM {self._role}")

    def end(self) -> None:
        self._postgres.execute(f"GRANT INSERT, UPDATE, DELETE {self._place} TO {self._role}")


class Full:
    """Every statement that writes fails as on a full disk (SQLSTATE 53100); or, `deferred`, every commit after one.

    No disk is full: a trigger says so.
    """

    def __init__(self, postgres: Postgres, schema: str, *, deferred: bool = False) -> None:
        self._postgres, self._flag = postgres, f"{schema}.broken"
        kind, when = ("CONSTRAINT ", "DEFERRABLE INITIALLY DEFERRED") if deferred else ("", "")
        moment = "AFTER" if deferred else "BEFORE"
        tables = ("records", "deleted", "counters", "audit", "changes")
        postgres.execute(
            f"""CREATE TABLE {self._flag} AS SELECT false AS now;
            CREATE FUNCTION {schema}.full() RETURNS trigger SECURITY DEFINER LANGUAGE plpgsql AS $$ BEGIN
                IF (SELECT now FROM {self._flag}) THEN
                    RAISE 'could not extend file: No space left on device' USING ERRCODE = 'disk_full';
                END IF;
                RETURN coalesce(new, old);
            END $$;"""
            + "".join(
                f"""CREATE {kind}TRIGGER full_disk {moment} INSERT OR UPDATE OR DELETE ON {schema}.mtlskit_{table}
                {when} FOR EACH ROW EXECUTE FUNCTION {schema}.full();"""
                for table in tables
            )
        )

    def begin(self) -> None:
        self._postgres.execute(f"UPDATE {self._flag} SET now = true")

    def end(self) -> None:
        self._postgres.execute(f"UPDATE {self._flag} SET now = false")


class Cut:
    """The connection is lost after the server has committed and before the store has heard of it."""

    _TOLD = b"C\x00\x00\x00\x0bCOMMIT\x00"

    def __init__(self, url: str) -> None:
        """`url` leads to the server by its socket; the store is to go by `self.url`."""
        directory = url.partition("host=")[2].partition("&")[0]
        self._behind = f"{directory}/.s.PGSQL.5432"
        self._directory = tempfile.mkdtemp()
        self.url = url.replace(f"host={directory}", f"host={self._directory}")
        self._armed = False
        self._listening = socket.socket(socket.AF_UNIX)
        self._listening.bind(f"{self._directory}/.s.PGSQL.5432")
        self._listening.listen()
        self._woken, self._wake = socket.socketpair()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def begin(self) -> None:
        self._armed = True

    def end(self) -> None:
        self._armed = False

    def close(self) -> None:
        self._wake.close()
        self._thread.join()
        self._woken.close()
        self._listening.close()
        shutil.rmtree(self._directory)

    def _run(self) -> None:
        others: dict[socket.socket, tuple[socket.socket, bool]] = {}
        with selectors.DefaultSelector() as selector:
            for each in (self._listening, self._woken):
                selector.register(each, selectors.EVENT_READ)
            while True:
                for key, _ in selector.select():
                    ready: Any = key.fileobj
                    if ready is self._woken:
                        for one in others:
                            one.close()
                        return
                    if ready is self._listening:
                        for one in self._accept(others):
                            selector.register(one, selectors.EVENT_READ)
                    elif ready in others and not self._pass_on(ready, *others[ready]):
                        for one in (ready, others[ready][0]):
                            selector.unregister(one)
                            del others[one]
                            one.close()

    def _accept(self, others: dict[socket.socket, tuple[socket.socket, bool]]) -> list[socket.socket]:
        client, server = self._listening.accept()[0], socket.socket(socket.AF_UNIX)
        server.connect(self._behind)
        others[client], others[server] = (server, False), (client, True)
        return [client, server]

    def _pass_on(self, ready: socket.socket, other: socket.socket, is_server: bool) -> bool:
        with suppress(OSError):
            data = ready.recv(1 << 16)
            if is_server and self._armed and self._TOLD in data:
                self._armed = False
                return False
            other.sendall(data)
            return bool(data)
        return False
