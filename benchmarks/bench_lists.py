"""Question: what does it cost to make a revocation list of a million entries, and to learn of one revocation more?

A memory store with a million revocations. Prints the time of `authority.crl()` (read, built, signed by P-256), per
entry beside the builder of `cryptography` with a list of 20,000, and the memory that it took at most. Then the time in
which `RevokedSerials` reads all of them, what it keeps, and the time of the first look-up after one more was revoked,
beside one after nothing was. Absolute times mean little on a machine that others use.
Run: `python -m benchmarks.bench_lists [entries]`.
"""

from __future__ import annotations

import gc
import random
import resource
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeVar

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from mtlskit.authority import CertificateAuthority, RevocationReason, RevokedSerials, crl_der
from mtlskit.authority.ledger import REVOCATION, Revocation
from mtlskit.authority.serials import serial_key
from mtlskit.ports import Store
from mtlskit.stores import open_store

ENTRIES = 1_000_000
FEW = 20_000
START = datetime(2026, 1, 1, tzinfo=UTC)
_T = TypeVar("_T")


def main(count: int = ENTRIES) -> None:
    store = open_store("memory://")
    acme = CertificateAuthority.create("Acme", store=store)
    before = now_used()
    fill(store, acme.key_id.hex(), count)
    gc.collect()
    print(f"{count:,} revocations, {now_used() - before:.0f} MB in the store")
    busy = time.process_time()
    seconds, made = timed(acme.crl)
    busy = time.process_time() - busy
    print(f"most memory, the store's included        {most_used():8.0f} MB")
    print(f"authority.crl(), {len(crl_der(made)) / 1e6:.0f} MB of DER            {seconds:8.2f} s")
    print(f"  of a processor                         {busy:8.2f} s")
    theirs = time.process_time()
    by_builder(FEW)
    theirs = time.process_time() - theirs
    print(f"cryptography's builder alone, per entry  {theirs / FEW / (busy / count):8.1f} times as long")
    del made
    gc.collect()
    report_serials(store, acme)


def report_serials(store: Store, acme: CertificateAuthority) -> None:
    revoked, issuer, before = RevokedSerials(store), acme.key_id, now_used()
    seconds, _ = timed(lambda: revoked.reason_of(issuer, 1))
    print(f"RevokedSerials: all of them              {seconds:8.2f} s, {now_used() - before:.0f} MB")
    afterwards, alone = [], []
    for number in range(50):
        serial = acme.revoke(acme.issue_client(f"device-{number}")).serial_number
        afterwards.append(timed(lambda serial=serial: revoked.reason_of(issuer, serial))[0])  # type: ignore[misc]
        alone.append(timed(lambda serial=serial: revoked.reason_of(issuer, serial))[0])  # type: ignore[misc]
    for name, times in (("after one more", afterwards), ("after nothing", alone)):
        print(f"RevokedSerials: a look-up {name:14s} {sorted(times)[len(times) // 2] * 1e6:8.1f} us")


def fill(store: Store, issuer: str, count: int) -> None:
    reasons, draw = list(RevocationReason), random.Random(1)
    for at in range(0, count, 50_000):
        with store.transaction() as transaction:
            for _ in range(min(50_000, count - at)):
                revocation = Revocation(
                    serial_number=draw.getrandbits(159) or 1,
                    reason=draw.choice(reasons),
                    revoked_at=START + timedelta(seconds=draw.randrange(30_000_000)),
                    not_after=START + timedelta(days=draw.randrange(365, 1_000)),
                )
                key = serial_key(revocation.serial_number)
                transaction.insert(REVOCATION, issuer, key, revocation.to_text().encode())


def by_builder(count: int) -> x509.CertificateRevocationList:
    reason = [x509.Extension(x509.CRLReason.oid, False, x509.CRLReason(x509.ReasonFlags.superseded))]
    entries = [x509.RevokedCertificateBuilder(number + 1, START, reason).build() for number in range(count)]
    builder = x509.CertificateRevocationListBuilder(x509.Name([]), START, START + timedelta(days=7), [], entries)
    return builder.sign(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256())


def timed(call: Callable[[], _T]) -> tuple[float, _T]:
    start = time.perf_counter()
    found = call()
    return time.perf_counter() - start, found


def now_used() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1e6


def most_used() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
