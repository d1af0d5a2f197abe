"""A revocation list of a million entries: what it says, what it keeps, and what an event loop notices of its reading.

`pytest -m slow tests/core` runs these; `benchmarks/bench_revocation.py` prints what they measure, and more.
"""

from __future__ import annotations

import asyncio
import random
import statistics
import time
import tracemalloc
from collections.abc import Callable

import pytest

from mtlskit.core.revocation import RevocationList
from support.der import ECDSA_SHA256, cn, encode, integer, seq

pytestmark = pytest.mark.slow

ENTRIES = 1_000_000
TIME = encode(0x17, b"260101000000Z")
SUPERSEDED = seq(seq(bytes.fromhex("0603551d15"), encode(4, encode(0x0A, b"\4"))))
BEAT = 0.001  # seconds
RUNS = 5


def numbers(seed: str, count: int) -> list[int]:
    """Always the same, and so many that differ: of 128 bits, no two are ever equal."""
    draw = random.Random(seed)
    return [draw.getrandbits(128) for _ in range(count)]


@pytest.fixture(scope="module")
def serials() -> list[int]:
    """Of 16 octets, most of them, and half of these with a leading zero octet more."""
    return numbers("serials", ENTRIES)


@pytest.fixture(scope="module")
def listed_octets(serials: list[int]) -> bytes:
    """Every third is superseded. The signature is nonsense: nothing here asks for it."""
    entries = [
        seq(integer(serial), TIME, *([] if position % 3 else [SUPERSEDED])) for position, serial in enumerate(serials)
    ]
    number = encode(0xA0, seq(seq(bytes.fromhex("0603551d14"), encode(4, integer(7)))))
    fields = seq(integer(1), ECDSA_SHA256, cn("Long"), TIME, TIME, seq(*entries), number)
    return seq(fields, ECDSA_SHA256, encode(3, b"\0" + b"\1" * 70))


def test_every_entry_is_found_and_nothing_else(serials: list[int], listed_octets: bytes) -> None:
    listed = RevocationList(listed_octets)
    assert listed.size == ENTRIES
    wrong = [
        serial
        for position, serial in enumerate(serials)
        if listed.reason_for(listed.name, serial) != ("unspecified" if position % 3 else "superseded")
    ]
    assert wrong == []
    others = numbers("others", ENTRIES // 10)
    assert [serial for serial in others if listed.reason_for(listed.name, serial) is not None] == []


def test_little_is_kept_beside_the_list(listed_octets: bytes) -> None:
    """The aim is 100 MB; the index has 16 MiB."""
    tracemalloc.start()
    try:
        listed = RevocationList(listed_octets)
        kept, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert listed.size == ENTRIES
    assert kept <= peak < 40_000_000


def test_an_event_loop_hardly_notices_that_it_is_read(listed_octets: bytes, capsys: pytest.CaptureFixture[str]) -> None:
    """The aim is 20 ms. A thread of plain Python takes half of that already, and more where the machine is busy."""
    spinning, loading = [], []
    for _ in range(RUNS):
        spinning.append(asyncio.run(longest_stall(spin)))
        loading.append(asyncio.run(longest_stall(lambda: RevocationList(listed_octets))))
    told = (", ".join(f"{stall * 1000:.1f}" for stall in stalls) for stalls in (loading, spinning))
    with capsys.disabled():
        print("\nlongest stalls while {:,} entries are read: {} ms; beside plain Python: {} ms".format(ENTRIES, *told))
    assert statistics.median(loading) < max(0.020, 2 * statistics.median(spinning))


async def longest_stall(work: Callable[[], object]) -> float:
    """The longest that a heartbeat was late while `work` ran in a thread, in seconds."""
    longest = 0.0
    running = asyncio.ensure_future(asyncio.to_thread(work))
    while not running.done():
        start = time.perf_counter()
        await asyncio.sleep(BEAT)
        longest = max(longest, time.perf_counter() - start - BEAT)
    await running
    return longest


def spin() -> None:
    until = time.perf_counter() + 1
    while time.perf_counter() < until:
        pass
