"""Name constraints (RFC 5280, 4.2.1.10 and 6.1.3 (b), (c)).

Each CA's set binds every name below it; that all sets bind is their intersection. The subject counts as a
directoryName. A name of a constrained form that cannot be compared is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeAlias, assert_never

from mtlskit.core.reasons import Reason
from mtlskit.core.validation import der
from mtlskit.core.validation.budget import Budget
from mtlskit.core.validation.builder import Chain
from mtlskit.core.validation.certificate import ParsedCertificate
from mtlskit.core.validation.frame import raw_extension
from mtlskit.core.validation.general_names import (
    Form,
    Mailbox,
    comparable,
    comparable_dns,
    form_of,
    forms_and_octets,
    is_host,
)
from mtlskit.core.validation.names import (
    COMMON_NAME,
    EMAIL_ADDRESS,
    EMPTY_NAME,
    ComparableName,
    attribute_texts,
    comparable_name,
    is_readable,
)
from mtlskit.core.validation.profiles import Profile, Stance
from mtlskit.errors import PathError

_SUBJECT_ALTERNATIVE_NAME = bytes.fromhex("551d11")
_NAME_CONSTRAINTS = bytes.fromhex("551d1e")
_PERMITTED, _EXCLUDED = 0xA0, 0xA1

# By form, what the names or the bases of that form are compared by; None where one cannot be compared.
Names: TypeAlias = Mapping[Form, list[Any]]


class Constraints(NamedTuple):
    """One CA's set."""

    permitted: Names
    excluded: Names


class BrokenName(NamedTuple):
    """A name that is not permitted: of which certificate of a path, and which of its names of that form."""

    position: int
    form: Form
    at: int


def constraint_fault(chain: Chain, profile: Profile, budget: Budget) -> PathError | None:
    """The refusal of a path (leaf first) by the name constraints of its CAs, the anchor's among them."""
    broken = broken_name(chain, profile, budget)
    if broken is None:
        return None
    detail = f"expected names that every CA above permits, got a {broken.form.name} name"
    return chain[broken.position].refused(Reason.NAME_NOT_PERMITTED, detail, form=broken.form.name.lower())


def broken_name(chain: Chain, profile: Profile, budget: Budget) -> BrokenName | None:
    """The first name in a path (leaf first) that the name constraints of its CAs, the anchor's too, do not permit."""
    if not any(issuer.has_constraints for issuer in chain[1:]):
        return None
    above: list[Constraints] = []
    for position in range(len(chain) - 1, -1, -1):
        certificate, is_leaf = chain[position], position == 0
        # 6.1.3 (b): a self-issued certificate is exempt unless it is the leaf. The anchor is nobody's subject.
        if above and (is_leaf or not certificate.self_issued):
            broken = _broken(_names(certificate, is_leaf), above, budget)
            if broken is not None:
                return BrokenName(position, *broken)
        if not is_leaf and certificate.has_constraints:
            above.append(_constraints(certificate, profile))
    return None


def _broken(found: Names, above: list[Constraints], budget: Budget) -> tuple[Form, int] | None:
    for form, names in found.items():
        for constraints in above:
            permitted, excluded = constraints.permitted.get(form, []), constraints.excluded.get(form, [])
            budget.compare(len(names) * (len(permitted) + len(excluded)))
            index = _first_broken(form, names, permitted, excluded)
            if index is not None:
                return form, index
    return None


# There may be thousands of names and hundreds of bases. So no name is compared with each base: it is asked which bases
# could hold it, a handful, and whether one of these is there.
def _first_broken(form: Form, names: list[Any], permitted: list[Any], excluded: list[Any]) -> int | None:
    if not names or (not permitted and not excluded):
        return None
    if None in names or None in permitted or None in excluded:
        return names.index(None) if None in names else 0
    inside, outside = frozenset(permitted), frozenset(excluded)
    shapes = _shapes(form, inside | outside)
    touching = _touching(form, outside)
    for index, name in enumerate(names):
        holders = _holders(form, name, shapes)
        if (permitted and inside.isdisjoint(holders)) or not outside.isdisjoint(holders) or touching(name):
            return index
    return None


# All bases that a name is inside of; of networks and directories, those of the shapes that there are.
def _holders(form: Form, name: Any, shapes: frozenset[Any]) -> list[Any]:
    match form:
        case Form.DNS:
            return _dns_holders(name)
        case Form.EMAIL:
            hosts = ["", name.host, *_dotted(name.host)]
            return [name, *[Mailbox("", host) for host in hosts]]
        case Form.URI:
            return ["", name, *_dotted(name)]
        case Form.IP:
            return [_network(name + mask) for mask in shapes if len(mask) == len(name)]
        case Form.DIRECTORY:
            return [name[:size] for size in shapes if size <= len(name)]
        case Form.OTHER | Form.X400 | Form.EDI_PARTY | Form.REGISTERED_ID:
            return []
        case _:
            assert_never(form)


# RFC 5280, 4.2.1.10: a base holds any name that is made by adding labels to its left; with a leading dot, at least one.
def _dns_holders(name: str) -> list[str]:
    dotted = _dotted(name)
    tails = [tail[1:] for tail in dotted]
    # A wildcard is not a label: `*.a.example` is what is inside of `a.example`, and of `.a.example`.
    return ["", *dotted, *tails] if name.startswith("*.") else ["", name, *dotted, *tails]


# With at least one label before each: `.b.example` and `.example` for `a.b.example`.
def _dotted(host: str) -> list[str]:
    labels = host.split(".")
    return ["." + ".".join(labels[at:]) for at in range(1, len(labels))]


def _shapes(form: Form, bases: frozenset[Any]) -> frozenset[Any]:
    if form is Form.IP:
        return frozenset(base[len(base) // 2 :] for base in bases)
    return frozenset(map(len, bases)) if form is Form.DIRECTORY else frozenset()


# An address and its mask, with the address cut to what the mask leaves of it.
def _network(octets: bytes) -> bytes:
    size = len(octets) // 2
    mask = int.from_bytes(octets[size:], "big")
    return (int.from_bytes(octets[:size], "big") & mask).to_bytes(size, "big") + octets[size:]


# What may be inside of something excluded counts as inside: a wildcard that stands for it, a value without a reading.
def _touching(form: Form, outside: frozenset[Any]) -> Callable[[Any], bool]:
    if form is Form.DNS:
        parents = frozenset(base.partition(".")[2] for base in outside)
        return lambda name: name.startswith("*.") and name[2:] in parents
    if form is Form.DIRECTORY and outside:
        readable = all(map(is_readable, outside))
        return lambda name: not (readable and is_readable(name))
    return lambda _: False


def _names(certificate: ParsedCertificate, is_leaf: object) -> Names:
    found: dict[Form, list[Any]] = {}
    raw = raw_extension(certificate.frame, _SUBJECT_ALTERNATIVE_NAME)
    if raw is not None:
        found[Form.DNS] = []
        for form, octets in forms_and_octets(raw, *der.whole(der.SEQUENCE, raw)):
            found.setdefault(form, []).append(comparable(form, octets))
    if certificate.frame.subject != EMPTY_NAME:
        _add_subject(found, comparable_name(certificate.frame.subject), is_leaf)
    return found


def _add_subject(found: dict[Form, list[Any]], subject: ComparableName, is_leaf: object) -> None:
    found.setdefault(Form.DIRECTORY, []).append(subject)
    # RFC 5280, 4.2.1.10: an address in the subject counts where no SAN entry has one.
    if Form.EMAIL not in found and (addresses := attribute_texts(subject, EMAIL_ADDRESS)):
        found[Form.EMAIL] = [comparable(Form.EMAIL, address.encode()) for address in addresses]
    # Without any SAN a leaf's common name that is a DNS name counts: a policy may take it for one.
    if is_leaf and Form.DNS not in found:
        names = [comparable_dns(text) for text in attribute_texts(subject, COMMON_NAME) if "." in text]
        found[Form.DNS] = [name for name in names if name is not None]


def _constraints(certificate: ParsedCertificate, profile: Profile) -> Constraints:
    raw = raw_extension(certificate.frame, _NAME_CONSTRAINTS) or b""
    permitted: dict[Form, list[Any]] = {}
    excluded: dict[Form, list[Any]] = {}
    for _, tag, start, stop in der.children(raw, *der.whole(der.SEQUENCE, raw)):
        bases = permitted if tag == _PERMITTED else excluded
        for _, _, first, last in der.children(raw, start, stop):
            kind, inner, outer = der.element(raw, first, last)
            # `minimum` and `maximum` have no meaning (RFC 5280, 4.2.1.10): such a subtree cannot be compared with.
            base = _base(form_of(kind), raw[inner:outer], profile) if outer == last else None
            bases.setdefault(form_of(kind), []).append(base)
    return Constraints(permitted, excluded)


def _base(form: Form, octets: bytes, profile: Profile) -> Any:
    match form:
        case Form.DNS:
            return _dns_base(octets.decode("ascii", "replace").lower(), profile)
        case Form.EMAIL:
            text = octets.decode("ascii", "replace")
            return comparable(form, octets) if "@" in text else _mailboxes_of(text.lower())
        case Form.URI:
            text = octets.decode("ascii", "replace").lower()
            return text if not text or is_host(text.removeprefix(".")) else None
        case Form.IP:
            return _network(octets) if len(octets) in (8, 32) else None
        case Form.DIRECTORY | Form.OTHER | Form.X400 | Form.EDI_PARTY | Form.REGISTERED_ID:
            return comparable(form, octets)
        case _:
            assert_never(form)


def _dns_base(text: str, profile: Profile) -> str | None:
    if text.startswith(".") and profile.leading_dot_constraint is Stance.REFUSE:
        return None
    return text if not text or is_host(text.removeprefix(".")) else None


def _mailboxes_of(host: str) -> Mailbox | None:
    return Mailbox("", host) if not host or is_host(host.removeprefix(".")) else None
