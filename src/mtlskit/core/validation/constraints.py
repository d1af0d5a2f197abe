"""Name constraints (RFC 5280, 4.2.1.10 and 6.1.3 (b), (c)).

Each CA's set binds every name below it; that all sets bind is their intersection. The subject counts as a
directoryName. A name of a constrained form that cannot be compared is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, TypeAlias, assert_never

from cryptography.x509.oid import ExtensionOID

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


def constraint_fault(chain: Chain, profile: Profile, budget: Budget) -> PathError | None:
    """The refusal of a path (leaf first) by the name constraints of its CAs, the anchor's among them."""
    if not any(ExtensionOID.NAME_CONSTRAINTS in issuer.extensions for issuer in chain[1:]):
        return None
    above: list[Constraints] = []
    for position in range(len(chain) - 1, -1, -1):
        certificate, is_leaf = chain[position], position == 0
        # 6.1.3 (b): a self-issued certificate is exempt unless it is the leaf. The anchor is nobody's subject.
        if above and (is_leaf or not certificate.self_issued):
            form = _broken_form(_names(certificate, is_leaf), above, budget)
            if form is not None:
                detail = f"expected names that every CA above permits, got a {form.name} name"
                return certificate.refused(Reason.NAME_NOT_PERMITTED, detail, form=form.name.lower())
        if not is_leaf and ExtensionOID.NAME_CONSTRAINTS in certificate.extensions:
            above.append(_constraints(certificate, profile))
    return None


def _broken_form(found: Names, above: list[Constraints], budget: Budget) -> Form | None:
    for form, names in found.items():
        for constraints in above:
            permitted, excluded = constraints.permitted.get(form, []), constraints.excluded.get(form, [])
            budget.compare(len(names) * (len(permitted) + len(excluded)))
            if not all(_is_allowed(form, name, permitted, excluded) for name in names):
                return form
    return None


def _is_allowed(form: Form, name: Any, permitted: list[Any], excluded: list[Any]) -> bool:
    if not permitted and not excluded:
        return True
    if name is None or None in permitted or None in excluded:
        return False
    if permitted and not any(_is_inside(form, name, base) for base in permitted):
        return False
    return not any(_touches(form, name, base) for base in excluded)


def _is_inside(form: Form, name: Any, base: Any) -> bool:
    match form:
        case Form.DNS:
            return _is_dns_inside(name.removeprefix("*."), base) or (name.startswith("*.") and base == name[1:])
        case Form.EMAIL:
            return _is_mailbox_inside(name, base)
        case Form.URI:
            return base in ("", name) or (base.startswith(".") and name.endswith(base))
        case Form.IP:
            return _is_address_inside(name, base)
        case Form.DIRECTORY:
            return bool(name[: len(base)] == base)
        case Form.OTHER | Form.X400 | Form.EDI_PARTY | Form.REGISTERED_ID:
            return False
        case _:
            assert_never(form)


# What may be inside counts as inside here: a wildcard that stands for an excluded name, a value without a reading.
def _touches(form: Form, name: Any, base: Any) -> bool:
    if _is_inside(form, name, base):
        return True
    if form is Form.DNS and name.startswith("*."):
        return bool(base.partition(".")[2] == name[2:])
    return form is Form.DIRECTORY and not (is_readable(name) and is_readable(base))


# RFC 5280, 4.2.1.10: any name that is made by adding labels to the left. With a leading dot: at least one.
def _is_dns_inside(name: str, base: str) -> bool:
    return not base or name == base or name.endswith(base if base.startswith(".") else "." + base)


# A mailbox, all of a host, or all of the hosts of a domain.
def _is_mailbox_inside(name: Mailbox, base: Mailbox) -> bool:
    if base.local:
        return name == base
    if base.host.startswith("."):
        return name.host.endswith(base.host)
    return base.host in ("", name.host)


def _is_address_inside(name: bytes, base: bytes) -> bool:
    size = len(name)
    if len(base) != 2 * size:
        return False
    mask = int.from_bytes(base[size:], "big")
    return int.from_bytes(name, "big") & mask == int.from_bytes(base[:size], "big") & mask


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
            return octets if len(octets) in (8, 32) else None
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
