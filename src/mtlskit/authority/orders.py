"""What a caller may order, and how it becomes what is issued: for a new key, or for that of a certification request."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from datetime import datetime, timedelta

from cryptography import x509

from mtlskit.authority import requests
from mtlskit.authority.drafting import Order
from mtlskit.authority.issued import IssuedCertificate
from mtlskit.authority.signers import KeyType, generate_key
from mtlskit.core.certificates import PrivateKey
from mtlskit.core.profiles import CLIENT, PROFILES, Names, Profile, RequestNames, Role, check_names
from mtlskit.errors import IssuanceError


@dataclass(frozen=True, slots=True)
class CertificateOrder:
    """One certificate of many, in the words of `CertificateAuthority.issue` or, with a `request`, of `sign_request`.

    `request` is PKCS #10 in PEM or DER, whose key is certified; without one a key of `key_type` is made. The names are
    texts as in `SubjectAlternativeName`. `lifetime` counts from now; None means the profile's default.
    """

    common_name: str | None = None
    _: KW_ONLY
    dns: Sequence[str] = ()
    uris: Sequence[str] = ()
    emails: Sequence[str] = ()
    ips: Sequence[str] = ()
    lifetime: timedelta | None = None
    profile: Profile = CLIENT
    request: bytes | str | None = None
    key_type: KeyType | str = KeyType.EC_P256
    requester: str = ""


@dataclass(frozen=True, slots=True)
class NewKey:
    """An order, and the key that was made for it."""

    order: Order
    key: PrivateKey

    def issued(self, chain: Sequence[bytes]) -> IssuedCertificate:
        """What the caller gets for it: `chain` is the certificate and what is presented after it, in DER."""
        return IssuedCertificate(self.key, tuple(map(x509.load_der_x509_certificate, chain)))


def prepare(order: CertificateOrder, now: datetime) -> Order | NewKey:
    """The order with its key; raises IssuanceError, which names the field, and ConfigurationError. `now` is UTC."""
    if not isinstance(order, CertificateOrder):
        raise IssuanceError(f"order: expected a CertificateOrder, got {type(order).__name__}")
    names = Names.of(order.common_name, dns=order.dns, uris=order.uris, emails=order.emails, ips=order.ips)
    if order.request is not None:
        return for_request(order.request, order.profile, names, order.lifetime, order.requester, now)
    return for_new_key(order.key_type, order.profile, names, order.lifetime, order.requester, now)


def for_new_key(
    key_type: KeyType | str, profile: Profile, names: Names, lifetime: timedelta | None, requester: str, now: datetime
) -> NewKey:
    """The order for a key that is made here, once the names are known to be allowed; raises as `prepare` does."""
    parsed = KeyType.parse(key_type)
    check_end_entity(profile)
    check_names(profile, names)
    key = generate_key(parsed)
    public_key = key.public_key()
    order = Order(
        profile=profile, names=names, public_key=public_key, lifetime=lifetime, requester=requester, now=now,
        spki=requests.spki_of(public_key),
    )  # fmt: skip
    return NewKey(order, key)


def for_request(
    request: bytes | str, profile: Profile, names: Names, lifetime: timedelta | None, requester: str, now: datetime
) -> Order:
    """The order for a request's key; its names where there are no `names` and the profile says so.

    The signature, which costs most, is looked at last. Raises IssuanceError.
    """
    check_end_entity(profile)
    parsed = requests.read_request(request)
    asked_for = requests.checked_names(parsed)
    if not names and profile.request_names is RequestNames.REQUEST_IF_CALLER_GIVES_NONE:
        names = requests.requested_names(parsed, asked_for, profile)
    proven = requests.proven_key(parsed)
    return Order(
        profile=profile, names=names, public_key=proven.key, lifetime=lifetime, requester=requester, now=now,
        spki=proven.spki, csr=parsed.parsed,
    )  # fmt: skip


def check_end_entity(profile: Profile) -> None:
    """Raises IssuanceError for the profile of an authority, and for one that only has the name of one of ours.

    The ledger knows a profile by its name alone: such a certificate would be renewed under another profile.
    """
    known = PROFILES.get(profile.name, profile)
    if known is not profile and known != profile:
        raise IssuanceError(f"profile: expected one with a name of its own, got another {profile.name!r} than ours")
    if profile.role is not Role.END_ENTITY:
        raise IssuanceError(f"profile: expected one of an end entity, got {profile.name!r}")
