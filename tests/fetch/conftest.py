"""One way to call `fetch`, blocking or async, on either backend."""

import asyncio

import pytest

from mtlskit.fetch import AsyncEnvironment, Environment


def _blocking(bindings, calls, options):
    with Environment(bindings, **options) as env:
        return [_outcome(env[name], url, more) for name, url, more in calls]


def _outcome(binding, url, more):
    try:
        return binding.fetch(url, **more)
    except Exception as error:
        return error


async def _async(bindings, calls, options):
    found = []
    async with AsyncEnvironment(bindings, **options) as env:
        for name, url, more in calls:
            try:
                found.append(await env[name].fetch(url, **more))
            except Exception as error:
                found.append(error)
    return found


@pytest.fixture(params=["ssl", "pyopenssl"])
def backend(request):
    return request.param


@pytest.fixture(params=["blocking", "async"])
def fetch_all(request, backend):
    """`fetch_all(bindings, (name, url, options), ..., **environment)`: responses, or the errors in their place."""

    def run(bindings, *calls, **options):
        options = {"backend": backend, **options}
        if request.param == "blocking":
            return _blocking(bindings, calls, options)
        return asyncio.run(_async(bindings, calls, options))

    return run


@pytest.fixture
def fetch_one(fetch_all):
    """The one response, or raises the one error."""

    def run(bindings, name, url, environment=None, **options):
        (found,) = fetch_all(bindings, (name, url, options), **(environment or {}))
        if isinstance(found, Exception):
            raise found
        return found

    return run
