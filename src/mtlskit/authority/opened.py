"""An authority as it was read, kept in step with the store: nothing is done under a record that is not the latest."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise
from typing import TypeVar

from cryptography import x509

from mtlskit.authority.assembly import Assembly
from mtlskit.authority.authorization import Authorize
from mtlskit.authority.creation import open_signer
from mtlskit.authority.drafting import Templates
from mtlskit.authority.generations import AuthorityRecord, Generation, KeyPlace
from mtlskit.authority.issuance import Issuing, Superseded
from mtlskit.authority.ledger import AUTHORITY
from mtlskit.authority.limits import IssuerLimits
from mtlskit.authority.serials import serial_key
from mtlskit.authority.signers import Signer
from mtlskit.core.certificates import public_key_id, spki_id, to_der
from mtlskit.core.profiles import Issuer
from mtlskit.errors import ConfigurationError, Conflict, NotFound
from mtlskit.ports import Record, Store

_READINGS = 5  # of a record that changes while something is done under it
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class _State:
    """A reading, and what was made of it; replaced as a whole."""

    record: AuthorityRecord
    version: int
    issuing: dict[int | None, Issuing] = field(default_factory=dict)  # by generation; None: the active one


class OpenedAuthority:
    """The authority behind a `CertificateAuthority`. May be shared between threads."""

    __slots__ = ("_signers", "_state", "authorize", "clock", "store")

    def __init__(
        self,
        found: Record,
        *,
        store: Store,
        clock: Callable[[], datetime],
        signer: Signer | Sequence[Signer] | None,
        authorize: Authorize | None = None,
    ) -> None:
        """Raises ConfigurationError for a signer with another key."""
        self.store = store
        self.clock = clock
        self.authorize = authorize
        self._state = _state(found)
        self._signers: dict[str, Signer] = {}
        for each in signer if isinstance(signer, Sequence) else () if signer is None else (signer,):
            self.add_signer(each)

    @property
    def record(self) -> AuthorityRecord:
        """The record as it was read last."""
        return self._state.record

    @property
    def name(self) -> str:
        """The authority's name."""
        return self._state.record.name

    @property
    def chain(self) -> tuple[x509.Certificate, ...]:
        """The active certificate and those above it."""
        active = self._state.record.active
        return (active.certificate, *active.above)

    def latest(self) -> AuthorityRecord:
        """The record as it is now; raises NotFound, Unavailable."""
        found = find_authority(self.store, self.name)
        if found.version != self._state.version:
            self._state = _state(found)
        return self._state.record

    def with_latest(self, work: Callable[[], _T]) -> _T:
        """What `work` gives, which is done again where the record turns out to be another by now."""
        for _ in range(_READINGS):
            try:
                return work()
            except Superseded:
                self.latest()
        raise Conflict(f"expected the authority {self.name!r} to stand still, got it changed again and again")

    def generation(self, number: int) -> Generation:
        """The generation of that number; raises NotFound."""
        found = self.latest().numbered(number)
        if found is None:
            raise NotFound(f"expected a generation of {self.name!r}, got the number {number}")
        return found

    def issuing(self, generation: Generation | None = None) -> Issuing:
        """What issues and signs lists for a generation (by default: the active one); opens its key."""
        state = self._state
        found = state.issuing.get(None if generation is None else generation.number)
        if found is None:
            wanted = generation or state.record.active
            found = state.issuing.setdefault(wanted.number, self._issuing(state, wanted))
            if generation is None:
                state.issuing[None] = found
        return found

    def add_signer(self, signer: Signer) -> None:
        """Takes the key of one of the generations; raises ConfigurationError for another."""
        key_id = spki_id(signer.public_key()).hex()
        if key_id not in {each.key_id for each in self._state.record.generations}:
            raise ConfigurationError(f"expected a signer with a key of {self.name!r}, got one with another key")
        self._signers[key_id] = signer

    def _issuing(self, state: _State, generation: Generation) -> Issuing:
        chain = (generation.certificate, *generation.above)
        issuer, assembly = Issuer.of(*chain), Assembly(self._signer(generation))
        locations = state.record.locations.of_generation(generation.number, generation.key_id)
        return Issuing(
            authority=state.record.name,
            version=state.version,
            key_id=generation.key_id,
            issuer=issuer,
            limits=IssuerLimits(chain),
            assembly=assembly,
            templates=Templates(issuer, algorithm=assembly.algorithm, locations=locations),
            store=self.store,
            presented=tuple(map(to_der, state.record.presented)),
            locations=locations,
            authorize=self.authorize,
            trusted_keys=frozenset(each.key_id for each in state.record.trusted),
            certified=tuple(
                (public_key_id(above).hex(), serial_key(each.serial_number)) for each, above in pairwise(chain)
            ),
        )

    def _signer(self, generation: Generation) -> Signer:
        key_id = generation.key_id
        if key_id not in self._signers:
            if generation.key_place is KeyPlace.SIGNER:
                raise ConfigurationError(f"expected the signer with the key of {self.name!r}, which the store has not")
            self._signers[key_id] = open_signer(self.store, key_id)
        return self._signers[key_id]


def find_authority(store: Store, name: str) -> Record:
    """The stored record of that name; raises NotFound."""
    with store.snapshot() as snapshot:
        found = snapshot.get(AUTHORITY, "", name)
    if found is None:
        raise NotFound(f"expected an authority, got the unknown name {name!r}")
    return found


def _state(found: Record) -> _State:
    return _State(AuthorityRecord.from_json(found.value), found.version)
