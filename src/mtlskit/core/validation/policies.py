"""Certificate policies (RFC 5280, 6.1, with the policy graph of RFC 9618 in the place of the tree).

A level of the graph has at most one node per policy, so its size is bounded by what the certificates say.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum

from cryptography import x509
from cryptography.x509.oid import CertificatePoliciesOID, ExtensionOID

from mtlskit.core.reasons import Reason
from mtlskit.core.validation import der
from mtlskit.core.validation.budget import Budget
from mtlskit.core.validation.builder import Chain
from mtlskit.core.validation.certificate import ParsedCertificate
from mtlskit.core.validation.frame import raw_extension
from mtlskit.errors import PathError

_CERTIFICATE_POLICIES = bytes.fromhex("551d20")
_POLICY_MAPPINGS = bytes.fromhex("551d21")
_ANY = bytes.fromhex("551d2000")


class ExplicitPolicy(StrEnum):
    """initial-explicit-policy: whether a path must have one of the acceptable policies."""

    OPTIONAL = "optional"  # unless a CA of the path requires one
    REQUIRED = "required"


class PolicyMapping(StrEnum):
    """initial-policy-mapping-inhibit."""

    ALLOWED = "allowed"
    INHIBITED = "inhibited"


class AnyPolicy(StrEnum):
    """initial-any-policy-inhibit."""

    ALLOWED = "allowed"
    INHIBITED = "inhibited"


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyInputs:
    """What a caller asks of certificate policies (RFC 5280, 6.1.1 (c), (e), (f), (g))."""

    acceptable: frozenset[x509.ObjectIdentifier] = frozenset({CertificatePoliciesOID.ANY_POLICY})
    explicit: ExplicitPolicy = ExplicitPolicy.OPTIONAL
    mapping: PolicyMapping = PolicyMapping.ALLOWED
    any_policy: AnyPolicy = AnyPolicy.ALLOWED


class Place(StrEnum):
    """Where in the path a certificate stands."""

    CA = "ca"
    LEAF = "leaf"


@dataclass(slots=True)
class _Node:
    """A policy on one level: what the level below may call it, and the policies above that it belongs to."""

    expected: set[bytes]
    parents: set[bytes] = field(default_factory=set)


_Level = dict[bytes, _Node]


@dataclass(slots=True)
class _State:
    """The variables of RFC 5280, 6.1.2. `levels` is the graph, the deepest last; empty stands for NULL."""

    levels: list[_Level]
    explicit: int
    mapping: int
    any_policy: int


def policy_fault(chain: Chain, inputs: PolicyInputs, budget: Budget) -> PathError | None:
    """The refusal of a path (leaf first) by its certificate policies."""
    if inputs.explicit is ExplicitPolicy.OPTIONAL and not any(map(_limits_policies, chain[:-1])):
        return None
    *cas, leaf = chain[-2::-1]
    state = _initial(len(cas) + 1, inputs)
    for certificate in cas:
        _add_level(state, certificate, Place.CA, budget)
        fault = _unsatisfied(state, certificate) or _map_policies(state, certificate, budget)
        if fault is not None:
            return fault
        _prepare(state, certificate)
    _add_level(state, leaf, Place.LEAF, budget)
    if (fault := _unsatisfied(state, leaf)) is not None:
        return fault
    _wrap_up(state, leaf)
    return None if state.explicit or _satisfies(state, inputs) else _refusal(leaf)


# RFC 5280, 6.1.3 (f).
def _unsatisfied(state: _State, certificate: ParsedCertificate) -> PathError | None:
    return None if state.explicit or state.levels else _refusal(certificate)


def _limits_policies(certificate: ParsedCertificate) -> bool:
    return (
        ExtensionOID.POLICY_CONSTRAINTS in certificate.extensions
        or ExtensionOID.POLICY_MAPPINGS in certificate.extensions
    )


# RFC 5280, 6.1.2 (a), (d) - (f).
def _initial(length: int, inputs: PolicyInputs) -> _State:
    return _State(
        levels=[{_ANY: _Node({_ANY})}],
        explicit=0 if inputs.explicit is ExplicitPolicy.REQUIRED else length + 1,
        mapping=0 if inputs.mapping is PolicyMapping.INHIBITED else length + 1,
        any_policy=0 if inputs.any_policy is AnyPolicy.INHIBITED else length + 1,
    )


# RFC 9618, 5.3: steps (d) and (e) of RFC 5280, 6.1.3.
def _add_level(state: _State, certificate: ParsedCertificate, place: Place, budget: Budget) -> None:
    asserted = _asserted(certificate)
    if asserted is None or not state.levels:
        state.levels = []
        return
    above = state.levels[-1]
    level = {policy: node for policy in asserted - {_ANY} if (node := _child(policy, above)) is not None}
    if _ANY in asserted and (state.any_policy > 0 or (place is Place.CA and certificate.self_issued)):
        for policy in set().union(*(node.expected for node in above.values())) - level.keys():
            level[policy] = _Node({policy}, _expecting(policy, above))
    budget.add_policy_nodes(len(level) + sum(len(node.parents) for node in level.values()))
    state.levels.append(level)
    _prune(state)


# (d)(1): under the nodes that expect the policy, else under anyPolicy.
def _child(policy: bytes, above: _Level) -> _Node | None:
    parents = _expecting(policy, above)
    if parents:
        return _Node({policy}, parents)
    return _Node({policy}, {_ANY}) if _ANY in above else None


def _expecting(policy: bytes, level: _Level) -> set[bytes]:
    return {found for found, node in level.items() if policy in node.expected}


# (d)(3): nodes without children go, up to the top; without a lowest level there is no graph.
def _prune(state: _State) -> None:
    levels = state.levels
    for position in range(len(levels) - 1, 0, -1):
        wanted = set[bytes]().union(*(node.parents for node in levels[position].values()))
        levels[position - 1] = {policy: node for policy, node in levels[position - 1].items() if policy in wanted}
    if not all(levels):
        state.levels = []


# RFC 5280, 6.1.4 (a) and (b); RFC 9618, 5.4.
def _map_policies(state: _State, certificate: ParsedCertificate, budget: Budget) -> PathError | None:
    mappings = _mappings(certificate)
    if any(_ANY in pair for pair in mappings):
        return certificate.refused(Reason.CERTIFICATE_POLICY, "expected mappings of policies, got one of anyPolicy")
    budget.add_policy_nodes(len(mappings))
    if not state.levels or not mappings:
        return None
    wanted: dict[bytes, set[bytes]] = {}
    for issuer, subject in mappings:
        wanted.setdefault(issuer, set()).add(subject)
    _rename(state, wanted) if state.mapping > 0 else _drop(state, wanted)
    return None


def _rename(state: _State, wanted: dict[bytes, set[bytes]]) -> None:
    level = state.levels[-1]
    for policy, names in wanted.items():
        if policy in level:
            level[policy].expected = names
        elif _ANY in level:
            level[policy] = _Node(names, {_ANY})


def _drop(state: _State, unwanted: Iterable[bytes]) -> None:
    for policy in unwanted:
        state.levels[-1].pop(policy, None)
    _prune(state)


# RFC 5280, 6.1.4 (h) - (j).
def _prepare(state: _State, certificate: ParsedCertificate) -> None:
    if not certificate.self_issued:
        state.explicit = max(0, state.explicit - 1)
        state.mapping = max(0, state.mapping - 1)
        state.any_policy = max(0, state.any_policy - 1)
    constraints = certificate.extensions.get(ExtensionOID.POLICY_CONSTRAINTS)
    if constraints is not None:
        state.explicit = _lower(state.explicit, constraints.require_explicit_policy)
        state.mapping = _lower(state.mapping, constraints.inhibit_policy_mapping)
    inhibit = certificate.extensions.get(ExtensionOID.INHIBIT_ANY_POLICY)
    state.any_policy = _lower(state.any_policy, None if inhibit is None else inhibit.skip_certs)


def _lower(current: int, other: int | None) -> int:
    return current if other is None else min(current, other)


# RFC 5280, 6.1.5 (a) and (b).
def _wrap_up(state: _State, leaf: ParsedCertificate) -> None:
    state.explicit = max(0, state.explicit - 1)
    constraints = leaf.extensions.get(ExtensionOID.POLICY_CONSTRAINTS)
    if constraints is not None and constraints.require_explicit_policy == 0:
        state.explicit = 0


# RFC 9618, 5.6: step (g) of RFC 5280, 6.1.5.
def _satisfies(state: _State, inputs: PolicyInputs) -> bool:
    if not state.levels:
        return False
    acceptable = {oid_octets(policy) for policy in inputs.acceptable}
    if _ANY in acceptable or _ANY in state.levels[-1]:
        return bool(acceptable)
    return any(
        policy in acceptable and _ANY in node.parents for level in state.levels[1:] for policy, node in level.items()
    )


def _refusal(certificate: ParsedCertificate) -> PathError:
    return certificate.refused(Reason.CERTIFICATE_POLICY, "expected an acceptable certificate policy, got none")


def _asserted(certificate: ParsedCertificate) -> set[bytes] | None:
    found = _read(certificate, _CERTIFICATE_POLICIES)
    return None if found is None else {policy for policy, *_ in found}


def _mappings(certificate: ParsedCertificate) -> list[list[bytes]]:
    return [pair for pair in _read(certificate, _POLICY_MAPPINGS) or () if len(pair) == 2]


# `cryptography` does not look into these two, so it is here that they turn out to be broken.
def _read(certificate: ParsedCertificate, oid: bytes) -> list[list[bytes]] | None:
    try:
        raw = raw_extension(certificate.frame, oid)
        found = None if raw is None else _identifiers(raw)
    except der.DERError as error:
        raise certificate.refused(Reason.MALFORMED, f"expected policies in DER: {error}") from None
    if found is not None and not all(found):
        raise certificate.refused(Reason.MALFORMED, "expected policies with an identifier, got one without")
    return found


def _identifiers(raw: bytes) -> list[list[bytes]]:
    return [
        [raw[first:last] for _, tag, first, last in der.children(raw, start, stop) if tag == der.OBJECT_IDENTIFIER]
        for _, _, start, stop in der.children(raw, *der.whole(der.SEQUENCE, raw))
    ]


def oid_octets(identifier: x509.ObjectIdentifier) -> bytes:
    """The content of an object identifier in DER (X.690, 8.19)."""
    first, second, *rest = map(int, identifier.dotted_string.split("."))
    return b"".join(map(_arc, (40 * first + second, *rest)))


def _arc(number: int) -> bytes:
    octets = bytes((number & 0x7F,))
    while number := number >> 7:
        octets = bytes((number & 0x7F | 0x80,)) + octets
    return octets
