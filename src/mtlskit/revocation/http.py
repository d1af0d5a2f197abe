"""Reading a list from a distribution point. The only module here that knows httpx2 (extra `fetch`).

Its transport and not its client, which would keep cookies and read the environment (proxies, key logs). The answer is
bounded while it streams in, by octets and by one deadline over everything, redirects and slow peers included.
Nothing is decoded: a list is as long as it is sent.
"""

from __future__ import annotations

import asyncio
import ssl
from functools import cache
from typing import Final
from urllib.parse import urljoin

import certifi

from mtlskit.errors import ConfigurationError, FetchError
from mtlskit.revocation.reading import check_size
from mtlskit.revocation.schedule import ListLimits
from mtlskit.revocation.sources import WebSource

try:
    import httpx2
except ImportError as error:
    raise ConfigurationError(
        "expected the extra 'fetch' (pip install 'mtlskit[fetch]') for revocation lists from the web, got none"
    ) from error

_HEADERS: Final = {
    "Accept": "application/pkix-crl, */*;q=0.1",
    "Accept-Encoding": "identity",
    "User-Agent": "mtlskit",
}
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_MOST_REDIRECTS: Final = 3


async def fetch(source: WebSource, limits: ListLimits, tls: ssl.SSLContext | None = None) -> bytes:
    """The octets at the URL; raises FetchError, or CertificateError for too many. `tls` is for `https:` URLs."""
    try:
        async with (
            asyncio.timeout(limits.seconds),
            httpx2.AsyncHTTPTransport(verify=tls or _public_roots(), trust_env=False) as transport,
        ):
            return await _followed(transport, source, limits)
    except TimeoutError:
        raise FetchError(f"expected a revocation list within {limits.seconds:g} s, got none that was whole") from None
    except (httpx2.HTTPError, httpx2.InvalidURL, OSError) as error:
        raise FetchError(f"expected an answer with a revocation list, got {type(error).__name__}") from error


async def _followed(transport: httpx2.AsyncHTTPTransport, source: WebSource, limits: ListLimits) -> bytes:
    for _ in range(_MOST_REDIRECTS + 1):
        response = await transport.handle_async_request(httpx2.Request("GET", source.url, headers=_HEADERS))
        try:
            if response.status_code not in _REDIRECTS:
                return await _content(response, limits)
            source = _target(source, response.headers.get("location", ""))
        finally:
            await response.aclose()
    raise FetchError(f"expected at most {_MOST_REDIRECTS} redirects, got more")


def _target(source: WebSource, location: str) -> WebSource:
    try:
        target = WebSource(urljoin(source.url, location))
    except (ConfigurationError, ValueError):
        raise FetchError("expected a redirect to a URL without credentials, got another") from None
    if target.scheme != source.scheme:
        raise FetchError(f"expected a redirect within {source.scheme}:, got one to {target.scheme}:")
    return target


async def _content(response: httpx2.Response, limits: ListLimits) -> bytes:
    if response.status_code != 200:
        raise FetchError(f"expected the status 200, got {response.status_code}")
    coding = response.headers.get("content-encoding", "identity")
    if coding.lower() != "identity":
        raise FetchError(f"expected a revocation list as it is, got the content coding {coding[:32]!r}")
    stated = response.headers.get("content-length", "")
    if stated.isascii() and stated.isdigit():
        check_size(int(stated[:20]), limits)
    data = bytearray()
    async for piece in response.aiter_raw():
        data += piece
        check_size(len(data), limits)
    return bytes(data)


@cache
def _public_roots() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(certifi.where())
    return context
