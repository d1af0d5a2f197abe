"""The record of an authority: its keys one after another, and what each is used for now."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import Any

from cryptography import x509

from mtlskit.authority.documents import dump, load, unreadable
from mtlskit.core.certificates import public_key_id, to_der
from mtlskit.core.profiles import NO_LOCATIONS, Locations
from mtlskit.errors import ConfigurationError


class GenerationState(StrEnum):
    """What one key of an authority is used for."""

    PREPARED = "prepared"  # may be trusted already; issues nothing yet
    ACTIVE = "active"  # issues
    RETIRING = "retiring"  # issues nothing any more; what it issued is still good
    RETIRED = "retired"  # no anchor any more


class KeyPlace(StrEnum):
    """Where a generation's private key is."""

    STORE = "store"  # sealed in the store
    SIGNER = "signer"  # somewhere else: a signer has to be given


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """One key of an authority and its certificates.

    `above` are the certificates over that of an intermediate authority, up to the root as far as they are known.
    `cross` is a root's key certified by the generation before, `back` the key of the generation before certified by
    this one: with one of them, who trusts only the one generation follows a path to the other.
    """

    number: int
    certificate: x509.Certificate
    state: GenerationState = GenerationState.ACTIVE
    key_place: KeyPlace = KeyPlace.STORE
    above: tuple[x509.Certificate, ...] = ()
    cross: x509.Certificate | None = None
    back: x509.Certificate | None = None

    @property
    def key_id(self) -> str:
        """SHA-256 of the public key (SubjectPublicKeyInfo) in hexadecimal: what its certificates are recorded under."""
        return public_key_id(self.certificate).hex()

    @property
    def is_root(self) -> bool:
        """Whether its certificate is self-issued."""
        return self.certificate.subject == self.certificate.issuer


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthorityRecord:
    """An authority: its generations, the oldest first. `parent` is the authority above, where the store has it.

    `locations` stand in what it issues.
    """

    name: str
    generations: tuple[Generation, ...]
    parent: str = ""
    locations: Locations = NO_LOCATIONS

    @property
    def active(self) -> Generation:
        """The generation that issues: there is always exactly one."""
        return next(each for each in self.generations if each.state is GenerationState.ACTIVE)

    @property
    def prepared(self) -> Generation | None:
        """The generation that waits to be activated, if there is one."""
        return next((each for each in self.generations if each.state is GenerationState.PREPARED), None)

    @property
    def next_number(self) -> int:
        """The number of the generation that is to come."""
        return self.generations[-1].number + 1

    @property
    def presented(self) -> tuple[x509.Certificate, ...]:
        """What is presented after a certificate that is issued now: no root, but what leads to the roots before."""
        active = self.active
        if active.is_root:
            older = any(each.number < active.number for each in self.trusted)
            return (active.cross,) if active.cross is not None and older else ()
        return (active.certificate, *(each for each in active.above if each.subject != each.issuer))

    @property
    def trusted(self) -> tuple[Generation, ...]:
        """Those that are not retired."""
        return tuple(each for each in self.generations if each.state is not GenerationState.RETIRED)

    @property
    def cross_certificates(self) -> tuple[x509.Certificate, ...]:
        """What leads from one trusted generation to another: never to one that is retired."""
        trusted = {each.key_id for each in self.trusted}
        return tuple(each for each in self._crossing if {public_key_id(each).hex(), self._issuer_of(each)} <= trusted)

    def certified_by_others(self, generation: Generation) -> tuple[tuple[str, str, x509.Certificate], ...]:
        """What other keys certified this one's by: the name of their authority (here or above), their id, and that."""
        crossing = [each for each in self._crossing if public_key_id(each).hex() == generation.key_id]
        found = [(self.name, self._issuer_of(each), each) for each in crossing]
        if generation.above:
            found.append((self.parent, public_key_id(generation.above[0]).hex(), generation.certificate))
        return tuple(found)

    @property
    def _crossing(self) -> tuple[x509.Certificate, ...]:
        found = [each for one in self.generations for each in (one.cross, one.back)]
        return tuple(each for each in found if each is not None)

    def _issuer_of(self, crossing: x509.Certificate) -> str:
        # The generations of a root differ by name: each has its number in it, or was taken over and is the first.
        return next(each.key_id for each in self.generations if each.certificate.subject == crossing.issuer)

    def numbered(self, number: int) -> Generation | None:
        """The generation of that number."""
        return next((each for each in self.generations if each.number == number), None)

    def with_states(self, states: Mapping[int, GenerationState]) -> AuthorityRecord:
        """The record with other states of some generations."""
        changed = (
            replace(each, state=states[each.number]) if each.number in states else each for each in self.generations
        )
        return replace(self, generations=tuple(changed))

    def to_json(self) -> bytes:
        """The stored form."""
        found = {"name": self.name, "parent": self.parent, "generations": list(map(_written, self.generations))}
        return dump(found if self.locations == NO_LOCATIONS else found | {"locations": asdict(self.locations)})

    @classmethod
    def from_json(cls, value: bytes) -> AuthorityRecord:
        """From the stored form; raises StoreError."""
        found = load(value, "an authority")
        try:
            generations = tuple(map(_read, found["generations"]))
            return cls(
                name=found["name"],
                generations=generations,
                parent=found.get("parent", ""),
                locations=Locations(**found.get("locations", {})),
            )
        except (KeyError, TypeError, ValueError, ConfigurationError):
            raise unreadable("an authority") from None


def _written(one: Generation) -> dict[str, Any]:
    return {
        "number": one.number,
        "certificate": _text(one.certificate),
        "state": one.state.value,
        "key": one.key_place.value,
        "above": list(map(_text, one.above)),
        "cross": None if one.cross is None else _text(one.cross),
        "back": None if one.back is None else _text(one.back),
    }


def _read(found: Mapping[str, Any]) -> Generation:
    return Generation(
        number=found["number"],
        certificate=_certificate(found["certificate"]),
        state=GenerationState(found.get("state", GenerationState.ACTIVE)),
        key_place=KeyPlace(found.get("key", KeyPlace.STORE)),
        above=tuple(map(_certificate, found.get("above", ()))),
        cross=None if found.get("cross") is None else _certificate(found["cross"]),
        back=None if found.get("back") is None else _certificate(found["back"]),
    )


def _text(certificate: x509.Certificate) -> str:
    return base64.b64encode(to_der(certificate)).decode("ascii")


def _certificate(text: str) -> x509.Certificate:
    return x509.load_der_x509_certificate(base64.b64decode(text, validate=True))
