"""Bindings for other libraries, one module each: a mount sends a certificate to its binding's origins and nowhere else.

HTTP: `httpx`, `httpx2`, `requests`, `urllib3`, `aiohttp`. Other protocols, whose host the caller names: `contexts`
(whatever takes an `ssl.SSLContext`), `libpq` (psycopg) and `grpc`. Each imports its library, and nothing else does.
"""
