"""Runs authorities in children that are killed in the middle, and says on stdout what reached the outside.

Its own program, for it forks: `kill_driver.py STORE-URL ROUNDS RANDOM-KILLS`. Every line is `POINT WHAT VALUE... .`; a
line that was written whole has left the process, whatever happened to it after.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from itertools import count

from cryptography import x509

from mtlskit.authority import CertificateAuthority, CertificateOrder, Filled, IssuedCertificate, KeySigner
from mtlskit.authority.publishing import ListName, Publication
from mtlskit.authority.publishing.published import PublishedLists
from mtlskit.fetch.uploads import CertificateUploads
from mtlskit.gate import Gate
from mtlskit.ports import Store
from mtlskit.stores import KeyEncryption, open_store
from mtlskit.testing.certificates import Authority

KEYS = KeyEncryption(bytes(32))
NAME = "Acme"
RESERVED, SIGNED = ["commit 1 before", "commit 1 after"], ["sign 1 before", "sign 1 after"]
ISSUE = [*RESERVED, *SIGNED, "commit 2 before", "commit 2 after"]
# Two batches of two: the second one's points too, whose first has left by then.
BATCH = [*ISSUE, "sign 2 before", "sign 2 after", "commit 3 before", "commit 3 after", "sign 3 after", "sign 4 before"]
BATCH += ["commit 4 before", "commit 4 after"]
INTERMEDIATE = [*ISSUE, "commit 3 before", "commit 3 after"]
REVOKE = ["commit 1 before", "commit 1 after"]
LIST = ["commit 1 before", "commit 1 after", "sign 1 before", "sign 1 after", "commit 2 before", "commit 2 after"]
PUBLISH = [*LIST, "commit 3 before", "commit 3 after"]
ROOT = ["sign 1 before", "sign 1 after", "commit 1 before", "commit 1 after"]
# The next root; its key certified by the one before, and that one's by it; both written down.
GENERATION = [*ROOT, "commit 2 after", "sign 2 after", "commit 3 before", "commit 3 after", "commit 4 after"]
GENERATION += ["sign 3 after", "commit 5 before", "commit 5 after", "commit 6 before", "commit 6 after"]
ONE_CHANGE = ["commit 1 before", "commit 1 after"]
PENDING = ("commit 1 after", "sign 1 before", "sign 1 after", "commit 2 before")  # of one certificate
BATCH_PENDING = {
    **dict.fromkeys((*PENDING, "sign 2 before", "sign 2 after"), 2),
    **dict.fromkeys(("commit 3 after", "sign 3 after", "sign 4 before", "commit 4 before"), 2),
}


CUSTOMER = Authority.root("Customer")
CLIENT = CUSTOMER.leaf("client")
SERVER = CUSTOMER.leaf("server", sans=["dns:*.acme.example"], usages=[x509.ExtendedKeyUsageOID.SERVER_AUTH])


class Works:
    """What is done until the process is killed. Each says what has left it."""

    def __init__(self, acme: CertificateAuthority, label: str) -> None:
        self.acme = acme
        self.label = label
        self._store = acme._opened.store
        self._numbers = count()
        self._gate = Gate(self._store)
        self._uploads = CertificateUploads(self._store)
        self._published = PublishedLists(acme._opened, Publication())

    def issue(self) -> None:
        self.say("issued", self.acme.issue_client("device").serial_number)

    def batch(self) -> None:
        orders = (CertificateOrder("one of many") for _ in range(4))
        for outcome in self.acme.issue_many(orders, batch_size=2):
            if isinstance(outcome, Filled) and isinstance(outcome.issued, IssuedCertificate):
                self.say("issued", outcome.issued.serial_number)

    def renew(self) -> None:
        (leaf, *_) = self.acme.renew(self._prepared).certificates()
        self.say("issued", leaf.serial_number)

    def rekey(self) -> None:
        self.say("issued", self.acme.rekey(self._prepared).serial_number)

    def revoke(self) -> None:
        serial = self._prepared
        self.acme.revoke(serial, reason="key_compromise")
        self.say("revoked", serial)

    def crl(self) -> None:
        self._say_list("crl", self.acme.crl())

    def delta(self) -> None:
        self._say_list("delta", self.acme.delta_crl())

    def publish(self) -> None:
        self._say_list("published", x509.load_der_x509_crl(self._published.current(ListName(1)).der))

    def release(self) -> None:
        serial = self._prepared
        self.say("releasing", serial)
        self.acme.release(serial)

    def intermediate(self) -> None:
        name = f"Below {os.getpid()} {next(self._numbers)}"
        made = CertificateAuthority.create(name, store=self._store, parent=self.acme)
        self.say("issued", made.certificate.serial_number)
        self.say("authority", *name.split()[1:])

    def root(self) -> None:
        numbers = self._two_numbers()
        CertificateAuthority.create("Root {} {}".format(*numbers), store=self._store)
        self.say("root", *numbers)

    def generation(self) -> None:
        self._reach(1)

    def activate(self) -> None:
        self._reach(2)

    def retire(self) -> None:
        self._reach(3)

    def add(self) -> None:
        numbers = self._two_numbers()
        self._gate.hostnames.add(hostname(*numbers), trust=[CUSTOMER.certificate], server=SERVER)
        self.say("added", *numbers)

    def remove(self) -> None:
        self.say("removing", *self._added)
        self._gate.hostnames.remove(hostname(*self._added))
        self.say("removed", *self._added)

    def upload(self) -> None:
        self.say("uploaded", uuid.UUID(self._uploads.upload(CLIENT.to_pem()).id).int)

    def prepare(self, verb: str) -> None:
        """What is there before the steps are counted: an opened key, and a certificate to do something with."""
        self.acme._opened.issuing()
        if verb in ("renew", "rekey", "revoke", "release", "publish"):
            self._prepared = self.acme.issue_client("prepared").serial_number
            self.say("issued", self._prepared)
        match verb:
            case "release":
                self.acme.revoke(self._prepared, reason="certificate_hold")
                self.say("revoked", self._prepared)
            case "publish":
                self.revoke()
            case "delta":
                self.crl()
            case "generation" | "activate" | "retire":
                self._rotated = self._two_numbers()
                self._rotating = CertificateAuthority.create(rotating(*self._rotated), store=self._store)
                for stage in range(1, ("generation", "activate", "retire").index(verb) + 1):
                    self._reach(stage)
            case "remove":
                self._added = self._two_numbers()
                self._gate.hostnames.add(hostname(*self._added), trust=[CUSTOMER.certificate], server=SERVER)
                self.say("added", *self._added)

    def everything(self) -> None:
        """All of it, in an order that only chance knows."""
        for verb in iter(lambda: random.choice(tuple(POINTS)), None):
            self.prepare(verb)
            getattr(self, verb)()

    def _reach(self, stage: int) -> None:
        rotation = self._rotating.rotation
        match stage:
            case 1:
                rotation.prepare()
            case 2:
                rotation.activate()
            case _:
                rotation.retire(1)
        self.say("rotated", *self._rotated, stage)

    def _two_numbers(self) -> tuple[int, int]:
        """Of this process, and of what it does: no other has them."""
        return os.getpid(), next(self._numbers)

    def _say_list(self, what: str, made: x509.CertificateRevocationList) -> None:
        number = made.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
        self.say(what, number, *(entry.serial_number for entry in made))

    def say(self, what: str, *values: object) -> None:
        text = " ".join((self.label.replace(" ", "-"), what, *map(str, values)))
        os.write(1, f"\n{text} .\n".encode())


POINTS: dict[str, Sequence[str]] = {
    "issue": ISSUE,
    "batch": BATCH,
    "renew": ISSUE,
    "rekey": ISSUE,
    "revoke": REVOKE,
    "crl": LIST,
    "intermediate": INTERMEDIATE,
    "release": ONE_CHANGE,
    "delta": LIST,
    "publish": PUBLISH,
    "root": ROOT,
    "generation": GENERATION,
    "activate": ONE_CHANGE,
    "retire": ONE_CHANGE,
    "add": ONE_CHANGE,
    "remove": ONE_CHANGE,
    "upload": ONE_CHANGE,
}


def rotating(process: int, number: int) -> str:
    """The name of an authority that is rotated."""
    return f"Rotating {process} {number}"


def hostname(process: int, number: int) -> str:
    """A custom hostname."""
    return f"h{process}-{number}.acme.example"


def main(url: str, rounds: int, random_kills: int) -> None:
    store = open_store(url, keys=KEYS)
    CertificateAuthority.create(NAME, store=store)
    store.close()
    for _ in range(rounds):
        for verb, points in POINTS.items():
            for point in points:
                killed_at(url, f"{verb} {point}", point, verb)
        undisturbed(url)
    for delay in delays(random_kills):
        killed_after(url, delay)
        if random.random() < 0.1:
            undisturbed(url)
    undisturbed(url)


def delays(kills: int) -> Iterator[float]:
    """Milliseconds: until somewhere in the third thing that is done."""
    random.seed(4)
    for _ in range(kills):
        yield random.uniform(5, 60)


def killed_at(url: str, label: str, point: str, verb: str) -> None:
    child = os.fork()
    if child == 0:
        store = open_store(url, keys=KEYS)
        works = Works(CertificateAuthority.open(NAME, store=store), label)
        works.prepare(verb)
        arm(point, store)
        getattr(works, verb)()
        os._exit(3)  # the point was never reached
    _, status = os.waitpid(child, 0)
    if not os.WIFSIGNALED(status) or os.WTERMSIG(status) != signal.SIGKILL:
        raise SystemExit(f"{label}: expected a killed child, got status {status}")
    os.write(1, f"\n{label.replace(' ', '-')} killed 1 .\n".encode())


def killed_after(url: str, milliseconds: float) -> None:
    """Kills a child so long after it has begun to work."""
    ready, begun = os.pipe()
    child = os.fork()
    if child == 0:
        works = Works(CertificateAuthority.open(NAME, store=open_store(url, keys=KEYS)), "random")
        works.prepare("issue")
        os.write(begun, b"x")
        works.everything()
    os.read(ready, 1)
    time.sleep(milliseconds / 1000)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    os.close(ready)
    os.close(begun)
    os.write(1, b"\nrandom killed 1 .\n")


def undisturbed(url: str) -> None:
    """Publishes a list, which nothing ends."""
    child = os.fork()
    if child == 0:
        Works(CertificateAuthority.open(NAME, store=open_store(url, keys=KEYS)), "undisturbed").crl()
        os._exit(0)
    _, status = os.waitpid(child, 0)
    if status != 0:
        raise SystemExit(f"undisturbed: expected a list, got status {status}")


def arm(point: str, store: Store) -> None:
    """Kills this process right before or right after the so-manieth commit, or signature."""
    what, number, when = point.split()
    owner, name = (type(store.transaction()), "__exit__") if what == "commit" else (KeySigner, "sign")
    original: Callable[..., object] = getattr(owner, name)
    left = [int(number)]

    def stepped(*arguments: object) -> object:
        left[0] -= 1
        if left[0] == 0 and when == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        done = original(*arguments)
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return done

    setattr(owner, name, stepped)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
