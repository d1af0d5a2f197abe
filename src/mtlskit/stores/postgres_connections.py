"""Connections to PostgreSQL: where they lead, how each is set up, and what is asked over them.

The errors of psycopg are mapped here, and nowhere else. What is said of one is the server's own first line: never a
statement, a value or a password, and nothing is chained to it.
"""

from __future__ import annotations

import select
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Final, Self, TypeAlias

from mtlskit.errors import ConfigurationError, Unavailable

EXTRA_MISSING: Final = (
    "expected the extra 'postgres' (pip install 'mtlskit[postgres]') for a store in PostgreSQL, got none"
)

try:
    import psycopg
    from psycopg import errors
    from psycopg.conninfo import conninfo_to_dict
    from psycopg.pq import TransactionStatus
    from psycopg.rows import TupleRow
except ImportError as error:
    raise ConfigurationError(EXTRA_MISSING) from error

LOCK_SECONDS: Final = 10
PATIENCE_SECONDS: Final = 40.0  # the server's own limits are below that

# What an operator's URL may say otherwise. A peer that is gone without a word is noticed within half a minute.
_DEFAULTS: Final[Mapping[str, object]] = {
    "connect_timeout": 5,
    "fallback_application_name": "mtlskit",
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,
}

# Whatever the defaults of the server, the database and the role are. The search path is narrowed to the schema that
# tables would be made in, so that no table of somebody else's schema is taken for ours.
_SET_UP: Final = f"""SELECT
    set_config('search_path', quote_ident(current_schema()) || ', pg_temp', false),
    set_config('synchronous_commit', coalesce(nullif(current_setting('synchronous_commit'), 'off'), 'on'), false),
    set_config('default_transaction_isolation', 'read committed', false),
    set_config('default_transaction_read_only', 'off', false),
    set_config('lock_timeout', '{LOCK_SECONDS}s', false),
    set_config('statement_timeout', '30s', false),
    set_config('idle_in_transaction_session_timeout', '30s', false)"""

Step: TypeAlias = tuple[str, Mapping[str, object]]
Rows: TypeAlias = list[tuple[Any, ...]]


class Failures:
    """The tries to connect that have failed: how many, and what was said of the last one."""

    __slots__ = ("count", "last")

    def __init__(self) -> None:
        self.count = 0
        self.last = ""

    def note(self, said: str) -> None:
        """One more."""
        self.last = said
        self.count += 1


class Session(psycopg.Connection[TupleRow]):
    """A connection that is set up as the store needs it; transactions are begun and ended by statements.

    A server that says nothing any more cannot end a statement either: `patience` is how many seconds one is waited for.
    """

    patience: float = PATIENCE_SECONDS

    @classmethod
    def connect(
        cls, conninfo: str = "", *, failures: Any = None, patience: Any = PATIENCE_SECONDS, **parameters: Any
    ) -> Self:
        """As psycopg's own; a failure is also noted in `failures`, for a pool keeps it to itself."""
        try:
            session = super().connect(conninfo, **{**parameters, "autocommit": True, "client_encoding": "utf8"})
            session.patience = patience
            session.execute(_SET_UP)
        except psycopg.Error as error:
            if failures is not None:
                failures.note(_said(error))
            raise
        return session

    def wait(self, gen: Any, interval: float = 0.1, timeout: float | None = None) -> Any:
        """As psycopg's own, but never for ever."""
        return super().wait(gen, interval, self.patience if timeout is None else timeout)


@contextmanager
def impatient(session: Session, seconds: float) -> Iterator[None]:
    """Waits no longer than that for each statement in the block."""
    before, session.patience = session.patience, seconds
    try:
        yield
    finally:
        session.patience = before


class _Unshown(dict[str, Any]):
    def __repr__(self) -> str:
        return "<connection parameters>"


class Target:
    """The database that a URL names. Shows no password, and no user either."""

    __slots__ = ("parameters", "place")

    def __init__(self, url: str) -> None:
        """Reads a URL as libpq does; raises ConfigurationError."""
        try:
            given = None if "\0" in url else conninfo_to_dict(url)
        except (psycopg.Error, UnicodeError):  # whose text can hold the password
            given = None
        # An @ that is not percent-encoded leaves the password's end in the host's place, which errors show.
        if given is None or "@" in str(given.get("host", ""))[1:]:
            raise ConfigurationError(
                "expected a PostgreSQL URL as libpq reads it ('postgresql://user@host:5432/database', other characters "
                "percent-encoded), got another"
            )
        self.parameters: Mapping[str, Any] = _Unshown({**_DEFAULTS, **given})
        self.place = f"{given.get('host') or 'the default host'}/{given.get('dbname') or 'the default database'}"

    def connect(self) -> Session:
        """A connection outside of any pool; raises Unavailable."""
        with mapped(self.place):
            return Session.connect(**self.parameters)


def run(session: Session, steps: Sequence[Step], place: str) -> list[Rows]:
    """Runs the steps in one round trip, each with a view of its own of the database; the rows of each.

    Raises Unavailable; then the steps after the one at fault have not been run.
    """
    with mapped(place):
        if len(steps) == 1:
            cursors = [session.execute(*steps[0], binary=True)]
        else:
            with session.pipeline():
                cursors = [session.execute(statement, values, binary=True) for statement, values in steps]
        return [cursor.fetchall() if cursor.description else [] for cursor in cursors]


def notifications(session: Session, channel: str, woken: int, place: str) -> Iterator[str]:
    """Listens to `channel`: gives an empty text when it has begun to, then each payload, until `woken` is readable."""
    with mapped(place):
        session.execute(f'LISTEN "{channel}"')
    yield ""
    poller = select.poll()
    poller.register(session.fileno(), select.POLLIN)
    poller.register(woken, select.POLLIN)
    while woken not in dict(poller.poll()):
        with mapped(place):
            found = [notification.payload for notification in session.notifies(timeout=0)]
        yield from found


@contextmanager
def mapped(place: str) -> Iterator[None]:
    """Turns what psycopg raises into our errors."""
    try:
        yield
    except psycopg.Error as error:
        raise _unavailable(error, place) from None


@contextmanager
def opening(place: str) -> Iterator[None]:
    """As `mapped`, for the statements that make and read the tables: what is not allowed is told as such."""
    try:
        yield
    except (errors.InsufficientPrivilege, errors.InvalidSchemaName) as error:
        raise ConfigurationError(
            f"expected the right to make and use tables in the schema at {place}, got {_said(error)!r}"
        ) from None
    except (errors.UndefinedColumn, errors.WrongObjectType, errors.DuplicateTable) as error:
        raise ConfigurationError(f"expected tables of mtlskit at {place}, got {_said(error)!r}") from None
    except psycopg.Error as error:
        raise _unavailable(error, place) from None


def is_alive(session: Session) -> bool:
    """Whether a connection that was not used for a while is still there; if not, it is closed."""
    # A server that went away has closed its end, which shows as something to read where nothing was asked.
    poller = select.poll()
    poller.register(session.fileno(), select.POLLIN)
    if not poller.poll(0):
        return True
    with suppress(psycopg.Error):
        session.execute("")
        return True
    session.close()
    return False


def is_idle(session: Session) -> bool:
    """Whether the connection is there and in no transaction."""
    return session.info.transaction_status is TransactionStatus.IDLE


def has_failed(session: Session) -> bool:
    """Whether it is in a transaction that can only be rolled back."""
    return session.info.transaction_status is TransactionStatus.INERROR


def closed() -> Unavailable:
    """The error of a store that was closed."""
    return Unavailable("expected an open store, got a closed one")


def _unavailable(error: psycopg.Error, place: str) -> Unavailable:
    match error:
        case errors.LockNotAvailable():
            return Unavailable(
                f"expected what is to be changed within {LOCK_SECONDS} s, got another transaction holding it"
            )
        case errors.DeadlockDetected():
            return Unavailable(
                "expected transactions that take records in one order, got two that wait for each other: "
                "this one was undone, and can be done again"
            )
    return no_answer(place, _said(error))


def no_answer(place: str, said: str) -> Unavailable:
    """The error of a server that is not there, or could not do what it was asked to."""
    return Unavailable(f"expected the database at {place} to answer, got {said!r}")


def _said(error: psycopg.Error) -> str:
    return error.diag.message_primary or str(error).partition("\n")[0] or type(error).__name__
