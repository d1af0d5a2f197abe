"""What is marked `slow` runs where it is asked for (`-m slow`), not by the way; and the PostgreSQL server for all."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from support.postgres import Postgres, running

# How long an example takes says nothing on a machine that others use too.
settings.register_profile("shared", parent=settings(), deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("shared")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if "slow" in config.getoption("markexpr"):
        return
    slow = {item for item in items if item.get_closest_marker("slow")}
    if slow:
        config.hook.pytest_deselected(items=list(slow))
        items[:] = [item for item in items if item not in slow]


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """One server for the session. It does not wait for its disk: no test takes the machine's power away."""
    with running("-F") as server:
        yield server


@pytest.fixture
def postgres_url(postgres: Postgres) -> Iterator[str]:
    """The URL of a fresh schema."""
    with postgres.schema() as url:
        yield url
