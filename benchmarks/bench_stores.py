"""How many transactions a second does a store take, and what do more threads and processes add?

A transaction inserts one record of 500 bytes and appends one row to the audit log. Every one is on disk when it has
ended, so the floor is a disk's: the time that one write of 8 KiB and its `fdatasync` take in the same directory, one
after the other. Printed: transactions a second, and the ratio to that floor's writes. PostgreSQL is the server of the
tests on a unix socket of the same machine, which has to do its work on the same cores.
"""

from __future__ import annotations

import multiprocessing
import os
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

from tests.support.postgres import running

from mtlskit.stores import KeyEncryption, open_store

ROUNDS = 3
TRANSACTIONS = 800  # in each round, of all threads and processes together
SHAPES = ((1, 1), (1, 8), (4, 2))  # processes, threads in each
KEYS = KeyEncryption(bytes(32))


def main() -> None:
    with tempfile.TemporaryDirectory() as directory, running() as server, server.schema() as url:
        urls = {"SQLite": f"sqlite:///{directory}/bench.db", "PostgreSQL": url}
        works: dict[str, Callable[[], float]] = {"floor": lambda: writes(Path(directory, "floor"))}
        for name, place in urls.items():
            open_store(place, keys=KEYS).close()
            for processes, threads in SHAPES:
                shape = f"{name}, {processes} x {threads} threads"
                works[shape] = lambda place=place, p=processes, t=threads: many(place, p, t)  # type: ignore[misc]
        found: dict[str, list[float]] = {name: [] for name in works}
        for _ in range(ROUNDS):
            for name, work in works.items():
                found[name].append(work())
    floor = statistics.median(found["floor"])
    print(f"{'':28}{'per s':>10}{'x floor':>10}")
    for name, rates in found.items():
        print(f"{name:28}{statistics.median(rates):10.0f}{statistics.median(rates) / floor:10.2f}")


def writes(path: Path) -> float:
    """Synchronous writes a second."""
    count = 200
    with path.open("wb") as file:
        start = time.perf_counter()
        for _ in range(count):
            file.write(bytes(8192))
            file.flush()
            os.fdatasync(file.fileno())
        return count / (time.perf_counter() - start)


def many(url: str, processes: int, threads: int) -> float:
    """Transactions a second, from when all processes are ready."""
    context = multiprocessing.get_context("spawn")
    ready, done = context.Barrier(processes + 1), context.Barrier(processes + 1)
    each = TRANSACTIONS // (processes * threads)
    children = [context.Process(target=child, args=(url, threads, each, ready, done)) for _ in range(processes)]
    for process in children:
        process.start()
    ready.wait(60)
    start = time.perf_counter()
    done.wait(120)
    taken = time.perf_counter() - start
    for process in children:
        process.join()
    return each * threads * processes / taken


def child(url: str, threads: int, count: int, ready: threading.Barrier, done: threading.Barrier) -> None:
    store = open_store(url, keys=KEYS)

    def work() -> None:
        for _ in range(count):
            with store.transaction() as transaction:
                transaction.insert("bench", "", os.urandom(16).hex(), bytes(500))
                transaction.append_audit("bench", {"number": "1"})

    workers = [threading.Thread(target=work) for _ in range(threads)]
    ready.wait(60)
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    done.wait(120)
    store.close()


if __name__ == "__main__":
    main()
