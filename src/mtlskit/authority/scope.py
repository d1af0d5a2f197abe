"""Which of an issuer's certificates a revocation list speaks for, and what the list says about that itself."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from cryptography import x509

from mtlskit.core.profiles import Role
from mtlskit.errors import IssuanceError

MOST_PARTITIONS: Final = 4_096
_LONGEST_URL: Final = 1_000
_URL: Final = re.compile(r"https?://[!-~]+", re.ASCII)


class Subjects(StrEnum):
    """Whose certificates a list speaks for (RFC 5280, 5.2.5: onlyContainsUserCerts, onlyContainsCACerts)."""

    ALL = "all"
    END_ENTITIES = "end_entities"
    AUTHORITIES = "authorities"


_ROLES: Final = {Subjects.END_ENTITIES: Role.END_ENTITY, Subjects.AUTHORITIES: Role.AUTHORITY}


@dataclass(frozen=True, slots=True, kw_only=True)
class ListScope:
    """What a list speaks for: of the issuer's certificates those of `subjects`, and of these one partition.

    `url` (`http:` or `https:`, ASCII) is the name of the list's distribution point: whoever checks a certificate takes
    the list only where the certificate names the same URL among its own. Without `url`, the list speaks for whatever
    points a certificate has, or none.

    A serial number is in the partition that the remainder of its division by `partitions` says. Each partition must
    have a `url`, its own for ever: the authority refuses one that stood for something else before. Raises
    IssuanceError for what fits no certificate, or too many.
    """

    url: str | None = None
    subjects: Subjects = Subjects.ALL
    partition: int = 0
    partitions: int = 1

    def __post_init__(self) -> None:
        try:
            object.__setattr__(self, "subjects", Subjects(self.subjects))
        except ValueError:
            raise IssuanceError(f"subjects: expected one of {', '.join(Subjects)}, got {self.subjects!r}") from None
        if not is_within(self.partitions, 1, MOST_PARTITIONS):
            raise IssuanceError(f"partitions: expected 1 to {MOST_PARTITIONS}, got {self.partitions!r}")
        if not is_within(self.partition, 0, self.partitions - 1):
            raise IssuanceError(f"partition: expected 0 to {self.partitions - 1}, got {self.partition!r}")
        if self.url is not None:
            check_url(self.url, "url")
        # A partition without a name would speak for every certificate, and be silent about most of them.
        if self.partitions > 1 and self.url is None:
            raise IssuanceError("url: expected the name of the partition's own distribution point, got none")

    @property
    def is_whole(self) -> bool:
        """Whether it covers everything."""
        return self.partitions == 1 and self.subjects is Subjects.ALL

    def covers(self, key: str, role: Role | None) -> bool:
        """Whether a revocation belongs here: its serial number in hexadecimal, its certificate's role.

        One whose role nobody knows belongs to the lists of both: missed on none, and of no effect on the other.
        """
        if self.partitions > 1 and int(key, 16) % self.partitions != self.partition:
            return False
        return self.subjects is Subjects.ALL or role in (None, _ROLES[self.subjects])

    @property
    def extension(self) -> x509.IssuingDistributionPoint | None:
        """The list's issuing distribution point (RFC 5280, 5.2.5; critical); None where it has nothing to say."""
        if self.url is None and self.subjects is Subjects.ALL:
            return None
        return x509.IssuingDistributionPoint(
            full_name=None if self.url is None else [x509.UniformResourceIdentifier(self.url)],
            relative_name=None,
            only_contains_user_certs=self.subjects is Subjects.END_ENTITIES,
            only_contains_ca_certs=self.subjects is Subjects.AUTHORITIES,
            only_some_reasons=None,
            indirect_crl=False,
            only_contains_attribute_certs=False,
        )

    @property
    def text(self) -> str:
        """The scope as it is stored: equal where it is the same."""
        return f"{self.partition}/{self.partitions} {self.subjects} {self.url or ''}"


def is_within(number: object, least: int, most: int) -> bool:
    """Whether it is an int, and no bool, from `least` to `most`."""
    return isinstance(number, int) and not isinstance(number, bool) and least <= number <= most


WHOLE: Final = ListScope()


def check_url(url: str, field: str) -> None:
    """Raises IssuanceError, which names the field, for what cannot be where a list is."""
    if not isinstance(url, str) or len(url) > _LONGEST_URL or not _URL.fullmatch(url):
        raise IssuanceError(
            f"{field}: expected an http or https URL of at most {_LONGEST_URL} characters, got {url!r:.80}"
        )
