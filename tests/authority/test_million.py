"""A list of a million entries: in a process of its own, for its memory is measured."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CODE = """
import json, sys
from benchmarks import bench_lists as bench
from mtlskit.authority import CertificateAuthority
from mtlskit.stores import open_store
count = int(sys.argv[1])
store = open_store("memory://")
acme = CertificateAuthority.create("Acme", store=store)
bench.fill(store, acme.key_id.hex(), count)
seconds, made = bench.timed(acme.crl)
used = bench.most_used()
entries, is_valid = len(made), made.is_signature_valid(acme.certificate.public_key())
theirs = bench.timed(lambda: bench.by_builder(bench.FEW))[0] / bench.FEW * count
print(json.dumps([seconds, theirs, used, entries, is_valid]))
"""


@pytest.mark.slow
def test_a_million_entries_are_signed_in_seconds_and_in_500_megabytes() -> None:
    count = 1_000_000
    paths = os.pathsep.join([str(ROOT), str(ROOT / "src")])
    done = subprocess.run(
        [sys.executable, "-c", CODE, str(count)], capture_output=True, text=True, timeout=300, check=True,
        env={**os.environ, "PYTHONPATH": paths},
    )  # fmt: skip
    seconds, theirs, megabytes, entries, is_valid = json.loads(done.stdout)
    assert (entries, is_valid) == (count, True)
    assert megabytes < 500  # the store and its million records included
    # Seconds say little on a machine that others use: less than the builder of `cryptography` takes, which only builds.
    assert seconds < theirs
