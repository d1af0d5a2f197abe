"""How an authority publishes what it revoked: at which URLs, how often, for how long. Values only."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from mtlskit.authority.lists import Expired
from mtlskit.authority.scope import MOST_PARTITIONS, WHOLE, ListScope, is_within
from mtlskit.core.profiles import Locations
from mtlskit.errors import ConfigurationError

OCSP_PATH: Final = "/ocsp"
_LIST_PATH: Final = re.compile(
    r"/([1-9][0-9]{0,8})(?:/(0|[1-9][0-9]{0,3})-of-([1-9][0-9]{0,3}))?(\.delta)?\.crl", re.ASCII
)
_BASE_URL: Final = re.compile(r"https?://[!-z|~]*[^/?#{}]", re.ASCII)
_NO_TIME: Final = timedelta(0)


class Updates(StrEnum):
    """What is published when something was revoked or released, before the next list is due."""

    COMPLETE = "complete"  # a new complete list
    DELTA = "delta"  # a delta list; complete lists only when they are due


class ListName(NamedTuple):
    """One list that is published: of a generation; of all of it (`partitions` is 1) or of one partition."""

    generation: int
    partition: int = 0
    partitions: int = 1
    is_delta: bool = False

    @classmethod
    def parse(cls, path: str) -> ListName | None:
        """The list at that path; None where there can be none."""
        found = _LIST_PATH.fullmatch(path)
        if found is None:
            return None
        generation, partition, partitions, delta = found.groups()
        name = cls(int(generation), int(partition or 0), int(partitions or 1), delta is not None)
        return name if name.path == path and name.partition < name.partitions <= MOST_PARTITIONS else None

    @property
    def path(self) -> str:
        """Where it is, below the base URL: `/1.crl`, `/1/3-of-8.crl`, `/1.delta.crl`."""
        partition = "" if self.partitions == 1 else f"/{self.partition}-of-{self.partitions}"
        return f"/{self.generation}{partition}{'.delta' if self.is_delta else ''}.crl"


@dataclass(frozen=True, slots=True, kw_only=True)
class Publication:
    """The lists and the responder of one authority.

    `base_url` (`http:` or `https:`, ASCII, without a query) is where its paths begin; it is needed for several
    `partitions` and for delta lists, which name their URLs. A complete list lasts for `lifetime` and is made anew when
    it is `renewal` old, a delta list for `delta_lifetime` and `delta_renewal`; each is made anew before where something
    was revoked, but not within `pause` of the one before. Caches keep a list for `max_age` at most. `expired` is as for
    `CertificateAuthority.crl`. Raises ConfigurationError for what cannot be.
    """

    base_url: str | None = None
    partitions: int = 1
    updates: Updates = Updates.COMPLETE
    lifetime: timedelta = timedelta(days=7)
    renewal: timedelta = timedelta(days=1)
    delta_lifetime: timedelta = timedelta(days=1)
    delta_renewal: timedelta = timedelta(hours=12)
    pause: timedelta = _NO_TIME
    max_age: timedelta = timedelta(minutes=10)
    expired: Expired = Expired.KEEP

    def __post_init__(self) -> None:
        for field, kind in (("updates", Updates), ("expired", Expired)):
            try:
                object.__setattr__(self, field, kind(getattr(self, field)))
            except ValueError:
                raise ConfigurationError(
                    f"{field}: expected one of {', '.join(kind)}, got {getattr(self, field)!r}"
                ) from None
        self._check_times()
        if self.base_url is not None and not _is_base(self.base_url):
            raise ConfigurationError(f"expected an http or https URL without a slash at its end, got {self.base_url!r}")
        if not is_within(self.partitions, 1, MOST_PARTITIONS):
            raise ConfigurationError(f"partitions: expected 1 to {MOST_PARTITIONS}, got {self.partitions!r}")
        if self.base_url is None and (self.partitions > 1 or self.updates is Updates.DELTA):
            raise ConfigurationError("base_url: expected one for partitions and delta lists, which name it, got none")

    @property
    def locations(self) -> Locations:
        """What an authority is to be made with so that its certificates say where all this is.

        Raises ConfigurationError without a base URL.
        """
        if self.base_url is None:
            raise ConfigurationError("expected a base URL for the locations of certificates, got none")
        partition = f"/{{partition}}-of-{self.partitions}" if self.partitions > 1 else ""
        return Locations(
            crl=(f"{self.base_url}/{{generation}}{partition}.crl",),
            ocsp=(f"{self.base_url}{OCSP_PATH}",),
            partitions=self.partitions,
        )

    def list_of(self, generation: int, serial_number: int) -> ListName:
        """The complete list on which that serial number would stand."""
        return ListName(generation, serial_number % self.partitions, self.partitions)

    def url(self, name: ListName) -> str:
        """Where a list is; raises ConfigurationError without a base URL."""
        if self.base_url is None:
            raise ConfigurationError("expected a base URL for the URL of a list, got none")
        return f"{self.base_url}{name.path}"

    def scope(self, name: ListName) -> ListScope:
        """What a list speaks for; raises ConfigurationError for a partition without a base URL."""
        if name.partitions == 1:
            return WHOLE
        # A delta list has the scope of its base.
        url = self.url(name._replace(is_delta=False))
        return ListScope(url=url, partition=name.partition, partitions=name.partitions)

    def delta_url(self, name: ListName) -> str | None:
        """Where a complete list says that its delta lists are; None where there are none."""
        return self.url(name._replace(is_delta=True)) if self.updates is Updates.DELTA else None

    def _check_times(self) -> None:
        fields = ("lifetime", "renewal", "delta_lifetime", "delta_renewal", "pause", "max_age")
        if not all(isinstance(getattr(self, field), timedelta) for field in fields):
            raise ConfigurationError(f"expected timedeltas for {', '.join(fields)}, got something else")
        for whole, part in ((self.lifetime, self.renewal), (self.delta_lifetime, self.delta_renewal)):
            if not _NO_TIME < part < whole:
                raise ConfigurationError(f"expected a renewal within the lifetime {whole}, got {part}")
        spare = self.lifetime - self.renewal
        if self.updates is Updates.DELTA:
            spare = min(spare, self.delta_lifetime - self.delta_renewal)
        if not _NO_TIME <= self.pause < spare or self.max_age < _NO_TIME:
            raise ConfigurationError(f"expected a pause and an age that a list outlasts, got {self.pause}")


def _is_base(url: str) -> bool:
    try:
        return bool(_BASE_URL.fullmatch(url)) and bool(urlsplit(url).hostname) and not set("?#") & set(url)
    except (TypeError, ValueError):
        return False
