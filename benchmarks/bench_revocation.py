"""Question: what does a long revocation list cost to load, to keep, to ask, and what does an event loop notice of it?

A list of a million entries, signed by P-256. Prints the time of `RevocationList(der)` beside `cryptography`'s parse of
the same bytes with one pass over its entries, the memory that is kept, one look-up (present and absent: of a few
serials, over and over, and of as many as there are entries, in random order: the memory counts then), and the longest
that a heartbeat of an event loop was late while the list was loaded in a thread, beside the same with an idle
thread and with one that only spins: nothing in plain Python is kinder to the loop than that.
Run: `python benchmarks/bench_revocation.py [entries]`.
"""

from __future__ import annotations

import asyncio
import random
import secrets
import sys
import time
import tracemalloc
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding

from mtlskit.core.revocation import RevocationList
from mtlskit.testing.certificates import Authority

ENTRIES = 1_000_000
BEAT = 0.001  # seconds


def main(count: int = ENTRIES) -> None:
    root = Authority.root()
    serials = _serials(count)
    data = _signed(root, serials)
    print(f"{count:,} entries, {len(data) / 1e6:.1f} MB of DER")
    print(f"load                                  {_seconds(lambda: RevocationList(data)):8.2f} s")
    print(f"cryptography: parse, set of serials   {_seconds(lambda: _by_cryptography(data)):8.2f} s")
    print(f"kept beside the DER                   {_kept(data) / 1e6:8.1f} MB")
    listed = RevocationList(data)
    others = _serials(count)
    random.shuffle(others)
    for name, asked in (("present", random.sample(serials, count)), ("absent", others)):
        print(f"look-up, {name:8s}                     {_lookup(listed, asked[:10_000]):8.2f} us")
        print(f"look-up, {name:8s} random order        {_lookup(listed, asked):8.2f} us")
    start = time.perf_counter()
    assert listed.is_signed_by(b"", root.key.public_key())
    print(f"signature, at the first verdict       {(time.perf_counter() - start) * 1e3:8.2f} ms")
    for name, work in (
        ("idle", lambda: time.sleep(1)), ("spinning", _spin), ("loading", lambda: RevocationList(data)),
    ):  # fmt: skip
        stalls = ", ".join(f"{asyncio.run(_stall(work)) * 1e3:.1f}" for _ in range(5))
        print(f"longest stalls of a loop, {name:12s} {stalls} ms")


def _serials(count: int) -> list[int]:
    return [secrets.randbits(127) | 1 << 126 for _ in range(count)]


def _signed(root: Authority, serials: list[int]) -> bytes:
    now = datetime.now(UTC)
    entries = [x509.RevokedCertificateBuilder(serial, now).build() for serial in serials]
    extensions = [x509.Extension(x509.CRLNumber.oid, False, x509.CRLNumber(1))]
    builder = x509.CertificateRevocationListBuilder(
        root.certificate.subject, now, now + timedelta(days=1), extensions, entries
    )
    return builder.sign(root.key, hashes.SHA256()).public_bytes(Encoding.DER)


def _seconds(call: Callable[[], object]) -> float:
    best = float("inf")
    for _ in range(3):
        start = time.perf_counter()
        call()
        best = min(best, time.perf_counter() - start)
    return best


def _by_cryptography(data: bytes) -> object:
    return {entry.serial_number for entry in x509.load_der_x509_crl(data)}


def _kept(data: bytes) -> int:
    tracemalloc.start()
    listed = RevocationList(data)
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert listed.size
    return kept


def _lookup(listed: RevocationList, serials: list[int]) -> float:
    def ask() -> None:
        for serial in serials:
            listed.reason_for(listed.name, serial)

    return _seconds(ask) / len(serials) * 1e6


def _spin() -> None:
    until = time.perf_counter() + 1
    while time.perf_counter() < until:
        pass


async def _stall(work: Callable[[], object]) -> float:
    """The longest that a heartbeat was late while `work` ran in a thread, in seconds."""
    longest = 0.0
    running = asyncio.ensure_future(asyncio.to_thread(work))
    while not running.done():
        start = time.perf_counter()
        await asyncio.sleep(BEAT)
        longest = max(longest, time.perf_counter() - start - BEAT)
    await running
    return longest


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
