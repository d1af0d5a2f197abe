"""How much does a recorded certificate cost over the cryptography in it?

A certification request in DER goes in; its recorded and signed certificate in DER comes out. The floor, measured in the
same run: one verification of the request's signature and one signature over the certificate. Printed: microseconds
and the ratio to the floor, for each store, for an authority and requests with P-256 keys. SQLite issues one at a time
here, so that each certificate waits for two synchronous commits; their cost alone is printed too.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from mtlskit.authority import CertificateAuthority
from mtlskit.ports import Store
from mtlskit.stores import KeyEncryption, open_store

ROUNDS = 5
CALLS = 200


def main() -> None:
    request = make_request()
    key = ec.generate_private_key(ec.SECP256R1())
    with tempfile.TemporaryDirectory() as directory:
        stores = {
            "memory": open_store("memory://"),
            "SQLite": open_store(f"sqlite:///{Path(directory)}/bench.db", keys=KeyEncryption.generate()),
        }
        works: dict[str, Callable[[int], object]] = {"floor": lambda _: floor(key, request)}
        works["bare builder"] = lambda _: bare(key, request)
        for name, store in stores.items():
            authority = CertificateAuthority.create("Bench", store=store)
            works[name] = lambda _, authority=authority: authority.sign_request(request)  # type: ignore[misc]
        works["SQLite, two bare commits"] = lambda number: commits(stores["SQLite"], number)
        report(measure(works))
        for store in stores.values():
            store.close()


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


def commits(store: Store, number: int) -> None:
    for step in "ab":
        with store.transaction() as transaction:
            transaction.insert("bench", "", f"{time.perf_counter_ns()}{step}{number}", bytes(700))


def measure(works: dict[str, Callable[[int], object]]) -> dict[str, float]:
    found: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(ROUNDS):
        for name, work in works.items():
            start = time.perf_counter()
            for number in range(CALLS):
                work(number)
            found[name].append((time.perf_counter() - start) / CALLS * 1e6)
    return {name: statistics.median(times) for name, times in found.items()}


def report(medians: dict[str, float]) -> None:
    print(f"{'':28}{'us':>10}{'x floor':>10}")
    for name, median in medians.items():
        print(f"{name:28}{median:10.0f}{median / medians['floor']:10.2f}")


if __name__ == "__main__":
    main()
