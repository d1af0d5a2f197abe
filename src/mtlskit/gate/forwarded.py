"""The header names under which proxies forward a client certificate. On the way in each of them is stripped (I8).

Names are compared as WSGI, PHP and nginx fold them: without case, `_` like `-`. So `SSL_Client_S_DN` is caught too.
"""

from __future__ import annotations

from functools import lru_cache

# RFC 9440, Envoy, Azure, and what nginx, Apache, HAProxy and Caddy are configured to send by convention.
_NAMES = frozenset({
    b"client-cert", b"client-cert-chain", b"client-certificate", b"ssl-cert", b"x-arr-clientcert",
    b"x-forwarded-client-cert", b"x-forwarded-clientcert", b"x-ssl", b"x-ssl-cert",
})  # fmt: skip
# The same, and Traefik, AWS load balancers, CloudFront, Cloudflare, Google.
_PREFIXES = (
    b"cf-cert-", b"cf-client-cert-", b"cf-tls-client-auth", b"cloudfront-viewer-cert-", b"ssl-c-", b"ssl-client-",
    b"x-amzn-mtls-", b"x-client-cert", b"x-client-dn", b"x-client-verify", b"x-forwarded-client-cert-",
    b"x-forwarded-ssl-client-", b"x-forwarded-tls-client-cert", b"x-goog-client-cert", b"x-mtls-", b"x-ssl-c-",
    b"x-ssl-client-", b"x-ssl-verify", b"x-tls-client-",
)  # fmt: skip


@lru_cache(maxsize=2048)
def is_forwarded_certificate(name: bytes) -> bool:
    """Whether a header of this name could be taken for a forwarded certificate or a fact about one."""
    folded = name.lower().replace(b"_", b"-")
    return folded in _NAMES or folded.startswith(_PREFIXES)
