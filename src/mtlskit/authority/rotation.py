"""Rotation as an operator does it: `authority.rotation.prepare()`, `.activate()`, `.retire(1)`."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from mtlskit.authority import stages
from mtlskit.authority.creation import Plan, self_signed, signer_of, withdraw
from mtlskit.authority.generations import AuthorityRecord, Generation
from mtlskit.authority.issuance import Superseded
from mtlskit.authority.ledger import AUTHORITY
from mtlskit.authority.opened import OpenedAuthority, find_authority
from mtlskit.authority.signers import KeyType, Signer
from mtlskit.authority.stages import Remaining
from mtlskit.authority.takeover import is_issued_by
from mtlskit.core.certificates import public_key_id, spki_id
from mtlskit.core.profiles import AuthorityConstraints
from mtlskit.errors import ConfigurationError, Conflict
from mtlskit.ports import Record

if TYPE_CHECKING:
    from mtlskit.authority.authority import CertificateAuthority


class Rotation:
    """The stages of one authority's rotation. Each may be called again after a crash, and by several processes."""

    __slots__ = ("_opened",)

    def __init__(self, opened: OpenedAuthority) -> None:
        self._opened = opened

    def prepare(
        self,
        *,
        key_type: KeyType | str = KeyType.EC_P256,
        signer: Signer | None = None,
        lifetime: timedelta | None = None,
        parent: CertificateAuthority | None = None,
        requester: str = "",
    ) -> Generation:
        """Makes the next generation, which issues nothing yet; or gives the one that is prepared already.

        So those who trust the authority can take up its new certificate first. Its limits are those of the active one.
        The keys of a root certify each other; an intermediate's new certificate comes from the authority that it was
        made below. That is `parent`, with its signer and its hook; or it is opened from the store, which then must have
        its key, and this authority's own hook is asked for it.
        """
        parsed = KeyType.parse(key_type)
        self._opened.with_latest(lambda: self._prepare(parsed, signer, lifetime, parent, requester))
        self._certify_each_other(requester)
        return self._prepared()

    def activate(self, generation: int | None = None, *, requester: str = "") -> Generation:
        """Lets the prepared generation issue from now on, in every process; what the old one issued stays good.

        `generation` is the number of the one that was given out to be trusted; None takes whichever is prepared.
        Raises Conflict where none is, or another one.
        """
        opened = self._opened
        self._certify_each_other(requester)
        opened.with_latest(lambda: stages.activate(opened.latest(), generation, opened.store, requester=requester))
        return opened.latest().active

    def retire(self, generation: int, *, remaining: Remaining | str = Remaining.REFUSE, requester: str = "") -> None:
        """Ends the trust in a generation that issues no more, or gives up a prepared one. Again: without effect.

        Raises NotFound for no such number, Conflict for the active one and while certificates of it are good, unless
        `remaining` is `abandon`.
        """
        opened, wanted = self._opened, Remaining.parse(remaining)
        opened.with_latest(
            lambda: stages.retire(
                opened.latest(), generation, opened.store, remaining=wanted, requester=requester, now=opened.clock()
            )
        )
        opened.latest()

    def _prepared(self) -> Generation:
        found = self._opened.latest().prepared
        if found is None:
            raise Conflict(f"expected the prepared generation of {self._opened.name!r} to stay, got it changed")
        return found

    def _prepare(
        self, key_type: KeyType, signer: Signer | None, lifetime: timedelta | None,
        parent: CertificateAuthority | None, requester: str,
    ) -> None:  # fmt: skip
        opened = self._opened
        record = opened.latest()
        if record.prepared is not None:
            # Somebody ended between the stage's commit and this: the signer of that time is needed all the same.
            if signer is not None and spki_id(signer.public_key()).hex() == record.prepared.key_id:
                opened.add_signer(signer)
            return
        key_signer, place = signer_of(key_type, signer)
        plan = Plan(
            name=record.name, signer=key_signer, place=place, lifetime=lifetime, requester=requester,
            now=opened.clock(), constraints=AuthorityConstraints.of(record.active.certificate),
        )  # fmt: skip
        if record.active.is_root:
            stages.prepare(record, plan, opened.store, self_signed(plan, number=record.next_number))
        else:
            self._prepare_below(record, plan, self._parent(record, parent))
        opened.latest()
        opened.add_signer(key_signer)

    # What the authority above says when it has changed is for it to read again; what this one says, for the caller.
    def _prepare_below(self, record: AuthorityRecord, plan: Plan, above: OpenedAuthority) -> None:
        made = above.with_latest(lambda: stages.certify_below(plan, record.next_number, above.issuing(), above.chain))
        try:
            stages.prepare(record, plan, self._opened.store, made, parent=above.name)
        except Superseded:
            withdraw(plan, made[0].certificate, above.issuing())
            raise

    def _parent(self, record: AuthorityRecord, given: CertificateAuthority | None) -> OpenedAuthority:
        above = given._opened if given is not None else self._found_above(record)
        if not any(is_issued_by(record.active.certificate, each.certificate) for each in above.latest().generations):
            raise ConfigurationError(f"expected the authority above {record.name!r}, got {above.name!r}")
        return above

    def _found_above(self, record: AuthorityRecord) -> OpenedAuthority:
        opened = self._opened
        found = find_authority(opened.store, record.parent) if record.parent else self._issuer_of(record)
        return OpenedAuthority(found, store=opened.store, clock=opened.clock, signer=None, authorize=opened.authorize)

    # One that was taken over knows the authority above by its certificate alone.
    def _issuer_of(self, record: AuthorityRecord) -> Record:
        keys = {public_key_id(each).hex() for each in record.active.above[:1]}
        with self._opened.store.snapshot() as snapshot:
            for each in snapshot.scan(AUTHORITY, ""):
                if any(one.key_id in keys for one in AuthorityRecord.from_json(each.value).generations):
                    return each
        raise ConfigurationError(f"expected the authority above {record.name!r} in the store, got none")

    def _certify_each_other(self, requester: str) -> None:
        opened = self._opened
        opened.with_latest(
            lambda: stages.certify_each_other(
                opened.latest(), opened.store, opened.issuing, requester=requester, now=opened.clock()
            )
        )
        opened.latest()
