"""Runs authorities in children that are killed in the middle, and says on stdout what reached the outside.

Its own program, for it forks: `kill_driver.py DATABASE`. Every line is `POINT WHAT VALUE`; a line that was written
has left the process, whatever happened to it after.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from collections.abc import Callable

from mtlskit.authority import CertificateAuthority, KeySigner
from mtlskit.authority.authority import CertificateAuthority as Authority
from mtlskit.stores import KeyEncryption, open_store
from mtlskit.stores.sqlite_transaction import SQLiteTransaction

KEYS = KeyEncryption(bytes(32))
ISSUE = ["commit 1 before", "commit 1 after", "sign 1 before", "sign 1 after", "commit 2 before", "commit 2 after"]
REVOKE = ["commit 1 before", "commit 1 after"]
LIST = ["commit 1 before", "commit 1 after", "sign 1 before", "sign 1 after"]
ROUNDS = 3
RANDOM_KILLS = 12


def main(database: str) -> None:
    url = f"sqlite:///{database}"
    store = open_store(url, keys=KEYS)
    CertificateAuthority.create("Acme", store=store)
    store.close()
    for _ in range(ROUNDS):
        for verb, points, work in (("issue", ISSUE, issue), ("revoke", REVOKE, revoke), ("crl", LIST, publish)):
            for point in points:
                killed_at(url, f"{verb} {point}", point, work)
    for delay in random.Random(4).choices(range(5, 60), k=RANDOM_KILLS):
        killed_after(url, delay / 1000)


def killed_at(url: str, label: str, point: str, work: Callable[[Authority, str], None]) -> None:
    child = os.fork()
    if child == 0:
        acme = opened(url)
        prepared = acme.issue_client("to be revoked").serial_number if work is revoke else None
        if prepared is not None:
            say(label, "issued", prepared)
            work = lambda acme, label: revoke_one(acme, label, prepared)  # noqa: E731
        acme._opened.issuing()  # opens the key, so that only the work's own steps are counted
        arm(point)
        work(acme, label.replace(" ", "-"))
        os._exit(3)  # the point was never reached
    _, status = os.waitpid(child, 0)
    if not os.WIFSIGNALED(status) or os.WTERMSIG(status) != signal.SIGKILL:
        raise SystemExit(f"{label}: expected a killed child, got status {status}")
    say(label, "killed", 1)


def killed_after(url: str, seconds: float) -> None:
    child = os.fork()
    if child == 0:
        acme = opened(url)
        while True:
            issue(acme, "random")
            revoke(acme, "random")
            publish(acme, "random")
    time.sleep(seconds)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    say("random", "killed", 1)


def opened(url: str) -> Authority:
    return CertificateAuthority.open("Acme", store=open_store(url, keys=KEYS))


def issue(acme: Authority, label: str) -> None:
    say(label, "issued", acme.issue_client("device").serial_number)


def revoke(acme: Authority, label: str) -> None:
    serial = acme.issue_client("to be revoked").serial_number
    say(label, "issued", serial)
    revoke_one(acme, label, serial)


def revoke_one(acme: Authority, label: str, serial: int) -> None:
    say(label, "revoked", acme.revoke(serial, reason="key_compromise").serial_number)


def publish(acme: Authority, label: str) -> None:
    made = acme.crl()
    (number,) = [extension.value.crl_number for extension in made.extensions if hasattr(extension.value, "crl_number")]
    say(label, "crl", number)


def arm(point: str) -> None:
    what, number, when = point.split()
    owner, name = (SQLiteTransaction, "commit") if what == "commit" else (KeySigner, "sign")
    original, left = getattr(owner, name), [int(number)]

    def stepped(*arguments: object) -> object:
        left[0] -= 1
        if left[0] == 0 and when == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        done = original(*arguments)
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return done

    setattr(owner, name, stepped)


def say(label: str, what: str, value: int) -> None:
    os.write(1, f"{label.replace(' ', '-')} {what} {value}\n".encode())


if __name__ == "__main__":
    main(sys.argv[1])
