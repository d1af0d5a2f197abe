"""The header names under which proxies forward a client certificate. On the way in each of them is stripped (I8).

Names are compared by their letters and digits alone: applications and gateways fold case, `-`, `_` and `.` in
different ways, and whatever one of them could take for such a header does not get through.
"""

from __future__ import annotations

from functools import lru_cache

# RFC 9440, Envoy, Azure, and what nginx, Apache, HAProxy and Caddy are configured to send by convention.
_NAMES = frozenset({
    b"certificate", b"sslcert", b"xarrclientcert", b"xcert", b"xcertificate", b"xclientdn", b"xclientidn",
    b"xclientissuer", b"xclientsdn", b"xclientserial", b"xclientsubject", b"xclientverified", b"xclientverify",
})  # fmt: skip
# The same, and Traefik, AWS load balancers, CloudFront, Cloudflare, Google.
_PREFIXES = (
    b"certchain", b"cfcert", b"cfclientcert", b"cftlsclientauth", b"clientcert", b"cloudfrontviewercert", b"sslc",
    b"tlsclient", b"xamznmtls", b"xclientcert", b"xforwardedclientcert", b"xforwardedsslclient", b"xforwardedtlsclient",
    b"xgoogclientcert", b"xmtls", b"xssl", b"xtlsclient",
)  # fmt: skip
_LONGEST_REMEMBERED = 64  # a peer chooses these names: what is remembered of them is bounded in number and in length


def is_forwarded_certificate(name: bytes) -> bool:
    """Whether a header of this name could be taken for a forwarded certificate or a fact about one."""
    return _remembered(name) if len(name) <= _LONGEST_REMEMBERED else _is_one(name)


def _is_one(name: bytes) -> bool:
    folded = bytes(octet for octet in name[:256].lower() if octet in _KEPT)
    return folded in _NAMES or folded.startswith(_PREFIXES)


_KEPT = frozenset(b"abcdefghijklmnopqrstuvwxyz0123456789")
_remembered = lru_cache(maxsize=2048)(_is_one)
