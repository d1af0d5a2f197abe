"""One way to call through each mount: a client that can `get`, blocking or not, and says what it raised."""

from __future__ import annotations

import asyncio
import importlib
import json
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest


@dataclass
class Answer:
    status: int
    body: bytes

    @property
    def client(self) -> str | None:
        """The name in the certificate that the server saw."""
        return json.loads(self.body)["client"]


def mount_module(name: str) -> Any:
    """Our module for the library, which is a reason to skip where it is not installed."""
    pytest.importorskip(name, reason=f"{name} is not installed")
    if name in ("requests", "urllib3") and hasattr(importlib.import_module("urllib3"), "HttpVersion"):
        pytest.skip("urllib3.future is installed in the place of urllib3, and is refused")
    return importlib.import_module(f"mtlskit.fetch.clients.{name}")


class _HTTPX:
    name = "httpx"

    def __init__(self, binding, *, proxy=None, client=None, **options):
        module, library = mount_module(self.name), importlib.import_module(self.name)
        transport = module.transport(binding, proxy=proxy, **options)
        self.inner = library.Client(transport=transport, follow_redirects=True, **(client or {}))

    def get(self, url, **options):
        response = self.inner.get(url, **options)
        return Answer(response.status_code, response.content)

    def read_meanwhile(self, url, change, other_url):
        """The length of an answer that is read only after the change and other requests."""
        with self.inner.stream("GET", url) as response:
            change()
            assert [self.inner.get(other_url).status_code for _ in range(2)] == [200, 200]
            return len(response.read())

    def close(self):
        self.inner.close()


class _HTTPX2(_HTTPX):
    name = "httpx2"


class _Requests:
    name = "requests"

    def __init__(self, binding, *, proxy=None, client=None, **options):
        module, library = mount_module(self.name), importlib.import_module(self.name)
        self.inner = library.Session()
        module.mount(self.inner, binding, **options)
        for name, value in (client or {}).items():
            setattr(self.inner, name, value)
        self._proxies = {"https": proxy} if proxy else None

    def get(self, url, **options):
        response = self.inner.get(url, proxies=self._proxies, timeout=10, **options)
        return Answer(response.status_code, response.content)

    def close(self):
        self.inner.close()


class _Niquests(_Requests):
    name = "niquests"


class _Urllib3:
    name = "urllib3"

    def __init__(self, binding, *, proxy=None, client=None, **options):
        self.inner = mount_module("urllib3").pool_manager(binding, proxy=proxy, **(client or {}), **options)

    def get(self, url, **options):
        options = {"retries": importlib.import_module("urllib3").Retry(redirect=20, connect=0, read=0), **options}
        response = self.inner.request("GET", url, timeout=10, **options)
        return Answer(response.status, response.data)

    def close(self):
        self.inner.clear()


class _Async:
    """A client of an event loop, driven from outside of it."""

    def __init__(self, binding, **options):
        self._runner = asyncio.Runner()
        try:
            self.inner = self._runner.run(self.open(binding, **options))
        except BaseException:
            self._runner.close()
            raise

    def get(self, url, **options):
        return self._runner.run(self.fetch(url, **options))

    def get_all(self, urls):
        """All at the same time."""

        async def gather():
            return await asyncio.gather(*map(self.fetch, urls))

        return self._runner.run(gather())

    def close(self):
        self._runner.run(self.shut())
        self._runner.close()


class _AsyncHTTPX(_Async):
    name = "httpx"

    async def open(self, binding, *, proxy=None, client=None, **options):
        module, library = mount_module(self.name), importlib.import_module(self.name)
        transport = module.async_transport(binding, proxy=proxy, **options)
        return library.AsyncClient(transport=transport, follow_redirects=True, **(client or {}))

    async def fetch(self, url, **options):
        response = await self.inner.get(url, **options)
        return Answer(response.status_code, response.content)

    def read_meanwhile(self, url, change, other_url):
        async def read():
            async with self.inner.stream("GET", url) as response:
                change()
                assert [(await self.inner.get(other_url)).status_code for _ in range(2)] == [200, 200]
                return len(await response.aread())

        return self._runner.run(read())

    async def shut(self):
        await self.inner.aclose()


class _AsyncHTTPX2(_AsyncHTTPX):
    name = "httpx2"


class _AsyncNiquests(_Async):
    async def open(self, binding, *, proxy=None, client=None, **options):
        module, library = mount_module("niquests"), importlib.import_module("niquests")
        session = library.AsyncSession()
        module.mount(session, binding, **options)
        for name, value in (client or {}).items():
            setattr(session, name, value)
        self._proxies = {"https": proxy} if proxy else None
        return session

    async def fetch(self, url, **options):
        response = await self.inner.get(url, proxies=self._proxies, timeout=10, **options)
        return Answer(response.status_code, response.content)

    async def shut(self):
        await self.inner.close()


class _Aiohttp(_Async):
    name = "aiohttp"

    async def open(self, binding, *, proxy=None, client=None, **options):
        module, library = mount_module("aiohttp"), importlib.import_module("aiohttp")
        self._proxy = proxy
        return library.ClientSession(connector=module.connector(binding, **options), **(client or {}))

    async def fetch(self, url, **options):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # of TLS within TLS
            async with self.inner.get(url, proxy=self._proxy, **options) as response:
                return Answer(response.status, await response.read())

    async def shut(self):
        await self.inner.close()


CLIENTS: dict[str, Callable[..., Any]] = {
    "httpx": _HTTPX,
    "httpx2": _HTTPX2,
    "httpx-async": _AsyncHTTPX,
    "httpx2-async": _AsyncHTTPX2,
    "requests": _Requests,
    "niquests": _Niquests,
    "niquests-async": _AsyncNiquests,
    "urllib3": _Urllib3,
    "aiohttp": _Aiohttp,
}
