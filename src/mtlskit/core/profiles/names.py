"""The names that a certificate is to have, each in its form, and what a profile says of them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from cryptography import x509
from cryptography.x509.oid import NameOID

from mtlskit.core.names import SanType, SubjectAlternativeName
from mtlskit.core.profiles.values import DNSLabels, Profile, SanPresence, URIForm
from mtlskit.core.spiffe import claims_spiffe, is_spiffe_id
from mtlskit.errors import InvalidName, IssuanceError

LONGEST_COMMON_NAME: Final = 64  # ub-common-name (RFC 5280, appendix A.1), counted as `cryptography` counts
_AMBIGUOUS: Final = re.compile(r'[",\\]')


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """What a certificate is to call its subject. Make it with `Names.of`, which checks."""

    common_name: str | None
    sans: tuple[SubjectAlternativeName, ...]

    @classmethod
    def of(
        cls,
        common_name: str | None = None,
        *,
        dns: Iterable[str] = (),
        uris: Iterable[str] = (),
        emails: Iterable[str] = (),
        ips: Iterable[str] = (),
    ) -> Names:
        """Names in the texts of `SubjectAlternativeName`, each once; raises IssuanceError that names the field."""
        if common_name is None and dns == uris == emails == ips == ():
            return _NO_NAMES
        given = {SanType.DNS: dns, SanType.URI: uris, SanType.EMAIL: emails, SanType.IP: ips}
        values = ((san_type, value) for san_type, several in given.items() for value in _several(san_type, several))
        return cls.from_values(common_name, values)

    @classmethod
    def from_values(cls, common_name: str | None, values: Iterable[tuple[SanType, str]]) -> Names:
        """As `of`, from pairs of type and text."""
        sans = tuple(dict.fromkeys([_san(san_type, value) for san_type, value in values]))
        return cls(common_name=None if common_name is None else checked_common_name(common_name), sans=sans)

    @property
    def subject(self) -> x509.Name:
        """The subject: the common name, or empty."""
        if self.common_name is None:
            return x509.Name([])
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, self.common_name)])

    def __bool__(self) -> bool:
        return self.common_name is not None or bool(self.sans)

    def __str__(self) -> str:
        """`CN=device-17, dns:a.example`; what could be read as several names is quoted: `CN="a, dns:b.example"`."""
        common_name = () if self.common_name is None else (f"CN={_quoted(self.common_name)}",)
        return ", ".join((*common_name, *(f"{san.type}:{_quoted(san.value)}" for san in self.sans)))


_NO_NAMES: Final = Names(common_name=None, sans=())


def check_names(profile: Profile, names: Names) -> None:
    """Raises IssuanceError, which names the field, where `profile` does not allow `names`."""
    if not names:
        raise IssuanceError("subject: expected a common name or a subject alternative name, got neither")
    if profile.san_presence is SanPresence.REQUIRED and not names.sans:
        raise IssuanceError(f"subject_alternative_name: expected one for the profile {profile.name!r}, got none")
    if len(names.sans) > profile.most_sans:
        raise IssuanceError(f"subject_alternative_name: expected at most {profile.most_sans}, got {len(names.sans)}")
    for san in names.sans:
        _check_san(profile, san)
    found = {san.type for san in names.sans}
    if not profile.required_sans <= found:
        missing = min(profile.required_sans - found)
        raise IssuanceError(f"{missing}: expected one for the profile {profile.name!r}, got none")
    if SanType.URI in found:
        _check_spiffe(names)


def checked_common_name(text: str, *, longest: int = LONGEST_COMMON_NAME) -> str:
    """A common name of 1 to 64 octets of UTF-8, printable, no white space around it; raises IssuanceError."""
    if not isinstance(text, str):
        raise IssuanceError(f"common_name: expected a str, got {type(text).__name__}")
    if not text.isprintable() or text != text.strip():
        raise IssuanceError(f"common_name: expected printable text without white space around it, got {text[:80]!r}")
    if not 0 < len(text.encode()) <= longest:
        raise IssuanceError(f"common_name: expected 1 to {longest} octets, got {len(text.encode())}")
    return text


# As a JSON text where need be, so that different names never have the same text.
def _quoted(text: str) -> str:
    if text.isprintable() and not _AMBIGUOUS.search(text):
        return text
    return json.dumps(text, ensure_ascii=not text.isprintable())


def _several(san_type: SanType, values: Iterable[str]) -> Iterable[str]:
    if isinstance(values, str | bytes):
        raise IssuanceError(f"{san_type}: expected several names, got the one text {values!r}")
    return values


def _san(san_type: SanType, value: str) -> SubjectAlternativeName:
    if not isinstance(value, str):
        raise IssuanceError(f"{san_type}: expected a str, got {type(value).__name__}")
    try:
        return SubjectAlternativeName.of(san_type, value)
    except InvalidName as error:
        raise IssuanceError(f"{san_type}: {error}") from None


def _check_spiffe(names: Names) -> None:
    ids = [san.value for san in names.sans if san.type is SanType.URI and claims_spiffe(san.value)]
    if len(ids) > 1:
        raise IssuanceError(f"subject_alternative_name: expected at most one SPIFFE id, got {len(ids)}")


def _check_san(profile: Profile, san: SubjectAlternativeName) -> None:
    if san.type not in profile.san_types:
        allowed = ", ".join(sorted(profile.san_types)) or "none"
        raise IssuanceError(
            f"{san.type}: expected SAN types {allowed} for the profile {profile.name!r}, got {san.type}"
        )
    if profile.dns_labels is DNSLabels.WITHOUT_UNDERSCORE and san.type is SanType.DNS and "_" in san.value:
        raise IssuanceError(f"{san.type}: expected a hostname without an underscore, got {san.value!r}")
    if profile.uri_form is URIForm.SPIFFE_ID and san.type is SanType.URI and not is_spiffe_id(san.value):
        raise IssuanceError(f"{san.type}: expected a SPIFFE id with a path, got {san.value[:80]!r}")
    rules = profile.san_rules and [rule for rule in profile.san_rules if rule.type is san.type]
    if rules and not any(rule.allows(san) for rule in rules):
        inside = ", ".join(rule.base for rule in rules)
        raise IssuanceError(
            f"{san.type}: expected one inside of {inside} for the profile {profile.name!r}, got {san.value!r}"
        )
