"""Rotation as an operator does it: `authority.rotation.prepare()`, `.activate()`, `.retire(1)`."""

from __future__ import annotations

from datetime import timedelta

from mtlskit.authority import stages
from mtlskit.authority.creation import Plan, signer_of
from mtlskit.authority.generations import Generation
from mtlskit.authority.opened import OpenedAuthority, find_authority
from mtlskit.authority.signers import KeyType, Signer
from mtlskit.authority.stages import Remaining
from mtlskit.core.profiles import AuthorityConstraints
from mtlskit.errors import ConfigurationError, Conflict


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
        requester: str = "",
    ) -> Generation:
        """Makes the next generation, which issues nothing yet; or gives the one that is prepared already.

        So those who trust the authority can take up its new certificate first. Its limits are those of the active one.
        The keys of a root certify each other; an intermediate's new certificate comes from the authority that it was
        made below, whose key must be in the store.
        """
        parsed = KeyType.parse(key_type)
        self._opened.with_latest(lambda: self._prepare(parsed, signer, lifetime, requester))
        self._certify_each_other(requester)
        return self._prepared()

    def activate(self, *, requester: str = "") -> Generation:
        """Lets the prepared generation issue from now on, in every process; what the old one issued stays good.

        Raises Conflict where none is prepared.
        """
        opened = self._opened
        self._certify_each_other(requester)
        opened.with_latest(lambda: stages.activate(opened.latest(), opened.store, requester=requester))
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

    def _prepare(self, key_type: KeyType, signer: Signer | None, lifetime: timedelta | None, requester: str) -> None:
        opened = self._opened
        record = opened.latest()
        if record.prepared is not None:
            return
        key_signer, place = signer_of(key_type, signer)
        plan = Plan(
            name=record.name, signer=key_signer, place=place, lifetime=lifetime, requester=requester,
            now=opened.clock(), constraints=AuthorityConstraints.of(record.active.certificate),
        )  # fmt: skip
        if record.active.is_root:
            stages.prepare(record, plan, opened.store, None)
        else:
            above = self._parent(record.parent)
            above.with_latest(lambda: stages.prepare(record, plan, opened.store, above.issuing()))
        opened.latest()
        opened.add_signer(key_signer)

    def _parent(self, name: str) -> OpenedAuthority:
        if not name:
            raise ConfigurationError(f"expected the authority above {self._opened.name!r} in the store, got none")
        opened = self._opened
        return OpenedAuthority(find_authority(opened.store, name), store=opened.store, clock=opened.clock, signer=None)

    def _certify_each_other(self, requester: str) -> None:
        opened = self._opened
        opened.with_latest(
            lambda: stages.certify_each_other(
                opened.latest(), opened.store, opened.issuing, requester=requester, now=opened.clock()
            )
        )
        opened.latest()
