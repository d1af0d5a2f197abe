"""Scripts in processes of their own: what a store does when there are several, and when one dies."""

from __future__ import annotations

import subprocess
import sys
from textwrap import dedent


def start(script: str) -> subprocess.Popen[str]:
    """A process that runs the script, for which every warning is an error."""
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", dedent(script)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(child: subprocess.Popen[str]) -> str:
    """What it has printed when it has ended as it should."""
    try:
        out, err = child.communicate(timeout=60)
    except subprocess.TimeoutExpired:
        child.kill()
        raise
    assert child.returncode == 0, err
    assert "Warning" not in err, err
    return out


def run(script: str) -> str:
    """Both."""
    return finish(start(script))
