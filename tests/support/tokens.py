"""SoftHSM 2 for tests: tokens in a directory that is thrown away. Where it is not installed, tests are skipped."""

from __future__ import annotations

import atexit
import os
import shutil
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import mkdtemp

import pytest

PIN, SO_PIN = "4711-till-pin", "0815-officer-pin"
# Where Debian, Fedora and Homebrew put the module.
_PLACES = ("/usr/lib/softhsm", "/usr/lib/*/softhsm", "/usr/lib64/pkcs11", "/usr/local/lib/softhsm")


def module() -> str:
    """The path of SoftHSM's module; skips the test without it, or without the extra."""
    pytest.importorskip("pkcs11", reason="the extra 'pkcs11' is not installed")
    found = [path for place in _PLACES for path in Path("/").glob(f"{place[1:]}/libsofthsm2.so")]
    if not found or shutil.which("softhsm2-util") is None:
        pytest.skip("SoftHSM 2 is not installed (Debian: apt-get install softhsm2)", allow_module_level=True)
    return str(found[0])


@dataclass
class Tokens:
    """A directory of new tokens. The module reads it once, when a process loads it: so they are made before."""

    directory: Path
    module: str
    labels: list[str]

    def new(self) -> str:
        """The label of a token with the PIN `PIN` that nobody has used."""
        return self.labels.pop()

    def remove_all(self) -> None:
        """Takes every token out."""
        for each in (self.directory / "tokens").iterdir():
            shutil.rmtree(each)

    @classmethod
    def below(cls, directory: Path, number: int) -> Tokens:
        """So many tokens in a new directory, which the process's environment names from now on."""
        found = module()
        (directory / "tokens").mkdir()
        configuration = directory / "softhsm2.conf"
        configuration.write_text(f"directories.tokendir = {directory / 'tokens'}\nobjectstore.backend = file\n")
        os.environ["SOFTHSM2_CONF"] = str(configuration)
        labels = [f"token {each}" for each in range(number)]
        for label in labels:
            command = ["softhsm2-util", "--init-token", "--free", "--label", label, "--pin", PIN, "--so-pin", SO_PIN]
            subprocess.run(command, check=True, capture_output=True, timeout=60)
        return cls(directory, found, labels)


@cache
def of_this_process() -> Tokens:
    """The tokens of all tests in this process; gone at its end."""
    directory = Path(mkdtemp(prefix="softhsm-"))
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    return Tokens.below(directory, 48)
