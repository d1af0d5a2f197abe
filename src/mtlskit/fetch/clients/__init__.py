"""Bindings for other libraries, one module each: a mount sends a certificate to its binding's origins and nowhere else.

HTTP: `httpx`, `httpx2`, `requests`, `niquests`, `urllib3`, `aiohttp`. Other protocols, whose host the caller names:
`libpq` (psycopg) and `grpc`; whatever takes an `ssl.SSLContext` takes `binding.ssl_context()`. Each imports its
library, and nothing else does.
"""
