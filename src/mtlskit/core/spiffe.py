"""SPIFFE ids: the one URI by which a workload is known (SPIFFE-ID 2, X509-SVID 2)."""

from __future__ import annotations

import re
from typing import Final

LONGEST_SPIFFE_ID: Final = 2048  # octets (SPIFFE-ID, 2.3)
_SCHEME: Final = "spiffe:"
_TRUST_DOMAIN: Final = re.compile(r"[a-z0-9._-]{1,255}", re.ASCII)
# SPIFFE-ID, 2.1 and 2.2: a workload's has a path; nothing is percent-encoded, and there is no query or fragment.
_SPIFFE_ID: Final = re.compile(r"spiffe://([a-z0-9._-]{1,255})(?:/(?!\.{1,2}(?:/|$))[A-Za-z0-9._-]+)+", re.ASCII)
_PREFIX: Final = re.compile(r"spiffe://[a-z0-9._-]{1,255}/(?:(?!\.{1,2}/)[A-Za-z0-9._-]+/)*[A-Za-z0-9._-]*", re.ASCII)


def is_spiffe_id(uri: str) -> bool:
    """Whether it is a workload's id."""
    return len(uri) <= LONGEST_SPIFFE_ID and _SPIFFE_ID.fullmatch(uri) is not None


def claims_spiffe(uri: str) -> bool:
    """Whether it has the scheme, in whatever case: then it is an id, or it is broken."""
    return uri[: len(_SCHEME)].lower() == _SCHEME


def trust_domain_of(spiffe_id: str) -> str:
    """The trust domain of an id."""
    return spiffe_id.split("/", 3)[2]


def is_trust_domain(text: str) -> bool:
    """Whether it is a trust domain's name."""
    return _TRUST_DOMAIN.fullmatch(text) is not None


def is_spiffe_prefix(text: str) -> bool:
    """Whether ids can begin so and the trust domain is whole: what follows cannot be more of its name."""
    return _PREFIX.fullmatch(text) is not None
