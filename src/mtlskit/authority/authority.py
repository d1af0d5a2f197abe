"""A certificate authority: its keys, sealed in the store, and everything it has ever signed."""

from __future__ import annotations

import builtins
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any, NoReturn, TypeVar, cast

from cryptography import x509

from mtlskit.authority import orders
from mtlskit.authority.authorization import Authorize
from mtlskit.authority.creation import (
    Plan,
    authority_name,
    check_constraints,
    make_intermediate,
    make_root,
    signer_of,
    take_over,
)
from mtlskit.authority.desk import Desk
from mtlskit.authority.exporting import export_pkcs12
from mtlskit.authority.generations import Generation, KeyPlace
from mtlskit.authority.inheritance import check_last_list
from mtlskit.authority.issuance import Issuing, Order, issue
from mtlskit.authority.issued import IssuedCertificate
from mtlskit.authority.ledger import (
    AUTHORITY,
    IssuerLedger,
    Ledger,
    Reservation,
    Revocation,
    scan_reservations,
)
from mtlskit.authority.lists import Expired, ListOrder, complete_list, delta_list
from mtlskit.authority.opened import OpenedAuthority, find_authority
from mtlskit.authority.revocation import RevocationReason, release, revoke_with_twins
from mtlskit.authority.rotation import Rotation
from mtlskit.authority.scope import WHOLE, ListScope
from mtlskit.authority.serials import read_serial
from mtlskit.authority.signers import KeySigner, KeyType, Signer
from mtlskit.authority.takeover import check_authority, check_chain, record_issued
from mtlskit.core.certificates import PresentedChain, SigningChain, public_key_id, to_der, to_pem
from mtlskit.core.profiles import (
    CLIENT,
    LONGEST_COMMON_NAME,
    NO_CONSTRAINTS,
    NO_LOCATIONS,
    SERVER,
    AuthorityConstraints,
    Locations,
    Names,
    Profile,
)
from mtlskit.errors import ConfigurationError, Conflict, NotFound
from mtlskit.ports import Record, Store

_YEARS_10 = timedelta(days=3650)
_OPENING = ("signer", "clock", "authorize")  # what `create` takes that `open` takes as well
_T = TypeVar("_T")


def _utc_now() -> datetime:
    return datetime.now(UTC)


class CertificateAuthority(Desk):
    """One authority in a store. Make it with `create` or `take_over`, get it with `open`.

    May be shared between threads, and used on both sides of a fork. Keys are opened when they are first needed. What
    another process changes (a rotation) holds for everything that is issued afterwards.

    Wherever `authorize` is taken, it is the hook that is asked before this object issues anything (`IssuanceRequest`).
    """

    __slots__ = ("_opened", "rotation")

    def __init__(
        self,
        found: Record,
        *,
        store: Store,
        clock: Callable[[], datetime],
        signer: Signer | None = None,
        authorize: Authorize | None = None,
    ) -> None:
        self._opened = OpenedAuthority(found, store=store, clock=clock, signer=signer, authorize=authorize)
        self.rotation = Rotation(self._opened)

    @classmethod
    def create(
        cls,
        name: str,
        *,
        store: Store,
        parent: CertificateAuthority | None = None,
        constraints: AuthorityConstraints = NO_CONSTRAINTS,
        locations: Locations = NO_LOCATIONS,
        key_type: KeyType | str = KeyType.EC_P256,
        signer: Signer | None = None,
        lifetime: timedelta | None = None,
        requester: str = "",
        clock: Callable[[], datetime] = _utc_now,
        authorize: Authorize | None = None,
    ) -> CertificateAuthority:
        """Makes an authority with a certificate for `<name> G1`: a root, or one that `parent` certifies.

        `name` has 1 to 58 octets of printable UTF-8. The key is new and sealed in the store, or `signer` has it.
        `lifetime` None means ten years for a root and five for an intermediate, or as long as `parent` lasts.
        `constraints` stand in its certificate; `AuthorityConstraints.for_clients_of(hostname)` gives those for one
        custom hostname; `locations` stand in what it issues. `clock` gives UTC-aware moments. Raises Conflict if the
        store has an authority of that name: of several makers at once exactly one succeeds. Raises IssuanceError for
        what `parent` may not certify.
        """
        key_signer, place = signer_of(KeyType.parse(key_type), signer)
        plan = Plan(
            name=authority_name(name), signer=key_signer, place=place, constraints=constraints, lifetime=lifetime,
            requester=requester, now=clock(), locations=locations,
        )  # fmt: skip
        if parent is None:
            make_root(plan, store)
        else:
            above = parent._opened
            above.with_latest(lambda: make_intermediate(plan, store, above.issuing(), above.chain))
        return cls.open(name, store=store, clock=clock, signer=key_signer, authorize=authorize)

    @classmethod
    def ensure(cls, name: str, *, store: Store, **settings: Any) -> CertificateAuthority:
        """The authority of that name, made as by `create` where there is none. All who call it at once get the same.

        Raises Conflict where there is one with other `constraints` than those that are given here, ConfigurationError
        where it has not the key of `signer`.
        """
        opening: dict[str, Any] = {each: settings[each] for each in _OPENING if each in settings}
        with suppress(NotFound):
            return cls._reopen(name, store, settings, opening)
        try:
            return cls.create(name, store=store, **settings)
        except Conflict:
            return cls._reopen(name, store, settings, opening)

    @classmethod
    def _reopen(
        cls, name: str, store: Store, settings: Mapping[str, Any], opening: Mapping[str, Any]
    ) -> CertificateAuthority:
        found = cls.open(name, store=store, **opening)
        check_constraints(name, found.certificate, settings.get("constraints"))
        return found

    @classmethod
    def take_over(
        cls,
        name: str,
        chain: SigningChain | Sequence[x509.Certificate],
        *,
        store: Store,
        signer: Signer | None = None,
        last_crl: x509.CertificateRevocationList | None = None,
        locations: Locations = NO_LOCATIONS,
        requester: str = "",
        clock: Callable[[], datetime] = _utc_now,
        authorize: Authorize | None = None,
    ) -> CertificateAuthority:
        """Takes over an authority that exists: its certificate first, then those above it up to its root.

        The key is in `chain` (a SigningChain) and is sealed in the store, or `signer` has it. Raises IssuanceError
        with the field's name for a certificate that is no authority's, is not valid now or has a weak key, Conflict
        where the store has an authority of that name or with that key. Of what it issued before nothing is known here:
        `record` tells it.

        `last_crl` is the last complete list that it has signed: what is on that stays revoked, recorded or not, and the
        lists made here have higher numbers. It is refused where it is of another issuer, has not this key's signature,
        is a delta list, or one of a part (with an issuing distribution point). Without it, lists begin at number 1 and
        have nothing that was revoked before: whoever still has a list of that time believes that one, and not these.
        """
        certificates = tuple(chain.certificates if isinstance(chain, SigningChain) else chain)
        if signer is None and not isinstance(chain, SigningChain):
            raise ConfigurationError("expected a chain with its private key, or a signer that has it, got neither")
        key_signer = signer or KeySigner(cast("SigningChain", chain).private_key)
        check_authority(certificates[0], key_signer, clock())
        check_chain(certificates[0], certificates[1:])
        place = KeyPlace.STORE if signer is None else KeyPlace.SIGNER
        plan = Plan(
            name=authority_name(name), signer=key_signer, place=place, constraints=NO_CONSTRAINTS, lifetime=None,
            requester=requester, now=clock(), locations=locations,
        )  # fmt: skip
        last = None if last_crl is None else check_last_list(last_crl, certificates[0])
        take_over(plan, store, certificates[0], certificates[1:], last)
        return cls.open(name, store=store, clock=clock, signer=key_signer, authorize=authorize)

    @classmethod
    def open(
        cls,
        name: str,
        *,
        store: Store,
        signer: Signer | None = None,
        clock: Callable[[], datetime] = _utc_now,
        authorize: Authorize | None = None,
    ) -> CertificateAuthority:
        """The authority of that name; `signer` has its key where the store has it not. Raises NotFound."""
        return cls(find_authority(store, name), store=store, clock=clock, signer=signer, authorize=authorize)

    @classmethod
    def list(
        cls, store: Store, *, clock: Callable[[], datetime] = _utc_now, authorize: Authorize | None = None
    ) -> tuple[CertificateAuthority, ...]:
        """All authorities of the store by name."""
        with store.snapshot() as snapshot:
            records = builtins.list(snapshot.scan(AUTHORITY, ""))
        return tuple(cls(record, store=store, clock=clock, authorize=authorize) for record in records)

    @property
    def name(self) -> str:
        """The name it was created with."""
        return self._opened.record.name

    @property
    def certificate(self) -> x509.Certificate:
        """The active certificate: of a root, the trust anchor for what is issued now."""
        return self._opened.record.active.certificate

    @property
    def key_id(self) -> bytes:
        """SHA-256 over the active key's SubjectPublicKeyInfo: what its certificates are recorded under."""
        return public_key_id(self.certificate)

    @property
    def generations(self) -> tuple[Generation, ...]:
        """Its keys one after another, and what each is used for now."""
        return self._opened.record.generations

    @property
    def anchors(self) -> tuple[x509.Certificate, ...]:
        """Its certificates to be trusted: of every generation that is not retired. For a hostname's `trust`.

        Of an intermediate authority these are its own: to trust its root would let in the clients of its siblings.
        """
        return tuple(each.certificate for each in self._opened.record.trusted)

    @property
    def cross_certificates(self) -> tuple[x509.Certificate, ...]:
        """What leads from one generation to another. For a hostname's `intermediates`, where it trusts only one."""
        return self._opened.record.cross_certificates

    def anchors_pem(self) -> bytes:
        """The `anchors` in PEM."""
        return to_pem(self.anchors)

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
        return PresentedChain(self._issued(orders.for_request(request, profile, names, lifetime, requester, now)))

    def revoke(
        self,
        certificate: int | str | x509.Certificate | SigningChain,
        *,
        reason: RevocationReason | str = RevocationReason.UNSPECIFIED,
        requester: str = "",
    ) -> Revocation:
        """Revokes a certificate that this authority issued, or a reservation; durable when it returns.

        `certificate` is the certificate or its serial number: an int, hexadecimal text in any notation, or `decimal:`
        and digits. A second call changes nothing and gives the first revocation, but for a hold, which a lasting reason
        replaces and `release` ends. `requester` is for the audit log. Raises NotFound for what was not issued here.

        `key_compromise` is about the key: every other certificate of this authority for it is revoked as well before
        this returns, and no authority of the store ever certifies it again. If that is interrupted, call it again.
        No private key is needed, neither in the store nor from a signer.
        """
        parsed, now = RevocationReason.parse(reason), self._opened.clock()

        def work(ledger: Ledger, serial: int, der: bytes | None) -> Revocation:
            return revoke_with_twins(
                ledger, self._ledgers(), serial, reason=parsed, requester=requester, now=now, der=der
            )

        return self._with_ledger_of(certificate, work)

    def release(
        self, certificate: int | str | x509.Certificate | SigningChain, *, requester: str = ""
    ) -> Revocation | None:
        """Ends a `certificate_hold`; durable when it returns, and the client gets in again at once.

        `certificate` is as for `revoke`. Gives the hold that ended; None, and nothing happens, for what is not revoked,
        so it may be called again. Raises Conflict for a revocation that lasts, NotFound for what was not issued here.
        """
        now = self._opened.clock()
        return self._with_ledger_of(
            certificate, lambda ledger, serial, der: release(ledger, serial, requester=requester, now=now, der=der)
        )

    def record(self, certificates: Iterable[x509.Certificate], *, requester: str = "") -> None:
        """Writes certificates down that the authority issued before it was taken over, so that they can be revoked.

        Those that are known already stay as they are; those with a compromised key are revoked as well. Raises
        IssuanceError where one was not issued by any of its generations, or has a serial number that no list can tell;
        then none is written.
        """
        issuers = [(each.certificate, self._ledger(each)) for each in self._opened.latest().generations]
        record_issued(issuers, builtins.list(certificates), requester, self._opened.clock())

    def crl(
        self,
        *,
        lifetime: timedelta = timedelta(days=7),
        now: datetime | None = None,
        generation: int | None = None,
        scope: ListScope = WHOLE,
        expired: Expired | str = Expired.KEEP,
        delta_url: str | None = None,
    ) -> x509.CertificateRevocationList:
        """The complete revocation list (RFC 5280, 5), good from `now` (UTC-aware, the clock's without) for `lifetime`.

        Each generation has its own (by default: the active one's). It has every revocation of its `scope` that was
        acknowledged before this call, and a number above all lists before it. `expired="drop"` leaves certificates out
        that have expired, once they were on a list of after their end. `delta_url` is where its delta lists are said
        to be. Raises IssuanceError for what no list can say, Conflict for a scope whose URL stood for another.
        """
        order = ListOrder(
            now=now or self._opened.clock(), lifetime=lifetime, scope=scope, expired=Expired.parse(expired),
            delta_url=delta_url,
        )  # fmt: skip
        return x509.load_der_x509_crl(complete_list(self._issuing_lists(generation), order).der)

    def delta_crl(
        self,
        *,
        base: int | None = None,
        lifetime: timedelta = timedelta(days=1),
        now: datetime | None = None,
        generation: int | None = None,
        scope: ListScope = WHOLE,
    ) -> x509.CertificateRevocationList:
        """What has changed since the complete list of that number (RFC 5280, 5.2.4), by default since the last one.

        Revocations, other reasons, and, as removeFromCRL, what was released. Its own number is above the base's. The
        rest is as for `crl`. Raises NotFound where there is no such list of this scope and generation.
        """
        order = ListOrder(now=now or self._opened.clock(), lifetime=lifetime, scope=scope)
        return x509.load_der_x509_crl(delta_list(self._issuing_lists(generation), order, base).der)

    def export_pkcs12(self, *, password: bytes, requester: str = "") -> bytes:
        """The active certificate, those above it and its key as PKCS #12 (RFC 7292) under `password`; audited.

        Raises ConfigurationError for an empty password, and for a key that a signer keeps.
        """
        return export_pkcs12(self._opened, password=password, requester=requester)

    def pending(self) -> tuple[Reservation, ...]:
        """What was reserved and never finished: by processes that ended in between, and by those at it right now.

        Each can be revoked by its `serial_number`.
        """
        with self._opened.store.snapshot() as snapshot:
            return tuple(
                each for one in self._opened.record.generations for each in scan_reservations(snapshot, one.key_id)
            )

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r} key={self.key_id.hex()[:16]}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("expected a value without a private key to pickle, got CertificateAuthority")

    def _ledger(self, generation: Generation) -> Ledger:
        return IssuerLedger(self.name, generation.key_id, self._opened.store)

    def _ledgers(self) -> builtins.list[Ledger]:
        return [self._ledger(each) for each in self._opened.latest().generations]

    def _with_ledger_of(
        self,
        certificate: int | str | x509.Certificate | SigningChain,
        work: Callable[[Ledger, int, bytes | None], _T],
    ) -> _T:
        found = certificate.certificate if isinstance(certificate, SigningChain) else certificate
        der = to_der(found) if isinstance(found, x509.Certificate) else None
        serial = found.serial_number if isinstance(found, x509.Certificate) else read_serial(found)
        for ledger in reversed(self._ledgers()):
            with suppress(NotFound):
                return work(ledger, serial, der)
        raise NotFound(f"expected a certificate issued by {self.name!r}, got the serial number {serial:x}")

    def _issuing_lists(self, generation: int | None) -> Issuing:
        return self._opened.issuing(None if generation is None else self._opened.generation(generation))

    def _issue(
        self, profile: Profile, names: Names, key_type: KeyType | str, lifetime: timedelta | None, requester: str
    ) -> IssuedCertificate:
        now = self._opened.clock()
        prepared = orders.for_new_key(key_type, profile, names, lifetime, requester, now)
        return prepared.issued(self._issued(prepared.order))

    def _issued(self, order: Order) -> tuple[bytes, ...]:
        """The certificate in DER and those that are presented after it."""

        def issued() -> tuple[bytes, ...]:
            issuing = self._opened.issuing()
            return (issue(issuing, order), *issuing.presented)

        return self._opened.with_latest(issued)
