"""How much does a recorded certificate cost over the cryptography in it, and do two processes issue twice as many?

A certification request in DER goes in; its recorded and signed certificate in DER comes out. The floor, measured in the
same run: one verification of the request's signature and one signature over the certificate. Printed: microseconds
per certificate and the ratio to the floor, for an authority and requests with P-256 keys, one at a time and in batches
(`issue_many`). SQLite and PostgreSQL (a server of the tests' own, asked over a socket) are durable: one at a time, each
certificate waits for two synchronous commits, whose cost alone is printed too; in a batch of a hundred, two commits
carry all of them.

The works take turns in short slices. The median of each is printed, and the lowest tenth: what it takes when nobody
else is at the processor, which the floor, that hardly uses memory, feels least. Then one and two processes issue for
some seconds, each process into a memory store of its own, and all into one SQLite file. What two processes of the bare
floor make of this machine is printed beside it: more cannot be had.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from multiprocessing import get_context
from multiprocessing.synchronize import Barrier
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from tests.support.postgres import running

from mtlskit.authority import CertificateAuthority, CertificateOrder, Filled
from mtlskit.ports import Store
from mtlskit.stores import KeyEncryption, open_store

SLICES = 60
CALLS = 20
BATCH = 100
SECONDS = 4.0
TURNS = 3
KEYS = KeyEncryption(bytes(32))


def main() -> None:
    request = make_request()
    key = ec.generate_private_key(ec.SECP256R1())
    with tempfile.TemporaryDirectory() as directory, running() as server, server.schema() as url:
        stores = {
            "memory": open_store("memory://"),
            "SQLite": open_store(f"sqlite:///{Path(directory)}/bench.db", keys=KEYS),
            "PostgreSQL": open_store(url, keys=KEYS),
        }
        works: dict[str, tuple[int, Callable[[], object]]] = {
            "floor": (1, lambda: floor(key, request)),
            "bare builder": (1, lambda: bare(key, request)),
        }
        for name, store in stores.items():
            authority = CertificateAuthority.create("Bench", store=store)
            works[name] = 1, lambda authority=authority: authority.sign_request(request)  # type: ignore[misc]
            works[f"{name}, in batches"] = BATCH, lambda authority=authority: batch(authority, request)  # type: ignore[misc]
        for name in ("SQLite", "PostgreSQL"):
            works[f"{name}, two bare commits"] = 1, lambda name=name: commits(stores[name])  # type: ignore[misc]
        report(measure(works))
        for store in stores.values():
            store.close()
    report_processes()


def make_request() -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "device-17")])
    builder = x509.CertificateSigningRequestBuilder(name).add_extension(
        x509.SubjectAlternativeName([x509.UniformResourceIdentifier("urn:acme:device:17")]), critical=False
    )
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)


def floor(key: ec.EllipticCurvePrivateKey, request: bytes) -> bytes:
    parsed = x509.load_der_x509_csr(request)
    assert parsed.is_signature_valid
    return key.sign(request, ec.ECDSA(hashes.SHA256()))


def bare(key: ec.EllipticCurvePrivateKey, request: bytes) -> bytes:
    """What `cryptography` takes for the same certificate, unrecorded."""
    parsed = x509.load_der_x509_csr(request)
    assert parsed.is_signature_valid
    public_key, now = parsed.public_key(), datetime.now(UTC)
    builder = x509.CertificateBuilder(
        parsed.subject, parsed.subject, public_key, x509.random_serial_number(), now, now + timedelta(days=90)
    )
    san = parsed.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    for value, critical in (
        (x509.BasicConstraints(ca=False, path_length=None), True),
        (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), False),
        (san, False),
        (x509.SubjectKeyIdentifier.from_public_key(public_key), False),
        (x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), False),
    ):
        builder = builder.add_extension(value, critical)
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)


def batch(authority: CertificateAuthority, request: bytes) -> None:
    order = CertificateOrder(request=request)
    assert all(isinstance(each, Filled) for each in authority.issue_many([order] * BATCH, batch_size=BATCH))


def commits(store: Store) -> None:
    for step in "ab":
        with store.transaction() as transaction:
            transaction.insert("bench", "", f"{time.perf_counter_ns()}{step}", bytes(700))


def measure(works: dict[str, tuple[int, Callable[[], object]]]) -> dict[str, list[float]]:
    """Microseconds per certificate, in each slice."""
    found: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(SLICES):
        for name, (certificates, work) in works.items():
            calls = max(1, CALLS // certificates)
            start = time.perf_counter()
            for _ in range(calls):
                work()
            found[name].append((time.perf_counter() - start) / (calls * certificates) * 1e6)
    return found


def report(found: dict[str, list[float]]) -> None:
    medians = {name: statistics.median(times) for name, times in found.items()}
    lowest = {name: statistics.quantiles(times, n=10)[0] for name, times in found.items()}
    print(f"{'':28}{'median us':>12}{'x floor':>10}{'lowest us':>12}{'x floor':>10}")
    for name, median in medians.items():
        low = lowest[name]
        print(f"{name:28}{median:12.0f}{median / medians['floor']:10.2f}{low:12.0f}{low / lowest['floor']:10.2f}")


def report_processes() -> None:
    print(f"\n{'per second':28}{'one':>10}{'two':>10}{'x':>10}")
    for name in ("floor", "memory", "SQLite, in batches"):
        turns = [[throughput(name, workers) for workers in (1, 2)] for _ in range(TURNS)]
        one, two = (statistics.median(each) for each in zip(*turns, strict=True))
        print(f"{name:28}{one:10.0f}{two:10.0f}{two / one:10.2f}")


def throughput(name: str, workers: int) -> float:
    """Certificates per second that so many processes issue together."""
    context = get_context("fork")
    with tempfile.TemporaryDirectory() as directory:
        url = f"sqlite:///{Path(directory)}/bench.db"
        store = open_store(url, keys=KEYS)
        CertificateAuthority.create("Bench", store=store)
        store.close()
        together, counts = context.Barrier(workers), context.Queue()
        processes = [context.Process(target=worker, args=(name, url, together, counts)) for _ in range(workers)]
        for process in processes:
            process.start()
        rates = [counts.get() for _ in processes]
        for process in processes:
            process.join()
    return sum(rates)


def worker(name: str, url: str, together: Barrier, counts: object) -> None:
    request, key = make_request(), ec.generate_private_key(ec.SECP256R1())
    store = open_store("memory://") if name == "memory" else open_store(url, keys=KEYS)
    authority = CertificateAuthority.ensure("Bench", store=store)
    certificates, work = {
        "floor": (1, lambda: floor(key, request)),
        "memory": (1, lambda: authority.sign_request(request)),
        "SQLite, in batches": (BATCH, lambda: batch(authority, request)),
    }[name]
    work()
    together.wait()
    done, start = 0, time.perf_counter()
    while (passed := time.perf_counter() - start) < SECONDS:
        work()
        done += certificates
    counts.put(done / passed)  # type: ignore[attr-defined]
    store.close()


if __name__ == "__main__":
    main()
