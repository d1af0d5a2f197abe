"""The end of a PostgreSQL transaction: the rows of the audit log and of the changes, appended under the log's lock.

The hash of an audit row is worked out by the server, by the rule of `stores.audit`: so lock, rows and commit are sent
off together, and the lock is not held while an answer goes to a client and the next statement comes. For the same
reason the commit does not wait for the disk. The lock is free again at once, the next transaction appends meanwhile,
and the wait for the disk comes after the commit (`postgres_work`), where one write of the server's serves all that
wait: a group commit. What others see in that moment is committed but could be lost with the server's power. Whoever
builds on it in a transaction of his own and is told that it is durable can rely on it, for his is durable only after
it; and whoever was not told that his transaction is durable was told nothing.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Final

from mtlskit.stores.postgres_connections import Step
from mtlskit.stores.postgres_locks import lock_id

CHANGES_KEPT: Final = 10_000
_FORGET_EVERY: Final = 500  # changes

_RELEASE_EARLY: Final = "SELECT set_config('synchronous_commit', 'off', true)"
_LOCK: Final = "SELECT pg_advisory_xact_lock(%(log)s::bigint)"
_BOTH: Final = "SELECT set_config('synchronous_commit', 'off', true), pg_advisory_xact_lock(%(log)s::bigint)"
_AUDIT: Final = """WITH RECURSIVE
    last AS MATERIALIZED (SELECT sequence, hash FROM mtlskit_audit ORDER BY sequence DESC LIMIT 1),
    now AS MATERIALIZED (
        SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"+00:00"') AS recorded_at),
    chain AS (
        SELECT 0 AS number, coalesce((SELECT sequence FROM last), 0) AS sequence, NULL::bytea AS previous_hash,
            coalesce((SELECT hash FROM last), decode(repeat('00', 32), 'hex')) AS hash
        UNION ALL
        SELECT number + 1, sequence + 1, hash, sha256(hash || convert_to(
            (sequence + 1) || E'\\n' || recorded_at || E'\\n' || (%(events)s::text[])[number + 1] || E'\\n'
            || (%(details)s::text[])[number + 1], 'UTF8'))
        FROM chain CROSS JOIN now WHERE number < cardinality(%(events)s::text[]))
    INSERT INTO mtlskit_audit (sequence, recorded_at, event, details, previous_hash, hash)
    SELECT sequence, recorded_at, (%(events)s::text[])[number], (%(details)s::text[])[number], previous_hash, hash
    FROM chain CROSS JOIN now WHERE number > 0 ORDER BY sequence"""
_CHANGES: Final = """WITH added AS (
        INSERT INTO mtlskit_changes (sequence, topic, origin, mark)
        SELECT (SELECT coalesce(max(sequence), 0) FROM mtlskit_changes) + number, topic, %(origin)s, %(mark)s
        FROM unnest(%(topics)s::text[]) WITH ORDINALITY AS given (topic, number) RETURNING sequence)
    SELECT max(sequence), pg_notify(%(channel)s, %(payload)s) FROM added"""
_FORGET: Final = "DELETE FROM mtlskit_changes WHERE sequence <= %(last)s::bigint"


class Log:
    """What one store says at the end of its transactions."""

    __slots__ = ("_lock_id", "channel")

    def __init__(self, store_id: bytes) -> None:
        self._lock_id = lock_id(store_id, "log")
        self.channel = f"mtlskit_{store_id.hex()}"

    def lock(self) -> Step:
        """The step before the log is read by who may append to it."""
        return (_LOCK, {"log": self._lock_id})

    def last(self, appending: Sequence[Step]) -> tuple[Step, ...]:
        """The last steps before a commit that releases the locks before it is on disk, `appending` among them."""
        first = (_BOTH, {"log": self._lock_id}) if appending else (_RELEASE_EARLY, {})
        return (first, *appending)

    @staticmethod
    def audit_rows(rows: Sequence[tuple[str, str]]) -> Step:
        """The step that appends rows to the chain: each an event and its details in canonical JSON."""
        return (_AUDIT, {"events": [event for event, _ in rows], "details": [details for _, details in rows]})

    def changes(self, topics: Sequence[str], origin: bytes) -> Step:
        """The step that appends the topics and wakes the listeners; its row begins with the last one's number."""
        return (
            _CHANGES,
            {
                "topics": list(topics),
                "origin": origin,
                "mark": os.urandom(8),
                "channel": self.channel,
                "payload": origin.hex(),
            },
        )


def forgetting(last: int, added: int) -> Step | None:
    """The step that cuts the log of changes, if it is its time: `added` have come, of which `last` is the last."""
    if last // _FORGET_EVERY == (last - added) // _FORGET_EVERY:
        return None
    return (_FORGET, {"last": last - CHANGES_KEPT})
