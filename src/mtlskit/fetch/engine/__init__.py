"""The HTTP engine: httpcore2, blocking and async, on the parsers h11 and h2. All that knows them is here.

The engine and not a client of its, because a client keeps cookies between calls, reads the environment, and takes
URLs apart once more. A pool is made from one context that nobody else has.
"""

from mtlskit.fetch.engine.pools import ALPN, AsyncOpened, AsyncPool, Opened, Pool, PoolSettings

__all__ = ["ALPN", "AsyncOpened", "AsyncPool", "Opened", "Pool", "PoolSettings"]
