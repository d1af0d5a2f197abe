"""Question: what does a whole verdict cost over the two signature verifications that nobody can save?

Leaf + intermediate + root, P-256, DER in, verdict out; side by side with `cryptography`'s ClientVerifier and
pyOpenSSL's X509StoreContext on the same bytes. Twice: with everything of the peer's built for the call (by a trust
store that remembers no intermediate), and with an intermediate that the trust store has seen on a verified path, as
a gate does from a customer's second client on. And the verdict that a gate remembers on an open connection. Prints
ratios to the floor measured in the same run.
Run: `python benchmarks/bench_validation.py`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509 import verification
from OpenSSL import crypto

from mtlskit.core.certificates import PresentedChain, to_der
from mtlskit.core.evidence import PeerEvidence
from mtlskit.core.validation import Purpose, TrustStore, verify_path
from mtlskit.core.validation.memo import IntermediateMemo
from mtlskit.core.verdict import Allow
from mtlskit.gate import Gate
from mtlskit.gate.connection import Connection
from mtlskit.stores import open_store
from mtlskit.testing.certificates import Authority

ROUNDS, CALLS = 200, 10


def main() -> None:
    now = datetime.now(UTC)
    root = Authority.root()
    leaf = root.intermediate(path_length=0).leaf(sans=("dns:device.example", "uri:spiffe://example/device"))
    ders = tuple(map(to_der, leaf.certificates))
    trust = TrustStore([root.certificate])
    unused = _unused_stores(root.certificate)
    knowing = TrustStore([root.certificate], intermediates=leaf.certificates[1:])
    results = measure(
        {
            "floor: two bare verifications": _floor(leaf.certificates, root.certificate),
            "verify_path, everything built for the call": lambda: verify_path(
                PresentedChain(ders), next(unused), purpose=Purpose.CLIENT_AUTH, now=now
            ),
            "verify_path, intermediate seen before": lambda: verify_path(
                PresentedChain(ders), trust, purpose=Purpose.CLIENT_AUTH, now=now
            ),
            "verify_path, intermediate in the TrustStore": lambda: verify_path(
                PresentedChain(ders), knowing, purpose=Purpose.CLIENT_AUTH, now=now
            ),
            "verify_path, TrustStore per call": lambda: verify_path(
                PresentedChain(ders), TrustStore([root.certificate]), purpose=Purpose.CLIENT_AUTH, now=now
            ),
            "cryptography ClientVerifier, built per call": lambda: _rust(ders, root.certificate, now),
            "pyOpenSSL X509StoreContext": _openssl(ders, root.certificate),
            "Gate.decide_on, a remembered verdict": _remembered(ders, root),
        }
    )
    floor = results["floor: two bare verifications"]
    for name, microseconds in results.items():
        print(f"{name:45s} {microseconds:8.1f} us   {microseconds / floor:5.2f} x floor")


def measure(calls: dict[str, Callable[[], object]]) -> dict[str, float]:
    """The least mean of each call over the rounds, in microseconds; the calls take turns, so that noise is shared."""
    found: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(ROUNDS):
        for name, call in calls.items():
            start = time.perf_counter()
            for _ in range(CALLS):
                call()
            found[name].append((time.perf_counter() - start) / CALLS * 1e6)
    return {name: min(values) for name, values in found.items()}


# The anchor is read before, and nothing of a peer's is remembered.
def _unused_stores(root: x509.Certificate) -> Iterator[TrustStore]:
    store = TrustStore([root])
    while True:
        yield store
        store.memo = IntermediateMemo()


def _floor(chain: tuple[x509.Certificate, ...], root: x509.Certificate) -> Callable[[], object]:
    algorithm = ec.ECDSA(hashes.SHA256())
    issuers = (*chain[1:], root)
    work = [
        (issuer.public_key(), certificate.signature, certificate.tbs_certificate_bytes)
        for certificate, issuer in zip(chain, issuers, strict=True)
    ]
    return lambda: [key.verify(signature, tbs, algorithm) for key, signature, tbs in work]


def _remembered(ders: tuple[bytes, ...], root: Authority) -> Callable[[], object]:
    hostname = "device.example"
    gate = Gate(open_store("memory://"))
    gate.hostnames.add(hostname, trust=[root.certificate])
    connection = Connection(_Finished(PeerEvidence(server_name=hostname, presented=PresentedChain(ders))), _nothing)
    assert isinstance(gate.decide_on(connection, hostname), Allow)
    return lambda: gate.decide_on(connection, hostname)


class _Finished(NamedTuple):
    """A handshake that is over."""

    found: PeerEvidence

    def evidence(self) -> PeerEvidence:
        return self.found


def _nothing() -> None:
    """Closes no connection."""


def _rust(ders: tuple[bytes, ...], root: x509.Certificate, now: datetime) -> object:
    leaf, *others = map(x509.load_der_x509_certificate, ders)
    builder = verification.PolicyBuilder().store(verification.Store([root])).time(now)
    return builder.build_client_verifier().verify(leaf, others)


def _openssl(ders: tuple[bytes, ...], root: x509.Certificate) -> Callable[[], object]:
    store = crypto.X509Store()
    store.add_cert(crypto.X509.from_cryptography(root))

    def verify() -> object:
        leaf, *others = (crypto.load_certificate(crypto.FILETYPE_ASN1, der) for der in ders)
        return crypto.X509StoreContext(store, leaf, others).verify_certificate()

    return verify


if __name__ == "__main__":
    main()
