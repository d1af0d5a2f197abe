"""A certificate authority: its key, sealed in the store, and everything it has ever signed."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import NoReturn

from cryptography import x509

from mtlskit.authority import requests
from mtlskit.authority.assembly import Assembly
from mtlskit.authority.creation import authority_name, make_root, open_signer
from mtlskit.authority.issuance import Issuing, Order, issue
from mtlskit.authority.issued import IssuedCertificate
from mtlskit.authority.ledger import (
    AUTHORITY,
    AuthorityRecord,
    Reservation,
    Revocation,
    scan_reservations,
)
from mtlskit.authority.revocation import RevocationReason, make_list, revoke
from mtlskit.authority.serials import read_serial
from mtlskit.authority.signers import KeyType, Signer, generate_key
from mtlskit.core.certificates import PresentedChain, SigningChain, public_key_id, to_der
from mtlskit.core.profiles import (
    CLIENT,
    LONGEST_COMMON_NAME,
    SERVER,
    Issuer,
    Names,
    Profile,
    PublicKey,
    RequestNames,
    Role,
)
from mtlskit.errors import IssuanceError, NotFound
from mtlskit.ports import Store

_YEARS_10 = timedelta(days=3650)


def _utc_now() -> datetime:
    return datetime.now(UTC)


class CertificateAuthority:
    """One authority in a store. Make it with `create`, get it with `open`.

    May be shared between threads, and used on both sides of a fork. The key is opened when it is first needed.
    """

    __slots__ = ("_clock", "_key_id", "_opened", "_record", "_signer", "_store")

    def __init__(
        self, record: AuthorityRecord, *, store: Store, clock: Callable[[], datetime], signer: Signer | None = None
    ) -> None:
        self._record = record
        self._store = store
        self._clock = clock
        self._signer = signer
        self._opened: Issuing | None = None
        self._key_id = public_key_id(self.certificate).hex()

    @classmethod
    def create(
        cls,
        name: str,
        *,
        store: Store,
        key_type: KeyType | str = KeyType.EC_P256,
        lifetime: timedelta = _YEARS_10,
        requester: str = "",
        clock: Callable[[], datetime] = _utc_now,
    ) -> CertificateAuthority:
        """Makes a root: a key, which the store seals, and its self-signed certificate for `<name> G1`.

        `name` has 1 to 58 octets of printable UTF-8. `clock` gives UTC-aware moments. Raises Conflict if the store has
        an authority of that name: of several makers at once exactly one succeeds.
        """
        record, signer = make_root(
            authority_name(name),
            store=store,
            key_type=KeyType.parse(key_type),
            lifetime=lifetime,
            requester=requester,
            now=clock(),
        )
        return cls(record, store=store, clock=clock, signer=signer)

    @classmethod
    def open(cls, name: str, *, store: Store, clock: Callable[[], datetime] = _utc_now) -> CertificateAuthority:
        """The authority of that name; raises NotFound."""
        with store.snapshot() as snapshot:
            found = snapshot.get(AUTHORITY, "", name)
        if found is None:
            raise NotFound(f"expected an authority, got the unknown name {name!r}")
        return cls(AuthorityRecord.from_json(found.value), store=store, clock=clock)

    @classmethod
    def list(cls, store: Store, *, clock: Callable[[], datetime] = _utc_now) -> tuple[CertificateAuthority, ...]:
        """All authorities of the store by name."""
        with store.snapshot() as snapshot:
            records = [AuthorityRecord.from_json(record.value) for record in snapshot.scan(AUTHORITY, "")]
        return tuple(cls(record, store=store, clock=clock) for record in records)

    @property
    def name(self) -> str:
        """The name it was created with."""
        return self._record.name

    @property
    def certificate(self) -> x509.Certificate:
        """The active root certificate: the trust anchor for what is issued now."""
        return self._record.generations[-1].certificate

    @property
    def key_id(self) -> bytes:
        """SHA-256 over the active key's SubjectPublicKeyInfo: what its certificates are recorded under."""
        return bytes.fromhex(self._key_id)

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
        return self._issue(CLIENT, names, KeyType.parse(key_type), lifetime, requester)

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
        return self._issue(SERVER, named, KeyType.parse(key_type), lifetime, requester)

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
        if profile.role is not Role.END_ENTITY:
            raise IssuanceError(f"profile: expected one of an end entity, got {profile.name!r}")
        parsed = requests.read_request(request)
        requests.check_extensions(parsed)
        names = Names.of(common_name, dns=dns, uris=uris, emails=emails, ips=ips)
        if not names and profile.request_names is RequestNames.REQUEST_IF_CALLER_GIVES_NONE:
            names = requests.requested_names(parsed, profile)
        order = self._order(profile, names, requests.proven_key(parsed), lifetime, requester)
        return PresentedChain.from_der(issue(self._issuing(), order))

    def revoke(
        self,
        certificate: int | str | x509.Certificate | SigningChain,
        *,
        reason: RevocationReason | str = RevocationReason.UNSPECIFIED,
    ) -> Revocation:
        """Revokes a certificate that this authority issued, or a reservation; durable when it returns.

        `certificate` is the certificate or its serial number: an int, or hexadecimal text in any notation. A second
        call changes nothing and gives the first revocation, but for a hold, which a lasting reason replaces. Raises
        NotFound for what was not issued here.
        """
        found = certificate.certificate if isinstance(certificate, SigningChain) else certificate
        der = to_der(found) if isinstance(found, x509.Certificate) else None
        serial = found.serial_number if isinstance(found, x509.Certificate) else read_serial(found)
        return revoke(self._issuing(), serial, reason=RevocationReason.parse(reason), now=self._clock(), der=der)

    def crl(
        self, *, lifetime: timedelta = timedelta(days=7), now: datetime | None = None
    ) -> x509.CertificateRevocationList:
        """The complete revocation list (RFC 5280, 5), good from `now` (UTC-aware, the clock's without) for `lifetime`.

        It has every revocation acknowledged before this call, and a number above all lists before it.
        """
        return make_list(self._issuing(), now=now or self._clock(), lifetime=lifetime)

    def pending(self) -> tuple[Reservation, ...]:
        """What was reserved and never finished: by processes that ended in between, and by those at it right now.

        Each can be revoked by its `serial_number`.
        """
        with self._store.snapshot() as snapshot:
            return tuple(scan_reservations(snapshot, self._key_id))

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r} key={self._key_id[:16]}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("expected a value without a private key to pickle, got CertificateAuthority")

    def _issue(
        self, profile: Profile, names: Names, key_type: KeyType, lifetime: timedelta | None, requester: str
    ) -> IssuedCertificate:
        key = generate_key(key_type)
        der = issue(self._issuing(), self._order(profile, names, key.public_key(), lifetime, requester))
        return IssuedCertificate(key, (x509.load_der_x509_certificate(der),))

    def _order(
        self, profile: Profile, names: Names, public_key: PublicKey, lifetime: timedelta | None, requester: str
    ) -> Order:
        return Order(
            profile=profile,
            names=names,
            public_key=public_key,
            lifetime=lifetime,
            requester=requester,
            now=self._clock(),
        )

    def _issuing(self) -> Issuing:
        if self._opened is None:
            signer = self._signer or open_signer(self._store, self._key_id)
            self._opened = Issuing(
                authority=self.name,
                key_id=self._key_id,
                issuer=Issuer.of(self.certificate),
                assembly=Assembly(signer),
                store=self._store,
            )
        return self._opened
