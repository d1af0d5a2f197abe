"""The desk of an authority, where certificates are issued: one, one once more, or thousands."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import timedelta
from typing import overload

from cryptography import x509

from mtlskit.authority import renewal
from mtlskit.authority.batches import BATCH_SIZE, Outcome, Progress, issue_many
from mtlskit.authority.drafting import Order
from mtlskit.authority.issuance import issue
from mtlskit.authority.issued import IssuedCertificate
from mtlskit.authority.opened import OpenedAuthority
from mtlskit.authority.orders import CertificateOrder, for_new_key, for_request
from mtlskit.authority.renewal import Renewal
from mtlskit.authority.signers import KeyType
from mtlskit.core.certificates import PresentedChain, SigningChain
from mtlskit.core.profiles import CLIENT, LONGEST_COMMON_NAME, SERVER, Names, Profile

_NOT_AT_ALL = timedelta(0)


class Desk:
    """What `CertificateAuthority` issues."""

    __slots__ = ()

    _opened: OpenedAuthority

    def issue(
        self,
        common_name: str | None = None,
        *,
        profile: Profile,
        dns: Iterable[str] = (),
        uris: Iterable[str] = (),
        emails: Iterable[str] = (),
        ips: Iterable[str] = (),
        lifetime: timedelta | None = None,
        key_type: KeyType | str = KeyType.EC_P256,
        requester: str = "",
    ) -> IssuedCertificate:
        """A certificate of a profile of one's own, with a new key. `lifetime` counts from now; None: the profile's.

        Raises IssuanceError, which names the field: what the profile or the authority's certificate does not allow.
        """
        names = Names.of(common_name, dns=dns, uris=uris, emails=emails, ips=ips)
        return self._issue(profile, names, key_type, lifetime, requester)

    def issue_client(
        self,
        common_name: str | None = None,
        *,
        dns: Iterable[str] = (),
        uris: Iterable[str] = (),
        emails: Iterable[str] = (),
        ips: Iterable[str] = (),
        lifetime: timedelta | None = None,
        key_type: KeyType | str = KeyType.EC_P256,
        requester: str = "",
    ) -> IssuedCertificate:
        """A client certificate with a new key. `lifetime` counts from now; None means 90 days.

        Raises IssuanceError, which names the field: a name that has not its form, a lifetime that is too short, too
        long, or not within the authority's own.
        """
        names = Names.of(common_name, dns=dns, uris=uris, emails=emails, ips=ips)
        return self._issue(CLIENT, names, key_type, lifetime, requester)

    def issue_server(
        self,
        *hostnames: str,
        ips: Iterable[str] = (),
        lifetime: timedelta | None = None,
        key_type: KeyType | str = KeyType.EC_P256,
        requester: str = "",
    ) -> IssuedCertificate:
        """A server certificate with a new key for hostnames (`*.acme.example` too) and addresses; as `issue_client`.

        The first hostname is the common name as well, if it is not longer than 64 octets.
        """
        names = Names.of(dns=hostnames, ips=ips)
        first = names.sans[0].value if hostnames else ""
        named = Names(common_name=first, sans=names.sans) if 0 < len(first) <= LONGEST_COMMON_NAME else names
        return self._issue(SERVER, named, key_type, lifetime, requester)

    def sign_request(
        self,
        request: bytes | str,
        *,
        profile: Profile = CLIENT,
        common_name: str | None = None,
        dns: Iterable[str] = (),
        uris: Iterable[str] = (),
        emails: Iterable[str] = (),
        ips: Iterable[str] = (),
        lifetime: timedelta | None = None,
        requester: str = "",
    ) -> PresentedChain:
        """A certificate for the key of a certification request (PKCS #10 in PEM or DER): leaf first, without the root.

        The names are those given here. Where none is given and the profile allows it (`CLIENT` does), they are the
        request's common name and SAN entries, under the same checks. Nothing else is taken from the request but its
        key. Raises IssuanceError, which names the field.
        """
        names = Names.of(common_name, dns=dns, uris=uris, emails=emails, ips=ips)
        now = self._opened.clock()
        return PresentedChain(self._issued(for_request(request, profile, names, lifetime, requester, now)))

    def renew(
        self,
        certificate: int | str | x509.Certificate | SigningChain,
        *,
        profile: Profile | None = None,
        lifetime: timedelta | None = None,
        after_expiry: timedelta = _NOT_AT_ALL,
        requester: str = "",
    ) -> PresentedChain:
        """A new certificate with the names, the profile and the key of one that was issued here: leaf first, no root.

        `certificate` is the one before or its serial number (an int, or text as `revoke` takes it). `profile` is to be
        given where it is one of one's own: the ledger knows its name alone, which must be the same. `lifetime` counts
        from now; None means as long as the one before. `after_expiry` is how long ago that one may have ended.

        Raises NotFound for what was not issued here, and IssuanceError, which names the field, for what is revoked or
        on hold, of a retired generation, expired, or not allowed by today's profile and issuer. The one before stays
        good until its end. The audit log's row says what the new one `renews`.
        """
        wanted = Renewal(profile=profile, lifetime=lifetime, after_expiry=after_expiry, requester=requester)
        found = renewal.find_recorded(self._opened, certificate)
        return PresentedChain(self._issued(renewal.same_key(found, wanted, self._opened.clock())))

    @overload
    def rekey(
        self,
        certificate: int | str | x509.Certificate | SigningChain,
        *,
        request: None = None,
        key_type: KeyType | str = ...,
        profile: Profile | None = ...,
        lifetime: timedelta | None = ...,
        after_expiry: timedelta = ...,
        requester: str = ...,
    ) -> IssuedCertificate: ...

    @overload
    def rekey(
        self,
        certificate: int | str | x509.Certificate | SigningChain,
        *,
        request: bytes | str,
        profile: Profile | None = ...,
        lifetime: timedelta | None = ...,
        after_expiry: timedelta = ...,
        requester: str = ...,
    ) -> PresentedChain: ...

    def rekey(
        self,
        certificate: int | str | x509.Certificate | SigningChain,
        *,
        request: bytes | str | None = None,
        key_type: KeyType | str = KeyType.EC_P256,
        profile: Profile | None = None,
        lifetime: timedelta | None = None,
        after_expiry: timedelta = _NOT_AT_ALL,
        requester: str = "",
    ) -> IssuedCertificate | PresentedChain:
        """As `renew`, with another key: a new one of `key_type`, or that of `request` (PKCS #10 in PEM or DER).

        Of a request only the key counts, its proof of possession is checked, and it must not be the key before. Gives
        an IssuedCertificate for a key that was made here, and the PresentedChain for that of a request.
        """
        wanted = Renewal(profile=profile, lifetime=lifetime, after_expiry=after_expiry, requester=requester)
        found, now = renewal.find_recorded(self._opened, certificate), self._opened.clock()
        if request is not None:
            return PresentedChain(self._issued(renewal.requested_key(found, wanted, request, now)))
        prepared = renewal.new_key(found, wanted, key_type, now)
        return prepared.issued(self._issued(prepared.order))

    def issue_many(
        self,
        orders: Iterable[CertificateOrder],
        *,
        batch_size: int = BATCH_SIZE,
        progress: Progress | None = None,
        threads: int = 1,
    ) -> Iterator[Outcome]:
        """Issues for each order, in their order, and gives the outcome of each as soon as it is durable.

        A batch of orders shares two commits; at most one batch is in memory, and `orders` is read as it is needed. An
        outcome is Filled, or Unfilled with the error for an order that is refused: the others go on. A store or a
        signer that fails ends it with its error, after the outcomes that are certain; reservations may be left then
        (`pending`), but of one batch alone. Who stops asking in the middle of a batch has certificates on record that
        nobody took.

        `progress` is called with the number of outcomes taken so far, and how many there will be where `orders` has a
        length, else None. `threads` makes keys and signatures in so many threads: worth it for RSA keys and for signers
        behind a network. `batch_size` is 250 at most. Raises ConfigurationError for other sizes.
        """
        return issue_many(self._opened, orders, batch_size=batch_size, progress=progress, threads=threads)

    def _issue(
        self, profile: Profile, names: Names, key_type: KeyType | str, lifetime: timedelta | None, requester: str
    ) -> IssuedCertificate:
        now = self._opened.clock()
        prepared = for_new_key(key_type, profile, names, lifetime, requester, now)
        return prepared.issued(self._issued(prepared.order))

    def _issued(self, order: Order) -> tuple[bytes, ...]:
        """The certificate in DER and those that are presented after it."""

        def issued() -> tuple[bytes, ...]:
            issuing = self._opened.issuing()
            return (issue(issuing, order), *issuing.presented)

        return self._opened.with_latest(issued)
