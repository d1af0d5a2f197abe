"""How long a path may be: pathLenConstraint of each CA, the anchor's too, and the configured depth."""

from __future__ import annotations

from collections.abc import Sequence

from mtlskit.core.reasons import Reason
from mtlskit.core.validation.certificate import ParsedCertificate
from mtlskit.errors import PathError


# RFC 5280, 6.1.4 (l) and (m): from the anchor down; a self-issued certificate does not count.
def length_fault(chain: Sequence[ParsedCertificate]) -> PathError | None:
    """The refusal of a path (leaf first, the anchor's certificate last) that is longer than a CA of it allows."""
    allowed: int | None = None
    for position in range(len(chain) - 1, 0, -1):
        certificate = chain[position]
        if allowed is not None and position != len(chain) - 1 and not certificate.self_issued:
            allowed -= 1
            if allowed < 0:
                return certificate.refused(
                    Reason.PATH_TOO_LONG, "expected fewer CAs below a pathLenConstraint, got more"
                )
        own = certificate.path_length
        if own is not None and (allowed is None or own < allowed):
            allowed = own
    return None


def depth_of(issuers: Sequence[ParsedCertificate]) -> int:
    """How many of them count for the configured depth."""
    return sum(not issuer.self_issued for issuer in issuers)


def too_deep(certificate: ParsedCertificate, limit: int) -> PathError:
    """The refusal of a path with more intermediates than configured."""
    return certificate.refused(
        Reason.PATH_TOO_LONG, f"expected at most {limit} intermediates that are not self-issued, got more", limit=limit
    )
