"""`verify` and `explain`: what the validator says of certificates in files, and the gate of a client of a hostname.

Exit status 0 is yes, 1 is a refusal, 2 is input that cannot be used. What stands in certificates is shown escaped: it
was written by strangers.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec

import click
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtensionOID
from rich.text import Text
from rich.tree import Tree

from mtlskit.cli.output import console, print_json
from mtlskit.core.certificates import PresentedChain, read_certificate, to_der
from mtlskit.core.evidence import PeerEvidence
from mtlskit.core.policy import PolicyOutcome
from mtlskit.core.validation import (
    COMPATIBLE,
    RFC5280,
    WEBPKI,
    Purpose,
    RevocationList,
    RevocationMode,
    Stance,
    TrustStore,
    VerifiedPath,
    verify_path,
)
from mtlskit.core.validation.rules import RULES, Role
from mtlskit.core.verdict import Allow, Deny
from mtlskit.errors import CertificateError, ConfigurationError, PathError
from mtlskit.gate import Gate
from mtlskit.stores import open_store

_PROFILES = {profile.name: profile for profile in (COMPATIBLE, RFC5280, WEBPKI)}
_REFUSED = 1
_LARGEST = 96 * 1024 * 1024  # octets of a file: the largest revocation list in PEM
_SEQUENCE = 0x30
_BLOCK = re.compile(rb"-----BEGIN ([A-Z0-9 ]+)-----(.*?)-----END \1-----", re.DOTALL)
_CERTIFICATE, _LIST = b"CERTIFICATE", b"X509 CRL"
# RFC 3339, 5.6: a date, a time and an offset, none of them left out.
_RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
_P = ParamSpec("_P")


def _without_warnings(command: Callable[_P, int]) -> Callable[_P, int]:
    """What the foreign parser warns of is either refused or of no account."""

    @wraps(command)
    def run(*arguments: _P.args, **options: _P.kwargs) -> int:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return command(*arguments, **options)

    return run


_json_option = click.option("--json", "as_json", is_flag=True, help="Write JSON to stdout and nothing else.")


@click.command()
@click.option("--cert", required=True, help="The chain as presented, leaf first (PEM), or the leaf alone (PEM, DER).")
@click.option("--ca", "anchors", required=True, multiple=True, help="Trust anchors (PEM, DER); may be repeated.")
@click.option("--intermediate", "helpers", multiple=True, help="More intermediates (PEM, DER); may be repeated.")
@click.option("--crl", "lists", multiple=True, help="Revocation lists (PEM, DER); may be repeated.")
@click.option(
    "--purpose", type=click.Choice([each.value for each in Purpose]), default="client_auth", show_default=True
)
@click.option("--hostname", help="The DNS name or IP address that the leaf must have; with server_auth.")
@click.option("--profile", type=click.Choice(list(_PROFILES)), default=COMPATIBLE.name, show_default=True)
@click.option(
    "--revocation",
    type=click.Choice([each.value for each in RevocationMode]),
    help="Whose revocation status must be known.  [default: leaf with --crl, else off]",
)
@click.option("--at", help="The moment to judge at, as in 2026-03-01T12:00:00Z (RFC 3339).  [default: now]")
@_json_option
@_without_warnings
def verify(
    cert: str, anchors: Sequence[str], helpers: Sequence[str], lists: Sequence[str], purpose: str,
    hostname: str | None, profile: str, revocation: str | None, at: str | None, as_json: bool,
) -> int:  # fmt: skip
    """Judge a certificate: show the path to its anchor, or why there is none.

    Exit status 0 if there is a path, 1 if the certificate is refused, 2 if the input cannot be used.
    """
    presented = _presented(cert)
    trust = TrustStore(
        _certificates(anchors, "a trust anchor"),
        intermediates=_certificates(helpers, "an intermediate"),
        lists=[listed for name in lists for listed in _lists(name)],
    )
    mode = RevocationMode(revocation or ("leaf" if lists else "off"))
    question: dict[str, Any] = {"purpose": purpose, "reference_name": hostname, "profile": _PROFILES[profile]}
    moment = datetime.now(UTC) if at is None else _moment(at)
    try:
        path = verify_path(presented, trust, now=moment, revocation=mode, **question)
    except PathError as error:
        _tell_refusal(error, _where(error, presented, trust), moment, as_json)
        return _REFUSED
    _tell_path(path, moment, mode, hostname, as_json)
    return 0


@click.command()
@click.argument("hostname")
@click.option(
    "--cert", help="The client's chain, leaf first (PEM), or its leaf alone (PEM, DER). Without: no certificate."
)
@click.option(
    "--store",
    "store_url",
    default="sqlite:///mtlskit.db",
    show_default=True,
    envvar="MTLSKIT_STORE",
    help="Where the gate's hostnames are kept.",
)
@_json_option
@_without_warnings
def explain(hostname: str, cert: str | None, store_url: str, as_json: bool) -> int:
    """Show what a gate would answer to a client of HOSTNAME, and why.

    Exit status 0 if the client gets in, 1 if it does not, 2 if the input cannot be used.
    """
    presented = None if cert is None else _presented(cert)
    _check_there(store_url)
    store = open_store(store_url)
    try:
        gate = Gate(store)
        try:
            verdict = gate.decide(PeerEvidence(server_name=hostname, presented=presented), hostname)
        finally:
            gate.close()
    finally:
        store.close()
    _tell_verdict(hostname, verdict, as_json)
    return 0 if isinstance(verdict, Allow) else _REFUSED


# --- files ----------------------------------------------------------------------------------------------------------


def _presented(name: str) -> PresentedChain:
    return PresentedChain(tuple(_ders(name, _CERTIFICATE, "a certificate")))


def _certificates(names: Sequence[str], what: str) -> list[x509.Certificate]:
    return [certificate for name in names for certificate in _loaded(name, what)]


def _loaded(name: str, what: str) -> Iterator[x509.Certificate]:
    for position, der in enumerate(_ders(name, _CERTIFICATE, what)):
        try:
            yield read_certificate(der, what=what)
        except CertificateError:
            raise CertificateError(f"expected {what} in {name!r}, got other octets at position {position}") from None


def _lists(name: str) -> Iterator[RevocationList]:
    for der in _ders(name, _LIST, "a revocation list"):
        try:
            yield RevocationList(der)
        except CertificateError as error:
            raise CertificateError(f"{error} in {name!r}") from None


def _ders(name: str, label: bytes, what: str) -> list[bytes]:
    """The DER of a file: of all blocks of that label in PEM, or the file itself."""
    data = _content(name)
    if b"PRIVATE KEY-----" in data.replace(b"\0", b""):  # in UTF-16 too
        raise CertificateError(f"expected {what} in {name!r}, got a file that holds a private key")
    if b"-----BEGIN" not in data and data[:1] == bytes((_SEQUENCE,)):
        return [data]
    found = [_decoded(block[2], name) for block in _BLOCK.finditer(data) if block[1] == label]
    if not found:
        raise CertificateError(f"expected {what} in PEM or DER in {name!r}, got {len(data)} other octets")
    return found


def _content(name: str) -> bytes:
    try:
        with Path(name).open("rb") as file:
            data = file.read(_LARGEST + 1)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "no such name"
        raise ConfigurationError(f"expected a file that can be read, got {name!r}: {why}") from None
    if len(data) > _LARGEST:
        raise ConfigurationError(f"expected a file of at most {_LARGEST} octets, got more in {name!r}")
    return data


def _decoded(text: bytes, name: str) -> bytes:
    try:
        return base64.b64decode(b"".join(text.split()), validate=True)
    except binascii.Error:
        raise CertificateError(f"expected base64 between the lines of PEM in {name!r}, got something else") from None


def _moment(text: str) -> datetime:
    try:
        if _RFC3339.fullmatch(text):
            return datetime.fromisoformat(text.upper()).astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise ConfigurationError(f"expected a moment as 2026-03-01T12:00:00Z (RFC 3339), got {text!r}")


def _check_there(url: str) -> None:
    # To look does not mean to make: a mistyped name would become an empty store that knows no hostname.
    scheme, _, path = url.partition(":///")
    if scheme == "sqlite" and path and not Path(path).exists():
        raise ConfigurationError(f"expected a store that is there, got {url!r}")


# --- a path ---------------------------------------------------------------------------------------------------------


def _tell_path(path: VerifiedPath, moment: datetime, mode: RevocationMode, name: str | None, as_json: bool) -> None:
    steps = [_Step(path, position, mode, name) for position in range(len(path.certificates))]
    if as_json:
        print_json(_path_document(path, moment, steps))
        return
    out = console()
    out.print(Text(f"accepted for {path.purpose.value} under {path.profile.name} at {_time(moment)}", "bold green"))
    out.print(Text(f"holds until {_time(path.not_after)} at most\n"))
    out.print(_tree(steps))


def _path_document(path: VerifiedPath, moment: datetime, steps: Sequence[_Step]) -> dict[str, Any]:
    return {
        "verdict": "accepted",
        "purpose": path.purpose.value,
        "profile": path.profile.name,
        "moment": _time(moment),
        "not_after": _time(path.not_after),
        "anchor": path.anchor.id,
        "path": [{"place": step.place, **_described(step.certificate), "checks": step.checks()} for step in steps],
    }


def _tree(steps: Sequence[_Step]) -> Tree:
    tree = branch = Tree(steps[0].label(), guide_style="dim")
    for step in steps[1:]:
        branch = branch.add(step.label())
    return tree


class _Step:
    """A certificate of a verified path, and in words what `verify_path` has looked at there."""

    def __init__(self, path: VerifiedPath, position: int, mode: RevocationMode, name: str | None) -> None:
        self._path = path
        self._position = position
        self._mode = mode
        self._name = name
        self.certificate = path.certificates[position]
        self._is_leaf, self._is_anchor = position == 0, position == len(path.certificates) - 1
        self._found = {each.oid: each.value for each in self.certificate.extensions}
        self.place = "leaf" if self._is_leaf else "anchor" if self._is_anchor else "intermediate"

    def label(self) -> Text:
        """The certificate and its checks, a line each."""
        described = _described(self.certificate)
        lines = [f"{self.place}: {described['subject'] or 'no subject'}", f"  serial {described['serial']}"]
        lines += [f"  {what}: {said}" for what, said in self.checks().items()]
        return Text("\n".join(lines))

    def checks(self) -> dict[str, str]:
        """What was checked, and what was found."""
        found = {
            "time": f"{_time(self.certificate.not_valid_before_utc)} to {_time(self.certificate.not_valid_after_utc)}",
            "key": _key(self.certificate),
            "signature": self._signature(),
            "purpose": self._purpose(),
            "ca": self._ca(),
            "names": self._names(),
            "critical extensions": self._critical(),
            "rules": self._rules(),
            "revocation": self._revocation(),
        }
        return {what: said for what, said in found.items() if said}

    def _signature(self) -> str:
        if self._is_anchor:
            return "not looked at: an anchor is a name and a key"
        return f"verifies under the key of {_subject(self._path.certificates[self._position + 1])}"

    def _purpose(self) -> str:
        usages = self._found.get(ExtensionOID.EXTENDED_KEY_USAGE)
        if self._is_anchor and not self._is_leaf:
            return ""
        if usages is None:
            return f"not restricted, so {self._path.purpose.value} is allowed"
        return f"{self._path.purpose.value}, among {', '.join(usage._name for usage in usages)}"

    def _ca(self) -> str:
        if self._is_leaf:
            return ""
        length = self._found[ExtensionOID.BASIC_CONSTRAINTS].path_length
        usage = "keyCertSign" if ExtensionOID.KEY_USAGE in self._found else "no keyUsage"
        return f"cA, {usage}, {'any path length' if length is None else f'path length {length}'}"

    def _names(self) -> str:
        said = []
        if not self._is_leaf and ExtensionOID.NAME_CONSTRAINTS in self._found:
            said.append("constrains those below")
        if any(map(_constrains, self._path.certificates[self._position + 1 :])):
            said.append("permitted by every CA above")
        if self._is_leaf and self._name is not None:
            said.append(f"has {_escaped(self._name)}")
        if self._is_leaf and self._path.sans:
            said.append(", ".join(_escaped(str(san)) for san in self._path.sans))
        return "; ".join(said)

    def _critical(self) -> str:
        names = [each.oid._name for each in self.certificate.extensions if each.critical]
        return f"all known: {', '.join(names)}" if names else "none"

    def _rules(self) -> str:
        role = Role.LEAF if self._is_leaf else Role.ANCHOR if self._is_anchor else Role.INTERMEDIATE
        profile = self._path.profile
        kept = {rule.name for rule in RULES if role in rule.roles and getattr(profile, rule.name) is Stance.REFUSE}
        return f"{len(kept)} of {profile.name} kept" if kept else f"none of {profile.name}"

    def _revocation(self) -> str:
        if self._is_anchor:
            return ""
        asked = self._mode is RevocationMode.PATH or (self._mode is RevocationMode.LEAF and self._is_leaf)
        return "not revoked, by a current list that covers it" if asked else "not asked"


def _constrains(certificate: x509.Certificate) -> bool:
    return any(each.oid == ExtensionOID.NAME_CONSTRAINTS for each in certificate.extensions)


# --- a refusal ------------------------------------------------------------------------------------------------------


def _tell_refusal(error: PathError, where: str, moment: datetime, as_json: bool) -> None:
    document: dict[str, Any] = {
        "verdict": "refused",
        "reason": error.reason.value,
        "detail": _escaped(error.detail),
        "moment": _time(moment),
        "where": where or None,
        "certificate": None if error.certificate is None else _described(error.certificate),
        "facts": {name: _fact(value) for name, value in error.facts.items()},
    }
    if as_json:
        print_json(document)
        return
    out = console()
    out.print(Text(f"refused: {error.reason.value}", "bold red"))
    out.print(Text(_escaped(error.detail)))
    if where:
        out.print(Text(f"\nat fault: {where}"))
    _print_fields(document["certificate"] or {})
    if document["facts"]:
        out.print(Text("\nfacts:"))
        _print_fields(document["facts"])


def _print_fields(fields: Mapping[str, Any]) -> None:
    for name, value in fields.items():
        if value not in (None, "", []):
            console().print(Text(f"  {name}: {', '.join(map(str, value)) if isinstance(value, list) else value}"))


def _where(error: PathError, presented: PresentedChain, trust: TrustStore) -> str:
    position = error.facts.get("position")
    if isinstance(position, int):
        return _place(position)
    if error.certificate is None:
        return ""
    der = to_der(error.certificate)
    if der in presented.ders:
        return _place(presented.ders.index(der))
    if any(der == to_der(anchor.certificate) for anchor in trust.anchors):
        return "trust anchor"
    return "intermediate"


def _place(position: int) -> str:
    return "leaf" if position == 0 else f"presented certificate {position + 1}"


def _fact(value: object) -> Any:
    if isinstance(value, datetime):
        return _time(value)
    if isinstance(value, x509.ObjectIdentifier):
        return value.dotted_string
    if isinstance(value, tuple | list | frozenset | set):
        return [_fact(each) for each in value]
    return value if isinstance(value, int) else _escaped(str(value))


# --- a gate's verdict -----------------------------------------------------------------------------------------------


def _tell_verdict(hostname: str, verdict: Allow | Deny, as_json: bool) -> None:
    told = _allowed(verdict) if isinstance(verdict, Allow) else _denied(verdict)
    if as_json:
        print_json({"hostname": hostname, **told})
        return
    style = "bold green" if isinstance(verdict, Allow) else "bold red"
    console().print(Text(f"{told.pop('verdict')} at {_escaped(hostname)}", style))
    _print_fields(told)


def _allowed(verdict: Allow) -> dict[str, Any]:
    identity, policy = verdict.identity, verdict.policy
    return {
        "verdict": "allow",
        "subject": None if identity is None else _subject(identity.certificate),
        "sans": [] if identity is None else [_escaped(str(san)) for san in identity.sans],
        "anchor": None if identity is None else identity.anchor_id,
        "path": [] if verdict.path is None else [_subject(each) for each in verdict.path.certificates],
        "policy": None if policy is None else f"{policy.cause.value}{_policy(policy)}",
    }


def _denied(verdict: Deny) -> dict[str, Any]:
    return {
        "verdict": "deny",
        "reason": verdict.reason.value,
        "status": verdict.status,
        "detail": _escaped(verdict.detail),
    }


def _policy(outcome: PolicyOutcome) -> str:
    if outcome.policy is None:
        return ""
    return f" by policy {outcome.policy} {_escaped(outcome.policy_name)!r}"


# --- words ----------------------------------------------------------------------------------------------------------


def _described(certificate: x509.Certificate) -> dict[str, str]:
    return {
        "subject": _subject(certificate),
        "issuer": _name(certificate, "issuer"),
        "serial": f"{certificate.serial_number:x}",
        "sha256": hashlib.sha256(to_der(certificate)).hexdigest(),
    }


def _subject(certificate: x509.Certificate) -> str:
    return _name(certificate, "subject")


def _name(certificate: x509.Certificate, which: str) -> str:
    try:
        name: x509.Name = getattr(certificate, which)
        return _escaped(name.rfc4514_string())
    except Exception:  # noqa: BLE001 - whatever the foreign parser raises: nobody can read it
        return "(unreadable)"


def _key(certificate: x509.Certificate) -> str:
    try:
        key = certificate.public_key()
    except Exception:  # noqa: BLE001 - as above
        return "unreadable"
    if isinstance(key, rsa.RSAPublicKey):
        return f"RSA, {key.key_size} bits"
    return key.curve.name if isinstance(key, ec.EllipticCurvePublicKey) else certificate.public_key_algorithm_oid._name


def _time(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


# A stranger's text can hold what moves the cursor or turns the reading direction.
def _escaped(text: str) -> str:
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)
