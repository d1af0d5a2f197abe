"""A certificate authority: its keys, sealed in the store, and everything it has ever signed."""

from __future__ import annotations

import builtins
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any, NoReturn, cast

from cryptography import x509

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
from mtlskit.authority.ledger import AUTHORITY
from mtlskit.authority.opened import OpenedAuthority, find_authority
from mtlskit.authority.registry import Registry
from mtlskit.authority.rotation import Rotation
from mtlskit.authority.signers import KeySigner, KeyType, Signer
from mtlskit.authority.takeover import check_authority, check_chain
from mtlskit.core.certificates import SigningChain, public_key_id, to_pem
from mtlskit.core.pem import Secret
from mtlskit.core.profiles import (
    NO_CONSTRAINTS,
    NO_LOCATIONS,
    AuthorityConstraints,
    Locations,
)
from mtlskit.errors import ConfigurationError, Conflict, NotFound
from mtlskit.ports import Record, Store

_OPENING = ("signer", "clock", "authorize")  # what `create` takes that `open` takes as well


def _utc_now() -> datetime:
    return datetime.now(UTC)


class CertificateAuthority(Desk, Registry):
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
        signer: Signer | Sequence[Signer] | None = None,
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
        signer: Signer | Sequence[Signer] | None = None,
        clock: Callable[[], datetime] = _utc_now,
        authorize: Authorize | None = None,
    ) -> CertificateAuthority:
        """The authority of that name; `signer` has its key where the store has it not; several have those of several.

        Raises NotFound, and ConfigurationError for a signer with another key.
        """
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

    def export_pkcs12(self, *, password: bytes, requester: str = "") -> bytes:
        """The active certificate, those above it and its key as PKCS #12 (RFC 7292) under `password`; audited.

        Raises ConfigurationError for an empty password, and for a key that a signer keeps.
        """
        given = Secret(password)
        del password  # no traceback is to have it (I11)
        return export_pkcs12(self._opened, given, requester=requester)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r} key={self.key_id.hex()[:16]}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("expected a value without a private key to pickle, got CertificateAuthority")
