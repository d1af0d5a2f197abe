"""NIST PKITS and a part of x509-limbo, every case by the profile of its namespace.

The vectors are not part of this repository: MTLSKIT_VECTORS names their directory, `shared/vectors` beside the
repository is the default. Disagreements stand in `exceptions.toml` with the row that decides them.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from support import vectors

EXCEPTIONS = tomllib.loads(Path(__file__).with_name("exceptions.toml").read_text())
# cryptography warns of serial numbers that are zero or negative while it parses them.
pytestmark = pytest.mark.filterwarnings("ignore")


def _parameters(name: str) -> list[Any]:
    found = [pytest.param(case, id=case["id"]) for case in vectors.cases(name)]
    missing = pytest.mark.skip(reason=f"no {name}.json.gz: name its directory in MTLSKIT_VECTORS")
    return found or [pytest.param(None, id=name, marks=missing)]


@pytest.mark.parametrize("case", _parameters("pkits"))
def test_pkits(case: dict[str, Any]) -> None:
    _agrees(case, EXCEPTIONS["pkits"])


@pytest.mark.parametrize("case", _parameters("limbo-part"))
def test_limbo(case: dict[str, Any]) -> None:
    _agrees(case, EXCEPTIONS["limbo"])


def _agrees(case: dict[str, Any], exceptions: dict[str, str]) -> None:
    found, reason = vectors.outcome(case)
    if case["id"] in exceptions:
        assert found != case["expected_result"], "stated as an exception, but it agrees: take it out"
    else:
        assert found == case["expected_result"], reason
