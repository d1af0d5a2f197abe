from collections.abc import Iterator
from datetime import timedelta

import pytest

from mtlskit.revocation import ListLimits, RevocationLists, Schedule
from revocation.crls import Site, website

QUICK = Schedule(
    minimum=timedelta(milliseconds=50),
    maximum=timedelta(milliseconds=50),
    retry=timedelta(milliseconds=50),
    longest_retry=timedelta(milliseconds=100),
    file_interval=timedelta(milliseconds=20),
)


@pytest.fixture
def lists() -> Iterator[RevocationLists]:
    """Read when asked to: the schedule is the usual one."""
    made = RevocationLists(limits=ListLimits(octets=1 << 20, seconds=1.0))
    yield made
    made.close()


@pytest.fixture
def quick() -> Iterator[RevocationLists]:
    """Read again and again."""
    made = RevocationLists(schedule=QUICK, limits=ListLimits(seconds=1.0))
    yield made
    made.close()


@pytest.fixture
def site() -> Iterator[Site]:
    with website() as made:
        yield made
