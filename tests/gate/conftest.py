from collections.abc import Iterator

import pytest

from support.world import BACKENDS, World, world


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def saas(backend: str) -> Iterator[World]:
    """The provider of `support.world` on each backend."""
    with world(backend) as made:
        yield made
