"""An authority in words: as the object of `--json`, and as what people read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import click
from cryptography import x509
from rich.text import Text

from mtlskit.authority import Generation, GenerationState, Reservation, Revocation
from mtlskit.authority.generations import AuthorityRecord
from mtlskit.cli.output import console, print_json, table
from mtlskit.cli.words import described, escaped, key_in_words, shown_time, subject
from mtlskit.core.certificates import read_sans
from mtlskit.core.profiles import AuthorityConstraints, ExtendedKeyUsage, NameSubtree

_KINDS: Final[Mapping[type[x509.GeneralName], str]] = {
    x509.DNSName: "dns", x509.RFC822Name: "email", x509.UniformResourceIdentifier: "uri", x509.IPAddress: "ip",
}  # fmt: skip


def certificate_document(certificate: x509.Certificate) -> dict[str, Any]:
    """What is told of a certificate that was issued or shown."""
    return {
        **described(certificate),
        "key": key_in_words(certificate),
        "not_before": shown_time(certificate.not_valid_before_utc),
        "not_after": shown_time(certificate.not_valid_after_utc),
    }


def issued_document(certificate: x509.Certificate) -> dict[str, Any]:
    """What is told of an end-entity certificate."""
    return {**certificate_document(certificate), "sans": list(map(str, read_sans(certificate)))}


def issued_line(where: str, certificate: x509.Certificate) -> str:
    """The file that has a certificate, and what it is."""
    end = shown_time(certificate.not_valid_after_utc)
    whose = subject(certificate) or "no subject"
    return f"{escaped(where)}: {whose}, serial {certificate.serial_number:x}, until {end}"


class Standing(NamedTuple):
    """What the ledger has beside an authority's record.

    `pending` was begun and never finished. `revoked` has the revocation of each generation's certificate, None for one
    that is good; generations of which nobody in the store would know are not in it.
    """

    pending: Sequence[Reservation]
    revoked: Mapping[int, Revocation | None]


def authority_document(record: AuthorityRecord, standing: Standing) -> dict[str, Any]:
    """Everything about an authority but its keys."""
    constraints = AuthorityConstraints.of(record.active.certificate)
    return {
        "name": record.name,
        "parent": record.parent or None,
        "generations": [
            {**generation_document(each), "revoked": _revoked(each, standing)} for each in record.generations
        ],
        "constraints": {
            "path_length": constraints.path_length,
            "purposes": list(map(_purpose, constraints.extended_key_usages)),
            "permitted": list(map(_subtree, constraints.permitted)),
            "excluded": list(map(_subtree, constraints.excluded)),
        },
        "locations": {name: list(getattr(record.locations, name)) for name in ("crl", "ocsp", "issuers")},
        "pending": list(map(_pending, standing.pending)),
    }


def summary(record: AuthorityRecord) -> dict[str, Any]:
    """What a list says of an authority."""
    active = record.active
    return {
        "name": record.name,
        "parent": record.parent or None,
        "generation": active.number,
        "generations": len(record.trusted),
        "key_place": active.key_place.value,
        "key_id": active.key_id,
        "not_after": shown_time(active.certificate.not_valid_after_utc),
    }


def summary_line(record: AuthorityRecord) -> str:
    """The same in a line."""
    told = summary(record)
    below = f", below {told['parent']!r}" if told["parent"] else ""
    return f"{record.name}: G{told['generation']} until {told['not_after']}{below}"


def generation_document(generation: Generation) -> dict[str, Any]:
    """One key of an authority."""
    return {
        "number": generation.number,
        "state": generation.state.value,
        "key_place": generation.key_place.value,
        "key_id": generation.key_id,
        "certificate": certificate_document(generation.certificate),
        "above": [described(each)["subject"] for each in generation.above],
        "cross_certified": [
            name for name in ("cross", "back") if getattr(generation, name) is not None
        ],
    }  # fmt: skip


def tell_authority(record: AuthorityRecord, standing: Standing, as_json: bool) -> None:
    """Prints everything about an authority but its keys."""
    document = authority_document(record, standing)
    if as_json:
        print_json(document)
        return
    columns = ("generation", "state", "key", "kept in", "serial", "until")
    console().print(table(record.name, columns, map(_row, record.generations)))
    for each in document["generations"]:
        _print_certificate(f"G{each['number']}", each["certificate"], each["revoked"])
    _print_limits(document)
    for each in document["pending"]:
        console().print(Text(f"pending: {each['serial']} for {escaped(each['subject'])}, since {each['reserved_at']}"))


def tell_generation(record: AuthorityRecord, number: int, as_json: bool) -> None:
    """Prints what became of one generation of an authority."""
    generation = next(each for each in record.generations if each.number == number)
    if as_json:
        print_json({"name": record.name, **generation_document(generation)})
        return
    until = f", good until {shown_time(generation.certificate.not_valid_after_utc)}"
    end = "" if generation.state is GenerationState.RETIRED else until
    console().print(Text(f"{record.name}: generation {number} is {generation.state.value}{end}"))


def _row(generation: Generation) -> tuple[str, ...]:
    certificate = generation.certificate
    return (
        f"G{generation.number}", generation.state.value, key_in_words(certificate), generation.key_place.value,
        f"{certificate.serial_number:x}", shown_time(certificate.not_valid_after_utc),
    )  # fmt: skip


# Not in the table, whose cells would be cut into lines.
def _print_certificate(label: str, certificate: Mapping[str, str], revoked: Mapping[str, str] | bool | None) -> None:
    click.echo(f"{label} subject: {certificate['subject']}")
    click.echo(f"{label} issuer: {certificate['issuer']}")
    click.echo(f"{label} SHA-256: {certificate['sha256']}")
    if isinstance(revoked, Mapping):
        click.echo(f"{label} is revoked since {revoked['revoked_at']}: {revoked['reason']}")


def _revoked(generation: Generation, standing: Standing) -> dict[str, str] | bool | None:
    if generation.number not in standing.revoked:
        return None
    found = standing.revoked[generation.number]
    return False if found is None else {"revoked_at": shown_time(found.revoked_at), "reason": found.reason}


def _print_limits(document: Mapping[str, Any]) -> None:
    told = {"below": document["parent"], **document["constraints"], **document["locations"]}
    for name, value in told.items():
        if value not in (None, []):
            shown = ", ".join(value) if isinstance(value, list) else value
            console().print(Text(f"{name.replace('_', ' ')}: {shown}"))


def _pending(reservation: Reservation) -> dict[str, str]:
    return {
        "serial": f"{reservation.serial_number:x}",
        "subject": reservation.subject,
        "profile": reservation.profile,
        "requester": reservation.requester,
        "reserved_at": shown_time(reservation.reserved_at),
    }


def _purpose(usage: ExtendedKeyUsage | x509.ObjectIdentifier) -> str:
    return usage.value if isinstance(usage, ExtendedKeyUsage) else usage._name


def _subtree(subtree: NameSubtree | x509.GeneralName) -> str:
    if isinstance(subtree, NameSubtree):
        return f"{subtree.type}:{subtree.base}"
    kind = _KINDS.get(type(subtree), type(subtree).__name__)
    return escaped(f"{kind}:{subtree.value}")
