"""Tries everything on one backend and judges each row."""

from __future__ import annotations

import socket
import time
from dataclasses import dataclass

from mtlskit.cli.demo.attempts import FAILED, NOT_SENT, Attempt, Happened, Outcome, Stage, attempts
from mtlskit.cli.demo.scenario import Scenario
from mtlskit.cli.demo.server import Refusals, serving
from mtlskit.core.reasons import Reason
from mtlskit.errors import MTLSError
from mtlskit.gate import Gate

_EVENT_SECONDS = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One attempt, what was expected of it and what became of it."""

    attempt: Attempt
    happened: Outcome
    told: str
    milliseconds: float

    @property
    def as_expected(self) -> bool:
        """Whether the outcome, who was let in, and the reason code are all the expected ones."""
        return self.happened == self.attempt.expected


def run(scenario: Scenario, backend: str, listener: socket.socket, *, loop: str = "auto") -> list[Row]:
    """Every attempt, in order, against a server on `backend`."""
    gate = Gate(scenario.store, backend=backend)
    refusals = Refusals()
    unsubscribe = gate.subscribe(refusals.note)
    stage = Stage(scenario=scenario, gate=gate, port=listener.getsockname()[1])
    try:
        with serving(gate, listener, loop=loop):
            return [_try(attempt, stage, refusals) for attempt in attempts(gate)]
    finally:
        unsubscribe()
        gate.close()


def _try(attempt: Attempt, stage: Stage, refusals: Refusals) -> Row:
    refusals.forget()
    start = time.perf_counter()
    try:
        seen = attempt.act(stage)
    except (MTLSError, OSError) as error:
        seen = Happened(ended=FAILED, told=f"{type(error).__name__}: {error}")
    elapsed = time.perf_counter() - start
    happened = Outcome(ended=seen.ended, identity=seen.identity, reason=_reason(seen, refusals))
    return Row(attempt=attempt, happened=happened, told=seen.told, milliseconds=elapsed * 1000)


def _reason(seen: Happened, refusals: Refusals) -> Reason | None:
    """What the gate told its operator. Where nothing was to be refused, it must have told nothing."""
    nothing_expected = seen.ended.startswith("200") or seen.ended == NOT_SENT
    event = refusals.take(within=0 if nothing_expected else _EVENT_SECONDS)
    return event.reason if event is not None else None
