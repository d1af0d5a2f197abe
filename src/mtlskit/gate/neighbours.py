"""Whether a client that one hostname refuses is good for another: the alarm that a provider wants."""

from __future__ import annotations

from datetime import datetime

from mtlskit.core.certificates import PresentedChain
from mtlskit.core.custom_hostname import CustomHostname
from mtlskit.core.reasons import Reason
from mtlskit.core.verdict import verify_client
from mtlskit.errors import CertificateError, MTLSError, PathError
from mtlskit.gate.hostnames import Hostnames

_MOST_NEIGHBOURS = 4  # candidates looked at to tell a neighbour's client from a stranger; each costs a verification


def stranger_reason(
    hostname: CustomHostname, presented: PresentedChain | None, hostnames: Hostnames, now: datetime
) -> Reason:
    """The reason for refusing a client that no anchor of `hostname` vouches for."""
    if presented is None:
        return Reason.UNKNOWN_ISSUER
    for neighbour in _neighbours(presented, hostnames):
        if neighbour.pattern != hostname.pattern and _is_good_for(neighbour, presented, now):
            return Reason.WRONG_TENANT_ISSUER
    return Reason.UNKNOWN_ISSUER


def _neighbours(presented: PresentedChain, hostnames: Hostnames) -> list[CustomHostname]:
    try:
        issuers = [certificate.issuer for certificate in presented.certificates()[:3]]
        found = [hostnames.trusting(issuer, limit=_MOST_NEIGHBOURS) for issuer in issuers]
    except (MTLSError, ValueError):  # a name that cannot be read, which `cryptography` notices late
        return []
    return [hostname for each in found for hostname in each][:_MOST_NEIGHBOURS]


def _is_good_for(hostname: CustomHostname, presented: PresentedChain, now: datetime) -> bool:
    try:
        verify_client(hostname, presented, now)
    except PathError as error:
        # The neighbour's revocation lists are not asked here; all else about its client is right.
        return error.reason is Reason.REVOCATION_UNKNOWN
    except CertificateError:
        return False
    return True
