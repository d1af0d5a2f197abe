"""What does it cost a process to load an environment of 1,000 bindings, each with an upload of its own?

CPU time of this process, the median of several turns, for two stores and three ways to say what is bound. The floor is
the same bindings of chains that are in memory already: what is above it is reading the file and the store, unsealing
and parsing. Aim: less than 0.5 s. RSA costs most where keys are looked at anew, so one upload with such a key is bound
1,000 times, too. No TLS context is made; what the first one costs is printed last.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import rsa

from mtlskit.fetch import CertificateUploads, Environment
from mtlskit.ports import Store
from mtlskit.stores import KeyEncryption, open_store
from mtlskit.testing.certificates import Authority

BINDINGS, ROUNDS, AIM = 1_000, 7, 0.5
KEYS = KeyEncryption(bytes(32))
CLIENTS = Authority.root("Client root").intermediate("Clients")
CHAINS = {f"B{number}": CLIENTS.leaf(f"client {number}") for number in range(BINDINGS)}
RSA = CLIENTS.leaf("client with RSA", key=rsa.generate_private_key(65_537, 2_048))
TEXTS = {
    "wrangler.toml": '[[mtls_certificates]]\nbinding = "{0}"\ncertificate_id = "{1}"\norigins = ["https://{0}.example"]\n',
    "mtlskit.toml": '[bindings.{0}]\ncertificate_id = "{1}"\norigins = ["https://{0}.example"]\n',
}


def seconds(load: Callable[[], Environment]) -> float:
    """The median CPU seconds of a load. What was loaded before is let go outside of the measured time."""
    found = []
    for _ in range(ROUNDS):
        before = time.process_time()
        environment = load()
        found.append(time.process_time() - before)
        assert len(environment) == BINDINGS
        del environment
    return statistics.median(found)


def loads(store: Store, directory: Path) -> dict[str, Callable[[], Environment]]:
    """Every way to load uploads, by what it is called."""
    uploads = CertificateUploads(store)
    ids = {name: uploads.upload(chain.to_pem()).id for name, chain in CHAINS.items()}
    one = dict.fromkeys(ids, uploads.upload(RSA.to_pem()).id)
    ways: dict[str, Callable[[], Environment]] = {
        "code": lambda: Environment(ids, store=store),
        "code, RSA": lambda: Environment(one, store=store),
    }
    for name, text in TEXTS.items():
        path = directory / name
        path.write_text("".join(text.format(*pair) for pair in ids.items()))
        ways[name] = lambda path=path: Environment.from_file(path, store=store)  # type: ignore[misc]
    return ways


def show(name: str, value: float, floor: float) -> None:
    """One line of the table."""
    print(f"  {name:36} {value:7.3f} s   {value / floor:5.1f} x the floor   {'' if value < AIM else 'MISSED'}")


def main() -> None:
    """Prints the table."""
    floor = seconds(lambda: Environment(CHAINS))
    print(f"loading {BINDINGS} bindings (aim: {AIM} s)")
    show("chains in memory (the floor)", floor, floor)
    with tempfile.TemporaryDirectory() as directory:
        for place, url in (("memory", "memory://"), ("SQLite", f"sqlite:///{directory}/bench.db")):
            store = open_store(url, keys=KEYS)
            for way, load in loads(store, Path(directory)).items():
                show(f"{place}, {way}", seconds(load), floor)
            store.close()
    environment = Environment(CHAINS)
    before = time.process_time()
    environment.B0.ssl_context()
    print(f"  the first context: {(time.process_time() - before) * 1000:.1f} ms")


if __name__ == "__main__":
    main()
