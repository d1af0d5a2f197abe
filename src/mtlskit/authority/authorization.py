"""The authorisation hook: who is asked before anything is reserved, signed or recorded.

It has the shape of step-ca's authorizing webhooks and of Boulder's policy authority: it is told everything about the
certificate that would be issued, after the profile and the issuer have allowed it; it says yes or no and changes
nothing; and what is not a clear yes is a no: an exception, None, True, an answer that does not come. An authority that
was opened without a hook asks nobody: then whoever has the object may issue, within the profiles.

The hook is asked for everything that the authority's key is to certify: clients and servers, renewals, authorities
below it (profile `intermediate`) and its own generations (`cross`). It runs in the thread that issues, outside of any
transaction, and may be asked again for the same certificate where a rotation comes in between.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final, TypeAlias

from cryptography import x509

from mtlskit.core.profiles import NO_CONSTRAINTS, AuthorityConstraints, Names, Profile, PublicKey
from mtlskit.errors import IssuanceError

_LONGEST: Final = 500  # characters of a reason


@dataclass(frozen=True, slots=True, kw_only=True)
class IssuanceRequest:
    """What is wanted of an authority: a certificate that nothing but the hook stands against any more.

    `lifetime` counts from now. `csr` is the certification request whose key it is, its proof of possession checked;
    None where the key was made here or is that of a certificate. `renews` is the certificate that this one follows.
    `constraints` are those in the certificate of an authority; where nothing is constrained, it may issue anything.
    """

    authority: str
    profile: Profile
    names: Names
    public_key: PublicKey = field(repr=False)
    lifetime: timedelta
    requester: str
    csr: x509.CertificateSigningRequest | None = field(default=None, repr=False)
    renews: x509.Certificate | None = field(default=None, repr=False)
    constraints: AuthorityConstraints = NO_CONSTRAINTS


@dataclass(frozen=True, slots=True)
class Granted:
    """It may be issued."""


@dataclass(frozen=True, slots=True)
class Denied:
    """It is not issued. `why` is told to the caller and written into the audit log: a short text without secrets."""

    why: str


Authorize: TypeAlias = Callable[[IssuanceRequest], Granted | Denied]


def check_authorization(authorize: Authorize, request: IssuanceRequest) -> None:
    """Raises IssuanceError unless the hook grants it; one that the hook raises is passed on."""
    try:
        answer: object = authorize(request)
    except IssuanceError:
        raise
    except Exception as error:
        raise IssuanceError(f"authorization: expected a decision, got {type(error).__name__}") from error
    match answer:
        case Granted():
            return
        case Denied():
            raise IssuanceError(f"authorization: expected to be granted, got denied: {str(answer.why)[:_LONGEST]}")
        case _:
            raise IssuanceError(f"authorization: expected Granted or Denied, got {type(answer).__name__}")
