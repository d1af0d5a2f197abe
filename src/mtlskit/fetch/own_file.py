"""Bindings as they stand in `mtlskit.toml`. Owns that file's words; what is not known in it is an error with its place.

[bindings.BILLING]                      # an upload
certificate_id = "..."
origins = ["https://api.partner.example"]

[bindings.LEDGER]                       # files, relative to this one; or pkcs12 = "ledger.p12"
chain = "ledger.pem"
key = "ledger.key"
password_file = "ledger.password"

[bindings.GATEWAY]                      # an authority of the store, which renews it
authority = "Acme devices"
common_name = "gateway"
uris = ["urn:acme:gateway"]
lifetime = "1d"

[trust]                                 # the servers': an upload, or file = "partner-root.pem"
certificate_id = "..."                  # or in one line above all tables: trust = "certifi", trust = "system"

[environments.staging.bindings.BILLING] # of a named environment, which inherits nothing
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any, Final

from cryptography import x509

from mtlskit.authority import CertificateAuthority
from mtlskit.core.certificates import SigningChain
from mtlskit.core.durations import read_time
from mtlskit.core.given import shown
from mtlskit.core.pem import Secret
from mtlskit.errors import ConfigurationError, MTLSError
from mtlskit.fetch.renewal import RenewedChain
from mtlskit.fetch.sources import CertificateSource, ChainFiles
from mtlskit.fetch.trust import roots_in, uploaded_roots
from mtlskit.ports import ServerTrust, Store

_NAMES: Final = ("dns", "uris", "emails", "ips")
_OF_FILES: Final = frozenset({"chain", "key", "pkcs12", "password_file"})
_OF_AUTHORITY: Final = frozenset({"authority", "common_name", "lifetime", "key_type", *_NAMES})
_KINDS: Final = (frozenset({"certificate_id"}), _OF_FILES, _OF_AUTHORITY)
_LONGEST_PASSWORD: Final = 1023
_SECTION: Final = frozenset({"bindings", "trust"})


@dataclass(frozen=True, slots=True, kw_only=True)
class FilesEntry:
    """A chain and its key in files."""

    chain: Path | None = None
    key: Path | None = None
    pkcs12: Path | None = None
    password_file: Path | None = None

    def source(self, _store: Store) -> CertificateSource:
        """Raises CertificateError, ConfigurationError."""
        password = self.password_file
        return ChainFiles(
            self.chain, self.key, pkcs12=self.pkcs12, password=None if password is None else _first_line(password)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthorityEntry:
    """A client certificate that an authority of the store issues and renews."""

    authority: str
    common_name: str | None = None
    names: Mapping[str, tuple[str, ...]]
    lifetime: timedelta | None = None
    key_type: str = "ec-p256"

    def source(self, store: Store) -> CertificateSource:
        """Issues the first one; raises what `CertificateAuthority.open` and `issue_client` raise."""
        return RenewedChain(self._issuing(CertificateAuthority.open(self.authority, store=store)))

    def _issuing(self, authority: CertificateAuthority) -> Callable[[], SigningChain]:
        return partial(
            authority.issue_client,
            self.common_name,
            lifetime=self.lifetime,
            key_type=self.key_type,
            **self.names,  # type: ignore[arg-type]
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustEntry:
    """The roots by which servers are trusted: those of an upload, or in a file."""

    certificate_id: str | None = None
    file: Path | None = None

    def roots(self, store: Store) -> tuple[x509.Certificate, ...]:
        """The certificates; raises ConfigurationError, CertificateError, StoreError."""
        return uploaded_roots(self.certificate_id or "", store) if self.file is None else roots_in(self.file)


def own_section(document: Mapping[str, Any], environment: str | None) -> tuple[Mapping[str, Any], str]:
    """What stands at the top, or in a named environment if there is a name; and where that is."""
    _check_known(document, _SECTION | {"environments"}, "")
    if environment is None:
        return document, ""
    environments = _table(document, "environments", "")
    if environment not in environments:
        raise ConfigurationError(f"expected the environment {environment!r} under 'environments', got none")
    section = _table(environments, environment, "environments.")
    where = f"environments.{environment}."
    _check_known(section, _SECTION, where)
    return section, where


def own_bindings(section: Mapping[str, Any], where: str) -> Mapping[str, Any]:
    """The table of bindings."""
    return _table(section, "bindings", where)


def own_trust(section: Mapping[str, Any], where: str, folder: Path) -> ServerTrust | TrustEntry:
    """Which servers are trusted."""
    match section.get("trust", ServerTrust.CERTIFI):
        case {"certificate_id": str(certificate_id), **others} if certificate_id and not others:
            return TrustEntry(certificate_id=certificate_id)
        case {"file": str(file), **others} if file and not others:
            return TrustEntry(file=folder / file)
        case str(text) if text in ServerTrust.__members__.values():
            return ServerTrust(text)
        case other:
            raise ConfigurationError(
                f"expected 'certifi', 'system', {{ certificate_id = ... }} or {{ file = ... }} at {where}trust, "
                f"got {shown(other)}"
            )


def own_entry(entry: object, where: str, folder: Path) -> str | FilesEntry | AuthorityEntry:
    """Where the certificate of one binding is from: the id of an upload, files, or an authority."""
    if not isinstance(entry, dict):
        raise ConfigurationError(f"expected a table at {where}, got {shown(entry)}")
    fields = {name: value for name, value in entry.items() if name != "origins"}
    _check_known(fields, frozenset().union(*_KINDS), f"{where}.")
    kinds = [kind for kind in _KINDS if not kind.isdisjoint(fields)]
    if len(kinds) != 1:
        raise ConfigurationError(
            f"expected a certificate_id, files or an authority at {where}, got {len(kinds)} of them"
        )
    try:
        return _made(fields, where, folder)
    except MTLSError as error:
        raise ConfigurationError(f"{error} at {where}") from None


def _made(fields: Mapping[str, Any], where: str, folder: Path) -> str | FilesEntry | AuthorityEntry:
    texts = {name: _text(value, name) for name, value in fields.items() if name not in _NAMES}
    if "certificate_id" in texts:
        return texts["certificate_id"]
    if not _OF_FILES.isdisjoint(texts):
        return FilesEntry(**{name: folder / text for name, text in texts.items()})
    if "authority" not in texts:
        raise ConfigurationError("expected the name of an authority, got none")
    names = {name: _texts(fields[name], name) for name in _NAMES if name in fields}
    lifetime = texts.pop("lifetime", None)
    return AuthorityEntry(names=names, lifetime=None if lifetime is None else read_time(lifetime), **texts)


def _check_known(table: Mapping[str, Any], known: frozenset[str] | set[str], where: str) -> None:
    for name in table:
        if name not in known:
            raise ConfigurationError(f"expected a known field ({', '.join(sorted(known))}) at {where}{name}")


def _table(document: Mapping[str, Any], name: str, where: str) -> Mapping[str, Any]:
    found = document.get(name, {})
    if not isinstance(found, dict):
        raise ConfigurationError(f"expected a table at {where}{name}, got {shown(found)}")
    return found


def _text(value: object, field: str) -> str:
    if not isinstance(value, str) or not value:
        raise ConfigurationError(f"expected {field} as text, got {shown(value)}")
    return value


def _texts(value: object, field: str) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise ConfigurationError(f"expected {field} as a list of texts, got {shown(value)}")
    return tuple(_text(each, field) for each in value)


def _first_line(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            password = Secret(file.readline(_LONGEST_PASSWORD + 2).rstrip(b"\r\n"))
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "no such name"
        raise ConfigurationError(f"expected a password file that can be read, got {shown(path)}: {why}") from None
    if not 0 < len(password.octets()) <= _LONGEST_PASSWORD:
        raise ConfigurationError(f"expected a password of 1 to {_LONGEST_PASSWORD} bytes in {shown(path)}, got another")
    return password.octets()
