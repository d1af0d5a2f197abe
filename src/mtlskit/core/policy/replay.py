"""Rehearsal: what other policies would have said of requests that were recorded. Nothing is verified again.

A recorded request is what the policies were asked with: the verified client's path, what the server knew of the
request, and what they said. It holds no key and no content, but it says who asked for what, when and from where.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import ip_address
from typing import Any

from cryptography import x509

from mtlskit.core.certificates import ClientIdentity, Issuance, PresentedChain, to_der
from mtlskit.core.durations import read_moment
from mtlskit.core.policy.compiled import compile_policies
from mtlskit.core.policy.values import AccessPolicy, PolicyOutcome
from mtlskit.core.request import RequestFacts
from mtlskit.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class RecordedRequest:
    """One request that policies were asked about: by whom (None: no certificate), what was known, what they said."""

    identity: ClientIdentity | None
    facts: RequestFacts
    allowed: bool

    def to_json(self) -> str:
        """One line of JSON."""
        facts, identity = self.facts, self.identity
        document: dict[str, Any] = {
            "at": facts.at.isoformat() if facts.at else None,
            "hostname": facts.hostname,
            "method": facts.method,
            "path": facts.path,
            "client_address": str(facts.client_address) if facts.client_address else None,
            "allowed": self.allowed,
            "client": None if identity is None else _client_to_dict(identity),
        }
        return json.dumps(document, separators=(",", ":"))

    @classmethod
    def from_json(cls, line: str) -> RecordedRequest:
        """From one line; raises ConfigurationError."""
        try:
            document = json.loads(line)
            at, address = (_text(document[name]) for name in ("at", "client_address"))
            facts = RequestFacts(
                at=None if at is None else read_moment(at),
                hostname=_text(document["hostname"]),
                method=_text(document["method"]),
                path=_text(document["path"]),
                client_address=None if address is None else ip_address(address),
            )
            client = document["client"]
            identity = None if client is None else _client_from_dict(client)
            return cls(identity, facts, _flag(document["allowed"]))
        except Exception as error:  # noqa: BLE001 - whatever stands in the line
            raise ConfigurationError(f"expected a recorded request, got {type(error).__name__}: {line!r:.80}") from None


@dataclass(frozen=True, slots=True)
class Changed:
    """A recorded request of which other policies say otherwise, and what they say."""

    request: RecordedRequest
    outcome: PolicyOutcome

    @property
    def client(self) -> str:
        """The client's subject as RFC 4514 text, escaped, with its fingerprint; for people."""
        identity = self.request.identity
        if identity is None:
            return "no certificate"
        subject = identity.subject.encode("unicode_escape").decode("ascii")
        return f"{subject} ({identity.fingerprint_sha256[:16]})"


@dataclass(frozen=True, slots=True)
class Replay:
    """How many requests were looked at, and those that would be shut out and let in now that were not before."""

    requests: int
    shut_out: tuple[Changed, ...]
    let_in: tuple[Changed, ...]


def replay(requests: Iterable[RecordedRequest], policies: Sequence[AccessPolicy]) -> Replay:
    """What `policies` say of the recorded requests, each at its own moment."""
    ask = compile_policies(policies)
    count, changed = 0, []
    for request in requests:
        count += 1
        outcome = ask(request.identity, request.facts)
        if outcome.allowed is not request.allowed:
            changed.append(Changed(request, outcome))
    return Replay(
        count,
        tuple(each for each in changed if each.request.allowed),
        tuple(each for each in changed if not each.request.allowed),
    )


def _client_to_dict(identity: ClientIdentity) -> dict[str, Any]:
    issuance, path = identity.issuance, [to_der(each) for each in (identity.certificate, *identity.issuers)]
    presented = None if identity.presented is None else identity.presented.ders
    return {
        "hostname": identity.hostname,
        "anchor_id": identity.anchor_id,
        "path": list(map(_encoded, path)),
        # What was presented is in the path, most often: then its place there.
        "presented": presented and [path.index(der) if der in path else _encoded(der) for der in presented],
        "issuance": None if issuance is None else {"authority": issuance.authority, "profile": issuance.profile},
    }


def _client_from_dict(client: dict[str, Any]) -> ClientIdentity:
    path, given, issuance = client["path"], client["presented"], client["issuance"]
    presented = None if given is None else [_decoded(path[each] if type(each) is int else each) for each in given]
    leaf, *issuers = map(_certificate, path)
    return ClientIdentity.of(
        leaf,
        hostname=_text(client["hostname"]) or "",
        anchor_id=_text(client["anchor_id"]),
        issuers=issuers,
        presented=None if presented is None else PresentedChain(tuple(presented)),
        issuance=None if issuance is None else _issuance(issuance),
    )


def _issuance(document: dict[str, Any]) -> Issuance:
    return Issuance(authority=_text(document["authority"]), profile=_text(document["profile"]))


def _text(value: object) -> str | None:
    if value is not None and not isinstance(value, str):
        raise TypeError("expected text or nothing")
    return value


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise TypeError("expected true or false")
    return value


def _encoded(der: bytes) -> str:
    return base64.b64encode(der).decode("ascii")


def _decoded(text: str) -> bytes:
    return base64.b64decode(text, validate=True)


@lru_cache(maxsize=4096)  # devices come again and again
def _certificate(text: str) -> x509.Certificate:
    return x509.load_der_x509_certificate(_decoded(text))
