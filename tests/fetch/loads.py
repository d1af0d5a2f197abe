"""Many calls at once, by threads or by tasks: who called, what each was told, and how many were under way."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Any, TypeAlias

from mtlskit.fetch import AsyncEnvironment, Environment

KINDS = ("threads", "tasks")


@dataclass(slots=True)
class Call:
    """One call of `fetch` by the binding `name`. `before` and `after` are what `Load.look` saw."""

    name: str
    url: str
    options: dict[str, Any] = field(default_factory=dict)
    limit: float | None = None  # in seconds, after which a task is cancelled
    before: Any = None
    after: Any = None
    outcome: Any = None  # a response, or what was raised

    @property
    def path(self) -> str:
        """The path of the URL, which nobody else asks for."""
        return "/" + self.url.split("/", 3)[3]


Step: TypeAlias = Sequence[Sequence[Call]] | Callable[[], object]


def plans(names: Sequence[str], url: str, *, workers: int, each: int, **options: Any) -> list[list[Call]]:
    """The calls of every worker: each takes the bindings in turn, and no two calls ask for the same path."""
    numbers = count()
    return [
        [Call(names[(worker + turn) % len(names)], f"{url}/{next(numbers)}", dict(options)) for turn in range(each)]
        for worker in range(workers)
    ]


@dataclass
class Load:
    """Sends calls. `look` is asked before and after each; `most` is how many of a binding were under way at once."""

    look: Callable[[str], Any] = lambda _name: None
    over: int = 0
    most: Counter[str] = field(default_factory=Counter)
    _running: Counter[str] = field(default_factory=Counter)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @contextmanager
    def _under_way(self, call: Call) -> Iterator[None]:
        call.before = self.look(call.name)
        with self._lock:
            self._running[call.name] += 1
            self.most[call.name] = max(self.most[call.name], self._running[call.name])
        try:
            yield
        except Exception as error:
            call.outcome = error
        finally:
            with self._lock:
                self._running[call.name] -= 1
                self.over += 1
            call.after = self.look(call.name)

    def by_threads(self, env: Environment, work: Sequence[Sequence[Call]]) -> None:
        """Each worker's calls in a thread of its own, one after another."""

        def run(calls: Sequence[Call]) -> None:
            for call in calls:
                with self._under_way(call):
                    call.outcome = env[call.name].fetch(call.url, **call.options)

        threads = [threading.Thread(target=run, args=(calls,)) for calls in work]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    async def by_tasks(self, env: AsyncEnvironment, work: Sequence[Sequence[Call]]) -> None:
        """Each worker's calls in a task of its own, one after another."""

        async def run(calls: Sequence[Call]) -> None:
            for call in calls:
                with self._under_way(call):
                    async with asyncio.timeout(call.limit):
                        call.outcome = await env[call.name].fetch(call.url, **call.options)

        await asyncio.gather(*map(run, work))

    def send(self, kind: str, bindings: Any, *steps: Step, **environment: Any) -> list[Call]:
        """One piece of work after another in an environment of their own, by "threads" or "tasks"; gives the calls.

        A function among them is called in its turn.
        """
        if kind == "threads":
            with Environment(bindings, **environment) as env:
                for step in steps:
                    step() if callable(step) else self.by_threads(env, step)
        else:
            asyncio.run(self._in_loop(bindings, steps, environment))
        return [call for step in steps if not callable(step) for calls in step for call in calls]

    async def _in_loop(self, bindings: Any, steps: Sequence[Step], environment: dict[str, Any]) -> None:
        async with AsyncEnvironment(bindings, **environment) as env:
            for step in steps:
                await (asyncio.to_thread(step) if callable(step) else self.by_tasks(env, step))


def faults(calls: Sequence[Call]) -> list[Exception]:
    """What was raised."""
    return [call.outcome for call in calls if isinstance(call.outcome, Exception)]


def open_sockets(port: int) -> int:
    """How many sockets of this machine are connected to that port."""
    with open("/proc/net/tcp", encoding="ascii") as table:
        rows = [line.split() for line in table.readlines()[1:]]
    return sum(row[2].endswith(f":{port:04X}") and row[3] == "01" for row in rows)


def wait_until(is_so: Callable[[], bool], seconds: float = 10) -> None:
    """Fails where it is not so in time."""
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.01)
