"""Where those who check a certificate find the list, the responder and the issuer that it belongs to.

RFC 5280, 4.2.1.13 (cRLDistributionPoints) and 4.2.2.1 (authorityInfoAccess): both never critical.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Final
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.x509.oid import AuthorityInformationAccessOID

from mtlskit.errors import ConfigurationError

_GENERATION: Final = "{generation}"
_ISSUER_KEY: Final = "{issuer_key}"
_PARTITION: Final = "{partition}"
_MOST_PARTITIONS: Final = 4_096
_URL: Final = re.compile(r"https?://[!-z|~]+", re.ASCII)  # what is visible in ASCII, without braces


@dataclass(frozen=True, slots=True, kw_only=True)
class Locations:
    """The `http:` and `https:` URLs that an authority puts into what it issues, its own root excepted.

    `crl` are several ways to one and the same revocation list, `ocsp` those to a responder, `issuers` those to the
    issuer's certificate. Each key of an authority has its own list and certificate, so their URLs say which: in every
    URL `{generation}` stands for the number of the generation that issues and `{issuer_key}` for the id of its key
    (64 hexadecimal digits). Where a key's revocations are divided over several lists (`partitions`, 2 to 4,096), each
    `crl` has `{partition}` for what is left when the serial number is divided by that. Raises ConfigurationError for
    what is no such URL.
    """

    crl: tuple[str, ...] = ()
    ocsp: tuple[str, ...] = ()
    issuers: tuple[str, ...] = ()
    partitions: int = 1

    def __post_init__(self) -> None:
        if not isinstance(self.partitions, int) or not 1 <= self.partitions <= _MOST_PARTITIONS:
            raise ConfigurationError(f"expected 1 to {_MOST_PARTITIONS} partitions, got {self.partitions!r}")
        for field in ("crl", "ocsp", "issuers"):
            urls = getattr(self, field)
            if isinstance(urls, str | bytes):
                raise ConfigurationError(f"expected several URLs for {field!r}, got the one text {urls!r}")
            object.__setattr__(self, field, tuple(_checked(url) for url in urls))
        if any((_PARTITION in url) is (self.partitions == 1) for url in self.crl):
            raise ConfigurationError(f"expected {_PARTITION} in each URL of one of several lists, and in no other")
        if any(_PARTITION in url for url in (*self.ocsp, *self.issuers)):
            raise ConfigurationError(f"expected {_PARTITION} in URLs of lists alone, got it in another")

    def crl_urls(self, serial_number: int) -> tuple[str, ...]:
        """Where the list is on which that serial number would stand."""
        if self.partitions == 1:
            return self.crl
        partition = str(serial_number % self.partitions)
        return tuple(url.replace(_PARTITION, partition) for url in self.crl)

    def of_generation(self, number: int, issuer_key: str) -> Locations:
        """Those of one generation, with nothing left to fill in but partitions. `issuer_key` is its key's id."""

        def filled(urls: tuple[str, ...]) -> tuple[str, ...]:
            return tuple(url.replace(_GENERATION, str(number)).replace(_ISSUER_KEY, issuer_key) for url in urls)

        return replace(self, crl=filled(self.crl), ocsp=filled(self.ocsp), issuers=filled(self.issuers))

    def extensions(self, serial_number: int) -> tuple[x509.ExtensionType, ...]:
        """The extensions of the certificate with that serial number, in their order."""
        return location_extensions(self.crl_urls(serial_number), self.ocsp, self.issuers)


NO_LOCATIONS: Final = Locations()


def location_extensions(
    crl: tuple[str, ...], ocsp: tuple[str, ...], issuers: tuple[str, ...]
) -> tuple[x509.ExtensionType, ...]:
    """The extensions with these URLs, in their order; none for no URLs."""
    found: list[x509.ExtensionType] = []
    if crl:
        # Several names of one point are several ways to the same list (RFC 5280, 4.2.1.13).
        found.append(x509.CRLDistributionPoints([x509.DistributionPoint(list(map(_uri, crl)), None, None, None)]))
    ways = [x509.AccessDescription(AuthorityInformationAccessOID.OCSP, _uri(url)) for url in ocsp]
    ways += [x509.AccessDescription(AuthorityInformationAccessOID.CA_ISSUERS, _uri(url)) for url in issuers]
    if ways:
        found.append(x509.AuthorityInformationAccess(ways))
    return tuple(found)


def _checked(url: str) -> str:
    if not isinstance(url, str):
        raise ConfigurationError(f"expected a URL as str, got {type(url).__name__}")
    filled = url.replace(_GENERATION, "1").replace(_ISSUER_KEY, "0" * 64).replace(_PARTITION, "0")
    if not (_URL.fullmatch(filled) and _has_host(filled)):
        raise ConfigurationError(
            f"expected an http or https URL in ASCII, with {_GENERATION}, {_ISSUER_KEY} or {_PARTITION} at most to "
            f"fill in, got {url[:200]!r}"
        )
    return url


def _has_host(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return bool(parts.hostname) and parts.port != 0 and "@" not in parts.netloc and not parts.fragment
    except ValueError:
        return False


def _uri(url: str) -> x509.UniformResourceIdentifier:
    return x509.UniformResourceIdentifier(url)
